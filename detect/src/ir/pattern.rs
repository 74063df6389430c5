//! Sigma's wildcard strings. Matching takes time linear in the text for each star, never more: a
//! star that has been passed is never tried again.

use crate::fold::folded;

/// A piece of a wildcard string.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Literal(Box<str>),
    /// `*`: any text, also none, also line breaks.
    Any,
    /// `?`: exactly one character.
    One,
}

/// A wildcard string that spans the whole text. Adjacent literals are joined, adjacent stars are
/// one, and in a run of wildcards the `?` come before the star.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    parts: Vec<Part>,
    /// Literals are folded unless the comparison is case-sensitive.
    cased: bool,
}

impl Pattern {
    /// Brings parts into normal form, folding the literals unless `cased`.
    pub fn new(parts: impl IntoIterator<Item = Part>, cased: bool) -> Self {
        let mut out: Vec<Part> = Vec::new();
        for part in parts {
            match (out.last_mut(), part) {
                (_, Part::Literal(text)) if text.is_empty() => {}
                (Some(Part::Literal(last)), Part::Literal(text)) => {
                    *last = format!("{last}{text}").into();
                }
                (Some(Part::Any), Part::Any) => {}
                (Some(Part::Any), Part::One) => out.insert(out.len() - 1, Part::One),
                (_, part) => out.push(part),
            }
        }
        if !cased {
            for part in &mut out {
                if let Part::Literal(text) = part {
                    *text = folded(text).into();
                }
            }
        }
        Self { parts: out, cased }
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Whether case matters. If not, [`Pattern::matches`] expects folded text.
    pub fn cased(&self) -> bool {
        self.cased
    }

    /// Whether the whole text fits; `text` is folded unless [`Pattern::cased`].
    pub fn matches(&self, text: &str) -> bool {
        // Where to go on when what follows the last star does not fit: the part after the star and
        // the text from which it was tried.
        let mut retry: Option<(usize, &str)> = None;
        let (mut at, mut rest) = (0, text);
        loop {
            let step = match self.parts.get(at) {
                None if rest.is_empty() => return true,
                None => None,
                Some(Part::Any) if at + 1 == self.parts.len() => return true,
                Some(Part::Any) => {
                    retry = Some((at + 1, rest));
                    Some(rest)
                }
                Some(Part::One) => after_first_char(rest),
                Some(Part::Literal(literal)) => rest.strip_prefix(&**literal),
            };
            if let Some(next) = step {
                (at, rest) = (at + 1, next);
                continue;
            }
            let Some((again, from)) = retry else { return false };
            let Some(from) = self.next_try(again, from) else { return false };
            retry = Some((again, from));
            (at, rest) = (again, from);
        }
    }

    /// The next text, one character or more further on, at which the part `at` could begin.
    fn next_try<'t>(&self, at: usize, from: &'t str) -> Option<&'t str> {
        let from = after_first_char(from)?;
        match &self.parts[at] {
            Part::Literal(literal) => from.find(&**literal).map(|found| &from[found..]),
            Part::Any | Part::One => Some(from),
        }
    }
}

fn after_first_char(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    chars.next().map(|_| chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(
            text.chars().map(|c| match c {
                '*' => Part::Any,
                '?' => Part::One,
                c => Part::Literal(c.to_string().into()),
            }),
            false,
        )
    }

    /// The definition, exponential, for short texts only.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(('*', rest)), None) => slow(rest, text),
            (Some(('*', rest)), Some((_, tail))) => slow(rest, text) || slow(pattern, tail),
            (Some(('?', rest)), Some((_, tail))) => slow(rest, tail),
            (Some((p, rest)), Some((t, tail))) => p == t && slow(rest, tail),
            (Some(_), None) => false,
        }
    }

    #[test]
    fn whole_text() {
        for (p, text, expected) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("a*b*c", "a\nb\r\nc", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*a*a*b", "aaaab", true),
            ("?*?", "a", false),
            ("?*?", "ab", true),
        ] {
            assert_eq!(pattern(p).matches(text), expected, "{p} {text:?}");
        }
    }

    #[test]
    fn normal_form() {
        let parts = pattern("**?*AB");
        assert_eq!(parts.parts(), [Part::One, Part::Any, Part::Literal("ab".into())]);
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let p = pattern(&"*a".repeat(500));
        let text = "a".repeat(100_000) + "b";
        assert!(!p.matches(&text));
        let p = pattern(&format!("*{}b", "?".repeat(50)));
        assert!(!p.matches(&"a".repeat(20_000)));
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_definition(p in "[ab?*]{0,8}", text in "[ab]{0,10}") {
            let (ps, ts): (Vec<char>, Vec<char>) = (p.chars().collect(), text.chars().collect());
            proptest::prop_assert_eq!(pattern(&p).matches(&text), slow(&ps, &ts));
        }
    }
}
