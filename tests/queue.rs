//! A topic of a real broker from outside: its making, a producer that knows what was acknowledged, and
//! `--until-end`.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::support::{Server, column_counts, ok};

/// A source `queue` for a configuration. The broker waits half a session before a group may begin.
pub fn config(address: &str, topic: &str) -> String {
    format!(
        "  queue:
    log_type: aws.vpcflow
    kafka:
      brokers: [\"{address}\"]
      topics: [{topic}]
      properties: {{session.timeout.ms: \"2000\", heartbeat.interval.ms: \"500\"}}
"
    )
}

pub fn make_topic(address: &str, name: &str, partitions: i32) {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", address);
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let topics = [topic];
    let options = AdminOptions::new();
    let made = futures::executor::block_on(admin.create_topics(&topics, &options)).unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

/// Idempotent, so that its own retries double nothing. One message a batch: the broker (Tansu 0.6.0)
/// tells as a partition's end the first offset of its last batch and one.
pub fn producer(address: &str) -> FutureProducer {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", address)
        .set("enable.idempotence", "true")
        .set("batch.num.messages", "1")
        .set("message.timeout.ms", "20000");
    client.create().unwrap()
}

/// Sends numbered lines to two partitions by turns; the numbers that were acknowledged.
pub fn produce(producer: &FutureProducer, topic: &str, lines: &[(usize, String)]) -> Vec<usize> {
    let sent: Vec<_> = lines
        .iter()
        .filter_map(|(n, line)| {
            let partition = i32::from(!n.is_multiple_of(2));
            let record = FutureRecord::<(), _>::to(topic).partition(partition).payload(line);
            producer.send_result(record).ok().map(|sending| (*n, sending))
        })
        .collect();
    let answered = sent.into_iter().map(|(n, sending)| {
        let answer = futures::executor::block_on(sending);
        matches!(answer, Ok(Ok(_))).then_some(n)
    });
    answered.flatten().collect()
}

/// How many messages the group has confirmed, which it does after they are in the lake.
pub fn committed(address: &str, topic: &str, partitions: i32) -> i64 {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", address).set("group.id", "mantissa");
    let group: BaseConsumer = client.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let list = group.committed_offsets(list, Duration::from_secs(10)).unwrap();
    list.elements().iter().filter_map(|e| e.offset().to_raw()).filter(|n| *n > 0).sum()
}

#[test]
fn until_end_reads_what_is_there_and_then_what_is_new() {
    let Some(broker) = Server::broker() else { return };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let source = config(&broker.address, "flows");
    let config = format!("lake: {{url: {}}}\nsources:\n{source}", at("lake"));
    std::fs::write(at("mantissa.yaml"), config).unwrap();
    make_topic(&broker.address, "flows", 2);
    let producer = producer(&broker.address);
    for (from, upto) in [(0, 100), (100, 130), (130, 130)] {
        let lines: Vec<_> = (from..upto).map(|n| (n, flow(n))).collect();
        assert_eq!(produce(&producer, "flows", &lines).len(), upto - from);
        ok(&["run", "--until-end", "--config", &at("mantissa.yaml")]);
        let have = column_counts(&dir.path().join("lake"), "aws_vpcflow", "interface_id");
        assert_eq!(have.len(), upto);
        assert!(have.values().all(|count| *count == 1), "{have:?}");
    }
}

fn flow(number: usize) -> String {
    format!(
        "2 123456789012 eni-{number} 10.0.0.5 198.51.100.9 50000 443 6 10 840 1763633700 1763633760 \
         ACCEPT OK"
    )
}
