//! Kafka and what speaks its protocol: a consumer group whose positions live in the lake.
//!
//! A topic partition is a partition here, `audit-0`; its position is the offset after the last message
//! handed over. The lake's position, that of all processes which write it, wins over the group's committed offset,
//! which follows after the spans are finished: it shows the lag, and is where a member of the group that writes another
//! lake takes a partition over. A partition whose position the broker no longer has is halted with an error: jumping over the
//! hole would hide a loss. A person lets it begin anew, as another generation. The ends that a broker tells are never trusted alone, see `ask` and `part`.
//!
//! A broker that is away is waited for, for ever. When the pipeline is full, partitions are paused
//! and polling goes on, so that the group does not take this member for dead.

mod ask;
mod context;
mod event_hubs;
mod group;
mod part;
mod to_end;
mod work;

use std::collections::BTreeMap;

use async_trait::async_trait;
use event::{LogType, Secret};
use rdkafka::ClientConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::runtime::Handle;

use crate::error::{ErrorKind, SourceError};
use crate::framing::{Format, Options, RECORD_BYTES_MAX};
use crate::source::{Source, SourceContext, Summary};
pub use event_hubs::EventHubsOptions;
use work::Work;

/// Where a partition begins that neither the lake nor the group knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    #[default]
    Earliest,
    Latest,
}

/// Options of the `kafka` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaOptions {
    /// Brokers to begin with, `host:port`.
    pub brokers: Vec<String>,
    /// A namespace of Azure Event Hubs, in place of `brokers` and the properties of the login.
    pub event_hubs: Option<EventHubsOptions>,
    /// Topics to read.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// Where a partition begins that neither the lake nor the group knows.
    pub start: Start,
    /// Lets halted partitions begin anew, by `start`: `{audit-0: 2}` for one, `{audit: 2}` for all of a topic that
    /// was made anew; 3 the next time. What the lake has of them stays, under its own positions.
    pub generations: BTreeMap<String, u32>,
    /// How a message is cut into records.
    pub format: Format,
    /// Longer records become dead letters, in parts of this size.
    pub record_bytes_max: usize,
    /// Stop at the ends that the partitions have at the start, instead of waiting for more.
    pub until_end: bool,
    /// Any librdkafka property, such as `security.protocol` and `sasl.password`. Never printed.
    pub properties: BTreeMap<String, Secret>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            event_hubs: None,
            topics: Vec::new(),
            group: "mantissa".to_owned(),
            start: Start::default(),
            generations: BTreeMap::new(),
            format: Format::default(),
            record_bytes_max: RECORD_BYTES_MAX,
            until_end: false,
            properties: BTreeMap::new(),
        }
    }
}

/// What the source itself decides: another value would break its promises.
const OURS: &[&str] = &[
    "bootstrap.servers",
    "group.id",
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
];

impl KafkaOptions {
    /// How often the partition has begun anew, the first time being 1.
    fn generation(&self, place: &context::Place) -> u32 {
        let given = self.generations.get(&context::name(place));
        given.or_else(|| self.generations.get(&place.0)).copied().unwrap_or(1).max(1)
    }

    /// The partition's name in spans. Another generation is another partition, whose positions begin anew.
    fn partition(&self, place: &context::Place) -> String {
        match self.generation(place) {
            1 => context::name(place),
            n => format!("{}/{n}", context::name(place)),
        }
    }

    /// With the broker and the topic that a namespace and its connection string tell.
    fn with_event_hubs(mut self) -> Self {
        if let Some(event_hubs) = &self.event_hubs {
            self.brokers = vec![event_hubs.broker()];
            if self.topics.is_empty() {
                self.topics.extend(event_hubs.hub());
            }
        }
        self
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "mantissa")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // What librdkafka holds ahead of us; its defaults are 64 MiB and 100,000 messages.
            .set("queued.max.messages.kbytes", "8192")
            .set("queued.min.messages", "1000")
            // Of one answer, for all its partitions together; the default is 50 MiB.
            .set("fetch.max.bytes", "8388608")
            .set("statistics.interval.ms", if self.until_end { "1000" } else { "10000" })
            .set("reconnect.backoff.max.ms", "5000");
        if let Some(event_hubs) = &self.event_hubs {
            event_hubs.set(&mut config);
        }
        for (name, value) in &self.properties {
            config.set(name, value.expose());
        }
        let start = if self.start == Start::Earliest { "earliest" } else { "latest" };
        config
            .set("bootstrap.servers", self.brokers.join(","))
            .set("group.id", &self.group)
            .set("auto.offset.reset", start)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", if self.until_end { "true" } else { "false" });
        config
    }
}

/// Reads topics.
#[derive(Debug)]
pub struct KafkaSource {
    options: KafkaOptions,
    log_type: LogType,
}

impl KafkaSource {
    pub fn new(name: &str, log_type: &str, options: KafkaOptions) -> Result<Self, SourceError> {
        let refuse = |message: String| Err(SourceError::new(name, ErrorKind::Config, message));
        if let Some(fault) = options.event_hubs.as_ref().and_then(EventHubsOptions::fault) {
            return refuse(fault);
        }
        if options.event_hubs.is_some() && !options.brokers.is_empty() {
            return refuse("has both `brokers` and `event_hubs`; give one".to_owned());
        }
        let options = options.with_event_hubs();
        if options.brokers.is_empty() || options.topics.is_empty() {
            return refuse("`brokers` and `topics` must name at least one each".to_owned());
        }
        if options.group.is_empty() {
            return refuse("`group` is empty".to_owned());
        }
        if let Some(ours) = options.properties.keys().find(|key| OURS.contains(&key.as_str())) {
            return refuse(format!("the property {ours:?} is the source's own to set"));
        }
        if let Err(error) = options.client().create_native_config() {
            return refuse(refused_property(&error));
        }
        Ok(Self { options, log_type: log_type.into() })
    }
}

/// Names the property that librdkafka refuses, never its value.
fn refused_property(error: &rdkafka::error::KafkaError) -> String {
    match error {
        rdkafka::error::KafkaError::ClientConfig(_, _, key, _) => {
            format!("librdkafka refuses the property {key:?} or its value")
        }
        _ => "librdkafka refuses the properties".to_owned(),
    }
}

#[async_trait]
impl Source for KafkaSource {
    fn is_finite(&self) -> bool {
        self.options.until_end
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let mut framing = Options::new(self.options.format.clone(), self.log_type.as_str());
        framing.record_bytes_max = self.options.record_bytes_max;
        let runtime = Handle::current();
        let name = context.name.clone();
        let Self { options, log_type } = *self;
        let work = tokio::task::spawn_blocking(move || {
            Work::new(options, log_type, framing, context, runtime)?.run()
        });
        work.await.map_err(|e| SourceError::new(&name, ErrorKind::Io, "stopped").because(e))?
    }
}

#[cfg(test)]
mod tests;
