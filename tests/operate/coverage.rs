//! What the lake holds of each source, hour by hour, and why the rest is not there.

use serde_json::Value;

use super::Site;
use crate::doors::Doors;
use crate::poll::{CONNECTOR, LOG_TYPE};
use crate::support::{number, query};

/// A vendor that is asked, and a door at which senders knock.
fn site(url: &str) -> Site {
    let site = Site::with(&format!(
        "lake: {{url: ./lake, epoch_ms_max: 60}}\nlog_types: [log_type.yml]\n\
         rules: {{builtin: false}}\nsources:\n  doors:\n    log_type: acme.doors\n    poll:\n      \
         connector: acme.doors\n      connectors: [connector.yml]\n      settings: {{site: 7}}\n      \
         auth: {{bearer: {{token: example}}}}\n      base_url: {url}\n  \
         edge:\n    log_type: syslog.generic\n    syslog: {{tcp: 127.0.0.1:0}}\n"
    ));
    std::fs::write(site.path("connector.yml"), CONNECTOR).unwrap();
    std::fs::write(site.path("log_type.yml"), LOG_TYPE).unwrap();
    site
}

fn coverage(site: &Site, more: &[&str]) -> Vec<Value> {
    let said = site.ok(&[&["coverage", "--config", "mantissa.yaml", "--json"], more].concat());
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn hours_are_proved_by_what_was_read_and_the_rest_is_explained() {
    // Of the last five hours, and asked for from a day back.
    const EVENTS: i64 = 900;
    let doors = Doors::start(EVENTS);
    let mut site = site(&doors.url);
    site.start();
    let is_read = |site: &mut Site| {
        let lag = "mantissa_poll_lag_seconds{source=\"doors\"";
        site.metric("mantissa_events_stored_total") >= EVENTS as f64
            && (0.0..3_600.0).contains(&site.metric(lag))
    };
    site.wait("the vendor read to its end", is_read);
    // It is looked at every two seconds.
    std::thread::sleep(std::time::Duration::from_secs(3));
    site.stop();

    let hours = coverage(&site, &["--source", "doors"]);
    let sum: i64 = hours.iter().map(|hour| hour["events"].as_i64().unwrap()).sum();
    assert_eq!(sum, EVENTS, "{hours:?}");
    let states = |state: &str| hours.iter().filter(|hour| hour["state"] == state).count();
    // An hour of 180 events, at 20 seconds each; the first is cut, the last is not over.
    assert!((4..=6).contains(&states("held")), "{hours:?}");
    assert!((17..=21).contains(&states("empty")), "{hours:?}");
    assert_eq!(states("held") + states("empty") + states("open"), hours.len(), "{hours:?}");
    let heard = "SELECT count(*) AS n FROM mantissa_collection WHERE target_name = 'edge' \
                 AND action = 'source.read' AND NOT keeps AND read_to IS NULL";
    assert!(number(&site.lake(), heard) > 0);

    // The vendor is away. The hour before is proved already and stays so.
    drop(doors);
    site.start();
    site.wait("the trouble", |site| site.metric("mantissa_source_up{source=\"doors\"}") == 0.0);
    std::thread::sleep(std::time::Duration::from_secs(4));
    site.stop();
    let why = query(
        &site.lake(),
        "SELECT DISTINCT outcome_reason AS why FROM mantissa_collection \
         WHERE target_name = 'doors' AND action = 'source.waited'",
    );
    assert!(!why.is_empty() && why.iter().all(|row| row["why"].is_string()), "{why:?}");
    assert!(coverage(&site, &["--source", "doors"]).len() >= hours.len());
    let said = site.ok(&["coverage", "--config", "mantissa.yaml"]).out;
    assert!(said.contains("doors\n") && said.contains("held") && said.contains("empty"), "{said}");
}
