//! Correlations of a running process: over changed rules, and while nothing arrives.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::disk::site_on_small_disk;
use super::{Hook, Site, alerts_in, free_port};
use crate::support::{cloudtrail, column_counts, fill, ok};

/// Counts events of a name; `more` is added to the correlation.
fn counted(title: &str, condition: &str) -> String {
    format!(
        "title: {title}\nid: {title}\ncorrelation:\n  type: event_count\n  rules: [seen]\n  \
         group-by: [userIdentity.userName]\n  timespan: 1h\n  condition: {condition}\nlevel: high\n---\n"
    )
}

fn base() -> &'static str {
    "title: Seen\nid: seen\nname: seen\nlogsource: {product: aws, service: cloudtrail}\ndetection:\n  \
     selection: {eventName: Counted}\n  condition: selection\n"
}

#[test]
fn counts_survive_a_reload_and_a_restart() {
    let mut site = Site::new("destinations:\n  out:\n    file:\n      path: ./alerts.ndjson\n");
    let alerts = site.path("alerts.ndjson");
    let rules = site.path("rules/counted.yml");
    std::fs::write(&rules, counted("five", "{gte: 5}") + base()).unwrap();
    site.start();
    let observed = "mantissa_correlation_events_total{rule=\"five\"}";
    site.append(&[cloudtrail("1", "Counted"), cloudtrail("2", "Counted")]);
    site.wait("two events", |site| site.metric(observed) == 2.0);

    // Another correlation comes along; the one that stays knows its two.
    std::fs::write(&rules, counted("five", "{gte: 5}") + &counted("two", "{gte: 2}") + base())
        .unwrap();
    site.signal("-HUP");
    let reloads = "mantissa_rule_reloads_total{result=\"ok\"}";
    site.wait("the reload", |site| site.metric(reloads) == 1.0);
    site.append(&[cloudtrail("3", "Counted"), cloudtrail("4", "Counted")]);
    site.wait("the alert of the new one", |_| alerts_in(&alerts).len() == 1);
    assert_eq!(alerts_in(&alerts)[0]["title"], "two");
    site.stop();

    site.start();
    site.append(&[cloudtrail("5", "Counted"), cloudtrail("6", "Other")]);
    site.wait("the alert of the old one", |_| alerts_in(&alerts).len() == 2);
    let alert = &alerts_in(&alerts)[1];
    assert_eq!((&alert["title"], &alert["correlated"]["total"]), (&"five".into(), &5.into()));
    assert_eq!(alert["event"]["actor_name"], "ada");
    site.stop();
    assert_eq!(alerts_in(&alerts).len(), 2);
}

#[test]
fn a_state_that_is_lost_is_told() {
    let mut site = Site::new("");
    std::fs::write(site.path("rules/counted.yml"), counted("five", "{gte: 5}") + base()).unwrap();
    let restarts = "mantissa_correlation_restarts_total";
    site.start();
    site.append(&[cloudtrail("1", "Counted"), cloudtrail("2", "Counted")]);
    site.wait("two events", |site| site.metric("mantissa_events_stored_total") >= 2.0);
    assert_eq!(site.metric(restarts), 0.0);
    site.stop();
    std::fs::remove_dir_all(site.path("lake/_state/main")).unwrap();
    site.start();
    assert_eq!(site.metric(restarts), 1.0);
    // Events are stored as ever.
    site.append(&[cloudtrail("3", "Counted")]);
    site.wait("the third", |site| site.metric("mantissa_events_stored_total") >= 1.0);
    site.stop();
    assert_eq!(crate::support::number(&site.lake(), "select count(*) as n from events"), 3);
    let log = std::fs::read_to_string(site.path("log")).unwrap();
    assert!(log.contains("correlations begin anew") && log.contains("for up to"), "{log}");
}

#[test]
fn what_does_not_happen_is_noticed_while_nothing_arrives() {
    let config = "correlation:\n  lateness_ms: 500\ndestinations:\n  out:\n    file:\n      path: ./alerts.ndjson\n";
    let mut site = Site::new(config);
    let alerts = site.path("alerts.ndjson");
    std::fs::write(site.path("rules/counted.yml"), counted("few", "{lt: 3}") + base()).unwrap();
    site.start();
    site.append(&[cloudtrail("1", "Counted")]);
    // No more events: the wall clock alone settles it, and an epoch lists it.
    site.wait("the alert", |_| alerts_in(&alerts).len() == 1);
    let lake = site.lake();
    site.wait("the alert in the lake", |_| {
        std::panic::catch_unwind(|| column_counts(&lake, "alerts", "alert_id"))
            .is_ok_and(|alerts| alerts.len() == 1)
    });
    site.stop();
}

/// What is found is made durable while the state is held: on a full disk everything waits there, and still
/// the process ends when it is asked to, and says everything after the next start.
#[test]
fn a_full_disk_holds_correlations_back_and_loses_none() {
    let hook = Hook::start(free_port(), 200);
    let Some((mut site, small)) = site_on_small_disk(&hook) else { return };
    let (lake, filler) = (small.0.join("lake"), small.0.join("filler"));
    let each = counted("each", "{gte: 1}").replace("[userIdentity.userName]", "[eventID]");
    std::fs::write(site.path("rules/counted.yml"), each + base()).unwrap();
    let events = |range: std::ops::Range<usize>| -> Vec<String> {
        range.map(|n| cloudtrail(&format!("c-{n}"), "Counted")).collect()
    };
    site.start();
    site.append(&events(0..10));
    site.wait("the first alerts", |_| hook.accepted().len() == 10);
    fill(&filler);
    let mut next = 10;
    site.wait("a degraded outbox", |site| {
        if next < 4_000 {
            site.append(&events(next..next + 100));
            next += 100;
        }
        site.check("outbox").1 == "degraded"
    });
    site.signal("-TERM");
    let asked = Instant::now();
    let status = site.child.take().expect("the process runs").wait().unwrap();
    assert!(!status.success(), "what was not committed will be read again");
    assert!(asked.elapsed() < Duration::from_secs(28), "{:?}", asked.elapsed());

    std::fs::remove_file(&filler).unwrap();
    site.start();
    site.wait("all commits", |_| {
        std::panic::catch_unwind(|| column_counts(&lake, "alerts", "event_uid"))
            .is_ok_and(|alerts| alerts.len() == next)
    });
    site.wait("every alert", |_| hook.accepted().len() >= next);
    site.stop();
    let ids: BTreeSet<String> = hook.accepted().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), next);
    assert!(column_counts(&lake, "alerts", "alert_id").values().all(|count| *count == 1));
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}
