//! Canaries in every column that a record can fill: none leaves, the lake keeps all.

use std::collections::BTreeSet;

use super::{Hook, Site, alerts_in, free_port};
use crate::support::column_counts;

/// Text columns of free form; the log type of this test copies a member of the same name into each.
const COLUMNS: [&str; 20] = [
    "tenant",
    "action",
    "outcome_reason",
    "actor_id",
    "actor_name",
    "actor_session",
    "source_address",
    "country",
    "user_agent",
    "target_type",
    "target_id",
    "target_name",
    "targets",
    "service",
    "cloud_account",
    "cloud_region",
    "host_name",
    "host_id",
    "url",
    "users",
];

/// Sensitive values, put together here so that no scanner takes this file for a leak.
fn canaries() -> [(&'static str, String); 6] {
    [
        ("EMAIL", format!("canary{}example.com", '@')),
        ("CARD", format!("{}1111111111111", 411)),
        ("SSN", format!("123-{}-6789", 45)),
        ("AWS_KEY", format!("AK{}", "IAIOSFODNN7EXAMPLE")),
        ("TOKEN", format!("ghp_{}", "aZ3bY4cX5dW6eV7fU8gT9hS2iRjQkPlOmNnM")),
        ("IP", "198.51.100.77".to_owned()),
    ]
}

fn log_type() -> String {
    let columns: String = COLUMNS.iter().map(|c| format!("  {c}: {c}\n")).collect();
    format!(
        "name: canary.all\ndescription: Every column.\nlogsource: {{product: canary}}\n\
         decoder: {{json: {{}}}}\nidentity: {{any: [id]}}\ntime:\n  - {{from: ts, form: epoch_ms}}\n\
         columns:\n{columns}  source_ip: {{from: ip, take: ip}}\n  \
         actor_email: {{from: mail, take: email}}\n"
    )
}

const RULE: &str = "title: Canary
id: 0d9f1c3e-0a53-4f0b-8b6a-52a7f0a1c0ca
status: test
logsource: {product: canary}
detection:
  selection: {id: '*'}
  condition: selection
level: high
";

/// One event for each canary: bare and within a sentence, by turns, in every column.
fn events() -> Vec<String> {
    let mut lines = Vec::new();
    for (n, (_, canary)) in canaries().into_iter().enumerate() {
        let mut event = serde_json::json!({
            "id": format!("canary-{n}"),
            "ts": 1_772_355_600_123_u64 + n as u64,
            "ip": canaries()[5].1,
            "mail": canaries()[0].1,
        });
        for (at, column) in COLUMNS.iter().enumerate() {
            event[column] = match at % 2 {
                0 => canary.clone().into(),
                _ => format!("seen {canary} here").into(),
            };
        }
        lines.push(event.to_string());
    }
    lines
}

/// Pseudonyms in a text, `[EMAIL:7K3QX2]`.
fn pseudonyms(text: &str) -> BTreeSet<String> {
    let inside = text.split('[').skip(1).filter_map(|rest| Some(rest.split_once(']')?.0));
    let named = inside.filter(|t| {
        t.split_once(':').is_some_and(|(kind, code)| {
            canaries().iter().any(|(name, _)| *name == kind) && code.len() == 6
        })
    });
    named.map(str::to_owned).collect()
}

#[test]
fn nothing_sensitive_leaves_and_the_lake_keeps_it() {
    let hook = Hook::start(free_port(), 200);
    let base = super::BASE.replace("aws.cloudtrail", "canary.all");
    let mut site = Site::with(&format!(
        "log_types: [canary.yml]\n{base}destinations:\n  hook:\n    webhook:\n      url: http://{}/\n  \
         out:\n    file:\n      path: ./alerts.ndjson\n",
        hook.address
    ));
    std::fs::write(site.path("canary.yml"), log_type()).unwrap();
    std::fs::write(site.path("rules/watched.yml"), RULE).unwrap();
    let file = site.path("alerts.ndjson");
    site.start();
    site.append(&events());
    let expected = canaries().len();
    site.wait("every alert", |_| {
        hook.accepted().len() == expected && alerts_in(&file).len() == expected
    });
    site.stop();

    let sent: String = hook.accepted().into_iter().map(|(_, body)| body + "\n").collect();
    let written = std::fs::read_to_string(&file).unwrap();
    let log = std::fs::read_to_string(site.path("log")).unwrap();
    for (kind, canary) in canaries() {
        for (place, text) in [("webhook", &sent), ("file", &written), ("log", &log)] {
            let line = text.lines().find(|line| line.contains(&canary)).unwrap_or_default();
            assert!(line.is_empty(), "{kind} left through the {place}:\n{line}");
        }
        let named = pseudonyms(&sent).into_iter().filter(|p| p.split(':').next() == Some(kind));
        assert_eq!(named.count(), 1, "one value, one pseudonym: {kind} in\n{sent}");
        let kept = column_counts(&site.lake(), "canary_all", "actor_name");
        assert!(kept.keys().any(|name| name.contains(&canary)), "the lake has lost the {kind}");
    }
    assert_eq!(pseudonyms(&sent), pseudonyms(&written), "the same in both destinations");
}
