//! `mantissa deadletters list|show|redrive`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use ::ingest::{Source, SourceContext, SourceError, Summary};
use ::query::{Format, Limits};
use anyhow::{Context as _, bail};
use async_trait::async_trait;
use bytes::Bytes;
use event::{Batch, LogType, PartitionKey, Record, Span, Uid};
use sink::lake::dead_letters::{self, StoredLetter, Wanted};
use sink::lake::{LakeOptions, LakeStore, Snapshot};

use crate::cli::{Deadletters, RowFormat};
use crate::config::Config;
use crate::pipeline::now;
use crate::run::{self, Stop};
use crate::{config, plan, report};

pub fn run(command: Deadletters) -> anyhow::Result<ExitCode> {
    match command {
        Deadletters::List { lake, limit, format } => {
            list(&super::lake_options(&lake)?, limit, format)
        }
        Deadletters::Show { lake, id } => show(&super::lake_options(&lake)?, &id),
        Deadletters::Redrive { lake, log_types, ids } => {
            let mut config = match &lake.config {
                Some(path) => config::load(path)?.without_intake(),
                None => Config { lake: super::lake_options(&lake)?, ..Config::default() },
            };
            config.log_types.extend(log_types);
            redrive(config, &ids)
        }
    }
}

fn list(options: &LakeOptions, limit: usize, format: RowFormat) -> anyhow::Result<ExitCode> {
    let sql = format!(
        "select received_at, dead_id, log_type, stage, reason, byte_count, source, \
         source_partition, position from dead_letters order by received_at desc limit {limit}"
    );
    super::block_on(async {
        let rows = super::engine(options).await?.sql(&sql, Limits::default()).await?;
        let mut out = report::stdout();
        ::query::write(rows, Format::from(format), &mut out).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn uid(text: &str) -> anyhow::Result<Uid> {
    Uid::parse(text).with_context(|| format!("`{text}` is no dead_id: 32 hexadecimal digits"))
}

/// The bytes to standard output as they arrived (on a terminal with escapes); everything else to standard error.
fn show(options: &LakeOptions, id: &str) -> anyhow::Result<ExitCode> {
    let id = uid(id)?;
    let found = super::block_on(async {
        let at = LakeStore::open(options)?;
        let snapshot = Snapshot::read(&at.store, &at.root).await?;
        Ok(dead_letters::find(&at, &snapshot, id).await?)
    })?;
    let Some(StoredLetter { letter, redriven, .. }) = found else {
        bail!("there is no dead letter {id} in {}", options.url);
    };
    report::note(&format!(
        "{} of source {} ({}), position {}, received {}\n{}: {}{}\n",
        letter.log_type,
        letter.key.source,
        letter.key.partition,
        letter.at,
        letter.received_at,
        letter.stage.as_str(),
        letter.reason,
        if redriven { "\nwas given to the pipeline again" } else { "" },
    ));
    let mut out = report::stdout();
    out.write_all(&letter.bytes)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The source under which redriven records are accounted for; no configured source can have it.
const SOURCE: &str = "_redrive";

/// Gives dead letters to the pipeline again. That they were redriven is committed in the epoch that
/// holds what became of them, so that a crash can neither forget nor double one.
fn redrive(mut config: Config, ids: &[String]) -> anyhow::Result<ExitCode> {
    let only = ids.iter().map(|id| uid(id)).collect::<anyhow::Result<Vec<_>>>()?;
    let letters = super::block_on(wanted(&config.lake, &only))?;
    if letters.is_empty() {
        report::out("there is nothing to give to the pipeline again\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    config.lake.late_after_hours = super::ingest::HISTORY_HOURS;
    let plan = plan::plan(config)?;
    let source: Box<dyn Source> = Box::new(Redrive { letters });
    let extra = BTreeMap::from([(SOURCE.to_owned(), source)]);
    let outcome = super::block_on(run::run_with(plan, extra, Stop::Signals))?;
    report::out(&format!("{}\n", super::ingest::summary(&outcome)))?;
    Ok(ExitCode::SUCCESS)
}

/// The dead letters to redrive, oldest first. Their bytes are held in memory: at most this many.
const BYTES_MAX: usize = 256 << 20;

async fn wanted(options: &LakeOptions, only: &[Uid]) -> anyhow::Result<Vec<StoredLetter>> {
    let at = LakeStore::open(options)?;
    let snapshot = Snapshot::read(&at.store, &at.root).await?;
    let wanted = Wanted { redriven: Some(false), ..Wanted::default() };
    let (letters, bytes) = (Mutex::new(Vec::new()), Mutex::new(0));
    dead_letters::read(&at, &snapshot, &wanted, |stored| {
        if !only.is_empty() && !only.contains(&stored.id) {
            return ControlFlow::Continue(());
        }
        let mut bytes = bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *bytes += stored.letter.bytes.len();
        letters.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(stored);
        if *bytes > BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .await?;
    let mut letters = letters.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    letters.reverse();
    Ok(letters)
}

/// Emits dead letters, one batch each, because each has its own log type.
struct Redrive {
    letters: Vec<StoredLetter>,
}

#[async_trait]
impl Source for Redrive {
    fn is_finite(&self) -> bool {
        true
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let partition: Arc<str> = "dead_letters".into();
        let key = PartitionKey { source: SOURCE.into(), partition: Arc::clone(&partition) };
        let done = context.resume.get(&partition).map_or(0, |resume| resume.upto);
        let mut summary = Summary { opened: 1, ..Summary::default() };
        for (after, stored) in (done..).zip(self.letters) {
            let batch = batch(&key, after, stored.letter.log_type, stored.letter.bytes, stored.id);
            summary.records += 1;
            summary.bytes += batch.bytes.len() as u64;
            if context.emitter.send(batch).await.is_err() {
                break;
            }
        }
        Ok(summary)
    }
}

fn batch(key: &PartitionKey, after: u64, log_type: LogType, bytes: Bytes, id: Uid) -> Batch {
    // Positions are given anew by every redrive, from the letters that there are then.
    let name = Some(format!("dead_letter:{id}").into());
    let record = Record { range: 0..bytes.len(), at: after + 1, index: 0, header: None, name };
    Batch {
        span: Span { key: key.clone(), after, upto: after + 1, state: None },
        origin: None,
        log_type,
        records: vec![record],
        bytes,
        rejects: Vec::new(),
        redrives: vec![id],
        received_at: now(),
    }
}
