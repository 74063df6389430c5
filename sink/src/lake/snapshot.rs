//! The lake as a reader sees it: the files that the manifests name at one moment, and nothing else.
//!
//! Reads only `_manifests/` and `_checkpoints/`; never lists data. A reader holds no lock: files that a snapshot names
//! stay until collection, which gives readers their time.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use event::Uid;
use object_store::ObjectStore;
use object_store::path::Path;

use super::checkpoint::Covered;
use super::error::{Error, Kind};
use super::lake::drive;
use super::layout;
use super::live::{Former, LiveFile};
use super::manifest::{Checksum, FileKind, Manifest};
use super::store::LakeStore;

mod look;

pub(super) use look::{Base, Beside, Look, Looked};

/// How far a lane is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneHead {
    pub lane: Arc<str>,
    pub epoch: u64,
    /// Of the newest manifest's bytes.
    pub hash: Checksum,
    /// When the newest manifest was written, microseconds since 1970.
    pub created_at: i64,
}

/// All files of a lake at one moment. Those of one lane that no checkpoint knows are in the order of their
/// epochs.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub lanes: Vec<LaneHead>,
    pub files: Vec<LiveFile>,
    /// Files that were part of it, of [`Snapshot::read_all`] only. They may be there for readers that
    /// began before.
    pub former: Vec<Former>,
    /// Identities of dead letters that were redriven.
    pub redriven: HashSet<Uid>,
}

impl Snapshot {
    /// Reads the manifests of the lake at `root` of `store`. A lake that does not exist yet is empty.
    ///
    /// # Errors
    /// [`Kind::Store`], or [`Kind::Damaged`] when a manifest is missing, altered or out of its chain.
    pub async fn read(store: &Arc<dyn ObjectStore>, root: &Path) -> Result<Self, Error> {
        Ok(look(&LakeStore::of(store, root), Beside::Nothing).await?.snapshot)
    }

    /// As [`Snapshot::read`], with the files that are no part of the lake any more.
    ///
    /// # Errors
    /// As [`Snapshot::read`].
    pub async fn read_all(store: &Arc<dyn ObjectStore>, root: &Path) -> Result<Self, Error> {
        Ok(look(&LakeStore::of(store, root), Beside::Former).await?.snapshot)
    }

    /// The files of a table.
    pub fn table<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a LiveFile> {
        self.files.iter().filter(move |f| f.file.table == table)
    }

    /// Names and kinds of the tables that have files, sorted by name.
    pub fn tables(&self) -> BTreeMap<&str, FileKind> {
        self.files.iter().map(|f| (f.file.table.as_str(), f.file.kind)).collect()
    }
}

/// Follows a lane's manifests from the first one.
#[derive(Debug, Default)]
pub(super) struct Chain {
    epoch: u64,
    hash: Option<Checksum>,
    created_at: i64,
}

impl Chain {
    /// Of which a checkpoint knows so much.
    fn after(covered: &Covered) -> Self {
        let Covered { epoch, hash, created_at, .. } = *covered;
        Self { epoch, hash: Some(hash), created_at }
    }

    /// Checks that these bytes are the next manifest of the lane.
    pub(super) fn link(&mut self, lane: &str, bytes: &[u8]) -> Result<Manifest, Error> {
        let path = layout::manifest(lane, self.epoch + 1);
        let (manifest, hash) = Manifest::decode(bytes).map_err(|damage| {
            Error::caused(Kind::Damaged, format!("the manifest {path} is damaged"), damage)
        })?;
        if manifest.lane != lane || manifest.epoch != self.epoch + 1 {
            let what = format!("the manifest {path} belongs to another place");
            return Err(Error::new(Kind::Damaged, what));
        }
        if manifest.previous != self.hash {
            let what = format!("the manifest {path} does not follow the one before it");
            return Err(Error::new(Kind::Damaged, what));
        }
        (self.epoch, self.hash, self.created_at) =
            (manifest.epoch, Some(hash), manifest.created_at);
        Ok(manifest)
    }

    pub(super) fn head(&self, lane: &Arc<str>) -> Option<LaneHead> {
        let (epoch, created_at) = (self.epoch, self.created_at);
        self.hash.map(|hash| LaneHead { lane: lane.clone(), epoch, hash, created_at })
    }
}

/// The lake at `at`, with the checkpoint that it was read from.
///
/// # Errors
/// As [`Snapshot::read`].
pub(super) async fn look(at: &LakeStore, beside: Beside) -> Result<Box<Looked>, Error> {
    let mut look = Look::new(beside);
    drive(at, |answers| look.step(answers)).await
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::super::manifest::tests::sample;
    use super::*;

    /// Puts a chain of this many manifests.
    async fn lake(store: &Arc<dyn ObjectStore>, root: &Path, epochs: u64) {
        let mut previous = None;
        for epoch in 1..=epochs {
            let (bytes, hash) = sample(epoch, previous).encode();
            previous = Some(hash);
            let path = layout::under(root, &layout::manifest("main", epoch));
            store.put(&path, bytes.into()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn sees_what_manifests_name() {
        for root in ["", "team/lake"] {
            let (store, root): (Arc<dyn ObjectStore>, _) = (Arc::new(InMemory::new()), root.into());
            assert!(Snapshot::read(&store, &root).await.unwrap().files.is_empty());
            lake(&store, &root, 40).await;
            let snapshot = Snapshot::read(&store, &root).await.unwrap();
            assert_eq!(snapshot.lanes[0].epoch, 40);
            let epochs: Vec<u64> = snapshot.table("aws_cloudtrail").map(|f| f.epoch).collect();
            assert_eq!(epochs, (1..=40).collect::<Vec<_>>());
            assert!(Arc::ptr_eq(&snapshot.files[0].columns, &snapshot.files[39].columns));
            let tables: Vec<_> = snapshot.tables().into_iter().collect();
            assert_eq!(tables, [("aws_cloudtrail", FileKind::Events)]);
        }
    }

    #[tokio::test]
    async fn a_broken_chain_is_named() {
        for (epoch, bytes) in
            [(2, None), (2, Some(sample(2, Some(Checksum::of(b"other"))).encode().0))]
        {
            let (store, root): (Arc<dyn ObjectStore>, _) = (Arc::new(InMemory::new()), "".into());
            lake(&store, &root, 3).await;
            let path = layout::under(&root, &layout::manifest("main", epoch));
            match bytes {
                None => store.delete(&path).await.unwrap(),
                Some(bytes) => drop(store.put(&path, bytes.into()).await.unwrap()),
            }
            let error = Snapshot::read(&store, &root).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged);
            assert!(error.to_string().contains("00002.json"), "{error}");
        }
    }
}
