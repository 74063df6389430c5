//! Takes out of a batch what the lake has already, and gives the rest its place in the pipeline.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use detect::{Engine, RuleSet};
use event::{
    Batch, DeadLetter, LogType, Parser, PartitionKey, Record, Rows, Slots, Timestamp, Uid,
};
use ingest::Shutdown;
use normalize::{Catalog, RecordMeta};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sink::lake::identities::{By, of_record};
use sink::lake::{LakeStore, Window};

use super::known::Known;
use super::{Counts, NAME};
use crate::pipeline::{Compiled, Detection};
use crate::report;

/// After trouble with the lake it is looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// What a partition's state holds: what its poller wants back, and what became of its records so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    pub counts: Counts,
    /// None once everything is read.
    pub poll: Option<String>,
}

/// What the relay tells while it works.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By partition.
    pub counts: HashMap<Arc<str>, Counts>,
    /// Where each partition ends now.
    pub sent: HashMap<Arc<str>, u64>,
    pub trouble: Option<String>,
}

impl Told {
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.counts.values().for_each(|counts| total.add(*counts));
        total
    }
}

/// Of one job.
pub(super) struct Relay {
    source: Arc<str>,
    /// Name of the job, before the partitions of its poller.
    job: String,
    compiled: Compiled,
    parser: Parser,
    slots: Slots,
    rows: Rows,
    known: Known,
    window: Arc<Window>,
    told: Arc<Mutex<Told>>,
    shutdown: Shutdown,
}

/// By what a record is known, and when it happened.
type Identity = (By, Uid, Timestamp);

impl Relay {
    pub fn new(
        (source, job): (Arc<str>, String),
        log_type: &LogType,
        catalog: &Arc<Catalog>,
        (store, window): (LakeStore, Arc<Window>),
        told: Arc<Mutex<Told>>,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let rules = Arc::new(RuleSet::new(Vec::new()));
        let detection = Detection { catalog: Arc::clone(catalog), rules, generation: 0 };
        let compiled = detection.compile(log_type, Engine::Oracle);
        let compiled = compiled.with_context(|| format!("there is no log type `{log_type}`"))?;
        let (rows, known) = (
            Rows::new(Arc::clone(compiled.mapping.schema())),
            Known::new(store, log_type.table().to_string()),
        );
        let (parser, slots) = (Parser::default(), Slots::default());
        Ok(Self { source, job, compiled, parser, slots, rows, known, window, told, shutdown })
    }

    /// The batch as the pipeline takes it. Waits while the lake cannot be asked; none when a stop is asked for
    /// meanwhile.
    pub async fn sift(&mut self, mut batch: Batch) -> Option<Batch> {
        let partition: Arc<str> = format!("{}/{}", self.job, batch.span.key.partition).into();
        // In the lake the events are of the source itself.
        let place = format!("backfill{}", &partition[self.source.len()..]);
        let origin = PartitionKey { source: Arc::clone(&self.source), partition: place.into() };
        let identities: Vec<_> =
            batch.records.iter().map(|r| self.identity(&batch, r, &origin)).collect();
        let here = self.here(&identities, batch.received_at).await?;
        let mut counts = Counts { found: batch.received(), ..Counts::default() };
        counts.refused = batch.rejects.len() as u64;
        for (identity, here) in identities.iter().zip(&here) {
            match (identity, here) {
                (_, true) => counts.here += 1,
                (Some(_), false) => counts.new += 1,
                (None, false) => counts.refused += 1,
            }
        }
        let mut is_here = here.iter();
        batch.records.retain(|_| !is_here.next().copied().unwrap_or(false));
        for reject in &mut batch.rejects {
            give_place(reject, &batch.span.key, &origin);
        }
        self.count(&counts);
        let total = {
            let mut told = self.told.lock();
            told.sent.insert(Arc::clone(&partition), batch.span.upto);
            let total = told.counts.entry(Arc::clone(&partition)).or_default();
            total.add(counts);
            *total
        };
        let poll = batch.span.state.take().map(|state| state.to_string());
        let kept = Kept { counts: total, poll };
        batch.span.state = serde_json::to_string(&kept).ok().map(Into::into);
        batch.span.key = PartitionKey { source: NAME.into(), partition };
        batch.origin = Some(Box::new(origin));
        Some(batch)
    }

    /// None for what can only become a dead letter.
    fn identity(&mut self, batch: &Batch, record: &Record, key: &PartitionKey) -> Option<Identity> {
        let raw = &batch.bytes[record.range.clone()];
        let header = record.header.clone().map(|range| &batch.bytes[range]);
        let Self { compiled, parser, slots, rows, .. } = self;
        let doc = compiled.mapper.parse(parser, raw, header).ok()?;
        slots.fill(&compiled.fields, &doc);
        let meta = RecordMeta {
            raw,
            key,
            at: record.at,
            index: record.index,
            name: record.name.as_deref(),
            now: batch.received_at,
            late_after_ns: i64::MAX,
        };
        let mapped = compiled.mapper.map(&doc, slots, &meta, rows);
        rows.abandon_row();
        let mapped = mapped.ok()?;
        let is_place = mapped.uid == meta.uid();
        let (by, uid) = if is_place { (By::Record, of_record(raw)) } else { (By::Key, mapped.uid) };
        Some((by, uid, mapped.event_time))
    }

    /// Which of them the lake has.
    async fn here(&mut self, identities: &[Option<Identity>], now: Timestamp) -> Option<Vec<bool>> {
        let mut here = vec![false; identities.len()];
        let known = identities.iter().enumerate();
        let mut order: Vec<_> = known.filter_map(|(i, id)| Some((i, (*id)?))).collect();
        order.sort_by_key(|(_, (_, _, time))| *time);
        for (i, (by, uid, time)) in order {
            here[i] = by == By::Key && self.window.contains(uid, now);
            while !here[i] {
                match self.known.has(time, by, uid).await {
                    Ok(has) => {
                        here[i] = has;
                        self.told.lock().trouble = None;
                        break;
                    }
                    Err(e) => self.wait(&e).await,
                }
                if self.shutdown.is_requested() {
                    return None;
                }
            }
        }
        Some(here)
    }

    async fn wait(&mut self, trouble: &sink::lake::Error) {
        let words = format!("the lake cannot be asked what it has: {}", report::chain(trouble));
        tracing::warn!(source = %self.source, "{words}");
        self.told.lock().trouble = Some(words);
        self.known.forget_snapshot();
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = self.shutdown.requested() => {}
        }
    }

    fn count(&self, counts: &Counts) {
        for (result, count) in
            [("new", counts.new), ("here", counts.here), ("refused", counts.refused)]
        {
            let labels = [("source", self.source.to_string()), ("result", result.to_owned())];
            metrics::counter!("mantissa_backfill_records_total", &labels).increment(count);
        }
    }
}

/// A reject of the partition `key` is one of `origin` in the lake; one that has a name stays apart from the others
/// by it.
fn give_place(reject: &mut DeadLetter, key: &PartitionKey, origin: &PartitionKey) {
    if reject.key == *key {
        reject.key = origin.clone();
    } else {
        reject.key.source = Arc::clone(&origin.source);
    }
}

#[cfg(test)]
mod tests {
    use event::Stage;

    use super::*;

    #[test]
    fn rejects_are_the_sources_and_stay_apart() {
        let key = |source: &str, partition: &str| PartitionKey {
            source: source.into(),
            partition: partition.into(),
        };
        let (own, origin) = (key("doors", "events"), key("doors", "backfill/events"));
        let placed = |of: PartitionKey, at| {
            let mut reject = DeadLetter {
                key: of,
                at,
                index: 0,
                log_type: "acme.doors".into(),
                stage: Stage::Frame,
                reason: "broken".into(),
                bytes: Default::default(),
                received_at: Timestamp(0),
            };
            give_place(&mut reject, &own, &origin);
            (reject.key, reject.at)
        };
        assert_eq!(placed(own.clone(), 7), (origin.clone(), 7));
        let named = ["events/1", "events/2"].map(|name| placed(key("past", name), 0));
        assert_eq!(named, [(key("doors", "events/1"), 0), (key("doors", "events/2"), 0)]);
    }
}
