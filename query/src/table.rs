//! One table of the lake for DataFusion: its files as the manifests name them.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics, project_schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;
use object_store::path::Path;
use sink::lake::{ColumnSpec, LiveFile, arrow_schema, layout};

use crate::adapt::LenientFactory;
use crate::prune::{self, time_bounds};
use crate::schema::{self, DT, time_type};

/// The only store a session knows.
pub(crate) const STORE_URL: &str = "lake://lake";

/// A table: its columns and its files at the moment of the snapshot.
#[derive(Debug)]
pub(crate) struct LakeTable {
    root: Path,
    schema: TableSchema,
    pub(crate) files: Vec<Arc<LiveFile>>,
}

impl LakeTable {
    pub(crate) fn new(root: Path, columns: &[ColumnSpec], files: Vec<Arc<LiveFile>>) -> Self {
        let file_schema = arrow_schema(columns);
        let partition = schema::partition_fields(&file_schema);
        let schema = TableSchema::builder(file_schema).with_table_partition_cols(partition).build();
        Self { root, schema, files }
    }

    fn partition(&self) -> &[FieldRef] {
        self.schema.table_partition_cols()
    }

    /// What is known of these files together, over the whole schema of the table.
    fn statistics_of(&self, files: &[Arc<LiveFile>], columns: usize) -> Statistics {
        let fields = self.schema.table_schema().fields();
        let mut statistics = Statistics {
            num_rows: Precision::Exact(files.iter().map(|f| f.file.rows as usize).sum()),
            total_byte_size: Precision::Inexact(files.iter().map(|f| f.file.bytes as usize).sum()),
            column_statistics: vec![ColumnStatistics::new_unknown(); columns],
        };
        for (column, field) in statistics.column_statistics.iter_mut().zip(fields) {
            if *field.data_type() != time_type() {
                continue;
            }
            let bounds: Option<Vec<_>> =
                files.iter().map(|f| time_bounds(f, field.name())).collect();
            let Some(bounds) = bounds.filter(|b| !b.is_empty()) else { continue };
            let exact = |us: Option<i64>| match us {
                Some(_) => {
                    Precision::Exact(ScalarValue::TimestampMicrosecond(us, Some("UTC".into())))
                }
                None => Precision::Absent,
            };
            column.min_value = exact(bounds.iter().map(|b| b.0).min());
            column.max_value = exact(bounds.iter().map(|b| b.1).max());
        }
        statistics
    }

    fn partitioned(&self, live: &Arc<LiveFile>) -> PartitionedFile {
        let value = |f: &FieldRef| match f.name().as_str() {
            DT => ScalarValue::Utf8(Some(live.file.dt.clone())),
            _ => ScalarValue::Int64(Some(live.file.hr.into())),
        };
        let meta = ObjectMeta {
            location: layout::under(&self.root, &live.file.path),
            last_modified: Default::default(),
            size: live.file.bytes,
            e_tag: None,
            version: None,
        };
        let columns = self.schema.file_schema().fields().len();
        let statistics = self.statistics_of(std::slice::from_ref(live), columns);
        PartitionedFile::new_from_meta(meta)
            .with_partition_values(self.partition().iter().map(value).collect())
            .with_statistics(Arc::new(statistics))
            .with_extension(live.clone())
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics_of(&self.files, self.schema.table_schema().fields().len()))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let decide = |filter: &&Expr| {
            if prune::is_partition_only(filter, self.partition()) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(decide).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table_schema = self.schema.table_schema();
        let files = prune::prune(state, table_schema, self.partition(), &self.files, filters)?;
        if files.is_empty() {
            let schema = project_schema(table_schema, projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let statistics = self.statistics_of(&files, table_schema.fields().len());
        let group = FileGroup::new(files.iter().map(|f| self.partitioned(f)).collect());
        let groups = group.split_files(state.config().target_partitions());
        let parquet = state.config_options().execution.parquet.clone();
        let options = TableParquetOptions { global: parquet, ..TableParquetOptions::default() };
        let source = ParquetSource::new(self.schema.clone()).with_table_parquet_options(options);
        let config =
            FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
                .with_file_groups(groups)
                .with_statistics(statistics)
                .with_expr_adapter(Some(Arc::new(LenientFactory)))
                .with_projection_indices(projection.cloned())?
                .with_limit(limit)
                .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
