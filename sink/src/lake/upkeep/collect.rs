//! Removing files that are no part of the lake: those that were replaced, when nobody can be reading
//! them any more, and those that an epoch left and did not name.
//!
//! What must not go is decided by manifests alone. An epoch's manifest is never changed: a file that
//! bears the number of an epoch that is there and is not named by it can never become part of the lake.
//! A file of an epoch that is not there may be under way, and stays.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use object_store::ObjectStore;

use super::super::error::{Error, Kind};
use super::super::lake::{now_us, perform};
use super::super::layout;
use super::super::protocol::{Answer, Request};
use super::super::snapshot::Snapshot;
use super::super::store::{LakeOptions, LakeStore};

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Collected {
    /// Files that were replaced or removed; paths from the lake's root.
    pub replaced: Vec<String>,
    /// Files that no manifest names.
    pub strays: Vec<String>,
    pub bytes: u64,
    /// Replaced files whose time has not come.
    pub kept: u64,
}

/// Removes what nobody needs; what was replaced less than `keep_us` microseconds ago stays. Without
/// `really` it only says so.
///
/// # Errors
/// [`Kind::Store`]; [`Kind::Damaged`] when manifests are: then nothing is removed.
pub async fn collect(
    options: &LakeOptions,
    keep_us: i64,
    really: bool,
) -> Result<Collected, Error> {
    let at = &LakeStore::open_to_change(options)?;
    let snapshot = Snapshot::read_all(&at.store, &at.root).await?;
    let failed = |e| Error::caused(Kind::Store, format!("the lake {} cannot be listed", at.url), e);
    let before = now_us().saturating_sub(keep_us);
    let mut found = Collected::default();
    let useless = Useless::of(&snapshot, before);
    let mut objects = at.store.list(Some(&at.root));
    while let Some(meta) = objects.try_next().await.map_err(failed)? {
        let Some(path) = layout::relative(&at.root, &meta.location) else { continue };
        let is_old = meta.last_modified.timestamp_micros() <= before;
        match useless.judge(&path, is_old) {
            Verdict::Needed => continue,
            Verdict::NotYet => {
                found.kept += 1;
                continue;
            }
            Verdict::Replaced => found.replaced.push(path),
            Verdict::Stray => found.strays.push(path),
        }
        found.bytes += meta.size;
    }
    found.replaced.sort_unstable();
    found.strays.sort_unstable();
    if really {
        for request in useless.before_removing() {
            if let Answer::Failed(failure) = perform(at, request).await {
                let what = "manifests cannot be made durable";
                return Err(Error::caused(Kind::Store, what, failure));
            }
        }
        for path in found.replaced.iter().chain(&found.strays) {
            if let Answer::Failed(failure) =
                perform(at, Request::Delete { path: path.clone() }).await
            {
                return Err(Error::caused(
                    Kind::Store,
                    format!("{path} cannot be removed"),
                    failure,
                ));
            }
        }
    }
    Ok(found)
}

/// What is to become of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lake) enum Verdict {
    /// Part of the lake, perhaps soon, or not ours.
    Needed,
    /// Replaced a short time ago.
    NotYet,
    Replaced,
    Stray,
}

/// Knows what manifests say of files.
#[derive(Debug)]
pub(in crate::lake) struct Useless {
    live: HashSet<String>,
    /// When it was replaced.
    former: HashMap<String, i64>,
    heads: HashMap<String, u64>,
    before: i64,
}

impl Useless {
    /// `before`: what was replaced until then, in microseconds, is not needed.
    pub(in crate::lake) fn of(snapshot: &Snapshot, before: i64) -> Self {
        let former = snapshot.former.iter().map(|f| (f.live.file.path.clone(), f.at));
        let heads = snapshot.lanes.iter().map(|head| (head.lane.to_string(), head.epoch));
        Self {
            live: snapshot.files.iter().map(|live| live.file.path.clone()).collect(),
            former: former.collect(),
            heads: heads.collect(),
            before,
        }
    }

    /// Manifests that say what is useless must not be lost after it is gone: whoever wrote them may have
    /// died before they were on the disk.
    pub(in crate::lake) fn before_removing(&self) -> Vec<Request> {
        if planted!(CollectedUnsynced) {
            return Vec::new();
        }
        let folder = |lane: &String| format!("{}/{lane}", layout::MANIFESTS);
        self.heads.keys().map(|lane| Request::Sync { folder: folder(lane) }).collect()
    }

    /// `is_old`: the object is as old as that, too.
    pub(in crate::lake) fn judge(&self, path: &str, is_old: bool) -> Verdict {
        if self.live.contains(path) || path.starts_with('_') {
            return Verdict::Needed;
        }
        match self.former.get(path) {
            Some(at) if *at <= self.before || planted!(CollectedAtOnce) => {
                return Verdict::Replaced;
            }
            Some(_) => return Verdict::NotYet,
            None => {}
        }
        let Some((lane, epoch)) = layout::parse_data(path) else { return Verdict::Needed };
        let decided = self.heads.get(&lane).is_some_and(|head| epoch <= *head);
        let decided = decided || planted!(UndecidedCollected);
        if decided && is_old { Verdict::Stray } else { Verdict::Needed }
    }
}
