//! How fast rules are evaluated on any NDJSON: every figure is a share of the bare simd-json tape of the
//! same bytes, measured in the same interleaved run, because machines are noisy.
//!
//! ```text
//! benches-sigma --rules DIR --events FILE --logsource-tsv FILE [--rounds N]
//! ```
//!
//! The table has one line an event: product, category, service. Events are grouped by log source before,
//! as streams are, and cut into slices; all stages run over one slice before the next, so that what
//! disturbs the machine disturbs all of them. Must not measure anything but rules: columns and the lake
//! are in the package `benches`.

mod lane;
mod measure;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Parser;
use detect::{Placeholders, RuleSet};

use lane::Lane;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Args {
    /// Folder of Sigma rules.
    #[arg(long)]
    rules: PathBuf,
    /// One JSON event a line.
    #[arg(long)]
    events: PathBuf,
    /// Product, category and service of each event; `none` is known to have none, empty is unknown.
    #[arg(long)]
    logsource_tsv: PathBuf,
    /// Rounds over all events; the median of their ratios counts.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// Run the stages of this name only, once, without timing: for a profiler.
    #[arg(long)]
    profile: Option<measure::Stage>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let files = rule_files(&args.rules)?;
    let before = resident_mib();
    let start = Instant::now();
    let (rules, problems) = RuleSet::load(files, &Placeholders::new());
    let loaded = start.elapsed();
    let sources = lane::sources(&args.logsource_tsv)?;
    let start = Instant::now();
    let bound = lane::bind(&rules, &sources);
    let compiled = start.elapsed();
    let grown = resident_mib().zip(before).map(|(now, before)| now - before);
    println!(
        "{} rules ({} refused or warned of): load {loaded:.0?}, compile for {} log sources {compiled:.0?}",
        rules.rules().len(),
        problems.len(),
        bound.len(),
    );
    if let Some(grown) = grown {
        println!("resident for rules     {grown:>8.1} MiB");
    }
    let lane = Lane::read(&args.events, &sources, bound, &rules)?;
    ensure!(!lane.slices.is_empty(), "there is no event in {}", args.events.display());
    println!("{} events of {:.0} bytes", lane.events, lane.bytes as f64 / lane.events as f64);
    match args.profile {
        Some(stage) => measure::once(&lane, stage),
        None => measure::run(&lane, args.rounds.max(1)),
    }
    Ok(())
}

/// Every rule file under a folder: path and text.
fn rule_files(root: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).with_context(|| path.display().to_string())? {
                open.push(entry?.path());
            }
        } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            let text =
                std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            found.push((path.display().to_string(), text));
        }
    }
    found.sort();
    Ok(found)
}

/// Of this process; `None` where the system does not tell.
fn resident_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}
