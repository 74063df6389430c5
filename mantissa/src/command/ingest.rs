//! `mantissa ingest`: the same pipeline without a configuration file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use ::ingest::{FileOptions, ReadMode, SourceConfig, StdinOptions};
use anyhow::bail;
use sink::destinations::{DestinationConfig, FileOptions as AlertFileOptions};

use crate::cli::Ingest;
use crate::config::{Config, RulesConfig};
use crate::report::{bytes, count, plural};
use crate::run::{self, Outcome, Stop};
use crate::{plan, report};

/// Reads everything to its end and says what became of it.
pub fn run(args: Ingest) -> anyhow::Result<ExitCode> {
    let json = args.json;
    let plan = plan::plan(config(args)?)?;
    for note in &plan.notes {
        report::note(&format!("warning: {note}\n"));
    }
    let outcome = super::block_on(run::run(plan, Stop::Signals))?;
    match json {
        true => report::data(&format!("{}\n", serde_json::to_string(&outcome)?))?,
        false => report::out(&format!("{}\n", summary(&outcome)))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration that the arguments stand for.
fn config(args: Ingest) -> anyhow::Result<Config> {
    let (stdin, files): (Vec<_>, Vec<_>) = args.files.into_iter().partition(|f| f == "-");
    if stdin.len() > 1 {
        bail!("standard input (`-`) can be read only once");
    }
    let mut sources = BTreeMap::new();
    if !files.is_empty() {
        sources.insert("files".to_owned(), files_source(&args.log_type, files));
    }
    if !stdin.is_empty() {
        sources.insert("stdin".to_owned(), stdin_source(&args.log_type));
    }
    let mut destinations = BTreeMap::new();
    if let Some(path) = args.alerts {
        destinations.insert("alerts".to_owned(), alerts_file(path));
    }
    let mut config = Config {
        workers: args.workers,
        log_types: args.log_types,
        rules: RulesConfig {
            builtin: !args.no_builtin_rules,
            paths: args.rules,
            ..RulesConfig::default()
        },
        sources,
        destinations,
        ..Config::default()
    };
    config.lake.url = args.lake;
    // What a person gives by hand is usually old, and belongs where its time says.
    config.lake.late_after_hours = HISTORY_HOURS;
    Ok(config)
}

/// Files that are read once.
pub fn files_source(log_type: &str, paths: Vec<String>) -> SourceConfig {
    let file = FileOptions { paths, read: ReadMode::Once, ..FileOptions::default() };
    SourceConfig { log_type: log_type.to_owned(), file: Some(file), ..SourceConfig::default() }
}

fn stdin_source(log_type: &str) -> SourceConfig {
    let stdin = Some(StdinOptions::default());
    SourceConfig { log_type: log_type.to_owned(), stdin, ..SourceConfig::default() }
}

/// A file that alerts are appended to.
pub fn alerts_file(path: PathBuf) -> DestinationConfig {
    DestinationConfig { file: Some(AlertFileOptions { path }), ..DestinationConfig::default() }
}

/// Ten years.
pub const HISTORY_HOURS: u32 = 10 * 366 * 24;

/// What became of the records, in sentences.
pub fn summary(outcome: &Outcome) -> String {
    let t = &outcome.tally;
    let mut lines = vec![format!(
        "{} received: {} stored, {} duplicates, {} dead letters{}",
        plural(t.received, "record", "records"),
        count(t.stored),
        count(t.duplicates),
        count(t.dead),
        if t.dropped > 0 {
            format!(", {} dropped by policy", count(t.dropped))
        } else {
            String::new()
        },
    )];
    if t.epochs > 0 {
        lines.push(format!(
            "{} in {}, {} on disk",
            plural(t.epochs, "epoch", "epochs"),
            plural(t.files, "file", "files"),
            bytes(t.lake_bytes)
        ));
    }
    for (reason, n) in &t.dead_by_reason {
        lines.push(format!("  dead: {} × {reason}", count(*n)));
    }
    lines.push(plural(t.alerts, "alert", "alerts"));
    for (rule, n) in &t.alerts_by_rule {
        lines.push(format!("  {} × {rule}", count(*n)));
    }
    for name in &outcome.read_before {
        lines.push(format!("{name} was already read to its end: nothing new in it"));
    }
    lines.join("\n")
}
