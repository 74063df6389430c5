//! What can go wrong, as data.

use event::Stage;
use event::spelling::distance;

/// A fault in a log type's file, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {reason}")]
pub struct MappingError {
    /// The file as it was named to the catalog.
    pub file: String,
    /// From 1; 0 when the fault has no place, such as a missing part of the whole file.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    pub reason: String,
    /// What was probably meant, or what may stand there.
    pub hint: Option<String>,
}

/// A record that cannot become an event. It goes to the dead letters with its bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", stage.as_str())]
pub struct Reject {
    pub stage: Stage,
    /// For people: what is wrong and where in the bytes.
    pub reason: String,
}

impl Reject {
    #[cold]
    pub(crate) fn parse(reason: impl Into<String>) -> Self {
        Self { stage: Stage::Parse, reason: reason.into() }
    }

    #[cold]
    pub(crate) fn map(reason: impl Into<String>) -> Self {
        Self { stage: Stage::Map, reason: reason.into() }
    }
}

/// The known word that is most like an unknown one, if any is like it at all.
pub(crate) fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let limit = word.chars().count() / 3 + 1;
    known.map(|k| (distance(word, k), k)).filter(|(d, _)| *d <= limit).min().map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["source_ip", "source_port", "action"];
        assert_eq!(nearest("sorce_ip", known.into_iter()), Some("source_ip"));
        assert_eq!(nearest("actoin", known.into_iter()), Some("action"));
        assert_eq!(nearest("zebra", known.into_iter()), None);
    }
}
