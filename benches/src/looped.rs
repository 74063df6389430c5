//! `loop`: the whole program as a process, from a file to the lake.
//!
//! The share per core is of processor time, user and system together, which other work on the machine
//! hardly changes; what two cores gain can only be seen on the clock, and needs a machine that is idle.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::{Args, bound, median};

pub fn run(args: &Args, lines: &[String]) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("load");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&file)?);
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    let (mut one, mut two, mut used) = (Vec::new(), Vec::new(), Vec::new());
    let (mut against, mut on_the_clock, mut speedup) = (Vec::new(), Vec::new(), Vec::new());
    let mut peak_mib = 0.0_f64;
    for round in 0..args.rounds {
        let bound = bound::tape_and_zstd(lines)?.as_secs_f64();
        let single = ingest(args, &file, &dir.path().join(format!("one-{round}")), "0", 1)?;
        let double = ingest(args, &file, &dir.path().join(format!("two-{round}")), "0,1", 2)?;
        peak_mib = peak_mib.max(single.peak_mib).max(double.peak_mib);
        against.push(bound / single.processor_seconds);
        on_the_clock.push(bound / single.seconds);
        used.push(single.processor_seconds * 1e6 / lines.len() as f64);
        speedup.push(single.seconds / double.seconds);
        one.push(lines.len() as f64 / single.seconds);
        two.push(lines.len() as f64 / double.seconds);
    }
    println!("one core                   {:>10.0} events/s", median(&mut one));
    println!("two cores                  {:>10.0} events/s", median(&mut two));
    println!("processor time per event   {:>10.1} us", median(&mut used));
    println!(
        "share of tape + zstd bound {:>10.1} % of processor time",
        100.0 * median(&mut against)
    );
    println!(
        "                           {:>10.1} % on the clock",
        100.0 * median(&mut on_the_clock)
    );
    println!("two cores against one      {:>10.2} x", median(&mut speedup));
    println!("peak resident memory       {peak_mib:>10.0} MiB");
    Ok(())
}

struct Ran {
    seconds: f64,
    processor_seconds: f64,
    peak_mib: f64,
}

/// One run into a lake of its own, on the given processors, from start to exit.
fn ingest(
    args: &Args,
    file: &Path,
    lake: &Path,
    processors: &str,
    workers: usize,
) -> anyhow::Result<Ran> {
    let start = Instant::now();
    let out = Command::new("taskset")
        .args(["-c", processors, "/usr/bin/time", "-f", "%M %U %S"])
        .arg(&args.program)
        .args(["ingest", "--log-type", &args.log_type, "--workers", &workers.to_string()])
        .args(args.rules.iter().flat_map(|r| ["--rules".into(), r.as_os_str().to_owned()]))
        .arg("--lake")
        .arg(lake)
        .arg(file)
        .stdout(Stdio::null())
        .output()
        .context("taskset and GNU time are needed: apt-get install util-linux time")?;
    let seconds = start.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(out.status.success(), "ingest failed: {said}");
    let figures = said.lines().last().unwrap_or("").split(' ').map(str::parse);
    let [kib, user, system] = figures.collect::<Result<Vec<f64>, _>>()?[..] else {
        anyhow::bail!("time printed `{said}`");
    };
    std::fs::remove_dir_all(lake)?;
    Ok(Ran { seconds, processor_seconds: user + system, peak_mib: kib / 1024.0 })
}
