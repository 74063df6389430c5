//! The benchmarks behind every published number. All figures are ratios to a bound that is measured in
//! the same run, in interleaved rounds, because machines are noisy; medians are printed.
//!
//! - `match`: parse + fields + columns + all rules on one thread, against the bare simd-json tape of
//!   the same bytes.
//! - `loop`: `mantissa ingest` as a process, file to lake and alerts, one worker and all processors, against
//!   tape parse + zstd-3 of the same bytes on one thread; with the peak resident memory.
//! - `backtest`: rules over a lake, one worker, against decoding the columns that they read, on one thread.

mod backtested;
mod bound;
mod looped;
mod matched;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use event::Timestamp;
use generate::{Load, Log, Mix};
use mantissa::config::RulesConfig;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Args {
    #[arg(value_enum)]
    what: What,
    /// Log type of the generated load.
    #[arg(long, default_value = "aws.cloudtrail")]
    log_type: String,
    /// Events of load.
    #[arg(long, default_value_t = 100_000)]
    events: usize,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Folder of rules; default the program's own.
    #[arg(long)]
    rules: Option<std::path::PathBuf>,
    /// For `loop`: the program to measure.
    #[arg(long, default_value = "target/demo/mantissa")]
    program: std::path::PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Match,
    Loop,
    Backtest,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let lines = load(&args.log_type, args.events)?;
    let bytes: usize = lines.iter().map(String::len).sum();
    println!(
        "{}: {} events, {:.1} MB, {:.0} B/event",
        args.log_type,
        lines.len(),
        bytes as f64 / 1e6,
        bytes as f64 / lines.len() as f64
    );
    match args.what {
        What::Match => matched::run(&args, &lines),
        What::Loop => looped::run(&args, &lines),
        What::Backtest => backtested::run(&args, &lines),
    }
}

/// Time of the first event.
const START: Timestamp = Timestamp(1_790_000_000_000_000_000);

/// The rules to run.
fn rules(args: &Args) -> RulesConfig {
    match &args.rules {
        None => RulesConfig::default(),
        Some(path) => {
            RulesConfig { builtin: false, paths: vec![path.clone()], ..RulesConfig::default() }
        }
    }
}

/// Generated load of one log type; the same every time.
fn load(log_type: &str, events: usize) -> anyhow::Result<Vec<String>> {
    let log = Log::parse(log_type).with_context(|| format!("there is no load of {log_type}"))?;
    let mut load = Load::new(1, START, 1_000, Mix::only(log));
    Ok((0..events).map(|_| next(&mut load)).collect())
}

fn next(load: &mut Load) -> String {
    let mut line = String::new();
    load.next_into(&mut line);
    line
}

/// The median; `values` is not empty.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
