//! The engines behind one face. Each is set up as a user of it would for speed, with what it offers.

mod ours;
mod rsigma;
mod sigma_rust;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use event::LogSource;

/// A rule that an engine does not load.
pub struct Refusal {
    pub file: String,
    pub reason: String,
}

/// What an engine has loaded.
#[derive(Default)]
pub struct Loaded {
    pub rules: usize,
    pub refused: Vec<Refusal>,
    /// Of each rule by its key, for people.
    pub titles: HashMap<String, String>,
}

pub trait Engine {
    fn name(&self) -> &'static str;
    /// Reads the JSON and does nothing else. Whether it could.
    fn parse(&mut self, event: &[u8]) -> bool;
    /// Reads and evaluates; how many rules match. `source` is an index into the log sources.
    fn count(&mut self, source: usize, event: &[u8]) -> usize;
    /// The keys of the rules that match, or `None` when the event cannot be read. Not for timing.
    fn found(&mut self, source: usize, event: &[u8]) -> Option<Vec<String>>;
}

pub struct Running {
    pub engine: Box<dyn Engine>,
    pub loaded: Loaded,
}

/// What makes a rule the same rule in all engines.
fn key(id: Option<&str>, title: &str) -> String {
    id.filter(|id| !id.is_empty()).unwrap_or(title).to_owned()
}

/// Ours first.
pub fn load(files: &[(String, String)], sources: &[LogSource], hierarchy: bool) -> Vec<Running> {
    let mut engines = Vec::new();
    let mut add = |load: &dyn Fn() -> (Box<dyn Engine>, Loaded)| {
        let start = Instant::now();
        let (engine, loaded) = load();
        report(engine.name(), &loaded, start.elapsed());
        engines.push(Running { engine, loaded });
    };
    add(&|| ours::load(files, sources, hierarchy));
    add(&|| rsigma::routed(files, sources));
    add(&|| rsigma::sharded(files, sources));
    add(&|| sigma_rust::load(files, sources));
    engines
}

fn report(name: &str, loaded: &Loaded, took: Duration) {
    let refused = loaded.refused.len();
    println!("{name:<16} {:>6} rules, {refused} refused; loaded in {took:.0?}", loaded.rules);
    for refusal in &loaded.refused {
        println!("    refused: {}: {}", refusal.file, refusal.reason);
    }
}
