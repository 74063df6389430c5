//! Which files a filter can be true in, from what the manifests say: bounds of the times, partition,
//! and the log type that a table holds. A file is left out only when no row of it can match.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt64Type};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, Result, ScalarValue, plan_datafusion_err};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use event::LogType;
use sink::lake::{FileKind, LiveFile};

use crate::schema::{DT, HR, time_type};

/// Whether a filter reads nothing but the partition, so that it is decided per file once for all.
pub(crate) fn is_partition_only(filter: &Expr, partition: &[FieldRef]) -> bool {
    let columns = filter.column_refs();
    let known = |c: &Column| partition.iter().any(|f| f.name() == c.name());
    !columns.is_empty() && !filter.is_volatile() && columns.iter().all(|c| known(c))
}

/// The files in which all `filters` can be true.
pub(crate) fn prune(
    state: &dyn Session,
    schema: &SchemaRef,
    partition: &[FieldRef],
    files: &[Arc<LiveFile>],
    filters: &[Expr],
) -> Result<Vec<Arc<LiveFile>>> {
    let (exact, other): (Vec<Expr>, Vec<Expr>) =
        filters.iter().cloned().partition(|f| is_partition_only(f, partition));
    let mut kept = by_partition(state, partition, files, exact)?;
    if let Some(filter) = conjunction(other) {
        let df_schema = DFSchema::try_from(schema.clone())?;
        let predicate = state.create_physical_expr(filter, &df_schema)?;
        let predicate =
            PruningPredicateBuilder::new().with_file_schema(schema.clone()).try_build(predicate);
        // A filter that bounds cannot decide prunes nothing; that is not an error.
        if let Ok(predicate) = predicate {
            let keep = predicate.prune(&Bounds { schema, files: &kept })?;
            let mut keep = keep.into_iter();
            kept.retain(|_| keep.next().unwrap_or(true));
        }
    }
    Ok(kept)
}

/// Evaluates filters over one row per file that holds its partition.
fn by_partition(
    state: &dyn Session,
    partition: &[FieldRef],
    files: &[Arc<LiveFile>],
    filters: Vec<Expr>,
) -> Result<Vec<Arc<LiveFile>>> {
    let Some(filter) = conjunction(filters) else { return Ok(files.to_vec()) };
    let mut fields = partition.to_vec();
    fields.push(Arc::new(Field::new("the file", DataType::UInt64, false)));
    let mut arrays: Vec<ArrayRef> =
        partition.iter().map(|f| partition_array(f.name(), files)).collect();
    arrays.push(Arc::new(UInt64Array::from_iter_values(0..files.len() as u64)));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
    let df_schema = DFSchema::try_from(batch.schema())?;
    let predicate = state.create_physical_expr(filter, &df_schema)?;
    let mask = predicate.evaluate(&batch)?.into_array(files.len())?;
    let mask =
        mask.as_boolean_opt().ok_or_else(|| plan_datafusion_err!("a filter is true or false"))?;
    let kept = filter_record_batch(&batch, mask)?;
    let numbers = kept.column(partition.len()).as_primitive::<UInt64Type>();
    Ok(numbers.values().iter().map(|i| files[*i as usize].clone()).collect())
}

fn partition_array(name: &str, files: &[Arc<LiveFile>]) -> ArrayRef {
    if name == DT {
        Arc::new(StringArray::from_iter_values(files.iter().map(|f| &f.file.dt)))
    } else {
        Arc::new(Int64Array::from_iter_values(files.iter().map(|f| i64::from(f.file.hr))))
    }
}

/// The bounds of a time column in a file, microseconds.
pub(crate) fn time_bounds(file: &LiveFile, column: &str) -> Option<(i64, i64)> {
    let f = &file.file;
    let times = (f.min_time, f.max_time);
    let ingest = (f.min_ingest, f.max_ingest);
    match (f.kind, column) {
        (FileKind::Events | FileKind::Alerts, "event_time") => Some(times),
        (FileKind::Events, "ingest_time") => Some(ingest),
        (FileKind::Alerts, "detected_at") => Some(ingest),
        (FileKind::DeadLetters, "received_at") => Some(times),
        _ => None,
    }
}

struct Bounds<'a> {
    schema: &'a SchemaRef,
    files: &'a [Arc<LiveFile>],
}

impl Bounds<'_> {
    fn array(&self, column: &Column, end: impl Fn((i64, i64)) -> i64) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(column.name()).ok()?;
        if [DT, HR].contains(&column.name()) {
            let in_files =
                self.files.iter().any(|f| f.columns.iter().any(|c| &c.name == field.name()));
            return (!in_files).then(|| partition_array(column.name(), self.files));
        }
        if *field.data_type() != time_type() {
            return None;
        }
        let bounds = self.files.iter().map(|f| time_bounds(f, column.name()).map(&end));
        let array: TimestampMicrosecondArray = bounds.collect();
        Some(Arc::new(array.with_timezone("UTC")))
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.array(column, |(min, _)| min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.array(column, |(_, max)| max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.files.iter().map(|f| f.file.rows))))
    }

    /// A table holds the rows of the log types that have its name.
    #[allow(clippy::mutable_key_type, reason = "the trait's type")]
    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        if column.name() != "log_type" {
            return None;
        }
        let text = |v: &ScalarValue| v.try_as_str().flatten().map(|t| LogType::from(t).table());
        let tables: Option<HashSet<String>> = values.iter().map(text).collect();
        let tables = tables?;
        // `false`: none of the values is in the file. Otherwise it is not known.
        let contained = |f: &Arc<LiveFile>| {
            let named = f.file.kind != FileKind::Events || tables.contains(&f.file.table);
            if named { None } else { Some(false) }
        };
        Some(self.files.iter().map(contained).collect())
    }
}
