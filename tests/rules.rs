//! `mantissa rules`: problems are reported like a compiler's, each at its place, and cost nobody else.

use std::path::Path;

use crate::support::run;

const GOOD: &str = "
title: Good
id: 5f3a0b52-1d57-4f0a-9d38-0c7c1d8e7a22
logsource: {product: aws, service: cloudtrail}
detection:
  selection: {eventName: StopLogging}
  condition: selection
";

fn rule(dir: &Path, name: &str, selection: &str) {
    let id = format!("5f3a0b52-1d57-4f0a-9d38-{:012x}", name.len());
    let text = format!(
        "title: {name}\nid: {id}\nlogsource: {{product: aws, service: cloudtrail}}\ndetection:\n  \
         selection:\n    {selection}\n  condition: selection\n"
    );
    std::fs::write(dir.join(format!("{name}.yml")), text).unwrap();
}

#[test]
fn every_problem_has_its_place_and_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("good.yml"), GOOD).unwrap();
    rule(dir.path(), "modifier", "eventName|containz: Stop");
    rule(dir.path(), "placeholder2", "eventName|expand: '%names%'");
    rule(dir.path(), "field", "eventNmae: StopLogging");
    std::fs::write(dir.path().join("yaml.yml"), "title: [unclosed\n").unwrap();
    let path = dir.path().to_str().unwrap();
    let said = run(&["rules", "check", path]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    for part in [
        "modifier.yml:6:",
        "containz",
        "contains",
        "placeholder2.yml:6:",
        "yaml.yml:",
        "field.yml:6:5",
        "no field `eventNmae`",
        "can never match",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in:\n{}", said.out);
    }
    let said = run(&["rules", "check", path, "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["rules"], 2, "the good rule and the one with an unknown field: {report}");
    assert_eq!(report["errors"], 3, "{report}");
}

#[test]
fn a_case_that_does_not_hold_fails_the_test() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("good.yml"), GOOD).unwrap();
    let case = |alerts: bool| {
        format!(
            "{{\"name\":\"c\",\"alerts\":{alerts},\"event\":{{\"eventID\":\"1\",\"eventName\":\"StopLogging\"}}}}\n"
        )
    };
    let path = dir.path().to_str().unwrap();
    std::fs::write(dir.path().join("good.cases.ndjson"), case(true)).unwrap();
    assert_eq!(run(&["rules", "test", path]).code, 0);
    std::fs::write(dir.path().join("good.cases.ndjson"), case(false)).unwrap();
    let said = run(&["rules", "test", path]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("alerts but must not"), "{}", said.out);
}

#[test]
fn eval_prints_one_line_a_match_in_input_order() {
    let dir = tempfile::tempdir().unwrap();
    let (rules, events) = (dir.path().join("r.yml"), dir.path().join("e.ndjson"));
    std::fs::write(&rules, GOOD).unwrap();
    std::fs::write(
        &events,
        "{\"eventName\":\"stoplogging\"}\nnot json\n{\"eventName\":\"x\"}\n{\"eventName\":\"StopLogging\"}\n",
    )
    .unwrap();
    for engine in ["fast", "oracle"] {
        for source in [["--product", "aws"], ["--log-type", "aws.cloudtrail"]] {
            let mut args =
                vec!["rules", "eval", "--rules", rules.to_str().unwrap(), "--engine", engine];
            args.extend(source);
            args.push(events.to_str().unwrap());
            let said = run(&args);
            assert_eq!(said.code, 0, "{}", said.err);
            let lines: Vec<serde_json::Value> =
                said.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            assert_eq!(
                lines.iter().map(|l| l["line"].as_u64().unwrap()).collect::<Vec<_>>(),
                [0, 3]
            );
            assert!(
                said.err.contains("line 1"),
                "the line that is no event is named: {}",
                said.err
            );
        }
    }
}
