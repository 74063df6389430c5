//! A made-up vendor's events: what happened when, and when the vendor shows it.

use crate::poll::backoff::Chance;

pub(super) const SECOND: i64 = 1_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// 2026-03-01T00:00:00Z
pub(super) const START: i64 = 1_772_323_200_000;

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub number: u64,
    pub time_ms: i64,
    /// When a query first shows it.
    pub shown_ms: i64,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// Bytes that are no UTF-8, and a raw line break, inside a text.
    Poisoned,
    /// The vendor gives it twice in every answer that holds it.
    Doubled,
}

/// What a vendor documents about time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lateness {
    /// Nearly all are shown within this.
    pub usual_ms: i64,
    /// All are shown within this.
    pub most_ms: i64,
    /// Times have no finer part than this.
    pub granule_ms: i64,
}

/// Events of a number of days, about so many an hour: quiet hours, bursts within one second, some late.
pub(super) fn events(days: i64, per_hour: u64, lateness: Lateness, seed: u64) -> Vec<Event> {
    let mut chance = Chance::new(seed);
    let mut events = Vec::new();
    for hour in 0..days * 24 {
        let mut count = match chance.below(8) {
            0 => 0,
            1 => per_hour * 3,
            _ => per_hour,
        };
        while count > 0 {
            let moment = START + hour * HOUR + chance.below(HOUR as u64) as i64;
            let moment = moment / lateness.granule_ms * lateness.granule_ms;
            let together = if chance.below(12) == 0 { 1 + chance.below(25) } else { 1 };
            for _ in 0..together.min(count) {
                let late = match chance.below(20) {
                    0 => chance.below(lateness.most_ms as u64 + 1),
                    1..5 => chance.below(lateness.usual_ms as u64 + 1),
                    _ => chance.below(20 * SECOND as u64),
                };
                let kind = match chance.below(200) {
                    0 => Kind::Poisoned,
                    1..5 => Kind::Doubled,
                    _ => Kind::Plain,
                };
                let number = events.len() as u64;
                let shown_ms = moment + late.min(lateness.most_ms as u64) as i64;
                events.push(Event { number, time_ms: moment, shown_ms, kind });
            }
            count -= together.min(count);
        }
    }
    events
}

impl Event {
    /// The id as the vendor gives it.
    pub fn id(&self) -> String {
        format!("e-{:08}", self.number)
    }

    /// The id of what else happened, with vendors that tell several events as one.
    pub fn second_id(&self) -> String {
        format!("s-{:08}", self.number)
    }
}
