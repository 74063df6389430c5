//! Where a source begins that can choose: with the oldest that its other side has, now, or at a time.

use serde::{Deserialize, Serialize};

use crate::poll::when::Form;

/// Where reading begins of which nothing is known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Oldest,
    /// Now, at the first start; from then on that time.
    Latest,
    /// Milliseconds since 1970.
    At(i64),
}

/// What was decided at the first start. It commits, so that a restart leaves nothing out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Milliseconds since 1970. `None`: from the oldest that there was.
    pub at_ms: Option<i64>,
}

impl Begin {
    /// `oldest`, `latest`, or a time like `2026-11-01T00:00:00Z`.
    pub fn read(text: &str) -> Result<Self, String> {
        match text {
            "oldest" => Ok(Self::Oldest),
            "latest" => Ok(Self::Latest),
            time => Form::Rfc3339
                .read(time)
                .map(Self::At)
                .ok_or_else(|| format!("`from` is oldest, latest or a time, not {text:?}")),
        }
    }

    /// What it means at the first start.
    pub fn start(self, now_ms: i64) -> Start {
        let at_ms = match self {
            Self::Oldest => None,
            Self::Latest => Some(now_ms),
            Self::At(ms) => Some(ms),
        };
        Start { at_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_and_decided_once() {
        let start = |text: &str| Begin::read(text).map(|begin| begin.start(7).at_ms);
        assert_eq!(start("oldest"), Ok(None));
        assert_eq!(start("latest"), Ok(Some(7)));
        assert_eq!(start("1970-01-01T00:00:02Z"), Ok(Some(2_000)));
        assert!(start("yesterday").unwrap_err().contains("not \"yesterday\""));
    }
}
