//! What a person tries first: files in, SQL out, twice the same adds nothing.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::support::{cloudtrail, mantissa, number, ok, query, run};

fn write(path: &Path, lines: &[String]) -> String {
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
    path.to_str().unwrap().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_file_becomes_rows_and_alerts_once() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let alerts = dir.path().join("alerts.ndjson");
    let lines: Vec<String> = (0..50)
        .map(|i| {
            cloudtrail(&format!("id-{i}"), if i == 7 { "StopLogging" } else { "DescribeTrails" })
        })
        .collect();
    let file = write(&dir.path().join("a.ndjson"), &lines);
    let args = [
        "ingest",
        "--log-type",
        "aws.cloudtrail",
        "--lake",
        text(&lake),
        "--alerts",
        text(&alerts),
        &file,
    ];
    let said = ok(&args);
    assert!(said.out.contains("50"), "{}", said.out);
    assert_eq!(number(&lake, "select count(*) as n from events"), 50);
    assert_eq!(number(&lake, "select count(*) as n from alerts"), 1);
    let sent = std::fs::read_to_string(&alerts).unwrap();
    assert_eq!(sent.lines().count(), 1, "{sent}");
    assert!(sent.contains("id-7"), "{sent}");

    let again = ok(&args);
    assert!(again.out.contains("already"), "says why nothing was added:\n{}", again.out);
    assert_eq!(number(&lake, "select count(*) as n from events"), 50);
    assert_eq!(std::fs::read_to_string(&alerts).unwrap().lines().count(), 1);

    // A copy under another name has the same content, and the file may have grown.
    let mut more = lines.clone();
    more.push(cloudtrail("id-new", "DescribeTrails"));
    let grown = write(&dir.path().join("b.ndjson"), &more);
    ok(&["ingest", "--log-type", "aws.cloudtrail", "--lake", text(&lake), &grown]);
    assert_eq!(number(&lake, "select count(*) as n from events"), 51);
    assert_eq!(ok(&["lake", "verify", "--deep", "--lake", text(&lake)]).code, 0);
}

#[test]
fn a_gzipped_trail_object_comes_from_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let records: Vec<String> =
        (0..20).map(|i| cloudtrail(&format!("r-{i}"), "ListUsers")).collect();
    let object = format!("{{\"Records\":[{}]}}", records.join(","));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(object.as_bytes()).unwrap();
    let bytes = gzip.finish().unwrap();
    for _ in 0..2 {
        let mut child = mantissa()
            .args(["ingest", "--log-type", "aws.cloudtrail", "--lake", text(&lake), "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(number(&lake, "select count(*) as n from aws_cloudtrail"), 20);
    }
}

#[test]
fn provider_duplicates_are_dropped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let one = write(&dir.path().join("a.ndjson"), &[cloudtrail("x", "A"), cloudtrail("y", "A")]);
    let two = write(&dir.path().join("b.ndjson"), &[cloudtrail("y", "A"), cloudtrail("z", "A")]);
    ok(&["ingest", "--log-type", "aws.cloudtrail", "--lake", text(&lake), &one]);
    let said =
        ok(&["ingest", "--log-type", "aws.cloudtrail", "--lake", text(&lake), "--json", &two]);
    let summary: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((summary["stored"].as_u64(), summary["duplicates"].as_u64()), (Some(1), Some(1)));
    assert_eq!(number(&lake, "select count(*) as n from events"), 3);
}

#[test]
fn log_types_share_the_events_view() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let trail = write(&dir.path().join("ct.ndjson"), &[cloudtrail("x", "A")]);
    let flow = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n\
                2 123456789012 eni-1 10.0.0.5 198.51.100.9 44321 443 6 10 840 1763633700 1763633760 ACCEPT OK\n\
                2 123456789012 eni-1 10.0.0.5 198.51.100.9 44321 443 6 10 840 1763633700 1763633760 ACCEPT OK\n";
    let flows = dir.path().join("flow.log");
    std::fs::write(&flows, flow).unwrap();
    ok(&["ingest", "--log-type", "aws.cloudtrail", "--lake", text(&lake), &trail]);
    ok(&["ingest", "--log-type", "aws.vpcflow", "--lake", text(&lake), text(&flows)]);
    let rows =
        query(&lake, "select log_type, count(*) as n from events group by log_type order by 1");
    assert_eq!(
        serde_json::Value::from(rows),
        serde_json::json!([{"log_type": "aws.cloudtrail", "n": 1}, {"log_type": "aws.vpcflow", "n": 2}]),
        "two equal flow lines are two flows"
    );
}

#[test]
fn mistakes_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(&["ingest", "--log-type", "aws.cloudtrial", "x.json"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("aws.cloudtrail"), "names what there is: {}", said.err);
    let said = run(&[
        "ingest",
        "--log-type",
        "aws.cloudtrail",
        "--lake",
        text(dir.path()),
        "missing.json",
    ]);
    assert_ne!(said.code, 0);
    assert!(said.err.contains("missing.json"), "{}", said.err);
    let said = run(&["query", "delete from events", "--lake", text(dir.path())]);
    assert_ne!(said.code, 0);
    let said = run(&["query", "select eventTime from events", "--lake", text(dir.path())]);
    assert!(said.err.contains("hint: did you mean event_time?"), "{}", said.err);
    let said = run(&["query", "select zzzz from events", "--lake", text(dir.path())]);
    assert!(said.err.contains("json_get(raw, 'zzzz')"), "{}", said.err);
}

/// A join without an equality works for hours inside one call of the engine.
#[test]
fn a_question_ends_at_its_time_limit() {
    let dir = tempfile::tempdir().unwrap();
    let endless = "select count(*) from generate_series(1, 500000) as a \
                   join generate_series(1, 500000) as b on a.value * b.value % 1000003 = -1";
    let asked = std::time::Instant::now();
    let said = run(&["query", endless, "--timeout-s", "1", "--lake", text(dir.path())]);
    let took = asked.elapsed();
    assert_eq!(said.code, 2);
    assert!(said.err.contains("longer than 1 s"), "{}", said.err);
    assert!(took < std::time::Duration::from_secs(4), "{took:?}");
}
