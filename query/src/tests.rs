//! Questions to small lakes: what is read, what is answered, what is refused.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::TimestampMicrosecondArray;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::array::{
    BinaryArray, Float64Array, Int64Array, ListBuilder, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema};
use event::{ColumnDef, ColumnType, TableSchema};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use sink::lake::manifest::{Checksum, VERSION};
use sink::lake::{ColumnKind, ColumnSpec, DataFile, FileKind, Manifest, layout};

use crate::{Engine, Error, Format, Kind, Limits, Options, Plan, Vocabulary, write};

mod answers;
mod files;
mod json;
mod real;
mod refusals;

/// 2026-03-01T00:00:00Z in microseconds.
const DAY: i64 = 1_772_323_200_000_000;
const HOUR: i64 = 3_600_000_000;

/// A column of a file.
enum Cells {
    Text(Vec<Option<&'static str>>),
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    Time(Vec<i64>),
    List(Vec<Vec<&'static str>>),
    Bytes(Vec<&'static [u8]>),
}

fn texts(values: &[&'static str]) -> Cells {
    Cells::Text(values.iter().map(|v| Some(*v)).collect())
}

impl Cells {
    fn kind(&self) -> ColumnKind {
        match self {
            Self::Text(_) => ColumnKind::Text,
            Self::Int(_) => ColumnKind::Int,
            Self::Float(_) => ColumnKind::Float,
            Self::Time(_) => ColumnKind::Time,
            Self::List(_) => ColumnKind::TextList,
            Self::Bytes(_) => ColumnKind::Binary,
        }
    }

    fn array(&self) -> ArrayRef {
        match self {
            Self::Text(v) => Arc::new(StringArray::from(v.clone())),
            Self::Int(v) => Arc::new(Int64Array::from(v.clone())),
            Self::Float(v) => Arc::new(Float64Array::from(v.clone())),
            Self::Time(v) => {
                Arc::new(TimestampMicrosecondArray::from(v.clone()).with_timezone("UTC"))
            }
            Self::List(v) => {
                let element = Field::new("element", DataType::Utf8, true);
                let mut list = ListBuilder::new(StringBuilder::new()).with_field(element);
                for items in v {
                    list.append_value(items.iter().map(Some));
                }
                Arc::new(list.finish())
            }
            Self::Bytes(v) => Arc::new(BinaryArray::from(v.clone())),
        }
    }
}

/// A lake in memory and what its program knows.
struct Lake {
    store: Arc<dyn ObjectStore>,
    root: Path,
    epoch: u64,
    previous: Option<Checksum>,
    vocabulary: Vocabulary,
}

impl Lake {
    fn new() -> Self {
        let column = |(name, column_type): (&str, ColumnType)| ColumnDef {
            name: name.into(),
            column_type,
            doc: String::new(),
        };
        let common = [
            ("event_time", ColumnType::Time),
            ("ingest_time", ColumnType::Time),
            ("log_type", ColumnType::Text),
            ("action", ColumnType::Text),
            ("source_ip", ColumnType::Text),
            ("users", ColumnType::TextList),
        ];
        let common: Vec<ColumnDef> = common.into_iter().map(column).collect();
        let known = TableSchema { table: "k8s_audit".into(), columns: common.clone() };
        Self {
            store: Arc::new(InMemory::new()),
            root: "team/lake".into(),
            epoch: 0,
            previous: None,
            vocabulary: Vocabulary { common, tables: vec![known] },
        }
    }

    /// Events of one hour: `(minute, action)` each, with what else the file has.
    async fn events(&mut self, log_type: &str, hour: i64, rows: &[(i64, &'static str)]) -> String {
        let start = DAY + hour * HOUR;
        let columns = vec![
            ("event_time", Cells::Time(rows.iter().map(|r| start + r.0 * 60_000_000).collect())),
            ("ingest_time", Cells::Time(vec![start + HOUR; rows.len()])),
            ("log_type", Cells::Text(vec![Some(log_type.to_owned().leak()); rows.len()])),
            ("action", Cells::Text(rows.iter().map(|r| Some(r.1)).collect())),
        ];
        self.commit(&log_type.replace('.', "_"), FileKind::Events, columns).await
    }

    /// Commits one file as an epoch; its path.
    async fn commit(
        &mut self,
        table: &str,
        kind: FileKind,
        columns: Vec<(&'static str, Cells)>,
    ) -> String {
        self.epoch += 1;
        let times = |name: &str| match columns.iter().find(|c| c.0 == name) {
            Some((_, Cells::Time(t))) => (*t.iter().min().unwrap(), *t.iter().max().unwrap()),
            _ => panic!("the file has no column {name}"),
        };
        let (time, ingest) = match kind {
            FileKind::Events => ("event_time", "ingest_time"),
            FileKind::Alerts => ("event_time", "detected_at"),
            FileKind::DeadLetters => ("received_at", "received_at"),
        };
        let ((min_time, max_time), (min_ingest, max_ingest)) = (times(time), times(ingest));
        let (dt, hr) = layout::Hour::of_micros(min_time).dt_hr();
        let (rows, column_bytes, bytes) = encode(&columns);
        let path = format!("{table}/dt={dt}/hr={hr:02}/main-{:020}-000-test.parquet", self.epoch);
        let file = DataFile {
            path: path.clone(),
            table: table.into(),
            kind,
            dt,
            hr,
            rows,
            bytes: bytes.len() as u64,
            checksum: Checksum::of(&bytes),
            min_time,
            max_time,
            min_ingest,
            max_ingest,
            schema: 0,
            column_bytes,
        };
        self.put(&path, bytes).await;
        let spec =
            |(name, cells): &(&str, Cells)| ColumnSpec { name: (*name).into(), kind: cells.kind() };
        let manifest = Manifest {
            version: VERSION,
            lane: "main".into(),
            epoch: self.epoch,
            previous: self.previous,
            created_at: max_ingest,
            writer: "test".into(),
            program: "test".into(),
            spans: Vec::new(),
            files: vec![file],
            schemas: vec![columns.iter().map(spec).collect()],
            alert_ids: Vec::new(),
            redriven: Vec::new(),
            positions: None,
            state: None,
            replaced: Vec::new(),
            erasure: None,
            removed: Vec::new(),
            claimed: Vec::new(),
            taken: Vec::new(),
        };
        let (bytes, hash) = manifest.encode();
        self.previous = Some(hash);
        self.put(&layout::manifest("main", self.epoch), bytes).await;
        path
    }

    async fn put(&self, path: &str, bytes: Vec<u8>) {
        self.store.put(&layout::under(&self.root, path), bytes.into()).await.unwrap();
    }

    async fn open(&self) -> Engine {
        self.open_with(&Options::default()).await.unwrap()
    }

    async fn open_with(&self, options: &Options) -> Result<Engine, Error> {
        let options = Options { threads: 2, ..options.clone() };
        Engine::open(self.store.clone(), self.root.clone(), &self.vocabulary, &options).await
    }

    async fn ask(&self, sql: &str) -> String {
        text(&self.open().await, sql, Format::Csv).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }
}

/// Rows, bytes of each column, and the file.
fn encode(columns: &[(&'static str, Cells)]) -> (u64, Vec<u64>, Vec<u8>) {
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, cells)| cells.array()).collect();
    let field = |(c, a): (&(&str, Cells), &ArrayRef)| Field::new(c.0, a.data_type().clone(), true);
    let fields: Vec<Field> = columns.iter().zip(&arrays).map(field).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1_000)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    let meta = writer.finish().unwrap();
    let mut sizes = vec![0; columns.len()];
    for group in meta.row_groups() {
        for (size, column) in sizes.iter_mut().zip(group.columns()) {
            *size += column.compressed_size() as u64;
        }
    }
    (batch.num_rows() as u64, sizes, writer.inner().clone())
}

async fn text(engine: &Engine, sql: &str, format: Format) -> Result<String, Error> {
    let mut out = Vec::new();
    write(engine.sql(sql, Limits::default()).await?, format, &mut out).await?;
    Ok(String::from_utf8(out).unwrap())
}

async fn plan(engine: &Engine, sql: &str) -> Plan {
    engine.sql(sql, Limits::default()).await.unwrap_or_else(|e| panic!("{sql}: {e}")).plan()
}
