//! Where a partition stands, and what it is to ask for next. Pure arithmetic of time.
//!
//! There are two kinds of cursor and nothing else. A *token* is the vendor's own, in the order in which
//! events arrived there; nothing is before it that was not given. A *window* of event time is
//! `[cursor - overlap, now - settle]`: it is asked for as a whole, and its end becomes the cursor when all
//! of it was read, whether it held events or not. Events that a vendor shows later than that are found by
//! reading every stretch of time again when it has reached certain ages. The cursor is never the time of an
//! event, and never a time that was not asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::connector::WindowRule;

/// The durable part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Window: all before this was read. Token: when everything up to the token was last read.
    pub done_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// By age: all before this was read again at that age or later.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub again_ms: BTreeMap<i64, i64>,
}

/// Which reading of a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    First,
    /// At this age.
    Again(i64),
}

/// A stretch of time that is asked for as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub pass: Pass,
    /// Asked for from here, which overlaps what was read before.
    pub from_ms: i64,
    pub to_ms: i64,
}

/// A stretch of time is not divided further than this after failures.
const STEP_MS_MIN: i64 = 60_000;
/// Rescans go in steps of at most this.
const AGAIN_MS_MAX: i64 = 6 * 3_600_000;
const AGAIN_MS_MIN: i64 = 300_000;
/// Both ends of what is asked for may or may not belong to it: so much is read twice.
const AGAIN_OVERLAP_MS: i64 = 2_000;

impl Cursor {
    /// Of a partition that begins at `start_ms`.
    pub fn new(start_ms: i64) -> Self {
        Self { done_ms: start_ms, ..Self::default() }
    }

    /// Takes the ages that the connector has now; a new one begins where reading is.
    pub fn adopt(&mut self, rule: &WindowRule) {
        self.again_ms.retain(|age, _| rule.rescan_ms.contains(age));
        for age in &rule.rescan_ms {
            self.again_ms.entry(*age).or_insert(self.done_ms);
        }
    }

    /// Moves to what the vendor still keeps. Returns how much time was lost.
    pub fn clamp(&mut self, oldest_ms: i64) -> i64 {
        let lost = oldest_ms.saturating_sub(self.done_ms).max(0);
        self.done_ms = self.done_ms.max(oldest_ms);
        for again in self.again_ms.values_mut() {
            *again = (*again).max(oldest_ms);
        }
        lost
    }

    /// The next first reading. Nothing before `oldest_ms` is asked for; `halvings` make it shorter.
    pub fn first(
        &self,
        rule: &WindowRule,
        now_ms: i64,
        oldest_ms: i64,
        halvings: u32,
    ) -> Option<Stretch> {
        let end = floor(now_ms - rule.settle_ms, rule.form.granule_ms());
        let step = step(rule.max_ms - rule.overlap_ms, halvings);
        let to = end.min(floor(self.done_ms + step, rule.form.granule_ms()));
        let from = floor(self.done_ms - rule.overlap_ms, rule.form.granule_ms()).max(oldest_ms);
        (to > self.done_ms).then_some(Stretch { pass: Pass::First, from_ms: from, to_ms: to })
    }

    /// The next reading again that is worth a request, with the same bounds.
    pub fn again(
        &self,
        rule: &WindowRule,
        now_ms: i64,
        oldest_ms: i64,
        halvings: u32,
    ) -> Option<Stretch> {
        let granule = rule.form.granule_ms();
        self.again_ms.iter().find_map(|(age, done)| {
            let worth = step_again(*age);
            // What was not read yet cannot be read again.
            let end = floor((now_ms - age).min(self.done_ms), granule);
            if end - done < worth {
                return None;
            }
            let from = floor(done - AGAIN_OVERLAP_MS, granule).max(oldest_ms);
            let to = end.min(floor(done + step(rule.max_ms - AGAIN_OVERLAP_MS, halvings), granule));
            Some(Stretch { pass: Pass::Again(*age), from_ms: from, to_ms: to })
        })
    }

    /// When the next reading again is worth a request.
    pub fn again_at_ms(&self) -> Option<i64> {
        let at = |(age, done): (&i64, &i64)| done + age + step_again(*age) + 1_000;
        self.again_ms.iter().map(at).min()
    }

    /// All of a stretch was read.
    pub fn finish(&mut self, stretch: Stretch) {
        let done = match stretch.pass {
            Pass::First => Some(&mut self.done_ms),
            Pass::Again(age) => self.again_ms.get_mut(&age),
        };
        if let Some(done) = done {
            *done = (*done).max(stretch.to_ms);
        }
    }

    /// Whether what is missing now is looked for again.
    pub fn comes_again(&self, pass: Pass) -> bool {
        match pass {
            Pass::First => !self.again_ms.is_empty(),
            Pass::Again(age) => self.again_ms.keys().any(|other| *other > age),
        }
    }

    /// From here on it asks, for the first time or again. Of one that has read nothing yet this is where it begins.
    pub fn asks_from_ms(&self, rule: &WindowRule) -> i64 {
        let again = self.again_ms.values().map(|done| done - AGAIN_OVERLAP_MS);
        let from = again.fold(self.done_ms - rule.overlap_ms, i64::min);
        floor(from, rule.form.granule_ms())
    }

    /// Nothing before this will be asked for any more.
    pub fn oldest_ms(&self, overlap_ms: i64) -> i64 {
        let first = self.done_ms - overlap_ms;
        let again = self.again_ms.values().map(|done| done - AGAIN_OVERLAP_MS);
        again.fold(first, i64::min) - STEP_MS_MIN
    }
}

/// So much time is read again at once at this age; less is not worth a request.
pub fn step_again(age_ms: i64) -> i64 {
    (age_ms / 4).clamp(AGAIN_MS_MIN, AGAIN_MS_MAX)
}

fn step(max_ms: i64, halvings: u32) -> i64 {
    (max_ms >> halvings.min(40)).max(STEP_MS_MIN.min(max_ms))
}

fn floor(ms: i64, granule_ms: i64) -> i64 {
    ms.div_euclid(granule_ms) * granule_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::when::Form;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000;

    fn rule() -> WindowRule {
        WindowRule {
            form: Form::UnixS,
            settle_ms: 2 * MINUTE,
            overlap_ms: 10 * MINUTE,
            max_ms: 60 * MINUTE,
            rescan_ms: vec![60 * MINUTE, 24 * 60 * MINUTE],
        }
    }

    fn cursor(at: i64) -> Cursor {
        let mut cursor = Cursor::new(at);
        cursor.adopt(&rule());
        cursor
    }

    #[test]
    fn a_window_ends_where_events_have_settled_and_begins_before_the_cursor() {
        let at = 1_000 * MINUTE;
        let stretch = cursor(at).first(&rule(), at + 5 * MINUTE + 999, i64::MIN, 0).unwrap();
        assert_eq!((stretch.from_ms, stretch.to_ms), (at - 10 * MINUTE, at + 3 * MINUTE));
        assert_eq!(cursor(at).first(&rule(), at + 2 * MINUTE, i64::MIN, 0), None);
        assert_eq!(
            cursor(at).first(&rule(), at - 90 * MINUTE, i64::MIN, 0),
            None,
            "a clock set back"
        );
    }

    #[test]
    fn a_long_absence_is_made_up_in_pieces_and_failures_make_them_smaller() {
        let at = 10_000 * MINUTE;
        for (halvings, expected) in [(0, 50), (1, 25), (4, 3), (9, 1), (60, 1)] {
            let stretch =
                cursor(at).first(&rule(), at + 9_000 * MINUTE, i64::MIN, halvings).unwrap();
            assert_eq!((stretch.to_ms - at) / MINUTE, expected);
            assert!(stretch.to_ms - stretch.from_ms <= rule().max_ms);
        }
    }

    #[test]
    fn what_the_vendor_no_longer_keeps_is_lost_and_told() {
        let mut cursor = cursor(100 * MINUTE);
        assert_eq!(cursor.clamp(90 * MINUTE), 0);
        assert_eq!(cursor.clamp(130 * MINUTE), 30 * MINUTE);
        assert_eq!(cursor.done_ms, 130 * MINUTE);
        let stretch = cursor.first(&rule(), 200 * MINUTE, 130 * MINUTE, 0).unwrap();
        assert_eq!(stretch.from_ms, 130 * MINUTE, "the vendor refuses what it no longer keeps");
    }

    proptest! {
        /// Whatever the clock does, every moment is read first once and again at every age, and a stretch
        /// never reaches into what has not settled. What ends where the cursor asks from, and what the cursor has
        /// read and will read, leave nothing between them and are never asked for by both.
        #[test]
        fn every_moment_is_read_and_read_again_at_its_age(
            steps in prop::collection::vec((0i64..180, prop::bool::weighted(0.8)), 1..300),
        ) {
            let (rule, start) = (rule(), 100_000 * MINUTE);
            let (mut cursor, mut now) = (cursor(start), start);
            let mut readings: Vec<(Stretch, i64)> = Vec::new();
            let begins = cursor.first(&rule, now + 60 * MINUTE, i64::MIN, 0).unwrap().from_ms;
            prop_assert_eq!(cursor.asks_from_ms(&rule), begins);
            for (minutes, works) in steps {
                now += minutes * MINUTE / 3;
                let asks_from = cursor.asks_from_ms(&rule);
                prop_assert!(asks_from >= begins, "nobody has read what is between");
                for stretch in [cursor.first(&rule, now, i64::MIN, 0), cursor.again(&rule, now, i64::MIN, 0)] {
                    let Some(stretch) = stretch else { continue };
                    prop_assert!(stretch.from_ms >= asks_from, "both read it");
                    prop_assert!(stretch.to_ms <= now - rule.settle_ms);
                    prop_assert!(stretch.to_ms - stretch.from_ms <= rule.max_ms);
                    if works {
                        readings.push((stretch, now));
                        cursor.finish(stretch);
                    }
                }
            }
            for pass in [Pass::First, Pass::Again(60 * MINUTE), Pass::Again(24 * 60 * MINUTE)] {
                let mut upto = start;
                for (stretch, at) in readings.iter().filter(|(s, _)| s.pass == pass) {
                    prop_assert!(stretch.from_ms < upto && stretch.to_ms > upto, "a hole or nothing new");
                    upto = stretch.to_ms;
                    if let Pass::Again(age) = pass {
                        prop_assert!(upto <= at - age, "read again too early");
                    }
                }
            }
        }
    }
}
