//! What bytes mean: the log type, and the log source that Sigma rules name.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a log type, `aws.cloudtrail`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogType(pub Arc<str>);

impl LogType {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its table in the lake and in SQL: dots become underscores, `aws_cloudtrail`.
    pub fn table(&self) -> String {
        self.0.replace('.', "_")
    }
}

impl From<&str> for LogType {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for LogType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One part of an event's log source (Sigma 2.1, "Log source").
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tag {
    /// Not known: a rule that asks for any value may apply.
    #[default]
    Unknown,
    /// Known to have none: a rule that asks for a value does not apply.
    None,
    /// Lower-case value.
    Is(Arc<str>),
    /// Known to be all of these at once, lower-case: rules call the same log by several names.
    AnyOf(Arc<[Arc<str>]>),
}

impl Tag {
    /// Reads one column of a log-source table: `none` is [`Tag::None`], empty is [`Tag::Unknown`].
    pub fn parse(text: &str) -> Self {
        match text.trim() {
            "" => Self::Unknown,
            "none" => Self::None,
            value => Self::Is(value.to_lowercase().into()),
        }
    }

    /// Whether a rule that asks for `wanted` (`None` = does not care) applies.
    pub fn admits(&self, wanted: Option<&str>) -> bool {
        match (self, wanted) {
            (_, None) | (Self::Unknown, _) => true,
            (Self::None, Some(_)) => false,
            (Self::Is(have), Some(want)) => have.eq_ignore_ascii_case(want),
            (Self::AnyOf(all), Some(want)) => {
                all.iter().any(|have| have.eq_ignore_ascii_case(want))
            }
        }
    }
}

/// The log source of an event stream, known once per stream and not per event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogSource {
    /// `aws`, `windows` …
    pub product: Tag,
    /// `process_creation` …; categories form a hierarchy that `detect` knows.
    pub category: Tag,
    /// `cloudtrail`, `security` …
    pub service: Tag,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_a_wildcard_and_none_is_not() {
        assert!(Tag::parse("").admits(Some("aws")));
        assert!(!Tag::parse("none").admits(Some("aws")));
        assert!(Tag::parse("none").admits(None));
        assert!(Tag::parse("AWS").admits(Some("aws")));
        assert!(!Tag::parse("gcp").admits(Some("aws")));
        let both = Tag::AnyOf(["audit".into(), "exchange".into()].into());
        assert!(both.admits(Some("Exchange")) && both.admits(None) && !both.admits(Some("x")));
    }
}
