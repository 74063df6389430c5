//! What librdkafka calls back: partitions that come and go, statistics, its log.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::meter::Meter;

/// How long a broker is asked for the ends of a partition.
pub(super) const ASK: Duration = Duration::from_secs(5);

/// A partition of a topic.
pub(super) type Place = (String, i32);

/// What has changed, in order; the polling thread takes it after every poll.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Assigned(Place),
    Revoked(Place),
    /// The position that must be read next is not there: the partition has `low` to `high`.
    Halted {
        place: Place,
        wanted: u64,
        low: i64,
        high: i64,
    },
}

pub(super) struct Context {
    pub meter: Meter,
    /// The next offset by partition name, from the lake and then from what was handed over.
    pub next: Mutex<HashMap<String, u64>>,
    pub changes: Mutex<Vec<Change>>,
}

/// The partition's name in spans.
pub(super) fn name(place: &Place) -> String {
    format!("{}-{}", place.0, place.1)
}

impl Context {
    /// Where these partitions begin; those that cannot be read are left out.
    pub fn begin<C: Consumer<Self>>(&self, consumer: &C, places: &[Place]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for place in places {
            let next = self.next.lock().get(&name(place)).copied();
            if let Some(next) = next
                && let Ok((low, high)) = consumer.fetch_watermarks(&place.0, place.1, ASK)
                && !(low..=high).contains(&(next as i64))
            {
                let place = place.clone();
                let halted = Change::Halted { place, wanted: next, low, high };
                self.changes.lock().push(halted);
                continue;
            }
            let offset = next.map_or(Offset::Stored, |next| Offset::Offset(next as i64));
            if list.add_partition_offset(&place.0, place.1, offset).is_ok() {
                self.changes.lock().push(Change::Assigned(place.clone()));
            }
        }
        list
    }
}

pub(super) fn places(list: &TopicPartitionList) -> Vec<Place> {
    list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect()
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let places = places(list);
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let list = self.begin(consumer, &places);
            if cooperative { consumer.incremental_assign(&list) } else { consumer.assign(&list) }
        } else {
            self.changes.lock().extend(places.into_iter().map(Change::Revoked));
            // Halted partitions were never assigned to the client.
            let held = consumer.assignment().unwrap_or_default();
            let mut gone = TopicPartitionList::new();
            for element in list.elements() {
                if held.find_partition(element.topic(), element.partition()).is_some() {
                    gone.add_partition(element.topic(), element.partition());
                }
            }
            if cooperative { consumer.incremental_unassign(&gone) } else { consumer.unassign() }
        };
        if let Err(error) = done {
            self.meter.error();
            tracing::error!(%error, "partitions could not be taken or given back");
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, "{message}"),
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.meter.up(statistics.brokers.values().any(|broker| broker.state == "UP"));
        for topic in statistics.topics.values() {
            for partition in topic.partitions.values().filter(|p| p.app_offset >= 0) {
                let lag = partition.hi_offset.saturating_sub(partition.app_offset).max(0);
                let place = (topic.topic.clone(), partition.partition);
                self.meter.lag(&name(&place), lag as u64);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.meter.error();
        tracing::warn!(%error, "{reason}");
    }
}
