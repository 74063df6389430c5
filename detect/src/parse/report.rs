//! Collects what is wrong with one document.

use crate::diagnostic::{Diagnostic, Severity};
use crate::ir::Position;

pub struct Report<'f> {
    file: &'f str,
    pub diagnostics: Vec<Diagnostic>,
    /// Whether there was an error, so that the document must not be loaded.
    pub failed: bool,
}

/// More than this is noise.
const PER_DOCUMENT_MAX: usize = 100;
/// A value may have millions of characters, and be wrong in a hundred ways.
const TEXT_CHARS_MAX: usize = 500;

/// The beginning of a text that is too long to be shown.
fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl<'f> Report<'f> {
    pub fn new(file: &'f str) -> Self {
        Self { file, diagnostics: Vec::new(), failed: false }
    }

    pub fn error(
        &mut self,
        at: Position,
        span: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.failed = true;
        self.add(Severity::Error, at, span, message.into(), hint);
    }

    pub fn warn(
        &mut self,
        at: Position,
        span: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.add(Severity::Warning, at, span, message.into(), hint);
    }

    fn add(
        &mut self,
        severity: Severity,
        at: Position,
        span: &str,
        message: String,
        hint: Option<String>,
    ) {
        if self.diagnostics.len() >= PER_DOCUMENT_MAX {
            return;
        }
        self.diagnostics.push(Diagnostic {
            severity,
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
            span: short(span.lines().next().unwrap_or("")),
            message: short(&message),
            hint,
        });
    }
}
