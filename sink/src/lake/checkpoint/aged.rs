//! A lake after a year: epochs of 30 seconds, compacted every hour, with a checkpoint whenever one is due.
//! What a start and a question read of it is counted. `LAKE_EPOCHS=1000000` is the year itself, for which
//! the test is better built with `--profile demo`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::commit::{Contents, Lane, Sealed};
use super::super::encode::Encoded;
use super::super::layout::{self, Hour};
use super::super::manifest::{ColumnKind, ColumnSpec, DataFile, FileKind, Replacement, SpanEntry};
use super::super::plan::Namer;
use super::super::protocol::{Answer, Request, Step};
use super::super::recovery::{End, Recovery};
use super::super::snapshot::{Beside, Look, Looked};
use super::super::window::{Recent, moved};
use super::write::{EPOCHS_MIN, Write};
use super::*;

const EPOCHS_AN_HOUR: u64 = 120;
const EPOCHS_A_DAY: u64 = 24 * EPOCHS_AN_HOUR;
const EPOCH_US: i64 = 30_000_000;
/// What a start, and a question, may read.
const OBJECTS_MAX: usize = 50;

/// A store of so many objects: a list costs what it gives, as it does in a bucket.
#[derive(Default)]
struct Objects(BTreeMap<String, Bytes>);

impl Objects {
    fn answer(&mut self, request: Request) -> Answer {
        match request {
            Request::Put { path, if_absent: true, .. } if self.0.contains_key(&path) => {
                Answer::Exists
            }
            Request::Put { path, bytes, .. } => {
                self.0.insert(path, bytes);
                Answer::Done
            }
            Request::Get { path } => {
                self.0.get(&path).cloned().map_or(Answer::Missing, Answer::Bytes)
            }
            Request::Look { path } if self.0.contains_key(&path) => Answer::Exists,
            Request::Look { .. } => Answer::Missing,
            Request::List { folder, after } => {
                let folder = format!("{folder}/");
                let after = after.filter(|after| *after > folder).unwrap_or_else(|| folder.clone());
                Answer::Paths(self.behind(&after, &folder).map(|(path, _)| path.clone()).collect())
            }
            Request::Folders { folder } => Answer::Paths(self.folders(&format!("{folder}/"))),
            Request::Delete { path } => {
                self.0.remove(&path);
                Answer::Done
            }
            Request::Sync { .. } | Request::Wait { .. } => Answer::Done,
        }
    }

    fn behind<'a>(
        &'a self,
        after: &str,
        folder: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Bytes)> + use<'a> {
        let all = self.0.range::<str, _>((Excluded(after), Unbounded));
        all.take_while(move |(path, _)| path.starts_with(folder))
    }

    fn folders(&self, folder: &str) -> Vec<String> {
        let (mut found, mut after) = (Vec::new(), folder.to_owned());
        while let Some((path, _)) = self.behind(&after, folder).next() {
            let name = path[folder.len()..].split('/').next().unwrap_or_default();
            found.push(format!("{folder}{name}"));
            // What comes after everything in it.
            after = format!("{folder}{name}/\u{10ffff}");
        }
        found
    }
}

/// Carries a machine to its end and counts what it reads.
fn counted<T>(
    at: &mut Objects,
    read: &mut usize,
    mut step: impl FnMut(Vec<Answer>) -> Step<T>,
) -> T {
    let mut answers = Vec::new();
    loop {
        match step(std::mem::take(&mut answers)) {
            Step::Do(requests) => {
                *read += requests.iter().filter(|r| matches!(r, Request::Get { .. })).count();
                answers = requests.into_iter().map(|request| at.answer(request)).collect();
            }
            Step::Done(result) => return result,
        }
    }
}

fn encoded(lane: &Lane, hour: i64, rows: u64) -> Encoded {
    let columns: Arc<[ColumnSpec]> =
        [ColumnSpec { name: "dedup_key".into(), kind: ColumnKind::Text }].into();
    let mut namer = Namer::new(&lane.lane, lane.head + 1, &lane.writer);
    let head = namer.head("aws_cloudtrail", FileKind::Events, Hour(hour), columns.clone());
    let (dt, hr) = Hour(hour).dt_hr();
    let time = hour * 3_600_000_000;
    let file = DataFile {
        path: head.path,
        table: head.table,
        kind: head.kind,
        dt,
        hr,
        rows,
        bytes: 0,
        checksum: Checksum::of(b""),
        min_time: time,
        max_time: time,
        min_ingest: time,
        max_ingest: time,
        schema: 0,
        column_bytes: vec![0],
    };
    Encoded { file, columns, bytes: Bytes::new() }
}

/// The manifest alone: nobody reads the files.
fn commit(at: &mut Objects, lane: &mut Lane, sealed: Sealed) {
    at.0.insert(layout::manifest(&lane.lane, lane.head + 1), sealed.bytes);
    lane.committed(&sealed.manifest, sealed.hash);
}

fn open(at: &mut Objects, lane: &str, read: &mut usize) -> Lane {
    let mut recovery = Recovery::new(lane, "3f9a1c20", 0);
    counted(at, read, |answers| recovery.step(answers)).unwrap().0
}

fn look(at: &mut Objects, mut look: Look, read: &mut usize) -> Box<Looked> {
    counted(at, read, |answers| look.step(answers)).unwrap()
}

/// Returns the most objects that a question would have read just before a checkpoint.
fn age(at: &mut Objects, epochs: u64) -> usize {
    let mut main = open(at, "main", &mut 0);
    let mut upkeep = open(at, layout::UPKEEP, &mut 0);
    let (mut hour_files, mut since, mut most) = (Vec::new(), 0, 0);
    for epoch in 1..=epochs {
        let hour = (epoch / EPOCHS_AN_HOUR) as i64;
        let now = epoch as i64 * EPOCH_US;
        let file = encoded(&main, hour, 1);
        hour_files.push(file.file.path.clone());
        let span = SpanEntry {
            source: "s".into(),
            partition: "p".into(),
            after: epoch - 1,
            upto: epoch,
            received: 1,
            stored: 1,
            duplicates: 0,
            dead: 0,
            dropped: 0,
            state: None,
        };
        let contents = Contents { spans: vec![span], ..Contents::default() };
        let sealed = main.seal(contents, vec![file], now);
        commit(at, &mut main, sealed);
        if (epoch + 1) % EPOCHS_AN_HOUR == 0 {
            let files = std::mem::take(&mut hour_files);
            let whole = encoded(&upkeep, hour, files.len() as u64);
            let rows = Default::default();
            let replaced = vec![Replacement { by: 0, rewrites: 1, rows, erased: 0, files }];
            let contents = Contents { replaced, ..Contents::default() };
            let sealed = upkeep.seal(contents, vec![whole], now);
            commit(at, &mut upkeep, sealed);
        }
        since += 1;
        if since >= EPOCHS_MIN {
            let mut read = 0;
            let looked = look(at, Look::new(Beside::News), &mut read);
            (most, since) = (most.max(read), 0);
            let mut write = Write::new(*looked);
            counted(at, &mut 0, |answers| write.step(answers)).unwrap();
        }
    }
    most
}

/// What a process reads that begins to write the lane, without identities: nothing is new.
fn start(at: &mut Objects) -> usize {
    let mut read = 0;
    let lane = open(at, "main", &mut read);
    let mut end = End::new(layout::UPKEEP);
    let head = counted(at, &mut read, |answers| end.step(answers)).unwrap();
    for (lane, head) in [(lane.lane.as_str(), lane.head), (layout::UPKEEP, head)] {
        let mut recent = Recent::new(lane, head, i64::MAX, u64::MAX);
        counted(at, &mut read, |answers| recent.step(answers)).unwrap();
    }
    read
}

/// What it reads for the identities of a day: manifests, and the files that have the rows now.
fn identities(at: &mut Objects, epochs: u64) -> (usize, usize) {
    let since = epochs.saturating_sub(EPOCHS_A_DAY) as i64 * EPOCH_US;
    let mut read = 0;
    let [(files, _), (_, replaced)] = ["main", layout::UPKEEP].map(|lane| {
        let mut end = End::new(lane);
        let head = counted(at, &mut 0, |answers| end.step(answers)).unwrap();
        let mut recent = Recent::new(lane, head, since, u64::MAX);
        counted(at, &mut read, |answers| recent.step(answers)).unwrap()
    });
    (read, moved(files, &replaced).len())
}

fn contents(looked: &Looked) -> (BTreeSet<String>, BTreeSet<String>) {
    let snapshot = &looked.snapshot;
    let files = snapshot.files.iter().map(|live| format!("{live:?}"));
    let former = snapshot.former.iter().map(|former| format!("{former:?}"));
    (files.collect(), former.collect())
}

#[test]
fn a_start_and_a_question_read_little_of_a_lake_of_any_age() {
    let long = std::env::var("LAKE_EPOCHS").ok().and_then(|n| n.parse().ok());
    let epochs = long.unwrap_or(4_000);
    let mut at = Objects::default();
    let at = &mut at;
    let most = age(at, epochs);
    let began = Instant::now();
    let started = start(at);
    let start_took = began.elapsed();
    let (began, mut read) = (Instant::now(), 0);
    let looked = look(at, Look::new(Beside::Nothing), &mut read);
    let look_took = began.elapsed();
    let (manifests, files) = identities(at, epochs);
    let said = writeln!(
        std::io::stderr(),
        "{epochs} epochs: a start reads {started} objects in {start_took:?} and for the identities \
         {manifests} manifests and {files} files, a question {read} in {look_took:?} for {} files, \
         never more than {most}",
        looked.snapshot.files.len()
    );
    said.unwrap();
    assert!(started < OBJECTS_MAX && most < OBJECTS_MAX, "a start {started}, a question {most}");
    // What it costs without a checkpoint of identities: a round of requests is 32, upkeep has an epoch an hour.
    assert!(manifests <= EPOCHS_A_DAY as usize + 2 * 32 + 25, "{manifests} manifests");
    assert!(files <= EPOCHS_AN_HOUR as usize + 25, "{files} files, although hours were merged");
    assert!(start_took.max(look_took) < Duration::from_secs(2) || cfg!(debug_assertions));
    if long.is_none() {
        let with = look(at, Look::new(Beside::Former), &mut 0);
        let without = look(at, Look::without_checkpoints(Beside::Former), &mut 0);
        assert_eq!(contents(&with), contents(&without));
        assert_eq!(with.snapshot.lanes, without.snapshot.lanes);
        assert!(with.snapshot.former.len() > 3_000 && with.read < EPOCHS_MIN + 2);
    }
}
