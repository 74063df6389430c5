//! `match`: the way of an event inside one worker, without the lake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use detect::Engine;
use event::{LogType, Parser, PartitionKey, Timestamp};
use mantissa::pipeline::{Detection, Origin, Stream};
use mantissa::plan;

use crate::{Args, bound, median, rules};

pub fn run(args: &Args, lines: &[String]) -> anyhow::Result<()> {
    let rules = plan::rules(&rules(args))?.rules;
    let detection =
        Detection { catalog: Arc::new(plan::catalog(&[])?), rules: Arc::new(rules), generation: 0 };
    let log_type = LogType::from(args.log_type.as_str());
    let compiled =
        detection.compile(&log_type, Engine::Fast).context("there is no such log type")?;
    println!(
        "{} rules loaded, {} apply",
        detection.rules.rules().len(),
        compiled.group.rules().len()
    );
    let mut stream = Stream::new(compiled);
    let (mut whole, mut bare) = (Vec::new(), Vec::new());
    let mut ratios = Vec::new();
    for _ in 0..args.rounds {
        let tape = bound::tape(lines);
        let (taken, hits) = take_all(&mut stream, lines)?;
        whole.push(lines.len() as f64 / taken.as_secs_f64());
        bare.push(lines.len() as f64 / tape.as_secs_f64());
        ratios.push(tape.as_secs_f64() / taken.as_secs_f64());
        std::hint::black_box(hits);
    }
    println!("bare tape            {:>10.0} events/s", median(&mut bare));
    let bytes = lines.iter().map(String::len).sum::<usize>() as f64 / lines.len() as f64;
    let rate = median(&mut whole);
    println!("parse + map + match  {rate:>10.0} events/s, {:.0} MB/s", rate * bytes / 1e6);
    println!("share of bare tape   {:>10.1} %", 100.0 * median(&mut ratios));
    Ok(())
}

fn take_all(stream: &mut Stream, lines: &[String]) -> anyhow::Result<(Duration, usize)> {
    let key = PartitionKey { source: "bench".into(), partition: "0".into() };
    let mut parser = Parser::default();
    let mut hits = 0;
    let start = Instant::now();
    for (at, line) in lines.iter().enumerate() {
        let origin = Origin {
            key: &key,
            at: at as u64,
            index: 0,
            name: None,
            now: Timestamp(1_800_000_000_000_000_000),
            late_after_ns: i64::MAX,
        };
        stream
            .take(&mut parser, line.as_bytes(), None, &origin, &mut |_| false)
            .map_err(|r| anyhow::anyhow!("a generated event was refused: {}", r.reason))?;
        hits += stream.hits.len();
        if stream.rows.len() == 10_000 {
            // An epoch's rows leave the worker whole and come back empty.
            stream.rows.clear();
        }
    }
    let elapsed = start.elapsed();
    stream.rows.clear();
    Ok((elapsed, hits))
}
