use serde_json::{Value, json};

use super::*;
use crate::testing::{alert, outlet};

/// One of every kind that must not leave. Together they would match several detectors each.
const CANARIES: &[&str] = &[
    "canary.person@example.com",
    "203.0.113.77",
    "2001:db8:77::dead:beef",
    "4111 1111 1111 1111",
    "5555555555554444",
    "856-45-6789",
    "AKIAQ7X2M4N6P3R5T7V2",
    "ghp_x7Kq2Lm9Zt4Rw8Vb3Nc6Yd1Fg5Hj0Ps2AaBb",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk",
];

/// Columns with names of every sort: common, vendor-like, nested and hostile.
const COLUMNS: &[&str] = &[
    "actor_name",
    "actor_email",
    "actor_id",
    "actor_session",
    "source_ip",
    "source_address",
    "user_agent",
    "url",
    "target_name",
    "target_id",
    "outcome_reason",
    "host_name",
    "action",
    "service",
    "cloud_account",
    "anything",
];

fn full(canary: &str) -> Alert {
    let mut it = alert(7);
    for column in COLUMNS {
        it.event.insert((*column).into(), json!(format!("before {canary} after")));
    }
    it.event.insert("targets".into(), json!([canary, {"deep": [canary]}]));
    it.event.insert("embedded".into(), json!(json!({"inner": canary}).to_string()));
    it.event.insert("long".into(), json!(format!("{}{canary}", "x ".repeat(95))));
    it.event.insert(canary.into(), json!("as a key"));
    it.rule.title = format!("Title {canary}");
    it.rule.description = format!("Text {canary}");
    it.rule.falsepositives = vec![canary.into()];
    it.rule.references = vec![format!("https://example.com/?q={canary}")];
    it.rule.tags = vec![canary.into()];
    it.dedup_key = canary.into();
    let mut group = Map::new();
    group.insert("actor.alternateId".into(), json!(canary));
    group.insert(canary.into(), json!("as a key"));
    let event = event::CorrelatedEvent { event_uid: format!("{canary}/1"), ..Default::default() };
    let rule = event::CorrelatedRule { id: "ours".into(), title: format!("Rule {canary}") };
    let (rules, events) = (vec![rule], vec![event]);
    it.correlated = Some(Correlated { group, timespan_s: 60, total: 1, rules, events });
    it.facts.who = format!("{canary}.");
    it.facts.why = format!("{canary}.");
    it
}

/// The facts as `enrich` makes them cut values; here each is cut in the middle of a canary.
fn cutting() -> Outlet {
    let Outlet { redactor, .. } = outlet();
    Outlet::new(redactor, |alert| {
        let text = |name: &str| alert.event.get(name).and_then(Value::as_str).unwrap_or_default();
        Facts {
            who: text("actor_name").chars().take(15).collect(),
            how: text("long").chars().take(200).collect(),
            why: alert.rule.title.clone(),
            ..Facts::default()
        }
    })
}

#[test]
fn no_canary_leaves() {
    for canary in CANARIES {
        let outbound = cutting().redact(&full(canary), 1, true);
        let shown = format!("{}{outbound:?}", outbound.json());
        assert!(!shown.contains(canary), "{canary} in {shown}");
        // Nor a telling part of it.
        let part: String = canary.chars().take(8).collect();
        assert!(!shown.contains(&part), "{part} of {canary} in {shown}");
    }
}

#[test]
fn our_own_identities_survive() {
    let mut it = alert(7);
    it.rule.id = "5d9a6f2e-4111-4111-8111-111111111111".into();
    it.event.insert("event_uid".into(), json!(it.event_uid));
    let out = outlet().redact(&it, 0, false);
    assert_eq!(out.alert().alert_id, it.alert_id);
    assert_eq!(out.alert().rule.id, it.rule.id);
    assert_eq!(out.alert().event_uid, it.event_uid);
    assert_eq!(out.alert().event["event_uid"], json!(it.event_uid));
    assert_eq!(out.alert().lake_partition, it.lake_partition);
}

#[test]
fn an_event_uid_that_is_not_ours_is_text_like_any_other() {
    let mut it = alert(7);
    it.event_uid = "'; DROP TABLE x; -- canary.person@example.com".into();
    let out = outlet().redact(&it, 0, false);
    assert!(!out.alert().event_uid.contains("canary.person"));
    let query = out.query().unwrap();
    assert!(!query.contains("DROP") && !query.contains(&out.alert().event_uid), "{query}");
    assert!(query.contains(&format!("a.alert_id = '{}'", it.alert_id)), "{query}");
}

#[test]
fn the_query_names_the_event_within_its_second() {
    let mut it = alert(1);
    it.log_type = "aws.cloudtrail".into();
    it.event_time = Timestamp(1_772_366_400_900_000_000);
    let query = format!(
        "mantissa query \"SELECT * FROM aws_cloudtrail WHERE event_uid = '{}' AND event_time >= \
         TIMESTAMP '2026-03-01T12:00:00Z' AND event_time < TIMESTAMP '2026-03-01T12:00:01Z'\"",
        it.event_uid
    );
    assert_eq!(outlet().redact(&it, 0, false).query(), Some(query.clone()));
    let elsewhere = outlet().with_lake("s3://bucket/it's").redact(&it, 0, false).query();
    assert_eq!(elsewhere, Some(format!("{query} --lake 's3://bucket/it'\\''s'")));
    it.event_uid = "6fd8e2a8-1f4e-4d2b-9a50-0c5f6e3d2b1a".into();
    let query = outlet().redact(&it, 0, false).query().unwrap();
    assert!(query.contains("event_uid = '6fd8e2a8-1f4e-4d2b-9a50-0c5f6e3d2b1a'"), "{query}");
    it.log_type = "x\"; rm".into();
    assert_eq!(outlet().redact(&it, 0, false).query(), None);
}

#[test]
fn what_leaves_is_bounded() {
    let mut it = alert(1);
    it.event.insert("text".into(), json!("é".repeat(100_000)));
    it.event.insert("list".into(), json!(vec!["x"; 100_000]));
    for n in 0..10_000 {
        it.event.insert(format!("zz{n}"), json!(n));
    }
    let out = outlet().redact(&it, 0, false);
    let text = out.alert().event["text"].as_str().unwrap();
    assert_eq!(text.chars().count(), TEXT_CHARS_MAX + 1);
    assert_eq!(out.alert().event["list"].as_array().unwrap().len(), ITEMS_MAX);
    assert_eq!(out.alert().event.len(), ITEMS_MAX);
}
