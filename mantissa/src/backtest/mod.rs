//! Rules over the past: events of the lake go through the matcher again, hour by hour, as they did when
//! they came. What is found goes to a folder of its own; nothing is sent and the lake is only read.
//!
//! An hour is the unit that is finished: its alerts, then the state of the correlations, then the record
//! that it is done. So an interrupted run goes on behind the last hour that it finished.

mod again;
mod folder;
mod glance;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use detect::correlate::{Arrival, Correlator, Observation};
use event::{Alert, LogType, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sink::lake::layout::Hour;
use sink::lake::{DataFile, FileKind, LakeStore, LiveFile, Snapshot, records};

use crate::pipeline::{CorrelationConfig, Detection, correlation_alert, titles};
use again::Again;
pub use folder::alerts;
use folder::{Folder, HourFile};

/// Which rules over which events.
pub struct Question {
    pub store: LakeStore,
    pub detection: Detection,
    pub correlation: CorrelationConfig,
    /// The first event time that counts, and the first that does not any more.
    pub from: Timestamp,
    pub to: Timestamp,
    /// Only these log types; all when it is empty.
    pub log_types: Vec<String>,
    pub workers: usize,
    /// Files that cannot matter are left out, and events that no rule holds for are only glanced at. Finds the
    /// same; without it everything takes the whole way.
    pub glances: bool,
    /// Where the run is kept.
    pub folder: PathBuf,
    /// What makes two runs the same: rules, times, log types, lake.
    pub identity: String,
}

/// What a run has found so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub identity: String,
    pub is_finished: bool,
    /// The last hour that is done, counted from 1970.
    done: Option<i64>,
    pub files: u64,
    pub events: u64,
    /// Of the events, those that were read and not made into rows, as no rule holds for them.
    pub glanced: u64,
    /// What the manifests alone show to be of no interest: other times, and log types that no rule looks at.
    pub passed_over: PassedOver,
    /// Events that cannot be read again: their log type reads them differently now, or what their source
    /// kept beside them (a header line) is not in the lake.
    pub unreadable: BTreeMap<String, u64>,
    /// Events of tables without the vendor's record, which cannot be matched again.
    pub without_record: BTreeMap<String, u64>,
    pub alerts: u64,
    /// By rule id.
    pub rules: BTreeMap<String, OfRule>,
}

/// Files that were not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    pub files: u64,
    pub rows: u64,
    /// As they are stored.
    pub bytes: u64,
}

impl PassedOver {
    fn add(&mut self, file: &DataFile) {
        self.files += 1;
        self.rows += file.rows;
        self.bytes += file.bytes;
    }
}

/// The alerts of one rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OfRule {
    pub title: String,
    pub level: String,
    pub alerts: u64,
    /// `2026-03-17T09` to how many, by event time.
    pub hours: BTreeMap<String, u64>,
    /// `event_uid` of the first ones.
    pub samples: Vec<String>,
}

const SAMPLES_MAX: usize = 3;

impl Report {
    fn add(&mut self, alert: &Alert) {
        let of = self.rules.entry(alert.rule.id.clone()).or_default();
        if of.alerts == 0 {
            of.title.clone_from(&alert.rule.title);
            of.level = alert.rule.level.to_string();
        }
        let (dt, hr) = Hour::of_micros(alert.event_time.micros()).dt_hr();
        *of.hours.entry(format!("{dt}T{hr:02}")).or_default() += 1;
        if of.samples.len() < SAMPLES_MAX {
            of.samples.push(alert.event_uid.clone());
        }
        of.alerts += 1;
        self.alerts += 1;
    }
}

/// The one clock that correlations go by here: events come in the order of their time.
const CLOCK: &str = "lake";
/// Its wall clock stands still in a far future, so that no event is from the future.
const STANDSTILL: Timestamp = Timestamp(i64::MAX / 4);

impl Question {
    /// Runs what is not done yet; `true` when everything was done already. Blocks; to be called on a runtime of several threads.
    ///
    /// # Errors
    /// When the lake cannot be read or is damaged, or the folder is another run's or cannot be written.
    pub async fn run(&self) -> anyhow::Result<(Report, bool)> {
        let folder = Folder::open(&self.folder)?;
        let mut report = folder.report(&self.identity)?;
        if report.is_finished {
            return Ok((report, true));
        }
        let snapshot = Snapshot::read(&self.store.store, &self.store.root).await?;
        let rules = &self.detection.rules;
        let mut correlator = Correlator::new(rules.plans().clone(), self.correlation.options());
        if let (Some(done), false) = (report.done, rules.plans().is_empty()) {
            let state = folder.state(done)?;
            correlator.restore(&state, STANDSTILL).context("the state of the run is damaged")?;
        }
        let runtime = tokio::runtime::Handle::current();
        let mut workers: Vec<Again<'_>> =
            (0..self.workers.max(1)).map(|_| Again::new(self, runtime.clone())).collect();
        let mut before = report.done;
        let hours = self.hours(&snapshot, &mut report);
        let last = hours.last_key_value().map(|(hour, _)| *hour);
        for (hour, files) in hours {
            let mut out = folder.hour(hour)?;
            let seen = self.hour(&files, &mut workers, &mut report, &mut out)?;
            self.correlate(seen, &mut correlator, last == Some(hour), &mut report, &mut out)?;
            out.finish()?;
            report.done = Some(hour.0);
            if !rules.plans().is_empty() {
                folder.keep_state(hour.0, &correlator.snapshot())?;
            }
            folder.keep_report(&report)?;
            if let Some(before) = before.replace(hour.0) {
                folder.drop_state(before);
            }
        }
        folder.keep_table()?;
        report.is_finished = true;
        folder.keep_report(&report)?;
        Ok((report, false))
    }

    /// Where events begin to matter: a window of a correlation, and the alert that its cell of time had
    /// already, can begin before the first event that counts.
    pub(crate) fn warm_from(&self) -> Timestamp {
        let mut reach: HashMap<&str, i64> = HashMap::new();
        for correlation in self.detection.rules.correlations() {
            let inner =
                correlation.members.iter().filter_map(|m| reach.get(m.id.as_str()).copied());
            let own = correlation.timespan_ns.saturating_mul(2);
            let all = own.saturating_add(inner.max().unwrap_or(0));
            reach.insert(&correlation.info.id, all);
        }
        let longest = reach.into_values().max().unwrap_or(0);
        Timestamp(self.from.0.saturating_sub(longest))
    }

    /// The files that can hold events that matter and that are not done yet, by the hour under which the
    /// lake files them.
    fn hours<'s>(
        &self,
        snapshot: &'s Snapshot,
        report: &mut Report,
    ) -> BTreeMap<Hour, Vec<(&'s LiveFile, LogType)>> {
        let warm_us = self.warm_from().micros();
        // A run that goes on has counted them.
        let is_first = report.done.is_none();
        let mut tables: HashMap<&str, Option<LogType>> = HashMap::new();
        let mut hours: BTreeMap<Hour, Vec<_>> = BTreeMap::new();
        for live in &snapshot.files {
            let file = &live.file;
            if file.kind != FileKind::Events {
                continue;
            }
            let is_in_time = file.max_time >= warm_us && file.min_time <= self.to.micros();
            let log_type = tables.entry(&file.table).or_insert_with(|| self.log_type(&file.table));
            let hour = Hour::parse(&file.dt, file.hr).filter(|_| is_in_time);
            let (Some(log_type), Some(hour)) = (log_type, hour) else {
                if is_first {
                    report.passed_over.add(file);
                }
                continue;
            };
            if report.done.is_some_and(|done| hour.0 <= done) {
                continue;
            }
            if !records::keeps_raw(live) {
                if is_first {
                    *report.without_record.entry(log_type.to_string()).or_default() += file.rows;
                }
                continue;
            }
            hours.entry(hour).or_default().push((live, log_type.clone()));
        }
        hours
    }

    /// The log type of a table, when it is wanted and a rule looks at it.
    fn log_type(&self, table: &str) -> Option<LogType> {
        let catalog = &self.detection.catalog;
        let name = catalog.names().find(|name| LogType::from(*name).table() == table)?;
        let is_wanted = self.log_types.is_empty() || self.log_types.iter().any(|t| t == name);
        let mapping = catalog.get(name).filter(|_| is_wanted)?;
        let looks = |rule: &Arc<detect::Rule>| rule.log_source.applies_to(mapping.log_source());
        self.detection.rules.rules().iter().any(looks).then(|| mapping.log_type().clone())
    }

    /// Matches the events of an hour, file by file on all workers. Returns what correlations are to know.
    fn hour(
        &self,
        files: &[(&LiveFile, LogType)],
        workers: &mut [Again<'_>],
        report: &mut Report,
        out: &mut HourFile,
    ) -> anyhow::Result<Vec<Observation>> {
        let next = AtomicUsize::new(0);
        let shared = Mutex::new((report, out));
        let work = |again: &mut Again<'_>| -> anyhow::Result<Vec<Observation>> {
            let mut observations = Vec::new();
            while let Some((live, log_type)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let found = again.file(live, log_type)?;
                observations.extend(found.observations);
                let (report, out) = &mut *shared.lock();
                report.files += 1;
                report.events += found.events;
                report.glanced += found.glanced;
                if found.unreadable > 0 {
                    *report.unreadable.entry(log_type.to_string()).or_default() += found.unreadable;
                }
                for alert in &found.alerts {
                    report.add(alert);
                    out.write(alert)?;
                }
            }
            Ok(observations)
        };
        let ended: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                workers.iter_mut().map(|again| scope.spawn(|| work(again))).collect();
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        let mut all = Vec::new();
        for ended in ended {
            all.extend(ended.map_err(|_| anyhow::anyhow!("a worker thread panicked"))??);
        }
        Ok(all)
    }

    /// Tells the correlations what the hour has brought, in the order of event time.
    fn correlate(
        &self,
        mut seen: Vec<Observation>,
        correlator: &mut Correlator,
        is_last: bool,
        report: &mut Report,
        out: &mut HourFile,
    ) -> anyhow::Result<()> {
        let rules = &self.detection.rules;
        let ids = rules.rules().iter().map(|rule| rule.info.id.as_str()).collect();
        let plans = rules.plans().fed_by(&ids);
        seen.sort_by_key(|observation| (observation.time, observation.uid));
        for observation in &seen {
            correlator.observe(observation);
        }
        if let Some(newest) = seen.last().map(|observation| observation.time) {
            let (source, partition) = (CLOCK, CLOCK);
            let (now, lateness_ns, plans) = (STANDSTILL, 0, &*plans);
            correlator.arrived(&Arrival { source, partition, newest, now, lateness_ns, plans });
        }
        if is_last {
            correlator.finish();
        }
        let titles = titles(rules);
        for found in correlator.take_found() {
            if (self.from..self.to).contains(&found.at.time) {
                let alert = correlation_alert(&found, &titles);
                report.add(&alert);
                out.write(&alert)?;
            }
        }
        Ok(())
    }
}
