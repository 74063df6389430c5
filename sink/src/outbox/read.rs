//! Looking into the outbox. Changes nothing.

use event::{Alert, AlertId, Timestamp};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};

use super::{
    ALERTS, ALERTS_BY_TIME, DELIVERIES, DUE, Delivery, Entry, Error, Filter, IDS, IN_FLIGHT, Id,
    Outbox, UNROUTED, id_of, key_of,
};

impl Outbox {
    /// The alerts that the filter admits, newest first, at most `filter.limit`.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Entry>, Error> {
        let read = self.begin_read()?;
        let by_time = read.open_table(ALERTS_BY_TIME)?;
        let since = filter.since.map_or(i64::MIN, |since| since.0);
        let mut entries = Vec::new();
        for row in by_time.range((since, &[0; 16])..)?.rev() {
            if entries.len() >= filter.limit {
                break;
            }
            let (key, _) = row?;
            let (_, id) = key.value();
            if let Some(entry) = entry(&read, id)?.filter(|entry| filter.admits(entry)) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// One alert, unless it is unknown or its body is gone.
    pub fn get(&self, id: AlertId) -> Result<Option<Entry>, Error> {
        entry(&self.begin_read()?, key_of(&id))
    }

    /// Which of these were ever inserted, as long as ids are remembered.
    pub fn knows(&self, ids: &[AlertId]) -> Result<Vec<bool>, Error> {
        let read = self.begin_read()?;
        let known = read.open_table(IDS)?;
        ids.iter().map(|id| Ok(known.get(key_of(id))?.is_some())).collect()
    }

    /// How many alerts are not yet routed.
    pub fn unrouted(&self) -> Result<u64, Error> {
        Ok(self.begin_read()?.open_table(UNROUTED)?.len()?)
    }

    /// How many deliveries to a destination are open.
    pub fn pending(&self, destination: &str) -> Result<u64, Error> {
        let read = self.begin_read()?;
        let due = count(read.open_table(DUE)?.range(due_range(destination, i64::MAX))?)?;
        let (from, to) = ((destination, &[0; 16]), (destination, &[0xff; 16]));
        Ok(due + count(read.open_table(IN_FLIGHT)?.range(from..=to)?)?)
    }

    /// When the next delivery to a destination is due; `None` when there is none.
    pub fn next_due(&self, destination: &str) -> Result<Option<Timestamp>, Error> {
        let read = self.begin_read()?;
        let due = read.open_table(DUE)?;
        match due.range(due_range(destination, i64::MAX))?.next() {
            Some(row) => Ok(Some(Timestamp(row?.0.value().1))),
            None => Ok(None),
        }
    }

    /// Names of the destinations that open deliveries go to, configured or not.
    pub fn destinations_pending(&self) -> Result<Vec<String>, Error> {
        let read = self.begin_read()?;
        let due = read.open_table(DUE)?;
        let mut names: Vec<String> = Vec::new();
        // Jump from name to name: the first key after every possible one of the last name.
        let mut from = String::new();
        while let Some(row) = due.range((from.as_str(), i64::MIN, &[0; 16])..)?.next() {
            let name = row?.0.value().0.to_owned();
            from = format!("{name}\0");
            names.push(name);
        }
        Ok(names)
    }
}

/// All due rows of a destination up to a time.
pub(super) fn due_range(
    destination: &str,
    upto: i64,
) -> std::ops::RangeInclusive<(&str, i64, &Id)> {
    (destination, i64::MIN, &[0; 16])..=(destination, upto, &[0xff; 16])
}

fn count<K: redb::Key + 'static, V: redb::Value + 'static>(
    rows: redb::Range<'_, K, V>,
) -> Result<u64, Error> {
    let mut n = 0;
    for row in rows {
        row?;
        n += 1;
    }
    Ok(n)
}

fn entry(read: &ReadTransaction, id: &Id) -> Result<Option<Entry>, Error> {
    let alerts = read.open_table(ALERTS)?;
    let Some(bytes) = alerts.get(id)? else { return Ok(None) };
    let alert = alert_of(bytes.value())?;
    let deliveries = deliveries(&read.open_table(DELIVERIES)?, &alert.alert_id)?;
    Ok(Some(Entry { alert, deliveries }))
}

pub(super) fn deliveries(
    table: &impl ReadableTable<(&'static Id, &'static str), &'static [u8]>,
    id: &AlertId,
) -> Result<Vec<(String, Delivery)>, Error> {
    let mut found = Vec::new();
    for row in table.range((key_of(id), "")..)? {
        let (key, value) = row?;
        let (of, destination) = key.value();
        if id_of(of) != *id {
            break;
        }
        found.push((destination.to_owned(), delivery_of(value.value())?));
    }
    Ok(found)
}

pub(super) fn alert_of(bytes: &[u8]) -> Result<Alert, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::format("an alert", e))
}

pub(super) fn delivery_of(bytes: &[u8]) -> Result<Delivery, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::format("a delivery", e))
}
