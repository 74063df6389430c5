//! Payment card and US social security numbers.

use super::scan::{Kind, Span, closes, opens};

/// How people group the digits of a card, longest first.
const LAYOUTS: [&[usize]; 5] =
    [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 1]];

/// The card number whose first digit is at `start`, which no digit precedes.
pub(super) fn card(bytes: &[u8], start: usize) -> Option<Span> {
    if !opens(bytes, start) || digit_joined_before(bytes, start) {
        return None;
    }
    let run = bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count();
    let found = |end: usize| {
        let digits = bytes[start..end].iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0');
        let mut number = [0; 19];
        let mut len = 0;
        for (slot, digit) in number.iter_mut().zip(digits) {
            *slot = digit;
            len += 1;
        }
        let free = closes(bytes, end) && !digit_joined_after(bytes, end);
        (free && is_card(&number[..len])).then_some(Span { start, end, kind: Kind::Card })
    };
    match run {
        13..=19 => found(start + run),
        4 => LAYOUTS.iter().find_map(|groups| found(grouped(bytes, start, groups)?)),
        _ => None,
    }
}

/// End of digits grouped like this with one kind of separator.
fn grouped(bytes: &[u8], start: usize, groups: &[usize]) -> Option<usize> {
    let separator = *bytes.get(start + groups[0])?;
    if !matches!(separator, b' ' | b'-') {
        return None;
    }
    let mut at = start;
    for (i, group) in groups.iter().enumerate() {
        if i > 0 {
            if bytes.get(at) != Some(&separator) {
                return None;
            }
            at += 1;
        }
        if !bytes.get(at..at + group)?.iter().all(u8::is_ascii_digit) {
            return None;
        }
        at += group;
    }
    Some(at)
}

/// Issuer range, length, check digit.
fn is_card(digits: &[u8]) -> bool {
    let varied = digits.iter().any(|d| *d != digits[0]);
    varied && issued(digits) && luhn(digits)
}

fn issued(digits: &[u8]) -> bool {
    let len = digits.len();
    if len < 13 {
        return false;
    }
    let first = |n: usize| digits[..n].iter().fold(0_u32, |v, d| v * 10 + u32::from(*d));
    let (two, three, four) = (first(2), first(3), first(4));
    match digits[0] {
        4 => matches!(len, 13 | 16 | 19),         // Visa
        _ if matches!(two, 34 | 37) => len == 15, // American Express
        _ if matches!(two, 51..=55) || matches!(four, 2221..=2720) => len == 16, // Mastercard
        _ if matches!(two, 36 | 38 | 39) || matches!(three, 300..=305) || four == 3095 => {
            matches!(len, 14..=19) // Diners Club
        }
        _ if matches!(four, 3528..=3589) => len >= 16, // JCB
        _ if four == 6011 || two == 65 || matches!(three, 644..=649) => len >= 16, // Discover
        _ if two == 62 => len >= 16,                   // UnionPay
        _ => len >= 16 && matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763),
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| match (i % 2, *d * 2) {
            (0, _) => u32::from(*d),
            (_, doubled) => u32::from(doubled / 10 + doubled % 10),
        })
        .sum();
    sum.is_multiple_of(10)
}

/// How far before a number a word still explains it.
const CONTEXT_BYTES: usize = 40;

/// The social security number whose first digit is at `start`. Dashes speak for themselves; spaces
/// or nine bare digits need a word before them, a name, or to be the whole text of such a name.
pub(super) fn ssn(bytes: &[u8], start: usize, named: bool) -> Option<Span> {
    let (end, bare) = match bytes[start..] {
        [_, _, _, b'-', _, _, b'-', ..] => (start + 11, false),
        [_, _, _, b' ', _, _, b' ', ..] => (start + 11, true),
        _ => (start + 9, true),
    };
    let text = bytes.get(start..end)?;
    let digits = |range: std::ops::Range<usize>| {
        text[range]
            .iter()
            .try_fold(0_u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
    };
    let (area, group, serial) = if text.len() == 11 {
        (digits(0..3)?, digits(4..6)?, digits(7..11)?)
    } else {
        (digits(0..3)?, digits(3..5)?, digits(5..9)?)
    };
    let free = opens(bytes, start)
        && closes(bytes, end)
        && !digit_joined_before(bytes, start)
        && !digit_joined_after(bytes, end);
    let usable = free && assigned(area, group, serial) && (!bare || named || context(bytes, start));
    usable.then_some(Span { start, end, kind: Kind::Ssn })
}

/// Numbers that were never given to anybody, or only in advertisements, are not personal.
fn assigned(area: u32, group: u32, serial: u32) -> bool {
    let printed = matches!((area, group, serial), (78, 5, 1120) | (219, 9, 9999))
        || ((area, group) == (987, 65) && (4320..=4329).contains(&serial));
    !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0 && !printed
}

fn context(bytes: &[u8], start: usize) -> bool {
    let window = &bytes[start.saturating_sub(CONTEXT_BYTES)..start];
    // A pseudonym before the number is no context.
    let from = memchr::memrchr(b']', window).map_or(0, |i| i + 1);
    let window = window[from..].to_ascii_lowercase();
    let has = |word: &str| memchr::memmem::rfind(&window, word.as_bytes());
    let ssn = has("ssn").is_some_and(|i| opens_word(&window, i, 3));
    ssn || has("social security").is_some() || has("social_security").is_some()
}

/// `ssn`, not the middle of `classname`.
fn opens_word(window: &[u8], at: usize, len: usize) -> bool {
    let letter = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphabetic);
    !letter(at.checked_sub(1).and_then(|i| window.get(i))) && !letter(window.get(at + len))
}

/// Whether a JSON member's name says that it holds a social security number.
pub(super) fn names_an_ssn(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let parted = lower.split(|c: char| !c.is_ascii_alphabetic()).any(|part| part == "ssn");
    parted || lower.replace(['_', '-', ' '], "").contains("socialsecurity")
}

/// `1.4111…`, `12-4111…`: the tail of something longer.
fn digit_joined_before(bytes: &[u8], start: usize) -> bool {
    matches!(bytes[..start], [.., d, b'.' | b'-'] if d.is_ascii_digit())
}

fn digit_joined_after(bytes: &[u8], end: usize) -> bool {
    matches!(bytes[end..], [b'.' | b'-', d, ..] if d.is_ascii_digit())
}
