//! A DataFusion session that knows the lake and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, lit};
use datafusion::prelude::{SessionConfig, SessionContext, ident};
use object_store::ObjectStore;
use object_store::path::Path;
use sink::lake::{ColumnSpec, FileKind, LiveFile, Snapshot, arrow_schema};
use url::Url;

use crate::engine::Options;
use crate::json;
use crate::schema::{self, DT, HR, RAW, Vocabulary};
use crate::table::{LakeTable, STORE_URL};

pub(crate) const CATALOG: &str = "lake";
pub(crate) const SCHEMA: &str = "main";
pub(crate) const EVENTS: &str = "events";
/// The program's record of its sources is about events, and none itself: not in [`EVENTS`].
const LEDGER: &str = "mantissa_collection";

/// Answers for the lake's own store and no other, local files included.
#[derive(Debug)]
struct OnlyTheLake(Arc<dyn ObjectStore>);

impl ObjectStoreRegistry for OnlyTheLake {
    fn register_store(
        &self,
        _url: &Url,
        _store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.as_str().trim_end_matches('/') == STORE_URL {
            Ok(self.0.clone())
        } else {
            exec_err!("only the lake can be read, not {url}")
        }
    }
}

/// A session over the snapshot's tables.
pub(crate) fn session(
    store: Arc<dyn ObjectStore>,
    root: &Path,
    snapshot: Snapshot,
    vocabulary: &Vocabulary,
    options: &Options,
) -> Result<SessionContext> {
    let pool = FairSpillPool::new(options.memory_bytes_max);
    let consumers = std::num::NonZeroUsize::new(3).expect("3 is not 0");
    let mode = match &options.spill_folder {
        Some(folder) => DiskManagerMode::Directories(vec![folder.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let disk = DiskManagerBuilder::default()
        .with_mode(mode)
        .with_max_temp_directory_size(options.spill_bytes_max);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, consumers)))
        .with_disk_manager_builder(disk)
        .with_object_store_registry(Arc::new(OnlyTheLake(store)))
        .build_arc()?;
    let state = SessionStateBuilder::new()
        .with_config(config(options))
        .with_runtime_env(runtime)
        .with_default_features()
        .with_table_factories(HashMap::new())
        .build();
    let context = SessionContext::new_with_state(state);
    json::functions().for_each(|function| context.register_udf(function));
    let catalog = context.catalog(CATALOG).expect("the session makes its default catalog");
    let tables = catalog.schema(SCHEMA).expect("the session makes its default schema");
    register(&*tables, root, snapshot, vocabulary)?;
    Ok(context)
}

fn config(options: &Options) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_information_schema(true)
        .with_target_partitions(options.threads.max(1));
    let settings = config.options_mut();
    settings.execution.parquet.pushdown_filters = true;
    settings.execution.parquet.reorder_filters = true;
    settings.execution.parquet.schema_force_view_types = false;
    settings.sql_parser.map_string_types_to_utf8view = false;
    config
}

/// A table before it is registered.
struct Draft {
    kind: FileKind,
    known: Vec<ColumnSpec>,
    files: Vec<Arc<LiveFile>>,
}

fn register(
    tables: &dyn SchemaProvider,
    root: &Path,
    snapshot: Snapshot,
    vocabulary: &Vocabulary,
) -> Result<()> {
    let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
    for (name, kind, known) in schema::always() {
        drafts.insert(name.into(), Draft { kind, known, files: Vec::new() });
    }
    for table in &vocabulary.tables {
        let known = schema::specs(&table.columns);
        let new = || Draft { kind: FileKind::Events, known: Vec::new(), files: Vec::new() };
        drafts.entry(table.table.clone()).or_insert_with(new).known = known;
    }
    for live in snapshot.files {
        let new = || Draft { kind: live.file.kind, known: Vec::new(), files: Vec::new() };
        let draft = drafts.entry(live.file.table.clone()).or_insert_with(new);
        draft.files.push(Arc::new(live));
    }
    let mut event_tables = Vec::new();
    for (name, draft) in drafts {
        let columns = schema::merge(&draft.known, draft.files.iter().map(|f| &**f));
        let table = Arc::new(LakeTable::new(root.clone(), &columns, draft.files));
        if draft.kind == FileKind::Events && name != LEDGER {
            event_tables.push((name.clone(), table.clone() as Arc<dyn TableProvider>));
        }
        tables.register_table(name, table)?;
    }
    let view = events(root, &event_tables, vocabulary)?;
    tables.register_table(EVENTS.into(), Arc::new(view))?;
    Ok(())
}

/// The view over all log types: the common columns, `raw`, and the partition.
fn events(
    root: &Path,
    tables: &[(String, Arc<dyn TableProvider>)],
    vocabulary: &Vocabulary,
) -> Result<ViewTable> {
    let mut columns: Vec<(String, DataType)> = arrow_schema(&schema::specs(&vocabulary.common))
        .fields()
        .iter()
        .map(|f| (f.name().clone(), f.data_type().clone()))
        .collect();
    for (name, data_type) in [(RAW, DataType::Utf8), (DT, DataType::Utf8), (HR, DataType::Int64)] {
        if !columns.iter().any(|(c, _)| c == name) {
            columns.push((name.into(), data_type));
        }
    }
    let mut union: Option<LogicalPlanBuilder> = None;
    for (name, table) in tables {
        let part = select(name, table.clone(), &columns)?;
        union = Some(match union {
            None => part,
            Some(union) => union.union(part.build()?)?,
        });
    }
    let plan = match union {
        Some(union) => union,
        None => {
            let none = LakeTable::new(root.clone(), &schema::specs(&vocabulary.common), Vec::new());
            select("nothing", Arc::new(none), &columns)?
        }
    };
    let definition = "the common columns and raw of every log type".to_owned();
    Ok(ViewTable::new(plan.build()?, Some(definition)))
}

/// These columns of a table; null where it has none of that name.
fn select(
    name: &str,
    table: Arc<dyn TableProvider>,
    columns: &[(String, DataType)],
) -> Result<LogicalPlanBuilder> {
    let schema = table.schema();
    let scan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?;
    let column = |(name, data_type): &(String, DataType)| -> Result<Expr> {
        let found = schema.field_with_name(name).ok();
        Ok(match found {
            Some(field) if field.data_type() == data_type => ident(name),
            Some(_) => cast(ident(name), data_type.clone()).alias(name),
            None => lit(ScalarValue::try_new_null(data_type)?).alias(name),
        })
    };
    scan.project(columns.iter().map(column).collect::<Result<Vec<Expr>>>()?)
}
