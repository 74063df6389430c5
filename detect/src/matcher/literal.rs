//! Literal text without which a pattern or regular expression cannot match.
//!
//! Everything here is folded: a text that matches contains, when folded, one of the literals.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::fold::{fold_char, folded};
use crate::ir::{Part, Pattern, Regex, Shape};

/// Alternatives: one of them stands in every text that matches.
pub(super) type Required = Vec<(Shape, String)>;

/// Shorter literals of a regular expression stand almost everywhere and help nobody.
const REGEX_LITERAL_MIN: usize = 3;
const ALTERNATIVES_MAX: usize = 64;

/// The longest literal of a wildcard string.
pub(super) fn of_pattern(pattern: &Pattern) -> Option<Required> {
    let parts = pattern.parts();
    let literals = parts.iter().enumerate().filter_map(|(at, part)| match part {
        Part::Literal(text) => Some((at, text)),
        Part::Any | Part::One => None,
    });
    let (at, text) = literals.max_by_key(|(_, text)| text.len())?;
    let shape = match at {
        0 if parts.len() == 1 => Shape::Equals,
        0 => Shape::StartsWith,
        _ if at + 1 == parts.len() => Shape::EndsWith,
        _ => Shape::Contains,
    };
    Some(vec![(shape, folded(text))])
}

/// The most selective set of literals of a regular expression.
pub(super) fn of_regex(regex: &Regex) -> Option<Required> {
    let hir = ParserBuilder::new()
        .case_insensitive(regex.flags.ignore_case)
        .multi_line(regex.flags.multi_line)
        .dot_matches_new_line(regex.flags.dot_matches_line_break)
        .build()
        .parse(&regex.pattern)
        .ok()?;
    let texts = required(&hir)?;
    let useful = shortest(&texts) >= REGEX_LITERAL_MIN;
    useful.then(|| texts.into_iter().map(|text| (Shape::Contains, text)).collect())
}

fn shortest(texts: &[String]) -> usize {
    texts.iter().map(String::len).min().unwrap_or(0)
}

fn required(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => None,
        HirKind::Literal(_) | HirKind::Class(_) => single(hir).map(|text| vec![text]),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Repetition(_) => None,
        HirKind::Concat(parts) => of_sequence(parts),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(required(part)?);
                if all.len() > ALTERNATIVES_MAX {
                    return None;
                }
            }
            Some(all)
        }
    }
}

/// Adjacent pieces of fixed text are one literal.
fn of_sequence(parts: &[Hir]) -> Option<Vec<String>> {
    let mut best: Option<Vec<String>> = None;
    let mut offer = |texts: Vec<String>| {
        let rank = |texts: &[String]| (shortest(texts), usize::MAX - texts.len());
        if best.as_ref().is_none_or(|have| rank(&texts) > rank(have)) {
            best = Some(texts);
        }
    };
    let mut run = String::new();
    for part in parts {
        if let Some(text) = single(part) {
            run.push_str(&text);
            continue;
        }
        offer(vec![std::mem::take(&mut run)]);
        if let Some(texts) = required(part) {
            offer(texts);
        }
    }
    offer(vec![run]);
    best.filter(|texts| shortest(texts) > 0)
}

/// The folded text that the expression always is.
fn single(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok().map(folded),
        HirKind::Class(Class::Unicode(class)) => {
            const LETTER_FORMS_MAX: usize = 8;
            let size: usize = class.iter().map(|r| r.len()).sum();
            let chars = class.iter().flat_map(|r| r.start()..=r.end());
            let mut forms = chars.take(LETTER_FORMS_MAX + 1).map(fold_char);
            let first = forms.next()?;
            (size <= LETTER_FORMS_MAX && forms.all(|c| c == first)).then(|| first.to_string())
        }
        HirKind::Capture(capture) => single(&capture.sub),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
