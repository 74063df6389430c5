//! Which hours of which sources the lake holds, and why others are not there: from the events that it has and from
//! the record that the program keeps of its sources ([`crate::sight::collection`]).
//!
//! A source whose other side keeps what was not read yet is proved by how far it was read, however often the program
//! stood still. One that only hears is proved minute by minute. This module asks nobody and reads no clock.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Microseconds of an hour.
pub const HOUR_US: i64 = 3_600_000_000;
const MINUTE_US: i64 = 60_000_000;

/// A row of the table `mantissa_collection`. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Stretch {
    pub source: String,
    pub log_type: String,
    pub kind: Kind,
    pub keeps: bool,
    pub from: i64,
    pub to: i64,
    pub read_from: Option<i64>,
    pub read_to: Option<i64>,
    pub why: Option<String>,
}

/// How a source stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Kind {
    #[serde(rename = "source.read")]
    Read,
    #[serde(rename = "source.waited")]
    Waited,
    #[serde(rename = "source.gap")]
    Gap,
}

/// The events of an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub events: u64,
    /// Filed under their arrival.
    pub late: u64,
}

/// The events of each source by the beginning of the hour.
pub type HeldByHour = BTreeMap<(String, i64), Held>;

/// What is known of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Read to its end, and there are events.
    Held,
    /// Read to its end, and there was nothing.
    Empty,
    /// Heard in part.
    Partial,
    /// It cannot be had any more.
    Missing,
    /// Its other side keeps it; it is not read to its end yet.
    Behind,
    /// It is not over.
    Open,
    /// There are events, from before anything was recorded of the source.
    Unproved,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Empty => "empty",
            Self::Partial => "partial",
            Self::Missing => "missing",
            Self::Behind => "behind",
            Self::Open => "open",
            Self::Unproved => "unproved",
        }
    }
}

/// An hour of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hour {
    pub source: String,
    /// Its beginning.
    pub at: i64,
    pub state: State,
    pub held: Held,
    /// Whole minutes that were read or heard.
    pub minutes: u8,
    pub why: Option<String>,
}

/// The program was not there to hear.
const NOT_RUNNING: &str = "the program did not run";
const NOT_READ: &str = "it was not read so far yet";

/// All hours that begin in `from..to`, source by source.
pub fn hours(
    stretches: &[Stretch],
    held: &HeldByHour,
    (from, to): (i64, i64),
    now: i64,
) -> Vec<Hour> {
    let mut by_source: BTreeMap<&str, Vec<&Stretch>> = BTreeMap::new();
    for stretch in stretches {
        by_source.entry(&stretch.source).or_default().push(stretch);
    }
    let names: BTreeSet<&str> =
        by_source.keys().copied().chain(held.keys().map(|(source, _)| source.as_str())).collect();
    let first = from.div_euclid(HOUR_US) * HOUR_US;
    let mut out = Vec::new();
    for source in names {
        let of = Source::new(by_source.get(source).map_or(&[][..], Vec::as_slice));
        for at in (first..to.min(now)).step_by(HOUR_US as usize) {
            let held = held.get(&(source.to_owned(), at)).copied().unwrap_or_default();
            if let Some((state, minutes, why)) = of.judge(at, held, now) {
                out.push(Hour { source: source.to_owned(), at, state, held, minutes, why });
            }
        }
    }
    out
}

/// What is recorded of one source.
struct Source<'s> {
    stretches: &'s [&'s Stretch],
    keeps: bool,
    /// Nothing is known of the time before.
    began: Option<i64>,
    read_to: Option<i64>,
}

impl<'s> Source<'s> {
    fn new(stretches: &'s [&'s Stretch]) -> Self {
        let began = stretches.iter().map(|s| s.read_from.map_or(s.from, |at| at.min(s.from))).min();
        Self {
            stretches,
            keeps: stretches.iter().any(|stretch| stretch.keeps),
            began,
            read_to: stretches.iter().filter_map(|stretch| stretch.read_to).max(),
        }
    }

    /// `None`: nothing is known of that hour.
    fn judge(&self, at: i64, held: Held, now: i64) -> Option<(State, u8, Option<String>)> {
        let end = at + HOUR_US;
        let proved = self.began.is_some_and(|began| end > began);
        if !proved {
            return (held.events > 0).then_some((State::Unproved, 0, None));
        }
        let covered = self.covered(at, end);
        let minutes = (covered / MINUTE_US) as u8;
        let gap = self.overlapping(Kind::Gap, at, end).next();
        let state = match () {
            () if gap.is_some() => State::Missing,
            () if covered >= HOUR_US && held.events > 0 => State::Held,
            () if covered >= HOUR_US => State::Empty,
            () if end > now => State::Open,
            () if self.keeps => State::Behind,
            () if covered == 0 && held.events == 0 => State::Missing,
            () => State::Partial,
        };
        let why = match state {
            State::Missing | State::Partial | State::Behind => Some(match gap {
                Some(gap) => gap.why.clone().unwrap_or_default(),
                None => self.why(at, end, now),
            }),
            _ => None,
        };
        Some((state, minutes, why))
    }

    /// How much of a time was read, or heard.
    fn covered(&self, from: i64, to: i64) -> i64 {
        match (self.keeps, self.read_to) {
            (true, Some(read_to)) => (read_to.min(to) - from).max(0),
            _ => {
                let overlap = |s: &Stretch| (s.to.min(to) - s.from.max(from)).max(0);
                self.overlapping(Kind::Read, from, to).map(overlap).sum()
            }
        }
    }

    fn overlapping(&self, kind: Kind, from: i64, to: i64) -> impl Iterator<Item = &'s Stretch> {
        let all = self.stretches.iter().copied();
        all.filter(move |s| s.kind == kind && s.from < to && (s.to > from || s.from >= from))
    }

    /// Why the rest of an hour was not read. What is kept may have been out of reach at any time since.
    fn why(&self, from: i64, to: i64, now: i64) -> String {
        let until = if self.keeps { now } else { to };
        if let Some(waited) = self.overlapping(Kind::Waited, from, until).last() {
            return waited.why.clone().unwrap_or_default();
        }
        // A source that has stopped for good says so once.
        let before = self.stretches.iter().filter(|s| s.from < to).max_by_key(|s| s.to);
        match before {
            Some(last) if last.kind == Kind::Waited && last.from == last.to => {
                last.why.clone().unwrap_or_default()
            }
            _ if self.keeps => NOT_READ.to_owned(),
            _ => NOT_RUNNING.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 10 * HOUR_US + 30 * MINUTE_US;

    fn stretch(kind: Kind, keeps: bool, from_min: i64, to_min: i64) -> Stretch {
        Stretch {
            source: "s".into(),
            log_type: "t".into(),
            kind,
            keeps,
            from: from_min * MINUTE_US,
            to: to_min * MINUTE_US,
            read_from: None,
            read_to: None,
            why: (kind != Kind::Read).then(|| "HTTP 503".to_owned()),
        }
    }

    fn read_to(minute: i64) -> Stretch {
        let (read_from, read_to) = (Some(120 * MINUTE_US), Some(minute * MINUTE_US));
        Stretch { read_from, read_to, ..stretch(Kind::Read, true, 500, 630) }
    }

    /// Hour by hour: state, minutes and reason.
    fn check(stretches: &[Stretch], events: &[i64], expected: &[(i64, State, u8, &str)]) {
        let held = events
            .iter()
            .map(|hour| (("s".to_owned(), hour * HOUR_US), Held { events: 7, late: 1 }));
        let found = hours(stretches, &held.collect(), (0, 12 * HOUR_US), NOW);
        let found: Vec<_> = found
            .iter()
            .map(|h| (h.at / HOUR_US, h.state, h.minutes, h.why.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(found, expected, "{stretches:?}");
    }

    #[test]
    fn what_is_kept_is_proved_by_how_far_it_was_read() {
        use State::{Behind, Empty, Held, Open, Unproved};
        check(
            &[read_to(120), read_to(8 * 60 + 15)],
            &[1, 3],
            &[
                (1, Unproved, 0, ""),
                (2, Empty, 60, ""),
                (3, Held, 60, ""),
                (4, Empty, 60, ""),
                (5, Empty, 60, ""),
                (6, Empty, 60, ""),
                (7, Empty, 60, ""),
                (8, Behind, 15, NOT_READ),
                (9, Behind, 0, NOT_READ),
                (10, Open, 0, ""),
            ],
        );
        let away = stretch(Kind::Waited, true, 9 * 60, 10 * 60);
        let found = hours(&[read_to(120), read_to(495), away], &HeldByHour::new(), (0, NOW), NOW);
        assert_eq!(found[6].why.as_deref(), Some("HTTP 503"), "what kept it from being read since");
    }

    #[test]
    fn what_the_other_side_has_lost_is_missing() {
        let gap = stretch(Kind::Gap, true, 4 * 60 + 10, 5 * 60);
        let found = hours(&[read_to(120), read_to(600), gap], &HeldByHour::new(), (0, NOW), NOW);
        let state = |hour: i64| found.iter().find(|h| h.at == hour * HOUR_US).map(|h| h.state);
        assert_eq!(state(4), Some(State::Missing));
        assert_eq!((state(3), state(5)), (Some(State::Empty), Some(State::Empty)));
    }

    #[test]
    fn what_is_only_heard_is_proved_minute_by_minute() {
        use State::{Empty, Held, Missing, Open, Partial};
        let stopped = stretch(Kind::Waited, false, 9 * 60 + 5, 9 * 60 + 5);
        check(
            &[
                stretch(Kind::Read, false, 4 * 60, 6 * 60 + 20),
                stretch(Kind::Waited, false, 6 * 60 + 20, 7 * 60),
                stretch(Kind::Read, false, 8 * 60 + 30, 9 * 60 + 5),
                stopped,
            ],
            &[4],
            &[
                (4, Held, 60, ""),
                (5, Empty, 60, ""),
                (6, Partial, 20, "HTTP 503"),
                (7, Missing, 0, NOT_RUNNING),
                (8, Partial, 30, NOT_RUNNING),
                (9, Partial, 5, "HTTP 503"),
                (10, Open, 0, ""),
            ],
        );
    }

    #[test]
    fn events_without_a_record_are_unproved() {
        check(&[], &[2], &[(2, State::Unproved, 0, "")]);
    }
}
