//! `mantissa run`.

use std::process::ExitCode;

use crate::cli::Run;
use crate::run::{self, Stop};
use crate::{config, plan, report};

/// Runs a configuration until its sources end or the process is asked to stop.
pub fn run(args: &Run) -> anyhow::Result<ExitCode> {
    let mut plan = plan::plan(config::load(&args.file.config)?)?;
    for note in &plan.notes {
        report::note(&format!("warning: {note}\n"));
    }
    anyhow::ensure!(!plan.sources.is_empty(), "no source is configured: nothing to run");
    if args.until_end {
        for (name, source) in &mut plan.sources {
            if let Some(kafka) = &mut source.kafka {
                kafka.until_end = true;
            }
            let finite = source.build(name)?.is_finite();
            anyhow::ensure!(finite, "--until-end: the source `{name}` has no end");
        }
    }
    plan.tells_health = true;
    plan.backfills = Some(plan.sources.clone());
    let outcome = super::block_on(run::run(plan, Stop::Signals))?;
    report::note(&format!("\n{}\n", super::ingest::summary(&outcome)));
    Ok(ExitCode::SUCCESS)
}
