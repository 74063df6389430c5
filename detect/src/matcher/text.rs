//! The texts of values, folded where they have to be. ASCII is looked at as it is.

use std::fmt::Write as _;

use event::{Doc, Value};

use crate::fold::fold_char;

/// The folded text of a value: a range of an arena. Objects have none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    start: u32,
    len: u32,
}

const NO_TEXT: u32 = u32::MAX;

impl Entry {
    pub(super) fn text(self, arena: &str) -> Option<&str> {
        (self.start != NO_TEXT).then(|| &arena[self.start as usize..][..self.len as usize])
    }
}

/// The values that keywords look at.
pub(super) fn keywords<'d, 'a>(doc: &'d Doc<'a>) -> impl Iterator<Item = Value<'a>> + use<'d, 'a> {
    doc.leaves().filter(|value| !matches!(value, Value::Null | Value::Bool(_)))
}

/// Whether a value's folded text is certainly shorter than that.
#[inline]
pub(super) fn too_short(value: Value<'_>, bytes: usize) -> bool {
    match value {
        // Folding makes two bytes of a letter three at most.
        Value::Str(text) => text.len() < bytes && (text.len() * 2 < bytes || text.is_ascii()),
        Value::I64(n) if bytes <= 18 => n >= 0 && n < 10_i64.pow(bytes.saturating_sub(1) as u32),
        _ => false,
    }
}

/// Shows a value's text as [`super::index`] wants it: ASCII as it is, all else folded. Objects have
/// none.
#[inline]
pub(super) fn with_text(value: Value<'_>, arena: &mut String, mut look: impl FnMut(&[u8])) {
    if let Value::Str(text) = value
        && text.is_ascii()
    {
        return look(text.as_bytes());
    }
    let before = arena.len();
    if let Some(text) = fold(value, arena).text(arena) {
        look(text.as_bytes());
    }
    arena.truncate(before);
}

/// Appends a value's folded text to the arena.
pub(super) fn fold(value: Value<'_>, arena: &mut String) -> Entry {
    let start = arena.len();
    match value {
        Value::Str(text) if text.is_ascii() => {
            arena.push_str(text);
            arena[start..].make_ascii_lowercase();
        }
        Value::Str(text) => arena.extend(text.chars().map(fold_char)),
        Value::I64(n) => fold_whole(n < 0, n.unsigned_abs(), arena),
        Value::U64(n) => fold_whole(false, n, arena),
        Value::Bool(b) => arena.push_str(if b { "true" } else { "false" }),
        Value::F64(n) => fold_float(n, arena),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Entry { start: NO_TEXT, len: 0 };
        }
    }
    let end = arena.len();
    // Records are far smaller than 4 GiB; one that is not has no text beyond it.
    match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) if end < NO_TEXT => Entry { start, len: end - start },
        _ => Entry { start: NO_TEXT, len: 0 },
    }
}

/// A whole number, digit by digit: formatting takes longer than everything else about it.
fn fold_whole(negative: bool, mut n: u64, arena: &mut String) {
    let mut digits = [0_u8; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    if negative {
        arena.push('-');
    }
    arena.push_str(std::str::from_utf8(&digits[first..]).unwrap_or_default());
}

fn put(arena: &mut String, value: impl std::fmt::Display) {
    let written = write!(arena, "{value}");
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}

/// As [`crate::value::text_of`] writes it, without its detour for numbers of ordinary size.
fn fold_float(n: f64, arena: &mut String) {
    let ordinary = 1e-15..1e30;
    if n == 0.0 {
        arena.push('0');
    } else if ordinary.contains(&n.abs()) {
        put(arena, n);
    } else if let Some(text) = crate::value::text_of(Value::F64(n)) {
        arena.extend(text.chars().map(fold_char));
    }
}
