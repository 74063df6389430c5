//! Deliveries of Amazon Data Firehose: their shapes, the exact form of the answers, and what comes twice.

use base64::Engine as _;
use serde_json::{Value, json};

use super::*;
use crate::framing::Frames;
use crate::http::{entry, firehose};

fn delivery(id: &str, records: &[&[u8]]) -> String {
    let data = |record: &&[u8]| json!({ "data": base64::engine::general_purpose::STANDARD.encode(record) });
    let records: Vec<Value> = records.iter().map(data).collect();
    json!({ "requestId": id, "timestamp": 1_578_090_901_599_i64, "records": records }).to_string()
}

impl Server {
    async fn deliver(&self, id: &str, key: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.client.post(format!("{}/v1/firehose", self.base));
        let request = request.header("x-amz-firehose-access-key", key);
        let request = request.header("x-amz-firehose-request-id", id).body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json");
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["requestId"], id);
        let age_ms = now_ms() - answer["timestamp"].as_i64().unwrap();
        assert!((0..60_000).contains(&age_ms), "{answer}");
        (status, answer)
    }
}

fn now_ms() -> i64 {
    crate::assembler::now().0 / 1_000_000
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_of_a_delivery_is_taken_and_answered_in_form() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let server = start(&lake, options(dir.path()));
    let lines =
        delivery("a", &[b"{\"n\":1}\n{\"n\":2}\n", b"{\"n\":3}", b"{\"n\":4}", b"{\"n\":5}\n"]);
    let (status, answer) = server.deliver("a", "s3cret", lines).await;
    assert_eq!(status, 200);
    assert!(answer.get("errorMessage").is_none(), "{answer}");
    let logs = r#"{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":["f"],"logEvents":[{"id":"1","timestamp":1,"message":"{\"n\":6}"},{"id":"2","timestamp":2,"message":"{\"n\":7}"}]}"#;
    let control = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE: Checking health of destination Firehose."}]}"#;
    let packed = [gzip(logs.as_bytes()), gzip(control.as_bytes())];
    let body = delivery("b", &[&packed[0], &packed[1]]);
    assert_eq!(server.deliver("b", "second", body).await.0, 200);
    // The whole body may be compressed as well; a delivery of nothing is good.
    let body = gzip(delivery("c", &[b"{\"n\":8}"]).as_bytes());
    assert_eq!(server.deliver("c", "s3cret", body).await.0, 200);
    assert_eq!(server.deliver("d", "s3cret", delivery("d", &[])).await.0, 200);
    let broken = &packed[0][..packed[0].len() - 9];
    assert_eq!(server.deliver("e", "s3cret", delivery("e", &[broken, b"{\"n\":9}"])).await.0, 200);
    let records = server.running.wait_for(9).await;
    let expected: Vec<String> = (1..10).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(records, expected);
    let summary = server.running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (9, 1));
    let rejects = lake.rejects.lock().clone();
    assert!(rejects[0].0.contains("gzip") && rejects[0].1 == broken, "{rejects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_answered_in_form_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let server = start(&lake, HttpOptions { body_bytes_max: 10_000, ..options(dir.path()) });
    let good = || delivery("a", &[b"{\"n\":1}"]);
    let bomb = gzip(&[b' '; 50_000]);
    let cases: [(&str, String, u16, &str); 7] = [
        ("wrong", good(), 401, "not accepted"),
        ("", good(), 401, "not accepted"),
        ("s3cret", "{}".to_owned(), 400, "not a delivery"),
        (
            "s3cret",
            r#"{"requestId":"a","records":[{"data":"!"}]}"#.to_owned(),
            400,
            "not a delivery",
        ),
        ("s3cret", delivery("", &[b"{}"]), 400, "not a delivery"),
        ("s3cret", delivery("a", &[&[b'x'; 9_000]]), 413, "too large"),
        ("s3cret", delivery("a", &[&bomb]), 413, "too large"),
    ];
    for (key, body, expected, words) in cases {
        let (status, answer) = server.deliver("a", key, body).await;
        assert_eq!(status, expected, "{answer}");
        assert!(answer["errorMessage"].as_str().unwrap().contains(words), "{answer}");
    }
    // A token is no access key, and the other way round.
    let bare = server.client.post(format!("{}/v1/firehose", server.base));
    let (status, text) = answer(bare.header("authorization", "Bearer s3cret").body(good())).await;
    assert!(status == 401 && text.contains("a token is required"), "{text}");
    let other = server.client.post(format!("{}/v1/ingest", server.base));
    let other = other.header("x-amz-firehose-access-key", "s3cret").body(good());
    assert_eq!(answer(other).await.0, 401);
    let summary = server.running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (0, 0));
}

#[test]
fn a_delivery_that_comes_again_stands_where_it_stood() {
    let framing = Options::new(Format::Auto, "aws.vpcflow");
    let lines = b"version account-id\n2 1\n2 1\n";
    let frames = |id: &str, at: u64| {
        let entry = firehose::entry(delivery(id, &[lines, lines]).as_bytes(), 1 << 20);
        let entry = entry.unwrap().unwrap();
        let mut frames = Frames::default();
        entry::frame(&framing, &entry, at, &mut frames);
        let places: Vec<_> = frames.records().iter().map(|r| (r.at, r.index)).collect();
        (entry::origin(&entry), places)
    };
    let (origin, places) = frames("a", 17);
    assert_eq!(places, [(0, 0), (0, 1), (0, 2), (0, 3)]);
    assert_eq!(frames("a", 4_711), (origin.clone(), places));
    assert!(origin.is_some() && frames("b", 17).0 != origin);
    assert_eq!(entry::origin(&entry::encode(entry::Kind::Body, b"{}")), None);
}
