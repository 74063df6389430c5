//! Whose a partition is. Most stay with the lane that began them; what several processes share moves, see
//! [`super::claim`].

use event::PartitionKey;
use serde::{Deserialize, Serialize};

/// What a lane knows of its right to a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Its own, by having written of it last.
    #[default]
    Own,
    /// Claimed, and not written of since: it goes on where the lanes before have ended, or later.
    Claimed,
    /// Another lane has taken it.
    Taken,
}

impl Hold {
    /// Not worth a word in a manifest.
    pub fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

/// A source partition in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Partition {
    pub source: String,
    pub partition: String,
}

impl Partition {
    pub fn key(&self) -> PartitionKey {
        PartitionKey {
            source: self.source.as_str().into(),
            partition: self.partition.as_str().into(),
        }
    }
}

impl From<&PartitionKey> for Partition {
    fn from(key: &PartitionKey) -> Self {
        Self { source: key.source.to_string(), partition: key.partition.to_string() }
    }
}

/// A partition that is no longer this lane's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    #[serde(flatten)]
    pub partition: Partition,
    /// The lane whose it is now.
    pub by: String,
}
