//! How fast rules are evaluated, as a share of parsing alone:
//!
//! ```text
//! bench RULES EVENTS.ndjson LOGSOURCES.tsv [ROUNDS]
//! ```
//!
//! LOGSOURCES has one line an event: product, category, service. Every round runs each stage over
//! all events, one after the other, so that a busy machine slows all of them alike; the ratios are
//! medians over the rounds. Events are grouped by log source before, as streams are.

#![allow(clippy::print_stdout)] // a program: this is its output

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use detect::{Engine, Matcher, Placeholders, RuleSet};
use event::log_source::{LogSource, Tag};
use event::{Fields, FieldsBuilder, Parser, Slots};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Stream {
    fields: Fields,
    matcher: Matcher,
    events: Vec<Vec<u8>>,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [rules, events, table, rest @ ..] = args.as_slice() else {
        return Err("usage: bench RULES EVENTS.ndjson LOGSOURCES.tsv [ROUNDS]".into());
    };
    let rounds = rest.first().map_or(Ok(15), |n| n.parse::<usize>())?.max(1);
    let started = Instant::now();
    let (rules, problems) = RuleSet::load(rule_files(rules)?, &Placeholders::new());
    let loaded = started.elapsed();
    let mut streams = streams(&rules, events, table)?;
    let count: usize = streams.iter().map(|s| s.events.len()).sum();
    let bytes: usize = streams.iter().flat_map(|s| &s.events).map(Vec::len).sum();
    println!(
        "{} rules ({} diagnostics) loaded in {loaded:.0?}, {} streams bound in {:.0?}, resident {} MB",
        rules.rules().len(),
        problems.len(),
        streams.len(),
        started.elapsed() - loaded,
        resident_mb().unwrap_or(0)
    );
    println!("{count} events, {bytes} bytes, {rounds} rounds");
    let mut times = [const { Vec::new() }; 3];
    let mut matches = 0;
    for round in 0..=rounds {
        let mut parser = Parser::default();
        let mut slots = Slots::default();
        let mut hits = Vec::new();
        matches = 0;
        for (stage, times) in times.iter_mut().enumerate() {
            let started = Instant::now();
            for stream in &mut streams {
                for event in &stream.events {
                    let Ok(doc) = parser.json(event) else { continue };
                    if stage > 0 {
                        slots.fill(&stream.fields, &doc);
                    }
                    if stage > 1 {
                        stream.matcher.matches(&doc, &slots, &mut hits);
                        matches += hits.len();
                    }
                    black_box(&doc);
                }
            }
            if round > 0 {
                times.push(started.elapsed().as_secs_f64()); // round 0 warms up
            }
        }
    }
    println!("{matches} matches");
    let [bare, ..] = &times;
    for (name, stage) in ["parse", "parse + fill", "parse + fill + match"].iter().zip(&times) {
        let rate = count as f64 / median(stage.clone());
        let share = median(bare.iter().zip(stage).map(|(bare, t)| bare / t).collect());
        println!("{name:<22} {rate:>10.0} events/s  {:>5.1} % of the bare parse", share * 100.0);
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn streams(rules: &RuleSet, events: &str, table: &str) -> Result<Vec<Stream>> {
    let events = std::fs::read(events)?;
    let table = std::fs::read_to_string(table)?;
    let mut sources = table.lines();
    let mut by_source: HashMap<LogSource, Vec<Vec<u8>>> = HashMap::new();
    for line in events.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let mut columns = sources.next().unwrap_or_default().split('\t').map(Tag::parse);
        let mut next = || columns.next().unwrap_or_default();
        let source = LogSource { product: next(), category: next(), service: next() };
        by_source.entry(source).or_default().push(line.to_vec());
    }
    let stream = |(source, events)| {
        let mut builder = FieldsBuilder::default();
        let group = rules.bind(&source, &|_| Vec::new(), &mut builder, Engine::Fast);
        Stream { fields: builder.build(), matcher: group.matcher(), events }
    };
    Ok(by_source.into_iter().map(stream).collect())
}

fn resident_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn rule_files(root: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(root)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            found.push((path.display().to_string(), std::fs::read_to_string(Path::new(&path))?));
        }
    }
    found.sort();
    Ok(found)
}
