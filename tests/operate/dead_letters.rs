//! Records that a log type refuses, and their way back after the log type is mended.

use super::Site;
use crate::support::number;

/// A log type whose records must have the member that is their identity.
fn log_type(identity: &str) -> String {
    format!(
        "name: acme.door\ndescription: Doors.\nlogsource: {{product: aws, service: cloudtrail}}\n\
         decoder:\n  columns: {{separator: \",\", layouts: [[{identity}]]}}\nidentity: {{any: [seq]}}\n\
         time:\n  - {{from: ts, form: epoch_ms}}\ncolumns:\n  action: eventName\n"
    )
}

const WRONG: &str = "seq, ts";
const RIGHT: &str = "seq, ts, eventName";

#[test]
fn mended_records_are_redriven_once() {
    let base = super::BASE.replace("aws.cloudtrail", "acme.door").replace("ndjson", "csv");
    let mut site = Site::with(&format!(
        "log_types: [door.yml]\n{base}destinations:\n  out:\n    file:\n      path: ./alerts.ndjson\n"
    ));
    std::fs::write(site.path("door.yml"), log_type(WRONG)).unwrap();
    let lines: String = (0..5).map(|n| format!("d-{n},177235560012{n},Watched\n")).collect();
    std::fs::write(site.path("in/doors.csv"), lines).unwrap();
    site.start();
    site.wait("five dead letters", |site| site.metric("mantissa_dead_letters_total") == 5.0);
    site.stop();

    let list = site.ok(&["deadletters", "list", "-c", "mantissa.yaml", "--format", "json"]);
    let letters: Vec<serde_json::Value> = serde_json::from_str(&list.out).unwrap();
    assert_eq!(letters.len(), 5, "{}", list.out);
    for letter in &letters {
        assert!(letter["reason"].as_str().is_some_and(|r| !r.is_empty()), "{letter}");
    }
    let id = letters[0]["dead_id"].as_str().unwrap();
    let shown = site.ok(&["deadletters", "show", "-c", "mantissa.yaml", id]);
    assert!(
        shown.out.starts_with("d-") && shown.out.trim_end().ends_with(",Watched"),
        "{}",
        shown.out
    );
    assert!(shown.err.contains("acme.door"), "{}", shown.err);

    // Not mended yet: the letter dies again and nothing is stored.
    let redrive = ["deadletters", "redrive", "-c", "mantissa.yaml"];
    site.ok(&[&redrive[..], &[id]].concat());
    assert_eq!(number(&site.lake(), "select count(*) as n from events"), 0);

    std::fs::write(site.path("door.yml"), log_type(RIGHT)).unwrap();
    site.ok(&redrive);
    let count = "select count(*) as n from events";
    assert_eq!(number(&site.lake(), count), 5);
    assert_eq!(number(&site.lake(), "select count(distinct event_uid) as n from events"), 5);
    let alerts = super::alerts_in(&site.path("alerts.ndjson"));
    assert_eq!(alerts.len(), 5, "redriven records meet the rules and destinations of the file");

    let again = site.ok(&redrive);
    assert!(again.out.contains("nothing"), "{}", again.out);
    assert_eq!(number(&site.lake(), count), 5);
    site.ok(&["lake", "verify", "--deep", "-c", "mantissa.yaml"]);
}
