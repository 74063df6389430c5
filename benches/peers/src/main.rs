//! Our rule engine and those of others on the same rules and events: how fast, and where they differ.
//!
//! ```text
//! benches-peers --rules DIR --events FILE --logsource-tsv FILE [--rounds N] [--differences FILE]
//! benches-peers --cases DIR
//! ```
//!
//! The table has one line an event: product, category, service. Every engine is told the log source of
//! every event, in the way that is fastest for it. Times hold the reading of the JSON. Correlations are
//! not evaluated. Must not become part of the program: nothing else depends on the engines of others.

mod cases;
mod compare;
mod engines;
mod lane;
mod measure;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;

use lane::Lane;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Args {
    /// Folder of Sigma rules.
    #[arg(long, required_unless_present = "cases", requires = "events")]
    rules: Option<PathBuf>,
    /// One JSON event a line.
    #[arg(long, requires = "logsource_tsv")]
    events: Option<PathBuf>,
    /// Product, category and service of each event; `none` is known to have none, empty is unknown.
    #[arg(long)]
    logsource_tsv: Option<PathBuf>,
    /// Folder of cases, to tell where others read the specification differently.
    #[arg(long, conflicts_with = "rules")]
    cases: Option<PathBuf>,
    /// Rounds over all events; the median of their ratios counts. 0 only compares.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// How long one engine may work in one round; a slower one is given a part of the events, another
    /// part each round, and compared with us on that part.
    #[arg(long, default_value_t = 3.0)]
    seconds_max: f64,
    /// Where every difference goes: line (from 0), rule, title, who matches, who does not.
    #[arg(long)]
    differences: Option<PathBuf>,
    /// A rule for a wide category (`registry_event`) applies to events of its narrow ones
    /// (`registry_set`) as well, which the other engines do not do.
    #[arg(long)]
    category_hierarchy: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match (&args.cases, &args.rules, &args.events, &args.logsource_tsv) {
        (Some(folder), ..) => cases::run(folder),
        (None, Some(rules), Some(events), Some(table)) => lanes(&args, rules, events, table),
        _ => bail!("give --rules, --events and --logsource-tsv"),
    }
}

fn lanes(args: &Args, rules: &Path, events: &Path, table: &Path) -> anyhow::Result<()> {
    let files = rule_files(rules)?;
    let lane = Lane::read(events, table)?;
    ensure!(lane.events > 0, "there is no event in {}", events.display());
    println!(
        "{} rule files; {} events of {:.0} bytes from {} log sources",
        files.len(),
        lane.events,
        lane.bytes as f64 / lane.events as f64,
        lane.sources.len(),
    );
    let mut engines = engines::load(&files, &lane.sources, args.category_hierarchy);
    let seconds = compare::run(&lane, &mut engines, args.differences.as_deref())?;
    if args.rounds > 0 {
        let plan = measure::Plan { rounds: args.rounds, seconds_max: args.seconds_max };
        measure::run(&lane, &mut engines, &seconds, &plan);
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
