//! A lake at one moment that answers questions, each under its limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use object_store::ObjectStore;
use object_store::path::Path;
use sink::lake::{LiveFile, Snapshot};
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio::time::Instant;

use crate::damage;
use crate::drive::{Driven, Places, Threads};
use crate::error::{Error, Kind};
use crate::schema::Vocabulary;
use crate::session::session;
use crate::statement;
use crate::store::Reading;
use crate::table::LakeTable;

/// What an engine may use.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory for sorting, joining and grouping, in bytes; beyond it they spill to disk.
    pub memory_bytes_max: usize,
    /// Disk for spilling, in bytes.
    pub spill_bytes_max: u64,
    /// Where to spill; the system's temporary folder when not given.
    pub spill_folder: Option<PathBuf>,
    /// Threads of each question, and files that it reads at the same time.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_bytes_max: 256 << 20,
            spill_bytes_max: 10 << 30,
            spill_folder: None,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
        }
    }
}

/// What one question may use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The answer is cut after this many rows and says so.
    pub rows_max: Option<u64>,
    /// From the question to the last row.
    pub time_max: Option<Duration>,
}

/// What a question reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Files of the tables that the question names.
    pub files_total: usize,
    /// Files that are left after pruning; none when the manifests alone give the answer.
    pub files_read: usize,
    /// Compressed bytes of the columns that are read of those files, at most.
    pub bytes: u64,
}

/// The lake as its manifests were when it was opened.
pub struct Engine {
    store: Arc<dyn ObjectStore>,
    root: Path,
    pub(crate) context: SessionContext,
    threads: usize,
    pub(crate) places: Places,
}

impl Engine {
    /// Reads the manifests of the lake at `root` of `store`. A lake that does not exist is empty. The
    /// store's requests are made on the runtime that this is called on, which must outlive the engine.
    ///
    /// # Errors
    /// [`Kind::Store`] and [`Kind::Damaged`] when the manifests cannot be read or trusted.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        root: Path,
        vocabulary: &Vocabulary,
        options: &Options,
    ) -> Result<Self, Error> {
        let snapshot = Snapshot::read(&store, &root).await.map_err(|e| {
            let damaged = e.kind() == sink::lake::Kind::Damaged;
            let kind = if damaged { Kind::Damaged } else { Kind::Store };
            let error = Error::caused(kind, "the lake's manifests cannot be used", e);
            if damaged { error.with_hint("mantissa lake verify says what is wrong") } else { error }
        })?;
        let reading = Arc::new(Reading::new(store.clone(), Handle::current()));
        let context = session(reading, &root, snapshot, vocabulary, options)
            .map_err(|e| Error::caused(Kind::Store, "the lake cannot be opened for queries", e))?;
        Ok(Self { store, root, context, threads: options.threads, places: Places::default() })
    }

    /// Plans a statement and starts to answer it.
    ///
    /// # Errors
    /// Every [`Kind`] but `Output`, each with a sentence for the person who asked.
    pub async fn sql(&self, sql: &str, limits: Limits) -> Result<Answer, Error> {
        let deadline = limits.time_max.map(|max| (Instant::now() + max, max));
        let place = within(deadline, self.places.take()).await?;
        let threads = Threads::start(self.threads, place)
            .map_err(|e| Error::caused(Kind::Limit, "the question gets no threads", e))?;
        let (context, sql) = (self.context.clone(), sql.to_owned());
        let planned = threads.run(async move {
            let logical = statement::plan(&context, &sql).await?;
            let physical = context.state().create_physical_plan(&logical).await;
            let physical = physical.map_err(|e| statement::planning(&e))?;
            let stream = execute_stream(Arc::clone(&physical), context.task_ctx())
                .map_err(|e| statement::planning(&e))?;
            Ok::<_, Error>((logical, physical, stream))
        });
        let planned = within(deadline, planned).await?;
        let (logical, physical, stream) = planned.map_err(broken)??;
        let files = files_of(&physical);
        let plan = Plan {
            files_total: files_total(&logical),
            files_read: files.len(),
            bytes: files.values().map(|(_, bytes)| bytes).sum(),
        };
        Ok(Answer {
            plan,
            schema: stream.schema(),
            stream: threads.drive(stream),
            _threads: threads,
            deadline,
            rows_left: limits.rows_max,
            truncated: false,
            store: self.store.clone(),
            root: self.root.clone(),
            files: files.into_values().map(|(file, _)| file).collect(),
        })
    }
}

/// The work on a question ended by a panic: a bug, ours or the engine's.
fn broken(error: JoinError) -> Error {
    Error::caused(Kind::Invalid, "the question failed inside; this is a bug", error)
}

type Deadline = Option<(Instant, Duration)>;

async fn within<T>(deadline: Deadline, work: impl Future<Output = T>) -> Result<T, Error> {
    let Some((at, max)) = deadline else { return Ok(work.await) };
    tokio::time::timeout_at(at, work).await.map_err(|_| {
        let what = format!("the question took longer than {} s", max.as_secs_f64());
        Error::new(Kind::Limit, what).with_hint("ask for less time, or allow more of it")
    })
}

/// The files of every table that the statement names.
fn files_total(plan: &LogicalPlan) -> usize {
    let mut total = 0;
    let count = |node: &LogicalPlan| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
        {
            if let Some(table) = provider.downcast_ref::<LakeTable>() {
                total += table.files.len();
            } else if let Some(view) = provider.get_logical_plan() {
                total += files_total(&view);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    };
    // The closure never fails.
    let _ = plan.apply_with_subqueries(count);
    total
}

/// The files that a plan reads, by path, with the bytes of the columns it reads of them.
fn files_of(plan: &Arc<dyn ExecutionPlan>) -> BTreeMap<String, (Arc<LiveFile>, u64)> {
    let mut files = BTreeMap::new();
    // The closure never fails.
    let _ = plan.apply(|node| {
        let scan = node.downcast_ref::<DataSourceExec>();
        let Some((config, source)) =
            scan.and_then(|s| s.downcast_to_file_source::<ParquetSource>())
        else {
            return Ok(TreeNodeRecursion::Continue);
        };
        let mut columns: Vec<String> = Vec::new();
        let projected = FileSource::projection(source);
        let exprs = projected.iter().flat_map(|p| p.iter().map(|e| e.expr.clone()));
        for expr in exprs.chain(FileSource::filter(source)) {
            let read = datafusion::physical_expr::utils::collect_columns(&expr);
            columns.extend(read.iter().map(|c| c.name().to_owned()));
        }
        for file in config.file_groups.iter().flat_map(|group| group.iter()) {
            if let Some(live) = file.extension::<Arc<LiveFile>>() {
                let bytes = bytes_of(live, &columns);
                let path = live.file.path.clone();
                let entry = files.entry(path).or_insert_with(|| (live.clone(), 0));
                entry.1 = entry.1.max(bytes);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    files
}

fn bytes_of(live: &LiveFile, columns: &[String]) -> u64 {
    let sizes = live.columns.iter().zip(&live.file.column_bytes);
    sizes.filter(|(c, _)| columns.contains(&c.name)).map(|(_, bytes)| bytes).sum()
}

/// Rows as they come. Dropping it gives the work up: it stops where it next gives way.
pub struct Answer {
    plan: Plan,
    schema: SchemaRef,
    stream: Driven,
    _threads: Threads,
    deadline: Deadline,
    rows_left: Option<u64>,
    truncated: bool,
    store: Arc<dyn ObjectStore>,
    root: Path,
    files: Vec<Arc<LiveFile>>,
}

impl Answer {
    /// What is read for it.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// The columns of the answer.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Whether rows beyond the limit were left out. Known at the end.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// [`Kind::Limit`], [`Kind::Damaged`] with the file's name, [`Kind::Store`], [`Kind::Invalid`].
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            let next = within(self.deadline, self.stream.next()).await?;
            let batch = match next.map_err(broken)? {
                None => return Ok(None),
                Some(Ok(batch)) => batch,
                Some(Err(error)) => return Err(self.explain(error).await),
            };
            if batch.num_rows() == 0 {
                continue;
            }
            let Some(left) = self.rows_left else { return Ok(Some(batch)) };
            let keep = batch.num_rows().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.rows_left = Some(left - keep as u64);
            self.truncated = keep < batch.num_rows();
            return Ok((keep > 0).then(|| batch.slice(0, keep)));
        }
    }

    async fn explain(&self, error: DataFusionError) -> Error {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(said) => {
                let first = said.lines().next().unwrap_or_default().to_owned();
                return Error::new(Kind::Limit, format!("memory ran out: {first}"))
                    .with_hint("group by fewer columns, select less time, or allow more memory");
            }
            DataFusionError::Plan(_) | DataFusionError::NotImplemented(_) => {
                return statement::planning(&error);
            }
            _ => {}
        }
        if let Some(what) = damage::find(&self.store, &self.root, &self.files).await {
            let what = format!("the file {what}");
            let hint = "mantissa lake verify --deep names every damaged file";
            return Error::caused(Kind::Damaged, what, error).with_hint(hint);
        }
        let stored = matches!(
            error.find_root(),
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_)
        );
        if stored {
            return Error::caused(Kind::Store, "the lake's store failed", error);
        }
        statement::planning(&error)
    }
}
