//! The source over a real connection, against a small server that behaves like Okta.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use event::Secret;
use parking_lot::Mutex;

use crate::poll::auth::AuthOptions;
use crate::poll::auth::options::TokenOptions;
use crate::poll::options::{PollOptions, SettingValue};
use crate::poll::source::PollSource;
use crate::source::Source;
use crate::testing::Lake;

#[derive(Default)]
struct Log {
    events: Vec<String>,
    requests: Vec<(String, String)>,
    /// Answers that come first.
    troubles: Vec<(u16, &'static str)>,
}

type Shared = Arc<Mutex<Log>>;

async fn logs(
    State(log): State<Shared>,
    Query(query): Query<std::collections::HashMap<String, String>>,
    headers: HeaderMap,
) -> axum::response::Response {
    let mut log = log.lock();
    let proof = headers.get("authorization").map(|v| v.to_str().unwrap().to_owned());
    let after = query.get("after").cloned().unwrap_or_default();
    log.requests.push((proof.unwrap_or_default(), after.clone()));
    if let Some((status, body)) = log.troubles.pop() {
        let headers = [("retry-after", "1")];
        return (StatusCode::from_u16(status).unwrap(), headers, body).into_response();
    }
    let from = after.parse().unwrap_or(0).min(log.events.len());
    let limit = query.get("limit").and_then(|l| l.parse().ok()).unwrap_or(100);
    let upto = log.events.len().min(from + limit);
    let body = format!("[{}]", log.events[from..upto].join(","));
    let next =
        format!("<https://acme.okta.com/api/v1/logs?after={upto}&limit={limit}>; rel=\"next\"");
    ([("link", next)], body).into_response()
}

async fn serve() -> (Shared, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let log = Shared::default();
    let router = Router::new().route("/api/v1/logs", get(logs)).with_state(log.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (log, url)
}

fn options(url: &str, until_end: bool) -> PollOptions {
    PollOptions {
        connector: "okta.system".to_owned(),
        settings: [("org".to_owned(), SettingValue::One("acme.okta.com".to_owned()))].into(),
        auth: AuthOptions {
            ssws: Some(TokenOptions { token: Secret::new(format!("t0k-{url}")) }),
            ..Default::default()
        },
        base_url: Some(url.to_owned()),
        every_s: Some(1),
        until_end,
        ..Default::default()
    }
}

fn source(url: &str, until_end: bool) -> Box<dyn Source> {
    Box::new(PollSource::new("okta", "okta.system", options(url, until_end)).unwrap())
}

fn event(n: usize) -> String {
    format!("{{\"uuid\":\"e{n}\",\"published\":\"2026-03-01T00:00:00.000Z\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_read_once_and_followed() {
    let (log, url) = serve().await;
    log.lock().events = (0..2_500).map(event).collect();
    log.lock().troubles = vec![(429, "{}"), (200, "<html>"), (500, "")];
    let lake = Lake::default();
    let running = lake.start(source(&url, false));
    running.wait_for(2_500).await;
    log.lock().events.extend((2_500..2_510).map(event));
    running.wait_for(2_510).await;
    let summary = running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (2_510, 0));
    let requests = log.lock().requests.clone();
    assert!(requests.iter().all(|(proof, _)| *proof == format!("SSWS t0k-{url}")), "{requests:?}");
    assert!(
        requests.iter().any(|(_, after)| after == "2000"),
        "the link was followed to this server"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_where_the_lake_is() {
    let (log, url) = serve().await;
    log.lock().events = (0..150).map(event).collect();
    let lake = Lake::default();
    let (records, _) = lake.all(source(&url, true)).await;
    assert_eq!(records.len(), 150);
    let asked = log.lock().requests.len();
    log.lock().events.extend((150..170).map(event));
    // A source with a state begins with nothing of its allowance left: of a minute, made a second here.
    let folder = tempfile::tempdir().unwrap();
    let text = include_str!("../../../connectors/okta.system.yml").replace("per_s: 60", "per_s: 1");
    std::fs::write(folder.path().join("okta.yml"), text).unwrap();
    let connectors = vec![folder.path().to_path_buf()];
    let quick = PollOptions { connectors, ..options(&url, true) };
    let source = PollSource::new("okta", "okta.system", quick).unwrap();
    let (records, _) = lake.all(Box::new(source)).await;
    assert_eq!(records.len(), 20, "{records:?}");
    let (_, after) = log.lock().requests[asked].clone();
    assert_eq!(after, "150");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_in_words_what_is_missing() {
    let (log, url) = serve().await;
    log.lock().events = (0..3).map(event).collect();
    let probe = |url: String| async move {
        let source = PollSource::new("okta", "okta.system", options(&url, false)).unwrap();
        source.probe().await.unwrap()
    };
    let found = probe(url.clone()).await;
    let partition = &found.partitions[0];
    assert_eq!((partition.records, partition.trouble.as_deref()), (3, None));
    assert_eq!(partition.sample.as_deref(), Some(event(0).as_bytes()));
    log.lock().troubles = vec![(403, "{\"errorCode\":\"E0000006\"}")];
    let found = probe(url).await;
    let trouble = found.partitions[0].trouble.clone().unwrap();
    assert!(trouble.contains("may not read the System Log"), "{trouble}");
    let found = probe("http://127.0.0.1:1".to_owned()).await;
    let trouble = found.partitions[0].trouble.clone().unwrap();
    assert!(trouble.starts_with("cannot connect"), "{trouble}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_is_reached_by_a_proxy_and_by_an_authority_of_ones_own() {
    let (log, url) = serve().await;
    log.lock().events = (0..3).map(event).collect();
    let probe = |options: PollOptions| async move {
        let source = PollSource::new("okta", "okta.system", options).unwrap();
        source.probe().await.unwrap().partitions[0].clone()
    };
    let by_proxy = PollOptions {
        proxy: Some(Secret::new(url.clone())),
        ..options("http://acme.okta.invalid", false)
    };
    assert_eq!(probe(by_proxy).await.records, 3);

    let authority = servers::Authority::default();
    let port = servers::free_port();
    let behind = url.trim_start_matches("http://");
    let _front = servers::Front::start(port, &authority.server(), behind);
    let front = format!("https://localhost:{port}");
    let stranger = probe(options(&front, false)).await.trouble.unwrap();
    assert!(stranger.starts_with("cannot connect: invalid peer certificate"), "{stranger}");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.certificate()).unwrap();
    let trusted = PollOptions { ca: Some(ca.clone()), ..options(&front, false) };
    let found = probe(trusted).await;
    assert_eq!((found.records, found.trouble), (3, None));
    std::fs::write(&ca, "no certificate").unwrap();
    let empty = PollOptions { ca: Some(ca), ..options(&front, false) };
    let error = PollSource::new("okta", "okta.system", empty).unwrap().probe().await.unwrap_err();
    assert!(error.ends_with("ca.pem: holds no certificate"), "{error}");
}

#[test]
fn options_that_do_not_fit_are_refused_in_words() {
    let good = || options("https://acme.okta.com", false);
    let token = || Some(TokenOptions { token: Secret::new("hunter2") });
    let one = |text: &str| SettingValue::One(text.to_owned());
    for (options, expected) in [
        (
            PollOptions { connector: "okta".into(), ..good() },
            "there is no connector \"okta\"; known: atlassian.admin, auth0.log",
        ),
        (
            PollOptions { settings: Default::default(), ..good() },
            "the setting `org` is missing: The host",
        ),
        (
            PollOptions { settings: [("org".into(), one("a b"))].into(), ..good() },
            "the setting `org` is empty or has",
        ),
        (
            PollOptions { settings: [("o".into(), one("a"))].into(), ..good() },
            "there is no setting `o`; known: org",
        ),
        (
            PollOptions { auth: AuthOptions { bearer: token(), ..Default::default() }, ..good() },
            "the vendor does not take `auth.bearer`; give one of ssws",
        ),
        (PollOptions { auth: AuthOptions::default(), ..good() }, "`auth` says not how"),
        (PollOptions { base_url: Some("ftp://x".into()), ..good() }, "is no address like"),
        (
            PollOptions { base_url: Some("https://user:hunter2@x".into()), ..good() },
            "is no address like",
        ),
        (
            PollOptions { connectors: vec!["/nowhere.yml".into()], ..good() },
            "`connectors` /nowhere.yml: ",
        ),
    ] {
        let error = PollSource::new("okta", "okta.system", options).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\n{expected}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
