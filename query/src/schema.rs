//! What columns a table has: those of its files over time, and those that are known before there is
//! a file.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use event::{ColumnDef, TableSchema};
use sink::lake::{ColumnKind, ColumnSpec, FileKind, LiveFile, alert_schema, data_type, layout};

/// The column with the vendor's record.
pub(crate) const RAW: &str = "raw";
/// The partition columns, which are in the path of a file and not in it.
pub(crate) const DT: &str = "dt";
pub(crate) const HR: &str = "hr";

/// Columns that are known without reading the lake: what the program's mappings fill.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// The common columns: the columns of the view `events`, in this order.
    pub common: Vec<ColumnDef>,
    /// Tables that can be asked for before they have a file.
    pub tables: Vec<TableSchema>,
}

/// Tables that every lake has, even before they have a file.
pub(crate) fn always() -> [(&'static str, FileKind, Vec<ColumnSpec>); 2] {
    let spec = |(name, kind): &(&str, ColumnKind)| ColumnSpec { name: (*name).into(), kind: *kind };
    use ColumnKind::{Binary, Int, Text, Time};
    let letters = [
        ("dead_id", Text),
        ("received_at", Time),
        ("source", Text),
        ("source_partition", Text),
        ("position", Int),
        ("record_index", Int),
        ("log_type", Text),
        ("stage", Text),
        ("reason", Text),
        ("byte_count", Int),
        ("bytes", Binary),
    ];
    [
        (layout::ALERTS, FileKind::Alerts, specs(&alert_schema().columns)),
        (layout::DEAD_LETTERS, FileKind::DeadLetters, letters.iter().map(spec).collect()),
    ]
}

/// The columns of a table known from its definition.
pub(crate) fn specs(columns: &[ColumnDef]) -> Vec<ColumnSpec> {
    columns
        .iter()
        .map(|c| ColumnSpec { name: c.name.clone(), kind: c.column_type.into() })
        .collect()
}

/// The columns over all files: a column has the type that the newest file gives it, and columns that
/// newer files no longer have come last.
pub(crate) fn merge<'f>(
    known: &[ColumnSpec],
    files: impl Iterator<Item = &'f LiveFile>,
) -> Vec<ColumnSpec> {
    // Newest first; one entry per distinct list of columns keeps this cheap for many files.
    let mut lists: HashMap<*const ColumnSpec, (i64, u64, &Arc<[ColumnSpec]>)> = HashMap::new();
    for f in files {
        let age = (f.file.max_ingest, f.epoch, &f.columns);
        let newest = lists.entry(f.columns.as_ptr()).or_insert(age);
        if (age.0, age.1) > (newest.0, newest.1) {
            *newest = age;
        }
    }
    let mut lists: Vec<_> = lists.into_values().collect();
    lists.sort_by_key(|(ingest, epoch, _)| std::cmp::Reverse((*ingest, *epoch)));
    let mut merged: Vec<ColumnSpec> = Vec::new();
    for columns in lists.iter().map(|(_, _, columns)| &***columns).chain([known]) {
        for column in columns {
            if !merged.iter().any(|m| m.name == column.name) {
                merged.push(column.clone());
            }
        }
    }
    merged
}

/// The partition columns, without those that a file has itself.
pub(crate) fn partition_fields(file_schema: &Schema) -> Vec<FieldRef> {
    [Field::new(DT, DataType::Utf8, true), Field::new(HR, DataType::Int64, true)]
        .into_iter()
        .filter(|f| file_schema.index_of(f.name()).is_err())
        .map(Arc::new)
        .collect()
}

pub(crate) fn time_type() -> DataType {
    data_type(ColumnKind::Time)
}
