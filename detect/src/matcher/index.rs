//! All literals asked of one field, decided together for one text.
//!
//! Texts are given folded, or in ASCII as they are: keys are made blind to bit 5 of every byte, which
//! tells upper from lower case, and what a key finds is compared without regard to ASCII case. So the
//! usual text is never copied. Reports a literal possibly more than once, and never one that does not
//! stand there.

use hashbrown::{HashMap, HashTable};

use crate::ir::Shape;

/// Number of an atom in its program.
pub(super) type AtomId = u32;

/// A literal in [`Literals::bytes`].
#[derive(Clone, Copy, Debug)]
struct Needle {
    start: u32,
    len: u32,
    /// Where in the needle its key stands; 0 for all but grams.
    offset: u32,
    atom: AtomId,
}

/// Texts and their atoms, joined in one allocation.
#[derive(Debug, Default)]
struct Literals {
    bytes: Vec<u8>,
}

impl Literals {
    fn add(&mut self, text: &str, offset: usize, atom: AtomId) -> Needle {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text.as_bytes());
        Needle { start, len: text.len() as u32, offset: offset as u32, atom }
    }

    #[inline]
    fn get(&self, needle: &Needle) -> &[u8] {
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
struct Buckets {
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
    fn new(mut keyed: Vec<(u64, Needle)>) -> Self {
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
    fn get(&self, key: u64) -> &[Needle] {
        match self.table.find(mix(key), |b| b.key == key) {
            Some(bucket) => &self.needles[bucket.first as usize..][..bucket.count as usize],
            None => &[],
        }
    }

    fn is_empty(&self) -> bool {
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
const BLIND: u8 = 0x20;

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

/// Substrings that are found by one group of `W` bytes of theirs.
#[derive(Debug, Default)]
struct Grams<const W: usize> {
    /// One bit per hash of a group: clear means that no needle has it.
    bits: Box<[u64]>,
    shift: u32,
    buckets: Buckets,
}

impl<const W: usize> Grams<W> {
    fn new(keyed: Vec<(u64, Needle)>) -> Self {
        if keyed.is_empty() {
            return Self::default();
        }
        let size = (keyed.len() * 32).next_power_of_two().clamp(1 << 9, 1 << 18);
        let shift = 32 - size.trailing_zeros();
        let mut bits = vec![0_u64; size / 64].into_boxed_slice();
        for (key, _) in &keyed {
            let bit = gram_hash(*key as u32, shift);
            bits[bit / 64] |= 1 << (bit % 64);
        }
        Self { bits, shift, buckets: Buckets::new(keyed) }
    }

    #[inline]
    fn each(&self, literals: &Literals, text: &[u8], report: &mut impl FnMut(AtomId)) {
        if self.buckets.is_empty() {
            return;
        }
        for (at, window) in text.windows(W).enumerate() {
            let gram = gram(window);
            let bit = gram_hash(gram, self.shift);
            if self.bits[bit / 64] >> (bit % 64) & 1 == 0 {
                continue;
            }
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
}

#[inline]
fn gram_hash(gram: u32, shift: u32) -> usize {
    (gram.wrapping_mul(0x9E37_79B1) >> shift) as usize
}

#[inline]
fn gram(window: &[u8]) -> u32 {
    let bytes = match *window {
        [a, b, c, d] => [a, b, c, d],
        [a, b, c] => [a, b, c, 0],
        [a, b] => [a, b, 0, 0],
        [a] => [a, 0, 0, 0],
        _ => [0; 4],
    };
    u32::from_le_bytes(bytes) | 0x2020_2020
}

/// Substrings.
#[derive(Debug, Default)]
struct Scan {
    four: Grams<4>,
    three: Grams<3>,
    two: Grams<2>,
    one: Grams<1>,
}

impl Scan {
    fn new(needles: &[Needle], literals: &Literals) -> Self {
        let mut uses: HashMap<u32, u32> = HashMap::new();
        for needle in needles {
            for window in literals.get(needle).windows(4) {
                *uses.entry(gram(window)).or_default() += 1;
            }
        }
        let mut keyed: [Vec<(u64, Needle)>; 4] = Default::default();
        for needle in needles {
            let text = literals.get(needle);
            let width = text.len().min(4);
            let cost = |window: &[u8]| {
                let shared = uses.get(&gram(window)).copied().unwrap_or(0);
                (shared, window.iter().map(|b| commonness(*b)).sum::<u32>())
            };
            let windows = text.windows(width).enumerate();
            let rarest = windows.min_by_key(|(_, window)| cost(window));
            let (offset, window) = rarest.expect("an empty literal is not sought");
            let needle = Needle { offset: offset as u32, ..*needle };
            keyed[width - 1].push((u64::from(gram(window)), needle));
        }
        let [one, two, three, four] = keyed;
        Self {
            four: Grams::new(four),
            three: Grams::new(three),
            two: Grams::new(two),
            one: Grams::new(one),
        }
    }
}

/// How often a byte occurs in folded log text, roughly.
fn commonness(byte: u8) -> u32 {
    match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 6,
        b'a'..=b'z' | b' ' => 4,
        b'0'..=b'9' | b'.' | b'\\' | b'/' | b'-' | b':' => 3,
        0..=127 => 2,
        _ => 1,
    }
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

    pub(super) fn build(self) -> TextIndex {
        let Self { literals, exact: equal, starts, ends, within } = self;
        let mut exact = Exact::default();
        for needle in equal {
            let hash = exact_hash(literals.get(&needle));
            exact.table.insert_unique(hash, (hash, needle), |(hash, _)| *hash);
        }
        TextIndex {
            exact,
            starts: Edges::new(&starts, &literals, false),
            ends: Edges::new(&ends, &literals, true),
            scan: Scan::new(&within, &literals),
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
    scan: Scan,
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

    /// Substrings.
    #[inline]
    pub(super) fn within(&self, text: &[u8], mut report: impl FnMut(AtomId)) {
        let Self { literals, scan, .. } = self;
        scan.four.each(literals, text, &mut report);
        scan.three.each(literals, text, &mut report);
        scan.two.each(literals, text, &mut report);
        scan.one.each(literals, text, &mut report);
    }
}
