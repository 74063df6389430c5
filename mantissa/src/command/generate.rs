//! `mantissa generate`: a day of a made-up company with its truth, or load of any size.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chrono::{Days, NaiveDate, Utc};
use event::Timestamp;
use generate::{Company, Load, Log, Mix, Truth, Writers};

use crate::cli::Generate;
use crate::report;

/// Events of a load are this far apart in their own time.
const LOAD_PER_SECOND: u32 = 1_000;

pub fn run(args: &Generate) -> anyhow::Result<ExitCode> {
    let start = start(args.start.as_deref())?;
    match args.events {
        Some(events) => load(args, start, events),
        None if args.log_type.is_some() => bail!("--log-type needs --events: a day has them all"),
        None => {
            let truth = day(Path::new(&args.out), args.seed, start)?;
            for (log, events) in &truth.events {
                let file = Path::new(&args.out).join(file_name(*log));
                let events = report::plural(*events, "event", "events");
                report::out(&format!("{}: {events}\n", file.display()))?;
            }
            let truth = Path::new(&args.out).join(TRUTH);
            report::out(&format!("{}: what is hidden in them\n", truth.display()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

const TRUTH: &str = "truth.json";

/// The file of a log type in a generated folder.
pub fn file_name(log: Log) -> String {
    let ending = if log.header().is_some() { "log" } else { "ndjson" };
    format!("{log}.{ending}")
}

/// Midnight UTC of a date; yesterday without one.
fn start(date: Option<&str>) -> anyhow::Result<Timestamp> {
    let date = match date {
        None => Utc::now().date_naive().checked_sub_days(Days::new(1)).context("no yesterday")?,
        Some(text) => NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .with_context(|| format!("--start {text}: a date like 2026-03-17 is meant"))?,
    };
    let seconds = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
    let ns = seconds.checked_mul(1_000_000_000).context("--start is too far away")?;
    Ok(Timestamp(ns))
}

/// Writes a day's logs and its truth into a folder.
pub fn day(folder: &Path, seed: u64, start: Timestamp) -> anyhow::Result<Truth> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let company = Company::new(seed);
    let mut day = company.day(start);
    let mut writers =
        Writers::new(|log| File::create(folder.join(file_name(log))).map(BufWriter::new));
    let mut line = String::new();
    while let Some((log, _)) = day.next_into(&mut line) {
        writers.line(log, &line)?;
    }
    for (_, mut output) in writers.into_outputs() {
        output.flush()?;
    }
    let truth = serde_json::to_string_pretty(&day.truth)?;
    std::fs::write(folder.join(TRUTH), truth)?;
    Ok(day.truth)
}

/// Writes load to a folder, or to standard output when the folder is `-`.
fn load(args: &Generate, start: Timestamp, events: u64) -> anyhow::Result<ExitCode> {
    let mix = match args.log_type.as_deref() {
        None => Mix::default(),
        Some(name) => Mix::only(Log::parse(name).with_context(|| {
            let known: Vec<_> = Log::ALL.iter().map(|log| log.as_str()).collect();
            format!("there is no load of `{name}`; there is of {}", known.join(", "))
        })?),
    };
    let mut load = Load::new(args.seed, start, LOAD_PER_SECOND, mix);
    let folder = Path::new(&args.out);
    let to_stdout = args.out == "-";
    if !to_stdout {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    let mut writers = Writers::new(|log| -> io::Result<Box<dyn io::Write>> {
        Ok(if to_stdout {
            Box::new(BufWriter::new(io::stdout()))
        } else {
            Box::new(BufWriter::new(File::create(folder.join(file_name(log)))?))
        })
    });
    let mut line = String::new();
    let mut left = if events == 0 { u64::MAX } else { events };
    while left > 0 {
        let log = load.next_into(&mut line);
        writers.line(log, &line)?;
        left -= 1;
    }
    for (_, mut output) in writers.into_outputs() {
        output.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}
