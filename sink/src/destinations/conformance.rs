//! What every destination that speaks HTTP must do, run against each of them: through the real
//! outbox and dispatcher, against a server that misbehaves as told.
//!
//! A new destination adds one [`Subject`].

mod faults;
mod server;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use event::{Alert, Timestamp};
use parking_lot::Mutex;
use serde_json::json;

use super::DestinationConfig;
use crate::dispatch::Dispatcher;
use crate::dispatch::lane::Policy;
use crate::outbox::{Delivery, Outbox, Retention, State, StateName};
use crate::testing::{alert, install_tls, outlet};
use server::{Request, Server, Step};

/// Part of every URL and header; must never be shown.
const SECRET: &str = "hunter2hunter2hunter2";
const CANARY: &str = "canary.person@example.com";
const TIMEOUT_MS: u64 = 400;
const SENT: StateName = StateName::Sent;
const PARKED: StateName = StateName::Parked;

#[derive(Clone, Copy)]
struct Subject {
    /// A fault that the suite must find.
    fault: Option<faults::Fault>,
    config: fn(port: u16) -> DestinationConfig,
    /// Requests until a 200 whose body means nothing is believed.
    garbage_body_requests: usize,
    /// Text that tells the receiver of a possible repetition, with the alert's id.
    repetition: fn(&Request, &Alert) -> bool,
}

fn webhook(port: u16) -> DestinationConfig {
    let url = format!("http://localhost:{port}/{SECRET}?token={SECRET}");
    let config = json!({"webhook": {
        "url": url, "timeout_ms": TIMEOUT_MS, "per_second_max": 1000.0,
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "headers": {"Authorization": format!("Bearer {SECRET}")},
    }});
    serde_json::from_value(config).unwrap()
}

fn slack(port: u16) -> DestinationConfig {
    let url = format!("http://localhost:{port}/services/T1/B1/{SECRET}");
    let config = json!({"slack": {
        "webhook_url": url, "timeout_ms": TIMEOUT_MS, "per_second_max": 1000.0,
    }});
    serde_json::from_value(config).unwrap()
}

const WEBHOOK: Subject = Subject {
    fault: None,
    config: webhook,
    garbage_body_requests: 1,
    repetition: |request, alert| {
        let id = alert.alert_id.to_string();
        request.head.contains(&format!("webhook-id: {id}"))
            && request.head.contains(&format!("idempotency-key: {id}"))
    },
};

const SLACK: Subject = Subject {
    fault: None,
    config: slack,
    garbage_body_requests: 2,
    repetition: |request, alert| {
        let id = alert.alert_id.to_string();
        request.body.contains("may repeat an earlier message") && request.body.contains(&id)
    },
};

fn policy() -> Policy {
    Policy {
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(50),
        misconfigured_every: Duration::from_millis(50),
        ..Policy::default()
    }
}

fn canary_alert(n: u32) -> Alert {
    let mut it = alert(n);
    // Not so long ago that it were forgotten.
    it.detected_at = Timestamp(4_000_000_000_000_000_000);
    it.event.insert("actor_name".into(), json!(CANARY));
    it.rule.description = format!("About {CANARY}");
    it
}

struct Run {
    requests: Vec<Request>,
    deliveries: Vec<Delivery>,
    log: String,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Delivers alerts to a server with this script until none is pending.
async fn run(subject: &Subject, script: &[Step], alerts: &[Alert]) -> Run {
    install_tls();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let server = Server::start(script).await;
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&dir.path().join("outbox.redb")).unwrap();
    outbox.insert(alerts).unwrap();
    let configs = BTreeMap::from([("it".to_owned(), (subject.config)(server.port))]);
    let mut built = super::build(&configs).unwrap();
    if let Some(fault) = subject.fault {
        built
            .iter_mut()
            .for_each(|built| built.destination = fault.plant(built.destination.clone()));
    }
    let keep = Retention::default();
    let dispatcher =
        Dispatcher::start_built(outbox.clone(), &[], built, outlet(), policy(), keep).unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..1_000 {
        let of = |alert: &Alert| outbox.get(alert.alert_id).unwrap().unwrap().deliveries;
        deliveries = alerts.iter().flat_map(of).map(|(_, delivery)| delivery).collect();
        let is_open = |d: &Delivery| d.state == State::Pending;
        if deliveries.len() == alerts.len() && !deliveries.iter().any(is_open) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    dispatcher.shutdown(Duration::from_secs(1)).await;
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    Run { requests: server.requests(), deliveries, log }
}

impl Run {
    /// What holds however the server behaves.
    fn check_always(&self, what: &str) {
        let stored = format!("{:?}", self.deliveries);
        assert!(!stored.contains(SECRET), "{what}: a secret in {stored}");
        assert!(!self.log.contains(SECRET), "{what}: a secret in the log: {}", self.log);
        for Request { body, .. } in &self.requests {
            assert!(!body.contains(CANARY), "{what}: unredacted {body}");
        }
    }

    fn accepted(&self, alert: &Alert) -> usize {
        let id = alert.alert_id.to_string();
        let is = |r: &&Request| matches!(r.step, Step::Ok | Step::Slow) && r.body.contains(&id);
        self.requests.iter().filter(is).count()
    }
}

/// Runs one script with one alert: how it ends and after how many requests.
async fn check(subject: &Subject, script: &[Step], state: StateName, requests: usize) -> Run {
    let what = format!("{script:?}");
    let run = run(subject, script, &[canary_alert(1)]).await;
    run.check_always(&what);
    let delivery = &run.deliveries[0];
    assert_eq!(delivery.state.name(), state, "{what}: {delivery:?}\n{}", run.log);
    assert_eq!(run.requests.len(), requests, "{what}\n{}", run.log);
    assert_eq!(delivery.attempts as usize, requests, "{what}");
    if let State::Parked { reason, .. } = &delivery.state {
        assert!(!reason.is_empty() && run.log.contains("alert parked"), "{what}");
    }
    run
}

async fn suite(subject: &Subject) {
    check(subject, &[], SENT, 1).await;
    check(subject, &[Step::Slow], SENT, 1).await;
    rejections(subject).await;
    weather(subject).await;
    ambiguity(subject).await;
    storm(subject).await;
}

/// The destination answers, and not with yes.
async fn rejections(subject: &Subject) {
    for status in [400, 404, 405, 410, 413, 422] {
        check(subject, &[Step::Status(status, "")], PARKED, 1).await;
    }
    for status in [408, 425, 429] {
        check(subject, &[Step::Status(status, "")], SENT, 2).await;
    }
    let elsewhere = "location: /elsewhere\r\n";
    for step in [Step::Status(401, ""), Step::Status(403, ""), Step::Status(307, elsewhere)] {
        let run = check(subject, &[step, step], SENT, 3).await;
        assert!(run.log.contains("ERROR") && run.log.contains("check the configuration"));
        assert!(run.requests.iter().all(|r| !r.head.contains("/elsewhere")), "{step:?}");
    }
    for wait in ["retry-after: 1\r\n", "Retry-After:  1 \r\n"] {
        let run = check(subject, &[Step::Status(429, wait)], SENT, 2).await;
        let waited = run.requests[1].at - run.requests[0].at;
        assert!(waited >= Duration::from_millis(950), "{waited:?}");
    }
    let past = "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    check(subject, &[Step::Status(429, past)], SENT, 2).await;
}

/// The destination does not work for a while; nothing of this can have been taken.
async fn weather(subject: &Subject) {
    for step in [Step::Status(500, ""), Step::Status(503, "retry-after: 0\r\n"), Step::Close] {
        let run = check(subject, &[step], SENT, 2).await;
        assert_eq!(run.accepted(&canary_alert(1)), 1);
    }
    let run = check(subject, &[Step::Status(500, ""); 8], SENT, 9).await;
    assert!(run.log.contains("does not work") && run.log.contains("works again"), "{}", run.log);
}

/// The answer is lost or means nothing: the alert may have been taken.
async fn ambiguity(subject: &Subject) {
    for step in [Step::Hang, Step::HalfHead, Step::Garbage, Step::Reset] {
        let run = check(subject, &[step], SENT, 2).await;
        let again = &run.requests[1];
        assert!((subject.repetition)(again, &canary_alert(1)), "{step:?}: {again:?}");
    }
    check(subject, &[Step::HalfBody(500)], SENT, 2).await;
    // The status was read: it was taken.
    check(subject, &[Step::HalfBody(200)], SENT, 1).await;
    check(subject, &[Step::GarbageBody], SENT, subject.garbage_body_requests).await;
}

/// Many alerts while the server fails now and then: each is taken once or parked.
async fn storm(subject: &Subject) {
    let mut script = Vec::new();
    for n in 0..60 {
        script.push(match n % 6 {
            0 => Step::Status(500, ""),
            1 => Step::Status(429, ""),
            2 if n == 26 => Step::Status(400, ""),
            _ => Step::Ok,
        });
    }
    let alerts: Vec<Alert> = (0..40).map(canary_alert).collect();
    let run = run(subject, &script, &alerts).await;
    run.check_always("storm");
    let mut parked = 0;
    for (alert, delivery) in alerts.iter().zip(&run.deliveries) {
        let is_parked = delivery.state.name() == PARKED;
        parked += usize::from(is_parked);
        assert_eq!(run.accepted(alert), usize::from(!is_parked), "{delivery:?}");
    }
    assert_eq!(parked, 1);
}

#[tokio::test]
async fn webhook_conforms() {
    suite(&WEBHOOK).await;
}

#[tokio::test]
async fn slack_conforms() {
    suite(&SLACK).await;
}

#[tokio::test]
async fn a_parked_alert_is_delivered_when_it_is_retried() {
    install_tls();
    let server = Server::start(&[Step::Status(400, "")]).await;
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&dir.path().join("outbox.redb")).unwrap();
    outbox.insert(&[canary_alert(1)]).unwrap();
    let configs = BTreeMap::from([("it".to_owned(), webhook(server.port))]);
    for (parked_before, requests) in [(0, 1), (1, 2)] {
        assert_eq!(outbox.retry(None, Timestamp(0)).unwrap(), parked_before);
        let dispatcher = Dispatcher::start(outbox.clone(), &[], &configs, outlet()).unwrap();
        dispatcher.shutdown(Duration::from_secs(10)).await;
        assert_eq!(server.requests().len(), requests);
    }
    let entry = outbox.get(canary_alert(1).alert_id).unwrap().unwrap();
    assert_eq!(entry.deliveries[0].1.state.name(), SENT);
}

#[tokio::test]
async fn a_webhook_is_signed_over_what_arrives() {
    let it = canary_alert(1);
    let run = run(&WEBHOOK, &[], std::slice::from_ref(&it)).await;
    let request = &run.requests[0];
    let header = |name: &str| {
        let line = request.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {}", request.head)).to_owned()
    };
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    assert_eq!((id.as_str(), header("idempotency-key")), (&*it.alert_id.to_string(), id.clone()));
    assert_eq!(header("authorization"), format!("Bearer {SECRET}"));
    let key = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    );
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.unwrap());
    let signature = header("webhook-signature");
    let signature = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        signature.strip_prefix("v1,").unwrap(),
    );
    let signed = format!("{id}.{timestamp}.{}", request.body);
    ring::hmac::verify(&key, signed.as_bytes(), &signature.unwrap()).unwrap();
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["type"], "alert.created");
    assert_eq!(body["data"]["alert_id"], json!(id));
}
