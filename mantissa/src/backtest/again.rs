//! One worker of a backtest: the events of a file through the same stream that live events take.

use std::collections::HashMap;

use detect::Engine;
use detect::correlate::Observation;
use event::{Alert, LogType, Parser, PartitionKey};
use sink::lake::LiveFile;
use sink::lake::records::{self, StoredRecord};
use tokio::runtime::Handle;

use super::Question;
use super::glance::Glance;
use crate::pipeline::{Origin, Stream, Verdict, alert};

/// See the module's documentation.
pub(super) struct Again<'q> {
    question: &'q Question,
    runtime: Handle,
    streams: HashMap<LogType, OfType>,
    parser: Parser,
}

/// What works on the events of a log type.
struct OfType {
    /// None when every event is to take the whole way.
    glance: Option<Glance>,
    stream: Stream,
}

/// What a file has brought.
#[derive(Default)]
pub(super) struct OfFile {
    pub events: u64,
    /// Of them, those that no rule holds for and that were not made into rows.
    pub glanced: u64,
    pub unreadable: u64,
    pub alerts: Vec<Alert>,
    pub observations: Vec<Observation>,
}

impl<'q> Again<'q> {
    pub(super) fn new(question: &'q Question, runtime: Handle) -> Self {
        Self { question, runtime, streams: HashMap::new(), parser: Parser::default() }
    }

    /// Matches every event of the file that matters.
    pub(super) fn file(&mut self, live: &LiveFile, log_type: &LogType) -> anyhow::Result<OfFile> {
        let Self { question, runtime, streams, parser } = self;
        if !streams.contains_key(log_type) {
            let compiled = question.detection.compile(log_type, Engine::Fast);
            let compiled = compiled.ok_or_else(|| anyhow::anyhow!("no log type `{log_type}`"))?;
            let glance = match question.glances {
                true => Glance::new(&question.detection, log_type),
                false => None,
            };
            streams.insert(log_type.clone(), OfType { glance, stream: Stream::new(compiled) });
        }
        let of = streams.get_mut(log_type).expect("inserted above");
        let times = question.warm_from()..question.to;
        let mut key = PartitionKey { source: "".into(), partition: "".into() };
        let mut found = OfFile::default();
        let each = |record: &StoredRecord<'_>| {
            if !times.contains(&record.event_time) {
                return;
            }
            if *key.source != *record.source || *key.partition != *record.partition {
                key = PartitionKey {
                    source: record.source.into(),
                    partition: record.partition.into(),
                };
            }
            found.take(of, parser, record, &key, record.event_time >= question.from);
        };
        runtime.block_on(records::read(&question.store, live, each))?;
        found.observations.append(&mut of.stream.observations);
        parser.trim();
        Ok(found)
    }
}

impl OfFile {
    /// Takes one event as its worker took it when it came. `counts`: its own matches are wanted, not only
    /// what correlations make of it.
    fn take(
        &mut self,
        OfType { glance, stream }: &mut OfType,
        parser: &mut Parser,
        record: &StoredRecord<'_>,
        key: &PartitionKey,
        counts: bool,
    ) {
        let origin = Origin {
            key,
            at: record.at,
            index: record.index,
            name: None,
            now: record.ingest_time,
            // Whether it was late then was decided by the options of then.
            late_after_ns: if record.late { 0 } else { i64::MAX },
        };
        self.events += u64::from(counts);
        let holds = glance.as_mut().map(|glance| glance.holds(parser, record.raw.as_bytes()));
        match holds.transpose() {
            Ok(None | Some(true)) => {}
            Ok(Some(false)) => {
                self.glanced += u64::from(counts);
                return;
            }
            Err(_) => {
                self.unreadable += 1;
                return;
            }
        }
        match stream.take(parser, record.raw.as_bytes(), None, &origin, &mut |_| false) {
            Ok(Verdict::Stored(mapped)) if counts => {
                let row = stream.rows.len() - 1;
                let group = &stream.compiled.group;
                for hit in stream.hits.iter().filter(|hit| group.alerts(**hit)) {
                    self.alerts.push(alert(stream, &origin, mapped, &group.rule(*hit).info, row));
                }
            }
            Ok(_) => {}
            Err(_) => self.unreadable += 1,
        }
        stream.rows.clear();
    }
}
