//! A value of a record as tests see it: its text, its folded text, its number.

use event::Value;

use crate::fold::folded;
use crate::number::Number;

/// One value that is not null, with its text made once for all tests.
///
/// Text of a string is itself, of a number its plain decimal, of a Boolean `true` or `false`.
/// Objects have no text, so only [`crate::Test::Exists`] sees them.
#[derive(Debug)]
pub struct Seen<'a> {
    value: Value<'a>,
    text: Option<String>,
    folded: Option<String>,
}

impl<'a> Seen<'a> {
    pub fn new(value: Value<'a>) -> Self {
        let text = text_of(value);
        let folded = text.as_deref().map(folded);
        Self { value, text, folded }
    }

    pub fn value(&self) -> Value<'a> {
        self.value
    }

    /// As it is if case matters, else folded.
    pub fn text(&self, cased: bool) -> Option<&str> {
        if cased { self.text.as_deref() } else { self.folded.as_deref() }
    }

    /// The text of a string value only.
    pub fn string(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// The number of a numeric value only.
    pub fn number(&self) -> Option<Number> {
        Number::of(self.value)
    }

    pub fn boolean(&self) -> Option<bool> {
        if let Value::Bool(b) = self.value { Some(b) } else { None }
    }
}

/// The text that text tests look at. Numbers: `-7`, `0.5`, `1000`, never an exponent below 10^40.
pub fn text_of(value: Value<'_>) -> Option<String> {
    match value {
        Value::Str(s) => Some(s.to_owned()),
        Value::I64(n) => Some(n.to_string()),
        Value::U64(n) => Some(n.to_string()),
        Value::F64(_) => Number::of(value).map(|n| n.text()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
