//! The records of all cases, damaged in many ways: mapping never panics, and what it keeps as `raw` is
//! what came, byte for byte.

use std::path::PathBuf;
use std::sync::Arc;

use event::{FieldsBuilder, Parser, PartitionKey, Rows, Slots, Timestamp};
use normalize::{Catalog, Mapping, RecordMeta};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    header: Option<String>,
    record: serde_json::Value,
}

/// Name, header and record of every case.
fn cases() -> Vec<(String, Option<String>, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("log_types");
    let mut all = Vec::new();
    for name in Catalog::builtin().names() {
        let text = std::fs::read_to_string(folder.join(format!("{name}.cases.ndjson"))).unwrap();
        for line in text.lines() {
            let case: Case = serde_json::from_str(line).unwrap();
            let record = match case.record {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            all.push((name.to_owned(), case.header, record.into_bytes()));
        }
    }
    all
}

/// Maps one record; a row that came of it holds the record's bytes.
fn map(mapping: &Mapping, header: Option<&str>, record: &[u8]) {
    let mut fields = FieldsBuilder::default();
    let mapper = mapping.bind(&mut fields);
    let fields = fields.build();
    let key = PartitionKey { source: "cases".into(), partition: "0".into() };
    let now = Timestamp::from_millis(1_772_400_000_000);
    let meta =
        RecordMeta { raw: record, key: &key, at: 0, index: 0, name: None, now, late_after_ns: 0 };
    let (mut parser, mut slots) = (Parser::default(), Slots::default());
    let mut rows = Rows::new(Arc::clone(mapping.schema()));
    let mapped = mapper.parse(&mut parser, record, header.map(str::as_bytes)).and_then(|doc| {
        slots.fill(&fields, &doc);
        mapper.map(&doc, &slots, &meta, &mut rows)
    });
    if mapped.is_ok() {
        rows.end_row();
        let row = rows.json(0);
        if let Some(raw) = row.get("raw") {
            assert_eq!(raw.as_str().map(str::as_bytes), Some(record));
        }
        assert!(row.contains_key("event_time") && row.contains_key("dedup_key"));
    }
}

/// One change of a record.
#[derive(Clone, Debug)]
enum Damage {
    Cut(usize),
    Flip(usize, u8),
    Insert(usize, &'static str),
    /// The value that begins here, at a colon, becomes another.
    Value(usize, &'static str),
    Twice(usize, usize),
}

const PIECES: &[&str] = &[
    "\"", "\\", "{", "}", "[", "]", ",", ":", "\u{0}", "\u{e9}", "\\u0000", "\\ud800", "null", " ",
];
const VALUES: &[&str] = &[
    "null",
    "true",
    "-0",
    "1e999",
    "18446744073709551615",
    "\"\"",
    "\"{\\\"a\\\":[1]}\"",
    "\"[\\\"\\\\u0000\\\"]\"",
    "[]",
    "{}",
    "[[[\"x\"]],{\"name\":\"x\",\"value\":[]}]",
    "[{\"Name\":\"a.b\",\"Value\":{}},{\"Name\":1},{\"Value\":2}]",
    "\"9999-12-31T23:59:60Z\"",
    "{\"id\":{\"id\":{}}}",
];

fn damage() -> impl Strategy<Value = Damage> {
    let at = || 0..4_096_usize;
    prop_oneof![
        at().prop_map(Damage::Cut),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        (at(), prop::sample::select(PIECES)).prop_map(|(at, text)| Damage::Insert(at, text)),
        (at(), prop::sample::select(VALUES)).prop_map(|(at, text)| Damage::Value(at, text)),
        (at(), at()).prop_map(|(at, len)| Damage::Twice(at, len)),
    ]
}

fn apply(record: &mut Vec<u8>, damage: &Damage) {
    let size = record.len().max(1);
    match *damage {
        Damage::Cut(at) => record.truncate(at % size),
        Damage::Flip(at, byte) => {
            if let Some(old) = record.get_mut(at % size) {
                *old ^= byte;
            }
        }
        Damage::Insert(at, text) => {
            let at = (at % size).min(record.len());
            record.splice(at..at, text.bytes());
        }
        Damage::Value(nth, text) => {
            let colons: Vec<usize> = (0..record.len()).filter(|i| record[*i] == b':').collect();
            let Some(at) = colons.get(nth % colons.len().max(1)) else { return };
            let rest = record[at + 1..].iter().position(|b| matches!(b, b',' | b'}'));
            let end = rest.map_or(record.len(), |rest| at + 1 + rest);
            record.splice(at + 1..end, text.bytes());
        }
        Damage::Twice(at, len) => {
            let at = (at % size).min(record.len());
            let end = (at + len % 64).min(record.len());
            let piece = record[at..end].to_vec();
            record.splice(at..at, piece);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn damaged_records_neither_panic_nor_lose_a_byte(
        nth in any::<prop::sample::Index>(),
        changes in prop::collection::vec(damage(), 0..4),
    ) {
        thread_local! {
            static CASES: Vec<(String, Option<String>, Vec<u8>)> = cases();
            static CATALOG: Catalog = Catalog::builtin();
        }
        CASES.with(|cases| {
            let (name, header, record) = &cases[nth.index(cases.len())];
            let mut record = record.clone();
            changes.iter().for_each(|change| apply(&mut record, change));
            let mapping = CATALOG.with(|catalog| catalog.get(name)).unwrap();
            map(&mapping, header.as_deref(), &record);
        });
    }
}
