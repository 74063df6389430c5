//! The past: rules over events that the lake holds find what they found when the events came.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::support::{ok, query, run};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Correlations that say what they see at once, and that wait until nothing earlier is expected.
const PACK: &str = "
title: Busy address
id: 3f6e1f0e-61cc-4a3d-9f77-0c8d54d2b001
correlation: {type: event_count, rules: [call], group-by: [sourceIPAddress], timespan: 1h, condition: {gte: 20}}
---
title: Quiet address
id: 3f6e1f0e-61cc-4a3d-9f77-0c8d54d2b002
correlation: {type: event_count, rules: [call], group-by: [sourceIPAddress], timespan: 1h, condition: {lte: 3}}
---
title: Call
id: 3f6e1f0e-61cc-4a3d-9f77-0c8d54d2b003
name: call
logsource: {product: aws, service: cloudtrail}
detection:
    selection: {eventName|exists: true}
    condition: selection
";

fn rules() -> String {
    text(&Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("rules")).to_owned()
}

/// A generated day in a lake, with its live alerts.
fn day(dir: &Path) -> std::path::PathBuf {
    let (logs, lake) = (dir.join("logs"), dir.join("lake"));
    ok(&["generate", "--out", text(&logs), "--start", "2026-11-20"]);
    let pack = dir.join("pack.yml");
    std::fs::write(&pack, PACK).unwrap();
    for log_type in ["aws.cloudtrail", "okta.system"] {
        let file = logs.join(format!("{log_type}.ndjson"));
        let (lake, pack, file) = (text(&lake), text(&pack), text(&file));
        ok(&["ingest", "--log-type", log_type, "--lake", lake, "--rules", pack, file]);
    }
    lake
}

fn backtest(dir: &Path, lake: &Path, out: &str, more: &[&str]) -> serde_json::Value {
    let (rules, pack, out) = (rules(), dir.join("pack.yml"), dir.join(out));
    let mut args = vec!["backtest", "--rules", &rules, "--rules", text(&pack)];
    args.extend(["--lake", text(lake), "--out", text(&out)]);
    args.extend(["--from", "2026-11-20", "--to", "2026-11-22", "--json"]);
    args.extend(more);
    serde_json::from_str(&ok(&args).out).unwrap()
}

/// The identities in a run's folder; each only once.
fn found(folder: &Path) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for entry in std::fs::read_dir(folder.join("alerts")).unwrap() {
        let lines = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in lines.lines() {
            let alert: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(ids.insert(alert["alert_id"].as_str().unwrap().to_owned()), "{line}");
        }
    }
    ids
}

fn live(lake: &Path) -> BTreeSet<String> {
    let rows = query(lake, "select alert_id from alerts");
    rows.iter().map(|row| row["alert_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_backtest_of_a_day_finds_the_alerts_of_that_day() {
    let dir = tempfile::tempdir().unwrap();
    let lake = day(dir.path());
    let live = live(&lake);
    let correlated = query(&lake, "select rule_id from alerts where length(correlated) > 0");
    assert!(live.len() > correlated.len() && !correlated.is_empty());
    let report = backtest(dir.path(), &lake, "one", &[]);
    assert_eq!(found(&dir.path().join("one")), live);
    assert_eq!(report["alerts"], live.len());

    // Files that replaced others, and another number of threads.
    ok(&["lake", "compact", "--all", "--lake", text(&lake)]);
    let two = backtest(dir.path(), &lake, "two", &["--workers", "1"]);
    assert_eq!(found(&dir.path().join("two")), live);

    // The whole way for every event.
    let whole = backtest(dir.path(), &lake, "whole", &["--no-prune"]);
    assert_eq!((&whole["rules"], &whole["events"]), (&two["rules"], &two["events"]));
    assert_eq!(whole["glanced"], 0);
    let (glanced, events) = (two["glanced"].as_u64().unwrap(), two["events"].as_u64().unwrap());
    assert!(0 < glanced && glanced < events, "{glanced} of {events}");
}

#[test]
fn what_a_backtest_found_is_a_table_beside_those_of_the_lake() {
    let dir = tempfile::tempdir().unwrap();
    let lake = day(dir.path());
    let report = backtest(dir.path(), &lake, "one", &["--log-type", "okta.system"]);
    let passed_over = &report["passed_over"];
    let cloudtrail = crate::support::number(&lake, "select count(*) as n from aws_cloudtrail");
    assert_eq!(passed_over["rows"], cloudtrail, "{passed_over}");
    let table = format!("found={}", text(&dir.path().join("one/alerts.parquet")));
    let ask = |table: &str, sql: &str| {
        run(&["query", sql, "--lake", text(&lake), "--format", "json", "--table", table])
    };
    let said = ask(
        &table,
        "select f.rule_id, count(*) as alerts, count(e.event_uid) as events, count(a.alert_id) as live
         from found f left join okta_system e on e.event_uid = f.event_uid
         left join alerts a on a.alert_id = f.alert_id group by 1",
    );
    assert_eq!(said.code, 0, "{}", said.err);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&said.out).unwrap();
    assert!(!rows.is_empty());
    for row in &rows {
        let alerts = &report["rules"][row["rule_id"].as_str().unwrap()]["alerts"];
        assert_eq!([&row["alerts"], &row["events"], &row["live"]], [alerts; 3], "{row}");
    }
    assert_eq!(rows.len(), report["rules"].as_object().unwrap().len());
    for (table, words) in [
        ("found", "NAME=FILE is meant"),
        ("events=x", "the lake has a table `events`"),
        ("Found=x", "cannot be the name of a table"),
        ("found=nowhere.parquet", "nowhere.parquet cannot be read as Parquet"),
    ] {
        let said = ask(table, "select 1");
        assert!(said.code != 0 && said.err.contains(words), "{}", said.err);
    }
}

#[test]
fn an_interrupted_backtest_goes_on_and_a_finished_one_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let lake = day(dir.path());
    let whole = backtest(dir.path(), &lake, "whole", &[]);
    let mut child = crate::support::mantissa();
    let (rules, pack) = (rules(), dir.path().join("pack.yml"));
    let out = dir.path().join("killed");
    child.args(["backtest", "--rules", &rules, "--rules", text(&pack)]);
    child.args(["--lake", text(&lake), "--out", text(&out)]);
    child.args(["--from", "2026-11-20", "--to", "2026-11-22", "--json"]);
    let mut child = child.stdout(std::process::Stdio::null()).spawn().unwrap();
    crate::support::wait_until("an hour is done", Duration::from_secs(60), || {
        out.join("run.json").exists()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let again = backtest(dir.path(), &lake, "killed", &[]);
    for what in ["alerts", "events", "files"] {
        assert_eq!(again[what], whole[what], "{what}");
    }
    assert_eq!(found(&out), live(&lake));
    // Finished: the lake is not even looked at.
    std::fs::rename(lake.join("_manifests"), dir.path().join("away")).unwrap();
    assert_eq!(backtest(dir.path(), &lake, "killed", &[]), again);
    let other = ["backtest", "--rules", &rules, "--lake", text(&lake), "--out", text(&out)];
    let said = run(&[&other[..], &["--from", "2026-11-20", "--to", "2026-11-21"]].concat());
    assert!(said.code != 0 && said.err.contains("folder of its own"), "{}", said.err);
}
