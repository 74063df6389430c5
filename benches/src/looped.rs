//! `loop`: the whole program as a process, from a file to the lake.

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
    let (mut one, mut two, mut against, mut speedup) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut peak_mib = 0.0_f64;
    for round in 0..args.rounds {
        let bound = bound::tape_and_zstd(lines)?.as_secs_f64();
        let single = ingest(args, &file, &dir.path().join(format!("one-{round}")), "0", 1)?;
        let double = ingest(args, &file, &dir.path().join(format!("two-{round}")), "0,1", 2)?;
        peak_mib = peak_mib.max(single.peak_mib).max(double.peak_mib);
        against.push(bound / single.seconds);
        speedup.push(single.seconds / double.seconds);
        one.push(lines.len() as f64 / single.seconds);
        two.push(lines.len() as f64 / double.seconds);
    }
    println!("one core                   {:>10.0} events/s", median(&mut one));
    println!("two cores                  {:>10.0} events/s", median(&mut two));
    println!("share of tape + zstd bound {:>10.1} %", 100.0 * median(&mut against));
    println!("two cores against one      {:>10.2} x", median(&mut speedup));
    println!("peak resident memory       {peak_mib:>10.0} MiB");
    Ok(())
}

struct Ran {
    seconds: f64,
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
        .args(["-c", processors, "/usr/bin/time", "-f", "%M"])
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
    let kib: f64 = said.lines().last().unwrap_or("").trim().parse()?;
    std::fs::remove_dir_all(lake)?;
    Ok(Ran { seconds, peak_mib: kib / 1024.0 })
}
