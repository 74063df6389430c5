//! Every log type's cases: what each record of `<name>.cases.ndjson` becomes. `UPDATE=1` rewrites
//! the expectations; read the difference before you commit it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::{FieldsBuilder, Parser, PartitionKey, Rows, Slots, Timestamp};
use normalize::{Catalog, Mapping, RecordMeta};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A record, which is JSON or text in a string, and the cells it fills.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    record: Box<RawValue>,
    expect: serde_json::Value,
}

impl Case {
    /// The record as it arrives.
    fn text(&self) -> String {
        let text = self.record.get();
        match text.starts_with('"') {
            true => serde_json::from_str(text).unwrap(),
            false => text.to_owned(),
        }
    }
}

/// Columns that say nothing about the mapping.
const LEFT_OUT: &[&str] = &[
    "dedup_key",
    "event_time_ns",
    "ingest_time",
    "log_type",
    "raw",
    "source",
    "source_index",
    "source_partition",
    "source_position",
];

fn row(mapping: &Mapping, case: &Case) -> serde_json::Value {
    let mut fields = FieldsBuilder::default();
    let mapper = mapping.bind(&mut fields);
    let fields = fields.build();
    let record = case.text();
    let key = PartitionKey { source: "cases".into(), partition: "0".into() };
    let meta = RecordMeta {
        raw: record.as_bytes(),
        key: &key,
        at: 0,
        index: 0,
        name: None,
        now: Timestamp::from_millis(1_772_400_000_000),
        late_after_ns: 7 * 24 * event::time::HOUR_NS,
    };
    let (mut parser, mut slots) = (Parser::default(), Slots::default());
    let mut rows = Rows::new(Arc::clone(mapping.schema()));
    let header = case.header.as_ref().map(|h| h.as_bytes());
    let mapped = mapper.parse(&mut parser, record.as_bytes(), header).and_then(|doc| {
        slots.fill(&fields, &doc);
        mapper.map(&doc, &slots, &meta, &mut rows)
    });
    match mapped {
        Ok(_) => {
            rows.end_row();
            let mut row = rows.json(0);
            if let Some(raw) = row.get("raw") {
                assert_eq!(raw, record.as_str(), "raw is the record, byte for byte");
            }
            row.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
            row.into()
        }
        Err(reject) => serde_json::json!({"reject": reject.to_string()}),
    }
}

fn check(mapping: &Mapping, path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut cases: Vec<Case> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{path:?}: {e}: {line}")))
        .collect();
    assert!(cases.len() >= 5, "{} has too few cases", path.display());
    let mut wrong = Vec::new();
    for (i, case) in cases.iter_mut().enumerate() {
        let have = row(mapping, case);
        if have != case.expect {
            wrong.push(format!(
                "{}:{}\n  have {have}\n  want {}",
                path.display(),
                i + 1,
                case.expect
            ));
            case.expect = have;
        }
    }
    if std::env::var_os("UPDATE").is_some() && !wrong.is_empty() {
        let lines = cases.iter().map(|c| serde_json::to_string(c).unwrap() + "\n");
        std::fs::write(path, lines.collect::<String>()).unwrap();
        return Vec::new();
    }
    wrong
}

#[test]
fn records_become_the_expected_rows() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("log_types");
    let catalog = Catalog::builtin();
    let mut wrong = Vec::new();
    for name in catalog.names() {
        let mapping = catalog.get(name).unwrap();
        wrong.extend(check(&mapping, &folder.join(format!("{name}.cases.ndjson"))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_is_part_of_the_program() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("log_types");
    let catalog = Catalog::builtin();
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|e| e.unwrap().file_name().to_str()?.strip_suffix(".yml").map(str::to_owned))
        .collect();
    files.sort();
    assert_eq!(catalog.names().collect::<Vec<_>>(), files);
    let inside: Vec<&str> = catalog.by_name().map(|m| m.log_type().as_str()).collect();
    assert_eq!(inside, files, "a file is named after its log type");
}

#[test]
fn every_log_type_is_told_from_the_others() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("log_types");
    let catalog = Catalog::builtin();
    let mut wrong = Vec::new();
    // That one is for what nobody knows.
    for name in catalog.names().filter(|name| *name != "generic.json") {
        let text = std::fs::read_to_string(folder.join(format!("{name}.cases.ndjson"))).unwrap();
        let cases: Vec<Case> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kept = cases.iter().filter(|case| case.expect.get("reject").is_none());
        let mut by_header: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
        for case in kept {
            by_header.entry(case.header.as_deref()).or_default().push(case.text());
        }
        for (header, records) in by_header {
            let bytes: Vec<&[u8]> = records.iter().map(|record| record.as_bytes()).collect();
            let found = normalize::guess(&catalog, &bytes, header.map(str::as_bytes));
            let is_right = found.first().is_some_and(|best| {
                best.log_type.as_str() == name && best.records == records.len()
            });
            if !is_right {
                wrong.push(format!("{name} {header:?} of {}: {found:?}", records.len()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
