//! A subscription of a real Pub/Sub emulator from outside: the program killed while it reads, tried out.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use servers::Pubsub;

use crate::lives::Life;
use crate::support::{mantissa, number, ok, parquet_files, wait_until};

/// Events are known by their place only, so the lake would not notice one that comes twice.
const LOG_TYPE: &str = "
name: acme.doors
description: Doors that were opened, by Acme.
logsource: {product: acme, service: doors}
decoder: {json: {}}
identity: {position: true}
time:
  - {from: opened_at, form: rfc3339}
columns:
  action: id
";

fn site(folder: &Path, endpoint: &str, subscription: &str) {
    std::fs::write(folder.join("log_type.yml"), LOG_TYPE).unwrap();
    let config = format!(
        "lake: {{url: ./lake, epoch_ms_max: 300}}\nlog_types: [log_type.yml]\nrules: {{builtin: false}}\n\
         sources:\n  doors:\n    log_type: acme.doors\n    gcp_pubsub:\n      subscription: {subscription}\n      \
         endpoint: {endpoint}\n      auth: {{anonymous: true}}\n      lease_s: 10\n      messages_max: 400\n"
    );
    std::fs::write(folder.join("mantissa.yaml"), config).unwrap();
}

fn start(folder: &Path) -> Child {
    let mut command = mantissa();
    command.arg("run").current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

fn record(n: usize) -> String {
    format!(r#"{{"id":"d{n}","opened_at":"2026-11-20T10:15:00Z"}}"#)
}

#[test]
fn a_subscription_is_stored_once_however_often_the_program_is_killed() {
    const MESSAGES: usize = 2_000;
    let Some(server) = Pubsub::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    site(folder.path(), &server.endpoint(), &server.subscription("doors"));
    let lake = folder.path().join("lake");
    let mut files = 0;
    for life in 0..4 {
        let some: Vec<_> = (life * 500..(life + 1) * 500).map(record).collect();
        server.publish("doors", &some);
        let mut child = start(folder.path());
        // Between what is committed, what is acknowledged and what is not.
        wait_until("storing", Duration::from_secs(60), || parquet_files(&lake).len() > files);
        std::thread::sleep(Duration::from_millis(40 * life as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        files = parquet_files(&lake).len();
    }
    let mut child = start(folder.path());
    let all = || number(&lake, "SELECT count(*) AS n FROM acme_doors") >= MESSAGES as i64;
    wait_until("everything", Duration::from_secs(60), all);
    // Leases of killed processes are over after ten seconds: their messages come again.
    std::thread::sleep(Duration::from_secs(11));
    assert_eq!(server.waiting("doors"), 0, "everything is acknowledged");
    child.kill().unwrap();
    child.wait().unwrap();
    let count = |what: &str| number(&lake, &format!("SELECT count({what}) AS n FROM acme_doors"));
    assert_eq!((count("DISTINCT action"), count("*")), (MESSAGES as i64, MESSAGES as i64));
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}

/// The program alerts of a message and is killed before its epoch. Then another message comes first.
#[test]
fn a_message_that_comes_in_the_place_of_another_is_alerted_of_too() {
    const RULE: &str = "
title: A door was opened
id: 6f1b0a52-9b1e-4d0e-8f2f-3a4c5d6e7f80
level: low
logsource: {product: acme, service: doors}
detection: {opened: {id: '*'}, condition: opened}
";
    let Some(server) = Pubsub::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    site(folder.path(), &server.endpoint(), &server.subscription("doors"));
    let (config, lake) = (folder.path().join("mantissa.yaml"), folder.path().join("lake"));
    let text = std::fs::read_to_string(&config).unwrap();
    // One message at a time: nothing waits at Pub/Sub that would take messages away from the next process.
    let text = text.replace("messages_max: 400", "messages_max: 1");
    let text = text.replace("{builtin: false}", "{builtin: false, paths: [rule.yml]}")
        + "destinations: {out: {file: {path: ./alerts.ndjson}}}\n";
    std::fs::write(folder.path().join("rule.yml"), RULE).unwrap();
    std::fs::write(&config, text.replace("epoch_ms_max: 300", "epoch_ms_max: 600000")).unwrap();
    let alerts = || {
        let text = std::fs::read_to_string(folder.path().join("alerts.ndjson"));
        let mut times = BTreeMap::new();
        for line in text.unwrap_or_default().lines() {
            let alert: serde_json::Value = serde_json::from_str(line).unwrap();
            let door = alert["event"]["action"].as_str().unwrap().to_owned();
            *times.entry(door).or_default() += 1;
        }
        times
    };
    server.publish("doors", &[record(0)]);
    let life = Life::start(folder.path());
    wait_until("the first alert", Duration::from_secs(60), || alerts().len() == 1);
    drop(life);
    assert!(parquet_files(&lake).is_empty(), "the epoch of the first is not committed");

    std::fs::write(&config, text).unwrap();
    server.publish("doors", &[record(1)]);
    let life = Life::start(folder.path());
    let stored = || number(&lake, "SELECT count(*) AS n FROM acme_doors");
    wait_until("both", Duration::from_secs(60), || {
        !parquet_files(&lake).is_empty() && stored() == 2
    });
    assert!(life.stop().success());
    let first = "SELECT min(action) AS n FROM acme_doors WHERE ingest_time = (SELECT min(ingest_time) FROM acme_doors)";
    let first = &crate::support::query(&lake, first)[0]["n"];
    assert_eq!(first, "d1", "the second came before the first came again");
    let once = BTreeMap::from([("d0".to_owned(), 1), ("d1".to_owned(), 1)]);
    assert_eq!(alerts(), once);
    let listed = "SELECT count(*) AS n FROM alerts";
    assert_eq!(number(&lake, listed), 2);
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}

#[test]
fn a_subscription_is_tried_out_in_words() {
    let Some(server) = Pubsub::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    server.subscription("doors");
    for (name, code, expected) in
        [("doors", 0, "messages are kept for 168 h"), ("windows", 1, "NOT WELL")]
    {
        let subscription = format!("projects/project/subscriptions/{name}");
        site(folder.path(), &server.endpoint(), &subscription);
        let mut command = mantissa();
        command.args(["sources", "test", "doors"]).current_dir(folder.path());
        let said = crate::support::Said::from(command.output().unwrap());
        assert_eq!(said.code, code, "{}{}", said.out, said.err);
        assert!(said.out.contains(expected), "{}", said.out);
        assert!(!folder.path().join("lake").exists(), "nothing is stored");
    }
}
