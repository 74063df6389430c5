use super::*;
use crate::Catalog;
use crate::cell::ITEMS_MAX;
use event::{Fields, FieldsBuilder};

const NOW: Timestamp = Timestamp(1_772_400_000_000_000_000);
const WEEK_NS: i64 = 7 * 24 * time::HOUR_NS;

/// A log type that has every kind of column.
const DOOR: &str = "\
name: acme.door
description: Doors.
logsource: {product: acme}
decoder: {json: {}}
identity: {any: [id]}
time: [{from: [at, also_at]}]
columns:
  action: [what, verb]
  source_port: port
  ips: {from: [seen, also_seen], take: ip}
  type: [{from: kind, values: {a: [user, change], 'b*': end}}, {value: info}]
vendor:
  n: {type: int, from: n}
  f: {type: float, from: f}
  b: {type: bool, from: b}
  t: {type: time, from: t}
  s: {type: text, from: s}
  l: {type: text_list, from: l}
";

struct Stream {
    mapper: Mapper,
    fields: Fields,
}

fn stream(mapping: &crate::Mapping) -> Stream {
    let mut fields = FieldsBuilder::default();
    let mapper = mapping.bind(&mut fields);
    Stream { mapper, fields: fields.build() }
}

fn door() -> Stream {
    let catalog = Catalog::default().with_files([("door.yml", DOOR)]).unwrap();
    stream(&catalog.get("acme.door").unwrap())
}

impl Stream {
    fn map(&self, record: &[u8], at: u64, rows: &mut Rows) -> Result<Mapped, Reject> {
        self.map_named(record, at, None, rows)
    }

    fn map_named(
        &self,
        record: &[u8],
        at: u64,
        name: Option<&str>,
        rows: &mut Rows,
    ) -> Result<Mapped, Reject> {
        let key = PartitionKey { source: "s".into(), partition: "p".into() };
        let late_after_ns = WEEK_NS;
        let meta =
            RecordMeta { raw: record, key: &key, at, index: 2, name, now: NOW, late_after_ns };
        let (mut parser, mut slots) = (Parser::default(), Slots::default());
        let doc = self.mapper.parse(&mut parser, record, None)?;
        slots.fill(&self.fields, &doc);
        self.mapper.map(&doc, &slots, &meta, rows)
    }

    fn row(&self, record: &str) -> (Mapped, serde_json::Value) {
        let mut rows = Rows::new(Arc::clone(self.mapper.schema()));
        let mapped = self.map(record.as_bytes(), 7, &mut rows).unwrap();
        rows.end_row();
        (mapped, rows.json(0).into())
    }
}

fn check(record: &str, column: &str, expected: serde_json::Value) {
    let (_, row) = door().row(record);
    assert_eq!(row[column], expected, "{record} {column}");
}

#[test]
fn values_become_cells_of_their_type() {
    use serde_json::json;
    check(r#"{"n":7}"#, "n", json!(7));
    check(r#"{"n":"7"}"#, "n", json!(7));
    check(r#"{"n":7.0}"#, "n", json!(7));
    check(r#"{"n":7.5}"#, "n", json!(null));
    check(r#"{"n":true}"#, "n", json!(null));
    check(r#"{"f":7}"#, "f", json!(7.0));
    check(r#"{"f":"0.5"}"#, "f", json!(0.5));
    check(r#"{"b":"True"}"#, "b", json!(true));
    check(r#"{"b":1}"#, "b", json!(null));
    check(r#"{"t":"2026-03-01T00:00:00Z"}"#, "t", json!("2026-03-01T00:00:00Z"));
    check(r#"{"t":"soon"}"#, "t", json!(null));
    check(r#"{"s":12.5}"#, "s", json!("12.5"));
    check(r#"{"s":false}"#, "s", json!("false"));
    check(r#"{"s":{"a":[1]}}"#, "s", json!(r#"{"a":[1]}"#));
    check(r#"{"s":["","x","y"]}"#, "s", json!("x"));
    check(r#"{"l":["x","y","x",null,3]}"#, "l", json!(["x", "y", "3"]));
}

#[test]
fn a_long_text_is_cut_in_its_column_and_whole_in_raw() {
    // Of two bytes each, so that the limits lie within one.
    let long = "\u{e4}".repeat(700_000);
    let record = format!(r#"{{"at":"2026-03-01T00:00:00Z","s":"x{long}","l":["x{long}","y"]}}"#);
    let (_, row) = door().row(&record);
    let len = |value: &serde_json::Value| value.as_str().unwrap().len();
    assert_eq!((len(&row["s"]), len(&row["l"][0]), len(&row["l"][1])), (1_048_575, 16_383, 1));
    assert_eq!(row["raw"], record);
    assert_eq!(row["parse_error"], "a long text is cut in its column: raw has all of it");
    check(&record.replace(&long, ""), "parse_error", serde_json::Value::Null);
}

#[test]
fn steps_are_tried_in_order() {
    use serde_json::json;
    check(r#"{"verb":"v","what":"w"}"#, "action", json!("w"));
    check(r#"{"verb":"v","what":""}"#, "action", json!("v"));
    check(r#"{"verb":"v","what":null}"#, "action", json!("v"));
    check(r#"{"kind":"a"}"#, "type", json!(["user", "change"]));
    check(r#"{"kind":"bcd"}"#, "type", json!(["end"]));
    check(r#"{"kind":"c"}"#, "type", json!(["info"]));
    check(
        r#"{"seen":"1.1.1.1:2","also_seen":["::1","1.1.1.1"]}"#,
        "ips",
        json!(["1.1.1.1", "::1"]),
    );
}

#[test]
fn a_row_names_its_origin() {
    let (mapped, row) = door().row(r#"{"id":"e1","at":"2026-03-01T12:00:00.000000001Z"}"#);
    let hex = mapped.uid.to_string();
    for (column, expected) in [
        ("source", "s".into()),
        ("source_partition", "p".into()),
        ("source_position", 7.into()),
        ("source_index", 2.into()),
        ("log_type", "acme.door".into()),
        ("event_uid", "e1".into()),
        ("dedup_key", hex.as_str().into()),
        ("event_time_ns", serde_json::Value::from(1_772_366_400_000_000_001_i64)),
        ("ingest_time", NOW.to_string().into()),
        ("late", false.into()),
    ] {
        assert_eq!(row[column], expected, "{column}");
    }
}

#[test]
fn far_from_its_arrival_is_late() {
    let check = |at: &str, late: bool, time: &str, error: Option<&str>| {
        let (mapped, row) = door().row(&format!(r#"{{"at":{at}}}"#));
        assert_eq!((mapped.late, mapped.event_time.to_string().as_str()), (late, time), "{at}");
        assert_eq!(row["parse_error"].as_str(), error, "{at}");
        assert_eq!(row["late"], late);
    };
    let now = NOW.to_string();
    check("1772400000", false, &now, None);
    check("1772403600", false, "2026-03-01T22:20:00Z", None);
    check("1772403601", true, "2026-03-01T22:20:01Z", None);
    check("1771795200", false, "2026-02-22T21:20:00Z", None);
    check("1771795199", true, "2026-02-22T21:19:59Z", None);
    check("0", true, "1970-01-01T00:00:00Z", None);
    check("\"2099-01-01T00:00:00Z\"", true, "2099-01-01T00:00:00Z", None);
    check("\"soon\"", true, &now, Some("the event time is unreadable"));
    check("null", true, &now, Some("no event time"));
    check("\"soon\",\"also_at\":1772400000", false, &now, None);
}

#[test]
fn the_events_of_one_id_are_told_apart_by_what_they_say() {
    let all = "identity: {all: [id], parts: [events.n, events.v]}";
    let text = DOOR.replace("identity: {any: [id]}", all);
    let catalog = Catalog::default().with_files([("door.yml", text)]).unwrap();
    let s = stream(&catalog.get("acme.door").unwrap());
    let (open, row) = s.row(r#"{"id":"x","events":[{"n":"open","v":1}]}"#);
    let shown = row["event_uid"].as_str().unwrap();
    assert!(shown.starts_with("x#") && shown.len() == 14, "{shown}");
    let again = s.row(r#"{"events":[{"v":1,"n":"open"}],"more":2,"id":"x"}"#).0;
    assert_eq!(open.uid, again.uid);
    let others = [
        r#"{"id":"x","events":[{"n":"open","v":2}]}"#,
        r#"{"id":"x","events":[{"n":"open","v":1},{"n":"open","v":1}]}"#,
        r#"{"id":"x"}"#,
        r#"{"id":"y","events":[{"n":"open","v":1}]}"#,
    ];
    assert!(others.iter().all(|other| s.row(other).0.uid != open.uid));
    assert_eq!(s.row(r#"{"id":"x"}"#).1["event_uid"], "x");
}

#[test]
fn identity_is_the_vendors_or_the_place() {
    let stream = door();
    let mut rows = Rows::new(Arc::clone(stream.mapper.schema()));
    let mut uid = |record: &str, at| {
        let mapped = stream.map(record.as_bytes(), at, &mut rows).unwrap();
        rows.abandon_row();
        mapped.uid
    };
    assert_eq!(uid(r#"{"id":"a"}"#, 1), uid(r#"{"id":"a","what":"x"}"#, 2));
    assert_ne!(uid(r#"{"id":"a"}"#, 1), uid(r#"{"id":"b"}"#, 1));
    assert_eq!(uid(r#"{"id":""}"#, 1), uid(r#"{"id":{}}"#, 1));
    assert_ne!(uid("{}", 1), uid("{}", 2));
}

#[test]
fn a_record_without_an_identity_goes_by_the_name_of_its_container() {
    let stream = door();
    let mut rows = Rows::new(Arc::clone(stream.mapper.schema()));
    let mut row = |record: &str, at, name| {
        let mapped = stream.map_named(record.as_bytes(), at, name, &mut rows).unwrap();
        rows.end_row();
        let row = rows.json(0);
        rows.clear();
        (mapped.uid, [row["source_partition"].clone(), row["source_position"].clone()])
    };
    let (first, place) = row("{}", 1, Some("m1"));
    assert_eq!(place, [serde_json::json!("m1"), 0.into()]);
    assert_eq!(first, row("{}", 2, Some("m1")).0, "the same at another position");
    assert_ne!(first, row("{}", 1, Some("m2")).0, "another at the same position");
    // Who has an identity needs no name.
    let (own, place) = row(r#"{"id":"a"}"#, 1, Some("m1"));
    assert_eq!((own, place), row(r#"{"id":"a"}"#, 1, None));
}

#[test]
fn what_is_no_object_is_rejected() {
    let stream = door();
    let mut rows = Rows::new(Arc::clone(stream.mapper.schema()));
    for record in [&b"[]"[..], b"1", b"", b"{", b"{\"a\":\"\xff\"}"] {
        let reject = stream.map(record, 0, &mut rows).unwrap_err();
        assert_eq!(reject.stage, event::Stage::Parse);
    }
}

#[test]
fn lists_are_bounded() {
    let items: Vec<u32> = (0..1_000).collect();
    let (_, row) = door().row(&serde_json::json!({ "l": items }).to_string());
    assert_eq!(row["l"].as_array().unwrap().len(), ITEMS_MAX);
}

/// JSON values with the names that the built-in log types read.
fn value(names: Vec<String>) -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(serde_json::Value::String),
        Just("2026-03-01T00:00:00Z".into()),
        Just("203.0.113.7:5".into()),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            4 => prop::collection::hash_map(prop::sample::select(names.clone()), inner, 0..8)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

#[test]
fn any_object_becomes_a_row_with_its_bytes() {
    use proptest::prelude::*;
    let catalog = Catalog::builtin();
    let paths = catalog.by_name().flat_map(|mapping| &mapping.known.paths);
    let names = paths.flat_map(|path| path.split('.').map(str::to_owned)).collect();
    let streams: Vec<(Stream, bool)> =
        catalog.by_name().map(|mapping| (stream(mapping), mapping.raw.is_some())).collect();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let ran = runner.run(&(value(names), "[ \n]{0,3}"), |(value, pad)| {
        let record = format!("{pad}{value}{pad}");
        for (stream, keeps_raw) in &streams {
            let mut rows = Rows::new(Arc::clone(stream.mapper.schema()));
            let mapped = stream.map(record.as_bytes(), 0, &mut rows);
            if !value.is_object() {
                prop_assert!(mapped.is_err() || !keeps_raw);
                continue;
            }
            prop_assert!(mapped.is_ok());
            rows.end_row();
            let row = rows.json(0);
            if *keeps_raw {
                prop_assert_eq!(&row["raw"], &record);
            }
            for column in ["event_time", "event_uid", "dedup_key", "late", "source_position"] {
                prop_assert!(row.contains_key(column), "{}", column);
            }
        }
        Ok(())
    });
    assert_eq!(ran, Ok(()));
}
