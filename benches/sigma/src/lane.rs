//! Events and the rules compiled for them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use detect::{Engine, Group, RuleSet};
use event::log_source::{LogSource, Tag};
use event::{Fields, FieldsBuilder};

/// Rules compiled for one log source.
pub struct Bound {
    pub fields: Fields,
    pub group: Arc<Group>,
}

/// Events of one log source that are measured together, stage after stage.
pub struct Slice {
    /// Index into [`Lane::all`] and [`Lane::own`].
    pub source: usize,
    pub events: Vec<Vec<u8>>,
}

pub struct Lane {
    /// All rules, one group per log source.
    pub all: Vec<Bound>,
    /// Only the rules that name the product of the log source: what a user with one source would load.
    pub own: Vec<Bound>,
    pub own_rules: usize,
    pub slices: Vec<Slice>,
    pub events: usize,
    pub bytes: usize,
}

/// Long enough for a clock, short enough to share a disturbance.
const SLICE_EVENTS: usize = 50;

/// The log source of every event.
pub fn sources(table: &Path) -> anyhow::Result<Vec<LogSource>> {
    let text = std::fs::read_to_string(table).with_context(|| table.display().to_string())?;
    let read = |line: &str| {
        let mut columns = line.split('\t').map(Tag::parse);
        let mut next = || columns.next().unwrap_or_default();
        LogSource { product: next(), category: next(), service: next() }
    };
    Ok(text.lines().map(read).collect())
}

/// Compiles the rules for every log source that occurs, in order of first occurrence.
pub fn bind(rules: &RuleSet, sources: &[LogSource]) -> Vec<Bound> {
    distinct(sources).into_iter().map(|source| bind_one(rules, source)).collect()
}

fn bind_one(rules: &RuleSet, source: &LogSource) -> Bound {
    let mut builder = FieldsBuilder::default();
    let group = rules.bind(source, &|_| Vec::new(), &mut builder, Engine::Fast);
    Bound { fields: builder.build(), group }
}

fn distinct(sources: &[LogSource]) -> Vec<&LogSource> {
    let mut seen = Vec::new();
    for source in sources {
        if !seen.contains(&source) {
            seen.push(source);
        }
    }
    seen
}

impl Lane {
    pub fn read(
        events: &Path,
        sources: &[LogSource],
        all: Vec<Bound>,
        rules: &RuleSet,
    ) -> anyhow::Result<Self> {
        let text = std::fs::read(events).with_context(|| events.display().to_string())?;
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let known = distinct(sources);
        let index: HashMap<&LogSource, usize> =
            known.iter().enumerate().map(|(at, source)| (*source, at)).collect();
        let mut by_source: Vec<Vec<Vec<u8>>> = known.iter().map(|_| Vec::new()).collect();
        let mut bytes = 0;
        for (line, source) in lines.zip(sources) {
            bytes += line.len();
            by_source[index[source]].push(line.to_vec());
        }
        let mut slices = Vec::new();
        for (source, events) in by_source.iter().enumerate() {
            let parts = events.chunks(SLICE_EVENTS);
            slices.extend(parts.map(|part| Slice { source, events: part.to_vec() }));
        }
        let (mut own, mut own_rules) = (Vec::new(), 0);
        for source in known {
            let set =
                RuleSet::new(rules.rules().iter().filter(|r| names(r, source)).cloned().collect());
            own_rules += set.rules().len();
            own.push(bind_one(&set, source));
        }
        let events = slices.iter().map(|slice| slice.events.len()).sum();
        Ok(Self { all, own, own_rules, slices, events, bytes })
    }
}

/// Whether a rule asks for the product, or for the log source as a whole when that has none.
fn names(rule: &detect::Rule, source: &LogSource) -> bool {
    match &source.product {
        Tag::Is(product) => rule.log_source.product.as_deref() == Some(&**product),
        Tag::None | Tag::Unknown | Tag::AnyOf(_) => rule.log_source.applies_to(source),
    }
}
