//! A glance at a text: where any of a few pairs of neighbouring bytes stands in it, many bytes at once.
//!
//! When every literal of a scan has one of a few pairs that are seldom seen, only the text around such a pair is
//! scanned. This is what makes keywords cheap, which are sought in all of every record.

use std::ops::Range;

use aho_corasick::packed::Searcher;
use hashbrown::HashMap;

/// A searcher takes four spellings of as many pairs.
const PAIRS_MAX: usize = 8;
/// More literals are not covered by so few pairs.
const LITERALS_MAX: usize = 256;
/// All pairs together may be expected so often in a million bytes.
const SEEN_MAX: u32 = 2_000;
/// A shorter text is scanned before a searcher has begun.
const TEXT_MIN: usize = 256;
/// Longer literals would have much of the text scanned around each pair.
const LITERAL_MAX: usize = 256;

/// In lower case.
type Pair = [u8; 2];

/// See the module documentation.
#[derive(Clone, Debug)]
pub(super) struct Glance {
    pairs: Searcher,
    longest: usize,
}

impl Glance {
    /// `None` when there are no pairs that would do, or no processor for it. Literals are folded.
    pub(super) fn new(literals: &[&[u8]]) -> Option<Self> {
        let longest = literals.iter().map(|literal| literal.len()).max()?;
        let pairs = Searcher::new(rare_pairs(literals)?.into_iter().flat_map(spellings))?;
        (longest <= LITERAL_MAX).then_some(Self { pairs, longest })
    }

    /// Whether a text is worth a glance.
    #[inline]
    pub(super) fn suits(&self, text: &[u8]) -> bool {
        text.len() >= TEXT_MIN.max(self.pairs.minimum_len())
    }

    /// The parts of a text outside of which no literal stands, ascending and apart. The text is folded, or ASCII as
    /// it is.
    #[inline]
    pub(super) fn parts(&self, text: &[u8], mut each: impl FnMut(Range<usize>)) {
        let mut part: Option<Range<usize>> = None;
        // A pair that overlaps one that is found is passed over; what it stands for is in the same part.
        for pair in self.pairs.find_iter(text) {
            let start = pair.start().saturating_sub(self.longest);
            let end = (pair.end() + self.longest).min(text.len());
            match &mut part {
                Some(open) if start <= open.end => open.end = end,
                _ => part.replace(start..end).into_iter().for_each(&mut each),
            }
        }
        part.into_iter().for_each(each);
    }
}

/// Pairs of which every literal has one, if there are few and all are seldom seen.
fn rare_pairs(literals: &[&[u8]]) -> Option<Vec<Pair>> {
    let mut uncovered =
        if literals.len() <= LITERALS_MAX { literals.to_vec() } else { return None };
    let (mut pairs, mut seen) = (Vec::new(), 0);
    while !uncovered.is_empty() && pairs.len() < PAIRS_MAX {
        let pair = best_pair(&uncovered)?;
        uncovered.retain(|literal| !literal.windows(2).any(|other| other == pair));
        seen += commonness(pair);
        pairs.push(pair);
    }
    (uncovered.is_empty() && seen <= SEEN_MAX).then_some(pairs)
}

/// In lower and upper case.
fn spellings([first, second]: Pair) -> impl Iterator<Item = Pair> {
    let both = |byte: u8| {
        let upper = Some(byte.to_ascii_uppercase()).filter(|upper| *upper != byte);
        std::iter::once(byte).chain(upper)
    };
    both(first).flat_map(move |first| both(second).map(move |second| [first, second]))
}

/// The pair that is seldom and in many of the literals; `None` when one of them has no pair.
fn best_pair(literals: &[&[u8]]) -> Option<Pair> {
    let mut counts: HashMap<Pair, u32> = HashMap::new();
    for literal in literals {
        let mut own: Vec<Pair> = literal.windows(2).map(|pair| [pair[0], pair[1]]).collect();
        own.sort_unstable();
        own.dedup();
        if own.is_empty() {
            return None;
        }
        own.into_iter().for_each(|pair| *counts.entry(pair).or_default() += 1);
    }
    let worth = |(pair, count): &(Pair, u32)| {
        // The pair breaks ties, so that the same rules are always compiled alike.
        (u64::from(*count) * 1_000_000 / u64::from(commonness(*pair)), *pair)
    };
    counts.into_iter().max_by_key(worth).map(|(pair, _)| pair)
}

/// Pairs of letters of which log text is full.
const COMMON: &str = "thheinerreonanattienndstorteesofedisitalarntsengasouveleecioicdecometariroshneeallssmasi\
                      omurusidceseagamacabnactadetcaowtyimprdaemaupavawisawsrdlocrocpegemosyrcviyshogahautrs\
                      oddiueiamilaulchftexapfooplowhtrpounldlyeacunoeymytobebyupsogodowowaratowiev";

/// How often a pair is expected in a million bytes of log text, roughly.
fn commonness(pair: Pair) -> u32 {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_common = || COMMON.as_bytes().chunks(2).any(|common| common == pair);
    match pair {
        [a, b] if a.is_ascii_lowercase() && b.is_ascii_lowercase() && is_common() => 2_500,
        [a, b] if is_digit(a) && is_digit(b) => 1_000,
        [a, b] if a.is_ascii_lowercase() && b.is_ascii_lowercase() => 300,
        [b' ' | b'"' | b',' | b'{' | b'}', _] | [_, b' ' | b'"' | b',' | b'{' | b'}'] => 2_000,
        [a, b] if a == b => 200,
        [a, b] if a.is_ascii_digit() || b.is_ascii_digit() => 1_000,
        _ => 150,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(literals: &[&str]) -> Option<Glance> {
        Glance::new(&literals.iter().map(|literal| literal.as_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn a_few_rare_pairs_cover_all_literals_or_there_is_no_glance() {
        let pairs = |literals: &[&str]| {
            rare_pairs(&literals.iter().map(|literal| literal.as_bytes()).collect::<Vec<_>>())
        };
        assert_eq!(pairs(&["sekurlsa::", "lsadump::", "dpapi::masterkey"]), Some(vec![*b"::"]));
        assert_eq!(pairs(&["the", "other"]), None, "seen everywhere");
        assert_eq!(pairs(&["a::b", "c"]), None, "one has no pair");
        assert_eq!(
            pairs(&["?1", "?2", "?3", "?4", "?5", "?6", "?7", "?8", "?9"]),
            None,
            "too many"
        );
        assert!(glance(&[]).is_none());
        assert!(glance(&[&"::".repeat(LITERAL_MAX)]).is_none(), "too long");
    }

    #[test]
    fn every_literal_is_in_a_part_and_parts_are_apart() {
        let long = format!("::{}", "sekurlsa".repeat(20));
        let literals = ["sekurlsa::logon", "gentilkiwi.com", "\\mimilib.dll", &long];
        // The processor may have no way of looking at many bytes at once.
        let Some(glance) = glance(&literals) else { return };
        for literal in literals {
            for before in 200..300 {
                for after in [0, 1, 200] {
                    let text = format!("{}{literal}{}", "-".repeat(before), "-".repeat(after));
                    let place = before..before + literal.len();
                    if !glance.suits(text.as_bytes()) {
                        continue;
                    }
                    let (mut covered, mut end) = (0, 0);
                    glance.parts(text.to_uppercase().as_bytes(), |part| {
                        let is_in = part.start <= place.start && place.end <= part.end;
                        covered += usize::from(is_in);
                        assert!(part.start >= end && part.end <= text.len());
                        end = part.end + 1;
                    });
                    assert_eq!(covered, 1, "{literal} behind {before} before {after}");
                }
            }
        }
        glance.parts(&[b'-'; 1_000], |part| panic!("nothing stands in {part:?}"));
    }

    #[test]
    fn nothing_is_read_twice_however_many_pairs_there_are() {
        let Some(glance) = glance(&["sekurlsa::", "lsadump::"]) else { return };
        let text = ":".repeat(1_000);
        let mut parts = Vec::new();
        glance.parts(text.as_bytes(), |part| parts.push(part));
        assert_eq!((parts.len(), parts[0].clone()), (1, 0..text.len()));
    }
}
