//! Substrings: which of many literals stand anywhere in a text.
//!
//! A literal is found by groups of four neighbouring bytes of it. Each is registered with as many such
//! groups, one behind the other, as the shortest literal has room for; of these, one stands at a multiple
//! of that number wherever the literal stands. So only every `step`-th position of a text is looked at.
//! Literals of fewer than four bytes are found by themselves, at every position. Where a few pairs of bytes tell where
//! a literal can stand at all ([`super::glance`]), only the text around them is looked at.

use hashbrown::HashMap;

use super::glance::Glance;
use super::index::{AtomId, BLIND, Buckets, Literals, Needle};

/// Positions are never further apart: more groups per literal would be found by chance too often.
const STEP_MAX: usize = 8;
const GRAM: usize = 4;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Scan {
    four: Grams<4>,
    three: Grams<3>,
    two: Grams<2>,
    one: Grams<1>,
    glance: Option<Glance>,
    /// Bytes of the shortest literal.
    shortest: usize,
    /// See [`Scan::is_wordy`].
    wordy: bool,
}

impl Scan {
    pub(super) fn new(needles: &[Needle], literals: &Literals) -> Self {
        let lengths = || needles.iter().map(|needle| literals.get(needle).len());
        let long = lengths().filter(|len| *len >= GRAM).min().unwrap_or(GRAM);
        let step = (long - GRAM + 1).min(STEP_MAX);
        let mut uses: HashMap<u32, u32> = HashMap::new();
        for needle in needles {
            for window in literals.get(needle).windows(GRAM) {
                *uses.entry(gram(window)).or_default() += 1;
            }
        }
        let mut keyed: [Vec<(u64, Needle)>; GRAM] = Default::default();
        for needle in needles {
            let text = literals.get(needle);
            let width = text.len().min(GRAM);
            let step = if width == GRAM { step } else { 1 };
            let cost = |run: &[u8]| -> u32 {
                let grams = run.windows(width);
                grams.map(|g| uses.get(&gram(g)).map_or(0, |n| n * 32) + commonness(g)).sum()
            };
            let runs = text.windows(width + step - 1).enumerate();
            let (first, run) = runs
                .min_by_key(|(_, run)| cost(run))
                .expect("every literal has room for the run of the shortest");
            for (offset, window) in (first..).zip(run.windows(width)) {
                let needle = Needle { offset: offset as u32, ..*needle };
                keyed[width - 1].push((u64::from(gram(window)), needle));
            }
        }
        let [one, two, three, four] = keyed;
        Self {
            four: Grams::new(four, step),
            three: Grams::new(three, 1),
            two: Grams::new(two, 1),
            one: Grams::new(one, 1),
            glance: {
                let texts: Vec<&[u8]> = needles.iter().map(|n| literals.get(n)).collect();
                Glance::new(&texts)
            },
            shortest: lengths().min().unwrap_or(usize::MAX),
            wordy: needles.iter().all(|needle| {
                let literal = literals.get(needle);
                literal.is_ascii() && literal.iter().any(|byte| !b"0123456789+-.eE".contains(byte))
            }),
        }
    }

    /// Bytes of the shortest literal: there is nothing to find in a shorter text.
    #[inline]
    pub(super) fn shortest(&self) -> usize {
        self.shortest
    }

    /// Whether one more literal of that length would be found in the places that are looked at anyway.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        bytes >= GRAM + self.four.step - 1 && self.glance.is_none()
    }

    /// Whether all literals are ASCII, and no number, however it is written, has any of them.
    #[inline]
    pub(super) fn is_wordy(&self) -> bool {
        self.wordy
    }

    /// Reports what stands in a text, folded or in ASCII; possibly more than once.
    #[inline]
    pub(super) fn each(&self, literals: &Literals, text: &[u8], report: &mut impl FnMut(AtomId)) {
        match &self.glance {
            Some(glance) if glance.suits(text) => {
                glance.parts(text, |part| self.all(literals, &text[part], report));
            }
            _ => self.all(literals, text, report),
        }
    }

    #[inline]
    fn all(&self, literals: &Literals, text: &[u8], report: &mut impl FnMut(AtomId)) {
        self.four.each(literals, text, report);
        self.three.each(literals, text, report);
        self.two.each(literals, text, report);
        self.one.each(literals, text, report);
    }
}

/// Literals that are found by groups of `W` bytes.
#[derive(Debug)]
struct Grams<const W: usize> {
    bits: Bits,
    step: usize,
    buckets: Buckets,
}

/// One bit per hash of a group: clear means that no literal has it. The sizes are fixed so that looking
/// one up takes no more than the arithmetic.
#[derive(Debug)]
enum Bits {
    None,
    Few(Box<[u32; 128]>),
    Many(Box<[u32; 4_096]>),
}

impl<const W: usize> Default for Grams<W> {
    fn default() -> Self {
        Self { bits: Bits::None, step: 1, buckets: Buckets::default() }
    }
}

impl<const W: usize> Grams<W> {
    fn new(keyed: Vec<(u64, Needle)>, step: usize) -> Self {
        // With more, one bit in thirty-two would be set.
        const FEW: usize = 128;
        let mut bits = match keyed.len() {
            0 => return Self::default(),
            1..=FEW => Bits::Few(Box::new([0; 128])),
            _ => Bits::Many(Box::new([0; 4_096])),
        };
        for (key, _) in &keyed {
            match &mut bits {
                Bits::None => {}
                Bits::Few(words) => set(words, *key as u32),
                Bits::Many(words) => set(words, *key as u32),
            }
        }
        Self { bits, step, buckets: Buckets::new(keyed) }
    }

    #[inline]
    fn each(&self, literals: &Literals, text: &[u8], report: &mut impl FnMut(AtomId)) {
        match &self.bits {
            Bits::None => {}
            Bits::Few(words) => self.each_in(words, literals, text, report),
            Bits::Many(words) => self.each_in(words, literals, text, report),
        }
    }

    #[inline]
    fn each_in<const N: usize>(
        &self,
        words: &[u32; N],
        literals: &Literals,
        text: &[u8],
        report: &mut impl FnMut(AtomId),
    ) {
        let step = self.step;
        let mut at = 0;
        while let Some(window) = text.get(at..).and_then(|rest| rest.first_chunk::<W>()) {
            let gram = gram(window);
            if is_set(words, gram) {
                self.verify(literals, text, at, gram, report);
            }
            at += step;
        }
    }

    #[inline(never)]
    fn verify(
        &self,
        literals: &Literals,
        text: &[u8],
        at: usize,
        gram: u32,
        report: &mut impl FnMut(AtomId),
    ) {
        for needle in self.buckets.get(u64::from(gram)) {
            let Some(from) = at.checked_sub(needle.offset as usize) else { continue };
            let literal = literals.get(needle);
            let stands = text[from..].get(..literal.len());
            if stands.is_some_and(|stands| stands.eq_ignore_ascii_case(literal)) {
                report(needle.atom);
            }
        }
    }
}

/// The word that holds the bit of a group, and the bit, to be taken modulo 32.
#[inline]
fn place<const N: usize>(gram: u32) -> (usize, u32) {
    const { assert!(N.is_power_of_two()) };
    let hash = gram.wrapping_mul(0x9E37_79B1);
    ((hash >> (32 - N.trailing_zeros())) as usize, hash >> 15)
}

#[inline]
fn is_set<const N: usize>(words: &[u32; N], gram: u32) -> bool {
    let (word, bit) = place::<N>(gram);
    words[word] >> (bit % 32) & 1 == 1
}

fn set<const N: usize>(words: &mut [u32; N], gram: u32) {
    let (word, bit) = place::<N>(gram);
    words[word] |= 1 << (bit % 32);
}

#[inline]
fn gram(window: &[u8]) -> u32 {
    let bytes = match *window {
        [a, b, c, d] => [a, b, c, d],
        [a, b, c] => [a, b, c, 0],
        [a, b] => [a, b, 0, 0],
        [a] => [a, 0, 0, 0],
        _ => [0; GRAM],
    };
    u32::from_le_bytes(bytes) | u32::from_le_bytes([BLIND; GRAM])
}

/// How often bytes occur in folded log text, roughly.
fn commonness(bytes: &[u8]) -> u32 {
    let one = |byte: &u8| match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 6,
        b'a'..=b'z' | b' ' => 4,
        b'0'..=b'9' | b'.' | b'\\' | b'/' | b'-' | b':' => 3,
        0..=127 => 2,
        _ => 1,
    };
    bytes.iter().map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a text must be what stands there, wherever it stands.
    fn check(literals: &[&str], text: &str) {
        let mut all = Literals::default();
        let needles: Vec<Needle> =
            literals.iter().zip(0..).map(|(text, atom)| all.add(text, 0, atom)).collect();
        let scan = Scan::new(&needles, &all);
        for from in 0..12.min(text.len()) {
            let text = &text.as_bytes()[from..];
            let folded = text.to_ascii_lowercase();
            let stands = |l: &&str| folded.windows(l.len()).any(|w| w == l.as_bytes());
            let expected: Vec<u32> =
                (0..).zip(literals).filter(|(_, l)| stands(l)).map(|(atom, _)| atom).collect();
            let mut have = Vec::new();
            scan.each(&all, text, &mut |atom| have.push(atom));
            assert!(have.is_empty() || text.len() >= scan.shortest());
            have.sort_unstable();
            have.dedup();
            assert_eq!(have, expected, "{literals:?} in {:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn every_literal_is_found_at_every_place() {
        let text = "C:\\Windows\\System32\\cmd.exe /c sekurlsa::logonpasswords aaaaaaaaaaaaab -EncodedCommand";
        check(&["sekurlsa::", "-encodedcommand", "\\system32\\"], text);
        check(&["sekurlsa::logon", "kerberos::golden"], text);
        check(&["cmd.e", "aaaaab", "mmand"], text);
        check(&["aaaa", "exe ", "c:\\w", "nope"], text);
        check(&["a", "::", "cmd", "/c s", "passwords", "x"], text);
        for step in 4..=16 {
            let literals: Vec<&str> =
                (0..text.len() - step).map(|at| &text[at..at + step]).collect();
            let folded: Vec<String> = literals.iter().map(|l| l.to_ascii_lowercase()).collect();
            check(&folded.iter().map(String::as_str).collect::<Vec<_>>(), text);
        }
    }
}
