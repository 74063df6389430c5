//! The only source of chance: small, fast, seeded, and the same on every machine.
//!
//! Not for cryptography. Nothing here looks at a clock or at the operating system.

/// Scrambles 64 bits; a bijection (the finalizer of SplitMix64).
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Streams of different `(seed, stream)` are unrelated.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed.wrapping_add(STEP)) ^ mix(stream.wrapping_mul(STEP) ^ 0x5eed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `n`; `n` must not be 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// A number of `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// True in `percent` of 100 cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Appends hexadecimal digits.
    pub(crate) fn hex(&mut self, digits: usize, out: &mut String) {
        self.symbols(b"0123456789abcdef", 4, digits, out);
    }

    /// Appends letters and digits as AWS uses them in identifiers.
    pub(crate) fn base32(&mut self, digits: usize, out: &mut String) {
        self.symbols(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 5, digits, out);
    }

    fn symbols(&mut self, alphabet: &[u8], bits: u32, digits: usize, out: &mut String) {
        let per_word = (64 / bits) as usize;
        let mask = (1u64 << bits) - 1;
        let mut word = 0;
        for i in 0..digits {
            if i % per_word == 0 {
                word = self.next();
            }
            out.push(char::from(alphabet[(word & mask) as usize]));
            word >>= bits;
        }
    }
}

/// The provider's identity of event `n` of a run: 128 bits, never the same for two `n`.
pub(crate) fn event_id(seed: u64, n: u64) -> u128 {
    let high = mix(n.wrapping_mul(STEP).wrapping_add(seed));
    let low = mix(high ^ mix(seed ^ n));
    u128::from(high) << 64 | u128::from(low)
}

/// Appends an identity as a UUID of version 4. Six bits are fixed by the format.
pub(crate) fn uuid(id: u128, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let id = id & !(0xf << 76) | 4 << 76;
    let id = id & !(0b11 << 62) | 0b10 << 62;
    for i in 0..32 {
        if matches!(i, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(char::from(DIGITS[(id >> (124 - 4 * i) & 15) as usize]));
    }
}

/// Appends an identity as 32 hexadecimal digits.
pub(crate) fn hex128(id: u128, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for i in 0..32 {
        out.push(char::from(DIGITS[(id >> (124 - 4 * i) & 15) as usize]));
    }
}

/// Appends an identity as 22 characters of URL-safe base 64.
pub(crate) fn base64(id: u128, out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for i in 0..21 {
        out.push(char::from(DIGITS[(id >> (122 - 6 * i) & 63) as usize]));
    }
    out.push(char::from(DIGITS[((id << 4) & 63) as usize]));
}
