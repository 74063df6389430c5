//! The past of a polled source, read beside its live collection: `mantissa backfill`.
//!
//! ```text
//! command ──request──▶ inbox (files in the state folder) ──▶ desk ──▶ job: poll ──▶ relay ──▶ pipeline
//!         ◀─progress──                                                             └─ what the lake has
//! ```
//! The *desk* is a source of the program's own ([`NAME`]), so that what it hands over takes the way of all
//! events and is committed, resumed and acknowledged like them. A job has partitions of its own there, of
//! which the live collection knows nothing. Its *relay* takes out what the lake has already.

mod desk;
mod inbox;
mod job;
mod known;
mod relay;

use std::path::{Path, PathBuf};

use event::Uid;
use serde::{Deserialize, Serialize};

pub use desk::Desk;
pub(crate) use desk::{poll_source, shown};
pub use inbox::Inbox;

/// The name of the source; no configured source can have it.
pub const NAME: &str = "_backfill";

/// Where requests are, below the state folder.
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("backfill")
}

/// What a person wants. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The configured source.
    pub source: String,
    /// The first time that is wanted.
    pub from_s: i64,
    /// The first time that is not wanted any more; none: up to what the live collection reads itself.
    pub to_s: Option<i64>,
    /// Up to where it is read, decided when it began and then kept.
    #[serde(default)]
    pub until_s: Option<i64>,
}

impl Request {
    /// The same for the same wish, however often it is uttered.
    pub fn id(&self) -> String {
        let to = self.to_s.map_or("live".to_owned(), |to| to.to_string());
        let parts = [self.source.as_bytes(), &self.from_s.to_be_bytes(), to.as_bytes()];
        Uid::of("backfill", &parts).to_string()
    }
}

/// What became of the records that the vendor gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub found: u64,
    /// Handed to the pipeline, to be stored.
    pub new: u64,
    /// The lake had them.
    pub here: u64,
    /// They can only become dead letters.
    pub refused: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.found += other.found;
        self.new += other.new;
        self.here += other.here;
        self.refused += other.refused;
    }
}

/// How far a backfill is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub counts: Counts,
    pub from_s: i64,
    pub until_s: i64,
    /// Everything before this was read.
    pub done_s: Option<i64>,
    /// What keeps it from going on, in words.
    pub trouble: Option<String>,
    pub end: Option<End>,
}

/// How a backfill has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Everything is in the lake.
    Done,
    /// It cannot be, in words.
    Refused(String),
}
