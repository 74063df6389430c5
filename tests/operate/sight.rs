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
