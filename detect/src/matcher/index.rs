//! All literals asked of one field, decided together for one text.
//!
//! Texts are given folded, or in ASCII as they are: keys are made blind to bit 5 of every byte, which
//! tells upper from lower case, and what a key finds is compared without regard to ASCII case. So the
//! usual text is never copied. Reports a literal possibly more than once, and never one that does not
//! stand there.

use hashbrown::HashTable;
use memchr::memmem;

use super::scan::Scan;
use crate::ir::Shape;

/// Number of an atom in its program.
pub(super) type AtomId = u32;

/// A literal in [`Literals::bytes`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Needle {
    pub(super) start: u32,
    pub(super) len: u32,
    /// Where in the needle its key stands; 0 for all but grams.
    pub(super) offset: u32,
    pub(super) atom: AtomId,
}

/// Texts and their atoms, joined in one allocation.
#[derive(Debug, Default)]
pub(super) struct Literals {
    bytes: Vec<u8>,
}

impl Literals {
    pub(super) fn add(&mut self, text: &str, offset: usize, atom: AtomId) -> Needle {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text.as_bytes());
        Needle { start, len: text.len() as u32, offset: offset as u32, atom }
    }

    #[inline]
    pub(super) fn get(&self, needle: &Needle) -> &[u8] {
        &self.bytes[needle.start as usize..][..needle.len as usize]
    }
}

/// Needles that share a key.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    key: u64,
    first: u32,
    count: u32,
}

/// Needles by key.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    table: HashTable<Bucket>,
    needles: Vec<Needle>,
}

#[inline]
fn mix(key: u64) -> u64 {
    // Fibonacci hashing; the high bits choose the group, the low bits the tag.
    let product = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ (product >> 32)
}

impl Buckets {
    pub(super) fn new(mut keyed: Vec<(u64, Needle)>) -> Self {
        keyed.sort_by_key(|(key, _)| *key);
        let mut buckets = Self::default();
        for group in keyed.chunk_by(|a, b| a.0 == b.0) {
            let first = buckets.needles.len() as u32;
            buckets.needles.extend(group.iter().map(|(_, needle)| *needle));
            let bucket = Bucket { key: group[0].0, first, count: group.len() as u32 };
            buckets.table.insert_unique(mix(bucket.key), bucket, |b| mix(b.key));
        }
        buckets
    }

    #[inline]
    pub(super) fn get(&self, key: u64) -> &[Needle] {
        match self.table.find(mix(key), |b| b.key == key) {
            Some(bucket) => &self.needles[bucket.first as usize..][..bucket.count as usize],
            None => &[],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }
}

/// Equality.
#[derive(Debug, Default)]
struct Exact {
    table: HashTable<(u64, Needle)>,
}

/// Of length, first and last bytes: few texts that differ share it, and none is read in full.
#[inline]
fn exact_hash(text: &[u8]) -> u64 {
    let width = match text.len() {
        0 => return 0,
        1..4 => 1,
        4..8 => 4,
        _ => 8,
    };
    let edge = |at_end| edge_key(text, width, at_end).unwrap_or(0);
    let middle = u64::from(text[text.len() / 2] | BLIND);
    let first = edge(false).wrapping_add(middle).wrapping_mul(0xA24B_AED4_963E_E407);
    mix(first.rotate_left(32) ^ edge(true) ^ (text.len() as u64).rotate_right(8))
}

/// The bit that tells upper from lower case in ASCII.
pub(super) const BLIND: u8 = 0x20;

/// Widths of the keys of beginnings and ends; a needle uses the widest that it fills.
const EDGE_WIDTHS: [usize; 3] = [8, 4, 1];

/// Beginnings or ends.
#[derive(Debug, Default)]
struct Edges {
    by_width: [Buckets; 3],
}

impl Edges {
    fn new(needles: &[Needle], literals: &Literals, at_end: bool) -> Self {
        let mut keyed: [Vec<(u64, Needle)>; 3] = Default::default();
        for needle in needles {
            let text = literals.get(needle);
            let fits = EDGE_WIDTHS.iter().position(|width| text.len() >= *width);
            let class = fits.expect("an empty literal is not put at an edge");
            let key = edge_key(text, EDGE_WIDTHS[class], at_end);
            keyed[class].push((key.expect("the needle is at least as wide"), *needle));
        }
        Self { by_width: keyed.map(Buckets::new) }
    }

    #[inline]
    fn each(
        &self,
        literals: &Literals,
        text: &[u8],
        at_end: bool,
        report: &mut impl FnMut(AtomId),
    ) {
        for (buckets, width) in self.by_width.iter().zip(EDGE_WIDTHS) {
            if buckets.is_empty() {
                continue;
            }
            let Some(key) = edge_key(text, width, at_end) else { continue };
            for needle in buckets.get(key) {
                let literal = literals.get(needle);
                let Some(room) = text.len().checked_sub(literal.len()) else { continue };
                let from = if at_end { room } else { 0 };
                if text[from..from + literal.len()].eq_ignore_ascii_case(literal) {
                    report(needle.atom);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.by_width.iter().all(Buckets::is_empty)
    }
}

#[inline]
fn edge_key(text: &[u8], width: usize, at_end: bool) -> Option<u64> {
    let edge = if at_end {
        text.len().checked_sub(width).map(|from| &text[from..])
    } else {
        text.get(..width)
    }?;
    Some(match *edge {
        [a] => u64::from(a | BLIND),
        [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d]) | 0x2020_2020),
        _ => u64::from_le_bytes(edge.try_into().ok()?) | 0x2020_2020_2020_2020,
    })
}

/// Collects literals of one field.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    literals: Literals,
    exact: Vec<Needle>,
    starts: Vec<Needle>,
    ends: Vec<Needle>,
    within: Vec<Needle>,
}

impl IndexBuilder {
    /// Adds a folded literal; only [`Shape::Equals`] may be empty.
    pub(super) fn add(&mut self, shape: Shape, text: &str, atom: AtomId) {
        let needle = self.literals.add(text, 0, atom);
        match shape {
            Shape::Equals => self.exact.push(needle),
            Shape::StartsWith => self.starts.push(needle),
            Shape::EndsWith => self.ends.push(needle),
            Shape::Contains => self.within.push(needle),
        }
    }

    /// The substrings: folded text and atom.
    pub(super) fn within(&self) -> impl Iterator<Item = (&[u8], AtomId)> {
        self.within.iter().map(|needle| (self.literals.get(needle), needle.atom))
    }

    /// `calls` tells whether a rule is registered under an atom.
    pub(super) fn build(self, calls: impl Fn(AtomId) -> bool) -> TextIndex {
        let Self { literals, exact: equal, starts, ends, within } = self;
        let mut exact = Exact::default();
        for needle in equal {
            let hash = exact_hash(literals.get(&needle));
            exact.table.insert_unique(hash, (hash, needle), |(hash, _)| *hash);
        }
        let (sought, others): (Vec<_>, Vec<_>) =
            within.into_iter().partition(|needle| calls(needle.atom));
        TextIndex {
            exact,
            starts: Edges::new(&starts, &literals, false),
            ends: Edges::new(&ends, &literals, true),
            sought: Scan::new(&sought, &literals),
            others: Scan::new(&others, &literals),
            literals,
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub(super) struct TextIndex {
    literals: Literals,
    exact: Exact,
    starts: Edges,
    ends: Edges,
    sought: Scan,
    others: Scan,
}

impl TextIndex {
    /// Equality, beginnings and ends.
    #[inline]
    pub(super) fn edges(&self, text: &[u8], mut report: impl FnMut(AtomId)) {
        let Self { literals, exact, starts, ends, .. } = self;
        if !exact.table.is_empty() {
            let hash = exact_hash(text);
            let same =
                |(h, n): &(u64, Needle)| *h == hash && literals.get(n).eq_ignore_ascii_case(text);
            if let Some((_, needle)) = exact.table.find(hash, same) {
                report(needle.atom);
            }
        }
        if !starts.is_empty() {
            starts.each(literals, text, false, &mut report);
        }
        if !ends.is_empty() {
            ends.each(literals, text, true, &mut report);
        }
    }

    /// The substrings that rules are registered under, or all others.
    #[inline]
    pub(super) fn scan(&self, sought: bool) -> Within<'_> {
        let scan = if sought { &self.sought } else { &self.others };
        Within { scan, literals: &self.literals }
    }
}

/// Some of the substrings of a [`TextIndex`].
#[derive(Clone, Copy)]
pub(super) struct Within<'i> {
    scan: &'i Scan,
    literals: &'i Literals,
}

/// Whether a letter that is not ASCII may fold to one that is: the Kelvin sign and the long s do.
fn folds_to_ascii(text: &str) -> bool {
    let stands = |letter: &str| memmem::find(text.as_bytes(), letter.as_bytes()).is_some();
    !text.is_ascii() && (stands("\u{212a}") || stands("\u{17f}"))
}

impl Within<'_> {
    /// Bytes of the shortest; a shorter text holds none.
    #[inline]
    pub(super) fn shortest(self) -> usize {
        self.scan.shortest()
    }

    /// Whether one more literal of that length would be found in the places that are looked at anyway.
    pub(super) fn takes(self, bytes: usize) -> bool {
        self.scan.takes(bytes)
    }

    /// Whether no value has any of them, given texts of which every text is a part. What folding could
    /// change, and what a number could spell, is not decided here.
    pub(super) fn is_absent(self, texts: [&str; 2]) -> bool {
        self.scan.is_wordy()
            && texts.iter().all(|text| {
                let mut found = folds_to_ascii(text);
                if !found {
                    self.each(text.as_bytes(), |_| found = true);
                }
                !found
            })
    }

    #[inline]
    pub(super) fn each(self, text: &[u8], mut report: impl FnMut(AtomId)) {
        self.scan.each(self.literals, text, &mut report);
    }
}

#[cfg(test)]
mod tests {
    use super::folds_to_ascii;
    use crate::fold::fold_char;

    #[test]
    fn letters_that_fold_to_ascii_are_known() {
        for letter in (char::MIN..=char::MAX).filter(|letter| !letter.is_ascii()) {
            let expected = fold_char(letter).is_ascii();
            assert_eq!(folds_to_ascii(letter.encode_utf8(&mut [0; 4])), expected, "{letter:?}");
        }
    }
}
