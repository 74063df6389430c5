use serde_json::json;

use super::*;

const NOON: i64 = 1_772_366_400_000_000_000; // 2026-03-01T12:00:00Z

fn rule() -> RuleInfo {
    RuleInfo {
        id: "r-1".into(),
        title: "Root console login".into(),
        description: "The root user signed in.\n  Nobody should.".into(),
        tags: vec!["attack.t1078.004".into(), "attack.initial-access".into()],
        ..RuleInfo::default()
    }
}

fn of(event: Value) -> Facts {
    let event = event.as_object().expect("an object").clone();
    facts(&FactsInput {
        rule: &rule(),
        log_type: "aws.cloudtrail",
        event_time: Timestamp(NOON),
        detected_at: Timestamp(NOON + 3 * 1_000_000_000),
        event: &event,
        correlated: None,
        replayed: false,
    })
}

fn check(field: fn(Facts) -> String, event: Value, expected: &str) {
    assert_eq!(field(of(event.clone())), expected, "{event}");
}

#[test]
fn who() {
    let who = |f: Facts| f.who;
    for (event, expected) in [
        (json!({}), "The record does not name an actor."),
        (json!({"actor_name": "alice"}), "alice."),
        (json!({"actor_id": "AIDA1", "actor_name": "alice"}), "alice (AIDA1)."),
        (json!({"actor_name": "a@x.io", "actor_email": "a@x.io"}), "a@x.io."),
        (
            json!({"actor_name": "Alice", "actor_email": "a@x.io", "actor_id": "1",
                "actor_type": "human", "actor_session": "ASIA1"}),
            "Alice (a@x.io, 1), actor type human, session ASIA1.",
        ),
        (json!({"actor_type": "system"}), "An unnamed actor of type system."),
        (json!({"actor_session": "s1"}), "An unnamed actor, session s1."),
        (json!({"actor_name": null, "actor_id": "  ", "actor_type": ["x"]}), NOBODY),
    ] {
        check(who, event, expected);
    }
}

const NOBODY: &str = "The record does not name an actor.";

#[test]
fn what() {
    let what = |f: Facts| f.what;
    for (event, expected) in [
        (json!({}), "An event of type aws.cloudtrail."),
        (
            json!({"action": "ConsoleLogin", "outcome": "success", "service": "signin"}),
            "ConsoleLogin in signin; it succeeded.",
        ),
        (json!({"action": "X", "outcome": "failure"}), "X; it failed."),
        (json!({"action": "X", "outcome": "unknown"}), "X."),
        (json!({"action": "X", "outcome": "DENY"}), "X; outcome DENY."),
        (
            json!({"action": "X", "target_type": "role", "target_name": "admin", "target_id": "7"}),
            "X on role admin (7).",
        ),
        (json!({"action": "X", "target_id": "7", "targets": ["7"]}), "X on 7."),
        (json!({"action": "X", "target_type": "bucket"}), "X on a target of type bucket."),
        (
            json!({"action": "X", "target_name": "a", "targets": ["a", "b", "c", "d", "e"]}),
            "X on a, b, c and 2 more.",
        ),
        (json!({"action": "X", "targets": []}), "X."),
    ] {
        check(what, event, expected);
    }
}

#[test]
fn when_tells_the_delay() {
    let s = 1_000_000_000;
    for (delay, expected) in [
        (0, "2026-03-01 12:00:00 UTC, detected within a second."),
        (999_999_999, "2026-03-01 12:00:00 UTC, detected within a second."),
        (3 * s, "2026-03-01 12:00:00 UTC, detected 3 s later."),
        (61 * s, "2026-03-01 12:00:00 UTC, detected 1 min 1 s later."),
        (7_200 * s, "2026-03-01 12:00:00 UTC, detected 2 h later."),
        (90_061 * s, "2026-03-01 12:00:00 UTC, detected 1 d 1 h later."),
        (-60 * s, "2026-03-01 12:00:00 UTC, a time 1 min ahead of our clock."),
        (-1, "2026-03-01 12:00:00 UTC, a time 1 s ahead of our clock."),
    ] {
        assert_eq!(when(Timestamp(NOON), Timestamp(NOON + delay), false), expected);
    }
    let extreme = when(Timestamp(i64::MIN), Timestamp(i64::MAX), false);
    assert!(extreme.contains(" later."), "no overflow");
    let replayed = when(Timestamp(NOON), Timestamp(NOON + 86_400_000_000_000), true);
    assert_eq!(replayed, "2026-03-01 12:00:00 UTC, found 1 d later by a replay of the lake.");
}

#[test]
fn place() {
    let place = |f: Facts| f.place;
    for (event, expected) in [
        (json!({}), "The record does not name a place."),
        (json!({"source_ip": "198.51.100.7", "country": "NL"}), "From 198.51.100.7 (NL)."),
        (json!({"country": "NL"}), "From country NL."),
        (json!({"source_address": "AWS Internal"}), "From AWS Internal."),
        (
            json!({"source_ip": "198.51.100.7", "source_port": 50000, "dest_ip": "2001:db8::1",
                "dest_port": 22, "protocol": "tcp"}),
            "From 198.51.100.7:50000, to [2001:db8::1]:22, over tcp.",
        ),
        (
            json!({"cloud_provider": "aws", "cloud_account": "123", "cloud_region": "eu-west-1"}),
            "In aws account 123 region eu-west-1.",
        ),
        (json!({"source_ip": "192.0.2.1", "host_name": "web"}), "From 192.0.2.1, on host web."),
    ] {
        check(place, event, expected);
    }
}

#[test]
fn how() {
    let how = |f: Facts| f.how;
    for (event, expected) in [
        (json!({}), "The record does not say by what means."),
        (json!({"user_agent": "curl/8"}), "With user agent “curl/8”."),
        (
            json!({"http_method": "POST", "url": "/api", "http_status": 403, "user_agent": "c",
                "outcome_reason": "AccessDenied."}),
            "By POST /api, answered with status 403, with user agent “c”, reason given: \
             AccessDenied.",
        ),
        (json!({"http_method": "GET"}), "By HTTP GET."),
    ] {
        check(how, event, expected);
    }
}

#[test]
fn why_reads_from_the_rule_alone() {
    let expected = "Root console login: The root user signed in. Nobody should. ATT&CK: Valid \
                    Accounts: Cloud Accounts (T1078.004); Initial Access.";
    assert_eq!(of(json!({})).why, expected);
    let bare = RuleInfo { id: "rules/x.yml".into(), ..RuleInfo::default() };
    assert_eq!(why(&bare), "rules/x.yml.");
    let tactic = RuleInfo { title: "T".into(), tags: vec!["attack.impact".into()], ..bare };
    assert_eq!(why(&tactic), "T. ATT&CK: Impact.");
}

#[test]
fn hostile_text_stays_visible_and_short() {
    for (text, expected) in [
        ("a\nb\r\tc", Some("a\\nb\\r\\tc")),
        ("x\u{202e}y\u{200b}\u{1b}[31m", Some("x\\u{202e}y\\u{200b}\\u{1b}[31m")),
        ("\u{0}", Some("\\u{0}")),
        ("   ", None),
        ("", None),
    ] {
        assert_eq!(printable(text, 50).as_deref(), expected, "{text:?}");
    }
    let long = printable(&"é".repeat(100_000), VALUE_CHARS_MAX).expect("not blank");
    assert_eq!(long.chars().count(), VALUE_CHARS_MAX + 1);
}

#[test]
fn every_sentence_is_trimmed_and_ends_once() {
    let columns = ["actor_name", "action", "source_ip", "user_agent", "outcome_reason"];
    for set in 0..1_u32 << columns.len() {
        let mut event = Map::new();
        for (n, name) in columns.iter().enumerate() {
            if set >> n & 1 == 1 {
                event.insert((*name).into(), json!("value"));
            }
        }
        let facts = of(Value::Object(event));
        for text in [facts.who, facts.what, facts.when, facts.place, facts.why, facts.how] {
            assert!(text.ends_with('.') && !text.ends_with("..") && text.trim() == text, "{text}");
            assert!(!text.contains("  ") && !text.contains(" ,"), "{text}");
        }
    }
}

#[test]
fn what_happened_together() {
    let rule = |title: &str| event::CorrelatedRule { id: "r".into(), title: title.into() };
    for (total, timespan_s, rules, group, expected) in [
        (1, 60, vec![], json!({}), "1 event within 1 minute."),
        (
            12,
            600,
            vec![rule("Denied")],
            json!({"user": "ada"}),
            "12 events of “Denied” within 10 minutes, user ada.",
        ),
        (
            2,
            90,
            vec![rule("A"), rule("B")],
            json!({"a": "x", "b": "y\nz"}),
            "2 events of “A”, “B” within 90 seconds, a x, b y\\nz.",
        ),
        (3, 172_800, vec![], json!({}), "3 events within 2 days."),
    ] {
        let group = group.as_object().expect("an object").clone();
        let correlated = Correlated { group, timespan_s, total, rules, events: Vec::new() };
        let event = Map::new();
        let facts = facts(&FactsInput {
            rule: &self::rule(),
            log_type: "aws.cloudtrail",
            event_time: Timestamp(NOON),
            detected_at: Timestamp(NOON),
            event: &event,
            correlated: Some(&correlated),
            replayed: false,
        });
        assert_eq!(facts.what, expected);
        assert_eq!(facts.who, "The events name no actor in common.");
    }
}
