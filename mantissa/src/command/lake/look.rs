//! `mantissa lake ls|show|du`: reads manifests, and nothing else.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::bail;
use event::Timestamp;
use serde::Serialize;
use sink::lake::{End, Former, LakeOptions, LakeStore, LiveFile, Snapshot, Why};

use crate::cli::ReportFormat;
use crate::report;

use super::say;

fn snapshot(options: &LakeOptions) -> anyhow::Result<Snapshot> {
    super::super::block_on(async {
        let at = LakeStore::open(options)?;
        Ok(Snapshot::read_all(&at.store, &at.root).await?)
    })
}

/// The files of a table, or of all. A table that is not there is a mistake.
fn chosen<'a>(
    snapshot: &'a Snapshot,
    table: Option<&'a str>,
) -> anyhow::Result<impl Iterator<Item = &'a LiveFile>> {
    if let Some(table) = table
        && !snapshot.tables().contains_key(table)
    {
        let known: Vec<&str> = snapshot.tables().into_keys().collect();
        bail!("the lake has no table `{table}`; it has {}", known.join(", "));
    }
    let wanted = move |live: &&LiveFile| table.is_none_or(|table| live.file.table == table);
    Ok(snapshot.files.iter().filter(wanted))
}

/// A table, or an hour of one.
#[derive(Debug, Default, Serialize)]
struct Holding {
    table: String,
    /// The first and the last hour, `2026-03-01T09`.
    from: String,
    to: String,
    files: u64,
    rows: u64,
    bytes: u64,
}

pub(super) fn list(
    options: &LakeOptions,
    table: Option<&str>,
    files: bool,
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let snapshot = snapshot(options)?;
    let chosen = chosen(&snapshot, table)?;
    if files {
        let mut paths: Vec<&str> = chosen.map(|live| live.file.path.as_str()).collect();
        paths.sort_unstable();
        say(format, &paths, || paths.iter().map(|path| format!("{path}\n")).collect())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut holdings: BTreeMap<(&str, Option<String>), Holding> = BTreeMap::new();
    for live in chosen {
        let file = &live.file;
        let hour = format!("{}T{:02}", file.dt, file.hr);
        // Of one table its hours, else whole tables.
        let key = (file.table.as_str(), table.map(|_| hour.clone()));
        let holding = holdings.entry(key).or_default();
        if holding.files == 0 || hour < holding.from {
            holding.from.clone_from(&hour);
        }
        holding.to = hour.max(std::mem::take(&mut holding.to));
        holding.table.clone_from(&file.table);
        holding.files += 1;
        holding.rows += file.rows;
        holding.bytes += file.bytes;
    }
    let holdings: Vec<Holding> = holdings.into_values().collect();
    say(format, &holdings, || {
        let mut text = String::new();
        for h in &holdings {
            let hours =
                if h.from == h.to { h.from.clone() } else { format!("{} - {}", h.from, h.to) };
            text.push_str(&format!(
                "{:<24} {hours:<31} {:>7} {:>14} rows {:>11}\n",
                h.table,
                report::plural(h.files, "file", "files"),
                report::count(h.rows),
                report::bytes(h.bytes)
            ));
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What is known of a file.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    lane: &'a str,
    epoch: u64,
    #[serde(flatten)]
    file: &'a sink::lake::DataFile,
    rewrites: u8,
    /// Compressed bytes, by column.
    columns: BTreeMap<&'a str, u64>,
    /// The files whose rows it has.
    replaces: Vec<&'a str>,
    /// The file that has its rows now.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_by: Option<&'a str>,
    /// Or why its rows are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<Why>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

pub(super) fn show(
    options: &LakeOptions,
    path: &str,
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let snapshot = snapshot(options)?;
    let former = snapshot.former.iter().find(|former| former.live.file.path == path);
    let live = snapshot.files.iter().find(|live| live.file.path == path);
    let Some(live) = live.or(former.map(|former| &former.live)) else {
        bail!("no manifest names {path}; `mantissa lake ls --files` lists the files of the lake");
    };
    let is_of = |former: &&Former| matches!(&former.end, End::Replaced(by) if &**by == path);
    let replaces = snapshot.former.iter().filter(is_of);
    let (replaced_by, removed) = match former.map(|former| &former.end) {
        Some(End::Replaced(by)) => (Some(&**by), None),
        Some(End::Removed(why)) => (None, Some(*why)),
        None => (None, None),
    };
    let columns = live.columns.iter().zip(&live.file.column_bytes);
    let shown = Shown {
        lane: &live.lane,
        epoch: live.epoch,
        file: &live.file,
        rewrites: live.rewrites,
        columns: columns.map(|(column, bytes)| (column.name.as_str(), *bytes)).collect(),
        replaces: replaces.map(|former| former.live.file.path.as_str()).collect(),
        replaced_by,
        removed,
        until: former.map(|former| Timestamp::from_micros(former.at).to_string()),
    };
    say(format, &shown, || text(&shown, former))?;
    Ok(ExitCode::SUCCESS)
}

fn text(shown: &Shown<'_>, former: Option<&Former>) -> String {
    let file = shown.file;
    let at = |us: i64| Timestamp::from_micros(us).to_string();
    let mut text = format!(
        "{}\n  table     {}, {}T{:02}\n  rows      {}\n  bytes     {}, BLAKE3 {}\n  times     {} - {}\n  \
         arrived   {} - {}\n  written   by epoch {} of the lane {}\n",
        file.path,
        file.table,
        file.dt,
        file.hr,
        report::count(file.rows),
        report::count(file.bytes),
        file.checksum,
        at(file.min_time),
        at(file.max_time),
        at(file.min_ingest),
        at(file.max_ingest),
        shown.epoch,
        shown.lane
    );
    if let Some(former) = former {
        let how = match &former.end {
            End::Replaced(by) => format!("replaced  by {by}"),
            End::Removed(Why::Age) => "removed   because of its age".to_owned(),
            End::Removed(Why::Size) => "removed   because the lake was too large".to_owned(),
            End::Removed(Why::Lost) => "forgotten because it was lost".to_owned(),
        };
        let when = at(former.at);
        text.push_str(&format!("  {how} at {when}: it is no part of the lake any more\n"));
    }
    for path in &shown.replaces {
        text.push_str(&format!("  has       the rows of {path}\n"));
    }
    text
}

/// What a table takes.
#[derive(Debug, Default, Serialize)]
struct Usage {
    table: String,
    rows: u64,
    bytes: u64,
    /// Compressed bytes, the largest first.
    columns: Vec<(String, u64)>,
}

pub(super) fn usage(
    options: &LakeOptions,
    table: Option<&str>,
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let snapshot = snapshot(options)?;
    let mut tables: BTreeMap<&str, (Usage, BTreeMap<&str, u64>)> = BTreeMap::new();
    for live in chosen(&snapshot, table)? {
        let (usage, columns) = tables.entry(&live.file.table).or_default();
        usage.rows += live.file.rows;
        usage.bytes += live.file.bytes;
        for (column, bytes) in live.columns.iter().zip(&live.file.column_bytes) {
            *columns.entry(&column.name).or_default() += bytes;
        }
    }
    let mut usages: Vec<Usage> = Vec::new();
    for (table, (usage, columns)) in tables {
        let mut columns: Vec<_> = columns.into_iter().map(|(c, n)| (c.to_owned(), n)).collect();
        columns.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        usages.push(Usage { table: table.to_owned(), columns, ..usage });
    }
    usages.sort_by_key(|usage| std::cmp::Reverse(usage.bytes));
    let waiting: u64 = snapshot.former.iter().map(|former| former.live.file.bytes).sum();
    say(format, &usages, || {
        let mut text: String =
            usages.iter().map(|usage| of_table(usage, table.is_some())).collect();
        if waiting > 0 && table.is_none() {
            text.push_str(&format!(
                "{} were in files that are replaced or taken out: `mantissa lake collect` removes those\n",
                report::bytes(waiting)
            ));
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The largest columns are shown, all of them when it was asked for one table.
fn of_table(usage: &Usage, all: bool) -> String {
    let per_row = usage.bytes / usage.rows.max(1);
    let mut text = format!(
        "{:<24} {:>11} {:>14} rows {:>6} B a row\n",
        usage.table,
        report::bytes(usage.bytes),
        report::count(usage.rows),
        per_row
    );
    let shown = if all { usage.columns.len() } else { 3 };
    for (column, bytes) in usage.columns.iter().take(shown) {
        let percent = bytes.saturating_mul(100) / usage.bytes.max(1);
        text.push_str(&format!("    {column:<20} {:>11} {percent:>3} %\n", report::bytes(*bytes)));
    }
    text
}
