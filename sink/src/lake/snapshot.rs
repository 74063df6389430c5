//! The lake as a reader sees it: the files that the manifests name at one moment, and nothing else.
//!
//! Reads only `_manifests/`; never lists data. A reader holds no lock: files that a snapshot names
//! stay until collection, which gives readers their time.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use event::Uid;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::error::{Error, Kind};
use super::layout;
use super::live::{Former, Live, LiveFile};
use super::manifest::{Checksum, FileKind, Manifest};

/// GET requests under way at once.
const READS_MAX: usize = 32;

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

/// All files of a lake at one moment, lane by lane in the order of their epochs; those that replaced
/// others are last.
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
        Self::read_into(Live::default(), store, root).await
    }

    /// As [`Snapshot::read`], with the files that are no part of the lake any more.
    ///
    /// # Errors
    /// As [`Snapshot::read`].
    pub async fn read_all(store: &Arc<dyn ObjectStore>, root: &Path) -> Result<Self, Error> {
        Self::read_into(Live::with_former(), store, root).await
    }

    async fn read_into(
        mut live: Live,
        store: &Arc<dyn ObjectStore>,
        root: &Path,
    ) -> Result<Self, Error> {
        let mut snapshot = Self::default();
        // First the list of what was replaced, then what it was: so that it cannot name files that came
        // after the rest was listed.
        let upkeep = list_epochs(store, root, layout::UPKEEP).await?;
        let mut lanes: Vec<_> = list_epochs(store, root, "").await?.into_iter().collect();
        lanes.retain(|(lane, _)| lane != layout::UPKEEP);
        lanes.extend(upkeep);
        for (lane, epochs) in lanes {
            let lane: Arc<str> = lane.into();
            let mut chain = Chain::default();
            let mut stream = futures::stream::iter(epochs)
                .map(|epoch| read_manifest(store, root, &lane, epoch))
                .buffered(READS_MAX);
            while let Some((_, bytes)) = stream.try_next().await? {
                live.add(&lane, chain.link(&lane, &bytes)?)?;
            }
            snapshot.lanes.extend(chain.head(&lane));
        }
        (snapshot.files, snapshot.former, snapshot.redriven) = live.finish();
        Ok(snapshot)
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

/// The epochs of one lane, or of every lane when it is empty, ascending.
///
/// # Errors
/// [`Kind::Damaged`] when one is missing.
async fn list_epochs(
    store: &Arc<dyn ObjectStore>,
    root: &Path,
    lane: &str,
) -> Result<BTreeMap<String, Vec<u64>>, Error> {
    let mut lanes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let folder = layout::under(root, &format!("{}/{lane}", layout::MANIFESTS));
    let mut list = store.list(Some(&folder));
    let failed = |e| Error::caused(Kind::Store, "the manifests cannot be listed", e);
    while let Some(meta) = list.try_next().await.map_err(failed)? {
        let path = layout::relative(root, &meta.location);
        if let Some((lane, epoch)) = path.as_deref().and_then(layout::parse_manifest) {
            lanes.entry(lane).or_default().push(epoch);
        }
    }
    for (lane, epochs) in &mut lanes {
        epochs.sort_unstable();
        if let Some((missing, _)) = (1..).zip(epochs.iter()).find(|(want, have)| want != *have) {
            let what = format!("the manifest {} is missing", layout::manifest(lane, missing));
            return Err(Error::new(Kind::Damaged, what));
        }
    }
    Ok(lanes)
}

async fn read_manifest(
    store: &Arc<dyn ObjectStore>,
    root: &Path,
    lane: &str,
    epoch: u64,
) -> Result<(u64, Bytes), Error> {
    let path = layout::manifest(lane, epoch);
    let failed = |e| Error::caused(Kind::Store, format!("the manifest {path} cannot be read"), e);
    let got = store.get(&layout::under(root, &path)).await.map_err(failed)?;
    Ok((epoch, got.bytes().await.map_err(failed)?))
}

#[cfg(test)]
mod tests {
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
