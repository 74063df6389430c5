//! The console from outside: a real listener, a real client.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use event::Secret;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::server::routes;
use crate::{Condition, Feed, Filter, Handles, Health, Metrics, OPENAPI, Rules, Tap, lint, serve};

struct Console {
    at: SocketAddr,
    handles: Handles,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<Result<(), crate::Error>>,
}

impl Console {
    async fn start(token: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let handles = Handles {
            metrics: Metrics::local("1.2.3").1,
            health: Health::default(),
            rules: Rules::default(),
            tap: Tap::default(),
            token: token.map(Secret::new),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, handles.clone(), async {
            let _ = stopped.await;
        }));
        Self { at, handles, stop: Some(stop), served }
    }

    async fn get(&self, path: &str, token: &str) -> (u16, String, String) {
        let mut request = client().get(format!("http://{}{path}", self.at));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        let kind = answer.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
        (answer.status().as_u16(), kind.unwrap_or_default(), answer.text().await.unwrap())
    }

    async fn stop(mut self) -> Duration {
        let since = Instant::now();
        self.stop.take().unwrap().send(()).unwrap();
        self.served.await.unwrap().unwrap();
        since.elapsed()
    }
}

/// A client; it wants a TLS provider even for plain HTTP.
fn client() -> reqwest::Client {
    // An error says that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// Reads an endless answer until it has shown `lines` lines.
async fn lines(console: &Console, path: &str, lines: usize) -> Vec<Value> {
    let mut answer = client().get(format!("http://{}{path}", console.at)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut text = String::new();
    while text.matches('\n').count() < lines {
        let chunk = answer.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn until(what: impl Fn() -> bool) {
    let since = Instant::now();
    while !what() {
        assert!(since.elapsed() < Duration::from_secs(10), "waited too long");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn ready_when_no_check_failed() {
    let console = Console::start(None).await;
    let health = console.handles.health.clone();
    let check = async |status: u16, expected: Value| {
        let (found, _, body) = console.get("/readyz", "").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((found, body), (status, expected));
    };
    check(503, json!({"ready": false, "condition": "failed", "checks": []})).await;
    health.ok("lake");
    health.degraded("destination slack", "429 for an hour");
    let lake = json!({"name": "lake", "condition": "ok"});
    let slack = json!({"name": "destination slack", "condition": "degraded",
        "reason": "429 for an hour"});
    check(200, json!({"ready": true, "condition": "degraded", "checks": [slack, lake]})).await;
    health.remove("destination slack");
    health.failed("lake", "the disk is full");
    let lake = json!({"name": "lake", "condition": "failed", "reason": "the disk is full"});
    check(503, json!({"ready": false, "condition": "failed", "checks": [lake]})).await;
    assert_eq!(console.get("/livez", "").await.0, 200, "not ready is still alive");
}

#[test]
fn checks_and_reasons_are_bounded() {
    let health = Health::default();
    for i in 0..2_000 {
        health.set(&format!("check {i}"), Condition::Ok, &"x".repeat(10_000));
    }
    let report = health.report();
    assert!(report.checks.len() <= 1_001, "{}", report.checks.len());
    assert!(report.checks.iter().all(|c| c.reason.len() == 500));
}

#[tokio::test]
async fn a_token_guards_everything_but_health() {
    let console = Console::start(Some("s3cret")).await;
    console.handles.health.degraded("lake", "internal detail");
    for (path, _, _) in routes() {
        let expected = if path == "/livez" || path == "/readyz" { 200 } else { 401 };
        for token in ["", "wrong", "s3cret2"] {
            assert_eq!(console.get(path, token).await.0, expected, "{path} with {token:?}");
        }
    }
    assert_eq!(console.get("/metrics", "s3cret").await.0, 200);
    assert!(!console.get("/readyz", "").await.2.contains("internal detail"));
    assert!(console.get("/readyz", "s3cret").await.2.contains("internal detail"));
}

/// Follows one `$ref` of the document.
fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect(reference),
        None => value,
    }
}

#[tokio::test]
async fn the_document_describes_what_is_served() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let documented: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let served: BTreeSet<&str> = routes().iter().map(|route| route.0).collect();
    assert_eq!(documented, served);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));

    let console = Console::start(Some("s3cret")).await;
    let tap = console.handles.tap.clone();
    let closer = tokio::spawn(async move {
        until(|| tap.watched()).await;
        tap.close();
    });
    for path in documented {
        let query = if path.contains("tap") { "?rate=0" } else { "" };
        let asked = [(path.to_owned(), "s3cret"), (path.to_owned() + query, "s3cret")];
        for (asked, token) in asked.into_iter().chain([(path.to_owned(), "")]) {
            let (status, kind, _) = console.get(&asked, token).await;
            let answers = &document["paths"][path]["get"]["responses"];
            let answer = resolve(&document, &answers[status.to_string()]);
            let kinds = answer["content"].as_object();
            let kinds = kinds.unwrap_or_else(|| panic!("{asked} answers {status}: undocumented"));
            assert!(kinds.keys().any(|k| kind.starts_with(k)), "{asked}: {status} {kind}");
        }
    }
    closer.await.unwrap();
}

/// Runs Prometheus's own linter; `None` where it is not installed.
fn promtool(text: &str) -> Option<String> {
    use std::io::Write;
    let mut child = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    Some(format!("{}{}", out.status.code().unwrap(), String::from_utf8_lossy(&said)))
}

#[test]
fn metrics_are_as_prometheus_likes_them() {
    let (recorder, rendered) = Metrics::local("1.2.3");
    ::metrics::with_local_recorder(&recorder, || {
        ::metrics::describe_histogram!("mantissa_epoch_duration_seconds", "How long.");
        ::metrics::histogram!("mantissa_epoch_duration_seconds", "lane" => "a\"b\n").record(0.3);
        let tap = Tap::default();
        let watch = tap.watch(Feed::Events, Filter::default()).unwrap();
        for _ in 0..2_000 {
            tap.event("t", || "x".repeat(1 << 20));
        }
        drop(watch);
    });
    let text = rendered.render();
    assert_eq!(lint(&text), Vec::<String>::new(), "{text}");
    assert!(text.contains("mantissa_tap_watchers 0"), "{text}");
    assert!(text.contains("mantissa_tap_lost_total "), "{text}");
    assert!(text.contains("_seconds_bucket{lane=\"a\\\"b\\n\",le=\"0.5\"} 1"), "{text}");
    assert!(text.contains("mantissa_build_info{version=\"1.2.3\"} 1"), "{text}");
    match promtool(&text) {
        Some(said) => assert_eq!(said, "0", "promtool objects"),
        None => {
            // Past the test runner's capture: a skip must be seen.
            let skip = b"SKIPPED: promtool is not installed (Debian package prometheus)\n";
            std::io::Write::write_all(&mut std::io::stderr(), skip).unwrap();
        }
    }
}

#[test]
fn the_linter_finds_what_is_wrong() {
    let check = |text: &str, expected: &[&str]| assert_eq!(lint(text), expected, "{text}");
    check("# HELP a_total x\n# TYPE a_total counter\na_total 1\n", &[]);
    check("# TYPE a_total counter\na_total 1\n", &["a_total: has no help text"]);
    check("# HELP a x\na 1\n", &["a: has no type"]);
    let twice = "# HELP a x\n# TYPE a gauge\na{l=\"1\"} 1\na{l=\"1\"} 2\n";
    check(twice, &["a{l=\"1\"}: stands 2 times"]);
    let counter = "a: a counter; exactly the counters end in _total";
    check("# HELP a x\n# TYPE a counter\na 1\n", &[counter]);
    let gauge = "a_total: a gauge; exactly the counters end in _total";
    check("# HELP a_total x\n# TYPE a_total gauge\na_total 1\n", &[gauge]);
    let unit = "lag_ms: counts in ms; use seconds or bytes";
    check("# HELP lag_ms x\n# TYPE lag_ms gauge\nlag_ms 1\n", &[unit]);
    check("# HELP aB x\n# TYPE aB gauge\naB 1\n", &["aB: is not snake_case"]);
    let histogram = "# HELP a x\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n";
    check(histogram, &[]);
}

#[tokio::test]
async fn the_tap_shows_what_was_asked_for() {
    let console = Console::start(None).await;
    let tap = console.handles.tap.clone();
    let pipeline = tokio::spawn(async move {
        until(|| tap.watched()).await;
        for i in 0..3 {
            tap.event("okta.system", || format!("{{\"n\":{i}}}"));
            tap.event("aws.cloudtrail", || format!("{{\"n\":{}}}", 10 + i));
            tap.matched("aws.cloudtrail", "id-1", "Root Login", || "{\"m\":1}".into());
            tap.matched("aws.cloudtrail", "id-2", "Other", || "{\"m\":2}".into());
        }
        until(|| !tap.watched()).await;
    });
    let seen = lines(&console, "/v1/tap/events?log_type=k8s.audit,aws.cloudtrail", 3).await;
    assert_eq!(seen, [json!({"n": 10}), json!({"n": 11}), json!({"n": 12})]);
    pipeline.await.unwrap();

    let tap = console.handles.tap.clone();
    tokio::spawn(async move {
        until(|| tap.watched()).await;
        for (id, title) in [("id-2", "Other"), ("id-1", "Root Login"), ("ID-1", "x")] {
            tap.matched("t", id, title, || format!("{{\"id\":\"{id}\"}}"));
        }
        tap.matched("t", "id-9", "root login", || "{\"id\":\"by title\"}".into());
    });
    let seen = lines(&console, "/v1/tap/matches?rule=id-1", 2).await;
    assert_eq!(seen, [json!({"id": "id-1"}), json!({"id": "ID-1"})]);
    let refused = ["rate=0", "rate=10001", "rate=x", "colour=red", "rule=x"];
    for query in refused {
        let (status, _, body) = console.get(&format!("/v1/tap/events?{query}"), "").await;
        assert_eq!(status, 400, "{query}: {body}");
    }
    console.stop().await;
}

#[tokio::test]
async fn an_unwatched_tap_renders_nothing() {
    let tap = Tap::default();
    assert!(!tap.watched());
    tap.event("t", || unreachable!("nobody watches"));
    let watch = tap.watch(Feed::Matches, Filter::default()).unwrap();
    assert!(tap.watched());
    tap.event("t", || unreachable!("nobody watches events"));
    drop(watch);
    assert!(!tap.watched());
    let all: Vec<_> = std::iter::from_fn(|| tap.watch(Feed::Events, Filter::default())).collect();
    assert_eq!(all.len(), 32, "watchers are bounded");
}

#[tokio::test]
async fn a_watcher_is_told_what_it_missed() {
    let tap = Tap::default();
    let mut slow = tap.watch(Feed::Events, Filter { rate: 10_000, ..Filter::default() }).unwrap();
    let mut calm = tap.watch(Feed::Events, Filter { rate: 5, ..Filter::default() }).unwrap();
    for i in 0..1_500 {
        tap.event("t", || i.to_string());
    }
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(slow.next().await.unwrap(), "{\"tap\":{\"lost\":476,\"skipped\":0}}\n");
    assert_eq!(slow.next().await.unwrap(), "0\n", "what is queued still comes");
    assert_eq!(calm.next().await.unwrap(), "{\"tap\":{\"lost\":0,\"skipped\":1495}}\n");
    tap.event("t", || "x".repeat(9 << 20));
    tap.close();
    let mut rest = 0;
    let mut last = None;
    while let Some(line) = slow.next().await {
        rest += 1;
        last = Some(line);
    }
    assert_eq!(rest, 1_024, "1023 queued lines and the last word");
    assert_eq!(last.unwrap(), "{\"tap\":{\"lost\":1,\"skipped\":0}}\n");
    assert!(tap.watch(Feed::Events, Filter::default()).is_none(), "closed");
}

#[tokio::test]
async fn shutdown_does_not_wait_for_watchers() {
    let console = Console::start(None).await;
    let mut polite = TcpStream::connect(console.at).await.unwrap();
    let ask = "GET /v1/tap/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    polite.write_all(ask.as_bytes()).await.unwrap();
    let mut stuck = TcpStream::connect(console.at).await.unwrap();
    stuck.write_all(ask.as_bytes()).await.unwrap();
    let tap = console.handles.tap.clone();
    until(|| tap.watched()).await;
    for _ in 0..50 {
        tap.event("t", || "y".repeat(100_000));
    }
    let reader = tokio::spawn(async move {
        let mut text = Vec::new();
        polite.read_to_end(&mut text).await.map(|_| text)
    });
    let took = console.stop().await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    let text = reader.await.unwrap().unwrap();
    assert!(text.ends_with(b"0\r\n\r\n"), "the polite one saw a proper end");
    drop(stuck);
}

#[tokio::test]
async fn connections_are_bounded_and_silence_ends_them() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let bounded = crate::listener::Bounded::with(listener, 2, Duration::from_millis(300));
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
    tokio::spawn(axum::serve(bounded, app).into_future());
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    let since = Instant::now();
    let answer = client().get(format!("http://{at}/")).send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "hello");
    assert!(since.elapsed() >= Duration::from_millis(250), "had to wait for a place");
    let mut byte = [0];
    assert_eq!(silent[0].read(&mut byte).await.unwrap_or(0), 0, "closed by us");
}
