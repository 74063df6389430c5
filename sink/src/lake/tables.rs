//! The two tables of our own: `dead_letters` and `alerts`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use event::{Alert, ColumnDef, ColumnType, DeadLetter, Rows, TableSchema, Uid};

use super::arrays;
use super::encode::{Content, Job};
use super::layout::{self, Hour};
use super::manifest::{ColumnKind, ColumnSpec, FileKind};
use super::plan::Namer;

/// Dead letters can be large; a batch of them is closed at this size.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Columns of `dead_letters`. `partition` and `index` are words of SQL, hence the longer names.
const DEAD_LETTER_COLUMNS: [(&str, ColumnKind); 11] = [
    ("dead_id", ColumnKind::Text),
    ("received_at", ColumnKind::Time),
    ("source", ColumnKind::Text),
    ("source_partition", ColumnKind::Text),
    ("position", ColumnKind::Int),
    ("record_index", ColumnKind::Int),
    ("log_type", ColumnKind::Text),
    ("stage", ColumnKind::Text),
    ("reason", ColumnKind::Text),
    ("byte_count", ColumnKind::Int),
    ("bytes", ColumnKind::Binary),
];

/// Columns of `alerts`, with what they hold.
const ALERT_COLUMNS: [(&str, ColumnType, &str); 25] = [
    ("alert_id", ColumnType::Text, "the same on redo, replay and backfill"),
    ("event_time", ColumnType::Time, "of the event that matched"),
    ("detected_at", ColumnType::Time, "when the rule matched"),
    ("rule_id", ColumnType::Text, "the rule's id, or its path"),
    ("rule_title", ColumnType::Text, "the rule's title"),
    ("rule_description", ColumnType::Text, "the rule's description"),
    ("level", ColumnType::Text, "informational, low, medium, high or critical"),
    ("tags", ColumnType::TextList, "as the rule has them, attack.t1078.004"),
    ("falsepositives", ColumnType::TextList, "as the rule has them"),
    ("rule_references", ColumnType::TextList, "as the rule has them"),
    ("source", ColumnType::Text, "the connector the event came from"),
    ("log_type", ColumnType::Text, "of the event"),
    ("event_uid", ColumnType::Text, "of the event"),
    ("event_file", ColumnType::Text, "the file that holds the event, from the lake's root"),
    ("lake_partition", ColumnType::Text, "the folder that holds the event"),
    ("who", ColumnType::Text, "a sentence for people"),
    ("what", ColumnType::Text, "a sentence for people"),
    ("when_text", ColumnType::Text, "a sentence for people"),
    ("where_text", ColumnType::Text, "a sentence for people"),
    ("why", ColumnType::Text, "a sentence for people"),
    ("how", ColumnType::Text, "a sentence for people"),
    ("suppression_key", ColumnType::Text, "alerts with the same key are sent once in a while"),
    ("event", ColumnType::Text, "the event's common columns as JSON"),
    ("correlated", ColumnType::Text, "of a correlation: its group, rules and events as JSON"),
    ("replayed", ColumnType::Bool, "found by a replay of the lake, long after the event"),
];

/// Identity of a dead letter: where it came from.
pub fn dead_id(letter: &DeadLetter) -> Uid {
    let (at, index) = (letter.at.to_be_bytes(), letter.index.to_be_bytes());
    let key = &letter.key;
    Uid::of("dead", &[key.source.as_bytes(), key.partition.as_bytes(), &at, &index])
}

/// Files of dead letters, by the hour they arrived.
pub(super) fn dead_letters(letters: &[DeadLetter], namer: &mut Namer) -> Vec<Job> {
    let columns: Arc<[ColumnSpec]> = DEAD_LETTER_COLUMNS
        .iter()
        .map(|(name, kind)| ColumnSpec { name: (*name).into(), kind: *kind })
        .collect();
    let mut hours: BTreeMap<Hour, Vec<&DeadLetter>> = BTreeMap::new();
    for letter in letters {
        hours.entry(Hour::of_micros(letter.received_at.micros())).or_default().push(letter);
    }
    let mut jobs = Vec::new();
    for (hour, mut letters) in hours {
        letters.sort_by_key(|l| l.received_at);
        let head = namer.head(layout::DEAD_LETTERS, FileKind::DeadLetters, hour, columns.clone());
        let content = Content::Batches {
            min_time: letters[0].received_at.micros(),
            max_time: letters[letters.len() - 1].received_at.micros(),
            batches: chunks(&letters).map(|chunk| dead_letter_batch(chunk, &columns)).collect(),
        };
        jobs.push(Job { head, content });
    }
    jobs
}

fn chunks<'a>(letters: &'a [&'a DeadLetter]) -> impl Iterator<Item = &'a [&'a DeadLetter]> {
    let mut rest = letters;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |l: &&&DeadLetter| {
            bytes += l.bytes.len() + l.reason.len();
            bytes <= BATCH_BYTES_MAX
        };
        let n = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (chunk, after) = rest.split_at(n);
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn dead_letter_batch(letters: &[&DeadLetter], columns: &[ColumnSpec]) -> RecordBatch {
    let text = |get: &dyn Fn(&DeadLetter) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(letters.iter().map(|l| get(l))))
    };
    let int = |get: &dyn Fn(&DeadLetter) -> u64| -> ArrayRef {
        let values = letters.iter().map(|l| i64::try_from(get(l)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(values))
    };
    let times = letters.iter().map(|l| l.received_at.micros());
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let arrays: Vec<ArrayRef> = vec![
        text(&|l| dead_id(l).to_string()),
        Arc::new(times),
        text(&|l| l.key.source.to_string()),
        text(&|l| l.key.partition.to_string()),
        int(&|l| l.at),
        int(&|l| l.index.into()),
        text(&|l| l.log_type.to_string()),
        text(&|l| l.stage.as_str().into()),
        text(&|l| l.reason.clone()),
        int(&|l| l.bytes.len() as u64),
        Arc::new(BinaryArray::from_iter_values(letters.iter().map(|l| &l.bytes))),
    ];
    RecordBatch::try_new(arrays::arrow_schema(columns), arrays)
        .expect("the arrays are in the order of the columns")
}

/// The schema of `alerts`.
pub fn alert_schema() -> TableSchema {
    let column = |(name, column_type, doc): (&str, ColumnType, &str)| ColumnDef {
        name: name.into(),
        column_type,
        doc: doc.into(),
    };
    TableSchema {
        table: layout::ALERTS.into(),
        columns: ALERT_COLUMNS.into_iter().map(column).collect(),
    }
}

/// Rows of `alerts`. `event_files` is keyed by table and `event_uid`.
pub(super) fn alerts(alerts: &[Alert], event_files: &HashMap<(String, String), String>) -> Rows {
    let schema = Arc::new(alert_schema());
    let at = |name: &str| schema.index_of(name).expect("a column of the table alerts");
    let mut rows = Rows::new(schema.clone());
    for alert in alerts {
        let key = (alert.log_type.replace('.', "_"), alert.event_uid.clone());
        let (rule, facts) = (&alert.rule, &alert.facts);
        let event = serde_json::Value::Object(alert.event.clone()).to_string();
        let correlated = alert.correlated.as_ref().map(|correlated| correlated.json().to_string());
        let correlated = correlated.unwrap_or_default();
        for (name, value) in [
            ("alert_id", alert.alert_id.to_string().as_str()),
            ("rule_id", &rule.id),
            ("rule_title", &rule.title),
            ("rule_description", &rule.description),
            ("level", rule.level.as_str()),
            ("source", &alert.source),
            ("log_type", &alert.log_type),
            ("event_uid", &alert.event_uid),
            ("event_file", event_files.get(&key).map_or("", String::as_str)),
            ("lake_partition", &alert.lake_partition),
            ("who", &facts.who),
            ("what", &facts.what),
            ("when_text", &facts.when),
            ("where_text", &facts.place),
            ("why", &facts.why),
            ("how", &facts.how),
            ("suppression_key", &alert.dedup_key),
            ("event", &event),
            ("correlated", &correlated),
        ] {
            if !value.is_empty() {
                rows.text(at(name), value);
            }
        }
        for (name, items) in [
            ("tags", &rule.tags),
            ("falsepositives", &rule.falsepositives),
            ("rule_references", &rule.references),
        ] {
            items.iter().for_each(|item| rows.item(at(name), item));
        }
        rows.time(at("event_time"), alert.event_time);
        rows.time(at("detected_at"), alert.detected_at);
        rows.bool(at("replayed"), alert.replayed);
        rows.end_row();
    }
    rows
}
