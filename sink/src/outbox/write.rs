//! Every change of the outbox: each public call is one transaction with one fsync, and a call that
//! changes nothing writes nothing.

use event::{Alert, AlertId, Timestamp};
use redb::{ReadableTable, Table, WriteTransaction};
use serde::Serialize;

use super::read::{alert_of, deliveries, delivery_of, due_range};
use super::window::{Verdict, Window, admit};
use super::{
    ALERTS, ALERTS_BY_TIME, Claim, DELIVERIES, DUE, Delivery, Entry, Error, IDS, IDS_BY_TIME,
    IN_FLIGHT, Id, Outbox, Routed, State, StateName, UNROUTED, WINDOWS, id_of, key_of,
};

/// How long things are kept, counted from the detection of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Days that an alert without an open or parked delivery stays listed.
    pub alerts_days: u32,
    /// Days that an id is remembered, and that parked alerts and suppression windows are kept. A
    /// redo of something older would be sent again.
    pub ids_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { alerts_days: 30, ids_days: 400 }
    }
}

/// Rows that one call of [`Outbox::purge`] looks at.
const PURGE_ROWS_MAX: usize = 10_000;
const DAY_NS: i64 = 86_400_000_000_000;

impl Outbox {
    /// Makes alerts durable, all or none. The answer says which were new; the others were inserted
    /// before (in this batch or earlier) and are left as they are. One fsync a batch.
    pub fn insert(&self, alerts: &[Alert]) -> Result<Vec<bool>, Error> {
        let write = self.begin_write()?;
        let mut new = Vec::with_capacity(alerts.len());
        {
            let (mut ids, mut bodies) = (write.open_table(IDS)?, write.open_table(ALERTS)?);
            let mut unrouted = write.open_table(UNROUTED)?;
            let mut ids_by_time = write.open_table(IDS_BY_TIME)?;
            let mut by_time = write.open_table(ALERTS_BY_TIME)?;
            let mut next = unrouted.last()?.map_or(0, |(seq, _)| seq.value() + 1);
            for alert in alerts {
                let (key, at) = (key_of(&alert.alert_id), alert.detected_at.0);
                let is_new = ids.get(key)?.is_none();
                new.push(is_new);
                if !is_new {
                    continue;
                }
                ids.insert(key, at)?;
                ids_by_time.insert((at, key), ())?;
                by_time.insert((at, key), ())?;
                bodies.insert(key, json(alert).as_slice())?;
                unrouted.insert(next, key)?;
                next += 1;
            }
        }
        finish(write, new.contains(&true))?;
        Ok(new)
    }

    /// Routes up to `max` alerts in the order of their insertion: `route` says where each goes.
    /// Gives what was decided, in that order.
    pub fn route(
        &self,
        now: Timestamp,
        max: usize,
        mut route: impl FnMut(&Alert) -> Vec<Routed>,
    ) -> Result<Vec<Entry>, Error> {
        let write = self.begin_write()?;
        let mut routed = Vec::new();
        {
            let mut unrouted = write.open_table(UNROUTED)?;
            let (alerts, mut windows) = (write.open_table(ALERTS)?, write.open_table(WINDOWS)?);
            let mut deliveries = write.open_table(DELIVERIES)?;
            let mut due = write.open_table(DUE)?;
            while routed.len() < max {
                let Some(id) = unrouted.pop_first()?.map(|(_, id)| *id.value()) else { break };
                let Some(alert) = alerts.get(&id)?.map(|b| alert_of(b.value())).transpose()? else {
                    continue;
                };
                let mut decided = Vec::new();
                for target in route(&alert) {
                    let delivery = decide(&mut windows, &alert, &target, now)?;
                    if delivery.state == State::Pending {
                        due.insert((target.destination.as_str(), now.0, &id), ())?;
                    }
                    let key = (&id, target.destination.as_str());
                    deliveries.insert(key, json(&delivery).as_slice())?;
                    decided.push((target.destination, delivery));
                }
                routed.push(Entry { alert, deliveries: decided });
            }
        }
        finish(write, !routed.is_empty())?;
        Ok(routed)
    }

    /// Takes up to `max` deliveries that are due, durably, for one attempt each. Every one must be
    /// given back with [`Outbox::record`]; what a crash keeps is found by [`Outbox::recover`].
    pub fn claim(
        &self,
        destination: &str,
        now: Timestamp,
        max: usize,
    ) -> Result<Vec<Claim>, Error> {
        let write = self.begin_write()?;
        let mut claims = Vec::new();
        {
            let mut due = write.open_table(DUE)?;
            let mut in_flight = write.open_table(IN_FLIGHT)?;
            let mut rows: Vec<(i64, Id)> = Vec::new();
            for row in due.range(due_range(destination, now.0))?.take(max) {
                let (key, _) = row?;
                let (_, at, id) = key.value();
                rows.push((at, *id));
            }
            let alerts = write.open_table(ALERTS)?;
            let mut deliveries = write.open_table(DELIVERIES)?;
            for (at, id) in rows {
                due.remove((destination, at, &id))?;
                let Some(alert) = alerts.get(&id)?.map(|b| alert_of(b.value())).transpose()? else {
                    continue;
                };
                let stored = deliveries.get((&id, destination))?;
                let Some(before) = stored.map(|b| delivery_of(b.value())).transpose()? else {
                    continue;
                };
                let mut delivery = before;
                delivery.attempts = delivery.attempts.saturating_add(1);
                delivery.first_attempt_at.get_or_insert(now);
                in_flight.insert((destination, &id), ())?;
                let begun = Delivery { maybe_sent: true, ..delivery.clone() };
                deliveries.insert((&id, destination), json(&begun).as_slice())?;
                claims.push(Claim { alert, delivery });
            }
        }
        finish(write, !claims.is_empty())?;
        Ok(claims)
    }

    /// Stores how attempts ended and gives their claims back.
    pub fn record(&self, ended: &[(String, AlertId, Delivery)]) -> Result<(), Error> {
        let write = self.begin_write()?;
        {
            let mut deliveries = write.open_table(DELIVERIES)?;
            let mut due = write.open_table(DUE)?;
            let mut in_flight = write.open_table(IN_FLIGHT)?;
            for (destination, id, delivery) in ended {
                let (name, key) = (destination.as_str(), key_of(id));
                in_flight.remove((name, key))?;
                deliveries.insert((key, name), json(delivery).as_slice())?;
                if delivery.state == State::Pending {
                    due.insert((name, delivery.next_attempt_at.0, key), ())?;
                }
            }
        }
        finish(write, !ended.is_empty())
    }

    /// Makes due again what a crash left claimed. Only for whoever holds the dispatch lock. Gives
    /// how many there were.
    pub fn recover(&self) -> Result<usize, Error> {
        let write = self.begin_write()?;
        let mut found: Vec<(String, Id)> = Vec::new();
        {
            let mut in_flight = write.open_table(IN_FLIGHT)?;
            let deliveries = write.open_table(DELIVERIES)?;
            let mut due = write.open_table(DUE)?;
            while let Some((key, _)) = in_flight.pop_first()? {
                let (destination, id) = key.value();
                found.push((destination.to_owned(), *id));
            }
            for (destination, id) in &found {
                let stored = deliveries.get((id, destination.as_str()))?;
                let Some(delivery) = stored.map(|b| delivery_of(b.value())).transpose()? else {
                    continue;
                };
                due.insert((destination.as_str(), delivery.next_attempt_at.0, id), ())?;
            }
        }
        finish(write, !found.is_empty())?;
        Ok(found.len())
    }

    /// Parks every open delivery to a destination that is not configured any more.
    pub fn park_all(
        &self,
        destination: &str,
        now: Timestamp,
        reason: &str,
    ) -> Result<usize, Error> {
        let mut parked = 0;
        loop {
            let claims = self.claim(destination, Timestamp(i64::MAX), 1_000)?;
            if claims.is_empty() {
                return Ok(parked);
            }
            parked += claims.len();
            let ended: Vec<_> = claims
                .into_iter()
                .map(|Claim { alert, mut delivery }| {
                    delivery.attempts -= 1; // the claim counted an attempt that was none
                    delivery.state = State::Parked { at: now, reason: reason.to_owned() };
                    (destination.to_owned(), alert.alert_id, delivery)
                })
                .collect();
            self.record(&ended)?;
        }
    }

    /// Makes parked deliveries due at once with a fresh allowance of attempts: those of the given
    /// alerts, or all (`None`). Gives how many there were.
    pub fn retry(&self, ids: Option<&[AlertId]>, now: Timestamp) -> Result<usize, Error> {
        let write = self.begin_write()?;
        let mut retried = 0;
        {
            let mut table = write.open_table(DELIVERIES)?;
            let mut due = write.open_table(DUE)?;
            let mut parked: Vec<(Id, String, Delivery)> = Vec::new();
            let mut keep = |id: Id, destination: String, delivery: Delivery| {
                if delivery.state.name() == StateName::Parked {
                    parked.push((id, destination, delivery));
                }
            };
            match ids {
                Some(ids) => {
                    for id in ids {
                        for (destination, delivery) in deliveries(&table, id)? {
                            keep(*key_of(id), destination, delivery);
                        }
                    }
                }
                None => {
                    for row in table.iter()? {
                        let (key, value) = row?;
                        let (id, destination) = key.value();
                        keep(*id, destination.to_owned(), delivery_of(value.value())?);
                    }
                }
            }
            for (id, destination, mut delivery) in parked {
                delivery.state = State::Pending;
                delivery.next_attempt_at = now;
                delivery.attempts = 0;
                delivery.first_attempt_at = None;
                due.insert((destination.as_str(), now.0, &id), ())?;
                table.insert((&id, destination.as_str()), json(&delivery).as_slice())?;
                retried += 1;
            }
        }
        finish(write, retried > 0)?;
        Ok(retried)
    }

    /// Forgets what is older than `keep` allows; see [`Retention`]. Looks at a bounded number of
    /// rows: call it again while it gives more than 0. Gives how many alerts or ids went.
    pub fn purge(&self, now: Timestamp, keep: Retention) -> Result<usize, Error> {
        let before = |days: u32| now.0.saturating_sub(i64::from(days).saturating_mul(DAY_NS));
        let write = self.begin_write()?;
        let mut gone = 0;
        // What is not routed yet has no delivery that would keep it: come again later.
        if write.open_table(UNROUTED)?.first()?.is_none() {
            gone += purge_bodies(&write, before(keep.alerts_days), before(keep.ids_days))?;
        }
        gone += purge_ids(&write, before(keep.ids_days))?;
        write.open_table(WINDOWS)?.retain(|_, value| {
            // A window that cannot be read is kept: it does no harm and tells of a fault.
            serde_json::from_slice::<Window>(value)
                .map_or(true, |window| window.until.0 >= before(keep.ids_days))
        })?;
        finish(write, gone > 0)?;
        Ok(gone)
    }
}

fn decide(
    windows: &mut Table<'_, &'static Id, &'static [u8]>,
    alert: &Alert,
    target: &Routed,
    now: Timestamp,
) -> Result<Delivery, Error> {
    let mut delivery = Delivery::pending(now);
    let Some(suppress) = target.suppress else { return Ok(delivery) };
    let stored = windows.get(&suppress.key.0)?.map(|bytes| {
        serde_json::from_slice(bytes.value()).map_err(|e| Error::format("a window", e))
    });
    let (window, verdict) =
        admit(stored.transpose()?, alert.alert_id, alert.detected_at, suppress.window_ns);
    windows.insert(&suppress.key.0, json(&window).as_slice())?;
    match verdict {
        Verdict::Out { held_back } => delivery.suppressed_before = held_back,
        Verdict::Held { by } => delivery.state = State::Suppressed { by },
    }
    Ok(delivery)
}

fn purge_bodies(write: &WriteTransaction, before: i64, parked_before: i64) -> Result<usize, Error> {
    let mut by_time = write.open_table(ALERTS_BY_TIME)?;
    let mut table = write.open_table(DELIVERIES)?;
    let mut alerts = write.open_table(ALERTS)?;
    let mut old: Vec<(i64, Id)> = Vec::new();
    for row in by_time.range(..(before, &[0; 16]))?.take(PURGE_ROWS_MAX) {
        let (key, _) = row?;
        let (at, id) = key.value();
        old.push((at, *id));
    }
    let mut gone = 0;
    for (at, id) in old {
        let all = deliveries(&table, &id_of(&id))?;
        let is_open = |delivery: &Delivery| match delivery.state {
            State::Pending => true,
            State::Parked { .. } => at >= parked_before,
            State::Sent { .. } | State::Suppressed { .. } => false,
        };
        if all.iter().any(|(_, delivery)| is_open(delivery)) {
            continue;
        }
        for (destination, _) in all {
            table.remove((&id, destination.as_str()))?;
        }
        alerts.remove(&id)?;
        by_time.remove((at, &id))?;
        gone += 1;
    }
    Ok(gone)
}

fn purge_ids(write: &WriteTransaction, before: i64) -> Result<usize, Error> {
    let mut by_time = write.open_table(IDS_BY_TIME)?;
    let (mut ids, alerts) = (write.open_table(IDS)?, write.open_table(ALERTS)?);
    let mut old: Vec<(i64, Id)> = Vec::new();
    for row in by_time.range(..(before, &[0; 16]))?.take(PURGE_ROWS_MAX) {
        let (key, _) = row?;
        let (at, id) = key.value();
        old.push((at, *id));
    }
    let mut gone = 0;
    for (at, id) in old {
        if alerts.get(&id)?.is_some() {
            continue;
        }
        by_time.remove((at, &id))?;
        ids.remove(&id)?;
        gone += 1;
    }
    Ok(gone)
}

fn finish(write: WriteTransaction, changed: bool) -> Result<(), Error> {
    if changed {
        write.commit()?
    } else {
        write.abort()?
    }
    Ok(())
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("our own types have string keys and serialize")
}
