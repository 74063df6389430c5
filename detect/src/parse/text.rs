//! Sigma strings on their way through a chain of modifiers: escapes and wildcards are read first,
//! modifiers work on what came of it, so that a literal backslash at the end of `'\temp\'` never
//! escapes the star that `startswith` adds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ir::{Part, Pattern, Shape, Test, TextTest};

/// A string with its wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Text {
    pub parts: Vec<Part>,
}

/// One value may become this many alternatives, no more.
pub const ALTERNATIVES_MAX: usize = 1000;

impl Text {
    /// Reads escapes and wildcards: `\*`, `\?` and `\\` are one literal character each, any other
    /// backslash is itself.
    pub fn parse(raw: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = raw.chars().peekable();
        while let Some(c) = chars.next() {
            let wildcard = match c {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => {
                    let escaped = chars.next_if(|next| matches!(next, '*' | '?' | '\\'));
                    literal.push(escaped.unwrap_or('\\'));
                    continue;
                }
                c => {
                    literal.push(c);
                    continue;
                }
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(wildcard);
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Self { parts }
    }

    /// Text without wildcards.
    pub fn literal(text: &str) -> Self {
        let literal = (!text.is_empty()).then(|| Part::Literal(text.into()));
        Self { parts: literal.into_iter().collect() }
    }

    /// With stars at the ends, as `contains`, `startswith` and `endswith` ask for.
    pub fn starred(mut self, before: bool, after: bool) -> Self {
        if before {
            self.parts.insert(0, Part::Any);
        }
        if after {
            self.parts.push(Part::Any);
        }
        self
    }

    /// The text if there is no wildcard in it.
    pub fn plain(&self) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Any | Part::One => return None,
            }
        }
        Some(out)
    }

    /// Every permutation of the dashes that begin a command line flag: those not preceded but
    /// followed by a letter, digit or underscore. `None` when there are too many.
    pub fn windash(&self) -> Option<Vec<Self>> {
        const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let mut out = vec![Self::default()];
        for part in &self.parts {
            let Part::Literal(literal) = part else {
                out.iter_mut().for_each(|text| text.parts.push(part.clone()));
                continue;
            };
            let mut tails = vec![String::new()];
            let mut before = None;
            let mut chars = literal.chars().peekable();
            while let Some(c) = chars.next() {
                let flag = DASHES.contains(&c)
                    && !before.is_some_and(word)
                    && chars.peek().copied().is_some_and(word);
                if flag {
                    let each = |tail: &String| DASHES.map(|dash| format!("{tail}{dash}"));
                    tails = tails.iter().flat_map(each).collect();
                    if tails.len() * out.len() > ALTERNATIVES_MAX {
                        return None;
                    }
                } else {
                    tails.iter_mut().for_each(|tail| tail.push(c));
                }
                before = Some(c);
            }
            let extended = |text: &Self| {
                let mut grown = Vec::with_capacity(tails.len());
                for tail in &tails {
                    let mut copy = text.clone();
                    copy.parts.push(Part::Literal(tail.as_str().into()));
                    grown.push(copy);
                }
                grown
            };
            out = out.iter().flat_map(extended).collect();
            if out.len() > ALTERNATIVES_MAX {
                return None;
            }
        }
        Some(out)
    }

    /// The predicate on a value's whole text.
    pub fn into_test(self, cased: bool) -> Test {
        let pattern = Pattern::new(self.parts, cased);
        let (shape, text) = match pattern.parts() {
            [] => (Shape::Equals, ""),
            [Part::Literal(text)] => (Shape::Equals, &**text),
            [Part::Literal(text), Part::Any] => (Shape::StartsWith, &**text),
            [Part::Any, Part::Literal(text)] => (Shape::EndsWith, &**text),
            [Part::Any, Part::Literal(text), Part::Any] => (Shape::Contains, &**text),
            _ => return Test::Pattern(pattern),
        };
        Test::Text(TextTest { shape, text: text.into(), cased })
    }
}

/// UTF-16 of a text. `mark` puts a byte order mark in front.
pub fn utf16(text: &str, little_endian: bool, mark: bool) -> Vec<u8> {
    let units = mark.then_some(0xFEFF).into_iter().chain(text.encode_utf16());
    units.flat_map(|u| if little_endian { u.to_le_bytes() } else { u.to_be_bytes() }).collect()
}

/// Base64 of the bytes.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// What of the bytes is certain to be seen inside a longer Base64 text, for each of the three places
/// where they can begin.
pub fn base64_offsets(bytes: &[u8]) -> [String; 3] {
    [0_usize, 1, 2].map(|shift| {
        let shifted: Vec<u8> =
            std::iter::repeat_n(b' ', shift).chain(bytes.iter().copied()).collect();
        let encoded = STANDARD.encode(&shifted);
        // Characters that also depend on the bytes before and after are cut off.
        let start = [0, 2, 3][shift];
        let cut = [0, 3, 2][shifted.len() % 3];
        encoded.get(start..encoded.len() - cut).unwrap_or("").to_owned()
    })
}

/// Splits `%name%` placeholders out of a text: literal text and names in turn, text first.
pub fn placeholders(raw: &str) -> Vec<(bool, &str)> {
    let mut out = Vec::new();
    let mut rest = raw;
    while let Some(start) = rest.find('%') {
        let after = &rest[start + 1..];
        let len = after.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')));
        match len {
            Some(len) if len > 0 && after[len..].starts_with('%') => {
                out.push((false, &rest[..start]));
                out.push((true, &after[..len]));
                rest = &after[len + 1..];
            }
            _ => {
                out.push((false, &rest[..=start]));
                rest = after;
            }
        }
    }
    out.push((false, rest));
    out.retain(|(is_name, text)| *is_name || !text.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &Text) -> String {
        let part = |p: &Part| match p {
            Part::Literal(l) => format!("<{l}>"),
            Part::Any => "*".into(),
            Part::One => "?".into(),
        };
        text.parts.iter().map(part).collect()
    }

    #[test]
    fn escapes_and_wildcards() {
        for (raw, expected) in [
            (r"a*b?c", r"<a>*<b>?<c>"),
            (r"\*", r"<*>"),
            (r"\?", r"<?>"),
            (r"\\*", r"<\>*"),
            (r"\\\*", r"<\*>"),
            (r"\\\\", r"<\\>"),
            (r"\\\\*", r"<\\>*"),
            (r"\temp\", r"<\temp\>"),
            (r"\\temp", r"<\temp>"),
            (r"C:\Windows\*\x", r"<C:\Windows*\x>"),
            (r"C:\Windows\\*\x", r"<C:\Windows\>*<\x>"),
            ("", ""),
        ] {
            assert_eq!(shown(&Text::parse(raw)), expected, "{raw}");
        }
    }

    #[test]
    fn a_trailing_backslash_does_not_escape_the_added_star() {
        let test = Text::parse(r"\temp\").starred(false, true).into_test(false);
        let expected = TextTest { shape: Shape::StartsWith, text: r"\temp\".into(), cased: false };
        assert_eq!(test, Test::Text(expected));
    }

    #[test]
    fn dashes_of_flags_are_permuted() {
        let count = |raw: &str| Text::parse(raw).windash().map(|all| all.len());
        for (raw, expected) in [
            ("-enc", Some(5)),
            (" /c x", Some(5)),
            ("a-b", Some(1)),
            (" -a -b", Some(25)),
            ("- x", Some(1)),
            ("x*-a", Some(5)),
            ("-a -b -c -d -e", None),
            ("", Some(1)),
        ] {
            assert_eq!(count(raw), expected, "{raw}");
        }
        let all = Text::parse("-a").windash().unwrap();
        let texts: Vec<_> = all.iter().filter_map(Text::plain).collect();
        assert_eq!(texts, ["-a", "/a", "\u{2013}a", "\u{2014}a", "\u{2015}a"]);
    }

    #[test]
    fn base64_of_any_offset_is_found() {
        for needle in ["/bin/bash", "foo", "ab", "http://", "é"] {
            let offsets = base64_offsets(needle.as_bytes());
            for before in 0..7 {
                for after in 0..4 {
                    let text = format!("{}{needle}{}", "x".repeat(before), "y".repeat(after));
                    let encoded = base64(text.as_bytes());
                    assert!(encoded.contains(&offsets[before % 3]), "{needle} {before} {after}");
                }
            }
        }
        assert_eq!(base64_offsets(b"/bin/bash"), ["L2Jpbi9iYXNo", "9iaW4vYmFza", "vYmluL2Jhc2"]);
    }

    #[test]
    fn utf16_forms() {
        assert_eq!(utf16("aé", true, false), b"a\0\xe9\0");
        assert_eq!(utf16("a", false, false), b"\0a");
        assert_eq!(utf16("a", true, true), b"\xff\xfea\0");
    }

    #[test]
    fn placeholders_are_found() {
        let name = |n| (true, n);
        let text = |t| (false, t);
        for (raw, expected) in [
            ("%a%", vec![name("a")]),
            ("x%a%y%b%", vec![text("x"), name("a"), text("y"), name("b")]),
            ("100%", vec![text("100%")]),
            ("%a b%", vec![text("%"), text("a b%")]),
            ("%%", vec![text("%"), text("%")]),
        ] {
            assert_eq!(placeholders(raw), expected, "{raw}");
        }
    }
}
