//! Queues and buckets of an emulator, also one that fails.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::SdkConfig;
use serde_json::{Value, json};
use servers::{Bucket, Faults, free_port};

use super::*;
use crate::decode::flows::tests as parquet;
use crate::decode::tests::gzip;
use crate::testing::{Lake, NAMES, Running};

struct Site {
    bucket: Bucket,
    client: aws_sdk_sqs::Client,
    queue_url: String,
}

impl Site {
    /// `None`: the emulator is not installed.
    async fn start() -> Option<Self> {
        // As the program does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let bucket = Bucket::start()?;
        let config: SdkConfig = aws(&bucket.endpoint()).load().await;
        let client = aws_sdk_sqs::Client::new(&config);
        let made = client.create_queue().queue_name("logs").send().await.unwrap();
        let queue_url = made.queue_url.unwrap();
        Some(Self { bucket, client, queue_url })
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        self.bucket.put(key, bytes);
    }

    async fn send(&self, body: &Value) {
        let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        let sent = self.client.send_message().queue_url(&self.queue_url).message_body(body);
        sent.send().await.unwrap();
    }

    /// Waits until nothing is in the queue, neither waiting nor with a reader.
    async fn is_empty(&self) {
        let queue = Queue::new(&aws(&self.bucket.endpoint()).load().await, &self.queue_url, 30);
        // An answer that was lost keeps its messages from everybody for half a minute.
        for _ in 0..1_200 {
            let standing = queue.standing().await.unwrap();
            if standing.visible + standing.taken == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("messages are left: {:?}", queue.standing().await);
    }

    fn options(&self) -> AwsS3Options {
        let aws = aws(&self.bucket.endpoint());
        let queue_url = Some(self.queue_url.clone());
        AwsS3Options { aws, queue_url, visibility_s: 30, ..AwsS3Options::default() }
    }
}

use super::queue::Queue;

fn aws(endpoint: &str) -> AwsOptions {
    AwsOptions {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        access_key_id: Some("test".to_owned()),
        secret_access_key: Some(event::Secret::new("test".to_owned())),
        ..AwsOptions::default()
    }
}

fn start(lake: &Lake, options: AwsS3Options) -> Running {
    lake.start(Box::new(AwsS3Source::new("test", "aws.cloudtrail", options).unwrap()))
}

fn trail(names: &[&str]) -> Vec<u8> {
    let records: Vec<_> = names.iter().map(|name| json!({ "eventID": name })).collect();
    json!({ "Records": records }).to_string().into_bytes()
}

fn record(name: &str) -> String {
    json!({ "eventID": name }).to_string()
}

fn created(key: &str) -> Value {
    json!({"Records": [{"eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName":
        "ObjectCreated:Put", "s3": {"bucket": {"name": "bucket"}, "object": {"key": key}}}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_announced_is_read_once_in_every_shape() {
    let Some(site) = Site::start().await else { return };
    let two = [gzip(&trail(&["a", "b"])), gzip(&trail(&["c"]))].concat();
    site.put("AWSLogs/1/a b+c=d.json.gz", &two);
    site.put("AWSLogs/1/zstd", &zstd::encode_all(&trail(&["d"])[..], 1).unwrap());
    site.put("AWSLogs/1/plain", &trail(&["e"]));
    site.put("AWSLogs/1/topic", &trail(&["f"]));
    site.put("AWSLogs/1/nothing", &Vec::new());
    site.put("AWSLogs/1/CloudTrail-Digest/x.json", &trail(&["never"]));
    site.send(&created("AWSLogs/1/a+b%2Bc%3Dd.json.gz")).await;
    site.send(&json!({"Type": "Notification", "Message": created("AWSLogs/1/zstd").to_string()}))
        .await;
    site.send(&json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket":
        {"name": "bucket"}, "object": {"key": "AWSLogs/1/plain"}}}))
        .await;
    let several = ["AWSLogs/1/topic", "AWSLogs/1/nothing", "AWSLogs/1/CloudTrail-Digest/x.json"];
    site.send(&json!({"s3Bucket": "bucket", "s3ObjectKey": several})).await;
    site.send(&json!({"Event": "s3:TestEvent"})).await;
    site.send(&json!("what is this?")).await;
    site.send(&created("AWSLogs/1/gone.json.gz")).await;
    let lake = Lake::default();
    let running = start(&lake, site.options());
    let expected = ["a", "b", "c", "d", "e", "f"].map(record);
    assert_eq!(running.wait_for(6).await, expected);
    site.is_empty().await;
    // Everything once more, and an object that was written again.
    site.put("AWSLogs/1/plain", &trail(&["g"]));
    for key in ["AWSLogs/1/a+b%2Bc%3Dd.json.gz", "AWSLogs/1/zstd", "AWSLogs/1/plain"] {
        site.send(&created(key)).await;
    }
    assert_eq!(running.wait_for(7).await[6], record("g"));
    site.is_empty().await;
    running.stop().await.unwrap();
    let rejects = lake.rejects.lock().clone();
    let reasons: Vec<_> = rejects.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.iter().any(|r| r.contains("no announcement")), "{reasons:?}");
    assert!(reasons.iter().any(|r| r.contains("gone.json.gz: it is not there")), "{reasons:?}");
    assert!(rejects.iter().any(|(_, bytes)| bytes == b"what is this?"), "its bytes are kept");
    // A new life knows what was read.
    site.send(&created("AWSLogs/1/zstd")).await;
    let running = start(&lake, site.options());
    site.is_empty().await;
    running.stop().await.unwrap();
    assert_eq!(lake.take().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_loses_and_doubles_nothing() {
    let Some(site) = Site::start().await else { return };
    let port = free_port();
    let faults = Faults::start(port, &site.bucket.address, 7);
    let through = |options: AwsS3Options| {
        let aws = aws(&format!("http://127.0.0.1:{port}"));
        let path = options.queue_url.as_ref().and_then(|url| url.split_once("/123456789012/"));
        let queue_url =
            path.map(|(_, name)| format!("http://127.0.0.1:{port}/123456789012/{name}"));
        AwsS3Options { aws, queue_url, ..options }
    };
    let mut expected = Vec::new();
    for n in 0..30 {
        let lines: Vec<_> = (0..300).map(|line| record(&format!("{n}-{line}"))).collect();
        site.put(&format!("o{n}"), &lines.join("\n").into_bytes());
        site.send(&created(&format!("o{n}"))).await;
        expected.extend(lines);
    }
    expected.sort();
    faults.set(150);
    let lake = Lake { delay: Duration::from_millis(5), ..Lake::default() };
    // Lives that end early, and one that may end.
    for life in 0..4 {
        let running = start(&lake, through(site.options()));
        if life < 3 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            running.stop().await.unwrap();
            continue;
        }
        let have = running.wait_for(expected.len()).await;
        assert_eq!(have, expected);
        faults.set(0);
        site.is_empty().await;
        running.stop().await.unwrap();
    }
    assert!(lake.rejects.lock().is_empty());
    assert!(!faults.counts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_finds_what_comes_late_and_what_is_written_again() {
    let Some(site) = Site::start().await else { return };
    let options = |once| AwsS3Options {
        listing: Some(ListingOptions {
            bucket: "bucket".to_owned(),
            prefixes: vec!["logs/a".to_owned()],
            every_s: 1,
            once,
            ..ListingOptions::default()
        }),
        queue_url: None,
        ..site.options()
    };
    site.put("logs/a/9", &trail(&["nine"]));
    site.put("logs/b/1", &trail(&["never"]));
    let lake = Lake::default();
    let first = start(&lake, options(true)).end().await.unwrap();
    assert_eq!((first.opened, lake.records.lock().len()), (1, 1));
    let running = start(&lake, options(false));
    site.put("logs/a/1", &trail(&["one, before nine"]));
    running.wait_for(2).await;
    site.put("logs/a/9", &trail(&["nine, written again"]));
    running.wait_for(3).await;
    running.stop().await.unwrap();
    let again = start(&lake, options(true)).end().await.unwrap();
    assert_eq!((again.opened, lake.take().len()), (0, 3), "everything was read before");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_key_holds_its_object_is_read_under_that_key() {
    let Some(site) = Site::start().await else { return };
    let mut expected = Vec::new();
    for name in NAMES {
        site.put(name, &trail(&[name]));
        expected.push(record(name));
    }
    site.put("folder/", b"");
    expected.sort();
    let listing = ListingOptions { bucket: "bucket".to_owned(), once: true, ..Default::default() };
    let listing = AwsS3Options { queue_url: None, listing: Some(listing), ..site.options() };
    let lake = Lake::default();
    let summary = start(&lake, listing).end().await.unwrap();
    let mut found = lake.take();
    found.sort();
    assert_eq!((found, summary.opened), (expected.clone(), NAMES.len() as u64));
    // The same, announced.
    for name in NAMES.iter().chain(&["folder/"]) {
        let detail = json!({"bucket": {"name": "bucket"}, "object": {"key": name}});
        let bridge = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": detail});
        site.send(&bridge).await;
    }
    let announced = Lake::default();
    let running = start(&announced, site.options());
    assert_eq!(running.wait_for(NAMES.len()).await, expected);
    site.is_empty().await;
    running.stop().await.unwrap();
    assert!(lake.rejects.lock().is_empty() && announced.rejects.lock().is_empty());
}

/// The emulator checks every signature, who signed it, and what the role's owner wants to hear. Of parts that are
/// nothing but dots it wants the slashes signed as they are sent, percent-encoded, where S3 wants slashes.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_taken_on_and_every_request_is_signed_as_it() {
    let Some(site) = Site::start().await else { return };
    let names = NAMES.into_iter().filter(|name| !name.contains("/../") && !name.contains("/./"));
    let names: Vec<_> = names.collect();
    for name in &names {
        site.put(name, &trail(&[name]));
        let detail = json!({"bucket": {"name": "bucket"}, "object": {"key": name}});
        site.send(&json!({"source": "aws.s3", "detail-type": "Object Created", "detail": detail}))
            .await;
    }
    let member = site.bucket.guard("deadbolt-7");
    let as_member = |role_arn: Option<&str>, external_id: &str| AwsOptions {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(site.bucket.endpoint()),
        access_key_id: Some(member.access_key_id.clone()),
        secret_access_key: Some(event::Secret::new(member.secret_access_key.clone())),
        role_arn: role_arn.map(str::to_owned),
        external_id: role_arn.map(|_| event::Secret::new(external_id.to_owned())),
        ..AwsOptions::default()
    };
    let aws = as_member(Some(&member.role_arn), "deadbolt-7");
    let listing = ListingOptions { bucket: "bucket".to_owned(), once: true, ..Default::default() };
    let listed = |aws| AwsS3Options {
        aws,
        queue_url: None,
        listing: Some(listing.clone()),
        ..site.options()
    };
    let wrong = as_member(Some(&member.role_arn), "deadbolt-8");
    for (aws, expected) in [(as_member(None, ""), "AccessDenied"), (wrong, "no credentials")] {
        let options = listed(aws);
        let source = AwsS3Source::new("test", "aws.cloudtrail", options).unwrap();
        let found = Box::new(source).probe().await.unwrap().unwrap();
        let trouble = found.findings[0].trouble.clone().unwrap();
        assert!(trouble.contains(expected) && !trouble.contains("deadbolt"), "{trouble}");
    }
    let mut expected: Vec<_> = names.iter().map(|name| record(name)).collect();
    expected.sort();
    let (there, announced) = (Lake::default(), Lake::default());
    start(&there, listed(aws.clone())).end().await.unwrap();
    let running = start(&announced, AwsS3Options { aws, ..site.options() });
    assert_eq!(running.wait_for(names.len()).await, expected);
    running.stop().await.unwrap();
    let mut found = there.take();
    found.sort();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_logs_in_parquet_are_records_of_their_text_once_over_early_ends() {
    let Some(site) = Site::start().await else { return };
    let rows = 20_000;
    // Known by what is in it, not by its name.
    site.put("AWSLogs/1/vpcflowlogs/a", &parquet::file(rows, 3_000));
    let whole = parquet::file(100, 50);
    site.put("AWSLogs/1/vpcflowlogs/b.log.parquet", &whole[..whole.len() / 2]);
    for key in ["a", "b.log.parquet"] {
        site.send(&created(&format!("AWSLogs/1/vpcflowlogs/{key}"))).await;
    }
    let lake = Lake { delay: Duration::from_millis(20), ..Lake::default() };
    let flows = || AwsS3Source::new("test", "aws.vpcflow", site.options()).unwrap();
    let mut ends = 0;
    while lake.records.lock().len() < rows {
        let running = lake.start(Box::new(flows()));
        tokio::time::sleep(Duration::from_millis(350)).await;
        let before = lake.records.lock().len();
        running.stop().await.unwrap();
        ends += u32::from(before > 0 && before < rows);
    }
    assert!(ends > 0, "no life ended in the middle");
    let running = lake.start(Box::new(flows()));
    site.is_empty().await;
    running.stop().await.unwrap();
    assert_eq!(lake.take(), (0..rows).map(parquet::flow).collect::<Vec<_>>());
    let rejects = lake.rejects.lock().clone();
    let reasons: Vec<_> = rejects.iter().map(|(reason, _)| reason.as_str()).collect();
    assert!(reasons.len() == 1 && reasons[0].contains("Parquet that cannot"), "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said_in_words() {
    let Some(site) = Site::start().await else { return };
    let probe = |options| async {
        let source = AwsS3Source::new("test", "aws.cloudtrail", options).unwrap();
        Box::new(source).probe().await.unwrap().unwrap()
    };
    let good = probe(site.options()).await;
    assert!(good.is_good(), "{good:?}");
    assert!(good.findings.iter().any(|f| f.what.contains("redrive")), "{good:?}");
    let queue_url = Some(format!("{}-not", site.queue_url));
    let found = probe(AwsS3Options { queue_url, ..site.options() }).await;
    let trouble = found.findings[0].trouble.clone().unwrap();
    assert!(trouble.contains("there is no queue"), "{trouble}");
    let listing = |bucket: &str| AwsS3Options {
        queue_url: None,
        listing: Some(ListingOptions { bucket: bucket.to_owned(), ..ListingOptions::default() }),
        ..site.options()
    };
    site.put("k", &trail(&["a"]));
    let found = probe(listing("bucket")).await;
    assert!(found.is_good() && found.findings.iter().any(|f| f.what.contains("k can be read")));
    let found = probe(listing("nobody")).await;
    let trouble = found.findings[0].trouble.clone().unwrap();
    assert!(trouble.contains("there is no bucket nobody"), "{trouble}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let fault = |json: &str| serde_json::from_str::<AwsS3Options>(json).unwrap().fault();
    assert_eq!(fault(r#"{"queue_url":"https://q"}"#), None);
    assert_eq!(fault(r#"{"listing":{"bucket":"b"},"aws":{"region":"eu-west-1"}}"#), None);
    let wrong = BTreeMap::from([
        ("{}", "give a `queue_url`"),
        (r#"{"queue_url":"https://q","listing":{"bucket":"b"}}"#, "both"),
        (r#"{"queue_url":"logs"}"#, "no address"),
        (r#"{"listing":{}}"#, "bucket"),
        (r#"{"queue_url":"https://q","visibility_s":10}"#, "visibility_s"),
        (r#"{"queue_url":"https://q","messages_max":0}"#, "messages_max"),
        (r#"{"queue_url":"https://q","aws":{"access_key_id":"a"}}"#, "belong together"),
        (r#"{"queue_url":"https://q","aws":{"external_id":"a"}}"#, "for a `role_arn`"),
        (r#"{"queue_url":"https://q","aws":{"role_arn":"me"}}"#, "role_arn"),
        (r#"{"queue_url":"https://q","aws":{"endpoint":"s3"}}"#, "endpoint"),
    ]);
    for (json, words) in wrong {
        assert!(fault(json).is_some_and(|fault| fault.contains(words)), "{json}");
    }
    let options = AwsS3Options { include: vec!["AWSLogs/*".to_owned()], ..AwsS3Options::default() };
    assert!(options.wants("AWSLogs/1/CloudTrail/x.json.gz"));
    assert!(!options.wants("AWSLogs/1/CloudTrail-Digest/x.json.gz") && !options.wants("other/x"));
}
