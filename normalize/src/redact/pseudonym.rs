//! Keyed pseudonyms: `[KIND:XXXXXX]`, the first 30 bits of HMAC-SHA256 in base 32.

use std::fmt;

use event::Secret;
use ring::hmac;

/// RFC 4648's alphabet.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Characters after the colon.
pub(super) const CODE_LEN: usize = 6;

pub(super) struct Pseudonyms {
    key: hmac::Key,
}

/// Never shows the key.
impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(***)")
    }
}

impl Pseudonyms {
    pub(super) fn new(key: &Secret) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()) }
    }

    /// Appends the pseudonym of a canonical value. Values of different kinds are unrelated.
    pub(super) fn write(&self, kind: &str, value: &str, out: &mut String) {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(kind.as_bytes());
        context.update(&[0]);
        context.update(value.as_bytes());
        let tag = context.sign();
        let mut first = [0; 4];
        first.copy_from_slice(&tag.as_ref()[..4]);
        let bits = u32::from_be_bytes(first) >> 2;
        out.push('[');
        out.push_str(kind);
        out.push(':');
        for place in (0..CODE_LEN as u32).rev() {
            out.push(BASE32[(bits >> (5 * place)) as usize & 31] as char);
        }
        out.push(']');
    }
}

/// Length of the code and bracket that close a pseudonym, when `rest` starts with them.
pub(super) fn tail(rest: &[u8]) -> Option<usize> {
    let code = rest.get(..CODE_LEN)?;
    let closes = rest.get(CODE_LEN) == Some(&b']') && code.iter().all(|b| BASE32.contains(b));
    closes.then_some(CODE_LEN + 1)
}
