mod durable;
mod firehose;
mod tls;
mod webhooks;

use std::path::Path;

use reqwest::{Client, RequestBuilder};

use super::*;
use crate::decode::tests::gzip;
use crate::testing::{Lake, Running};

struct Server {
    running: Running,
    base: String,
    client: Client,
}

fn options(folder: &Path) -> HttpOptions {
    HttpOptions {
        tokens: vec![Secret::new("s3cret"), Secret::new("second")],
        wal_folder: folder.to_owned(),
        ..HttpOptions::default()
    }
}

fn start(lake: &Lake, options: HttpOptions) -> Server {
    start_with(lake, options, |_| {})
}

fn start_with(lake: &Lake, options: HttpOptions, change: impl FnOnce(&mut HttpSource)) -> Server {
    // Fails when another test was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut source = HttpSource::new("test", "t", options).unwrap().on(listener);
    change(&mut source);
    Server { running: lake.start(Box::new(source)), base, client: Client::new() }
}

impl Server {
    fn post(&self, path: &str) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.base));
        request.header("authorization", "Bearer s3cret")
    }

    async fn send(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        answer(self.post(path).body(body)).await
    }
}

async fn answer(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_200_arrives_in_every_shape() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let server = start(&lake, options(dir.path()));
    let body = "/v1/ingest";
    assert_eq!(server.send(body, "{\"n\":1}\n{\"n\":2}\nnot json\n").await.0, 200);
    assert_eq!(server.send(body, "[{\"n\":3}, {\"n\":4}]").await.0, 200);
    assert_eq!(server.send(body, "{\"Records\":[{\"n\":5}]}").await.0, 200);
    assert_eq!(server.send(body, "").await.0, 200);
    let packed = gzip(b"{\"n\":6}\n");
    let said = server.post(body).header("content-encoding", "gzip").body(packed.clone());
    assert_eq!(answer(said).await.0, 200);
    let events = "{\"kind\":\"EventList\",\"items\":[{\"n\":7},{\"n\":8}]}";
    assert_eq!(server.send("/v1/k8s-audit", events).await.0, 200);
    let records = server.running.wait_for(9).await;
    let expected: Vec<String> = (1..9).map(|n| format!("{{\"n\":{n}}}")).collect();
    assert_eq!(records, [vec!["not json".to_owned()], expected].concat());
    let summary = server.running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (9, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why_and_keep_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let small = HttpOptions { body_bytes_max: 1_000, ..options(dir.path()) };
    let server = start(&lake, small);
    let url = format!("{}/v1/ingest", server.base);
    let client = &server.client;
    assert_eq!(answer(client.post(&url).body("{}")).await.0, 401);
    for wrong in ["Bearer wrong", "Bearer", "Basic xx", "s3cret", "Bearer s3cret2"] {
        let request = client.post(&url).header("authorization", wrong).body("{}");
        assert_eq!(answer(request).await.0, 401, "{wrong}");
    }
    assert_eq!(server.send("/v1/ingest", "x".repeat(1_001)).await.0, 413);
    assert_eq!(server.send("/v1/ingest", gzip(&[b'x'; 100_000])).await.0, 413, "a bomb");
    let mut torn = gzip(b"{\"a\":1}\n{\"a\":2}\n");
    torn.truncate(torn.len() - 3);
    assert_eq!(server.send("/v1/ingest", torn).await.0, 400);
    let odd = server.post("/v1/ingest").header("content-encoding", "br").body("{}");
    assert_eq!(answer(odd).await.0, 415);
    assert_eq!(server.send("/elsewhere", "{}").await.0, 404);
    assert_eq!(answer(client.get(&url)).await.0, 405);
    let good = client.post(&url).header("authorization", "bearer second").body("{\"good\":1}");
    assert_eq!(answer(good).await.0, 200);
    assert_eq!(server.running.wait_for(1).await, ["{\"good\":1}"]);
    server.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_speaks_as_its_senders_expect() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let server = start(&lake, options(dir.path()));
    let event = "/services/collector/event";
    let auth = |value: &'static str, body: &'static str| {
        let url = format!("{}{event}", server.base);
        answer(server.client.post(url).header("authorization", value).body(body))
    };
    let cases = [
        (
            "Splunk s3cret",
            "{\"event\":{\"n\":1}}{\"event\":{\"n\":2}}\n{\"event\":\"a\\nb\"}",
            200,
            r#"{"text":"Success","code":0}"#,
        ),
        (
            "Basic dXNlcjpzM2NyZXQ=",
            "[{\"event\":{\"n\":3},\"host\":\"h\"}]",
            200,
            r#"{"text":"Success","code":0}"#,
        ),
        ("Splunk wrong", "{}", 403, r#"{"text":"Invalid token","code":4}"#),
        ("Splunk", "{}", 401, r#"{"text":"Invalid authorization","code":3}"#),
        ("Splunk s3cret", " ", 400, r#"{"text":"No data","code":5}"#),
        (
            "Splunk s3cret",
            "{\"event\":1}{\"event",
            400,
            r#"{"text":"Invalid data format","code":6,"invalid-event-number":1}"#,
        ),
        (
            "Splunk s3cret",
            "{\"time\":1}",
            400,
            r#"{"text":"Event field is required","code":12,"invalid-event-number":0}"#,
        ),
        (
            "Splunk s3cret",
            "{\"event\":\"\"}",
            400,
            r#"{"text":"Event field cannot be blank","code":13,"invalid-event-number":0}"#,
        ),
    ];
    for (authorization, body, status, text) in cases {
        assert_eq!(auth(authorization, body).await, (status, text.to_owned()), "{body}");
    }
    let none = server.client.post(format!("{}{event}", server.base)).body("{}");
    assert_eq!(answer(none).await, (401, r#"{"text":"Token is required","code":2}"#.to_owned()));
    assert_eq!(server.send("/services/collector/raw", "line 1\nline 2").await.0, 200);
    let health = server.client.get(format!("{}/services/collector/health", server.base));
    assert_eq!(answer(health).await, (200, r#"{"text":"HEC is healthy","code":17}"#.to_owned()));
    let records = server.running.wait_for(6).await;
    assert_eq!(records, ["a\nb", "line 1", "line 2", "{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]);
    server.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_answers_503_and_drains_when_finished() {
    let dir = tempfile::tempdir().unwrap();
    let tight = HttpOptions { wal_bytes_max: 5_000, ..options(dir.path()) };
    let lake = Lake::default();
    let server = start(&lake, tight);
    let body = "x".repeat(2_000);
    let mut accepted = 0;
    let refused = loop {
        let response = server.post("/v1/ingest").body(body.clone()).send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
        accepted += 1;
        assert!(accepted < 10, "the log is bounded");
    };
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "10");
    let health = server.client.get(format!("{}/services/collector/health", server.base));
    assert_eq!(answer(health).await.0, 503);
    server.running.wait_for(accepted).await;
    server.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_survives_and_is_emitted_once() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let mut expected = Vec::new();
    for round in 0..3 {
        let server = start(&lake, options(dir.path()));
        let sends = (0..40).map(|n| {
            let record = format!("{{\"round\":{round},\"n\":{n:02}}}");
            expected.push(record.clone());
            server.send("/v1/ingest", record)
        });
        let answers = futures::future::join_all(sends).await;
        assert!(answers.iter().all(|(status, _)| *status == 200));
        // At once: what is not emitted yet is emitted by the next start.
        server.running.stop().await.unwrap();
    }
    let server = start(&lake, options(dir.path()));
    expected.sort();
    assert_eq!(server.running.wait_for(120).await, expected);
    server.running.stop().await.unwrap();
}

#[test]
fn options_are_checked() {
    let check = |options: HttpOptions, message: &str| {
        let error = HttpSource::new("s", "t", options).err().expect("refused");
        assert!(error.message.contains(message), "{}", error.message);
    };
    let good = options(Path::new("x"));
    check(HttpOptions::default(), "allow_anonymous");
    check(HttpOptions { listen: "8088".into(), ..good.clone() }, "`listen`");
    check(HttpOptions { path: "x".into(), ..good.clone() }, "no path");
    check(HttpOptions { path: "/v1/k8s-audit".into(), ..good.clone() }, "is taken");
    check(HttpOptions { tokens: vec![Secret::new("")], ..good.clone() }, "empty");
    assert!(!format!("{good:?}").contains("s3cret"));
}
