//! What each command does, one file each.

mod alerts;
mod backfill;
mod backtest;
mod check;
mod coverage;
mod deadletters;
mod demo;
mod detect_type;
mod generate;
mod ingest;
mod lake;
mod normalize;
mod query;
mod replay;
mod rules;
mod run;
mod sources;
mod tap;

use std::future::Future;
use std::process::ExitCode;

use ::normalize::{Catalog, columns};
use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, NaiveTime};
use event::Timestamp;
use sink::lake::{LakeOptions, LakeStore};

use crate::cli::{Command, LakeArgs};
use crate::config;

/// Runs a command; its exit code says whether what was asked holds.
pub fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Schema { of } => check::schema(of),
        Command::Ingest(args) => ingest::run(args),
        Command::Normalize(args) => normalize::run(&args),
        Command::DetectType(args) => detect_type::run(&args),
        Command::Rules(args) => rules::run(args),
        Command::Query(args) => query::run(&args),
        Command::Backfill(args) => backfill::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Coverage(args) => coverage::run(&args),
        Command::Sources(args) => sources::run(&args),
        Command::Lake(args) => lake::run(args),
        Command::Deadletters(args) => deadletters::run(args),
        Command::Alerts(args) => alerts::run(args),
        Command::Tap(args) => tap::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}

/// Runs async work to its end on a runtime of its own.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?
        .block_on(work)
}

/// The lake of a command, opened for questions.
async fn engine(options: &LakeOptions) -> anyhow::Result<::query::Engine> {
    let store = LakeStore::open(options)?;
    let catalog = Catalog::builtin();
    let tables = catalog.names().filter_map(|name| catalog.get(name));
    let vocabulary = ::query::Vocabulary {
        common: columns::COMMON.iter().map(columns::Common::def).collect(),
        tables: tables.map(|mapping| mapping.schema().as_ref().clone()).collect(),
    };
    let options = ::query::Options::default();
    Ok(::query::Engine::open(store.store, store.root, &vocabulary, &options).await?)
}

/// `2026-03-17`, midnight UTC, or RFC 3339.
fn time(option: &str, text: &str) -> anyhow::Result<Timestamp> {
    let at = match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(date) => date.and_time(NaiveTime::MIN).and_utc(),
        Err(_) => DateTime::parse_from_rfc3339(text)
            .with_context(|| {
                format!("{option} {text}: a date, or a time like 2026-03-17T09:30:00Z, is meant")
            })?
            .to_utc(),
    };
    let ns = at.timestamp_nanos_opt().with_context(|| format!("{option} is too far away"))?;
    Ok(Timestamp(ns))
}

/// The lake that a command names, by URL or through a configuration file.
fn lake_options(args: &LakeArgs) -> anyhow::Result<LakeOptions> {
    match &args.config {
        Some(path) => Ok(config::load(path)?.lake),
        None => Ok(LakeOptions { url: args.lake.clone(), ..LakeOptions::default() }),
    }
}
