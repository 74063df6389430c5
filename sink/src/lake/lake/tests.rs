use std::path::Path as FsPath;
use std::sync::Arc;
use std::time::SystemTime;

use event::columns::Cell;
use event::{
    ColumnDef, ColumnType, DeadLetter, LogType, PartitionKey, Rows, Stage, TableSchema, Timestamp,
    Uid,
};
use tempfile::TempDir;

use super::super::part::SpanOutcome;
use super::super::snapshot::Snapshot;
use super::*;

pub(crate) fn options(folder: &FsPath) -> LakeOptions {
    LakeOptions { url: folder.to_string_lossy().into_owned(), ..LakeOptions::default() }
}

fn schema() -> Arc<TableSchema> {
    let columns = [
        ("event_time", ColumnType::Time),
        ("ingest_time", ColumnType::Time),
        ("event_uid", ColumnType::Text),
        ("dedup_key", ColumnType::Text),
    ];
    let column = |(name, column_type): (&str, _)| ColumnDef {
        name: name.into(),
        column_type,
        doc: String::new(),
    };
    Arc::new(TableSchema {
        table: "aws_cloudtrail".into(),
        columns: columns.into_iter().map(column).collect(),
    })
}

pub(crate) fn uid(n: u64) -> Uid {
    Uid::of("test", &[&n.to_le_bytes()])
}

/// The records `(after, upto]` of a partition: record `n` is the event `n`, except that every tenth
/// cannot be read. Events of `r` are others.
pub(crate) fn part(partition: &str, after: u64, upto: u64) -> Part {
    let key = PartitionKey { source: "s".into(), partition: partition.into() };
    let mut rows = Rows::new(schema());
    let mut dead_letters = Vec::new();
    for n in after + 1..=upto {
        let now = Timestamp::from_micros(now_us());
        if n % 10 == 0 {
            dead_letters.push(DeadLetter {
                key: key.clone(),
                at: n,
                index: 0,
                log_type: LogType::from("aws.cloudtrail"),
                stage: Stage::Parse,
                reason: "not JSON".into(),
                bytes: format!("record {n}").into(),
                received_at: now,
            });
            continue;
        }
        rows.time(0, now);
        rows.time(1, now);
        rows.text(2, &format!("e{n}"));
        rows.text(3, &uid(if partition == "r" { n << 32 } else { n }).to_string());
        rows.end_row();
    }
    let (stored, dead) = (rows.len() as u64, dead_letters.len() as u64);
    let span = Span { key, after, upto, state: Some(format!("{{\"at\":{upto}}}").into()) };
    let spans =
        vec![SpanOutcome { span, received: upto - after, stored, duplicates: 0, dead, dropped: 0 }];
    Part { tables: vec![rows], spans, dead_letters, ..Part::default() }
}

pub(crate) async fn filled(epochs: u64) -> (TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    let (mut lake, _) = Lake::open(&options(folder.path())).await.unwrap();
    for n in 0..epochs {
        lake.commit(vec![part("p", n * 20, n * 20 + 20)]).await.unwrap();
    }
    (folder, lake)
}

async fn rows(lake: &Lake) -> u64 {
    let snapshot = Snapshot::read(&lake.store.store, &lake.store.root).await.unwrap();
    snapshot.table("aws_cloudtrail").map(|f| f.file.rows).sum()
}

#[tokio::test]
async fn a_new_process_goes_on_where_the_old_one_stopped() {
    let (folder, mut lake) = filled(40).await;
    let done = lake.commit(vec![part("q", 7, 9), part("p", 805, 830), part("p", 800, 805)]).await;
    let done = done.unwrap();
    assert_eq!((done.epoch, done.spans.len()), (41, 3));
    assert_eq!(
        done.files.iter().map(|f| f.table.as_str()).collect::<Vec<_>>(),
        ["aws_cloudtrail", "dead_letters"]
    );
    let nothing = lake.commit(vec![Part::default()]).await.unwrap();
    assert_eq!((nothing.epoch, lake.next_epoch()), (41, 42), "nothing to say, no epoch");
    let (lake, recovered) = Lake::open_lane(&options(folder.path()), false).await.unwrap();
    assert_eq!((recovered.next_epoch, recovered.took_over), (42, false));
    let positions: Vec<_> = part::list(&recovered.positions)
        .into_iter()
        .map(|p| (p.partition, p.upto, p.state.unwrap()))
        .collect();
    let expected = [("p", 830, r#"{"at":830}"#), ("q", 9, r#"{"at":9}"#)];
    assert_eq!(positions, expected.map(|(p, u, s)| (p.to_owned(), u, s.to_owned())));
    assert_eq!(rows(&lake).await, 830 - 83 + 2);
    assert_eq!(recovered.window.len(), 830 - 83, "events 8 and 9 of q are those of p");
    let now = Timestamp::from_micros(now_us());
    assert!(recovered.window.seen(uid(829), now) && !recovered.window.seen(uid(831), now));
}

#[tokio::test]
async fn the_window_is_bounded_and_holds_the_newest() {
    let (folder, _) = filled(10).await;
    let options = LakeOptions { dedup_entries_max: 64, ..options(folder.path()) };
    let (_, recovered) = Lake::open(&options).await.unwrap();
    assert!(recovered.window.len() <= 64);
    assert!(recovered.window.seen(uid(199), Timestamp::from_micros(now_us())));
    let options = LakeOptions { dedup_hours: 0, ..options };
    std::thread::sleep(Duration::from_millis(5));
    assert!(Lake::open(&options).await.unwrap().1.window.is_empty());
}

#[tokio::test]
async fn spans_that_do_not_touch_write_nothing() {
    let (_folder, mut lake) = filled(1).await;
    for (after, upto) in [(21, 25), (19, 25)] {
        let error = lake.commit(vec![part("p", after, upto)]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Spans, "{error}");
    }
    assert_eq!((lake.next_epoch(), lake.is_pending()), (2, false));
    lake.commit(vec![part("p", 20, 25)]).await.unwrap();
}

#[tokio::test]
async fn of_two_writers_of_a_lane_the_second_commit_fails_and_leaves_nothing() {
    let (folder, mut first) = filled(1).await;
    let (mut second, recovered) = Lake::open_lane(&options(folder.path()), false).await.unwrap();
    assert_eq!(recovered.next_epoch, 2);
    second.commit(vec![part("p", 20, 25)]).await.unwrap();
    let error = first.commit(vec![part("p", 20, 29)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced);
    assert!(error.to_string().contains("two processes"), "{error}");
    assert_eq!(rows(&second).await, 18 + 5);
    let store = second.store();
    let on_disk: Vec<_> =
        store.store.list(Some(&"aws_cloudtrail".into())).try_collect().await.unwrap();
    assert_eq!(on_disk.len(), 2, "{on_disk:?}");
}

#[tokio::test]
async fn what_a_crash_left_is_swept_and_its_epoch_taken() {
    let (folder, lake) = filled(1).await;
    // As a process that died between its files and its manifest leaves it.
    let merged = part::merge(vec![part("p", 20, 40)], lake.positions()).unwrap();
    let contents = Contents { spans: merged.spans.clone(), ..Contents::default() };
    let namer = Namer::new("main", 2, &lake.lane.writer);
    let (encoded, _) = encode_all(encoders().unwrap(), merged, namer, now_us()).await.unwrap();
    let mut commit = Commit::new(lane_of(&lake).seal(contents, encoded, now_us()));
    for _ in 0..2 {
        let Step::Do(requests) = commit.step(Vec::new()) else { panic!("it has to write") };
        perform_all(&lake.store, requests).await;
    }
    let (next, recovered) = Lake::open_lane(&options(folder.path()), false).await.unwrap();
    assert_eq!(recovered.swept.len(), 2);
    assert_eq!((recovered.took_over, recovered.next_epoch), (true, 3));
    assert!(recovered.swept.iter().all(|f| !folder.path().join(f).exists()));
    assert_eq!(rows(&next).await, 18);
    let Step::Do(requests) = commit.step(vec![Answer::Done, Answer::Done]) else { panic!() };
    assert!(matches!(perform_all(&lake.store, requests).await[..], [Answer::Exists]), "too late");
    let (_, again) = Lake::open_lane(&options(folder.path()), false).await.unwrap();
    assert_eq!((again.took_over, again.swept.len(), again.next_epoch), (false, 0, 3));
}

fn lane_of(lake: &Lake) -> Lane {
    lake.lane.clone()
}

#[cfg(unix)]
#[tokio::test]
async fn an_epoch_that_cannot_be_written_is_kept_and_written_later() {
    let (folder, mut lake) = filled(1).await;
    // A file where a folder must be: fails for every user, as a full disk does.
    let blocked = folder.path().join("dead_letters");
    let aside = folder.path().join("aside");
    std::fs::rename(&blocked, &aside).unwrap();
    std::fs::write(&blocked, b"").unwrap();
    let error = lake.commit(vec![part("p", 20, 40)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store, "{error}");
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(lake.commit(vec![]).await.unwrap_err().kind(), Kind::Unfinished);
    std::fs::remove_file(&blocked).unwrap();
    std::fs::rename(&aside, &blocked).unwrap();
    let done = lake.retry().await.unwrap();
    assert_eq!((done.epoch, done.spans[0].upto), (2, 40));
    assert_eq!(rows(&lake).await, 36);
    assert_eq!(lake.retry().await.unwrap_err().kind(), Kind::Unfinished);
}

#[tokio::test]
async fn on_one_machine_the_second_writer_is_refused_at_once() {
    let (folder, lake) = filled(1).await;
    let refused = Lake::open(&options(folder.path())).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Fenced);
    assert!(refused.to_string().contains("another process"), "{refused}");
    drop(lake);
    let (mut lake, _) = Lake::open(&options(folder.path())).await.unwrap();
    lake.commit(vec![part("p", 20, 25)]).await.unwrap();
}

#[tokio::test]
async fn lanes_are_apart() {
    let (folder, _) = filled(2).await;
    let other = LakeOptions { lane: "pod-2".into(), ..options(folder.path()) };
    let (mut lake, recovered) = Lake::open(&other).await.unwrap();
    assert_eq!((recovered.next_epoch, recovered.positions.len()), (1, 0));
    lake.commit(vec![part("q", 0, 5)]).await.unwrap();
    assert_eq!(rows(&lake).await, 36 + 5);
    let bad = LakeOptions { lane: "../x".into(), ..other };
    assert_eq!(Lake::open(&bad).await.unwrap_err().kind(), Kind::Options);
}

#[test]
fn the_clock_is_in_microseconds() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    assert!((now_us() / 1_000_000 - since).abs() < 5);
    assert!(matches!(part("p", 0, 1).tables[0].cell(0, 2), Cell::Text("e1")));
}

#[tokio::test]
async fn the_state_of_the_newest_epoch_comes_back_and_older_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let states = || -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(folder.path().join("_state/main")) else {
            return Vec::new();
        };
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    let (mut lake, recovered) = Lake::open(&options).await.unwrap();
    assert_eq!(recovered.state, None);
    let put = |text: &'static str| StateChange::Replaced(Bytes::from(text));
    lake.commit_with(vec![part("p", 0, 5)], put("one")).await.unwrap();
    lake.commit_with(vec![part("p", 5, 9)], put("two")).await.unwrap();
    // Without a change it stays; a change without an epoch is none.
    lake.commit(vec![part("p", 9, 11)]).await.unwrap();
    lake.commit_with(vec![], put("three")).await.unwrap();
    assert_eq!(states().len(), 1);
    drop(lake);
    let (mut lake, recovered) = Lake::open(&options).await.unwrap();
    assert_eq!(recovered.state.as_deref(), Some(&b"two"[..]));

    // A crash before the old one was removed.
    std::fs::write(folder.path().join("_state/main/00000000000000000001-00000000"), "one").unwrap();
    drop(lake);
    (lake, _) = Lake::open(&options).await.unwrap();
    assert_eq!(states().len(), 1);
    lake.commit_with(vec![part("p", 11, 12)], StateChange::Dropped).await.unwrap();
    assert!(states().is_empty());
    lake.commit_with(vec![part("p", 12, 13)], put("four")).await.unwrap();

    // Lost or damaged, it does not keep the lake from going on.
    let path = folder.path().join("_state/main").join(&states()[0]);
    std::fs::write(&path, "fuor").unwrap();
    drop(lake);
    let (lake, recovered) = Lake::open(&options).await.unwrap();
    assert_eq!(recovered.state, None);
    drop(lake);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Lake::open(&options).await.unwrap().1.state, None);
}
