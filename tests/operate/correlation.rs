//! Correlations of a running process: over changed rules, and while nothing arrives.

use super::{Site, alerts_in};
use crate::support::cloudtrail;

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
        std::panic::catch_unwind(|| crate::support::column_counts(&lake, "alerts", "alert_id"))
            .is_ok_and(|alerts| alerts.len() == 1)
    });
    site.stop();
}
