//! Against a real broker, which `scripts/test-deps.sh` installs. Without it these tests say that they
//! were skipped; with `CI=true` that is a failure.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

use super::*;
use crate::source::Resume;
use crate::testing::{Lake, Running};

/// A broker on a free port of the loopback address; ends with the test.
struct Broker {
    process: Child,
    address: String,
    program: PathBuf,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Broker {
    fn start() -> Option<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let program = root.join(".deps/venv/bin/tansu");
        if !program.exists() {
            assert!(std::env::var_os("CI").is_none(), "run scripts/test-deps.sh first");
            #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
            {
                eprintln!("SKIPPED: no broker; scripts/test-deps.sh installs it");
            }
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let process = spawn(&program, &address);
        let broker = Self { process, address, program };
        broker.wait();
        Some(broker)
    }

    fn wait(&self) {
        for _ in 0..600 {
            if std::net::TcpStream::connect(&self.address).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the broker does not start");
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// A new life: the broker keeps everything in memory, so its topics are gone.
    fn restart(&mut self) {
        self.process = spawn(&self.program, &self.address);
        self.wait();
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address).set("message.timeout.ms", "20000");
        config
    }

    async fn topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<_> = self.client().create().unwrap();
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made = admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }

    /// One message a batch: the broker (Tansu 0.6.0) tells as a partition's end the first offset of
    /// its last batch and one, so a larger batch would seem to lie beyond the end.
    async fn produce(&self, topic: &str, partition: i32, payloads: &[String]) {
        self.produce_batches(topic, partition, payloads, 1).await;
    }

    async fn produce_batches(&self, topic: &str, partition: i32, payloads: &[String], batch: u32) {
        let mut client = self.client();
        client.set("batch.num.messages", batch.to_string()).set("linger.ms", "50");
        let producer: FutureProducer = client.create().unwrap();
        let sends = payloads.iter().map(|payload| {
            let record = FutureRecord::<(), _>::to(topic).partition(partition).payload(payload);
            producer.send(record, Duration::from_secs(20))
        });
        for sent in futures::future::join_all(sends).await {
            sent.unwrap();
        }
    }

    fn options(&self, topic: &str) -> KafkaOptions {
        let fast = [("session.timeout.ms", "2000"), ("heartbeat.interval.ms", "500")];
        KafkaOptions {
            brokers: vec![self.address.clone()],
            topics: vec![topic.to_owned()],
            properties: fast.map(|(k, v)| (k.to_owned(), Secret::new(v))).into(),
            ..KafkaOptions::default()
        }
    }

    fn run(&self, lake: &Lake, topic: &str) -> Running {
        lake.start(Box::new(KafkaSource::new("test", "t", self.options(topic)).unwrap()))
    }

    async fn until_end(
        &self,
        lake: &Lake,
        topic: &str,
    ) -> (Vec<String>, Result<Summary, SourceError>) {
        let options = KafkaOptions { until_end: true, ..self.options(topic) };
        let result =
            lake.start(Box::new(KafkaSource::new("test", "t", options).unwrap())).end().await;
        let mut records = lake.take();
        records.sort();
        (records, result)
    }
}

fn spawn(program: &PathBuf, address: &str) -> Child {
    let url = format!("tcp://{address}");
    let mut command = Command::new(program);
    command.args(["broker", "--listener-url", &url, "--advertised-listener-url", &url]);
    command.args(["--storage-engine", "memory://tansu/"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn payloads(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("{{\"n\":{n:05}}}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn until_the_end_and_then_only_what_is_new() {
    let Some(broker) = Broker::start() else { return };
    let lake = Lake::default();
    broker.topic("audit", 3).await;
    broker.produce("audit", 0, &payloads(0..3_000)).await;
    broker.produce("audit", 1, &["{\"Records\":[{\"a\":1},{\"a\":2}]}".to_owned()]).await;
    let (records, summary) = broker.until_end(&lake, "audit").await;
    assert_eq!(records.len(), 3_002);
    assert_eq!(summary.unwrap().records, 3_002);
    assert_eq!(lake.resume.lock()["audit-0"].upto, 3_000);
    let (records, _) = broker.until_end(&lake, "audit").await;
    assert_eq!(records.len(), 0, "the lake's position wins");
    broker.produce("audit", 0, &payloads(3_000..3_005)).await;
    assert_eq!(broker.until_end(&lake, "audit").await.0, payloads(3_000..3_005));
    // The group's offsets follow, as a hint.
    let group: BaseConsumer = broker.client().set("group.id", "mantissa").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition("audit", 0);
    let list = group.committed_offsets(list, Duration::from_secs(10)).unwrap();
    assert_eq!(list.elements()[0].offset(), Offset::Offset(3_005));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_follows_and_goes_on_after_a_restart() {
    let Some(broker) = Broker::start() else { return };
    let lake = Lake::default();
    broker.topic("live", 2).await;
    broker.produce("live", 0, &payloads(0..10)).await;
    let running = broker.run(&lake, "live");
    running.wait_for(10).await;
    broker.produce("live", 1, &payloads(10..20)).await;
    running.wait_for(20).await;
    running.stop().await.unwrap();
    broker.produce("live", 1, &payloads(20..30)).await;
    let running = broker.run(&lake, "live");
    assert_eq!(running.wait_for(30).await, payloads(0..30));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_the_broker_does_not_have_halts_the_partition() {
    let Some(broker) = Broker::start() else { return };
    let lake = Lake::default();
    broker.topic("anew", 2).await;
    broker.produce("anew", 0, &payloads(0..5)).await;
    broker.produce("anew", 1, &payloads(5..10)).await;
    let beyond = Resume { upto: 1_000, state: None };
    lake.resume.lock().insert("anew-0".into(), beyond);
    let (records, result) = broker.until_end(&lake, "anew").await;
    assert_eq!(records, payloads(5..10), "the other partition is read");
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Position);
    assert!(error.message.contains("anew-0 at 1000 (broker: 0 to 5)"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_waited_for() {
    let Some(mut broker) = Broker::start() else { return };
    broker.stop();
    let lake = Lake::default();
    let running = broker.run(&lake, "later");
    tokio::time::sleep(Duration::from_secs(2)).await;
    broker.restart();
    broker.topic("later", 1).await;
    broker.produce("later", 0, &payloads(0..3)).await;
    assert_eq!(running.wait_for(3).await, payloads(0..3));
    running.stop().await.unwrap();
}

#[test]
fn options_are_checked_and_secrets_not_shown() {
    let options = |name: &str, value: &str| KafkaOptions {
        brokers: vec!["127.0.0.1:1".to_owned()],
        topics: vec!["t".to_owned()],
        properties: [(name.to_owned(), Secret::new(value))].into(),
        ..KafkaOptions::default()
    };
    let check = |options: KafkaOptions, expected: &str| {
        assert!(!format!("{options:?}").contains("hunter2"));
        let message = KafkaSource::new("s", "t", options).unwrap_err().message;
        assert!(message.contains(expected) && !message.contains("hunter2"), "{message}");
    };
    check(KafkaOptions::default(), "`brokers` and `topics`");
    check(options("no.such.property", "hunter2"), "\"no.such.property\"");
    check(options("enable.auto.commit", "true"), "the source's own");
    assert!(KafkaSource::new("s", "t", options("sasl.password", "hunter2")).is_ok());
}
