//! How a partition moves from one lane to another, because the process that read it is gone or the source gives it
//! to this one.
//!
//! ```text
//! Claim    an epoch of our own lane says that the partition is ours
//!   │
//! Look     where does every other lane stand?
//!   │
//! Take     each that has the partition gets an epoch that says it is ours now: put if absent at its end
//!   │
//! Go on    where the furthest of all lanes has ended
//! ```
//!
//! *Why in this order.* Whoever held the partition can no longer commit anything of it: the number of its next epoch
//! is taken, it reads by what, and refuses itself. Of two that claim at the same time each has said so before it
//! looked, so at least one of them sees the other and takes from it; never do both go on. What is read is fixed
//! only after all others are stopped.
//!
//! A lane whose number was taken gives way: when it holds nothing of what was taken, its epoch is made again under the next
//! number; else its process ends, and begins again with what is its own.

use event::PartitionKey;
use futures::{StreamExt, TryStreamExt};

use super::commit::{Contents, Lane, Sealed};
use super::error::{Error, Kind};
use super::hold::{Hold, Partition, Taken};
use super::lake::{Lake, drive, now_us, perform};
use super::layout;
use super::manifest::{Checksum, Manifest};
use super::part::{Merged, Positions, Resume, taken_over};
use super::protocol::{ATTEMPTS_MAX, Answer, Request, pause_before};
use super::recovery::Recovery;
use super::store::LakeStore;

/// Lanes that are looked at at once.
const LANES_AT_ONCE: usize = 8;
/// How often another lane may commit before we get a number of it.
const ROUNDS_MAX: u32 = 64;

/// Positions, with those of claimed partitions where they go on.
pub(super) fn with(positions: &Positions, claimed: &Positions) -> Positions {
    let mut all = positions.clone();
    for (key, found) in claimed {
        if let Some(resume) = all.get_mut(key).filter(|resume| resume.hold == Hold::Claimed) {
            (resume.upto, resume.state) = (found.upto, found.state.clone());
        }
    }
    all
}

impl Lake {
    /// Makes partitions this lane's, which other lanes may have read until now, and tells where they go on: 0
    /// where no lane knows of them. Spans begin there. What was read of them before and is not committed is lost to
    /// this process: its commit fails with [`Kind::Fenced`] when another lane has had them meanwhile.
    ///
    /// # Errors
    /// [`Kind::Store`]: call it again. [`Kind::Unfinished`]: an epoch waits for [`Lake::retry`].
    /// [`Kind::Damaged`] when it cannot be known where another lane stands. [`Kind::Fenced`]: stop.
    pub async fn claim(&mut self, keys: &[PartitionKey]) -> Result<Positions, Error> {
        let claimed = self.claimed.get_or_insert_default();
        claimed.retain(|key, _| !keys.contains(key));
        let is_ours = |contents: &Contents| !contents.claimed.is_empty();
        match self.pending.as_ref().map(|p| p.again.as_ref().is_some_and(is_ours)) {
            // Of an attempt before; it says the same or is said again.
            Some(true) => drop(self.retry().await?),
            Some(false) => {
                let what = format!("epoch {} is not finished", self.next_epoch());
                return Err(Error::new(Kind::Unfinished, what));
            }
            None => {}
        }
        let others = if planted!(ClaimUnsaid) {
            let others = self.take_from_others(keys).await?;
            self.say(keys).await?;
            others
        } else {
            self.say(keys).await?;
            self.take_from_others(keys).await?
        };
        let mut found = Positions::new();
        for key in keys {
            let own = self.positions().get(key);
            let all = own.into_iter().chain(others.iter().filter_map(|lane| lane.get(key)));
            let furthest = all.max_by_key(|resume| resume.upto);
            let (upto, state) =
                furthest.map(|resume| (resume.upto, resume.state.clone())).unwrap_or_default();
            found.insert(key.clone(), Resume { upto, state, hold: Hold::Claimed });
        }
        self.claimed.get_or_insert_default().extend(found.clone());
        Ok(found)
    }

    /// An epoch of our own that says it.
    async fn say(&mut self, keys: &[PartitionKey]) -> Result<(), Error> {
        let claimed = keys.iter().map(Partition::from).collect();
        let contents = Contents { claimed, ..Contents::default() };
        self.begin(contents, Merged::default(), Vec::new(), Vec::new()).await?;
        self.retry().await.map(drop)
    }

    /// Where the other lanes stand after the partitions were taken from them.
    async fn take_from_others(&self, keys: &[PartitionKey]) -> Result<Vec<Positions>, Error> {
        let folders = Request::Folders { folder: layout::MANIFESTS.to_owned() };
        let paths = match answer(&self.store, folders).await? {
            Answer::Paths(paths) => paths,
            _ => Vec::new(),
        };
        let lanes = paths.iter().filter_map(|path| path.rsplit('/').next());
        let others: Vec<String> = lanes
            .filter(|lane| *lane != self.lane.lane && *lane != layout::UPKEEP)
            .map(str::to_owned)
            .collect();
        let (store, by) = (&self.store, &self.lane);
        futures::stream::iter(others)
            .map(|lane| async move { take(store, &lane, by, keys).await })
            .buffered(LANES_AT_ONCE)
            .try_collect()
            .await
    }

    /// After another's manifest stood where the pending epoch was to go. When other lanes have taken partitions of
    /// which it holds nothing, it is decided anew, under the next number.
    pub(super) async fn give_way(&mut self, fenced: Error) -> Result<(), Error> {
        self.follow_takes().await?;
        let Some(pending) = self.pending.take() else { return Err(fenced) };
        let gone = pending.commit.sealed.manifest.epoch <= self.lane.head;
        let Some(contents) = pending.again.filter(|_| gone) else { return Err(fenced) };
        for span in &contents.spans {
            let partition =
                Partition { source: span.source.clone(), partition: span.partition.clone() };
            let key = partition.key();
            let resume = self.lane.positions.get(&key);
            if resume.is_some_and(|resume| resume.hold == Hold::Taken) && !planted!(TakenKept) {
                return Err(taken_over(&key));
            }
        }
        self.begin(contents, pending.merged, pending.spans, pending.alert_ids).await
    }

    /// Goes past what other lanes have put at the end of ours.
    async fn follow_takes(&mut self) -> Result<(), Error> {
        loop {
            let path = layout::manifest(&self.lane.lane, self.lane.head + 1);
            let answer = answer(&self.store, Request::Get { path }).await?;
            let Answer::Bytes(bytes) = answer else { return Ok(()) };
            let Ok((manifest, hash)) = Manifest::decode(&bytes) else { return Ok(()) };
            let is_take = !manifest.taken.is_empty() && manifest.writer != self.lane.writer;
            if !is_take || manifest.previous != self.lane.hash {
                return Ok(());
            }
            for Taken { partition, by } in &manifest.taken {
                let Partition { source, partition } = partition;
                tracing::warn!(source, partition, by, "another process has taken this over");
            }
            self.lane.committed(&manifest, hash);
        }
    }
}

/// Takes what a lane has of these partitions; where the lane stands then.
async fn take(
    store: &LakeStore,
    name: &str,
    by: &Lane,
    keys: &[PartitionKey],
) -> Result<Positions, Error> {
    for _ in 0..ROUNDS_MAX {
        let mut look = Recovery::look(name, &by.writer);
        let (mut lane, _) = drive(store, |answers| look.step(answers)).await?;
        let has = |key: &&PartitionKey| {
            lane.positions.get(key).is_some_and(|resume| resume.hold != Hold::Taken)
        };
        let taken: Vec<Taken> = keys
            .iter()
            .filter(has)
            .map(|key| Taken { partition: key.into(), by: by.lane.clone() })
            .collect();
        if taken.is_empty() || planted!(ClaimLooksOnly) {
            return Ok(lane.positions);
        }
        let contents = Contents { taken, ..Contents::default() };
        let sealed = lane.seal(contents, Vec::new(), now_us());
        if put(store, &sealed).await? {
            lane.committed(&sealed.manifest, sealed.hash);
            return Ok(lane.positions);
        }
    }
    let what = format!("the lane {name} is written so fast that nothing can be taken from it");
    Err(Error::new(Kind::Store, what))
}

/// Puts a manifest at the end of its lane; whether it is there. No answer is neither.
async fn put(store: &LakeStore, sealed: &Sealed) -> Result<bool, Error> {
    let path = layout::manifest(&sealed.manifest.lane, sealed.manifest.epoch);
    let put = Request::Put { path: path.clone(), bytes: sealed.bytes.clone(), if_absent: true };
    let mut failure = None;
    for attempt in 1..=ATTEMPTS_MAX {
        match perform(store, put.clone()).await {
            Answer::Done => return Ok(true),
            Answer::Failed(error) => {
                failure = Some(error);
                perform(store, pause_before(attempt)).await;
            }
            _ => {
                let there = answer(store, Request::Get { path: path.clone() }).await?;
                let hash = match &there {
                    Answer::Bytes(bytes) => Some(Checksum::of(bytes)),
                    _ => None,
                };
                return Ok(hash == Some(sealed.hash));
            }
        }
    }
    let what = format!("the manifest {path} could not be put");
    Err(match failure {
        Some(failure) => Error::caused(Kind::Store, what, failure),
        None => Error::new(Kind::Store, what),
    })
}

/// The answer of a store that answers.
async fn answer(store: &LakeStore, request: Request) -> Result<Answer, Error> {
    let what = format!("the lake {} does not answer", store.url);
    match perform(store, request).await {
        Answer::Failed(failure) => Err(Error::caused(Kind::Store, what, failure)),
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests;
