//! Files that are lost for good: their end is recorded in the chain, so that the lake is whole again and
//! says what it lacks.

use std::collections::{HashMap, HashSet};

use super::super::commit::{Commit, Contents};
use super::super::error::{Error, Kind};
use super::super::lake::{drive, now_us};
use super::super::live::LiveFile;
use super::super::manifest::{Removed, Why};
use super::super::reader::{self, Checked};
use super::super::snapshot::Snapshot;
use super::{REMOVED_MAX, Upkeep};

/// What was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Forgotten {
    pub files: u64,
    pub rows: u64,
}

impl Upkeep {
    /// Takes files out of the lake that are missing or damaged, all of them or none; paths are from the
    /// lake's root. The identities of their events are forgotten with them, so that their records can be
    /// read into the lake again, by a source of another name.
    ///
    /// # Errors
    /// [`Kind::Options`] when one is no part of the lake, or is whole; else as [`Upkeep::compact`].
    pub async fn forget(&mut self, paths: &[String]) -> Result<Forgotten, Error> {
        let snapshot = Snapshot::read(&self.at.store, &self.at.root).await?;
        let live: HashMap<&str, &LiveFile> =
            snapshot.files.iter().map(|live| (live.file.path.as_str(), live)).collect();
        let paths: HashSet<&str> = paths.iter().map(String::as_str).collect();
        let mut forgotten = Forgotten::default();
        let mut removed = Vec::new();
        for path in paths {
            let refused = |why: &str| Error::new(Kind::Options, format!("{path} {why}"));
            let live = live.get(path).ok_or_else(|| refused("is no part of the lake"))?;
            if let Checked::Batches(..) = reader::open_checked(&self.at, &live.file, None).await? {
                return Err(refused("is whole: nothing is lost"));
            }
            forgotten.files += 1;
            forgotten.rows += live.file.rows;
            removed.push(Removed { path: path.into(), why: Why::Lost });
        }
        for removed in removed.chunks(REMOVED_MAX) {
            self.remove(removed.to_vec()).await?;
        }
        Ok(forgotten)
    }

    /// One epoch that takes files out of the lake.
    pub(super) async fn remove(&mut self, removed: Vec<Removed>) -> Result<(), Error> {
        let contents = Contents { removed, ..Contents::default() };
        self.take_new_name();
        let sealed = self.lane.seal(contents, Vec::new(), now_us());
        let mut commit = Commit::new(sealed);
        drive(&self.at, |answers| commit.step(answers)).await?;
        self.lane.committed(&commit.sealed.manifest, commit.sealed.hash);
        Ok(())
    }
}
