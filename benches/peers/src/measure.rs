//! How fast, in interleaved rounds: all engines run over one slice before the next, so that what
//! disturbs the machine disturbs all of them, and only ratios count. Times are of the processor.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

use crate::engines::{Engine, Running};
use crate::lane::{Lane, Slice};

pub struct Plan {
    pub rounds: usize,
    /// How long one engine may work in one round.
    pub seconds_max: f64,
}

/// Seconds of an engine for some slices of a round.
#[derive(Clone, Copy, Default)]
struct Times {
    parse: f64,
    whole: f64,
    /// Ours for the same slices.
    ours: f64,
    events: usize,
}

/// What is known of an engine.
struct Measured {
    /// It is given every n-th slice of a round.
    stride: usize,
    rounds: Vec<Times>,
    /// The shortest time for each slice.
    best: Vec<f64>,
}

/// `seconds` is what each engine took for all events before.
pub fn run(lane: &Lane, engines: &mut [Running], seconds: &[f64], plan: &Plan) {
    let new = |seconds: &f64| Measured {
        stride: (seconds / plan.seconds_max).ceil().max(1.0) as usize,
        rounds: Vec::new(),
        best: vec![f64::INFINITY; lane.slices.len()],
    };
    let mut measured: Vec<Measured> = seconds.iter().map(new).collect();
    measured[0].stride = 1; // ours, to which every slice of another engine is compared
    for round in 0..plan.rounds {
        for measured in &mut measured {
            measured.rounds.push(Times::default());
        }
        for (at, slice) in lane.slices.iter().enumerate() {
            let mut ours = 0.0;
            for (running, measured) in engines.iter_mut().zip(&mut measured) {
                if !(at + round).is_multiple_of(measured.stride) {
                    continue;
                }
                let (parse, whole) = time(running.engine.as_mut(), slice);
                if ours == 0.0 {
                    ours = whole;
                }
                let times = &mut measured.rounds[round];
                times.parse += parse;
                times.whole += whole;
                times.ours += ours;
                times.events += slice.events.len();
                measured.best[at] = measured.best[at].min(whole);
            }
        }
    }
    println!("\n{} rounds, medians; times hold the reading of the JSON", plan.rounds);
    println!(
        "{:<16} {:>12} {:>12} {:>14} {:>17} {:>14}",
        "", "events/s", "parse alone", "we are faster", "range", "undisturbed"
    );
    for (running, engine) in engines.iter().zip(&measured) {
        print(running.engine.name(), engine, &measured[0]);
    }
}

/// Of the processor, not of the wall: what others do with the machine is not in it, but for caches.
fn thread_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Seconds for reading the JSON alone, and for everything.
fn time(engine: &mut dyn Engine, slice: &Slice) -> (f64, f64) {
    // An engine that works alone finds its own tables in the cache, not those of others.
    for event in &slice.events {
        black_box(engine.count(slice.source, &event.bytes));
    }
    let start = thread_seconds();
    for event in &slice.events {
        black_box(engine.parse(&event.bytes));
    }
    let parse = thread_seconds() - start;
    let start = thread_seconds();
    for event in &slice.events {
        black_box(engine.count(slice.source, &event.bytes));
    }
    (parse, thread_seconds() - start)
}

fn print(name: &str, engine: &Measured, ours: &Measured) {
    let rounds: Vec<&Times> = engine.rounds.iter().filter(|times| times.events > 0).collect();
    if rounds.is_empty() {
        return println!("{name:<16} was given nothing: more rounds, or a higher --seconds-max");
    }
    let sorted = |value: &dyn Fn(&Times) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(|times| value(times)).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let median = |value: &dyn Fn(&Times) -> f64| sorted(value)[rounds.len() / 2];
    let ratios = sorted(&|times| times.whole / times.ours);
    let best = engine.best.iter().zip(&ours.best).filter(|(theirs, _)| theirs.is_finite());
    let (theirs, ours) = best.fold((0.0, 0.0), |sum, best| (sum.0 + best.0, sum.1 + best.1));
    let part = match engine.stride {
        1 => String::new(),
        n => format!("  (in each round another part of the events, 1 of {n})"),
    };
    println!(
        "{name:<16} {:>12.0} {:>12.0} {:>12.2} x {:>7.2} - {:<7.2} {:>12.2} x{part}",
        median(&|times| times.events as f64 / times.whole),
        median(&|times| times.events as f64 / times.parse),
        median(&|times| times.whole / times.ours),
        ratios[0],
        ratios[ratios.len() - 1],
        theirs / ours,
    );
}
