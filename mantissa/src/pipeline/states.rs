//! Where some sources stand in the lake: what was committed of their partitions, as it is now.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use event::Span;
use ingest::Resume;
use parking_lot::Mutex;
use sink::lake::Positions;

type Partitions = HashMap<Arc<str>, Resume>;

/// By source. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct States(Arc<Mutex<HashMap<Arc<str>, Partitions>>>);

impl States {
    /// Of these sources, beginning with what the newest manifest says.
    pub fn new(sources: &BTreeSet<Arc<str>>, positions: &Positions) -> Self {
        let mut all: HashMap<_, Partitions> =
            sources.iter().map(|source| (Arc::clone(source), Partitions::new())).collect();
        for (key, at) in positions {
            if let Some(partitions) = all.get_mut(&key.source) {
                let resume = Resume { upto: at.upto, state: at.state.clone() };
                partitions.insert(Arc::clone(&key.partition), resume);
            }
        }
        Self(Arc::new(Mutex::new(all)))
    }

    /// A span is in the lake. Those of a partition come in its order.
    pub fn committed(&self, span: &Span) {
        let mut all = self.0.lock();
        let Some(partitions) = all.get_mut(&span.key.source) else { return };
        let resume = partitions.entry(Arc::clone(&span.key.partition)).or_default();
        if span.upto >= resume.upto {
            resume.upto = span.upto;
            resume.state = span.state.clone().or(resume.state.take());
        }
    }

    /// The partitions of a source.
    pub fn of(&self, source: &str) -> Partitions {
        self.0.lock().get(source).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use event::PartitionKey;

    use super::*;

    #[test]
    fn the_newest_commit_stands_and_others_are_not_kept() {
        let key = |source: &str| PartitionKey { source: source.into(), partition: "p".into() };
        let states = States::new(&BTreeSet::from(["a".into()]), &Positions::new());
        let span = |source: &str, after, upto, state: Option<&str>| Span {
            key: key(source),
            after,
            upto,
            state: state.map(Into::into),
        };
        states.committed(&span("a", 0, 3, Some("three")));
        states.committed(&span("a", 3, 5, None));
        states.committed(&span("b", 0, 9, Some("nine")));
        let expected = Resume { upto: 5, state: Some("three".into()) };
        assert_eq!(states.of("a"), HashMap::from([("p".into(), expected)]));
        assert!(states.of("b").is_empty());
    }
}
