//! `backtest`: rules over a lake, against decoding the very columns that they read, on one thread.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use clap::Parser as _;
use mantissa::backtest::Question;
use mantissa::config::CorrelationConfig;
use mantissa::pipeline::Detection;
use mantissa::{cli::Cli, command, plan};
use sink::lake::{FileKind, LakeOptions, LakeStore, Snapshot, records};

use crate::{Args, START, median, rules};

pub fn run(args: &Args, lines: &[String]) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let lake = dir.path().join("lake");
    fill(args, lines, dir.path(), &lake)?;
    let options = LakeOptions { url: text(&lake), ..LakeOptions::default() };
    let store = LakeStore::open(&options)?;
    let rules = Arc::new(plan::rules(&rules(args))?.rules);
    println!("{} rules", rules.rules().len());
    let catalog = Arc::new(plan::catalog(&[])?);
    let question = |out: String, glances| Question {
        store: store.clone(),
        detection: Detection { catalog: catalog.clone(), rules: rules.clone(), generation: 0 },
        correlation: CorrelationConfig::default(),
        from: START,
        to: event::Timestamp(i64::MAX / 4),
        log_types: vec![args.log_type.clone()],
        workers: 1,
        glances,
        folder: dir.path().join(out),
        identity: String::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    let (mut bare, mut found, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let (mut shares, mut shares_whole) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let began = Instant::now();
        let (events, bytes) = runtime.block_on(decode(&store))?;
        let decoded = began.elapsed().as_secs_f64();
        ensure!(events == lines.len() as u64, "{events} events in the lake");
        std::hint::black_box(bytes);
        let mut rates = Vec::new();
        for glances in [true, false] {
            let question = question(format!("{round}-{glances}"), glances);
            let began = Instant::now();
            let (report, _) = runtime.block_on(question.run())?;
            let took = began.elapsed().as_secs_f64();
            ensure!(report.events == events, "{} events looked at", report.events);
            if round == 0 && glances {
                println!("{} alerts, {} events glanced at", report.alerts, report.glanced);
            }
            rates.push(took);
        }
        bare.push(events as f64 / decoded);
        found.push(events as f64 / rates[0]);
        whole.push(events as f64 / rates[1]);
        shares.push(decoded / rates[0]);
        shares_whole.push(decoded / rates[1]);
    }
    println!("decode               {:>10.0} events/s", median(&mut bare));
    println!("backtest             {:>10.0} events/s", median(&mut found));
    println!("share of decode      {:>10.1} %", 100.0 * median(&mut shares));
    println!("--no-prune           {:>10.0} events/s", median(&mut whole));
    println!("share of decode      {:>10.1} %", 100.0 * median(&mut shares_whole));
    Ok(())
}

/// The load in a lake, as upkeep leaves it.
fn fill(args: &Args, lines: &[String], dir: &Path, lake: &Path) -> anyhow::Result<()> {
    let file = dir.join("load");
    std::fs::write(&file, lines.join("\n"))?;
    let (file, lake) = (text(&file), text(lake));
    let ingest = ["ingest", "--no-builtin-rules", "--log-type", &args.log_type, "--lake", &lake];
    dispatch(&[&ingest[..], &[&file]].concat())?;
    dispatch(&["lake", "compact", "--all", "--lake", &lake])
}

fn dispatch(args: &[&str]) -> anyhow::Result<()> {
    let cli = Cli::try_parse_from([&["mantissa"], args].concat())?;
    command::dispatch(cli.command)?;
    Ok(())
}

/// Reads what a backtest reads of every event: how many there are, and the bytes of their records.
async fn decode(store: &LakeStore) -> anyhow::Result<(u64, usize)> {
    let snapshot = Snapshot::read(&store.store, &store.root).await?;
    let (mut events, mut bytes) = (0, 0);
    for live in snapshot.files.iter().filter(|live| live.file.kind == FileKind::Events) {
        records::read(store, live, |record| {
            events += 1;
            bytes += record.raw.len();
        })
        .await?;
    }
    Ok((events, bytes))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
