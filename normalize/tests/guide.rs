//! docs/add-a-log-type.md, executed: its file loads, its records become its rows, and its table of
//! common columns is the program's. `UPDATE=1` rewrites rows and table.

use std::path::PathBuf;
use std::sync::Arc;

use event::{FieldsBuilder, Parser, PartitionKey, Rows, Slots, Timestamp};
use normalize::{Catalog, Mapping, RecordMeta, columns};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/add-a-log-type.md")
}

/// The text between the fence with this label and its end.
fn block<'t>(page: &'t str, label: &str) -> &'t str {
    let start = page.find(label).unwrap_or_else(|| panic!("no block {label}")) + label.len() + 1;
    let length = page[start..].find("```").expect("a block has an end");
    &page[start..start + length]
}

/// What a reader sees of a row: not where and when the test ran it.
fn row(mapping: &Mapping, record: &str) -> String {
    let mut fields = FieldsBuilder::default();
    let mapper = mapping.bind(&mut fields);
    let fields = fields.build();
    let key = PartitionKey { source: "guide".into(), partition: "0".into() };
    let now = Timestamp::from_millis(1_772_359_200_000);
    let late_after_ns = 7 * 24 * event::time::HOUR_NS;
    let raw = record.as_bytes();
    let meta = RecordMeta { raw, key: &key, at: 0, index: 0, name: None, now, late_after_ns };
    let (mut parser, mut slots) = (Parser::default(), Slots::default());
    let mut rows = Rows::new(Arc::clone(mapping.schema()));
    let doc = mapper.parse(&mut parser, raw, None).unwrap();
    slots.fill(&fields, &doc);
    mapper.map(&doc, &slots, &meta, &mut rows).unwrap();
    rows.end_row();
    let mut row = rows.json(0);
    assert_eq!(row["raw"], record);
    let hidden = ["raw", "dedup_key", "event_time_ns", "ingest_time", "log_type"];
    row.retain(|name, _| {
        let place = name == "source"
            || ["source_partition", "source_position", "source_index"].contains(&name.as_str());
        !hidden.contains(&name.as_str()) && !place
    });
    serde_json::to_string(&row).unwrap()
}

fn table() -> String {
    let line = |c: &columns::Common| {
        let kind =
            format!("{:?}", c.column_type).to_lowercase().replace("textlist", "list of text");
        let words = match c.filled {
            columns::Filled::ByMapper => " Filled for every log type.".to_owned(),
            columns::Filled::ByFile => String::new(),
            columns::Filled::ByFileFrom(words) => format!(" One of: {}.", words.join(", ")),
        };
        format!("| `{}` | {kind} | {}{words} |\n", c.name, c.doc)
    };
    columns::COMMON.iter().map(line).collect()
}

#[test]
fn the_guide_does_what_it_says() {
    let page = std::fs::read_to_string(path()).unwrap();
    let catalog = Catalog::builtin().with_files([("door.yml", block(&page, "```yaml mapping"))]);
    let catalog = catalog.unwrap_or_else(|errors| panic!("{errors:?}"));
    let mapping = catalog.get("acme.door").expect("the page's log type");
    let rows: String =
        block(&page, "```json record").lines().map(|r| row(&mapping, r) + "\n").collect();
    let written = block(&page, "```json row");
    let head = "## Common columns\n\n| column | type | meaning |\n|---|---|---|\n";
    let (before, listed) = page.split_once(head).expect("the table of common columns");
    let wanted = before.replacen(written, &rows, 1) + head + &table();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path(), wanted).unwrap();
        return;
    }
    assert_eq!(written, rows, "UPDATE=1 rewrites it");
    assert_eq!(listed, table(), "UPDATE=1 rewrites it");
    assert_eq!(mapping.candidates("src_ip"), ["src_ip", "from"]);
    assert!(mapping.knows("extra.anything") && mapping.knows("door.site"));
    assert!(!mapping.knows("door.colour"));
}
