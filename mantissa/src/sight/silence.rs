//! Whether a source has fallen silent, judged by what it is used to: each hour of the week by the same hour of
//! the weeks before. Pure: time and arrivals are arguments.
//!
//! The rule: an hour is divided into twelve slots of five minutes, and what counts is in how many of them
//! anything arrived, so that a burst is worth no more than an event. An hour of the week is *expected to
//! speak* when in each of its last weeks (two at least, four at most) something arrived in it, and then it is
//! expected to speak in as many slots as it did on average. While nothing arrives the expected slots add up;
//! at twelve, a busy hour or a working day of one event an hour, the silence is told. Nights, weekends and
//! sources that are quiet by nature add nothing. Only time that the process has watched counts, and what
//! happened during a silence that is told is not learned.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use event::Timestamp;
use event::time::{HOUR_NS, SECOND_NS};
use serde::{Deserialize, Serialize};

const SLOT_NS: i64 = 300 * SECOND_NS;
const HOURS: usize = 7 * 24;
const WEEKS_MIN: usize = 2;
const WEEKS_MAX: usize = 4;
/// So many expected slots without any arrival are a silence.
const SLOTS_MAX: f64 = 12.0;
/// Time between two looks that is longer than this was not watched.
const WATCHED_NS_MAX: i64 = 60 * SECOND_NS;
/// 1970 began on a Thursday.
const FIRST_HOUR: i64 = 3 * 24;

/// What is known of every source. It comes back after a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Habits(BTreeMap<String, Habit>);

/// Of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Habit {
    /// By hour of the week from Monday 00:00 UTC: in how many slots something arrived, the newest week last.
    weeks: Vec<VecDeque<u8>>,
    /// When something last arrived.
    heard: Option<Timestamp>,
    /// Slots that were expected to speak since then.
    missed: f64,
    #[serde(skip)]
    looked: Option<Timestamp>,
    #[serde(skip)]
    open: Option<Open>,
}

/// The hour that is going on.
#[derive(Clone, Debug, PartialEq)]
struct Open {
    /// Counted from 1970.
    hour: i64,
    /// Watched from its beginning without a gap.
    is_whole: bool,
    /// One bit a slot.
    slots: u16,
}

/// A source as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Hush {
    pub source: String,
    pub heard: Option<Timestamp>,
    /// How unusual its silence is; from 1 on it is told.
    pub ratio: f64,
}

impl Hush {
    pub fn is_unusual(&self) -> bool {
        self.ratio >= 1.0
    }
}

impl Habits {
    /// Looks at the sources: when something last arrived from each, by this process. To be called several
    /// times a minute.
    pub fn look<'s>(
        &mut self,
        now: Timestamp,
        sources: impl Iterator<Item = &'s Arc<str>>,
        last: impl Fn(&str) -> Option<Timestamp>,
    ) -> Vec<Hush> {
        let look = |source: &'s Arc<str>| {
            let habit = self.0.entry(source.to_string()).or_default();
            habit.look(now, last(source));
            let (heard, ratio) = (habit.heard, habit.missed / SLOTS_MAX);
            Hush { source: source.to_string(), heard, ratio }
        };
        sources.map(look).collect()
    }
}

impl Habit {
    fn look(&mut self, now: Timestamp, last: Option<Timestamp>) {
        let passed = self.looked.map(|looked| now.0.saturating_sub(looked.0));
        let watched = passed.filter(|ns| (0..=WATCHED_NS_MAX).contains(ns));
        if let (None, Some(open)) = (watched, &mut self.open) {
            open.is_whole = false;
        }
        let news = last.filter(|last| self.heard.is_none_or(|heard| *last > heard));
        self.mark(news);
        self.turn(now, watched.is_some());
        self.mark(news);
        match news {
            Some(_) => {
                self.heard = news;
                self.missed = 0.0;
            }
            None => {
                let hours = watched.unwrap_or(0) as f64 / HOUR_NS as f64;
                self.missed += self.expected(now.hour()) * hours;
            }
        }
        self.looked = Some(now);
    }

    /// An arrival in the hour that is going on.
    fn mark(&mut self, at: Option<Timestamp>) {
        if let (Some(open), Some(at)) = (&mut self.open, at)
            && at.hour() == open.hour
        {
            open.slots |= 1 << (at.0.rem_euclid(HOUR_NS) / SLOT_NS);
        }
    }

    /// Closes an hour that is over.
    fn turn(&mut self, now: Timestamp, is_watched: bool) {
        let hour = now.hour();
        if self.open.as_ref().is_some_and(|open| open.hour == hour) {
            return;
        }
        let before = self.open.replace(Open { hour, is_whole: is_watched, slots: 0 });
        let Some(before) = before.filter(|open| open.is_whole) else { return };
        // Before it ever spoke there is nothing to learn, and a silence is no habit.
        if self.missed >= SLOTS_MAX || (self.heard.is_none() && before.slots == 0) {
            return;
        }
        self.weeks.resize(HOURS, VecDeque::new());
        let weeks = &mut self.weeks[of_week(before.hour)];
        weeks.push_back(before.slots.count_ones() as u8);
        if weeks.len() > WEEKS_MAX {
            weeks.pop_front();
        }
    }

    /// In how many slots of this hour something is expected.
    fn expected(&self, hour: i64) -> f64 {
        let Some(weeks) = self.weeks.get(of_week(hour)) else { return 0.0 };
        if weeks.len() < WEEKS_MIN || weeks.contains(&0) {
            return 0.0;
        }
        weeks.iter().map(|slots| f64::from(*slots)).sum::<f64>() / weeks.len() as f64
    }
}

fn of_week(hour: i64) -> usize {
    (hour + FIRST_HOUR).rem_euclid(HOURS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 2026-03-02T00:00:00Z.
    const MONDAY: i64 = 1_772_409_600;
    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;
    const WEEK: i64 = 7 * DAY;

    struct Watch {
        habits: Habits,
        now_s: i64,
        last: Option<Timestamp>,
        /// When a silence was told, and when it was over.
        told: Vec<i64>,
        over: Vec<i64>,
    }

    impl Watch {
        fn new() -> Self {
            let (habits, last) = (Habits::default(), None);
            Self { habits, now_s: MONDAY, last, told: Vec::new(), over: Vec::new() }
        }

        /// Looks every 30 seconds until then; `speaks` says whether an event arrives at a second.
        fn until(&mut self, until_s: i64, speaks: impl Fn(i64) -> bool) {
            let source: Arc<str> = "okta".into();
            while self.now_s < until_s {
                self.now_s += 30;
                if speaks(self.now_s) {
                    self.last = Some(Timestamp(self.now_s * SECOND_NS));
                }
                let sources = std::iter::once(&source);
                let now = Timestamp(self.now_s * SECOND_NS);
                let hush = self.habits.look(now, sources, |_| self.last);
                let is_told = self.told.len() > self.over.len();
                match (hush[0].is_unusual(), is_told) {
                    (true, false) => self.told.push(self.now_s),
                    (false, true) => self.over.push(self.now_s),
                    _ => {}
                }
            }
        }

        fn restart(&mut self) {
            let text = serde_json::to_string(&self.habits).unwrap();
            assert!(text.len() < 4_000, "{} bytes", text.len());
            self.habits = serde_json::from_str(&text).unwrap();
            self.last = None;
        }
    }

    /// From Monday to Friday, 8 to 18 o'clock, every two minutes.
    fn office(at: i64) -> bool {
        let (day, hour) = ((at - MONDAY) / DAY % 7, at % DAY / HOUR);
        day < 5 && (8..18).contains(&hour) && at % 120 == 0
    }

    #[test]
    fn nights_and_weekends_are_no_silence_and_a_dead_office_hour_is() {
        let mut watch = Watch::new();
        watch.until(MONDAY + 5 * WEEK, office);
        assert!(watch.told.is_empty(), "told at {:?}", watch.told);
        // Friday at 17:30 it dies. Half an hour adds up until the evening, the rest on Monday morning.
        let dies = MONDAY + 5 * WEEK + 4 * DAY + 17 * HOUR + HOUR / 2;
        watch.until(dies + 4 * DAY, |at| at < dies && office(at));
        let due = MONDAY + 6 * WEEK + 8 * HOUR + HOUR / 2;
        assert_eq!(watch.told.len(), 1);
        assert!((watch.told[0] - due).abs() < 300, "{}", watch.told[0] - due);
        // What is told is not learned, however long it is; the first event ends it.
        watch.until(dies + 4 * WEEK, |_| false);
        assert_eq!((watch.told.len(), watch.over.len()), (1, 0));
        watch.until(MONDAY + 11 * WEEK, office);
        assert_eq!((watch.told.len(), watch.over.len()), (1, 1));
    }

    #[test]
    fn sources_without_a_habit_do_not_cry() {
        let check = |speaks: &dyn Fn(i64) -> bool| {
            let mut watch = Watch::new();
            watch.until(MONDAY + 8 * WEEK, speaks);
            assert!(watch.told.is_empty(), "told at {:?}", watch.told);
        };
        check(&|_| false);
        // Now and then, without any pattern.
        check(&|at| (at / HOUR).wrapping_mul(2_654_435_761) % 37 == 0 && at % HOUR == 0);
        // Every other week.
        check(&|at| (at - MONDAY) / WEEK % 2 == 0 && at % 60 == 0);
        // It was there for a week.
        check(&|at| at < MONDAY + 6 * DAY && at % 60 == 0);
    }

    #[test]
    fn a_restart_forgets_nothing_and_time_that_was_not_watched_does_not_count() {
        let mut watch = Watch::new();
        let busy = |at: i64| at % 60 == 0;
        watch.until(MONDAY + 3 * WEEK, busy);
        watch.restart();
        // Three days away; then a quarter of an hour of silence each time.
        watch.now_s += 3 * DAY;
        for _ in 0..3 {
            watch.until(watch.now_s + HOUR / 4, |_| false);
            watch.restart();
        }
        assert!(watch.told.is_empty(), "{:?}", watch.told);
        watch.until(watch.now_s + HOUR / 3, |_| false);
        assert_eq!(watch.told.len(), 1, "an hour altogether");
        watch.until(watch.now_s + DAY, busy);
        assert_eq!(watch.over.len(), 1);
    }

    #[test]
    fn weeks_begin_on_monday() {
        assert_eq!(of_week(MONDAY / HOUR), 0);
        assert_eq!(of_week((MONDAY - HOUR) / HOUR), HOURS - 1);
    }
}
