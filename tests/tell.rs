//! What rules tell about themselves: explain, fields, witness, stats, diff, and the schemas.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{ok, run};

const RULE: &str = "
title: Trail Stopped
id: 5f3a0b52-1d57-4f0a-9d38-0c7c1d8e7a22
logsource: {product: aws, service: cloudtrail}
detection:
  selection:
    eventSource: cloudtrail.amazonaws.com
    eventName: [StopLogging, DeleteTrail]
    errorCode: null
  filter:
    userIdentity.arn|endswith: ':role/janitor'
  condition: selection and not filter
";

struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        folder.write("rule.yml", RULE);
        folder
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }
}

fn check_parts(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn explain_says_what_was_seen_and_what_would_have_matched() {
    let folder = Folder::new();
    let rule = folder.path("rule.yml");
    // In the envelope in which EventBridge delivers: the path is another, and the file is pretty.
    let event = folder.write(
        "event.json",
        "{\"detail\": {\"eventID\": \"1\",\n \"eventSource\": \"cloudtrail.amazonaws.com\",\n \
         \"eventName\": \"StartLogging\\u001b[2J\", \"userIdentity\": {\"arn\": \"a:role/x\"}}}\n",
    );
    let said = ok(&["rules", "explain", &rule, &event]);
    check_parts(
        &said.out,
        &[
            "Trail Stopped (5f3a0b52-1d57-4f0a-9d38-0c7c1d8e7a22) does not match",
            "condition: selection and not filter",
            "✓ eventSource: cloudtrail.amazonaws.com  ← \"cloudtrail.amazonaws.com\" at detail.eventSource",
            "✗ eventName: [StopLogging, DeleteTrail]  ← \"StartLogging\\u001b[2J\" at detail.eventName",
            "✓ errorCode: null  ← absent",
            "it would match if one item came out otherwise:\n  eventName: [StopLogging, DeleteTrail] must hold",
            "the event was read as aws.cloudtrail",
        ],
    );
    assert!(!said.out.contains('\u{1b}'));

    let said = ok(&["rules", "explain", &rule, &event, "--format", "json"]);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&report["holds"], &report["applies"]), (&false.into(), &true.into()));
    let change = &report["change"]["items"][0];
    assert_eq!(change["field"]["path"], "detail.eventName");
    assert_eq!((&change["must_hold"], &change["at"]["line"]), (&true.into(), &8.into()));

    // Another log source, and a line of many.
    let lines = folder.write("lines.ndjson", "{}\n{\"eventName\":\"DeleteTrail\"}\n");
    let said = ok(&["rules", "explain", &rule, &lines, "--line", "1", "--product", "okta"]);
    check_parts(
        &said.out,
        &["✓ eventName", "asks for another log source", "eventSource: cloudtrail"],
    );
    for (args, part) in [
        (["explain", &rule, &lines, "--line", "2"], "has no line 2"),
        (["explain", "nobody", &lines, "--line", "1"], "neither a file nor the id"),
        (
            ["explain", &rule, &lines, "--log-type", "aws.cloudtrial"],
            "did you mean `aws.cloudtrail`",
        ),
        (["explain", &rule, &folder.path("rule.yml"), "--line", "1"], "not JSON"),
    ] {
        let said = run(&[&["rules"], &args[..]].concat());
        assert_ne!(said.code, 0, "{args:?}");
        check_parts(&said.err, &[part]);
    }
}

#[test]
fn explain_knows_filters_and_built_in_rules() {
    let folder = Folder::new();
    let filter = "title: Not Ours\nlogsource: {product: aws}\nfilter:\n  rules: any\n  ours: \
                  {recipientAccountId: '1'}\n  condition: not ours\n";
    let filter = folder.write("filter.yml", filter);
    let event = folder.write(
        "e.json",
        r#"{"eventSource":"cloudtrail.amazonaws.com","eventName":"stoplogging","recipientAccountId":"1"}"#,
    );
    let rule = folder.path("rule.yml");
    check_parts(&ok(&["rules", "explain", &rule, &event]).out, &[") matches\n"]);
    let said = ok(&["rules", "explain", &rule, &event, "--with", &filter]);
    check_parts(&said.out, &["does not match", "Not Ours: ours", "must not hold", "filter.yml:5:"]);

    let built_in =
        std::fs::read_to_string(rules().join("aws/cloudtrail_trail_stopped.yml")).unwrap();
    let id = built_in.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    check_parts(&ok(&["rules", "explain", id, &event]).out, &[id, "✓"]);
}

fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules")
}

#[test]
fn fields_names_what_is_needed_and_who_cannot_see() {
    let said = ok(&["rules", "fields", "--format", "json"]);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    let ours = report["rules"].as_array().unwrap();
    assert!(ours.len() > 50 && report["dead"] == 0 && report["blind"] == 0, "{}", said.out);
    let offered = |rule: &Value| {
        let each = rule["fields"].as_array().unwrap().iter();
        each.flat_map(|field| field["offered"].as_array().unwrap().clone()).collect::<Vec<_>>()
    };
    let is_there = |offer: &Value| !offer["paths"].as_array().unwrap().is_empty();
    assert!(ours.iter().all(|rule| !offered(rule).is_empty()));
    assert!(ours.iter().all(|rule| offered(rule).iter().all(is_there)));

    let folder = Folder::new();
    folder.write("dead.yml", &RULE.replace("eventName", "eventNmae").replace("7a22", "7a23"));
    folder.write("blind.yml", &RULE.replace("errorCode", "errorCood").replace("7a22", "7a24"));
    let windows = RULE.replace("product: aws, service: cloudtrail", "product: windows");
    folder.write("windows.yml", &windows.replace("7a22", "7a25"));
    let path = folder.dir.path().to_str().unwrap();
    let said = run(&["rules", "fields", path]);
    assert_eq!(said.code, 1, "a rule is dead");
    check_parts(
        &said.out,
        &[
            "  dead: aws.cloudtrail has no field eventNmae\n",
            "  blind: aws.cloudtrail has no field errorCood\n",
            "  blind: none of the log types is of product windows\n",
            "eventNmae         aws.cloudtrail  never there\n",
            "eventName         aws.cloudtrail  detail.eventName, eventName\n",
            "4 rules in ",
            ": 1 see everything they ask for, 2 blind, 1 dead\n",
        ],
    );
    let said = run(&["rules", "fields", path, "--log-type", "okta.system", "--only-faulty"]);
    check_parts(&said.out, &["4 rules in 1 log type: 0 see everything", "4 blind, 0 dead"]);

    let correlation = "title: Again\ncorrelation:\n  type: value_count\n  rules: \
                       [5f3a0b52-1d57-4f0a-9d38-0c7c1d8e7a22]\n  group-by: [sourceIPAdress]\n  \
                       timespan: 5m\n  condition: {field: awsRegion, gte: 2}\n";
    folder.write("again.yml", correlation);
    let said = run(&["rules", "fields", path, "--log-type", "aws.cloudtrail"]);
    check_parts(
        &said.out,
        &[
            "Again (",
            "  blind: events without a field that it reads never take part\n  of 5f3a0b52",
            "  sourceIPAdress  aws.cloudtrail  never there\n",
            "  awsRegion       aws.cloudtrail  detail.awsRegion, awsRegion\n",
        ],
    );
    std::fs::remove_file(folder.path("again.yml")).unwrap();

    let text = format!(
        "sources:\n  trail:\n    log_type: aws.cloudtrail\n    file:\n      paths: [{0}/in]\nlake:\n  \
             url: {0}/lake\nrules:\n  builtin: false\n  paths: [{0}/rule.yml]\n",
        path
    );
    let config = folder.write("mantissa.yaml", &text);
    let said = ok(&["rules", "fields", "--config", &config, "--format", "json"]);
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["log_types"], serde_json::json!(["aws.cloudtrail"]));
    let trail = report["rules"].as_array().unwrap().iter().find(|r| r["title"] == "Trail Stopped");
    assert_eq!(trail.unwrap()["state"], "ok");
    assert!(said.err.is_empty(), "{}", said.err);
    std::fs::write(&config, text.replace("builtin: false", "builtin: false\n  disable: [nobody]"))
        .unwrap();
    let said = ok(&["rules", "fields", "--config", &config]);
    check_parts(&said.err, &["no rule has the id `nobody`"]);
}

#[test]
fn every_rule_of_ours_has_a_witness_that_the_program_agrees_with() {
    let said = ok(&["rules", "witness", rules().to_str().unwrap(), "--format", "json"]);
    let folder = Folder::new();
    let mut by_type: std::collections::BTreeMap<String, Vec<Value>> = Default::default();
    for line in said.out.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        by_type.entry(row["log_type"].as_str().unwrap_or("").to_owned()).or_default().push(row);
    }
    let count: usize = by_type.values().map(Vec::len).sum();
    assert!(count > 50, "{count}");
    for (log_type, rows) in by_type {
        let lines =
            rows.iter().flat_map(|row| [row["fires"].to_string(), row["nearly"].to_string()]);
        let file = folder.write("e.ndjson", &(lines.collect::<Vec<_>>().join("\n") + "\n"));
        let rules = rules();
        let rules = rules.to_str().unwrap();
        for engine in ["fast", "oracle"] {
            let args = ["rules", "eval", "--rules", rules, "--engine", engine, "--log-type"];
            let said = ok(&[&args[..], &[&log_type, &file]].concat());
            let hits: Vec<Value> =
                said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            for (at, row) in rows.iter().enumerate() {
                let hit = |line: usize| {
                    hits.iter().any(|hit| hit["line"] == line && hit["rule"] == row["rule"])
                };
                assert!(hit(2 * at) && !hit(2 * at + 1), "{log_type} {engine}: {row}");
            }
        }
    }
    let said = ok(&["rules", "witness", &folder.path("rule.yml")]);
    check_parts(&said.out, &["matches:\n{", "\"eventName\":\"StopLogging\"", "nearly, but `event"]);
    let never = RULE.replace("selection and not filter", "selection and filter and not filter");
    let never = folder.write("never.yml", &never);
    let said = run(&["rules", "witness", &never]);
    assert_eq!((said.code, said.out.contains("no event was found")), (1, true));
}

#[test]
fn stats_count_what_each_rule_does() {
    let folder = Folder::new();
    let event = |name: &str, source: &str| {
        format!("{{\"eventName\":\"{name}\",\"eventSource\":\"{source}.amazonaws.com\"}}\n")
    };
    let events = [
        event("StopLogging", "cloudtrail"),
        event("StopLogging", "ec2"),
        event("x", "y"),
        event("x", "cloudtrail"),
        "broken\n".to_owned(),
        event("deletetrail", "cloudtrail"),
    ];
    let events = folder.write("e.ndjson", &events.concat());
    folder.write("other.yml", &RULE.replace("7a22", "7a23").replace("aws", "okta"));
    let path = folder.dir.path().to_str().unwrap();
    let args = ["rules", "stats", path, &events, "--log-type", "aws.cloudtrail"];
    let said = ok(&[&args[..], &["--format", "json"]].concat());
    let report: Value = serde_json::from_str(&said.out).unwrap();
    let rows = report["rules"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "the other one does not apply: {report}");
    assert_eq!((&rows[0]["hits"], &rows[0]["candidates"]), (&2.into(), &3.into()), "{report}");
    assert_eq!((&report["total"]["events"], &report["total"]["refused"]), (&5.into(), &1.into()));
    assert_eq!(rows[0]["cost_share"], 1.0);
    let said = ok(&args);
    check_parts(
        &said.out,
        &["2           3 100.0 %  Trail Stopped", "5 events, 1 rule that applies"],
    );
    assert_ne!(run(&args[..4]).code, 0, "what the events are is not known");
}

#[test]
fn diff_names_the_matches_that_appear_and_vanish() {
    let folder = Folder::new();
    let events = folder.write(
        "e.ndjson",
        "{\"eventName\":\"StopLogging\",\"eventSource\":\"cloudtrail.amazonaws.com\"}\n\
         {\"eventName\":\"DeleteTrail\",\"eventSource\":\"cloudtrail.amazonaws.com\"}\n\
         {\"eventName\":\"PutEventSelectors\",\"eventSource\":\"cloudtrail.amazonaws.com\"}\n",
    );
    let before = folder.write("before/rule.yml", RULE);
    let changed =
        RULE.replace("DeleteTrail", "PutEventSelectors").replace("Trail Stopped", "Renamed");
    folder.write("after/rule.yml", &changed);
    folder.write("after/new.yml", &RULE.replace("7a22", "7a23").replace("Trail Stopped", "New"));
    let after = folder.path("after");
    let args = ["rules", "diff", &before, &after, &events, "--log-type", "aws.cloudtrail"];
    let said = run(&args);
    assert_eq!(said.code, 1, "{}", said.err);
    check_parts(
        &said.out,
        &[
            "- line 1: Trail Stopped (5f3a",
            "+ line 2: Renamed (5f3a",
            "+ line 0: New (5f3a",
            "+ line 1: New (5f3a",
            "+1 -1, the rule has changed",
            "+2 -0, the rule is new",
            "3 events: 3 matches appear and 1 vanishes",
        ],
    );
    assert_eq!(said.out.matches("line 0").count(), 1, "a new title alone is no difference");
    let said = run(&[&args[..], &["--format", "json"]].concat());
    let row: Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&row["line"], &row["change"], &row["title"]),
        (&0.into(), &"appears".into(), &"New".into())
    );
    let same = ["rules", "diff", &before, &before, &events, "--product", "aws"];
    assert_eq!(run(&same).code, 0);
}

#[test]
fn schemas_are_printed_for_editors() {
    for (of, part) in
        [("rule", "contains"), ("filter", "rules"), ("case", "events"), ("config", "lake")]
    {
        let said = ok(&["schema", "--for", of]);
        let schema: Value = serde_json::from_str(&said.out).unwrap();
        assert!(schema["$schema"].is_string() && said.out.contains(part), "{of}");
    }
    assert_eq!(ok(&["schema"]).out, ok(&["schema", "--for", "config"]).out);
}
