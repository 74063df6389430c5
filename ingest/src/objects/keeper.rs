//! Keeps notifications from others while their objects are read, and deletes them when these are in the lake.
//! Works beside the reading, which may have to wait for the pipeline.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::notices::{Notice, Notices};
use crate::meter::Meter;

struct Held {
    notice: Notice,
    extend_at: Instant,
    is_done: bool,
}

/// The notifications that are here.
#[derive(Clone)]
pub(super) struct Keeper {
    queue: Arc<dyn Notices>,
    held: Arc<Mutex<HashMap<String, Held>>>,
    meter: Meter,
}

const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Keeper {
    pub fn new(queue: Arc<dyn Notices>, meter: Meter) -> Self {
        Self { queue, held: Arc::default(), meter }
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(self.queue.lease_s())
    }

    /// Takes a message. False: it is here already, and its newer receipt is kept.
    pub fn take(&self, notice: &Notice) -> bool {
        let mut held = self.held.lock();
        let extend_at = Instant::now() + self.lease() / 2;
        match held.get_mut(&notice.id) {
            Some(here) => {
                here.notice.receipt.clone_from(&notice.receipt);
                here.extend_at = extend_at;
                false
            }
            None => {
                let held_now = Held { notice: notice.clone(), extend_at, is_done: false };
                held.insert(notice.id.clone(), held_now);
                true
            }
        }
    }

    /// Everything that it told of is in the lake.
    pub fn done(&self, id: &str) {
        if let Some(held) = self.held.lock().get_mut(id) {
            held.is_done = true;
        }
    }

    /// It could not be worked off now: it is left to come again when its lease is over.
    pub fn let_go(&self, id: &str) {
        self.held.lock().remove(id);
    }

    pub fn len(&self) -> usize {
        self.held.lock().len()
    }

    fn has_done(&self) -> bool {
        self.held.lock().values().any(|held| held.is_done)
    }

    /// Works until it is aborted.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look().await;
        }
    }

    /// Deletes what is done, for at most this long.
    pub async fn last_words(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while self.has_done() && Instant::now() < until {
            self.look().await;
            tokio::time::sleep(LOOK_EVERY / 10).await;
        }
    }

    async fn look(&self) {
        let now = Instant::now();
        let due = |held: &&Held| held.is_done || held.extend_at <= now;
        let due: Vec<_> =
            self.held.lock().values().filter(due).map(|h| (h.notice.clone(), h.is_done)).collect();
        for (mut notice, is_done) in due {
            let worked = match is_done {
                true => self.queue.delete(&notice).await,
                false => self.queue.extend(&mut notice).await,
            };
            let mut held = self.held.lock();
            match worked {
                Ok(()) if is_done => drop(held.remove(&notice.id)),
                Ok(()) => {
                    if let Some(held) = held.get_mut(&notice.id) {
                        held.notice.receipt = notice.receipt;
                        held.extend_at = now + self.lease() / 2;
                    }
                }
                Err(words) => {
                    self.meter.error();
                    tracing::warn!(source = self.meter.source(), "a notification: {words}");
                    // Its receipt is no longer good, or the queue is away: it comes again, and is then
                    // recognised.
                    held.remove(&notice.id);
                }
            }
        }
    }
}
