//! Events, each with its place in the file and its log source.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use event::LogSource;
use event::log_source::Tag;

pub struct Event {
    /// From 0.
    pub line: usize,
    pub bytes: Vec<u8>,
}

/// Events of one log source that are measured together, engine after engine.
pub struct Slice {
    /// Index into [`Lane::sources`].
    pub source: usize,
    pub events: Vec<Event>,
}

pub struct Lane {
    /// In order of first occurrence.
    pub sources: Vec<LogSource>,
    pub slices: Vec<Slice>,
    pub events: usize,
    pub bytes: usize,
}

/// Long enough for a clock, short enough to share a disturbance.
const SLICE_EVENTS: usize = 50;

impl Lane {
    pub fn read(events: &Path, table: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(events).with_context(|| events.display().to_string())?;
        let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
        let given = std::fs::read_to_string(table).with_context(|| table.display().to_string())?;
        let given: Vec<LogSource> = given.lines().map(source).collect();
        let filled = lines.iter().filter(|line| !line.is_empty()).count();
        ensure!(
            given.len() >= filled,
            "{} has {} lines for {filled} events",
            table.display(),
            given.len(),
        );
        let (mut sources, mut by_source) = (Vec::new(), Vec::<Vec<Event>>::new());
        let mut index: HashMap<&LogSource, usize> = HashMap::new();
        for (line, (bytes, source)) in lines.iter().zip(&given).enumerate() {
            if bytes.is_empty() {
                continue;
            }
            let at = *index.entry(source).or_insert_with(|| {
                sources.push(source.clone());
                by_source.push(Vec::new());
                sources.len() - 1
            });
            by_source[at].push(Event { line, bytes: bytes.to_vec() });
        }
        let mut lane = Self { sources, slices: Vec::new(), events: 0, bytes: 0 };
        for (source, mut events) in by_source.into_iter().enumerate() {
            lane.events += events.len();
            lane.bytes += events.iter().map(|event| event.bytes.len()).sum::<usize>();
            while !events.is_empty() {
                let rest = events.split_off(events.len().min(SLICE_EVENTS));
                lane.slices.push(Slice { source, events: std::mem::replace(&mut events, rest) });
            }
        }
        Ok(lane)
    }
}

fn source(line: &str) -> LogSource {
    let mut columns = line.split('\t').map(Tag::parse);
    let mut next = || columns.next().unwrap_or_default();
    LogSource { product: next(), category: next(), service: next() }
}
