//! What a person is known by, found and blotted out in text: in whatever case, as whole words, and behind the
//! escapes of JSON and URLs, however often they were put on top of each other.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

use super::super::super::error::{Error, Kind};

/// Stands where a value of the person stood.
pub const ERASED: &str = "[erased]";

const CHARS_MIN: usize = 3;
const CHARS_MAX: usize = 256;
/// Escapes on top of each other that are undone.
const LEVELS_MAX: usize = 4;

/// The values that a person is known by: an e-mail address, a user name, an IP address.
#[derive(Clone)]
pub struct Person {
    /// In lower case.
    values: Vec<Vec<char>>,
    /// Those that are whole numbers.
    pub(super) numbers: Vec<i64>,
    longest: usize,
}

/// Never shows whom.
impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person(***)")
    }
}

impl Person {
    /// # Errors
    /// [`Kind::Options`] when there is none, or one is so short that it is found everywhere. It does not repeat
    /// the value.
    pub fn new<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        let (mut lowered, mut numbers) = (Vec::new(), Vec::new());
        for value in values {
            let value = value.as_ref().trim();
            let chars: Vec<char> = value.chars().map(lower).collect();
            if !(CHARS_MIN..=CHARS_MAX).contains(&chars.len()) {
                let what = format!("a value to erase has {CHARS_MIN} to {CHARS_MAX} characters");
                return Err(Error::new(Kind::Options, what));
            }
            numbers.extend(value.parse::<i64>().ok().filter(|n| n.to_string() == value));
            lowered.push(chars);
        }
        let Some(longest) = lowered.iter().map(Vec::len).max() else {
            return Err(Error::new(Kind::Options, "no value to erase is given"));
        };
        Ok(Self { values: lowered, numbers, longest })
    }

    /// The text without the person; borrowed when it says nothing of them.
    pub(super) fn blot<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let found = self.find(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
        for Range { start, end } in found {
            out.push_str(&text[copied..start]);
            // A bare number in JSON stays a value of JSON.
            let bare = is_number(&text[start..end]) && stands_bare(&text[..start], &text[end..]);
            out.push_str(if bare { "null" } else { ERASED });
            copied = end;
        }
        out.push_str(&text[copied..]);
        Cow::Owned(out)
    }

    /// Where it does, in order and without overlaps.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let plain = text.char_indices().map(|(at, c)| Unit { c, at, end: at + c.len_utf8() });
        self.find_in(plain, &mut found);
        if !text.contains(['\\', '%']) {
            return found;
        }
        for level in 1..=LEVELS_MAX {
            let changed = Cell::new(false);
            let plain = text.char_indices().map(|(at, c)| Unit { c, at, end: at + c.len_utf8() });
            let mut units: Box<dyn Iterator<Item = Unit>> = Box::new(plain);
            for n in 1..=level {
                let changed = (n == level).then_some(&changed);
                units = Box::new(Unescaped { of: units, held: VecDeque::new(), changed });
            }
            self.find_in(units, &mut found);
            if !changed.get() {
                break;
            }
        }
        found.sort_unstable_by_key(|range| (range.start, range.end));
        found.dedup_by(|next, before| {
            let overlap = next.start < before.end;
            if overlap {
                before.end = before.end.max(next.end);
            }
            overlap
        });
        found
    }

    fn find_in(&self, units: impl Iterator<Item = Unit>, found: &mut Vec<Range<usize>>) {
        let mut units = units.fuse();
        let mut window: VecDeque<Unit> = VecDeque::new();
        // The two characters before the window, the nearer one first.
        let mut before = [None, None];
        loop {
            // Two more than the longest value tell whether it goes on.
            while window.len() < self.longest + 2 {
                let Some(unit) = units.next() else { break };
                window.push_back(unit);
            }
            let Some(first) = window.front() else { return };
            let hit = self.longest_at(&window, before);
            if let Some(len) = hit {
                found.push(first.at..window[len - 1].end);
            }
            for unit in window.drain(..hit.unwrap_or(1)) {
                before = [Some(unit.c), before[0]];
            }
        }
    }

    /// The length of the longest value that the window begins with.
    fn longest_at(&self, window: &VecDeque<Unit>, before: [Option<char>; 2]) -> Option<usize> {
        let first = lower(window.front()?.c);
        let stands = |value: &&Vec<char>| {
            value[0] == first
                && value.len() <= window.len()
                && value.iter().zip(window).all(|(c, unit)| *c == lower(unit.c))
                && !goes_on(value[0], before)
                && !goes_on(
                    value[value.len() - 1],
                    [value.len(), value.len() + 1].map(|n| Some(window.get(n)?.c)),
                )
        };
        self.values.iter().filter(stands).map(Vec::len).max()
    }
}

/// One character, and where it stands in the text, perhaps as an escape.
#[derive(Clone, Copy, Debug)]
struct Unit {
    c: char,
    at: usize,
    end: usize,
}

/// Whether a word whose last character is `end` goes on with the next two: `bob.smith` is not `bob`, and
/// `bob.` is.
fn goes_on(end: char, next: [Option<char>; 2]) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    if !is_word(end) {
        return false;
    }
    match next {
        [Some('.' | '-' | '+'), Some(further)] => is_word(further),
        [Some(c), _] => is_word(c),
        [None, _] => false,
    }
}

/// One character for one, so that lengths agree.
fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn stands_bare(before: &str, after: &str) -> bool {
    before.trim_end().ends_with([':', '[', ',']) && after.trim_start().starts_with([',', ']', '}'])
}

/// Undoes one layer of the escapes of JSON strings (RFC 8259 section 7) and URLs (RFC 3986 section 2.1). What is
/// no escape stays.
struct Unescaped<'c, I: Iterator<Item = Unit>> {
    of: I,
    /// Read ahead in vain.
    held: VecDeque<Unit>,
    /// Set when there was an escape.
    changed: Option<&'c Cell<bool>>,
}

impl<I: Iterator<Item = Unit>> Unescaped<'_, I> {
    /// The `n`th of those to come.
    fn ahead(&mut self, n: usize) -> Option<Unit> {
        while self.held.len() <= n {
            self.held.push_back(self.of.next()?);
        }
        self.held.get(n).copied()
    }

    /// A number of so many hexadecimal digits, from the `n`th of those to come.
    fn hex(&mut self, n: usize, digits: usize) -> Option<u32> {
        (n..n + digits).try_fold(0, |all, n| Some(all << 4 | self.ahead(n)?.c.to_digit(16)?))
    }

    /// The character that an escape stands for, and how many follow its first.
    fn escaped(&mut self, first: char) -> Option<(char, usize)> {
        match first {
            '\\' => self.json(),
            '%' => self.percent(),
            _ => None,
        }
    }

    fn json(&mut self) -> Option<(char, usize)> {
        let c = match self.ahead(0)?.c {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.utf16(),
            _ => return None,
        };
        Some((c, 1))
    }

    fn utf16(&mut self) -> Option<(char, usize)> {
        let first = self.hex(1, 4)?;
        if let Some(c) = char::from_u32(first) {
            return Some((c, 5));
        }
        let is_pair = self.ahead(5)?.c == '\\' && self.ahead(6)?.c == 'u';
        let second = self.hex(7, 4).filter(|n| is_pair && (0xdc00..0xe000).contains(n))?;
        let high = first.checked_sub(0xd800).filter(|high| *high < 0x400)?;
        Some((char::from_u32(0x1_0000 + (high << 10) + (second - 0xdc00))?, 11))
    }

    fn percent(&mut self) -> Option<(char, usize)> {
        let byte = |n: u32| u8::try_from(n).ok();
        let mut bytes = vec![byte(self.hex(0, 2)?)?];
        let len = match bytes[0] {
            0..0x80 => 1,
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf8 => 4,
            _ => return None,
        };
        for n in 1..len {
            if self.ahead(3 * n - 1)?.c != '%' {
                return None;
            }
            bytes.push(byte(self.hex(3 * n, 2)?)?);
        }
        Some((std::str::from_utf8(&bytes).ok()?.chars().next()?, 3 * len - 1))
    }
}

impl<I: Iterator<Item = Unit>> Iterator for Unescaped<'_, I> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        let first = self.held.pop_front().or_else(|| self.of.next())?;
        let Some((c, more)) = self.escaped(first.c) else { return Some(first) };
        if let Some(changed) = self.changed {
            changed.set(true);
        }
        let last = self.held.drain(..more).next_back();
        Some(Unit { c, at: first.at, end: last.map_or(first.end, |last| last.end) })
    }
}

#[cfg(test)]
mod tests;
