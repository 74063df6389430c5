//! Where a proof ended and what it proved, kept in the lake (`_verified/`), so that the next one goes on from
//! there. It is believed when it has its own checksum and its manifests are still those of the chains; a chain
//! that ends before the point, or is another one, has lost what was there.

use event::Timestamp;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};

use super::super::error::{Error, Kind};
use super::super::lake::{now_us, perform};
use super::super::layout;
use super::super::manifest::{Checksum, Digest, Manifest, Position};
use super::super::part;
use super::super::protocol::{Answer, Request};
use super::super::store::LakeStore;
use super::chain::{Lane, Link};
use super::report::{PartitionTotals, Report, Verified};
use super::{Fault, Proof, Scope, Since, list, read};

/// Format of points. One of another format is passed over.
const VERSION: u32 = 1;
/// Points that stay, and how many of those where every byte had been read.
const KEPT: usize = 12;
const KEPT_DEEP: usize = 4;
const READS_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Point {
    version: u32,
    /// When it was written, microseconds since 1970.
    at: i64,
    /// Every byte up to here was read.
    deep: bool,
    lanes: Vec<Stand>,
    pub partitions: Vec<PartitionTotals>,
    /// Over all files that were ever part of the lake, and their ends.
    pub files: Digest,
}

/// Where a lane stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stand {
    pub lane: String,
    pub epoch: u64,
    /// Of the manifest's bytes.
    hash: Checksum,
    positions: Vec<Position>,
}

impl Point {
    /// Of a proof that found nothing wrong.
    fn of(proof: &Proof<'_>, now: i64) -> Self {
        let stand = |(name, lane): (&String, &Lane)| {
            let (epoch, positions) = (lane.head, part::list(&lane.link.positions));
            Some(Stand { lane: name.clone(), epoch, hash: lane.link.previous?, positions })
        };
        Self {
            version: VERSION,
            at: now,
            deep: proof.report.deep,
            lanes: proof.lanes.iter().filter_map(stand).collect(),
            partitions: proof.report.partition_totals(),
            files: proof.sums.all,
        }
    }

    /// Of all lanes.
    pub(super) fn epochs(&self) -> u64 {
        self.lanes.iter().map(|stand| stand.epoch).sum()
    }

    pub(super) fn head(&self, lane: &str) -> u64 {
        self.lanes.iter().find(|stand| stand.lane == lane).map_or(0, |stand| stand.epoch)
    }

    pub(super) fn verified(&self) -> Verified {
        Verified { epochs: self.epochs(), at: self.when(), deep: self.deep }
    }

    fn when(&self) -> String {
        Timestamp::from_micros(self.at).to_string()
    }

    fn path(&self) -> String {
        layout::verified(self.epochs(), self.deep)
    }

    /// `<blake3 of the rest>\n<JSON>`
    fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_vec(self).expect("text keys and plain values");
        let mut bytes = format!("{}\n", Checksum::of(&body)).into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    }

    fn decode(path: &str, bytes: &[u8]) -> Option<Self> {
        let (digits, rest) = bytes.split_at_checked(64)?;
        let body = rest.strip_prefix(b"\n")?;
        let stated = Checksum::parse(std::str::from_utf8(digits).ok()?)?;
        let point: Self =
            (Checksum::of(body) == stated).then(|| serde_json::from_slice(body).ok())??;
        (point.version == VERSION && point.path() == path).then_some(point)
    }

    fn fits(&self, scope: Scope) -> bool {
        // Where only the chains were proved, the bytes of before are still to be read.
        (self.deep || !scope.deep)
            && match scope.since {
                Since::Beginning => false,
                Since::Last => true,
                Since::Epochs(epochs) => self.epochs() <= epochs,
                Since::Time(at) => self.at <= at,
            }
    }
}

/// The points of a lake that can be read, the newest first.
pub(super) async fn all(at: &LakeStore, report: &mut Report) -> Result<Vec<Point>, Error> {
    let objects = list(at, layout::VERIFIED, None).await?.into_iter();
    let mut paths: Vec<String> =
        objects.filter_map(|meta| layout::relative(&at.root, &meta.location)).collect();
    paths.sort_unstable_by(|a, b| b.cmp(a));
    let read = |path: String| async move { Ok::<_, Error>((read(at, path.clone()).await?, path)) };
    let mut objects = futures::stream::iter(paths).map(read).buffered(READS_MAX);
    let mut points = Vec::new();
    while let Some((bytes, path)) = objects.try_next().await? {
        match Point::decode(&path, &bytes) {
            Some(point) => points.push(point),
            None => report.note(format!("{path} is damaged or of another program: it is not used")),
        }
    }
    Ok(points)
}

/// The newest point from which a proof of this scope can go on.
pub(super) fn choose(points: &[Point], scope: Scope) -> Option<&Point> {
    points.iter().find(|point| point.fits(scope))
}

/// The lanes as they stood at the point, or what is wrong with their chains since.
pub(super) async fn stand(
    at: &LakeStore,
    point: &Point,
) -> Result<Result<Vec<(String, Lane)>, Vec<(Fault, String, String)>>, Error> {
    let (mut lanes, mut wrong) = (Vec::new(), Vec::new());
    for stand in &point.lanes {
        let path = layout::manifest(&stand.lane, stand.epoch);
        let when = point.when();
        let bytes = match at.store.get(&layout::under(&at.root, &path)).await {
            Err(object_store::Error::NotFound { .. }) => {
                let what = format!("the manifest {path} is missing: it was there at {when}");
                wrong.push((Fault::MissingManifest, path, what));
                continue;
            }
            got => match got.map_err(|e| unread(&path, e))?.bytes().await {
                Ok(bytes) => bytes,
                Err(error) => return Err(unread(&path, error)),
            },
        };
        match Manifest::decode(&bytes) {
            Ok((manifest, hash)) if hash == stand.hash => {
                let link = Link::after(hash, part::unlist(&stand.positions));
                let (head, newest) = (stand.epoch, manifest.state);
                lanes.push((stand.lane.clone(), Lane { head, newest, link, ..Lane::default() }));
            }
            _ => {
                let what =
                    format!("the manifest {path} is not the one that was verified at {when}");
                wrong.push((Fault::DamagedManifest, path, what));
            }
        }
    }
    Ok(if wrong.is_empty() { Ok(lanes) } else { Err(wrong) })
}

fn unread(path: &str, error: object_store::Error) -> Error {
    Error::caused(Kind::Store, format!("{path} cannot be read"), error)
}

/// Keeps what was proved, and lets go of old points. Whoever may only read the lake proves it all the same.
pub(super) async fn record(proof: &mut Proof<'_>, points: &[Point]) {
    let point = Point::of(proof, now_us());
    if point.lanes.is_empty() {
        return;
    }
    let path = point.path();
    let put = Request::Put { path: path.clone(), bytes: point.encode().into(), if_absent: false };
    if let Answer::Failed(failure) = perform(proof.at, put).await {
        proof.report.note(format!("{path}, where this proof ended, cannot be written: {failure}"));
        return;
    }
    proof.report.recorded = true;
    let newer = [&point].into_iter().chain(points.iter().filter(|old| old.path() != path));
    let (mut all, mut deep) = (0, 0);
    for old in newer {
        all += 1;
        deep += usize::from(old.deep);
        if all > KEPT && !(old.deep && deep <= KEPT_DEEP) {
            // One that stays costs nothing but its room.
            let _ = perform(proof.at, Request::Delete { path: old.path() }).await;
        }
    }
}
