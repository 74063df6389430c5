//! The part of a stream that this process reads, where several read it: takes turns at the board.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::partition;
use super::shard::State;
use super::share::{Ended, News, Share, Sheet};
use crate::begin::Start;
use crate::board::Board;
use crate::poll::source::seed;

/// As many signs of life come before a process counts as dead.
const BEATS: u32 = 4;
/// A process that ends tries this often to say so.
const LEAVE_TRIES: u32 = 5;

/// A shard that this process owns.
#[derive(Debug)]
pub(super) struct Mine {
    pub tenure: u32,
    /// Where the tenure began.
    pub place: State,
    /// Somebody who lives wants it: it is to be given up.
    pub is_wanted: bool,
}

#[derive(Debug)]
pub(super) struct Replicas {
    board: Arc<dyn Board>,
    /// Of the board.
    name: String,
    source: Arc<str>,
    created_s: i64,
    share: Share,
    every: Duration,
    due: Instant,
    /// As it was last read, or put.
    sheet: Sheet,
}

impl Replicas {
    /// `start`: where shards begin when nobody has read the stream before.
    pub fn new(
        board: Arc<dyn Board>,
        source: Arc<str>,
        created_s: i64,
        start: Start,
        lapse: Duration,
    ) -> Self {
        let share = Share::new(board.lane(), seed(), lapse);
        let name = format!("{source}-{created_s}");
        let sheet = Sheet { start, ..Sheet::default() };
        let (every, due) = (lapse / BEATS, Instant::now());
        Self { board, name, source, created_s, share, every, due, sheet }
    }

    /// Joins the others: from then on this process may own shards. Where shards begin of which nothing is known.
    pub async fn join(&mut self) -> Result<Start, String> {
        while !self.share.is_in(&self.sheet) {
            self.turn(&News::default()).await?;
        }
        self.hurry();
        Ok(self.sheet.start)
    }

    pub fn is_due(&self) -> bool {
        self.due <= Instant::now()
    }

    /// The next turn is not to be waited for.
    pub fn hurry(&mut self) {
        self.due = Instant::now();
    }

    /// Reads the newest sheet, says what is new, and takes shards.
    pub async fn turn(&mut self, news: &News) -> Result<(), String> {
        self.due = Instant::now() + self.every;
        let (number, sheet) = self.newest().await?;
        self.share.look(&sheet, Instant::now());
        let mut free = self.share.free(&sheet, &news.ready, Instant::now());
        let relieved = self.relieve(&sheet, &mut free).await;
        let next = self.share.change(&sheet, news, &free, &relieved, Instant::now());
        self.put(number + 1, next, sheet).await
    }

    async fn newest(&self) -> Result<(u64, Sheet), String> {
        let Some((number, bytes)) = self.board.newest(&self.name).await? else {
            return Ok((0, Sheet { start: self.sheet.start, ..Sheet::default() }));
        };
        let sheet = serde_json::from_slice(&bytes);
        Ok((number, sheet.map_err(|e| format!("the board {} cannot be read: {e}", self.name))?))
    }

    async fn put(&mut self, number: u64, next: Sheet, read: Sheet) -> Result<(), String> {
        let bytes = serde_json::to_vec(&next).unwrap_or_default();
        match self.board.put(&self.name, number, bytes.into()).await {
            Ok(true) => self.sheet = next,
            // Somebody was faster: what was read is what counts until it is read again.
            Ok(false) => (self.sheet, self.due) = (read, Instant::now() + self.every / 8),
            Err(words) => {
                self.sheet = read;
                return Err(words);
            }
        }
        Ok(())
    }

    /// Relieves the dead of what they own among these; where it stands. What cannot be had is no longer free.
    async fn relieve(&self, sheet: &Sheet, free: &mut Vec<String>) -> HashMap<String, State> {
        let mut relieved = HashMap::new();
        for (lane, shards) in Share::orphans(sheet, free) {
            let positions = match self.board.take_over(&lane, &self.source).await {
                Ok(positions) => positions,
                Err(words) => {
                    tracing::warn!(source = %self.source, %lane, "gives no sign of life and cannot be relieved: {words}");
                    free.retain(|shard| !shards.contains(shard));
                    continue;
                }
            };
            tracing::warn!(source = %self.source, %lane, ?shards, "gives no sign of life: its shards are read on here");
            for shard in shards {
                let lease = &sheet.shards[&shard];
                let at = positions.get(&partition(self.created_s, &shard, lease.tenure));
                let state = at.and_then(|at| at.state.as_deref());
                match state.map_or(Ok(lease.place.clone()), serde_json::from_str) {
                    Ok(state) => _ = relieved.insert(shard, state),
                    Err(error) => {
                        tracing::error!(%shard, %error, "where it stands cannot be read: it waits for a person");
                    }
                }
            }
        }
        relieved
    }

    /// The shards that this process owns.
    pub fn mine(&self) -> BTreeMap<String, Mine> {
        let wanted = self.share.wanted(&self.sheet, Instant::now());
        let mine = self.share.mine(&self.sheet).into_iter().map(|(shard, lease)| {
            let (tenure, place) = (lease.tenure, lease.place.clone());
            (shard.to_owned(), Mine { tenure, place, is_wanted: wanted.contains(&shard) })
        });
        mine.collect()
    }

    pub fn is_over(&self, shard: &str) -> bool {
        self.sheet.shards.get(shard).is_some_and(|lease| lease.place.is_over)
    }

    /// Shards that were begun and are not over.
    pub fn open(&self) -> impl Iterator<Item = &String> {
        self.sheet.shards.iter().filter(|(_, lease)| !lease.place.is_over).map(|(shard, _)| shard)
    }

    /// What arrived before was read of all shards by all processes, of these which may be read.
    pub fn read_to_ms(&self, ready: &BTreeSet<String>) -> Option<i64> {
        let read_to = |shard: &String| self.sheet.shards.get(shard).map_or(0, |l| l.read_to_ms);
        ready.iter().map(read_to).min().filter(|ms| *ms > 0)
    }

    /// The process ends: gives everything back that is in the lake.
    pub async fn leave(mut self, ended: Ended) {
        let news = News { ended, ..News::default() };
        for _ in 0..LEAVE_TRIES {
            let gone = async {
                let (number, sheet) = self.newest().await?;
                let next = self.share.change(&sheet, &news, &[], &HashMap::new(), Instant::now());
                let next = self.share.without(next);
                let bytes = serde_json::to_vec(&next).unwrap_or_default();
                self.board.put(&self.name, number + 1, bytes.into()).await
            };
            match gone.await {
                Ok(true) => return,
                Ok(false) => {}
                Err(words) => tracing::warn!(source = %self.source, "{words}"),
            }
        }
    }
}
