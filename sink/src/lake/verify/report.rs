//! What `verify` found, for programs (stable keys) and for people (a sentence).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::manifest::{DataFile, SpanEntry, Why};

/// Problems listed; more are only counted.
const LISTED_MAX: usize = 1_000;
/// Sources of a file that people are shown.
const FROM_SHOWN: usize = 8;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    MissingManifest,
    DamagedManifest,
    /// Records between two spans of a partition that no epoch speaks of.
    Gap,
    /// Records or files that two epochs speak of.
    Overlap,
    /// Counts that do not add up.
    Unbalanced,
    MissingFile,
    DamagedFile,
    /// A Parquet file among the data that no manifest names.
    StrayFile,
    /// The same event twice in one epoch.
    RepeatedEvent,
    /// Readers that begin with the checkpoint see another lake than the chains say.
    WrongCheckpoint,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub fault: Fault,
    /// From the lake's root.
    pub path: String,
    /// A sentence for people.
    pub what: String,
    /// Of a file: its table and hour, and how many rows it held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Of a file: what was in it and where that came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// What a file held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The first and the last `event_time` (dead letters: `received_at`), RFC 3339.
    pub min_time: String,
    pub max_time: String,
    /// Its rows are among what these gave, which may have filled other files as well.
    pub from: Vec<Origin>,
    /// `from` lists all of them. Not so when a manifest on the way cannot be read, or after many files.
    pub complete: bool,
}

/// Records `(after, upto]` of a source partition, stored by a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    pub source: String,
    pub partition: String,
    pub lane: String,
    pub after: u64,
    pub upto: u64,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n    of {} to {}", self.min_time, self.max_time)?;
        let listed = self.from.iter().take(FROM_SHOWN);
        for Origin { source, partition, after, upto, .. } in listed {
            write!(f, "\n    from {source} / {partition} ({after}, {upto}]")?;
        }
        let more = self.from.len().saturating_sub(FROM_SHOWN);
        if more > 0 {
            write!(f, "\n    and from {more} more source partitions (`--format json` lists them)")?;
        }
        if !self.complete {
            write!(f, "\n    and perhaps from others: not everything could be followed back")?;
        }
        Ok(())
    }
}

/// What became of the records received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub received: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub dead: u64,
    pub dropped: u64,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.received += other.received;
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.dead += other.dead;
        self.dropped += other.dropped;
    }
}

/// One source partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionTotals {
    pub source: String,
    pub partition: String,
    /// Where the lake's knowledge of it begins and ends.
    pub after: u64,
    pub upto: u64,
    #[serde(flatten)]
    pub totals: Totals,
}

/// A proof of before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Of all lanes.
    pub epochs: u64,
    /// RFC 3339
    pub at: String,
    /// Every byte up to there had been read.
    pub deep: bool,
}

/// The result of `lake verify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub lake: String,
    pub ok: bool,
    /// Every byte was read: of all files, or of those that came since.
    pub deep: bool,
    /// The proof that this one goes on from. The sums are of both; without it the chains were followed from
    /// their beginning.
    pub since: Option<Verified>,
    /// The next proof can go on from here.
    pub recorded: bool,
    /// Epochs of the checkpoint that was compared with the chains, if there is one.
    pub checkpoint: Option<u64>,
    pub epochs: u64,
    /// Those of them whose manifest was read.
    pub epochs_read: u64,
    pub files: u64,
    /// Of all tables, also alerts.
    pub rows: u64,
    pub bytes: u64,
    /// Files whose rows are in others now. They are not in the numbers above.
    pub replaced_files: u64,
    /// Files and rows that retention has taken out. They are not in the numbers above either, but in the
    /// totals: they were stored.
    pub removed_files: u64,
    pub removed_rows: u64,
    /// Files that are lost for good, which somebody has recorded. As those above.
    pub lost_files: u64,
    pub lost_rows: u64,
    pub totals: Totals,
    pub partitions: Vec<PartitionTotals>,
    /// Partitions that never gave a record: sources keep there what they need at their next start.
    pub state_partitions: u64,
    pub problem_count: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// Worth knowing, and not wrong.
    pub notes: Vec<String>,
    #[serde(skip)]
    by_key: BTreeMap<(String, String), PartitionTotals>,
}

impl Report {
    pub(super) fn new(lake: &str, deep: bool) -> Self {
        Self {
            lake: lake.into(),
            ok: false,
            deep,
            since: None,
            recorded: false,
            checkpoint: None,
            epochs: 0,
            epochs_read: 0,
            files: 0,
            rows: 0,
            bytes: 0,
            replaced_files: 0,
            removed_files: 0,
            removed_rows: 0,
            lost_files: 0,
            lost_rows: 0,
            totals: Totals::default(),
            partitions: Vec::new(),
            state_partitions: 0,
            problem_count: 0,
            problems: Vec::new(),
            notes: Vec::new(),
            by_key: BTreeMap::new(),
        }
    }

    /// Whether nothing is wrong.
    pub fn ok(&self) -> bool {
        self.problem_count == 0
    }

    pub(super) fn problem(&mut self, fault: Fault, path: &str, what: String) {
        let path = path.to_owned();
        self.push(Problem { fault, path, what, table: None, hour: None, rows: None, held: None });
    }

    pub(super) fn file_problem(&mut self, fault: Fault, file: &DataFile, what: &str) {
        let hour = format!("{}T{:02}", file.dt, file.hr);
        self.push(Problem {
            fault,
            path: file.path.clone(),
            what: format!(
                "{} {what}; it held {} rows of {} of the hour {hour}",
                file.path, file.rows, file.table
            ),
            table: Some(file.table.clone()),
            hour: Some(hour),
            rows: Some(file.rows),
            held: Some(Held::of(file)),
        });
    }

    fn push(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < LISTED_MAX {
            self.problems.push(problem);
        }
    }

    /// Whether a problem of this path is listed.
    pub(super) fn names(&self, path: &str) -> bool {
        self.problems.iter().any(|problem| problem.path == path)
    }

    pub(super) fn note(&mut self, what: String) {
        if self.notes.len() < LISTED_MAX {
            self.notes.push(what);
        }
    }

    pub(super) fn file(&mut self, file: &DataFile) {
        self.files += 1;
        self.rows += file.rows;
        self.bytes += file.bytes;
    }

    pub(super) fn replaced(&mut self, file: &DataFile) {
        self.take_back(file);
        self.replaced_files += 1;
    }

    pub(super) fn removed(&mut self, file: &DataFile, why: Why) {
        self.take_back(file);
        let (files, rows) = match why {
            Why::Age | Why::Size => (&mut self.removed_files, &mut self.removed_rows),
            Why::Lost => (&mut self.lost_files, &mut self.lost_rows),
        };
        *files += 1;
        *rows += file.rows;
    }

    /// Undoes [`Report::file`].
    fn take_back(&mut self, file: &DataFile) {
        self.files -= 1;
        self.rows -= file.rows;
        self.bytes -= file.bytes;
    }

    pub(super) fn span(&mut self, span: &SpanEntry) {
        let key = (span.source.clone(), span.partition.clone());
        let entry = self.by_key.entry(key).or_insert_with(|| PartitionTotals {
            source: span.source.clone(),
            partition: span.partition.clone(),
            after: span.after,
            upto: span.upto,
            totals: Totals::default(),
        });
        entry.upto = entry.upto.max(span.upto);
        let SpanEntry { received, stored, duplicates, dead, dropped, .. } = *span;
        let of_span = Totals { received, stored, duplicates, dead, dropped };
        entry.totals.add(of_span);
        self.totals.add(of_span);
    }

    /// The sums of a proof that this one goes on from.
    pub(super) fn begin(&mut self, partitions: &[PartitionTotals], since: Verified) {
        for before in partitions {
            self.totals.add(before.totals);
            let key = (before.source.clone(), before.partition.clone());
            self.by_key.insert(key, before.clone());
        }
        self.epochs = since.epochs;
        self.since = Some(since);
    }

    /// Of all partitions, also those that never gave a record; before [`Report::close`].
    pub(super) fn partition_totals(&self) -> Vec<PartitionTotals> {
        self.by_key.values().cloned().collect()
    }

    pub(super) fn close(&mut self) {
        let all = std::mem::take(&mut self.by_key).into_values();
        let (partitions, states): (Vec<_>, Vec<_>) = all.partition(|p| p.totals.received > 0);
        (self.partitions, self.state_partitions) = (partitions, states.len() as u64);
        self.ok = self.ok();
    }
}

/// A sentence that a person understands, then one line for each problem and note.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { received, stored, duplicates, dead, dropped } = self.totals;
        if self.ok() {
            write!(
                f,
                "The lake {} is whole: {received} records received = {stored} stored + {duplicates} \
                 duplicates + {dead} dead + {dropped} dropped by policy, from {} source partitions \
                 without gap or overlap, in {} epochs{} and {} files ({} bytes){}{}; {}.",
                self.lake,
                self.partitions.len(),
                self.epochs,
                match &self.since {
                    None => String::new(),
                    Some(Verified { epochs, at, .. }) => {
                        format!(", of which {epochs} were proved at {at} (--full proves all anew),")
                    }
                },
                self.files,
                self.bytes,
                match self.removed_rows {
                    0 => String::new(),
                    rows => format!(", {rows} rows of them removed by retention since"),
                },
                match self.lost_rows {
                    0 => String::new(),
                    rows => format!(", {rows} rows of them known to be lost"),
                },
                match (self.deep, &self.since) {
                    (true, None) => "every byte was read",
                    (true, Some(_)) => "every byte since then was read",
                    (false, _) => "contents were not read (--deep does)",
                }
            )?;
        } else {
            let n = self.problem_count;
            let s = if n == 1 { "" } else { "s" };
            write!(f, "The lake {} is NOT whole: {n} problem{s}.", self.lake)?;
        }
        for problem in &self.problems {
            write!(f, "\n  problem: {}", problem.what)?;
            problem.held.iter().try_for_each(|held| held.fmt(f))?;
        }
        if self.problem_count > self.problems.len() as u64 {
            write!(f, "\n  and {} more", self.problem_count - self.problems.len() as u64)?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n  note: {note}"))
    }
}
