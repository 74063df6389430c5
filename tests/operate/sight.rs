//! No rule is silent without a word: dead and blind rules in metrics, at the console, and as alerts.

use serde_json::Value;

use super::{Site, alerts_in, rule};
use crate::support::{cloudtrail, number};

const MORE: &str = "destinations:\n  out:\n    file:\n      path: ./alerts.ndjson\n";
const DEAD: &str = "mantissa_rules_dead{reason=\"missing_field\"}";
const SILENT: &str = "mantissa_rules_blind{reason=\"silent_source\"}";

/// A site whose log type is silent after so many seconds, with one rule that can never match.
fn site(blind_after_s: u64) -> Site {
    let base = super::BASE
        .replace("builtin: false", &format!("builtin: false\n  blind_after_s: {blind_after_s}"));
    let site = Site::with(&format!("{base}{MORE}"));
    let dead = rule("Misspelt").replace("eventName", "eventNmae");
    std::fs::write(site.path("rules/dead.yml"), dead).unwrap();
    site
}

/// Titles and what is said of the alerts on the program's own rules.
fn told(site: &Site, event: &str) -> Vec<String> {
    let alerts = alerts_in(&site.path("alerts.ndjson"));
    let of = alerts.iter().filter(|alert| alert["event"]["action"] == event);
    of.map(|alert| alert["facts"]["how"].as_str().unwrap_or_default().to_owned()).collect()
}

fn state(site: &Site, title: &str) -> (String, String) {
    let (_, body) = site.get("/v1/rules", "");
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let rules = body["rules"].as_array().cloned().unwrap_or_default();
    let rule = rules.into_iter().find(|rule| rule["title"] == title).unwrap_or_default();
    let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("detail"))
}

#[test]
fn a_rule_that_can_never_match_is_told_once() {
    let mut site = site(0);
    site.start();
    site.wait("the alert", |site| !told(site, "rules.dead").is_empty());
    let said = told(&site, "rules.dead").remove(0);
    assert!(said.contains("no field eventNmae (Saw Misspelt)"), "{said}");
    site.wait("the metric", |site| site.metric(DEAD) == 1.0);
    let (dead, detail) = state(&site, "Saw Misspelt");
    assert_eq!((dead.as_str(), detail.as_str()), ("dead", "aws.cloudtrail has no field eventNmae"));
    assert_eq!(state(&site, "Saw Watched").0, "ok");

    // A restart has nothing new to say; an event proves that it got so far.
    site.stop();
    site.start();
    site.append(&[cloudtrail("1", "Watched")]);
    site.wait("the event's alert", |site| alerts_in(&site.path("alerts.ndjson")).len() == 2);
    assert_eq!(told(&site, "rules.dead").len(), 1);

    // Mended, and broken again: that is news.
    let broken = std::fs::read_to_string(site.path("rules/dead.yml")).unwrap();
    std::fs::write(site.path("rules/dead.yml"), rule("Misspelt")).unwrap();
    site.signal("-HUP");
    site.wait("no dead rule", |site| site.metric(DEAD) == 0.0);
    assert_eq!(state(&site, "Saw Misspelt").0, "ok");
    std::fs::write(site.path("rules/dead.yml"), broken).unwrap();
    site.signal("-HUP");
    site.wait("another alert", |site| told(site, "rules.dead").len() == 2);
    site.stop();
    let lake = site.lake();
    let kinds = "select count(*) as n from mantissa_health where action = ";
    assert_eq!(number(&lake, &format!("{kinds}'rules.dead'")), 2);
    assert_eq!(number(&lake, &format!("{kinds}'rules.seeing'")), 1);
    site.ok(&["lake", "verify", "--deep"]);
}

#[test]
fn a_source_that_falls_silent_blinds_its_rules() {
    let mut site = site(2);
    site.start();
    site.wait("blind rules", |site| site.metric(SILENT) == 1.0);
    site.wait("the alert", |site| !told(site, "rules.blind").is_empty());
    let said = told(&site, "rules.blind").remove(0);
    assert!(said.contains("no event of aws.cloudtrail has ever arrived (Saw Watched)"), "{said}");
    assert_eq!(state(&site, "Saw Watched").0, "blind");

    let mut n = 0;
    site.wait("rules that see", |site| {
        n += 1;
        site.append(&[cloudtrail(&n.to_string(), "Other")]);
        site.metric(SILENT) == 0.0
    });
    site.wait("another silence", |site| told(site, "rules.blind").len() == 2);
    let said = told(&site, "rules.blind").remove(1);
    assert!(said.contains("no event of aws.cloudtrail arrived since 20"), "{said}");
    // The silence goes on over a restart, and is not told again.
    site.stop();
    site.start();
    site.wait("blind rules", |site| site.metric(SILENT) == 1.0);
    site.stop();
    assert_eq!(told(&site, "rules.blind").len(), 2);
    let over = "select count(*) as n from mantissa_health where action = 'rules.seeing'";
    assert_eq!(number(&site.lake(), over), 1);
}

/// Gives the process what it would have learned in weeks, and a silence that is nearly long enough.
fn teach(site: &Site) {
    let heard = chrono::Utc::now() - chrono::Duration::minutes(61);
    let habit = serde_json::json!({
        "weeks": vec![[12, 12, 11]; 168],
        "heard": heard.timestamp_nanos_opt().unwrap(),
        "missed": 11.995,
    });
    let memory = serde_json::json!({"habits": {"tail": habit}});
    let options = sink::lake::LakeOptions {
        url: site.lake().to_str().unwrap().to_owned(),
        ..Default::default()
    };
    let commit = async {
        let (mut lake, recovered) = sink::lake::Lake::open(&options).await.unwrap();
        let key = event::PartitionKey { source: "_health".into(), partition: "rules".into() };
        let after = recovered.positions[&key].upto;
        let state = Some(memory.to_string().into());
        let span = event::Span { key, after, upto: after + 1, state };
        let (received, stored, duplicates, dead, dropped) = (0, 0, 0, 0, 0);
        let span = sink::lake::SpanOutcome { span, received, stored, duplicates, dead, dropped };
        let part = sink::lake::Part { spans: vec![span], ..Default::default() };
        lake.commit(vec![part]).await.unwrap();
    };
    tokio::runtime::Runtime::new().unwrap().block_on(commit);
}

#[test]
fn a_source_that_is_silent_when_it_uses_to_speak_is_told_once_and_when_it_is_over() {
    const RATIO: &str = "mantissa_source_silence_ratio{source=\"tail\"}";
    let mut site = site(0);
    site.start();
    let two_hours_ago = chrono::Utc::now() - chrono::Duration::hours(2);
    let time = two_hours_ago.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    site.append(&[cloudtrail("1", "Other").replace("2026-11-20T10:15:00Z", &time)]);
    site.wait("an event", |site| site.metric("mantissa_events_stored_total") >= 1.0);
    let late = |le: &str| format!("mantissa_event_lateness_total{{source=\"tail\",le=\"{le}\"}}");
    site.wait("how late it came", |site| site.metric(&late("+Inf")) == 1.0);
    assert_eq!((site.metric(&late("3600")), site.metric(&late("21600"))), (0.0, 1.0));
    site.wait("nothing unusual", |site| site.metric(RATIO) == 0.0);
    site.stop();
    assert!(told(&site, "source.silent").is_empty(), "it has not learned anything");

    teach(&site);
    site.start();
    site.wait("the alert", |site| !told(site, "source.silent").is_empty());
    let said = told(&site, "source.silent").remove(0);
    assert!(said.contains("nothing has come from the source tail since 20"), "{said}");
    site.wait("the ratio", |site| site.metric(RATIO) >= 1.0);
    assert!(site.metric("mantissa_source_silence_seconds{source=\"tail\"}") > 3_600.0);
    // Over a restart it goes on, and is not told again.
    site.stop();
    site.start();
    site.wait("the ratio again", |site| site.metric(RATIO) >= 1.0);
    site.append(&[cloudtrail("2", "Other")]);
    site.wait("the end", |site| site.metric(RATIO) == 0.0);
    let over = "select count(*) as n from mantissa_health where action = 'source.speaking'";
    site.wait("that it is told", |site| number(&site.lake(), over) == 1);
    site.stop();
    assert_eq!(told(&site, "source.silent").len(), 1);
    let named = "select count(*) as n from mantissa_health where action = 'source.silent' \
                 and source_name = 'tail' and target_name = 'aws.cloudtrail'";
    assert_eq!(number(&site.lake(), named), 1);
    site.ok(&["lake", "verify", "--deep"]);
}
