use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use event::{
    Alert, AlertId, ColumnDef, ColumnType, DeadLetter, Facts, LogType, PartitionKey, Stage,
    Timestamp,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::encode::{Encoded, encode};
use super::super::layout;
use super::super::manifest::Checksum;
use super::*;

const HOUR_US: i64 = 3_600_000_000;
/// 2026-03-01T09:00:00Z
const NINE: i64 = 1_772_355_600_000_000;

fn schema(table: &str) -> Arc<TableSchema> {
    let columns = [
        ("event_time", ColumnType::Time),
        ("ingest_time", ColumnType::Time),
        ("late", ColumnType::Bool),
        ("event_uid", ColumnType::Text),
        ("severity", ColumnType::Int),
        ("score", ColumnType::Float),
        ("ips", ColumnType::TextList),
        ("raw", ColumnType::Text),
    ];
    let columns = columns
        .into_iter()
        .map(|(name, column_type)| ColumnDef { name: name.into(), column_type, doc: String::new() })
        .collect();
    Arc::new(TableSchema { table: table.into(), columns })
}

/// A row with these times and identity and nothing else.
fn row(rows: &mut Rows, event: i64, ingest: i64, late: bool, uid: &str) {
    rows.time(0, Timestamp::from_micros(event));
    rows.time(1, Timestamp::from_micros(ingest));
    rows.bool(2, late);
    rows.text(3, uid);
    rows.end_row();
}

fn files(merged: Merged) -> Vec<Encoded> {
    let mut namer = Namer::new("main", 7, "3f9a1c20");
    plan(&mut { merged }, &mut namer, NINE).iter().map(|job| encode(job).unwrap()).collect()
}

fn read(file: &Encoded) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let array: &ArrayRef = batch.column_by_name(column).unwrap();
    array.as_string::<i32>().iter().map(|v| v.map(str::to_owned)).collect()
}

#[test]
fn every_column_type_comes_back() {
    let mut rows = Rows::new(schema("t"));
    rows.time(0, Timestamp::from_micros(NINE + 1));
    rows.time(1, Timestamp::from_micros(NINE + 2));
    rows.bool(2, false);
    rows.text(3, "ü\0\u{10FFFF}");
    rows.int(4, i64::MIN);
    rows.float(5, -0.5);
    rows.item(6, "10.0.0.1");
    rows.item(6, "");
    rows.text(7, "");
    rows.end_row();
    rows.time(0, Timestamp::from_micros(NINE));
    rows.end_row();
    let [file] = files(Merged { tables: vec![rows], ..Merged::default() }).try_into().unwrap();
    let batch = read(&file);
    assert_eq!(texts(&batch, "event_uid"), [None, Some("ü\0\u{10FFFF}".into())], "sorted by time");
    assert_eq!(texts(&batch, "raw"), [None, Some(String::new())], "empty is not null");
    let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    assert_eq!((times.value(0), times.value(1)), (NINE, NINE + 1));
    assert_eq!(times.timezone(), Some("UTC"));
    assert!(batch.column(1).is_null(0) && batch.column(2).is_null(0));
    assert!(!batch.column(2).as_boolean().value(1));
    assert_eq!(batch.column(4).as_primitive::<Int64Type>().value(1), i64::MIN);
    assert_eq!(batch.column(5).as_primitive::<Float64Type>().value(1), -0.5);
    let list = batch.column(6).as_list::<i32>();
    assert!(list.is_null(0));
    let items: Vec<_> =
        list.value(1).as_string::<i32>().iter().map(Option::unwrap).map(str::to_owned).collect();
    assert_eq!(items, ["10.0.0.1", ""]);
    assert_eq!(file.file.checksum, Checksum::of(&file.bytes));
    assert_eq!((file.file.rows, file.file.bytes), (2, file.bytes.len() as u64));
    assert_eq!((file.file.min_time, file.file.max_time), (NINE, NINE + 1));
    assert_eq!((file.file.min_ingest, file.file.max_ingest), (NINE, NINE + 2));
    assert_eq!(file.file.column_bytes.len(), 8);
    assert!(file.file.column_bytes.iter().all(|&b| b > 0), "{:?}", file.file.column_bytes);
    assert_eq!(layout::parse_data(&file.file.path), Some(("main".into(), 7)));
}

#[test]
fn rows_of_several_workers_and_hours_are_filed_and_sorted() {
    let (mut a, mut b) = (Rows::new(schema("t")), Rows::new(schema("t")));
    row(&mut a, NINE + 5, NINE, false, "a5");
    row(&mut a, NINE + HOUR_US, NINE, false, "a-ten");
    row(&mut a, NINE - 900 * HOUR_US, NINE + 3, true, "late");
    row(&mut b, NINE + 4, NINE, false, "b4");
    let other = {
        let mut rows = Rows::new(schema("s"));
        row(&mut rows, NINE, NINE, false, "s");
        rows
    };
    let files = files(Merged { tables: vec![a, b, other], ..Merged::default() });
    let seen: Vec<_> = files
        .iter()
        .map(|f| {
            let uids = texts(&read(f), "event_uid").into_iter().flatten().collect::<Vec<_>>();
            (f.file.table.as_str(), f.file.hr, uids.join(" "))
        })
        .collect();
    let expected = [("s", 9, "s"), ("t", 9, "late b4 a5"), ("t", 10, "a-ten")];
    assert_eq!(seen, expected.map(|(t, h, u)| (t, h, u.to_owned())));
    assert_eq!(files[1].file.min_time, NINE - 900 * HOUR_US);
    assert!(files[1].file.path.starts_with("t/dt=2026-03-01/hr=09/main-00000000000000000007-001-"));
}

#[test]
fn too_many_hours_go_late_to_the_hour_of_arrival() {
    let mut rows = Rows::new(schema("t"));
    for h in 0..600_i64 {
        // Even hours hold two rows, odd ones one.
        for n in 0..2 - h % 2 {
            row(&mut rows, NINE + h * HOUR_US, NINE + 700 * HOUR_US, false, &format!("{h}-{n}"));
        }
    }
    let files = files(Merged { tables: vec![rows], ..Merged::default() });
    assert_eq!(files.len(), HOURS_MAX - 1);
    assert_eq!(files.iter().map(|f| f.file.rows).sum::<u64>(), 900);
    let arrived = files.last().unwrap();
    assert_eq!(arrived.file.rows, 600 - (HOURS_MAX as u64 - 2));
    let late = read(arrived);
    assert!(late.column(2).as_boolean().iter().all(|v| v == Some(true)));
    assert!(read(&files[0]).column(2).as_boolean().iter().all(|v| v == Some(false)));
}

#[test]
fn large_rows_make_more_batches_and_files() {
    let mut rows = Rows::new(schema("t"));
    let raw = "x".repeat(10 << 20);
    for i in 0..20 {
        rows.text(7, &raw);
        row(&mut rows, NINE + i, NINE, false, "u");
    }
    let files = files(Merged { tables: vec![rows], ..Merged::default() });
    // At most 64 MiB of rows a file.
    let rows: Vec<u64> = files.iter().map(|f| f.file.rows).collect();
    assert_eq!(rows.iter().sum::<u64>(), 20);
    assert!(rows.iter().all(|n| (2..=6).contains(n)), "{rows:?}");
    assert!(files[0].file.max_time < files[1].file.min_time);
    assert!(texts(&read(&files[3]), "raw").iter().all(|r| r.as_deref() == Some(&raw)));
}

#[test]
fn bloom_filters_come_with_many_rows() {
    for (n, expected) in [(9_999, false), (10_000, true)] {
        let mut rows = Rows::new(schema("t"));
        (0..n).for_each(|i| row(&mut rows, NINE + i, NINE, false, &i.to_string()));
        let [file] = files(Merged { tables: vec![rows], ..Merged::default() }).try_into().unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
        let group = reader.metadata().row_group(0).clone();
        assert_eq!(group.column(3).bloom_filter_offset().is_some(), expected);
        assert!(group.column(7).bloom_filter_offset().is_none());
        assert!(group.column(0).column_index_offset().is_some(), "page index");
    }
}

#[test]
fn dead_letters_keep_their_bytes() {
    let letter = |at: u64, bytes: &'static [u8]| DeadLetter {
        key: PartitionKey { source: "s".into(), partition: "p".into() },
        at,
        index: 2,
        log_type: LogType::from("aws.cloudtrail"),
        stage: Stage::Parse,
        reason: "not JSON".into(),
        bytes: bytes.into(),
        received_at: Timestamp::from_micros(NINE + at as i64),
    };
    let dead_letters = vec![letter(9, b"\xff\xfe\0{"), letter(3, b"")];
    let [file] = files(Merged { dead_letters, ..Merged::default() }).try_into().unwrap();
    let batch = read(&file);
    let bytes = batch.column_by_name("bytes").unwrap().as_binary::<i32>().clone();
    assert_eq!((bytes.value(0), bytes.value(1)), (&b""[..], &b"\xff\xfe\0{"[..]));
    assert_eq!(texts(&batch, "stage"), [Some("parse".into()), Some("parse".into())]);
    assert_ne!(texts(&batch, "dead_id")[0], texts(&batch, "dead_id")[1]);
    assert_eq!(file.file.kind, FileKind::DeadLetters);
    assert_eq!((file.file.min_time, file.file.max_time), (NINE + 3, NINE + 9));
    assert!(file.file.path.starts_with("dead_letters/dt=2026-03-01/hr=09/"));
}

#[test]
fn an_alert_names_the_file_of_its_event() {
    let mut rows = Rows::new(schema("aws_cloudtrail"));
    row(&mut rows, NINE, NINE, false, "quiet");
    row(&mut rows, NINE + 2 * HOUR_US, NINE, false, "loud");
    let alert = Alert {
        alert_id: AlertId::of_event("r", "loud"),
        rule: event::alert::RuleInfo {
            id: "r".into(),
            tags: vec!["attack.t1078".into(), "attack.persistence".into()],
            ..Default::default()
        },
        source: "s".into(),
        log_type: "aws.cloudtrail".into(),
        event_uid: "loud".into(),
        event_time: Timestamp::from_micros(NINE + 2 * HOUR_US),
        detected_at: Timestamp::from_micros(NINE + 1),
        lake_partition: "aws_cloudtrail/dt=2026-03-01/hr=11".into(),
        event: serde_json::Map::from_iter([("action".into(), "X".into())]),
        facts: Facts { who: "root".into(), ..Facts::default() },
        dedup_key: String::new(),
        correlated: None,
        replayed: false,
    };
    let unknown =
        Alert { event_uid: "x".into(), alert_id: AlertId::of_event("r", "x"), ..alert.clone() };
    let alerts = vec![alert.clone(), unknown, alert];
    let files = files(Merged { tables: vec![rows], alerts, ..Merged::default() });
    let batch = read(&files[2]);
    assert_eq!((files[2].file.kind, files[2].file.hr), (FileKind::Alerts, 9), "by detection");
    let mut named: Vec<_> =
        texts(&batch, "event_uid").into_iter().zip(texts(&batch, "event_file")).collect();
    named.sort();
    let path = files[1].file.path.clone();
    assert_eq!(named, [(Some("loud".into()), Some(path)), (Some("x".into()), None)]);
    assert_eq!(texts(&batch, "event")[0].as_deref(), Some(r#"{"action":"X"}"#));
    assert_eq!(texts(&batch, "level")[0].as_deref(), Some("medium"));
}
