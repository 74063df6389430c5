//! Against a real broker, which `scripts/test-deps.sh` installs. Without it these tests say that they
//! were skipped; with `CI=true` that is a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use servers::{Authority, Broker, Front, free_port};

use super::ask::ASK;
use super::*;
use crate::source::Resume;
use crate::testing::{Lake, Running};

fn options(address: &str, topics: &[&str]) -> KafkaOptions {
    let fast = [("session.timeout.ms", "2000"), ("heartbeat.interval.ms", "500")];
    KafkaOptions {
        brokers: vec![address.to_owned()],
        topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        properties: fast.map(|(k, v)| (k.to_owned(), Secret::new(v))).into(),
        ..KafkaOptions::default()
    }
}

fn run(lake: &Lake, options: KafkaOptions) -> Running {
    lake.start(Box::new(KafkaSource::new("test", "t", options).unwrap()))
}

/// Reads to the end; the new records, sorted.
async fn until_end(
    lake: &Lake,
    options: KafkaOptions,
) -> (Vec<String>, Result<Summary, SourceError>) {
    let result = run(lake, KafkaOptions { until_end: true, ..options }).end().await;
    let mut records = lake.take();
    records.sort();
    (records, result)
}

fn payloads(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("{{\"n\":{n:05}}}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn until_the_end_and_then_only_what_is_new() {
    let Some(broker) = Broker::start() else { return };
    let (lake, options) = (Lake::default(), options(&broker.address, &["audit"]));
    let topic = broker.topic("audit", 3);
    topic.produce(0, &payloads(0..300));
    topic.produce(1, &["{\"Records\":[{\"a\":1},{\"a\":2}]}".to_owned()]);
    let (records, summary) = until_end(&lake, options.clone()).await;
    assert_eq!(records.len(), 302);
    assert_eq!(summary.unwrap().records, 302);
    assert_eq!(lake.resume.lock()["audit-0"].upto, 300);
    let (records, _) = until_end(&lake, options.clone()).await;
    assert_eq!(records.len(), 0, "the lake's position wins");
    topic.produce(0, &payloads(300..305));
    assert_eq!(until_end(&lake, options).await.0, payloads(300..305));
    // The group's offsets follow, as a hint.
    assert_eq!(broker.committed("mantissa", "audit", 0), Some(305));
}

/// The broker tells as a partition's end the first offset of its last batch and one.
#[tokio::test(flavor = "multi_thread")]
async fn batches_of_many_are_read_to_their_end_and_on_from_there() {
    let Some(broker) = Broker::start() else { return };
    let (lake, options) = (Lake::default(), options(&broker.address, &["many"]));
    let topic = broker.topic("many", 2);
    for (from, upto) in [(0, 9_000), (9_000, 9_200), (9_200, 18_000)] {
        topic.produce_batch(0, &payloads(from..upto));
        let (records, result) = until_end(&lake, options.clone()).await;
        result.unwrap();
        assert_eq!(records, payloads(from..upto));
        assert_eq!(lake.resume.lock()["many-0"].upto, u64::from(upto));
    }
    let (records, result) = until_end(&lake, options.clone()).await;
    assert_eq!((records.len(), result.unwrap().records), (0, 0), "a place beyond the told end");
    // And so in a group.
    let running = run(&lake, options);
    topic.produce_batch(0, &payloads(18_000..18_100));
    assert_eq!(running.wait_for(100).await, payloads(18_000..18_100));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn until_end_of_a_topic_that_is_written_to_all_the_time() {
    let Some(broker) = Broker::start() else { return };
    let lake = Lake::default();
    let (busy, calm) = (broker.topic("busy", 1), broker.topic("calm", 2));
    busy.produce_batch(0, &payloads(0..1_000));
    calm.produce_batch(1, &payloads(1_000..1_500));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let writing = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            busy.produce_batch(0, &payloads(50_000..50_020));
        }
    });
    let (records, result) = until_end(&lake, options(&broker.address, &["busy", "calm"])).await;
    stop.store(true, Ordering::Relaxed);
    writing.join().unwrap();
    result.unwrap();
    let old: Vec<_> = records.into_iter().filter(|r| *r < payloads(50_000..50_001)[0]).collect();
    assert_eq!(old, payloads(0..1_500), "what was there at the start, of both topics");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_follows_and_goes_on_after_a_restart() {
    let Some(broker) = Broker::start() else { return };
    let (lake, options) = (Lake::default(), options(&broker.address, &["live"]));
    let topic = broker.topic("live", 2);
    topic.produce(0, &payloads(0..10));
    let running = run(&lake, options.clone());
    running.wait_for(10).await;
    topic.produce(1, &payloads(10..20));
    running.wait_for(20).await;
    running.stop().await.unwrap();
    topic.produce(1, &payloads(20..30));
    let running = run(&lake, options);
    assert_eq!(running.wait_for(30).await, payloads(0..30));
    running.stop().await.unwrap();
}

/// Writes numbered batches to four partitions until it is stopped; how many messages.
fn write_on(
    topic: servers::Topic,
) -> (Arc<AtomicBool>, std::thread::JoinHandle<(servers::Topic, u32)>) {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let writing = std::thread::spawn(move || {
        let mut sent = 0;
        while !stopped.load(Ordering::Relaxed) {
            topic.produce_batch((sent / 20 % 4) as i32, &payloads(sent..sent + 20));
            sent += 20;
        }
        (topic, sent)
    });
    (stop, writing)
}

/// Two members, each with a lake of its own that takes its time: what one gives back, the other goes
/// on with.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_share_and_lose_and_double_nothing() {
    let Some(broker) = Broker::start() else { return };
    let options = options(&broker.address, &["shared"]);
    let slow = || Lake { delay: Duration::from_millis(100), ..Lake::default() };
    let (one, two) = (slow(), slow());
    let has = async |lake: &Lake, more_than: usize| {
        for _ in 0..2_000 {
            if lake.records.lock().len() > more_than {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no more than {more_than} records");
    };
    let (stop, writing) = write_on(broker.topic("shared", 4));
    let first = run(&one, options.clone());
    has(&one, 100).await;
    let second = run(&two, options);
    has(&two, 100).await;
    // It goes again, and the first reads on where it was.
    second.stop().await.unwrap();
    let before = one.records.lock().len();
    has(&one, before + 500).await;
    stop.store(true, Ordering::Relaxed);
    let (_, sent) = writing.join().unwrap();
    let all = || [one.records.lock().clone(), two.records.lock().clone()].concat();
    for _ in 0..1_000 {
        if all().len() >= sent as usize {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.stop().await.unwrap();
    let mut all = all();
    all.sort();
    assert_eq!(all.len(), sent as usize);
    assert_eq!(all, payloads(0..sent));
}

/// Why also partitions that leave are resumed when there is room again.
#[test]
fn the_client_keeps_the_pause_of_a_partition_that_goes_and_comes_back() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("paused", 1).produce(0, &payloads(0..3));
    let consumer: BaseConsumer =
        options(&broker.address, &["paused"]).client().set("group.id", "g").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("paused", 0, Offset::Beginning).unwrap();
    let reads = || (0..30).any(|_| matches!(consumer.poll(ASK / 100), Some(Ok(_))));
    consumer.assign(&list).unwrap();
    assert!(reads());
    consumer.pause(&list).unwrap();
    consumer.unassign().unwrap();
    assert!(!reads());
    consumer.assign(&list).unwrap();
    assert!(!reads(), "it is not paused any more");
    consumer.resume(&list).unwrap();
    assert!(reads());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_the_broker_does_not_have_halts_the_partition() {
    let Some(broker) = Broker::start() else { return };
    let lake = Lake::default();
    let topic = broker.topic("anew", 2);
    topic.produce(0, &payloads(0..5));
    topic.produce(1, &payloads(5..10));
    let beyond = Resume { upto: 1_000, state: None };
    lake.resume.lock().insert("anew-0".into(), beyond);
    let (records, result) = until_end(&lake, options(&broker.address, &["anew"])).await;
    assert_eq!(records, payloads(5..10), "the other partition is read");
    let error = result.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Position);
    assert!(error.message.contains("anew-0 at 1000 (broker: 0 to 5)"), "{}", error.message);

    // A person lets it begin anew; the group's own offset, were there one, is of the generation before.
    let anew = |n: u32| {
        let generations = [("anew-0".to_owned(), n)].into();
        KafkaOptions { generations, ..options(&broker.address, &["anew"]) }
    };
    let (records, result) = until_end(&lake, anew(2)).await;
    result.unwrap();
    assert_eq!(records, payloads(0..5), "and the other one is not read again");
    topic.produce(0, &payloads(10..12));
    assert_eq!(until_end(&lake, anew(2)).await.0, payloads(10..12));
    assert_eq!(broker.committed("mantissa", "anew", 0), Some(7));
    let upto = |name: &str| lake.resume.lock()[name].upto;
    assert_eq!((upto("anew-0"), upto("anew-0/2"), upto("anew-1")), (1_000, 7, 5));
    let latest = KafkaOptions { start: Start::Latest, ..anew(3) };
    assert_eq!(until_end(&lake, latest).await.0.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_waited_for() {
    let Some(mut broker) = Broker::start() else { return };
    broker.stop();
    let lake = Lake::default();
    let running = run(&lake, options(&broker.address, &["later"]));
    tokio::time::sleep(Duration::from_secs(2)).await;
    broker.restart();
    broker.topic("later", 1).produce(0, &payloads(0..3));
    assert_eq!(running.wait_for(3).await, payloads(0..3));
    running.stop().await.unwrap();
}

fn with(mut options: KafkaOptions, properties: &[(&str, &str)]) -> KafkaOptions {
    let more = properties.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
    options.properties.extend(more);
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_read_over_tls_and_must_be_trusted() {
    let port = free_port();
    let front = format!("localhost:{port}");
    let Some(broker) = Broker::start_behind(&front) else { return };
    let (authority, dir) = (Authority::default(), tempfile::tempdir().unwrap());
    let _front = Front::start(port, &authority.server(), &broker.address);
    let trusted = dir.path().join("ca.pem");
    std::fs::write(&trusted, authority.certificate()).unwrap();
    let tls = [("security.protocol", "ssl"), ("ssl.ca.location", trusted.to_str().unwrap())];
    // The writer too is sent through the front.
    broker.topic_over("audit", 1, &front, &tls).produce_batch(0, &payloads(0..40));
    let lake = Lake::default();
    let options = options(&front, &["audit"]);
    let (records, result) = until_end(&lake, with(options.clone(), &tls)).await;
    result.unwrap();
    assert_eq!(records, payloads(0..40));

    // Without the authority the broker is not trusted, and the error says so.
    let (records, result) = until_end(&lake, with(options, &tls[..1])).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind, records.len()), (ErrorKind::Refused, 0));
    assert!(error.message.contains("certificate verify failed"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_an_error_that_keeps_the_secret() {
    let Some(broker) = Broker::start() else { return };
    let sasl = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "SCRAM-SHA-256"),
        ("sasl.username", "reader"),
        ("sasl.password", "hunter2"),
    ];
    let lake = Lake::default();
    let options = with(options(&broker.address, &["audit"]), &sasl);
    let (records, result) = until_end(&lake, options).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind, records.len()), (ErrorKind::Refused, 0), "{error}");
    assert!(error.message.contains("SCRAM-SHA-256"), "{}", error.message);
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
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
