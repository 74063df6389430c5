//! Listings whose elements are fetched one by one: a listing is done when all it named has come, is gone for
//! good, or is left to a later reading of the same time.

use super::Poller;
use crate::poll::cursor::Pass;
use crate::poll::handover::Emission;
use crate::poll::page::{Asked, Page, Record};

/// After so many failures of one fetch (a quarter of an hour) it is left to a later reading.
pub(super) const FETCH_FAILURES_MAX: u32 = 12;

impl Poller {
    /// Whether less has come than the listing says.
    pub(super) fn is_short(&self, page: &Page) -> bool {
        let listed = self.reading.as_ref().and_then(|reading| reading.fetches.front());
        let length = listed.filter(|_| self.asked == Asked::Fetch).and_then(|listed| listed.length);
        length.is_some_and(|length| page.bytes < length)
    }

    /// What a listing named has come.
    pub(super) fn fetched(&mut self, page: Page, now_ms: i64, seen_ms: i64) -> Vec<Emission> {
        let Some(reading) = &mut self.reading else { return Vec::new() };
        let Some(listed) = reading.fetches.pop_front() else { return Vec::new() };
        let is_last = reading.fetches.is_empty() && reading.next.is_none();
        if is_last {
            self.finish(now_ms);
        }
        let count = page.records.len() as u64;
        let fresh = self.handover.fresh(page.records);
        self.stats.repeated += count - fresh.len() as u64;
        self.stated_ms = now_ms;
        self.handover.hand_over(fresh, Some(listed.id), &self.cursor, seen_ms)
    }

    /// What a listing named is not to be had: its listing is the dead letter.
    pub(super) fn give_up_fetch(
        &mut self,
        words: &str,
        now_ms: i64,
        seen_ms: i64,
    ) -> Vec<Emission> {
        let listed = self.reading.as_ref().and_then(|reading| reading.fetches.front()).cloned();
        let reject = Some(format!("what is listed here could not be fetched: {words}"));
        let records = listed.map(|listed| Record { reject, ..listed }).into_iter().collect();
        let page = Page { records, ..Page::default() };
        self.succeeded(now_ms);
        self.fetched(page, now_ms, seen_ms)
    }

    /// It fails for too long: the rest goes on, and a later reading of the same time tries again.
    pub(super) fn leave_fetch(&mut self, words: &str, now_ms: i64, seen_ms: i64) -> Vec<Emission> {
        let pass = self.reading.as_ref().map_or(Pass::First, |reading| reading.stretch.pass);
        if !self.cursor.comes_again(pass) {
            return self.give_up_fetch(words, now_ms, seen_ms);
        }
        self.failures = 0;
        let Some(reading) = &mut self.reading else { return Vec::new() };
        reading.fetches.pop_front();
        reading.is_incomplete = true;
        if reading.fetches.is_empty() && reading.next.is_none() {
            self.finish(now_ms);
            return self.hand_over(Vec::new(), now_ms, seen_ms, true);
        }
        Vec::new()
    }
}
