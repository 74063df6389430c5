//! What can go wrong with the lake, and what the caller should do about it.

use std::fmt;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The store did not do it (unreachable, full, refused). Nothing is lost: try again.
    Store,
    /// Another process writes this lane. Stop: what it commits is in the lake, what we hold is not.
    Fenced,
    /// The spans given do not touch, or their counts do not add up: a bug of the caller.
    Spans,
    /// The lake is not what its manifests say. A person must look; `lake verify` names it.
    Damaged,
    /// The options make no sense.
    Options,
    /// [`super::Lake::commit`] while an unfinished epoch waits for [`super::Lake::retry`].
    Unfinished,
}

/// An error of the lake.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    source: Option<Source>,
}

impl Error {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    pub fn caused(kind: Kind, what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self { kind, what: what.into(), source: Some(source.into()) }
    }

    /// What to do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as _)
    }
}
