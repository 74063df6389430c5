//! The lake for its one writer: the thin async side of [`super::commit`] and [`super::recovery`].

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use event::{AlertId, Rows, Span};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::claim;
use super::commit::{Commit, Contents, Lane, StateChange};
use super::dedup::Window;
use super::encode::{self, Encoded};
use super::error::{Error, Kind};
use super::layout;
use super::manifest::{Checksum, DataFile, StateFile};
use super::part::{self, Merged, Part, Positions};
use super::plan::{self, Namer};
use super::protocol::{Answer, Request, Step};
use super::recovery::{Recovery, Swept};
use super::store::{LakeOptions, LakeStore};
use super::window;

/// Requests under way at once.
const REQUESTS_MAX: usize = 16;

/// One lane of a lake, opened for writing.
#[derive(Debug)]
pub struct Lake {
    pub(super) store: LakeStore,
    pub(super) lane: Lane,
    pub(super) pending: Option<Pending>,
    /// Where claimed partitions go on; see [`Lake::claim`].
    pub(super) claimed: Option<Positions>,
    encoders: Arc<rayon::ThreadPool>,
    /// Held while the lake is open; see [`LakeStore`].
    _lock: Option<File>,
}

/// An epoch that is decided but not known to be in the lake.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) commit: Box<Commit>,
    pub(super) spans: Vec<Span>,
    pub(super) alert_ids: Vec<AlertId>,
    /// What it is made of, where its number may be taken by another lane that takes a partition over. Else
    /// only the rows are kept, for their buffers.
    pub(super) again: Option<Contents>,
    pub(super) merged: Merged,
}

/// What a process needs to go on where the one before it stopped.
#[derive(Debug)]
pub struct Recovered {
    /// The epoch that the next commit writes.
    pub next_epoch: u64,
    /// Where every partition continues.
    pub positions: Positions,
    /// The identities of the events of the last hours.
    pub window: Window,
    /// The state that the newest epoch left behind, checked. `None` also when it was lost, which is said.
    pub state: Option<Bytes>,
    /// There was a state, and it is damaged or gone.
    pub state_is_lost: bool,
    /// Files of unfinished epochs that were removed.
    pub swept: Vec<String>,
    /// An unfinished epoch was found and its number taken: its writer, if it lives, cannot commit.
    pub took_over: bool,
}

/// An epoch that is in the lake: acknowledge its spans now.
#[derive(Debug, Default)]
pub struct Committed {
    pub epoch: u64,
    /// As they were given.
    pub spans: Vec<Span>,
    pub files: Vec<DataFile>,
    pub alert_ids: Vec<AlertId>,
    /// The rows that were given, emptied: their buffers can be filled again.
    pub spent: Vec<Rows>,
}

/// The most threads that build files.
const ENCODERS_MAX: usize = 8;

impl Lake {
    /// Opens the lane for writing: finds where it stands, removes what a crash left, loads the window
    /// of identities. Makes the lake when it is not there.
    ///
    /// # Errors
    /// [`Kind::Options`], [`Kind::Store`] (try again), [`Kind::Damaged`], or [`Kind::Fenced`] when
    /// another process writes this lane.
    pub async fn open(options: &LakeOptions) -> Result<(Self, Recovered), Error> {
        Self::open_lane(options, true).await
    }

    /// Without `lock` as on another machine that shares the store.
    pub(super) async fn open_lane(
        options: &LakeOptions,
        lock: bool,
    ) -> Result<(Self, Recovered), Error> {
        if !layout::lane_is_valid(&options.lane) {
            let what = format!(
                "the lane '{}' is not made of 1 to 40 a-z 0-9 _ -, or is the lake's own '{}'",
                options.lane,
                layout::UPKEEP
            );
            return Err(Error::new(Kind::Options, what));
        }
        let store = LakeStore::create(options)?;
        let lock = if lock { store.lock(&options.lane)? } else { None };
        Self::open_at(store, lock, options).await
    }

    pub(super) async fn open_at(
        store: LakeStore,
        lock: Option<File>,
        options: &LakeOptions,
    ) -> Result<(Self, Recovered), Error> {
        let (lane, swept) = recover(&store, &options.lane).await?;
        let window = window::load(&store, &lane.lane, lane.head, options, now_us()).await?;
        let state = match &lane.state {
            Some(file) => read_state(&store, file).await?,
            None => None,
        };
        let Swept { took_over, files } = swept;
        if took_over || !files.is_empty() {
            tracing::warn!(lane = lane.lane, files = files.len(), "removed an unfinished epoch");
        }
        let recovered = Recovered {
            next_epoch: lane.head + 1,
            positions: lane.positions.clone(),
            window,
            state_is_lost: lane.state.is_some() && state.is_none(),
            state,
            swept: files,
            took_over,
        };
        let (pending, claimed) = (None, None);
        let lake = Self { store, lane, pending, claimed, encoders: encoders()?, _lock: lock };
        Ok((lake, recovered))
    }

    /// The epoch that the next commit writes.
    pub fn next_epoch(&self) -> u64 {
        self.lane.head + 1
    }

    /// Where every partition stands in the lake.
    pub fn positions(&self) -> &Positions {
        &self.lane.positions
    }

    /// The store, for reading.
    pub fn store(&self) -> &LakeStore {
        &self.store
    }

    /// Whether an epoch waits for [`Lake::retry`].
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Writes one epoch. When it returns, the spans are in the lake: acknowledge them. Parts without
    /// anything write nothing. The future must be driven to its end, or what it was given is lost to
    /// this process (the source still has it).
    ///
    /// # Errors
    /// [`Kind::Spans`]: nothing was written. [`Kind::Store`]: the epoch is kept, call [`Lake::retry`]
    /// until it is in. [`Kind::Fenced`]: stop. [`Kind::Unfinished`]: an earlier epoch is kept.
    pub async fn commit(&mut self, parts: Vec<Part>) -> Result<Committed, Error> {
        self.commit_with(parts, StateChange::Kept).await
    }

    /// As [`Lake::commit`], with what the epoch does to the lane's state. A change of state alone does
    /// not make an epoch: it belongs to its spans.
    ///
    /// # Errors
    /// As [`Lake::commit`].
    pub async fn commit_with(
        &mut self,
        parts: Vec<Part>,
        state: StateChange,
    ) -> Result<Committed, Error> {
        if self.pending.is_some() {
            let what = format!("epoch {} is not finished", self.next_epoch());
            return Err(Error::new(Kind::Unfinished, what));
        }
        if parts.iter().all(Part::is_empty) {
            return Ok(Committed { epoch: self.lane.head, ..Committed::default() });
        }
        let spans = parts.iter().flat_map(|p| &p.spans).map(|o| o.span.clone()).collect();
        let mut alert_ids: Vec<AlertId> =
            parts.iter().flat_map(|p| &p.alerts).map(|a| a.alert_id).collect();
        alert_ids.sort_unstable();
        alert_ids.dedup();
        let merged = match &self.claimed {
            Some(claimed) => part::merge(parts, &claim::with(&self.lane.positions, claimed))?,
            None => part::merge(parts, &self.lane.positions)?,
        };
        let contents = Contents {
            spans: merged.spans.clone(),
            alert_ids: alert_ids.iter().map(|a| a.0).collect(),
            redriven: merged.redriven.clone(),
            state,
            ..Contents::default()
        };
        self.begin(contents, merged, spans, alert_ids).await?;
        self.retry().await
    }

    /// Decides the next epoch.
    pub(super) async fn begin(
        &mut self,
        contents: Contents,
        merged: Merged,
        spans: Vec<Span>,
        alert_ids: Vec<AlertId>,
    ) -> Result<(), Error> {
        let namer = Namer::new(&self.lane.lane, self.next_epoch(), &self.lane.writer);
        let now = now_us();
        let (encoded, mut merged) =
            encode_all(Arc::clone(&self.encoders), merged, namer, now).await?;
        let again = self.claimed.is_some().then(|| contents.clone());
        if again.is_none() {
            (merged.dead_letters, merged.alerts) = (Vec::new(), Vec::new());
        }
        let commit = Box::new(Commit::new(self.lane.seal(contents, encoded, now)));
        self.pending = Some(Pending { commit, spans, alert_ids, again, merged });
        Ok(())
    }

    /// Goes on with the epoch whose commit failed with [`Kind::Store`].
    ///
    /// # Errors
    /// As [`Lake::commit`]; [`Kind::Unfinished`] when there is none.
    pub async fn retry(&mut self) -> Result<Committed, Error> {
        loop {
            let Some(pending) = &mut self.pending else {
                return Err(Error::new(Kind::Unfinished, "no epoch waits to be finished"));
            };
            match drive(&self.store, |answers| pending.commit.step(answers)).await {
                Ok(()) => break,
                Err(error) if error.kind() == Kind::Fenced => self.give_way(error).await?,
                Err(error) => {
                    if error.kind() != Kind::Store {
                        self.pending = None;
                    }
                    return Err(error);
                }
            }
        }
        let Pending { commit, spans, alert_ids, merged, .. } =
            self.pending.take().expect("it was there when we began");
        let sealed = commit.sealed;
        self.lane.committed(&sealed.manifest, sealed.hash);
        let (epoch, files) = (sealed.manifest.epoch, sealed.manifest.files);
        let mut spent = merged.tables;
        spent.iter_mut().for_each(Rows::clear);
        Ok(Committed { epoch, spans, files, alert_ids, spent })
    }
}

pub(super) async fn recover(store: &LakeStore, lane: &str) -> Result<(Lane, Swept), Error> {
    let nonce = RandomState::new().hash_one((std::process::id(), now_us()));
    let writer = format!("{:08x}", nonce as u32);
    let mut recovery = Recovery::new(lane, &writer, now_us());
    drive(store, |answers| recovery.step(answers)).await
}

/// Carries a machine to its end.
pub(super) async fn drive<T>(at: &LakeStore, mut step: impl FnMut(Vec<Answer>) -> Step<T>) -> T {
    let mut answers = Vec::new();
    loop {
        match step(std::mem::take(&mut answers)) {
            Step::Do(requests) => answers = perform_all(at, requests).await,
            Step::Done(result) => return result,
        }
    }
}

/// Reads a state. One that is damaged or gone must not keep events from being stored; a store that does
/// not answer must.
async fn read_state(store: &LakeStore, file: &StateFile) -> Result<Option<Bytes>, Error> {
    let path = &file.path;
    match perform(store, Request::Get { path: path.clone() }).await {
        Answer::Bytes(bytes) if Checksum::of(&bytes) == file.checksum => Ok(Some(bytes)),
        Answer::Failed(failure) => {
            Err(Error::caused(Kind::Store, format!("the state {path} cannot be read"), failure))
        }
        _ => {
            tracing::error!(
                path,
                "the state of the lane is damaged or missing: starting without it"
            );
            Ok(None)
        }
    }
}

/// The threads that build files. They live as long as the lake, so that the memory of one epoch's work
/// serves the next.
fn encoders() -> Result<Arc<rayon::ThreadPool>, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(ENCODERS_MAX);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|n| format!("encode-{n}"))
        .build();
    let pool = pool.map_err(|e| Error::caused(Kind::Options, "no threads to write with", e))?;
    Ok(Arc::new(pool))
}

/// Plans and builds the files of an epoch on the threads for it; gives back what it is made of.
async fn encode_all(
    encoders: Arc<rayon::ThreadPool>,
    mut merged: Merged,
    mut namer: Namer,
    now: i64,
) -> Result<(Vec<Encoded>, Merged), Error> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
        Error::caused(Kind::Spans, "the rows of the epoch could not be made into Parquet", e)
    };
    let work = move || {
        let jobs = plan::plan(&mut merged, &mut namer, now);
        let built: Result<Vec<_>, _> = jobs.par_iter().map(encode::encode).collect();
        merged.tables = plan::rows_of(jobs);
        built.map(|encoded| (encoded, merged))
    };
    tokio::task::spawn_blocking(move || encoders.install(work))
        .await
        .map_err(|e| failed(e.into()))?
        .map_err(|e| failed(e.into()))
}

pub(super) async fn perform_all(store: &LakeStore, requests: Vec<Request>) -> Vec<Answer> {
    futures::stream::iter(requests)
        .map(|request| perform(store, request))
        .buffered(REQUESTS_MAX)
        .collect()
        .await
}

pub(super) async fn perform(at: &LakeStore, request: Request) -> Answer {
    use object_store::Error as Store;
    let LakeStore { store, root, .. } = at;
    let place = |path: &str| layout::under(root, path);
    let done = match request {
        Request::Put { path, bytes, if_absent } => {
            let mode = if if_absent { PutMode::Create } else { PutMode::Overwrite };
            store.put_opts(&place(&path), bytes.into(), mode.into()).await.map(|_| Answer::Done)
        }
        Request::Get { path } => get(store, &place(&path)).await,
        Request::Look { path } => store.head(&place(&path)).await.map(|_| Answer::Exists),
        Request::List { folder, after } => list(at, &folder, after.as_deref()).await,
        Request::Folders { folder } => folders(at, &folder).await,
        Request::Delete { path } => match store.delete(&place(&path)).await {
            Err(Store::NotFound { .. }) => Ok(Answer::Done),
            other => other.map(|()| Answer::Done),
        },
        Request::Sync { folder } => at.sync(&folder).await.map(|()| Answer::Done),
        Request::Wait { ms } => {
            // Tests of failures do not wait for them.
            let ms = if cfg!(test) { ms / 100 } else { ms };
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(Answer::Done)
        }
    };
    match done {
        Ok(answer) => answer,
        Err(Store::AlreadyExists { .. } | Store::Precondition { .. }) => Answer::Exists,
        Err(Store::NotFound { .. }) => Answer::Missing,
        Err(error) => Answer::Failed(error.into()),
    }
}

async fn get(
    store: &Arc<dyn ObjectStore>,
    path: &object_store::path::Path,
) -> object_store::Result<Answer> {
    store.get(path).await?.bytes().await.map(Answer::Bytes)
}

async fn list(
    LakeStore { store, root, .. }: &LakeStore,
    folder: &str,
    after: Option<&str>,
) -> object_store::Result<Answer> {
    let folder = layout::under(root, folder);
    let listed = match after {
        Some(after) => store.list_with_offset(Some(&folder), &layout::under(root, after)),
        None => store.list(Some(&folder)),
    };
    let paths: Vec<_> = listed.map_ok(|meta| meta.location).try_collect().await?;
    Ok(Answer::Paths(paths.iter().filter_map(|p| layout::relative(root, p)).collect()))
}

async fn folders(
    LakeStore { store, root, .. }: &LakeStore,
    folder: &str,
) -> object_store::Result<Answer> {
    let listed = store.list_with_delimiter(Some(&layout::under(root, folder))).await?;
    let folders = listed.common_prefixes.iter().filter_map(|p| layout::relative(root, p));
    Ok(Answer::Paths(folders.collect()))
}

/// Microseconds since 1970.
pub(super) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(super) mod tests;
