//! `mantissa lake verify|ls|show|du|compact|expire|erase|collect|forget-file|checkpoint`.

mod erase;
mod look;

use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;
use sink::lake::{Collected, Compacted, Expired, LakeOptions, LakeStore, Scope, Since, Upkeep};

use crate::cli::{LakeCommand, ReportFormat};
use crate::report;

pub fn run(command: LakeCommand) -> anyhow::Result<ExitCode> {
    match command {
        LakeCommand::Verify { lake, deep, since, full, format } => {
            let options = super::lake_options(&lake)?;
            // What lies still can be damaged as well: without a wish every byte is every byte.
            let begin = if full || deep { Since::Beginning } else { Since::Last };
            let since = since.as_deref().map_or(Ok(begin), earlier)?;
            let scope = Scope { deep, since, record: true };
            let found = super::block_on(async {
                Ok(sink::lake::verify(&LakeStore::open(&options)?, scope).await?)
            })?;
            say(format, &found, || format!("{found}\n"))?;
            Ok(if found.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        LakeCommand::Ls { lake, files, format, table } => {
            look::list(&super::lake_options(&lake)?, table.as_deref(), files, format)
        }
        LakeCommand::Show { lake, format, path } => {
            look::show(&super::lake_options(&lake)?, &path, format)
        }
        LakeCommand::Du { lake, format, table } => {
            look::usage(&super::lake_options(&lake)?, table.as_deref(), format)
        }
        LakeCommand::Compact { lake, all, format } => {
            compact(&super::lake_options(&lake)?, all, format)
        }
        LakeCommand::Expire { config, dry_run, format } => {
            expire(&crate::config::load(&config)?.lake, dry_run, format)
        }
        LakeCommand::Erase { lake, values, values_file, pseudonyms, reason, dry_run, format } => {
            let wish = erase::Wish { values, values_file, pseudonyms, reason };
            erase::run(&lake, wish, dry_run, format)
        }
        LakeCommand::Collect { lake, dry_run, keep_minutes, format } => {
            collect(&super::lake_options(&lake)?, dry_run, keep_minutes, format)
        }
        LakeCommand::ForgetFile { lake, format, paths } => {
            forget(&super::lake_options(&lake)?, &paths, format)
        }
        LakeCommand::Checkpoint { lake, format } => {
            checkpoint(&super::lake_options(&lake)?, format)
        }
    }
}

/// What `--since` names.
fn earlier(text: &str) -> anyhow::Result<Since> {
    Ok(match text.parse() {
        _ if text == "last" => Since::Last,
        Ok(epochs) => Since::Epochs(epochs),
        Err(_) => Since::Time(super::time("--since", text)?.micros()),
    })
}

fn say(
    format: ReportFormat,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    match format {
        ReportFormat::Json => report::data(&format!("{}\n", serde_json::to_string(value)?)),
        ReportFormat::Text => report::out(&text()),
    }
}

fn forget(
    options: &LakeOptions,
    paths: &[String],
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let forgotten =
        super::block_on(async { Ok(Upkeep::open(options).await?.forget(paths).await?) })?;
    say(format, &forgotten, || {
        let files = report::plural(forgotten.files, "file", "files");
        format!("{files} with {} rows known to be lost\n", report::count(forgotten.rows))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn checkpoint(options: &LakeOptions, format: ReportFormat) -> anyhow::Result<ExitCode> {
    let epochs = super::block_on(async { Ok(sink::lake::checkpoint(options, true).await?) })?;
    let value = serde_json::json!({ "epochs": epochs });
    say(format, &value, || format!("the checkpoint covers {} epochs\n", report::count(epochs)))?;
    Ok(ExitCode::SUCCESS)
}

fn compact(options: &LakeOptions, all: bool, format: ReportFormat) -> anyhow::Result<ExitCode> {
    let compaction = options.compaction.clone().unwrap_or_default();
    compaction.check()?;
    let done = super::block_on(async {
        Ok(Upkeep::open(options).await?.compact(&compaction, all).await?)
    })?;
    say(format, &done, || compacted(&done))?;
    Ok(if done.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn compacted(done: &Compacted) -> String {
    let mut text = if done.epochs == 0 {
        "nothing to compact\n".to_owned()
    } else {
        format!(
            "{} files of {} became {} of {}: {} rows\n",
            report::count(done.files_before),
            report::bytes(done.bytes_before),
            report::count(done.files_after),
            report::bytes(done.bytes_after),
            report::count(done.rows)
        )
    };
    for partition in &done.failed {
        text.push_str(&format!(
            "{partition} was left as it is, because a file there is damaged: `mantissa lake verify --deep` \
             names it\n"
        ));
    }
    text
}

fn expire(options: &LakeOptions, dry_run: bool, format: ReportFormat) -> anyhow::Result<ExitCode> {
    let Some(retention) = &options.retention else {
        bail!("the configuration has no `lake.retention`: everything is kept");
    };
    retention.check()?;
    let hours = options.dedup_hours;
    let expired = super::block_on(async {
        Ok(match dry_run {
            true => sink::lake::expirable(&LakeStore::open(options)?, retention, hours).await?,
            false => Upkeep::open(options).await?.expire(retention, hours).await?,
        })
    })?;
    say(format, &expired, || gone(&expired, dry_run))?;
    Ok(ExitCode::SUCCESS)
}

fn gone(expired: &Expired, dry_run: bool) -> String {
    let mut text = String::new();
    for (table, of) in &expired.tables {
        text.push_str(&format!(
            "{table:<24} {} - {}: {} rows because of their age, {} because of the lake's size\n",
            of.from,
            of.to,
            report::count(of.rows_by_age),
            report::count(of.rows_by_size)
        ));
    }
    text.push_str(&format!(
        "{} {} with {} rows, {}; `mantissa lake collect` makes the room free\n",
        if dry_run { "would take out" } else { "took out" },
        report::plural(expired.files, "file", "files"),
        report::count(expired.rows),
        report::bytes(expired.bytes)
    ));
    text
}

fn collect(
    options: &LakeOptions,
    dry_run: bool,
    keep_minutes: Option<u32>,
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let compaction = options.compaction.clone().unwrap_or_default();
    compaction.check()?;
    let keep_us = keep_minutes.map_or(compaction.keep_us(), |n| i64::from(n) * 60_000_000);
    let found =
        super::block_on(async { Ok(sink::lake::collect(options, keep_us, !dry_run).await?) })?;
    say(format, &found, || collected(&found, dry_run))?;
    Ok(ExitCode::SUCCESS)
}

fn collected(found: &Collected, dry_run: bool) -> String {
    let mut text = String::new();
    if dry_run {
        for path in found.replaced.iter().chain(&found.strays) {
            text.push_str(&format!("{path}\n"));
        }
    }
    text.push_str(&format!(
        "{} {} that were replaced or taken out and {} that no manifest names, {}; {} stay for questions that began before\n",
        if dry_run { "would remove" } else { "removed" },
        report::plural(found.replaced.len() as u64, "file", "files"),
        found.strays.len(),
        report::bytes(found.bytes),
        found.kept
    ));
    text
}
