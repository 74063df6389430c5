//! Correlations under `mantissa rules eval`: over the events of one file, in its order.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use detect::correlate::{Arrival, Correlator, Options};
use detect::{Engine, RuleSet};
use event::{FieldsBuilder, Parser, PartitionKey, Timestamp, Uid};
use normalize::Mapping;

use crate::pipeline::{Compiled, Origin, Stream};
use crate::report;

/// A file and its groups fit into memory, or are said not to.
pub const OPTIONS: Options = Options { bytes_max: 1 << 30, rule_bytes_max: 1 << 30 };

/// Correlations at work on a file.
pub struct Together {
    stream: Stream,
    correlator: Correlator,
    key: PartitionKey,
    newest: Timestamp,
    /// The line of each event that takes part.
    lines: HashMap<Uid, u64>,
}

/// How late events of a file may be; what comes in any order is sorted by the wait.
const LATENESS_NS: i64 = 600 * 1_000_000_000;

impl Together {
    /// `None` when there is no correlation. Without a log type the time of an event is not known.
    pub fn new(
        rules: &RuleSet,
        mapping: Option<&Arc<Mapping>>,
        engine: Engine,
    ) -> anyhow::Result<Option<Self>> {
        if rules.correlations().is_empty() {
            return Ok(None);
        }
        let Some(mapping) = mapping else {
            report::note(
                "correlations are evaluated only with --log-type, which says when events happened\n",
            );
            return Ok(None);
        };
        let mut builder = FieldsBuilder::default();
        let mapper = mapping.bind(&mut builder);
        let candidates = |field: &str| mapping.candidates(field);
        let group = rules.bind(mapping.log_source(), &candidates, &mut builder, engine);
        let mapping = Arc::clone(mapping);
        let compiled = Compiled { mapping, mapper, group, fields: Arc::new(builder.build()) };
        Ok(Some(Self {
            stream: Stream::new(compiled),
            correlator: Correlator::new(rules.plans().clone(), OPTIONS),
            key: PartitionKey { source: "file".into(), partition: "file".into() },
            newest: Timestamp(i64::MIN),
            lines: HashMap::new(),
        }))
    }

    /// Takes one line.
    pub fn take(&mut self, parser: &mut Parser, record: &[u8], line: u64) {
        let Self { stream, correlator, key, .. } = self;
        let now = Timestamp(0);
        let origin = Origin { key, at: line, index: 0, name: None, now, late_after_ns: i64::MAX };
        let taken = stream.take(parser, record, None, &origin, &mut |_| false);
        // What is refused was said for the rules already.
        let Ok(crate::pipeline::Verdict::Stored(mapped)) = taken else { return };
        // Only the observations are of interest.
        stream.rows.clear();
        for observation in stream.observations.drain(..) {
            self.lines.insert(observation.uid, line);
            correlator.observe(&observation);
        }
        if mapped.event_time > self.newest {
            self.newest = mapped.event_time;
            correlator.arrived(&Arrival {
                source: &key.source,
                partition: &key.partition,
                newest: self.newest,
                now: self.newest,
                lateness_ns: LATENESS_NS,
                plans: stream.compiled.group.feeds().plans(),
            });
        }
    }

    /// There are no more lines.
    pub fn finish(&mut self) {
        self.correlator.finish();
    }

    /// Prints what was found since the last call; `line` is that of the event with which it held.
    pub fn print(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        for found in self.correlator.take_found() {
            let info = &found.correlation.info;
            let group: serde_json::Map<String, serde_json::Value> = found
                .group
                .iter()
                .map(|(field, value)| (field.clone(), (&*value.text).into()))
                .collect();
            let row = serde_json::json!({
                "line": self.lines.get(&found.at.uid), "rule": info.id, "title": info.title,
                "group": group, "events": found.total,
            });
            writeln!(out, "{row}")?;
        }
        Ok(())
    }
}
