//! One partition between the broker and the pipeline: what waits, and whether the end is reached.

use std::time::{Duration, Instant};

use event::PartitionKey;

use crate::assembler::LINGER;
use crate::framing::Frames;
use crate::ledger::Ledger;

/// A partition that is past its end and gives nothing for this long is at its end. Longer than the
/// broker keeps a question for news (`fetch.wait.max.ms`, half a second).
const SETTLED: Duration = Duration::from_secs(1);
/// A partition whose end the client has seen and that gives nothing for this long is at its end.
const QUIET: Duration = Duration::from_secs(5);
/// A partition that is past its end and does not get quiet is asked after, so often.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Where reading to the end stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The offset after the last message, as the broker tells it.
    pub at: u64,
    /// Whether the end at the start is surely before `at`. Some brokers tell as the end a place within
    /// the last batch.
    pub is_sure: bool,
}

pub(super) struct Part {
    pub key: PartitionKey,
    pub ledger: Ledger,
    pub frames: Frames,
    /// The offset after the last message that was framed.
    pub next: u64,
    /// Since when something waits.
    pub since: Option<Instant>,
    pub assigned: bool,
    /// Given back as soon as what was handed over is finished.
    pub leaving: bool,
    /// Whether `next` is known, from the lake or from a message.
    pub begun: bool,
    /// For `until_end`: the end that was there at the start.
    pub end: Option<End>,
    /// When the broker was last asked for a later end; at first, since when it is past its end.
    asked: Option<Instant>,
    /// Read to its end; nothing more is taken.
    pub done: bool,
    /// When the last message came, by the time that was spent waiting for messages.
    pub last: Duration,
}

impl Part {
    pub fn new(key: PartitionKey, position: Option<u64>) -> Self {
        Self {
            key,
            ledger: Ledger::new(position.unwrap_or(0)),
            frames: Frames::default(),
            next: 0,
            since: None,
            assigned: false,
            leaving: false,
            begun: false,
            end: None,
            asked: None,
            done: false,
            last: Duration::ZERO,
        }
    }

    /// Takes it up at a position; what was framed and not handed over is forgotten.
    pub fn assign(&mut self, next: Option<u64>) {
        self.forget();
        self.next = next.unwrap_or(self.next);
        self.assigned = true;
        self.begun = next.is_some();
    }

    pub fn forget(&mut self) {
        self.frames = Frames::default();
        self.since = None;
        self.next = self.ledger.emitted();
        self.assigned = false;
        self.leaving = false;
    }

    /// Whether messages of it are taken.
    pub fn is_reading(&self) -> bool {
        self.assigned && !self.leaving && !self.done
    }

    /// Whether it is at the end that was there at the start, or as near to it as there are messages:
    /// the marks of transactions stand behind the last one. `waited` is the time that was spent
    /// waiting for messages, `seen` where the client last saw an end.
    pub fn is_at_end(&self, waited: Duration, seen: Option<i64>) -> bool {
        let quiet = waited.saturating_sub(self.last);
        let past =
            self.end.is_some_and(|end| self.next >= end.at && (end.is_sure || quiet >= SETTLED));
        let seen = seen.and_then(|offset| u64::try_from(offset).ok());
        past || (seen.is_some_and(|offset| offset >= self.next) && quiet >= QUIET)
    }

    /// Past an end that is not sure, with more coming all the time: whether the broker is to be asked now
    /// if more was written since.
    pub fn is_to_ask_again(&mut self, now: Instant) -> bool {
        if self.end.is_none_or(|end| end.is_sure || self.next < end.at) {
            return false;
        }
        let asked = *self.asked.get_or_insert(now);
        let is_time = now.saturating_duration_since(asked) >= ASK_EVERY;
        if is_time {
            self.asked = Some(now);
        }
        is_time
    }

    pub fn is_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= LINGER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_where_nothing_more_comes() {
        let key = PartitionKey { source: "s".into(), partition: "t-0".into() };
        let mut part = Part::new(key, Some(7));
        part.assign(Some(7));
        let second = Duration::from_secs(1);
        assert!(!part.is_at_end(100 * second, None), "nothing is known of an end");
        part.end = Some(End { at: 9, is_sure: false });
        let now = Instant::now();
        assert!(!part.is_at_end(100 * second, None) && !part.is_to_ask_again(now));
        // The client has seen an end: only marks of transactions stand between.
        assert!(!part.is_at_end(4 * second, Some(8)) && part.is_at_end(5 * second, Some(8)));
        assert!(!part.is_at_end(5 * second, Some(6)), "seen before it was read on");
        (part.next, part.last) = (9, 20 * second);
        assert!(!part.is_at_end(20 * second, None) && !part.is_to_ask_again(now));
        assert!(part.is_to_ask_again(now + 2 * second), "more comes all the time");
        assert!(!part.is_to_ask_again(now + 3 * second) && part.is_to_ask_again(now + 4 * second));
        assert!(part.is_at_end(21 * second, None));
        // More was written since, so the old end was before it.
        part.end = Some(End { at: 12, is_sure: true });
        assert!(!part.is_at_end(21 * second, None));
        part.next = 12;
        assert!(part.is_at_end(20 * second, None) && !part.is_to_ask_again(now + 100 * second));
    }
}
