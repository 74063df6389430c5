//! `lake.retention`: which files have been kept long enough. Pure: the files and the time come in.
//!
//! Whole files go, by the hour that they are filed under, but never while the identities of their events
//! are remembered (`lake.dedup_hours` after they came). A hold is stronger than everything.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::error::{Error, Kind};
use super::super::layout::Hour;
use super::super::live::LiveFile;
use super::super::manifest::{FileKind, Why};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// How long what is kept. Without it everything stays.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionOptions {
    /// How long events are kept after the end of their hour, in days. Without it for ever.
    pub days: Option<u32>,
    /// The same for single tables, `aws_vpcflow: 30`. The tables `alerts` and `dead_letters` stay for ever
    /// unless they are named here.
    pub tables: BTreeMap<String, u32>,
    /// How large the lake may become, in bytes: the oldest hours of events go first.
    pub bytes_max: Option<u64>,
    /// What must stay, whatever the rest says.
    pub hold: Vec<Hold>,
}

/// A legal hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hold {
    /// Why, for people: the number of a case.
    pub reason: String,
    /// Of these tables; of all when it is empty.
    pub tables: Vec<String>,
    /// The first day, `2026-03-01`. Without it from the beginning.
    pub from: Option<String>,
    /// The last day. Without it to the end.
    pub to: Option<String>,
}

impl RetentionOptions {
    /// # Errors
    /// [`Kind::Options`] names the one that makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        let wrong =
            |what: String| Err(Error::new(Kind::Options, format!("lake.retention: {what}")));
        if self.days == Some(0) {
            return wrong("`days` is at least 1".into());
        }
        if let Some((table, _)) = self.tables.iter().find(|(_, days)| **days == 0) {
            return wrong(format!("`tables.{table}` is at least 1 day"));
        }
        for hold in &self.hold {
            let days = hold.from.iter().chain(&hold.to);
            if let Some(day) = days.into_iter().find(|day| Hour::parse(day, 0).is_none()) {
                return wrong(format!("`{day}` of a hold is not a day as 2026-03-01"));
            }
            if hold.span().is_none() {
                return wrong("a hold ends before it begins".into());
            }
        }
        Ok(())
    }

    fn days(&self, file: &LiveFile) -> Option<u32> {
        let of_table = self.tables.get(&file.file.table).copied();
        let of_all = self.days.filter(|_| file.file.kind == FileKind::Events);
        of_table.or(of_all)
    }

    /// Whether any row of the file may lie in a hold.
    fn holds(&self, live: &LiveFile, hour: Hour) -> bool {
        let file = &live.file;
        let start = hour.0.saturating_mul(HOUR_US);
        // A late row lies outside of the hour that it is filed under.
        let (first, last) = (start.min(file.min_time), (start + HOUR_US - 1).max(file.max_time));
        self.hold.iter().any(|hold| {
            let of_table = hold.tables.is_empty() || hold.tables.contains(&file.table);
            // One that makes no sense holds everything.
            let (from, to) = hold.span().unwrap_or((i64::MIN, i64::MAX));
            of_table && first <= to && last >= from
        })
    }
}

impl Hold {
    /// Microseconds, inclusive; `None` when it ends before it begins or is not made of days.
    fn span(&self) -> Option<(i64, i64)> {
        let start = |day: &String| Some(Hour::parse(day, 0)?.0 * HOUR_US);
        let from = self.from.as_ref().map_or(Some(i64::MIN), start)?;
        let to = self.to.as_ref().map_or(Some(i64::MAX), |day| Some(start(day)? + DAY_US - 1))?;
        (from <= to).then_some((from, to))
    }
}

/// Whether the file stays whatever the rest says. One whose hour nobody knows does.
pub(in crate::lake) fn is_held(live: &LiveFile, options: &RetentionOptions) -> bool {
    Hour::parse(&live.file.dt, live.file.hr).is_none_or(|hour| options.holds(live, hour))
}

/// The files whose time has come. `now` in microseconds. What arrived after `known_since` stays: the
/// identities of its events are needed to know them again.
pub(in crate::lake) fn expired<'a>(
    files: &'a [LiveFile],
    options: &RetentionOptions,
    known_since: i64,
    now: i64,
) -> Vec<(&'a LiveFile, Why)> {
    let mut bytes: u64 = files.iter().map(|live| live.file.bytes).sum();
    let (mut gone, mut rest) = (Vec::new(), Vec::new());
    for live in files {
        let Some(hour) = Hour::parse(&live.file.dt, live.file.hr) else { continue };
        if options.holds(live, hour) || live.file.max_ingest > known_since {
            continue;
        }
        let kept_for = now.saturating_sub((hour.0 + 1).saturating_mul(HOUR_US));
        if options.days(live).is_some_and(|days| kept_for > i64::from(days) * DAY_US) {
            bytes -= live.file.bytes;
            gone.push((live, Why::Age));
        } else if live.file.kind == FileKind::Events {
            rest.push((hour, live));
        }
    }
    rest.sort_by(|(a, x), (b, y)| (a, &x.file.path).cmp(&(b, &y.file.path)));
    for (_, live) in rest {
        if options.bytes_max.is_none_or(|most| bytes <= most) {
            break;
        }
        bytes -= live.file.bytes;
        gone.push((live, Why::Size));
    }
    gone
}

#[cfg(test)]
mod tests;
