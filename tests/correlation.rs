//! Correlations and filters from outside: over files, over restarts and over changed rules.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{number, ok, query, run};

/// A failed or good console login of somebody at a second of an hour.
fn login(id: usize, second: usize, user: &str, works: bool) -> String {
    json!({
        "eventVersion": "1.09", "eventID": format!("login-{id}"),
        "eventTime": format!("2026-11-20T10:{:02}:{:02}Z", second / 60, second % 60),
        "eventSource": "signin.amazonaws.com", "eventName": "ConsoleLogin",
        "awsRegion": "eu-west-1", "sourceIPAddress": "203.0.113.7",
        "userIdentity": {"type": "IAMUser", "userName": user, "accountId": "123456789012"},
        "responseElements": {"ConsoleLogin": if works { "Success" } else { "Failure" }},
        "recipientAccountId": "123456789012"
    })
    .to_string()
}

const RULES: &str = "
title: Many failed logins and then one that works
id: 7b1f5f0e-61cc-4a3d-9f77-0c8d54d2a001
tags: [attack.t1110]
correlation:
    type: temporal_ordered
    rules: [many_failed, success]
    group-by: [userIdentity.userName]
    timespan: 10m
level: high
---
title: Many failed logins
id: 7b1f5f0e-61cc-4a3d-9f77-0c8d54d2a002
name: many_failed
correlation:
    type: event_count
    rules: [failed]
    group-by: [userIdentity.userName]
    timespan: 5m
    condition: {gte: 5}
---
title: Failed login
id: 7b1f5f0e-61cc-4a3d-9f77-0c8d54d2a003
name: failed
logsource: {product: aws, service: cloudtrail}
detection:
    selection: {eventName: ConsoleLogin, responseElements.ConsoleLogin: Failure}
    condition: selection
---
title: Login
id: 7b1f5f0e-61cc-4a3d-9f77-0c8d54d2a004
name: success
logsource: {product: aws, service: cloudtrail}
detection:
    selection: {eventName: ConsoleLogin, responseElements.ConsoleLogin: Success}
    condition: selection
---
title: Failed logins of several people from one address
id: 7b1f5f0e-61cc-4a3d-9f77-0c8d54d2a005
correlation:
    type: value_count
    rules: [failed]
    group-by: [sourceIPAddress]
    timespan: 30m
    condition: {field: userIdentity.userName, gte: 3}
level: medium
---
title: The scanner of our own
logsource: {product: aws, service: cloudtrail}
filter:
    rules: [failed]
    selection: {userIdentity.userName: scanner}
    condition: not selection
";

fn logins() -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |second, user: &str, works| lines.push(login(lines.len(), second, user, works));
    for n in 0..6 {
        add(60 + 10 * n, "ada", false);
        add(61 + 10 * n, "scanner", false);
    }
    add(200, "ada", true);
    // Too few, and the wrong way round.
    (0..4).for_each(|n| add(300 + n, "bob", false));
    add(310, "bob", true);
    add(400, "eve", true);
    (0..7).for_each(|n| add(401 + n, "eve", false));
    lines
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ingest(dir: &Path, lines: &[String], name: &str) -> String {
    std::fs::write(dir.join("rules.yml"), RULES).unwrap();
    let file = dir.join(name);
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let (lake, rules, alerts) =
        (dir.join("lake"), dir.join("rules.yml"), dir.join("alerts.ndjson"));
    let args = [
        "ingest",
        "--log-type",
        "aws.cloudtrail",
        "--no-builtin-rules",
        "--rules",
        text(&rules),
        "--lake",
        text(&lake),
        "--alerts",
        text(&alerts),
        text(&file),
    ];
    ok(&args).out
}

fn check(dir: &Path) {
    let lake = dir.join("lake");
    let sql = "select rule_title, event_uid, correlated, event from alerts order by rule_title";
    let rows = query(&lake, sql);
    let titles: Vec<_> = rows.iter().map(|row| row["rule_title"].as_str().unwrap()).collect();
    let both = [
        "Failed logins of several people from one address",
        "Many failed logins and then one that works",
    ];
    assert_eq!(titles, both, "rules that only serve correlations do not alert");
    let parsed = |row: &Value, column: &str| -> Value {
        serde_json::from_str(row[column].as_str().unwrap()).unwrap()
    };
    let chain = parsed(&rows[1], "correlated");
    assert_eq!(chain["group"], json!({"userIdentity.userName": "ada"}));
    assert_eq!(chain["total"], 2, "an alert of the inner correlation and the login: {chain}");
    assert_eq!(rows[1]["event_uid"], "login-12");
    let inner = &chain["events"][0];
    assert_eq!((&inner["event_uid"], inner["alert_id"].is_string()), (&json!("login-8"), true));
    let several = parsed(&rows[0], "correlated");
    assert_eq!(several["rules"][0]["title"], "Failed login");
    let events = several["events"].as_array().unwrap();
    assert!(events.iter().all(|event| event["event_uid"] != "login-1"), "filtered: {several}");
    // The group's value stands in the columns that hold it in every event.
    assert_eq!(parsed(&rows[0], "event"), json!({"source_ip": "203.0.113.7"}));
    let sent = std::fs::read_to_string(dir.join("alerts.ndjson")).unwrap();
    assert_eq!(sent.lines().count(), 2, "{sent}");
    let sent: Vec<Value> = sent.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let several = sent.iter().find(|alert| alert["level"] == "medium").unwrap();
    assert_eq!(several["correlated"]["events"][0]["event_time"], "2026-11-20T10:01:00Z");
    let what = several["facts"]["what"].as_str().unwrap();
    assert!(what.contains("events of “Failed login” within 30 minutes"), "{what}");
    ok(&["lake", "verify", "--deep", "--lake", text(&lake)]);
}

#[test]
fn a_file_of_logins_alerts_on_what_belongs_together() {
    let dir = tempfile::tempdir().unwrap();
    ingest(dir.path(), &logins(), "all.ndjson");
    check(dir.path());
    // The same again adds nothing.
    ingest(dir.path(), &logins(), "again.ndjson");
    check(dir.path());
}

#[test]
fn what_was_counted_survives_the_end_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    for (n, line) in logins().chunks(5).enumerate() {
        ingest(dir.path(), line, &format!("{n}.ndjson"));
    }
    check(dir.path());
    // One object, that of the newest epoch.
    let states = std::fs::read_dir(dir.path().join("lake/_state/main")).unwrap();
    assert_eq!(states.count(), 1);
}

#[test]
fn rules_check_test_and_eval_know_correlations() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("rules.yml"), RULES).unwrap();
    let said = ok(&["rules", "check", text(&path("rules.yml"))]);
    assert!(said.out.contains("2 rules and 3 correlations in 1 file, 0 errors"), "{}", said.out);

    let wrong = RULES.replace("[sourceIPAddress]", "[sourceIpAddress]");
    std::fs::write(
        path("wrong.yml"),
        wrong.replace("[failed]\n    group-by: [sourceIp", "[faild]\n    group-by: [sourceIp"),
    )
    .unwrap();
    let said = run(&["rules", "check", text(&path("wrong.yml"))]);
    assert!(said.code == 1 && said.out.contains("did you mean `failed`?"), "{}", said.out);
    std::fs::write(path("wrong.yml"), wrong).unwrap();
    let said = ok(&["rules", "check", text(&path("wrong.yml"))]);
    assert!(
        said.out.contains("no field `sourceIpAddress`: events of `Failed login`"),
        "{}",
        said.out
    );

    let events = |lines: &[String]| {
        let entries = lines.iter().map(|line| format!("{{\"event\":{line}}}"));
        format!("[{}]", entries.collect::<Vec<_>>().join(","))
    };
    let all = logins();
    let case = |name: &str, alerts: &str, lines: &[String]| {
        format!(
            "{{\"name\":\"{name}\",\"alerts\":{alerts},\"log_type\":\"aws.cloudtrail\",\"events\":{}}}\n",
            events(lines)
        )
    };
    let cases =
        [case("all", "2", &all), case("ada", "true", &all[..13]), case("few", "false", &all[..8])];
    std::fs::write(path("rules.cases.ndjson"), cases.concat()).unwrap();
    let said = ok(&["rules", "test", text(&path("rules.yml"))]);
    assert!(said.out.contains("3 cases passed, 0 failed"), "{}", said.out);
    std::fs::write(path("rules.cases.ndjson"), case("wrong", "3", &all)).unwrap();
    let said = run(&["rules", "test", text(&path("rules.yml"))]);
    assert!(said.code == 1 && said.out.contains("alerts 2 times instead of 3"), "{}", said.out);

    std::fs::write(path("events.ndjson"), all.join("\n")).unwrap();
    let said = ok(&[
        "rules",
        "eval",
        "--rules",
        text(&path("rules.yml")),
        "--log-type",
        "aws.cloudtrail",
        text(&path("events.ndjson")),
    ]);
    let rows = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let together: Vec<Value> = rows.filter(|row| row.get("group").is_some()).collect();
    let lines: Vec<_> = together.iter().map(|row| row["line"].as_u64().unwrap()).collect();
    assert_eq!(together.len(), 2, "{}", said.out);
    assert!(lines.contains(&12), "the login of ada: {together:?}");
}

#[test]
fn a_rule_that_is_off_takes_its_correlations_along_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rules.yml"), RULES).unwrap();
    let config = "rules:\n  builtin: false\n  paths: [rules.yml]\n  disable: [7b1f5f0e-61cc-4a3d-9f77-0c8d54d2a004]\n";
    std::fs::write(dir.path().join("mantissa.yaml"), config).unwrap();
    let said = crate::support::mantissa().arg("check").current_dir(dir.path()).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    assert!(said.contains("`Many failed logins and then one that works` is off as well"), "{said}");
}

#[test]
fn alerts_of_correlations_are_counted_in_the_lake_once() {
    let dir = tempfile::tempdir().unwrap();
    ingest(dir.path(), &logins(), "all.ndjson");
    let lake = dir.path().join("lake");
    assert_eq!(number(&lake, "select count(distinct alert_id) as n from alerts"), 2);
}
