use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use event::Secret;
use serde_json::json;
use servers::Kinesis;

use super::*;
use crate::decode::tests::gzip;
use crate::testing::Lake;
use crate::testing::front::{Fate, front};

fn options(stream: &str, endpoint: &str) -> KinesisOptions {
    let aws = AwsOptions {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        access_key_id: Some("test".to_owned()),
        secret_access_key: Some(Secret::new("test")),
        ..AwsOptions::default()
    };
    KinesisOptions { stream: stream.to_owned(), aws, every_ms: 200, ..KinesisOptions::default() }
}

fn source(options: KinesisOptions) -> Box<dyn Source> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Box::new(KinesisSource::new("test", "t", options).unwrap())
}

fn text(key: usize, number: usize) -> String {
    format!(r#"{{"key":{key:03},"n":{number:05}}}"#)
}

/// Records of some keys, in order within each.
fn records(keys: usize, numbers: std::ops::Range<usize>) -> Vec<(String, Vec<u8>)> {
    let record = |n: usize| (format!("key-{}", n % keys), text(n % keys, n).into_bytes());
    numbers.map(record).collect()
}

fn all(keys: usize, numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut all: Vec<String> = numbers.map(|n| text(n % keys, n)).collect();
    all.sort();
    all
}

/// What one key has put is in the lake in that order.
fn check_order(lake: &Lake) {
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for record in lake.records.lock().iter() {
        let key = record[..10].to_owned();
        let before = last.insert(key, record.clone());
        assert!(before.is_none_or(|before| before < *record), "{record} came too late");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_read_in_the_order_in_which_they_came_from_each_other() {
    let Some(server) = Kinesis::start() else { return };
    server.stream("s", 2);
    server.put("s", &records(40, 0..400));
    let lake = Lake { delay: Duration::from_millis(20), ..Lake::default() };
    let running = lake.start(source(options("s", &server.endpoint())));
    running.wait_for(400).await;
    let [first, second] = server.open_shards("s").try_into().unwrap();
    server.split("s", &first);
    server.put("s", &records(40, 400..800));
    running.wait_for(800).await;
    running.stop().await.unwrap();
    // While nobody reads, a half is merged with its neighbour, and there is more on both sides of that.
    server.put("s", &records(40, 800..1_000));
    let open = server.open_shards("s");
    let half = open.iter().rev().find(|shard| **shard != second).unwrap();
    server.merge("s", half, &second);
    server.put("s", &records(40, 1_000..1_200));
    let running = lake.start(source(options("s", &server.endpoint())));
    assert_eq!(running.wait_for(1_200).await, all(40, 0..1_200));
    let summary = running.stop().await.unwrap();
    assert_eq!(summary.records, 400, "nothing was read again");
    check_order(&lake);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_by_bad_answers() {
    let Some(server) = Kinesis::start() else { return };
    server.stream("s", 2);
    let error =
        |code: &str| Fate::Answer(400, json!({ "__type": code, "message": "m" }).to_string());
    let url = front(&server.endpoint(), move |asked| match (asked.target, asked.before % 12) {
        ("GetRecords", 1) => error("ProvisionedThroughputExceededException"),
        ("GetRecords", 2) => error("ExpiredIteratorException"),
        ("GetRecords", 4) => Fate::Lose,
        ("GetRecords", 5) => Fate::Cut,
        ("GetShardIterator", 1) => Fate::Answer(500, "<html>".to_owned()),
        ("DescribeStreamSummary" | "ListShards", 0) => error("LimitExceededException"),
        _ => Fate::Pass,
    });
    let lake = Lake::default();
    let running = lake.start(source(options("s", &url)));
    for part in 0..3 {
        server.put("s", &records(10, part * 200..(part + 1) * 200));
        running.wait_for((part + 1) * 200).await;
    }
    assert_eq!(running.wait_for(600).await, all(10, 0..600));
    let summary = running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (600, 0));
    check_order(&lake);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_together_or_compressed_comes_apart() {
    let Some(server) = Kinesis::start() else { return };
    server.stream("s", 1);
    // As CloudWatch Logs writes it, in this order.
    let message =
        |n: usize| format!(r#"{{"id":"{n}","timestamp":1,"message":{}}}"#, json!(text(0, n)));
    let logs = format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":["f"],"logEvents":[{},{}]}}"#,
        message(3),
        message(4)
    );
    let together = aggregate::tests::aggregated(&[
        text(0, 1).as_bytes(),
        &gzip(text(0, 2).as_bytes()),
        b"no json",
    ]);
    let mut torn = gzip(&[b'x'; 1_000]);
    torn.truncate(torn.len() - 3);
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(&vec![b' '; 200_000]).unwrap();
    let bomb = bomb.finish().unwrap();
    let datas = [
        text(0, 0).into_bytes(),
        together,
        gzip(logs.as_bytes()),
        torn.clone(),
        bomb,
        text(0, 5).into_bytes(),
    ];
    server.put("s", &datas.map(|data| ("key".to_owned(), data)));
    let lake = Lake::default();
    let options = KinesisOptions { record_bytes_max: 100_000, ..options("s", &server.endpoint()) };
    let running = lake.start(source(options));
    let expected = [vec!["no json".to_owned()], all(1, 0..6)].concat();
    assert_eq!(running.wait_for(7).await, expected);
    let summary = running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (7, 2));
    let rejects = lake.rejects.lock().clone();
    assert!(rejects[0].0.contains("cannot be read to its end") && rejects[0].1 == torn);
    assert!(rejects[1].0.contains("more than 100000 bytes"), "{}", rejects[1].0);
}

/// `latest` is decided once: what comes while nobody reads is not left out.
#[tokio::test(flavor = "multi_thread")]
async fn latest_is_the_moment_of_the_first_start() {
    let Some(server) = Kinesis::start() else { return };
    server.stream("s", 1);
    server.put("s", &records(1, 0..10));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let lake = Lake::default();
    let latest =
        || KinesisOptions { from: "latest".to_owned(), ..options("s", &server.endpoint()) };
    let running = lake.start(source(latest()));
    // The start is in the lake, and nothing else.
    for _ in 0..3_000 {
        if !lake.resume.lock().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(running.stop().await.is_ok() && !lake.resume.lock().is_empty());
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    server.put("s", &records(1, 10..20));
    let running = lake.start(source(latest()));
    assert_eq!(running.wait_for(10).await, all(1, 10..20));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_went_unread_is_said_to_be_lost() {
    let Some(server) = Kinesis::start() else { return };
    server.stream("s", 1);
    server.put("s", &records(1, 0..10));
    let lake = Lake::default();
    let running = lake.start(source(options("s", &server.endpoint())));
    running.wait_for(10).await;
    running.stop().await.unwrap();
    {
        let mut resume = lake.resume.lock();
        let (key, known) = resume
            .iter()
            .find(|(key, _)| key.contains("shardId"))
            .map(|(k, r)| (k.clone(), r.clone()))
            .unwrap();
        // As if there had been another one, and this one had been read days ago.
        resume.insert(key.replace("000000000000", "000000000007").into(), known.clone());
        let mut state: shard::State =
            serde_json::from_str(known.state.as_deref().unwrap()).unwrap();
        state.read_to_ms -= 48 * 3_600_000;
        let state = serde_json::to_string(&state).unwrap().into();
        resume.insert(key, crate::source::Resume { state: Some(state), ..known });
    }
    server.put("s", &records(1, 10..20));
    let running = lake.start(source(options("s", &server.endpoint())));
    assert_eq!(running.wait_for(20).await, all(1, 0..20));
    let gaps = running.standing.take().gaps;
    running.stop().await.unwrap();
    let hours: i64 = gaps.iter().map(|(from, to)| (to - from) / 3_600_000).sum();
    assert!(hours >= 23, "{gaps:?}");
    let lost = |resume: &crate::source::Resume| {
        resume.state.as_deref().is_some_and(|state| state.contains("\"is_over\":true"))
    };
    assert_eq!(lake.resume.lock().values().filter(|resume| lost(resume)).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_out_tells_what_is_missing() {
    let Some(server) = Kinesis::start() else { return };
    server.stream("s", 2);
    let probe = async |options: KinesisOptions| source(options).probe().await.unwrap().unwrap();
    let found = probe(options("s", &server.endpoint())).await;
    assert!(found.is_good(), "{found:?}");
    assert!(format!("{found:?}").contains("2 open shards, records are kept for 24 h"), "{found:?}");
    let found = probe(options("nope", &server.endpoint())).await;
    assert!(
        !found.is_good() && format!("{found:?}").contains("DescribeStreamSummary"),
        "{found:?}"
    );
    let url = front(&server.endpoint(), |asked| match asked.target {
        "GetRecords" => Fate::Answer(
            400,
            json!({ "__type": "AccessDeniedException", "Message": "no" }).to_string(),
        ),
        _ => Fate::Pass,
    });
    let found = format!("{:?}", probe(options("s", &url)).await);
    assert!(found.contains("the credential lacks kinesis:GetRecords on s"), "{found}");
}

#[test]
fn options_that_make_no_sense_are_refused_in_words() {
    let refused = |change: fn(&mut KinesisOptions)| {
        let mut options = options("s", "http://127.0.0.1:1");
        change(&mut options);
        KinesisSource::new("s", "t", options).unwrap_err().message
    };
    assert!(refused(|o| o.stream = String::new()).contains("`stream`"));
    assert!(refused(|o| o.stream = "arn:aws:s3:::bucket".to_owned()).contains("`stream`"));
    assert!(refused(|o| o.from = "yesterday".to_owned()).contains("`from`"));
    assert!(refused(|o| o.every_ms = 10).contains("`every_ms`"));
    assert!(refused(|o| o.answers_at_once_max = 0).contains("`answers_at_once_max`"));
    assert!(refused(|o| o.aws.secret_access_key = None).contains("belong together"));
    let arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/audit";
    let good = KinesisOptions { stream: arn.to_owned(), ..options("s", "http://127.0.0.1:1") };
    assert!(KinesisSource::new("s", "t", good).is_ok());
}
