//! Pages by the vendor's own token, in the order of arrival.

use std::sync::Arc;

use super::super::handover::Emission;
use super::super::page::Page;
use super::Poller;

/// What is given by arrival may be out of the order of time by so much: three days, as late as vendors are.
const DISORDER_MS: i64 = 3 * 86_400_000;

impl Poller {
    pub(super) fn token_page(
        &mut self,
        mut page: Page,
        now_ms: i64,
        seen_ms: i64,
    ) -> Vec<Emission> {
        let connector = Arc::clone(&self.setup.connector);
        let moved = page.next.is_some() && page.next != self.cursor.token;
        let is_more = moved
            && page.more.unwrap_or(page.count >= connector.limit as usize)
            && !self.until_ms.is_some_and(|until_ms| is_behind(&page, until_ms));
        let records = self.asked_for(page.records);
        let fresh = self.fresh(records, None);
        if let Some(next) = page.next.take() {
            self.cursor.token = Some(next);
        }
        if !is_more {
            // Without a token yet, the time is what the next request begins with.
            if self.cursor.token.is_some() {
                self.cursor.done_ms = self.cursor.done_ms.max(now_ms);
            }
            self.due_ms = now_ms + connector.every_ms;
            self.caught_up_ms = Some(now_ms);
        }
        self.hand_over(fresh, now_ms, seen_ms, true)
    }
}

/// Whether all of a page is so late that nothing from before that time comes any more.
fn is_behind(page: &Page, until_ms: i64) -> bool {
    let is_later = |time: i64| time >= until_ms.saturating_add(DISORDER_MS);
    !page.records.is_empty() && page.records.iter().all(|r| r.time_ms.is_some_and(is_later))
}
