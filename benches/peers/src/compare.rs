//! Which engine matches which rule on which event.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;

use crate::engines::Running;
use crate::lane::Lane;

/// A bit for each engine, in their order.
type Who = u32;

/// Line and rule of every match of anybody, and whose it is.
type Matches = BTreeMap<(usize, String), Who>;

/// Evaluates every event with every engine, prints where they differ, and returns how many seconds each
/// engine took for all events.
pub fn run(
    lane: &Lane,
    engines: &mut [Running],
    differences: Option<&Path>,
) -> anyhow::Result<Vec<f64>> {
    let (mut matches, mut seconds) = (Matches::new(), Vec::new());
    for (at, running) in engines.iter_mut().enumerate() {
        let (start, mut unread) = (Instant::now(), Vec::new());
        for slice in &lane.slices {
            for event in &slice.events {
                match running.engine.found(slice.source, &event.bytes) {
                    Some(found) => found.into_iter().for_each(|rule| {
                        *matches.entry((event.line, rule)).or_default() |= 1 << at;
                    }),
                    None => unread.push(event.line),
                }
            }
        }
        seconds.push(start.elapsed().as_secs_f64());
        if let Some(first) = unread.first() {
            let name = running.engine.name();
            println!("{name} cannot read {} events, the first in line {first}", unread.len());
        }
    }
    let all = (1 << engines.len()) - 1;
    let differ: Vec<_> = matches.iter().filter(|(_, who)| **who != all).collect();
    println!("\n{} matches of anybody, {} not of all engines", matches.len(), differ.len());
    for (at, running) in engines.iter().enumerate() {
        let of = |bit: u32| matches.values().filter(move |who| **who & (1 << at) == bit << at);
        let less = of(0).filter(|who| **who & 1 != 0).count();
        let more = of(1).filter(|who| **who & 1 == 0).count();
        let name = running.engine.name();
        println!("{name:<16} {:>6} matches: {less} of ours not, {more} more", of(1).count());
    }
    summarize(&differ, engines);
    match differences {
        Some(path) => write(path, &differ, engines).with_context(|| path.display().to_string()),
        None => Ok(()),
    }?;
    Ok(seconds)
}

fn names(engines: &[Running], who: Who) -> String {
    let of = engines.iter().enumerate().filter(|(at, _)| who & (1 << at) != 0);
    let names: Vec<_> = of.map(|(_, running)| running.engine.name()).collect();
    names.join(", ")
}

fn title<'a>(engines: &'a [Running], rule: &str) -> &'a str {
    engines.iter().find_map(|r| r.loaded.titles.get(rule)).map_or("", String::as_str)
}

/// One line for each rule and those who match it, with how often and where first.
fn summarize(differ: &[(&(usize, String), &Who)], engines: &[Running]) {
    let mut by_rule: BTreeMap<(&str, Who), (usize, usize)> = BTreeMap::new();
    for ((line, rule), who) in differ {
        by_rule.entry((rule, **who)).or_insert((*line, 0)).1 += 1;
    }
    for ((rule, who), (line, times)) in by_rule {
        println!(
            "differ: {times} x {rule} ({}), first in line {line}: only {}",
            title(engines, rule),
            names(engines, who),
        );
    }
}

fn write(
    path: &Path,
    differ: &[(&(usize, String), &Who)],
    engines: &[Running],
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    let all = (1 << engines.len()) - 1;
    for ((line, rule), who) in differ {
        let (title, with) = (title(engines, rule), names(engines, **who));
        writeln!(out, "{line}\t{rule}\t{title}\t{with}\t{}", names(engines, all & !**who))?;
    }
    Ok(out.flush()?)
}
