//! The stages, timed in turn.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::ValueEnum;
use detect::Matcher;
use event::{Parser, Slots};

use crate::lane::{Bound, Lane, Slice};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The bound: simd-json's tape in reused buffers, nothing else.
    Tape,
    /// Our document.
    Parse,
    /// And the fields that rules read.
    Fill,
    /// And all rules.
    Match,
    /// As `match`, with the rules of the log source's product alone.
    Own,
}

const STAGES: [Stage; 5] = [Stage::Tape, Stage::Parse, Stage::Fill, Stage::Match, Stage::Own];

/// What one thread needs to evaluate events.
struct Worker {
    all: Vec<Matcher>,
    own: Vec<Matcher>,
    parser: Parser,
    slots: Slots,
    hits: Vec<u32>,
    tape: Tape,
}

#[derive(Default)]
struct Tape {
    input: Vec<u8>,
    buffers: simd_json::Buffers,
    kept: Option<simd_json::Tape<'static>>,
}

impl Worker {
    fn new(lane: &Lane) -> Self {
        let matchers = |bound: &[Bound]| bound.iter().map(|b| b.group.matcher()).collect();
        Self {
            all: matchers(&lane.all),
            own: matchers(&lane.own),
            parser: Parser::default(),
            slots: Slots::default(),
            hits: Vec::new(),
            tape: Tape::default(),
        }
    }

    /// Runs the rules over the events of every log source until they are registered by what was counted: a
    /// stream gets there in its first seconds.
    fn warm(&mut self, lane: &Lane) {
        const EVENTS: usize = 2_048;
        let of = |source| lane.slices.iter().filter(move |slice: &&Slice| slice.source == source);
        for source in 0..lane.all.len() {
            let events: usize = of(source).map(|slice| slice.events.len()).sum();
            for _ in 0..EVENTS.div_ceil(events.max(1)) {
                for stage in [Stage::Match, Stage::Own] {
                    of(source).for_each(|slice| _ = black_box(self.run(lane, slice, stage)));
                }
            }
        }
    }

    /// Runs one stage over one slice and returns how often rules matched.
    fn run(&mut self, lane: &Lane, slice: &Slice, stage: Stage) -> usize {
        if stage == Stage::Tape {
            slice.events.iter().for_each(|event| self.tape.parse(event));
            return 0;
        }
        let (bound, matchers) = match stage {
            Stage::Own => (&lane.own, &mut self.own),
            _ => (&lane.all, &mut self.all),
        };
        let (fields, matcher) = (&bound[slice.source].fields, &mut matchers[slice.source]);
        let mut matches = 0;
        for event in &slice.events {
            let Ok(doc) = self.parser.json(event) else { continue };
            if stage != Stage::Parse {
                self.slots.fill(fields, &doc);
            }
            if matches!(stage, Stage::Match | Stage::Own) {
                matcher.matches(&doc, &self.slots, &mut self.hits);
                matches += self.hits.len();
            }
            black_box(&doc);
        }
        matches
    }
}

impl Tape {
    fn parse(&mut self, event: &[u8]) {
        self.input.clear();
        self.input.extend_from_slice(event);
        self.input.resize(event.len() + simd_json::INPUT_PADDING, b' ');
        let mut tape = self.kept.take().unwrap_or(simd_json::Tape(Vec::new())).reset();
        let parsed =
            simd_json::fill_tape_padded(&mut self.input, event.len(), &mut self.buffers, &mut tape);
        black_box(parsed.is_ok());
        self.kept = Some(tape.reset());
    }
}

/// One stage over all events, when everything is warm.
pub fn once(lane: &Lane, stage: Stage) {
    let mut worker = Worker::new(lane);
    worker.warm(lane);
    println!("{} matches", pass(&mut worker, lane, stage));
}

/// A name for profilers: what `once` is about.
#[inline(never)]
fn pass(worker: &mut Worker, lane: &Lane, stage: Stage) -> usize {
    lane.slices.iter().map(|slice| worker.run(lane, slice, stage)).sum()
}

/// Prints the shares of every stage.
pub fn run(lane: &Lane, rounds: usize) {
    let mut worker = Worker::new(lane);
    worker.warm(lane);
    let mut totals: Vec<[f64; STAGES.len()]> = Vec::new();
    let mut best = vec![[f64::INFINITY; STAGES.len()]; lane.slices.len()];
    let mut matches = [0; STAGES.len()];
    for round in 0..=rounds {
        let mut total = [0.0; STAGES.len()];
        matches = [0; STAGES.len()];
        for (slice, best) in lane.slices.iter().zip(&mut best) {
            // Nobody is first to fetch the slice from memory.
            worker.run(lane, slice, Stage::Tape);
            for (at, stage) in STAGES.into_iter().enumerate() {
                let start = Instant::now();
                matches[at] += worker.run(lane, slice, stage);
                let seconds = start.elapsed().as_secs_f64();
                total[at] += seconds;
                best[at] = best[at].min(seconds);
            }
        }
        if round > 0 {
            totals.push(total); // round 0 warms up
        }
    }
    println!("{} matches; {rounds} rounds; shares are of the bare tape", matches[3]);
    println!("{:<22} {:>12} {:>8} {:>18}", "", "events/s", "share", "undisturbed share");
    let quiet = |at: usize| best.iter().map(|times| times[at]).sum::<f64>();
    for (at, stage) in STAGES.into_iter().enumerate() {
        let rate = lane.events as f64 / median(totals.iter().map(|t| t[at]));
        let share = 100.0 * median(totals.iter().map(|t| t[0] / t[at]));
        let best = 100.0 * quiet(0) / quiet(at);
        println!("{:<22} {rate:>12.0} {share:>7.1}% {best:>17.1}%", name(stage));
    }
    println!(
        "all rules against those of the product alone ({} a log source): {:.3} x the time ({:.3} x undisturbed)",
        lane.own_rules / lane.own.len(),
        median(totals.iter().map(|t| t[3] / t[4])),
        quiet(3) / quiet(4),
    );
    let twice = |stage| median((0..rounds).map(|_| speedup(lane, stage)));
    println!(
        "two threads against one: {:.2} x (the bare tape: {:.2} x)",
        twice(Stage::Match),
        twice(Stage::Tape)
    );
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Tape => "bare simd-json tape",
        Stage::Parse => "parse",
        Stage::Fill => "parse + fields",
        Stage::Match => "parse + fields + rules",
        Stage::Own => "the same, own rules",
    }
}

/// How much faster two threads that share the compiled rules are than one. Each takes the next slice that
/// nobody has, as the workers of the program take batches. They have been running for some seconds, and go on long enough
/// that starting threads and waiting for the last slice does not count.
fn speedup(lane: &Lane, stage: Stage) -> f64 {
    const EVENTS: usize = 200_000;
    let passes = EVENTS.div_ceil(lane.events.max(1));
    let timed = |threads: usize| {
        let mut workers: Vec<Worker> = (0..threads).map(|_| Worker::new(lane)).collect();
        workers.iter_mut().for_each(|worker| worker.warm(lane));
        let next = AtomicUsize::new(0);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for worker in &mut workers {
                scope.spawn(|| {
                    let take = || next.fetch_add(1, Ordering::Relaxed);
                    let mine = std::iter::from_fn(|| Some(take()));
                    let mine = mine.take_while(|at| *at < passes * lane.slices.len());
                    let slices = mine.map(|at| &lane.slices[at % lane.slices.len()]);
                    black_box(slices.map(|slice| worker.run(lane, slice, stage)).sum::<usize>());
                });
            }
        });
        start.elapsed().as_secs_f64()
    };
    timed(1) / timed(2)
}

/// Of at least one value.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
