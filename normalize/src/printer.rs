//! Values of a document as text, and as the types of columns. Must not know what a value means.

use std::fmt::Write as _;

use event::{Doc, Value};

/// Prints values that are not text.
#[derive(Debug, Default)]
pub(crate) struct Printer {
    number: String,
    pub json: Vec<u8>,
}

impl Printer {
    /// A value as text; objects as JSON. Nothing for null and for empty text.
    pub fn text<'p>(&'p mut self, doc: &Doc<'_>, value: Value<'p>) -> Option<&'p str> {
        self.number.clear();
        let written = match value {
            Value::Str(text) => return (!text.is_empty()).then_some(text),
            Value::Bool(b) => return Some(if b { "true" } else { "false" }),
            Value::Null => return None,
            Value::I64(n) => write!(self.number, "{n}"),
            Value::U64(n) => write!(self.number, "{n}"),
            Value::F64(n) => write!(self.number, "{n}"),
            Value::Array(node) | Value::Object(node) => {
                self.json.clear();
                doc.write_json(node, &mut self.json);
                return std::str::from_utf8(&self.json).ok();
            }
        };
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
        Some(&self.number)
    }
}

pub(crate) fn is_scalar(value: &Value<'_>) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

pub(crate) fn integer(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Str(text) => text.trim().parse().ok(),
        Value::F64(n) if n.fract() == 0.0 && n.abs() < 9e15 => Some(n as i64),
        other => other.as_i64(),
    }
}

pub(crate) fn float(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Str(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
        Value::I64(n) => Some(n as f64),
        Value::U64(n) => Some(n as f64),
        Value::F64(n) => Some(n),
        _ => None,
    }
}

pub(crate) fn boolean(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(b),
        Value::Str(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::Str(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}
