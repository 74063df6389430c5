//! Which files an epoch writes: rows by table, hour and size, sorted by time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use event::columns::{Cell, Cells};
use event::{Rows, TableSchema};

use super::arrays::RowRef;
use super::encode::{Content, FileHead, Job};
use super::layout::Hour;
use super::manifest::{ColumnSpec, FileKind};
use super::part::Merged;
use super::tables;

/// Hours of one table that one epoch writes. Rows of more hours go late to the hour they came in:
/// a source that spreads its times over years must not cost a file per row.
pub(super) const HOURS_MAX: usize = 512;
/// Memory of the rows of one file; more rows of an hour are spread over several files.
const FILE_BYTES_MAX: usize = 64 << 20;

/// Names the files of one attempt at an epoch.
#[derive(Clone, Debug)]
pub(super) struct Namer {
    pub lane: String,
    pub epoch: u64,
    pub writer: String,
    next: u32,
}

impl Namer {
    pub(super) fn new(lane: &str, epoch: u64, writer: &str) -> Self {
        Self { lane: lane.into(), epoch, writer: writer.into(), next: 0 }
    }

    pub(super) fn head(
        &mut self,
        table: &str,
        kind: FileKind,
        hour: Hour,
        columns: Arc<[ColumnSpec]>,
    ) -> FileHead {
        let Self { lane, epoch, writer, next } = self;
        let writer = if planted!(NamesWithoutWriter) { "00000000" } else { writer.as_str() };
        let path = format!("{}/{lane}-{epoch:020}-{next:03}-{writer}.parquet", hour.folder(table));
        *next += 1;
        let (lane, epoch, table) = (lane.clone(), *epoch, table.to_owned());
        FileHead { path, table, kind, hour, lane, epoch, columns }
    }
}

/// Plans the files of an epoch, whose rows go into the jobs. `now` in microseconds stands in for times that rows lack.
pub(super) fn plan(merged: &mut Merged, namer: &mut Namer, now: i64) -> Vec<Job> {
    let tables = std::mem::take(&mut merged.tables);
    let Merged { dead_letters, alerts, .. } = merged;
    alerts.sort_by_key(|a| a.alert_id);
    alerts.dedup_by_key(|a| a.alert_id);
    let mut wanted: HashMap<String, HashSet<String>> = HashMap::new();
    for alert in alerts.iter() {
        let table = alert.log_type.replace('.', "_");
        wanted.entry(table).or_default().insert(alert.event_uid.clone());
    }
    let mut jobs = Vec::new();
    let mut event_files = HashMap::new();
    for (schema, rows) in groups(tables) {
        let events = plan_rows(&schema, rows, FileKind::Events, namer, now);
        if let Some(wanted) = wanted.get(&schema.table) {
            events.iter().for_each(|job| locate(job, wanted, &mut event_files));
        }
        jobs.extend(events);
    }
    jobs.extend(tables::dead_letters(dead_letters, namer));
    if !alerts.is_empty() {
        let rows = tables::alerts(alerts, &event_files);
        let schema = rows.schema().clone();
        jobs.extend(plan_rows(&schema, vec![rows], FileKind::Alerts, namer, now));
    }
    jobs
}

/// The rows of events of finished jobs, as they were.
pub(super) fn rows_of(jobs: Vec<Job>) -> Vec<Rows> {
    let rows = jobs.into_iter().filter_map(|job| match (job.content, job.head.kind) {
        // The last job that shares them has them alone.
        (Content::Rows { rows, .. }, FileKind::Events) => Arc::into_inner(rows),
        _ => None,
    });
    rows.flatten().collect()
}

/// Rows with the same columns.
type Group = (Arc<TableSchema>, Vec<Rows>);

/// Rows of the same table and columns together, in the order of the tables' names.
fn groups(tables: Vec<Rows>) -> Vec<Group> {
    let mut groups: BTreeMap<String, Vec<Group>> = BTreeMap::new();
    for rows in tables {
        let same_table = groups.entry(rows.schema().table.clone()).or_default();
        let schema = rows.schema().clone();
        match same_table.iter_mut().find(|(s, _)| s.columns == schema.columns) {
            Some((_, group)) => group.push(rows),
            None => same_table.push((schema, vec![rows])),
        }
    }
    groups.into_values().flatten().collect()
}

fn plan_rows(
    schema: &TableSchema,
    rows: Vec<Rows>,
    kind: FileKind,
    namer: &mut Namer,
    now: i64,
) -> Vec<Job> {
    let columns: Arc<[ColumnSpec]> = schema
        .columns
        .iter()
        .map(|c| ColumnSpec { name: c.name.clone(), kind: c.column_type.into() })
        .collect();
    let ingest = match kind {
        FileKind::Alerts => schema.index_of("detected_at"),
        _ => schema.index_of("ingest_time"),
    };
    let average = rows.iter().map(Rows::used_bytes).sum::<usize>()
        / rows.iter().map(Rows::len).sum::<usize>().max(1);
    let rows_max = (FILE_BYTES_MAX / average.max(1)).max(1);
    let rows = Arc::new(rows);
    let hours = by_hour(schema, &rows, ingest, kind, now);
    let mut jobs = Vec::new();
    for (hour, mut refs) in hours {
        refs.sort_unstable();
        let files = refs.len().div_ceil(rows_max);
        for refs in refs.chunks(refs.len().div_ceil(files)) {
            let head = namer.head(&schema.table, kind, hour, columns.clone());
            let content = Content::Rows { rows: rows.clone(), refs: refs.to_vec(), ingest };
            jobs.push(Job { head, content });
        }
    }
    jobs
}

/// Sorts rows into hours: of the event, or of its arrival where the row is late (and for alerts of
/// the moment they were raised).
fn by_hour(
    schema: &TableSchema,
    rows: &[Rows],
    ingest: Option<usize>,
    kind: FileKind,
    now: i64,
) -> BTreeMap<Hour, Vec<RowRef>> {
    let (event, late) = (schema.index_of("event_time"), schema.index_of("late"));
    let arrival =
        |r: &RowRef| ingest.and_then(|c| time_at(&rows[r.rows as usize], c, r.row)).unwrap_or(now);
    let mut hours: BTreeMap<Hour, Vec<RowRef>> = BTreeMap::new();
    for (i, table) in rows.iter().enumerate() {
        for row in 0..table.len() as u32 {
            let mut r = RowRef { time: 0, rows: i as u32, row, made_late: false };
            let arrived = arrival(&r);
            r.time = event.and_then(|c| time_at(table, c, row)).unwrap_or(arrived);
            let is_late = late.is_some_and(|c| is_true(table, c, row));
            let by_arrival = is_late || kind == FileKind::Alerts;
            let filed = if by_arrival { arrived } else { r.time };
            hours.entry(Hour::of_micros(filed)).or_default().push(r);
        }
    }
    if hours.len() > HOURS_MAX {
        hours = overflow(hours, arrival);
    }
    hours
}

/// Keeps the fullest hours; the rows of the others go to the hour they arrived in.
fn overflow(
    hours: BTreeMap<Hour, Vec<RowRef>>,
    arrival: impl Fn(&RowRef) -> i64,
) -> BTreeMap<Hour, Vec<RowRef>> {
    let mut fullest: Vec<_> = hours.into_iter().collect();
    fullest.sort_by_key(|(hour, refs)| (std::cmp::Reverse(refs.len()), *hour));
    // Arrivals of one epoch lie in one hour or two.
    let rest = fullest.split_off(HOURS_MAX - 2);
    let mut hours: BTreeMap<_, _> = fullest.into_iter().collect();
    for mut r in rest.into_iter().flat_map(|(_, refs)| refs) {
        r.made_late = true;
        hours.entry(Hour::of_micros(arrival(&r))).or_default().push(r);
    }
    hours
}

/// A time cell in microseconds.
pub(super) fn time_at(rows: &Rows, column: usize, row: u32) -> Option<i64> {
    let column = rows.column(column);
    match column.cells() {
        Cells::Time(v) => column.is_set(row as usize).then(|| v[row as usize]),
        _ => None,
    }
}

fn is_true(rows: &Rows, column: usize, row: u32) -> bool {
    matches!(rows.cell(row as usize, column), Cell::Bool(true))
}

/// Notes the file of each wanted event, keyed by table and `event_uid`.
fn locate(job: &Job, wanted: &HashSet<String>, found: &mut HashMap<(String, String), String>) {
    let Content::Rows { rows, refs, .. } = &job.content else { return };
    let Some(uid) = rows[0].schema().index_of("event_uid") else { return };
    for r in refs {
        if let Cell::Text(uid) = rows[r.rows as usize].cell(r.row as usize, uid)
            && wanted.contains(uid)
        {
            found.insert((job.head.table.clone(), uid.to_owned()), job.head.path.clone());
        }
    }
}

#[cfg(test)]
mod tests;
