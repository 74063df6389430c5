//! Tansu, a broker that speaks the Kafka protocol and keeps everything in memory.
//!
//! It waits half a session before a group may begin, and tells as a partition's end the first offset
//! of its last batch and one.

use std::process::Command;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::process::{Process, free_port, installed};

const WAIT: Duration = Duration::from_secs(20);

/// A running broker, or one that is down between [`Broker::stop`] and [`Broker::restart`].
#[derive(Debug)]
pub struct Broker {
    process: Option<Process>,
    /// Where it listens, `host:port`.
    pub address: String,
    /// Where it tells clients to go.
    advertised: String,
}

impl Broker {
    /// `None`, said loudly, when it is not installed.
    pub fn start() -> Option<Self> {
        let address = format!("127.0.0.1:{}", free_port());
        Self::behind(address.clone(), address)
    }

    /// One that sends its clients to another address, where a TLS front stands.
    pub fn start_behind(advertised: &str) -> Option<Self> {
        Self::behind(format!("127.0.0.1:{}", free_port()), advertised.to_owned())
    }

    fn behind(address: String, advertised: String) -> Option<Self> {
        installed("tansu")?;
        let mut broker = Self { process: None, address, advertised };
        broker.restart();
        Some(broker)
    }

    /// Ends it. What it holds is in memory and is gone.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// A new life on the same address, without topics.
    pub fn restart(&mut self) {
        self.stop();
        let program = installed("tansu").expect("it was installed before");
        let mut command = Command::new(program);
        command
            .arg("broker")
            .args(["--listener-url", &format!("tcp://{}", self.address)])
            .args(["--advertised-listener-url", &format!("tcp://{}", self.advertised)])
            .args(["--storage-engine", "memory://tansu/"]);
        self.process = Some(Process::start(&mut command, &self.address));
    }

    /// A new topic.
    pub fn topic(&self, name: &str, partitions: i32) -> Topic {
        self.topic_over(name, partitions, &self.address, &[])
    }

    /// As [`Broker::topic`], by way of another address with properties of librdkafka.
    pub fn topic_over(
        &self,
        name: &str,
        partitions: i32,
        address: &str,
        properties: &[(&str, &str)],
    ) -> Topic {
        let mut client = self.client();
        client.set("bootstrap.servers", address);
        for (property, value) in properties {
            client.set(*property, *value);
        }
        let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
        let topics = [NewTopic::new(name, partitions, TopicReplication::Fixed(1))];
        let options = AdminOptions::new();
        let made = futures::executor::block_on(admin.create_topics(&topics, &options)).unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        Topic::of(client, name)
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.address).set("message.timeout.ms", "20000");
        client
    }

    /// The offset that a group has committed of a partition, when it has.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let group: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let list = group.committed_offsets(list, WAIT).unwrap();
        list.elements()[0].offset().to_raw().filter(|offset| *offset >= 0)
    }
}

/// The writing side of a topic. Idempotent, so that its own retries double nothing.
pub struct Topic {
    name: String,
    single: FutureProducer,
    batched: FutureProducer,
}

impl Topic {
    fn of(mut client: ClientConfig, name: &str) -> Self {
        client.set("enable.idempotence", "true").set("batch.num.messages", "1");
        let single = client.create().unwrap();
        client.remove("batch.num.messages");
        let batched = client.set("linger.ms", "30").create().unwrap();
        Self { name: name.to_owned(), single, batched }
    }

    /// Sends messages, each a batch of its own; for each, whether the broker has acknowledged it.
    pub fn send(&self, partition: i32, payloads: &[String]) -> Vec<bool> {
        self.send_by(&self.single, partition, payloads)
    }

    /// As [`Topic::send`], together as one batch while they are not too many for one.
    pub fn send_batch(&self, partition: i32, payloads: &[String]) -> Vec<bool> {
        self.send_by(&self.batched, partition, payloads)
    }

    /// As [`Topic::send`]; all must be acknowledged.
    pub fn produce(&self, partition: i32, payloads: &[String]) {
        assert!(self.send(partition, payloads).iter().all(|acknowledged| *acknowledged));
    }

    /// As [`Topic::send_batch`]; all must be acknowledged.
    pub fn produce_batch(&self, partition: i32, payloads: &[String]) {
        assert!(self.send_batch(partition, payloads).iter().all(|acknowledged| *acknowledged));
    }

    fn send_by(&self, by: &FutureProducer, partition: i32, payloads: &[String]) -> Vec<bool> {
        let sent: Vec<_> = payloads
            .iter()
            .map(|payload| {
                let record = FutureRecord::<(), _>::to(&self.name).partition(partition);
                by.send_result(record.payload(payload)).ok()
            })
            .collect();
        let answered = sent.into_iter().map(|sending| {
            let answer = sending.map(futures::executor::block_on);
            matches!(answer, Some(Ok(Ok(_))))
        });
        answered.collect()
    }
}
