use std::path::Path as FsPath;

use object_store::ObjectStoreExt;

use super::super::lake::tests::{filled, options, part, uid};
use super::super::verify::{Report, Scope, verify};
use super::super::{Fault, Lake, LakeOptions, checkpoint};
use super::*;

/// Never "not yet": files are as young as the test.
fn at_once() -> CompactionOptions {
    CompactionOptions::default()
}

async fn compact(folder: &FsPath) -> Compacted {
    let mut upkeep = Upkeep::open(&options(folder)).await.unwrap();
    upkeep.compact(&at_once(), true).await.unwrap()
}

async fn report(folder: &FsPath, deep: bool) -> Report {
    verify(&LakeStore::open(&options(folder)).unwrap(), Scope::full(deep)).await.unwrap()
}

async fn snapshot(folder: &FsPath) -> Snapshot {
    let at = LakeStore::open(&options(folder)).unwrap();
    Snapshot::read_all(&at.store, &at.root).await.unwrap()
}

/// Data files on the disk.
fn on_disk(folder: &FsPath) -> usize {
    let tables = ["aws_cloudtrail", "dead_letters"];
    let mut open: Vec<_> = tables.iter().map(|t| folder.join(t)).filter(|t| t.exists()).collect();
    let mut files = 0;
    while let Some(folder) = open.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() { open.push(path) } else { files += 1 }
        }
    }
    files
}

#[tokio::test]
async fn many_files_become_one_and_everything_is_still_there() {
    let (folder, lake) = filled(30).await;
    let folder = folder.path();
    let before = report(folder, true).await;
    assert_eq!((before.files, before.rows), (60, 600));
    // A test may run over the end of an hour.
    let hours = snapshot(folder).await.files.iter().map(|f| f.file.hr).max().unwrap();
    let done = compact(folder).await;
    assert_eq!((done.files_before, done.rows, done.failed.len()), (60, 600, 0));
    assert!(done.files_after >= 2 && done.files_after <= 4, "{done:?} {hours}");
    let after = report(folder, true).await;
    assert!(after.ok, "{after}");
    assert_eq!((after.files, after.rows), (done.files_after, 600));
    assert_eq!(
        (after.replaced_files, after.totals, after.bytes),
        (60, before.totals, done.bytes_after)
    );
    assert_eq!(compact(folder).await, Compacted::default(), "there is nothing more to do");
    let live = snapshot(folder).await;
    assert!(live.files.iter().all(|live| live.rewrites == 1 && &*live.lane == layout::UPKEEP));
    assert_eq!(live.former.len(), 60);

    // The writer knew nothing of it, and its next start knows the identities from the new files.
    drop(lake);
    for age in ["replaced files are there", "replaced files are gone"] {
        let (mut lake, recovered) = Lake::open(&options(folder)).await.unwrap();
        let now = event::Timestamp::from_micros(now_us());
        assert!(
            recovered.window.seen(uid(1), now) && recovered.window.seen(uid(599), now),
            "{age}"
        );
        let known = 540 + if age.ends_with("gone") { 1 } else { 0 };
        assert_eq!(recovered.window.len(), known, "{age}");
        let from = *recovered.positions.values().map(|r| &r.upto).max().unwrap();
        lake.commit(vec![part("p", from, from + 1)]).await.unwrap();
        let collected = collect(&options(folder), 0, true).await.unwrap();
        assert_eq!(collected.replaced.len(), if age.ends_with("gone") { 0 } else { 60 });
    }
    let last = report(folder, true).await;
    assert!(last.ok && last.notes.is_empty(), "{last}");
    assert_eq!((last.rows, last.replaced_files), (602, 60));
}

#[tokio::test]
async fn replaced_files_stay_for_readers_and_strays_go() {
    let (folder, _lake) = filled(3).await;
    let folder = folder.path();
    let at = LakeStore::open(&options(folder)).unwrap();
    compact(folder).await;
    let stray = "aws_cloudtrail/dt=2026-01-01/hr=01/main-00000000000000000002-000-00000000.parquet";
    let later = stray.replace("00002-", "00004-");
    for path in [stray, &later, "aws_cloudtrail/notes.txt", "other/x.parquet"] {
        at.store.put(&path.into(), "x".into()).await.unwrap_or_else(|e| panic!("{e}"));
    }
    let (all, hour) = (on_disk(folder), 3_600_000_000);
    let young = collect(&options(folder), hour, true).await.unwrap();
    assert_eq!((young.replaced.len(), young.strays.len(), young.kept), (0, 0, 6));
    let dry = collect(&options(folder), 0, false).await.unwrap();
    assert_eq!((dry.replaced.len(), dry.strays.clone()), (6, vec![stray.to_owned()]));
    assert_eq!(on_disk(folder), all, "nothing was removed");
    assert_eq!(collect(&options(folder), 0, true).await.unwrap(), dry);
    assert_eq!(on_disk(folder), all - 7);
    assert_eq!(collect(&options(folder), 0, true).await.unwrap(), Collected::default());
    assert!(folder.join(&later).exists() && folder.join("other/x.parquet").exists());
    std::fs::remove_file(folder.join(&later)).unwrap();
    let report = report(folder, true).await;
    // Not ours, and named as such.
    assert!(report.problems.iter().all(|p| p.path == "other/x.parquet"), "{report}");
}

#[tokio::test]
async fn of_two_at_the_same_files_one_loses_and_leaves_nothing() {
    let (folder, _lake) = filled(4).await;
    let folder = folder.path();
    let at = || LakeStore::create(&options(folder)).unwrap();
    let mut first = Upkeep::at(at(), false).await.unwrap();
    let mut second = Upkeep::at(at(), false).await.unwrap();
    let files = on_disk(folder);
    second.compact(&at_once(), true).await.unwrap();
    // It has read the lake before the other one was done.
    let old = Snapshot { former: Vec::new(), ..snapshot(folder).await };
    let inputs: Vec<_> = snapshot(folder).await.former.into_iter().map(|f| f.live).collect();
    let jobs = plan::jobs(&inputs, &at_once(), true, now_us());
    let batch = plan::batches(jobs).swap_remove(0);
    let (mut done, mut failed) = (Compacted::default(), HashSet::new());
    let error = first.replace(batch, &mut done, &mut failed).await.unwrap_err();
    assert_eq!((error.kind(), done), (Kind::Fenced, Compacted::default()), "{error}");
    assert_eq!(on_disk(folder), files + old.files.len());
    assert!(report(folder, true).await.ok);
    // On one machine it is refused at once.
    let open = Upkeep::open(&options(folder)).await.unwrap();
    assert_eq!(Upkeep::open(&options(folder)).await.unwrap_err().kind(), Kind::Fenced);
    drop(open);
    let bad = LakeOptions { url: folder.join("none").to_string_lossy().into(), ..options(folder) };
    assert_eq!(Upkeep::open(&bad).await.unwrap_err().kind(), Kind::Options);
    let taken = LakeOptions { lane: layout::UPKEEP.into(), ..options(folder) };
    assert_eq!(Lake::open(&taken).await.unwrap_err().kind(), Kind::Options);
}

#[tokio::test]
async fn what_a_crash_leaves_is_swept_and_a_damaged_hour_is_left_as_it_is() {
    let (folder, _lake) = filled(3).await;
    let folder = folder.path();
    let mut upkeep = Upkeep::open(&options(folder)).await.unwrap();
    // It dies after its first file.
    let snapshot = snapshot(folder).await;
    let jobs = plan::jobs(&snapshot.files, &at_once(), true, now_us());
    upkeep.lane.writer = "0badcafe".into();
    let mut replace = Replace::new(&upkeep.lane, vec![jobs[0].clone()]);
    let Next::Do(intent) = replace.step(Vec::new()) else { panic!("it says what it will do") };
    let answers = perform_all(&upkeep.at, intent).await;
    assert!(matches!(replace.step(answers), Next::Build));
    build(&upkeep.at, replace.jobs()).await.unwrap();
    assert_eq!(on_disk(folder), 7);
    drop(upkeep);
    drop(Upkeep::open(&options(folder)).await.unwrap());
    assert_eq!(on_disk(folder), 6);

    let victim = folder.join(&snapshot.files[0].file.path);
    let mut bytes = std::fs::read(&victim).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&victim, bytes).unwrap();
    let done = compact(folder).await;
    assert_eq!(done.failed.len(), 1, "{done:?}");
    let report = report(folder, true).await;
    let faults: Vec<_> = report.problems.iter().map(|p| p.fault).collect();
    assert_eq!(faults, [Fault::DamagedFile], "it is told once, where it happened: {report}");
    let intents = std::fs::read_dir(folder.join("_intents/upkeep")).map_or(0, Iterator::count);
    assert_eq!(intents, 0);
}

/// The columns of all rows, in the order of the files.
fn rows_of(folder: &FsPath, paths: &[String]) -> Vec<(String, i64)> {
    use arrow::array::AsArray;
    use arrow::datatypes::TimestampMicrosecondType;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let mut rows = Vec::new();
    for path in paths {
        let file = File::open(folder.join(path)).unwrap();
        let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        for batch in batches.map(Result::unwrap) {
            let uids = batch.column_by_name("event_uid").unwrap().as_string::<i32>();
            let times = batch.column_by_name("event_time").unwrap();
            let times = times.as_primitive::<TimestampMicrosecondType>();
            let of = |i: usize| (uids.value(i).to_owned(), times.value(i));
            rows.extend((0..batch.num_rows()).map(of));
        }
    }
    rows
}

#[tokio::test]
async fn rows_are_sorted_by_time_over_files_that_overlap() {
    let folder = tempfile::tempdir().unwrap();
    let (mut lake, _) = Lake::open(&options(folder.path())).await.unwrap();
    // Two partitions whose times go through each other, in files of more rows than a batch.
    for (n, partition) in [(0, "p"), (0, "q"), (5_000, "p"), (5_000, "q")] {
        lake.commit(vec![part(partition, n, n + 5_000)]).await.unwrap();
    }
    let events = |snapshot: &Snapshot| -> Vec<String> {
        snapshot.table("aws_cloudtrail").map(|live| live.file.path.clone()).collect()
    };
    let before = events(&snapshot(folder.path()).await);
    compact(folder.path()).await;
    let after = events(&snapshot(folder.path()).await);
    let (mut old, new) = (rows_of(folder.path(), &before), rows_of(folder.path(), &after));
    assert!(new.is_sorted_by_key(|(_, time)| *time), "sorted by time");
    old.sort_unstable();
    let mut new = new;
    new.sort_unstable();
    assert_eq!((old.len(), old == new), (18_000, true));
}

#[tokio::test]
async fn what_has_been_kept_long_enough_is_gone_and_accounted_for() {
    let (folder, lake) = filled(4).await;
    let folder = folder.path();
    compact(folder).await;
    let everything = RetentionOptions { bytes_max: Some(0), ..RetentionOptions::default() };
    let at = LakeStore::open(&options(folder)).unwrap();
    let before = snapshot(folder).await;
    let events: u64 = before.table("aws_cloudtrail").map(|live| live.file.rows).sum();
    let foreseen = expirable(&at, &everything, 0).await.unwrap();
    assert_eq!((foreseen.rows, foreseen.tables["aws_cloudtrail"].rows_by_size), (events, events));
    assert_eq!(snapshot(folder).await.files.len(), before.files.len(), "it was only foreseen");
    let mut upkeep = Upkeep::open(&options(folder)).await.unwrap();
    assert_eq!(upkeep.expire(&everything, 24).await.unwrap(), Expired::default());
    assert_eq!(upkeep.expire(&everything, 0).await.unwrap(), foreseen);
    assert_eq!(upkeep.expire(&everything, 0).await.unwrap(), Expired::default());
    drop(upkeep);
    for _ in 0..2 {
        let after = snapshot(folder).await;
        assert!(after.tables().into_keys().eq(["dead_letters"]));
        let report = report(folder, true).await;
        assert!(report.ok && report.notes.is_empty(), "{report}");
        assert_eq!((report.removed_rows, report.totals.stored), (72, 72));
        assert!(report.to_string().contains("72 rows of them removed by retention"), "{report}");
        collect(&options(folder), 0, true).await.unwrap();
    }
    assert_eq!(on_disk(folder), snapshot(folder).await.files.len());
    // The lane goes on where it was.
    drop(lake);
    let (mut lake, recovered) = Lake::open(&options(folder)).await.unwrap();
    assert_eq!((recovered.next_epoch, recovered.window.len()), (5, 0));
    lake.commit(vec![part("p", 80, 90)]).await.unwrap();
    assert!(report(folder, true).await.ok);
}

#[tokio::test]
async fn what_is_lost_for_good_is_recorded_and_can_be_given_again() {
    let (folder, lake) = filled(4).await;
    drop(lake);
    let folder = folder.path();
    let files = snapshot(folder).await;
    let [lost, damaged, whole] = [0, 1, 2].map(|n| files.table("aws_cloudtrail").nth(n).unwrap());
    let rows = lost.file.rows + damaged.file.rows;
    std::fs::remove_file(folder.join(&lost.file.path)).unwrap();
    std::fs::write(folder.join(&damaged.file.path), b"something else").unwrap();
    assert!(!report(folder, false).await.ok);
    let mut upkeep = Upkeep::open(&options(folder)).await.unwrap();
    for refused in [whole.file.path.as_str(), "no/such/file.parquet"] {
        let paths = [lost.file.path.clone(), refused.to_owned()];
        let error = upkeep.forget(&paths).await.unwrap_err();
        assert!(error.kind() == Kind::Options && error.to_string().contains(refused), "{error}");
    }
    assert_eq!(snapshot(folder).await.files.len(), files.files.len(), "all of them or none");
    let paths = [lost, damaged, lost].map(|live| live.file.path.clone());
    let forgotten = upkeep.forget(&paths).await.unwrap();
    assert_eq!(forgotten, Forgotten { files: 2, rows });
    drop(upkeep);
    checkpoint(&options(folder), true).await.unwrap();
    collect(&options(folder), 0, true).await.unwrap();
    let after = report(folder, true).await;
    assert!(after.ok, "{after}");
    assert_eq!((after.lost_files, after.lost_rows, after.removed_rows), (2, rows, 0));
    assert!(
        after.to_string().contains(&format!("{rows} rows of them known to be lost")),
        "{after}"
    );
    assert_eq!(snapshot(folder).await.files.len(), files.files.len() - 2);
    // Their identities are not known any more.
    let (_, recovered) = Lake::open(&options(folder)).await.unwrap();
    assert_eq!(recovered.window.len() as u64, report(folder, false).await.totals.stored - rows);
}
