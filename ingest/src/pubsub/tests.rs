use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use servers::Pubsub;

use super::*;
use crate::testing::Lake;
use crate::testing::front::{Fate, front};

fn options(subscription: &str, endpoint: &str) -> PubsubOptions {
    let auth = GoogleAuth { anonymous: true, ..GoogleAuth::default() };
    let (subscription, endpoint) = (subscription.to_owned(), endpoint.to_owned());
    PubsubOptions { subscription, endpoint, auth, lease_s: 10, ..PubsubOptions::default() }
}

fn source(options: PubsubOptions) -> Box<dyn Source> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Box::new(PubsubSource::new("test", "gcp.audit", options).unwrap())
}

fn records(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!(r#"{{"insertId":"{n:05}"}}"#)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_once_and_is_acknowledged_when_it_is_in_the_lake() {
    let Some(server) = Pubsub::start() else { return };
    let subscription = server.subscription("once");
    server.publish("once", &records(0..2_500));
    let lake = Lake::default();
    let running = lake.start(source(options(&subscription, &server.endpoint())));
    assert_eq!(running.wait_for(2_500).await, records(0..2_500));
    server.publish("once", &records(2_500..2_600));
    assert_eq!(running.wait_for(2_600).await, records(0..2_600));
    let summary = running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (2_600, 0));
    // Leases are over: what was not acknowledged would come again.
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(server.waiting("once"), 0);
}

/// What is not yet in the lake keeps its lease; a lease that is lost brings the message again, which is
/// recognised.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_pipeline_keeps_its_leases_and_survives_losing_them() {
    let Some(server) = Pubsub::start() else { return };
    let read = async |name: &str, may_renew: bool| {
        let subscription = server.subscription(name);
        server.publish(name, &records(0..3));
        let given = Arc::new(AtomicUsize::new(0));
        let counted = given.clone();
        let url = front(&server.endpoint(), move |asked| {
            let is_pull = asked.path.ends_with(":pull");
            counted.fetch_add(usize::from(is_pull), Ordering::Relaxed);
            match asked.path.ends_with(":modifyAckDeadline") && !may_renew {
                true => Fate::Answer(503, String::new()),
                false => Fate::Pass,
            }
        });
        let lake = Lake { delay: Duration::from_secs(14), ..Lake::default() };
        let mut options = options(&subscription, &url);
        options.requests_at_once_max = 1;
        let running = lake.start(source(options));
        let all = tokio::time::timeout(Duration::from_secs(19), running.wait_for(3)).await.unwrap();
        assert_eq!(all, records(0..3), "{name}");
        // One request brought the messages, the next waits; a lost lease ends the waiting.
        let pulls = given.load(Ordering::Relaxed);
        assert!(if may_renew { pulls == 2 } else { pulls > 2 }, "{name}: {pulls} pulls");
        let summary = running.stop().await.unwrap();
        assert_eq!(summary.records, 3, "{name}");
        assert_eq!(server.waiting(name), 0, "{name}");
    };
    tokio::join!(read("kept", true), read("lost", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_by_bad_answers() {
    let Some(server) = Pubsub::start() else { return };
    let subscription = server.subscription("faults");
    server.publish("faults", &records(0..300));
    let url = front(&server.endpoint(), |asked| match asked.path.rsplit(':').next() {
        Some("pull") => match asked.before {
            0 => Fate::Answer(503, String::new()),
            1 => Fate::Answer(429, r#"{"error":{"message":"quota"}}"#.to_owned()),
            // Leased to us, but the answer is lost, or half of it, or comes twice.
            2 => Fate::Cut,
            4 => Fate::Again,
            5 => Fate::Answer(200, "<html>".to_owned()),
            _ => Fate::Pass,
        },
        // Nobody knows whether it was done.
        Some("acknowledge") if asked.before == 0 => Fate::Lose,
        Some("acknowledge") if asked.before == 2 => Fate::Answer(503, String::new()),
        Some("modifyAckDeadline") if asked.before == 0 => Fate::Lose,
        _ => Fate::Pass,
    });
    let lake = Lake::default();
    let mut options = options(&subscription, &url);
    (options.requests_at_once_max, options.messages_max) = (1, 100);
    let running = lake.start(source(options));
    assert_eq!(running.wait_for(300).await, records(0..300));
    tokio::time::sleep(Duration::from_secs(11)).await;
    let summary = running.stop().await.unwrap();
    assert_eq!(summary.records, 300, "nothing came again when leases were over");
    assert_eq!(server.waiting("faults"), 0);
}

/// A message that was committed and not acknowledged is recognised by the next process.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_acknowledged_is_recognised_after_a_restart() {
    let Some(server) = Pubsub::start() else { return };
    let subscription = server.subscription("restart");
    server.publish("restart", &records(0..50));
    let lake = Lake::default();
    let url = front(&server.endpoint(), |asked| match asked.path.ends_with(":acknowledge") {
        true => Fate::Answer(503, String::new()),
        false => Fate::Pass,
    });
    // A request that waits at Pub/Sub outlives its process, and takes messages along that come again only when their
    // lease is over: there is one.
    let first = PubsubOptions { requests_at_once_max: 1, ..options(&subscription, &url) };
    let running = lake.start(source(first));
    running.wait_for(50).await;
    drop(running);
    tokio::time::sleep(Duration::from_secs(11)).await;
    server.publish("restart", &records(50..60));
    let running = lake.start(source(options(&subscription, &server.endpoint())));
    assert_eq!(running.wait_for(60).await, records(0..60));
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.stop().await.unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(server.waiting("restart"), 0);
    assert_eq!(lake.take().len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_out_tells_what_is_missing_and_takes_nothing() {
    let Some(server) = Pubsub::start() else { return };
    let subscription = server.subscription("tried");
    server.publish("tried", &records(0..1));
    let probe = async |options: PubsubOptions| source(options).probe().await.unwrap().unwrap();
    let found = probe(options(&subscription, &server.endpoint())).await;
    assert!(found.is_good(), "{found:?}");
    assert_eq!(server.waiting("tried"), 1);
    let found = probe(options("projects/project/subscriptions/nope", &server.endpoint())).await;
    assert!(!found.is_good() && format!("{found:?}").contains("there is no projects"), "{found:?}");
    let url = front(&server.endpoint(), |_| {
        Fate::Answer(403, r#"{"error":{"message":"User not authorized"}}"#.to_owned())
    });
    let found = format!("{:?}", probe(options(&subscription, &url)).await);
    for expected in ["lacks pubsub.subscriptions.get", "lacks pubsub.subscriptions.consume"] {
        assert!(found.contains(expected), "{expected} in {found}");
    }
}

#[test]
fn options_that_make_no_sense_are_refused_in_words() {
    let good = || options("projects/acme/subscriptions/audit", "http://127.0.0.1:1");
    let refused = |change: fn(&mut PubsubOptions)| {
        let mut options = good();
        change(&mut options);
        PubsubSource::new("s", "gcp.audit", options).unwrap_err().message
    };
    assert!(PubsubSource::new("s", "gcp.audit", good()).is_ok());
    assert!(refused(|o| o.subscription = "audit".to_owned()).contains("projects/PROJECT"));
    assert!(refused(|o| o.lease_s = 700).contains("10 to 600"));
    assert!(refused(|o| o.bytes_max = 0).contains("`bytes_max`"));
    assert!(refused(|o| o.endpoint = "pubsub".to_owned()).contains("`endpoint`"));
    let error = refused(|o| {
        o.auth =
            GoogleAuth { credentials: Some(event::Secret::new("hunter2")), ..Default::default() };
    });
    assert!(error.contains("`credentials`") && !error.contains("hunter2"), "{error}");
}
