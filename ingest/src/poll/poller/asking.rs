//! The request of the next page, and whether there is one.

use super::Poller;
use crate::poll::call;
use crate::poll::connector::{Connector, CursorRule, NextRule, Values};
use crate::poll::page::{Page, Record, statement};
use crate::poll::request::Request;

impl Poller {
    pub(super) fn page_request(&self, connector: &Connector) -> Request {
        let mut values = self.values();
        let next = match &self.reading {
            Some(reading) => reading.next.as_deref(),
            None => self.cursor.token.as_deref(),
        };
        if let Some(reading) = &self.reading {
            if let Some(rule) = self.window_rule() {
                values.insert("from".into(), rule.form.write(reading.stretch.from_ms));
                values.insert("to".into(), rule.form.write(reading.stretch.to_ms));
            }
        } else if let (CursorRule::Token { form, .. }, None) = (&connector.cursor, next) {
            values.insert("since".into(), form.write(self.cursor.done_ms));
        }
        match (next, &connector.next) {
            (Some(next), NextRule::Token(_) | NextRule::Last(_)) => {
                values.insert("token".into(), next.to_owned());
                call::request(&connector.request, &values, &self.setup.base_url)
            }
            (Some(next), _) => {
                call::follow(&connector.request, &values, &self.setup.base_url, next)
            }
            (None, _) => {
                let first = connector.first.as_ref().unwrap_or(&connector.request);
                call::request(first, &values, &self.setup.base_url)
            }
        }
    }

    pub(super) fn values(&self) -> Values {
        let mut values = self.setup.settings.clone();
        values.insert("limit".into(), self.setup.connector.limit.to_string());
        if let Some(each) = &self.setup.each {
            values.insert("each".into(), each.clone());
        }
        values
    }

    /// Where the page after this one begins. Pages that go by the last record's time end with one that is
    /// not full and gets no further than `asked`, where it began, and with the end of a stretch of the past.
    pub(super) fn beyond(&self, page: &Page, asked: Option<&str>) -> Option<String> {
        let connector = &self.setup.connector;
        if let Some(partition) = asked.filter(|_| connector.next == NextRule::Statement)
            && statement::is_partition(partition)
        {
            return statement::after(partition);
        }
        let is_by_time = matches!(connector.next, NextRule::Last(_));
        let is_no_further = page.next.as_deref() == asked && page.count < connector.limit as usize;
        let last_ms = page.records.last().and_then(|record| record.time_ms);
        let is_past = self.until_ms.zip(last_ms).is_some_and(|(until_ms, last)| last >= until_ms);
        page.next.clone().filter(|_| !is_by_time || !(is_no_further || is_past))
    }

    /// Without what is not of the stretch of the past that is to be read, if it is one: by token, in whole
    /// days or without an end, vendors give more.
    pub(super) fn asked_for(&self, mut records: Vec<Record>) -> Vec<Record> {
        if let Some(until_ms) = self.until_ms {
            let times = self.setup.start_ms..until_ms;
            records.retain(|record| record.time_ms.is_none_or(|time| times.contains(&time)));
        }
        records
    }
}
