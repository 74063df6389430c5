//! What can go wrong with a question, in words for the person who asked.

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The text is not one SQL statement.
    Syntax,
    /// The statement would change something.
    ReadOnly,
    /// A table, column or function that does not exist.
    Unknown,
    /// The statement cannot be answered as it is.
    Invalid,
    /// Memory, disk for spilling, or time ran out.
    Limit,
    /// A file of the lake is missing or altered.
    Damaged,
    /// The lake's store failed.
    Store,
    /// The answer could not be written.
    Output,
}

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A kind, a sentence, and what to try.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    kind: Kind,
    what: String,
    hint: String,
    source: Option<Source>,
}

impl Error {
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: String::new(), source: None }
    }

    pub(crate) fn caused(kind: Kind, what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self { source: Some(source.into()), ..Self::new(kind, what) }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to try instead, if there is something to say.
    pub fn hint(&self) -> Option<&str> {
        (!self.hint.is_empty()).then_some(self.hint.as_str())
    }
}
