//! What can go wrong with the outbox file. Says which file; never prints its own source.

use std::path::{Path, PathBuf};

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The file cannot be opened or created.
    Open,
    /// Another process dispatches from this outbox.
    Locked,
    /// The file cannot be read or written: disk full, damaged.
    Storage,
    /// What is stored is not what this version writes.
    Format,
}

/// An outbox that cannot do what it was asked; nothing of the call has happened.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: ErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(super) fn open(
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let message = format!("cannot open the outbox file {}", path.display());
        Self { kind: ErrorKind::Open, message, source: Some(source.into()) }
    }

    pub(super) fn locked(path: &Path) -> Self {
        let path = PathBuf::from(path);
        let message = format!("another process delivers from this outbox ({})", path.display());
        Self { kind: ErrorKind::Locked, message, source: None }
    }

    pub(super) fn format(what: &str, source: serde_json::Error) -> Self {
        let message = format!("the outbox holds {what} that this version cannot read");
        Self { kind: ErrorKind::Format, message, source: Some(source.into()) }
    }

    fn storage(source: redb::Error) -> Self {
        let message = "cannot read or write the outbox file".into();
        Self { kind: ErrorKind::Storage, message, source: Some(source.into()) }
    }
}

macro_rules! storage_errors {
    ($($name:ident),*) => {
        $(impl From<redb::$name> for Error {
            fn from(source: redb::$name) -> Self {
                Self::storage(source.into())
            }
        })*
    };
}

storage_errors!(TransactionError, TableError, StorageError, CommitError);
