//! The past of a polled source, read beside its live collection: what the vendor still has of a stretch of
//! time, by a cursor of its own. Never touches what the live collection reads, now or again, so that no
//! event is got by both at the same time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::connector::{Connector, CursorRule};
use super::cursor::Cursor;
use super::handover::cursor_of;
use super::session::Session;
use super::source::PollSource;
use crate::source::Resume;

/// From both ends of a window a vendor may leave out what belongs to it.
const OVERLAP_MS: i64 = 2_000;

/// A stretch of time, its end excluded, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub from_ms: i64,
    pub to_ms: i64,
}

/// How far the reading is; shared with whoever shows it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Mutex<(Option<i64>, Option<String>)>>);

impl Standing {
    /// Everything before this time was read, by the vendor's cursor.
    pub fn done_ms(&self) -> Option<i64> {
        self.0.lock().0
    }

    /// What keeps it from reading on, in words.
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().1.clone()
    }

    pub(super) fn tell(&self, session: &Session, until_ms: i64) {
        let pollers = session.pollers();
        let done = |poller: &super::poller::Poller| match poller.window_rule() {
            Some(_) => Some(poller.cursor().oldest_ms(0)),
            None if poller.caught_up_ms().is_some() => Some(until_ms),
            None => poller.stats.last_event_ms,
        };
        let done = pollers.iter().map(done).min().flatten().map(|ms| ms.min(until_ms));
        let trouble = pollers.iter().find_map(|poller| poller.stats.trouble.clone());
        *self.0.lock() = (done, trouble);
    }
}

/// What a source is to read of the past.
#[derive(Debug)]
pub(super) struct Past {
    pub stretch: Stretch,
    pub standing: Standing,
}

/// How the vendor is asked for what has settled long ago: every stretch of time twice, because equal questions
/// do not always get equal answers.
pub(super) fn of_past(connector: &Connector) -> Connector {
    let mut connector = connector.clone();
    if let CursorRule::Window(rule) = &mut connector.cursor {
        rule.rescan_ms = vec![1];
        rule.overlap_ms = rule.overlap_ms.min(OVERLAP_MS);
    }
    connector
}

impl PollSource {
    /// How long the vendor keeps events, in milliseconds, where that is known.
    pub fn retention_ms(&self) -> Option<i64> {
        self.resolved.connector.retention_ms
    }

    /// The time from which on the live collection reads, or reads again, by itself; no earlier, because what is
    /// between the end of the past and where the live collection has begun would be read by nobody. `live` is
    /// where the lake has it: what it handed over since is of later times, and all before is in the lake. Of what
    /// has not begun there, `None` where it is about to, else where it would begin now.
    ///
    /// # Errors
    /// In words, when a state cannot be read.
    pub fn live_from_ms(
        &self,
        live: &HashMap<Arc<str>, Resume>,
        now_ms: i64,
        is_about_to_begin: bool,
    ) -> Result<Option<i64>, String> {
        let begin_ms = now_ms - self.resolved.backfill_ms(&self.options);
        let mut from_ms = i64::MAX;
        for (name, _) in &self.resolved.partitions {
            let cursor = cursor_of(name, live.get(name.as_str()))?;
            if cursor.is_none() && is_about_to_begin {
                return Ok(None);
            }
            let mut cursor = cursor.unwrap_or_else(|| Cursor::new(begin_ms));
            let asks_from_ms = match &self.resolved.connector.cursor {
                CursorRule::Window(rule) => {
                    cursor.adopt(rule);
                    cursor.asks_from_ms(rule)
                }
                CursorRule::Token { .. } => cursor.done_ms,
            };
            from_ms = from_ms.min(asks_from_ms);
        }
        Ok(Some(from_ms.min(now_ms)))
    }

    /// The source as it reads this stretch of the past, and ends.
    pub fn between(mut self, stretch: Stretch) -> (Self, Standing) {
        self.resolved.connector = Arc::new(of_past(&self.resolved.connector));
        self.options.until_end = true;
        let standing = Standing::default();
        self.past = Some(Past { stretch, standing: standing.clone() });
        (self, standing)
    }
}
