//! Destinations that are down or refuse: alerts wait, the pipeline goes on, each arrives once.

use std::collections::BTreeSet;

use super::{Hook, Site, free_port};
use crate::support::{cloudtrail, number};

fn site(port: u16) -> Site {
    Site::new(&format!(
        "destinations:\n  hook:\n    webhook:\n      url: http://127.0.0.1:{port}/\n      \
         per_second_max: 1000\n"
    ))
}

fn watched(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| cloudtrail(&format!("w-{n}"), "Watched")).collect()
}

/// Every alert that arrived came once, and there are this many.
fn arrived_once(hook: &Hook, expected: usize) {
    let accepted = hook.accepted();
    let ids: BTreeSet<&str> = accepted.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!((ids.len(), accepted.len()), (expected, expected), "{ids:?}");
}

#[test]
fn alerts_wait_for_a_destination_that_is_down() {
    let port = free_port();
    let mut site = site(port);
    site.start();
    // Nobody listens.
    site.append(&watched(0..3));
    site.wait("three pending alerts", |site| site.deliveries().get("pending") == Some(&3));
    site.wait("their commit", |site| site.metric("mantissa_events_stored_total") >= 3.0);

    // Somebody listens and fails.
    let hook = Hook::start(port, 500);
    site.append(&watched(3..6));
    site.wait("six pending alerts", |site| site.deliveries().get("pending") == Some(&6));
    site.wait("an answer of 500", |_| hook.refused() > 0);
    site.wait("their commit", |site| site.metric("mantissa_events_stored_total") >= 6.0);
    let (status, _) = site.get("/readyz", "");
    assert_eq!(status, 200, "a destination that is down does not stop intake");

    // The alerts outlive the process.
    site.stop();
    assert_eq!(site.deliveries().get("pending"), Some(&6));
    assert_eq!(number(&site.lake(), "select count(*) as n from events"), 6);
    site.start();
    hook.answers(200);
    site.wait("all deliveries", |site| site.deliveries().get("sent") == Some(&6));
    arrived_once(&hook, 6);
    site.stop();
    arrived_once(&hook, 6);
}

#[test]
fn refused_alerts_are_parked_until_somebody_retries() {
    let port = free_port();
    let hook = Hook::start(port, 400);
    let mut site = site(port);
    site.start();
    site.append(&watched(0..2));
    site.wait("two parked alerts", |site| site.deliveries().get("parked") == Some(&2));
    assert_eq!(hook.refused(), 2, "what is refused is not tried again");
    let parked = site.ok(&["alerts", "list", "-c", "mantissa.yaml", "--status", "parked"]);
    assert!(parked.out.contains("400"), "says why:\n{}", parked.out);

    // The running process delivers what is retried.
    hook.answers(200);
    let said = site.ok(&["alerts", "retry", "-c", "mantissa.yaml"]);
    assert!(said.out.starts_with("2 deliveries"), "{}", said.out);
    site.wait("both deliveries", |_| hook.accepted().len() == 2);

    // And so does the next start.
    hook.answers(400);
    site.append(&watched(2..3));
    site.wait("one parked alert", |site| site.deliveries().get("parked") == Some(&1));
    site.stop();
    hook.answers(200);
    let said = site.ok(&["alerts", "retry", "-c", "mantissa.yaml"]);
    assert!(said.out.starts_with("1 delivery"), "{}", said.out);
    site.start();
    site.wait("the last delivery", |site| site.deliveries().get("sent") == Some(&3));
    arrived_once(&hook, 3);
    site.stop();
}
