//! What librdkafka calls back: partitions that come and go, statistics, its log. All of it is noted
//! here and acted on by the polling thread; a callback decides nothing.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::event_hubs::Bearer;
use crate::meter::Meter;
use crate::poll::source::now_ms;

/// A partition of a topic.
pub(super) type Place = (String, i32);

/// What the group wants. It waits until it is answered by [`give`] or [`give_back`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Assign(Vec<Place>),
    Revoke(Vec<Place>),
}

pub(super) struct Context {
    pub meter: Meter,
    /// In order; the polling thread takes them after every poll.
    pub changes: Mutex<Vec<Change>>,
    /// Where the client last saw the end of what it reads.
    pub ends: Mutex<HashMap<Place, i64>>,
    /// Why the broker lets this client not in, or this client does not trust the broker.
    pub refused: Mutex<Option<String>>,
    /// Where tokens come from, when they are what proves who reads.
    pub bearer: Option<Bearer>,
    /// Nobody answers any more: partitions are given back at once.
    pub closing: AtomicBool,
}

impl Context {
    pub fn new(meter: Meter, bearer: Option<Bearer>) -> Self {
        Self {
            meter,
            changes: Mutex::default(),
            ends: Mutex::default(),
            refused: Mutex::default(),
            bearer,
            closing: AtomicBool::new(false),
        }
    }
}

/// The partition's name in spans.
pub(super) fn name(place: &Place) -> String {
    format!("{}-{}", place.0, place.1)
}

fn places(list: &TopicPartitionList) -> Vec<Place> {
    list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect()
}

/// Whether the group moves single partitions rather than all at once.
fn is_cooperative(consumer: &BaseConsumer<Context>) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Answers [`Change::Assign`]: these are read from their offsets. Some of them may be left out.
pub(super) fn give(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) {
    let done = if is_cooperative(consumer) {
        consumer.incremental_assign(list)
    } else {
        consumer.assign(list)
    };
    report(consumer, done);
}

/// Answers [`Change::Revoke`]: these are no longer read.
pub(super) fn give_back(consumer: &BaseConsumer<Context>, places: &[Place]) {
    // Halted partitions were never assigned to the client.
    let held = consumer.assignment().unwrap_or_default();
    let mut gone = TopicPartitionList::new();
    for (topic, number) in places {
        if held.find_partition(topic, *number).is_some() {
            gone.add_partition(topic, *number);
        }
    }
    let done = if is_cooperative(consumer) {
        consumer.incremental_unassign(&gone)
    } else {
        consumer.unassign()
    };
    report(consumer, done);
}

fn report(consumer: &BaseConsumer<Context>, done: Result<(), KafkaError>) {
    if let Err(error) = done {
        consumer.context().meter.error();
        tracing::error!(%error, "partitions could not be taken or given back");
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let assign = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let places = places(list);
        match (assign, self.closing.load(Ordering::Relaxed)) {
            (true, true) => give(consumer, &TopicPartitionList::new()),
            (false, true) => give_back(consumer, &places),
            (true, false) => self.changes.lock().push(Change::Assign(places)),
            (false, false) => self.changes.lock().push(Change::Revoke(places)),
        }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let bearer = self.bearer.as_ref().ok_or("there is nowhere to get a token from")?;
        let token = bearer.token();
        if let Err(error) = &token {
            self.meter.error();
            self.meter.stands(Some(&format!("no token for the broker: {error}")));
            tracing::error!(source = %self.meter.source(), "no token for the broker: {error}");
        }
        token
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let message = event::shown::line(message);
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
        let is_up = statistics.brokers.values().any(|broker| broker.state == "UP");
        self.meter.stands((!is_up).then_some("no broker can be reached"));
        let mut behind = Some(0).filter(|_| is_up);
        for topic in statistics.topics.values() {
            for partition in topic.partitions.values() {
                let place = (topic.topic.clone(), partition.partition);
                if partition.app_offset >= 0 {
                    let lag = partition.hi_offset.saturating_sub(partition.app_offset).max(0);
                    self.meter.lag(&name(&place), lag as u64);
                    behind = behind.map(|behind| behind + lag);
                }
                if partition.eof_offset >= 0 {
                    self.ends.lock().insert(place, partition.eof_offset);
                }
            }
        }
        if behind == Some(0) {
            self.meter.read_to(now_ms());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        self.meter.error();
        let reason = event::shown::line(reason);
        let away = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
        );
        if away {
            self.meter.stands(Some(&reason));
        }
        let refused = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL)
        );
        if refused {
            self.meter.stands(Some(&reason));
            tracing::error!(source = %self.meter.source(), "no way to the broker: {reason}");
            *self.refused.lock() = Some(reason.into_owned());
        } else {
            tracing::warn!(source = %self.meter.source(), %error, "{reason}");
        }
    }
}
