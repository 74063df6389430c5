//! Where a proof begins that goes on from another: the files of that moment, as the newest checkpoint and the
//! chains after it list them, and proved by the sum of the point.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt, TryStreamExt};

use super::super::error::{Error, Kind};
use super::super::layout;
use super::super::live::{End, LiveFile};
use super::super::manifest::{Digest, Manifest};
use super::super::snapshot::{Beside, Looked, look};
use super::super::store::LakeStore;
use super::moves::Moves;
use super::sums::{Columns, ended, plus};
use super::{Known, Point, Proof, Report, Seen, State, Sums, lane_epochs, list, point, read};

const READS_MAX: usize = 32;

/// The proof as it stood at the point; `None` when what is known of the files is not what it was. Then the
/// chains tell from their beginning what is wrong.
pub(super) async fn begin<'a>(
    at: &'a LakeStore,
    point: &Point,
    mut report: Report,
) -> Result<Option<(Proof<'a>, Seen)>, Error> {
    let Ok(lanes) = point::stand(at, point).await? else { return Ok(None) };
    let Some(looked) = looked(at).await? else { return Ok(None) };
    let Some(later) = taken_since(at, point.head(layout::UPKEEP)).await? else { return Ok(None) };
    let Looked { snapshot, base, .. } = *looked;
    let seen = Seen::of(&snapshot, base.checkpoint.epochs());
    report.begin(&point.partitions, point.verified());
    let (mut columns, mut files, mut sum) =
        (Columns::default(), BTreeMap::new(), Digest::default());
    let ended_then = snapshot.former.iter().map(|former| (&former.live, Some(former)));
    for (live, former) in snapshot.files.iter().map(|live| (live, None)).chain(ended_then) {
        if live.epoch > point.head(&live.lane) {
            continue;
        }
        let mark = columns.mark(live);
        let former = former.filter(|former| !later.contains(&former.live.file.path));
        plus(&mut sum, former.map_or(mark, |former| ended(mark, former)));
        let state = former.map_or(State::Live, |former| match former.end {
            End::Replaced(_) => State::Replaced,
            End::Removed(why) => State::Removed(why),
        });
        report.file(&live.file);
        files.insert(live.file.path.clone(), known(live, state, mark));
    }
    if sum != point.files {
        return Ok(None);
    }
    let sums = Sums::new(sum, Some(&seen));
    let (lanes, moves) = (lanes.into_iter().collect(), Moves::default());
    let proof = Proof { at, report, files, lanes, sums, moves };
    Ok(Some((proof, seen)))
}

fn known(live: &LiveFile, state: State, mark: super::Mark) -> Known {
    Known {
        lane: live.lane.to_string(),
        epoch: live.epoch,
        file: live.file.clone(),
        keyed: live.columns.iter().any(|c| c.name == "dedup_key"),
        state,
        // Its bytes were read when it came.
        digest: None,
        mark,
    }
}

/// What a reader sees who begins with a checkpoint; `None` when there is none.
pub(super) async fn seen(at: &LakeStore) -> Result<Option<Seen>, Error> {
    if list(at, layout::CHECKPOINTS, None).await?.is_empty() {
        return Ok(None);
    }
    let looked = looked(at).await?;
    Ok(looked.map(|looked| Seen::of(&looked.snapshot, looked.base.checkpoint.epochs())))
}

/// `None` when manifests are damaged.
async fn looked(at: &LakeStore) -> Result<Option<Box<Looked>>, Error> {
    match look(at, Beside::Former).await {
        Ok(looked) => Ok(Some(looked)),
        Err(error) if error.kind() == Kind::Damaged => Ok(None),
        Err(error) => Err(error),
    }
}

/// The files that epochs of upkeep after this one have taken out of the lake; `None` when one is damaged.
async fn taken_since(at: &LakeStore, epoch: u64) -> Result<Option<HashSet<String>>, Error> {
    let epochs = lane_epochs(at, layout::UPKEEP, epoch).await?;
    let mut manifests = futures::stream::iter(epochs)
        .map(|epoch| read(at, layout::manifest(layout::UPKEEP, epoch)))
        .buffered(READS_MAX);
    let mut taken = HashSet::new();
    while let Some(bytes) = manifests.try_next().await? {
        let Ok((manifest, _)) = Manifest::decode(&bytes) else { return Ok(None) };
        taken.extend(manifest.replaced.into_iter().flat_map(|replaced| replaced.files));
        taken.extend(manifest.removed.into_iter().map(|removed| removed.path));
    }
    Ok(Some(taken))
}
