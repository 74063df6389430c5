//! Finds where plain text inside a JSON string ends.

/// The first quote, backslash or control character at or after `at`; the length of `bytes` if there is
/// none.
#[inline(always)]
pub(super) fn end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let found = special(chunk);
        if found != 0 {
            return at + found.trailing_zeros() as usize / BITS;
        }
        at += WIDTH;
    }
    tail(bytes, at)
}

#[inline(never)]
fn tail(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let plain = |b: &u8| !matches!(b, b'"' | b'\\' | 0..0x20);
    at + rest.iter().take_while(|b| plain(b)).count()
}

#[cfg(target_arch = "x86_64")]
use sse2::{BITS, WIDTH, special};
#[cfg(not(target_arch = "x86_64"))]
use swar::{BITS, WIDTH, special};

/// Sixteen bytes at once, with what every x86-64 processor has.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
        _mm_set1_epi8,
    };

    pub(super) const WIDTH: usize = 16;
    /// Of the answer, per byte.
    pub(super) const BITS: usize = 1;

    /// A bit for each byte that does not stand for itself in a string.
    #[inline(always)]
    pub(super) fn special(chunk: &[u8; WIDTH]) -> u32 {
        // SAFETY: the function asks for SSE2 and nothing else, and SSE2 is part of x86-64.
        #[allow(unsafe_code)]
        unsafe {
            compare(chunk)
        }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn compare(chunk: &[u8; WIDTH]) -> u32 {
        let [a, b, c, d, e, f, g, h, rest @ ..] = *chunk;
        let low = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let text = _mm_set_epi64x(i64::from_le_bytes(rest), low);
        let quote = _mm_cmpeq_epi8(text, _mm_set1_epi8(b'"' as i8));
        let backslash = _mm_cmpeq_epi8(text, _mm_set1_epi8(b'\\' as i8));
        let control = _mm_cmpeq_epi8(_mm_min_epu8(text, _mm_set1_epi8(0x1f)), text);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control)) as u32
    }
}

/// Eight bytes in a word, for every other processor.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod swar {
    pub(super) const WIDTH: usize = 8;
    pub(super) const BITS: usize = 8;

    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;

    /// The highest bit of each byte that does not stand for itself in a string. Bytes after the first
    /// of them may be wrong.
    #[inline(always)]
    pub(super) fn special(chunk: &[u8; WIDTH]) -> u64 {
        let text = u64::from_le_bytes(*chunk);
        let below = |text: u64, limit: u8| text.wrapping_sub(LOW * u64::from(limit)) & !text & HIGH;
        let is = |byte: u8| below(text ^ (LOW * u64::from(byte)), 1);
        is(b'"') | is(b'\\') | below(text, 0x20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_byte_that_is_not_plain() {
        for at in 0..40 {
            for byte in 0..=255 {
                let mut bytes = vec![b'\xc3'; 40];
                bytes[at] = byte;
                let plain = !matches!(byte, b'"' | b'\\' | 0..0x20);
                assert_eq!(end(&bytes, 0), if plain { 40 } else { at }, "{byte} at {at}");
            }
        }
        assert_eq!(end(b"\"", 3), 3);
    }

    #[test]
    fn both_widths_agree() {
        let mut state = 1_u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let eight = (state ^ state >> 29).to_le_bytes();
            let expected = eight.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20));
            let word = swar::special(&eight);
            let have = (word != 0).then(|| word.trailing_zeros() as usize / swar::BITS);
            assert_eq!(have, expected, "{eight:?}");
        }
    }
}
