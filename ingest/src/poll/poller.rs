//! One partition of a polled source: which page to ask for next, and what its answer changes.
//!
//! A pure state machine. It is asked for a request when one is due, given the answer, and gives back what
//! is to be handed over, each piece with the state that makes it durable. A page that fails is asked for
//! again; when it goes on failing its whole window is. The cursor moves with the last record of a window
//! and not before, so a crash between any two requests costs requests and nothing else.

mod asking;
mod fetch;
mod token;

use std::collections::VecDeque;
use std::sync::Arc;

use super::backoff::{Chance, PAUSE_MS_MAX, pause_ms};
use super::call;
use super::connector::{Connector, CursorRule, WindowRule};
use super::cursor::{Cursor, Pass, Stretch};
use super::handover::{Emission, Handover};
use super::page::{Asked, Page, Record, Verdict};
use super::request::Request;
use super::seen::Seen;
pub use super::setup::{Effect, Setup, Stats};
use fetch::FETCH_FAILURES_MAX;

/// After so many failures of one page its window is begun again.
const PAGE_FAILURES_MAX: u32 = 3;
/// What a person must mend is tried again this often.
const DENIED_MS: i64 = 60_000;
/// A vendor that says no more than that it was asked too often is left alone for so long, as GitHub wants it.
const LIMITED_MS: i64 = 60_000;
/// A statement that runs is asked for this often.
const RUNNING_MS: i64 = 5_000;
/// A feed that was switched off is switched on again no sooner, as Microsoft wants it.
const UNPREPARED_MS: i64 = 900_000;
/// A state that holds nothing new but the cursor is handed over this often.
const STATE_EVERY_MS: i64 = 300_000;
/// No window has more pages: one that does leads in a circle.
const PAGES_MAX: u32 = 100_000;

/// A stretch that is being read.
#[derive(Debug)]
struct Reading {
    /// As it is asked for, the same on every page.
    stretch: Stretch,
    /// How far the cursor may move when all of it was read.
    upto_ms: i64,
    next: Option<String>,
    pages: u32,
    began_ms: i64,
    /// What the pages so far have listed to be fetched.
    fetches: VecDeque<Record>,
    /// Some of it was left to a later reading.
    is_incomplete: bool,
}

/// One partition.
#[derive(Debug)]
pub struct Poller {
    setup: Setup,
    /// Where it ends; without it there is no end.
    until_ms: Option<i64>,
    cursor: Cursor,
    handover: Handover,
    reading: Option<Reading>,
    /// It has no state, and asked for nothing yet: what the vendor does not keep was never its.
    is_new: bool,
    is_prepared: bool,
    asked: Asked,
    /// Not before.
    due_ms: i64,
    /// The next first reading is not due before.
    first_ms: i64,
    /// First readings and readings again take turns.
    was_first: bool,
    failures: u32,
    halvings: u32,
    /// There was nothing more to read at this time.
    caught_up_ms: Option<i64>,
    stated_ms: i64,
    pub stats: Stats,
}

impl Poller {
    /// As it was left, or from the start.
    pub fn new(setup: Setup, handover: Handover, cursor: Option<Cursor>) -> Self {
        let is_new = cursor.is_none();
        let mut cursor = cursor.unwrap_or_else(|| Cursor::new(setup.start_ms));
        if let CursorRule::Window(rule) = &setup.connector.cursor {
            cursor.adopt(rule);
        }
        let is_prepared = setup.connector.prepare.is_none();
        Self {
            setup,
            until_ms: None,
            cursor,
            handover,
            reading: None,
            is_new,
            is_prepared,
            asked: Asked::Page,
            due_ms: i64::MIN,
            first_ms: i64::MIN,
            was_first: false,
            failures: 0,
            halvings: 0,
            caught_up_ms: None,
            stated_ms: i64::MIN,
            stats: Stats::default(),
        }
    }

    /// Nothing from that time on is its to read.
    pub fn end_at(&mut self, until_ms: i64) {
        self.until_ms = Some(until_ms);
    }

    pub fn partition(&self) -> &Arc<str> {
        self.handover.partition()
    }

    pub fn connector(&self) -> Arc<Connector> {
        Arc::clone(&self.setup.connector)
    }

    /// What the request that waits for its answer asks for.
    pub fn asked(&self) -> Asked {
        self.asked
    }

    /// Whether what a listing named is yet to come.
    pub fn is_fetching(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| !reading.fetches.is_empty())
    }

    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    pub fn seen(&self) -> &Seen {
        self.handover.seen()
    }

    /// When everything that there was at some time had been read: that time.
    pub fn caught_up_ms(&self) -> Option<i64> {
        self.caught_up_ms
    }

    /// By which windows of time it asks, if it does.
    pub fn window_rule(&self) -> Option<&WindowRule> {
        match &self.setup.connector.cursor {
            CursorRule::Window(rule) => Some(rule),
            CursorRule::Token { .. } => None,
        }
    }

    /// When it wants to ask; in the past: now.
    pub fn due_ms(&self) -> i64 {
        let idle = match self.window_rule() {
            Some(_) if self.reading.is_none() && self.is_prepared => {
                self.first_ms.min(self.cursor.again_at_ms().unwrap_or(i64::MAX))
            }
            _ => i64::MIN,
        };
        self.due_ms.max(idle)
    }

    /// The request that is due. `now_ms` is no later than the vendor's own time, `latest_ms` no earlier.
    /// `None`: nothing to ask for yet, see [`Poller::due_ms`].
    pub fn request(&mut self, now_ms: i64, latest_ms: i64) -> Option<Request> {
        let connector = Arc::clone(&self.setup.connector);
        if !self.is_prepared
            && let Some(prepare) = &connector.prepare
        {
            self.asked = Asked::Prepare;
            return Some(self.count(call::request(prepare, &self.values(), &self.setup.base_url)));
        }
        let oldest_ms = self.oldest_ms(latest_ms);
        let lost_ms = self.cursor.clamp(oldest_ms);
        if !std::mem::take(&mut self.is_new) {
            self.stats.gap_ms += lost_ms;
            self.stats.gap_to_ms = oldest_ms;
        }
        if let Some(rule) = self.window_rule().cloned()
            && self.reading.is_none()
        {
            let Some(stretch) = self.choose(&rule, now_ms, oldest_ms) else {
                self.first_ms = self.first_ms.max(now_ms + 1_000);
                self.due_ms = self.due_ms.max(now_ms + 1_000);
                return None;
            };
            self.reading = Some(Reading {
                stretch,
                upto_ms: stretch.to_ms,
                next: None,
                pages: 0,
                began_ms: now_ms,
                fetches: VecDeque::new(),
                is_incomplete: false,
            });
        }
        if let Some(fetch) = self.reading.as_ref().and_then(|reading| reading.fetches.front()) {
            self.asked = Asked::Fetch;
            let url = fetch.fetch.clone().unwrap_or_default();
            let values = self.values();
            let mut request = call::follow(&connector.request, &values, &self.setup.base_url, &url);
            call::add(&mut request, &connector.fetch_query, &values);
            return Some(self.count(request));
        }
        self.asked = Asked::Page;
        let request = self.page_request(&connector);
        Some(self.count(request))
    }

    fn count(&mut self, request: Request) -> Request {
        self.stats.requests += 1;
        request
    }

    /// The vendor keeps nothing from before. A tenth of an hour is for what it deletes meanwhile.
    fn oldest_ms(&self, latest_ms: i64) -> i64 {
        const DELETED_MS: i64 = 360_000;
        let keeps_ms = self.setup.connector.retention_ms;
        keeps_ms.map_or(i64::MIN, |keeps_ms| latest_ms - keeps_ms + DELETED_MS)
    }

    fn choose(&mut self, rule: &WindowRule, now_ms: i64, oldest_ms: i64) -> Option<Stretch> {
        // What is asked for ends where the partition does.
        let end_ms = self.until_ms.map_or(i64::MAX, |until_ms| until_ms + rule.settle_ms);
        let first = || self.cursor.first(rule, now_ms.min(end_ms), oldest_ms, self.halvings);
        let first = if now_ms >= self.first_ms { first() } else { None };
        let again = self.cursor.again(rule, now_ms, oldest_ms, self.halvings);
        let chosen = if self.was_first { again.or(first) } else { first.or(again) };
        self.was_first = matches!(chosen, Some(Stretch { pass: Pass::First, .. }));
        if first.is_none() && again.is_none() {
            self.caught_up_ms = Some(now_ms);
        }
        chosen
    }

    /// Takes an answer. `now_ms` is no later than the vendor's time, `seen_ms` no earlier.
    pub fn answer(
        &mut self,
        verdict: Verdict,
        now_ms: i64,
        seen_ms: i64,
        chance: &mut Chance,
    ) -> (Vec<Emission>, Effect) {
        let words = match verdict {
            Verdict::Page(page) if self.is_short(&page) => {
                format!("the answer ends early, after {} bytes", page.bytes)
            }
            Verdict::Page(page) => return (self.page(page, now_ms, seen_ms), Effect::None),
            Verdict::Done => return (self.nothing(now_ms, seen_ms), Effect::None),
            Verdict::Limited(wait_ms) => {
                self.stats.limited += 1;
                self.failures += 1;
                let guess = || LIMITED_MS + pause_ms(self.failures + 3, chance);
                let pause = wait_ms.unwrap_or_else(guess);
                return (Vec::new(), Effect::Pause(now_ms.saturating_add(pause)));
            }
            Verdict::Unauthorized(words) => return (Vec::new(), Effect::Unauthorized(words)),
            Verdict::Gone(words) if self.asked == Asked::Fetch => {
                return (self.give_up_fetch(&words, now_ms, seen_ms), Effect::None);
            }
            Verdict::Unprepared(words) => {
                self.is_prepared = self.setup.connector.prepare.is_none();
                self.begin_again();
                self.due_ms = now_ms + UNPREPARED_MS;
                words
            }
            Verdict::Expired(words) => {
                self.begin_again();
                words
            }
            Verdict::Refused(words) => {
                // The page's own token may be what is refused.
                self.begin_again();
                self.due_ms = now_ms + DENIED_MS;
                words
            }
            Verdict::Denied(words) => {
                // What is old may need another licence: it must not hold up what is new.
                if self.asked == Asked::Page {
                    self.reading = None;
                }
                self.due_ms = now_ms + DENIED_MS;
                words
            }
            Verdict::Gone(words) | Verdict::Failed(words) => words,
        };
        (self.failed(words, now_ms, seen_ms, chance), Effect::None)
    }

    /// A request was not answered, or with what is no page.
    fn failed(
        &mut self,
        words: String,
        now_ms: i64,
        seen_ms: i64,
        chance: &mut Chance,
    ) -> Vec<Emission> {
        self.stats.failures += 1;
        self.failures += 1;
        self.due_ms = self.due_ms.max(now_ms + pause_ms(self.failures, chance));
        self.stats.trouble = Some(words.clone());
        match self.asked {
            Asked::Fetch if self.failures >= FETCH_FAILURES_MAX => {
                self.leave_fetch(&words, now_ms, seen_ms)
            }
            Asked::Page
                if self.failures.is_multiple_of(PAGE_FAILURES_MAX) && self.reading.is_some() =>
            {
                self.begin_again();
                self.halvings = (self.halvings + 1).min(20);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// The whole window, or from the token's time.
    fn begin_again(&mut self) {
        if self.asked != Asked::Page {
            return;
        }
        self.reading = None;
        if let CursorRule::Token { overlap_ms, .. } = &self.setup.connector.cursor
            && self.cursor.token.take().is_some()
        {
            self.cursor.done_ms -= overlap_ms;
        }
    }

    /// The credential is to be tried again not before.
    pub fn wait_until(&mut self, ms: i64, words: String) {
        self.stats.trouble = Some(words);
        self.stats.failures += 1;
        self.due_ms = self.due_ms.max(ms.min(i64::MAX - PAUSE_MS_MAX));
    }

    fn succeeded(&mut self, now_ms: i64) {
        self.failures = 0;
        self.stats.trouble = None;
        self.stats.last_success_ms = Some(now_ms);
    }

    fn nothing(&mut self, now_ms: i64, seen_ms: i64) -> Vec<Emission> {
        match self.asked {
            Asked::Prepare => {
                self.is_prepared = true;
                self.succeeded(now_ms);
                Vec::new()
            }
            Asked::Page | Asked::Fetch => self.page(Page::default(), now_ms, seen_ms),
        }
    }

    fn page(&mut self, page: Page, now_ms: i64, seen_ms: i64) -> Vec<Emission> {
        self.succeeded(now_ms);
        self.stats.pages += u64::from(!page.is_running);
        match self.asked {
            Asked::Prepare => self.nothing(now_ms, seen_ms),
            Asked::Fetch => self.fetched(page, now_ms, seen_ms),
            Asked::Page if self.reading.is_some() => self.window_page(page, now_ms, seen_ms),
            Asked::Page => self.token_page(page, now_ms, seen_ms),
        }
    }

    fn window_page(&mut self, mut page: Page, now_ms: i64, seen_ms: i64) -> Vec<Emission> {
        let Some(mut reading) = self.reading.take() else { return Vec::new() };
        if reading.pages == 0 {
            // By now the vendor's clock is known: what has not settled by it is not done.
            if let (Pass::First, Some(rule)) = (reading.stretch.pass, self.window_rule()) {
                let settled = reading.began_ms.min(now_ms) - rule.settle_ms;
                reading.upto_ms = reading.upto_ms.min(settled.max(self.cursor.done_ms));
            }
        }
        let next = self.beyond(&page, reading.next.as_deref());
        let records = self.asked_for(std::mem::take(&mut page.records));
        let mut fresh = self.fresh(records, Some(reading.stretch.pass));
        if self.setup.connector.records.fetch.is_some() {
            let waiting =
                |record: &Record| reading.fetches.iter().any(|other| other.id == record.id);
            fresh.retain(|record| !waiting(record));
            reading.fetches.extend(fresh.drain(..));
        }
        reading.pages += 1;
        page.next = next;
        let is_same = page.next == reading.next && !page.is_running;
        let is_circle = page.next.is_some() && (is_same || reading.pages >= PAGES_MAX);
        if page.is_running {
            self.due_ms = now_ms + RUNNING_MS;
        }
        reading.next = if is_circle { None } else { page.next.take() };
        let is_last = reading.next.is_none() && reading.fetches.is_empty();
        self.reading = Some(reading);
        if is_last && !is_circle {
            self.finish(now_ms);
        } else if is_circle {
            self.stats.trouble =
                Some("a page leads to itself: its window is read again".to_owned());
            self.stats.failures += 1;
            self.reading = None;
            self.due_ms = now_ms + DENIED_MS;
        }
        self.hand_over(fresh, now_ms, seen_ms, is_last)
    }

    /// All of a window was read: the cursor moves.
    fn finish(&mut self, now_ms: i64) {
        let Some(reading) = self.reading.take() else { return };
        self.halvings = self.halvings.saturating_sub(1);
        if reading.is_incomplete && !self.cursor.comes_again(reading.stretch.pass) {
            return;
        }
        self.cursor.finish(Stretch { to_ms: reading.upto_ms, ..reading.stretch });
        if reading.stretch.pass == Pass::First {
            let Some(rule) = self.window_rule() else { return };
            // While it is behind the next window follows at once.
            let is_behind = self.cursor.done_ms + rule.form.granule_ms() + 1_000
                < reading.began_ms - rule.settle_ms;
            if !is_behind {
                self.first_ms = reading.began_ms + self.setup.connector.every_ms;
                self.caught_up_ms = Some(reading.began_ms);
            }
            self.due_ms = self.due_ms.max(now_ms);
        }
    }

    /// Those that were not handed over before.
    fn fresh(&mut self, records: Vec<Record>, pass: Option<Pass>) -> Vec<Record> {
        let count = records.len() as u64;
        let done_ms = self.cursor.done_ms;
        let fresh: Vec<Record> = self.handover.fresh(records);
        self.stats.repeated += count - fresh.len() as u64;
        for record in &fresh {
            self.stats.last_event_ms = self.stats.last_event_ms.max(record.time_ms);
            let was_read =
                record.time_ms.is_some_and(|time| time < done_ms && time >= self.setup.start_ms);
            let is_late = match pass {
                Some(Pass::Again(_)) => true,
                Some(Pass::First) => was_read,
                None => false,
            };
            self.stats.late += u64::from(is_late);
        }
        fresh
    }

    fn hand_over(
        &mut self,
        records: Vec<Record>,
        now_ms: i64,
        seen_ms: i64,
        is_settled: bool,
    ) -> Vec<Emission> {
        let (overlap_ms, excess_ms) = match &self.setup.connector.cursor {
            CursorRule::Window(rule) => (rule.overlap_ms, rule.form.excess_ms()),
            CursorRule::Token { overlap_ms, .. } => (2 * overlap_ms, 0),
        };
        self.handover.forget(overlap_ms, excess_ms);
        let is_due = is_settled && now_ms.saturating_sub(self.stated_ms) >= STATE_EVERY_MS;
        if records.is_empty() && !is_due {
            return Vec::new();
        }
        self.stated_ms = now_ms;
        self.handover.hand_over(records, None, &self.cursor, seen_ms)
    }

    /// Where it begins, as long as no state says so: who dies before the first answer would begin later.
    pub fn first_words(&mut self, latest_ms: i64, seen_ms: i64) -> Vec<Emission> {
        if !self.is_new {
            return Vec::new();
        }
        self.cursor.clamp(self.oldest_ms(latest_ms));
        self.handover.hand_over(Vec::new(), None, &self.cursor, seen_ms)
    }

    /// What the state would lose by a stop now, if that is anything.
    pub fn last_words(&mut self, now_ms: i64, seen_ms: i64) -> Vec<Emission> {
        self.stated_ms = i64::MIN;
        self.hand_over(Vec::new(), now_ms, seen_ms, true)
    }
}
