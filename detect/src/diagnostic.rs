//! What is wrong with a rule file, said like a compiler does: where, what, and what was meant.

use std::fmt::Write as _;

use event::spelling::distance;
use serde::{Deserialize, Serialize};

use crate::ir::Position;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is not loaded.
    Error,
    /// The document is loaded, or deliberately left out; somebody should look.
    Warning,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One problem in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// As it was given to the loader.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The offending text, the part of it on that line; may be empty.
    pub span: String,
    pub message: String,
    /// What to write instead, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Where it is.
    pub fn position(&self) -> Position {
        Position { line: self.line, column: self.column }
    }

    /// For a terminal: message, place, the line of `source` with the span underlined, hint. `source`
    /// is the whole file. Control characters in it are not passed on.
    pub fn render(&self, source: &str) -> String {
        let mut out = format!("{}: {}\n", self.severity.as_str(), self.message);
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        let place = format!("{}:{}:{}", self.file, self.line, self.column);
        let _ = writeln!(out, "{gutter}--> {place}");
        let index = self.line.saturating_sub(1) as usize;
        if let Some(line) = source.lines().nth(index) {
            let shown: String = line.chars().map(printable).take(LINE_CHARS_MAX).collect();
            let before = (self.column.saturating_sub(1) as usize).min(shown.chars().count());
            let left = shown.chars().count() - before;
            let width = self.span.chars().count().clamp(1, left.max(1));
            let _ = writeln!(out, "{gutter} |");
            let _ = writeln!(out, "{number} | {shown}");
            let _ = writeln!(out, "{gutter} | {}{}", " ".repeat(before), "^".repeat(width));
        }
        if let Some(hint) = &self.hint {
            // What is to be written instead may take several lines.
            let hint = hint.replace('\n', &format!("\n{gutter}   "));
            let _ = writeln!(out, "{gutter} = hint: {hint}");
        }
        out
    }
}

/// Longer lines are cut: their end is of no use on a terminal.
const LINE_CHARS_MAX: usize = 400;

/// Tabs become blanks, so that the underline stands below its text.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// The word nearest to `word`, if it is near enough to have been meant.
pub(crate) fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underlines_the_span() {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            file: "a.yml".into(),
            line: 2,
            column: 9,
            span: "contians".into(),
            message: "unknown modifier `contians`".into(),
            hint: Some("did you mean `contains`?".into()),
        };
        let expected = "error: unknown modifier `contians`\n --> a.yml:2:9\n  |\n\
                        2 |   Image|contians: x\n  |         ^^^^^^^^\n  = hint: did you mean `contains`?\n";
        assert_eq!(diagnostic.render("x:\n  Image|contians: x\n"), expected);
        assert!(diagnostic.render("").contains("a.yml:2:9"), "a line that is not there");
        let json = serde_json::to_string(&diagnostic).unwrap();
        assert_eq!(serde_json::from_str::<Diagnostic>(&json).unwrap(), diagnostic);
    }

    #[test]
    fn nearest_words() {
        let known = ["contains", "startswith", "endswith", "re", "cidr"];
        for (word, expected) in [
            ("contians", Some("contains")),
            ("startwith", Some("startswith")),
            ("ends_with", Some("endswith")),
            ("CIDR", Some("cidr")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
