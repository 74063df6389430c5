//! What can go wrong with a source as a whole. What is wrong with its data is data: dead letters.

use std::sync::Arc;

/// What kind of trouble, to branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The options make no sense, or name what is not there.
    Config,
    /// The local file system refused.
    Io,
    /// The other side refused in a way that trying again does not mend.
    Refused,
    /// What is to be read no longer fits what was committed.
    Position,
    /// The pipeline behind the source is gone.
    Closed,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A source that cannot go on, or could not be built.
#[derive(Debug, thiserror::Error)]
#[error("source {name}: {message}")]
pub struct SourceError {
    pub name: Arc<str>,
    pub kind: ErrorKind,
    pub message: String,
    #[source]
    cause: Option<Cause>,
}

/// A source whose options could not be used.
pub type ConfigError = SourceError;

impl SourceError {
    pub fn new(name: &str, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { name: name.into(), kind, message: message.into(), cause: None }
    }

    /// With what caused it.
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(crate) fn io(name: &str, message: impl Into<String>, cause: std::io::Error) -> Self {
        Self::new(name, ErrorKind::Io, message).because(cause)
    }

    pub(crate) fn closed(name: &str) -> Self {
        Self::new(name, ErrorKind::Closed, "the pipeline behind it has ended")
    }
}
