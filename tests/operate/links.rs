//! Every alert leads back to its event: the command that it carries works as it stands, whatever the
//! event's identity is made of.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::{BASE, Site, alerts_in};
use crate::support::{cloudtrail, query};

const IDS: [&str; 13] = [
    "6fd8e2a8-1f4e-4d2b-9a50-0c5f6e3d2b1a",
    "0123456789abcdef0123456789abcdef",
    "it's \"quoted\"",
    "with spaces  and\ttabs",
    "two\nlines",
    "$(touch pwned) `touch pwned` ; touch pwned",
    "back\\slash \\' \\\" !history",
    "'; DROP TABLE events; --",
    "%s {} * ? [a-z] ~ | & > <",
    "canary.person@example.com",
    "AKIAQ7X2M4N6P3R5T7V2",
    "日本語 ünïcödé \u{202e} \u{7f}",
    " ",
];

#[test]
fn the_command_in_an_alert_shows_its_event() {
    // A name that has to be quoted, so that the folder of the lake is not the default.
    let base = BASE.replace("url: ./lake", "url: \"./it's a lake\"");
    let out = "destinations:\n  out:\n    file:\n      path: ./alerts.ndjson\n";
    let mut site = Site::with(&format!("{base}{out}"));
    let lake = site.path("it's a lake");
    site.start();
    let event = |(n, id): (usize, &&str)| {
        let mut event: Value = serde_json::from_str(&cloudtrail("x", "Watched")).unwrap();
        event["eventID"] = json!(id);
        event["requestID"] = json!(format!("request-{n}"));
        event.to_string()
    };
    site.append(&IDS.iter().enumerate().map(event).collect::<Vec<_>>());
    site.wait("the alerts", |site| alerts_in(&site.path("alerts.ndjson")).len() == IDS.len());
    site.wait("the commit", |site| site.metric("mantissa_events_stored_total") == IDS.len() as f64);
    site.stop();

    let mut seen = BTreeSet::new();
    for alert in alerts_in(&site.path("alerts.ndjson")) {
        let command = alert["query"].as_str().unwrap_or_else(|| panic!("no command: {alert}"));
        let rows = shown(&site, &format!("{command} --format json"));
        assert_eq!(rows.len(), 1, "{command}\n{rows:?}");
        let id = rows[0]["event_uid"].as_str().unwrap().to_owned();
        assert!(IDS.contains(&id.as_str()), "{command} shows {id:?}");

        // And the table of alerts names the file that holds the event.
        let alert_id = alert["alert_id"].as_str().unwrap();
        let sql = format!(
            "select event_file, lake_partition, event_uid from alerts where alert_id = '{alert_id}'"
        );
        let row = query(&lake, &sql).remove(0);
        assert_eq!(row["event_uid"], json!(id));
        let file = row["event_file"].as_str().expect("it names the file");
        let folder = alert["lake_partition"].as_str().unwrap();
        assert!(file.starts_with(&format!("{folder}/")), "{file} is not in {folder}");
        assert!(holds(&lake.join(file), &id), "{id:?} is not in {file}");
        seen.insert(id);
    }
    assert_eq!(seen.len(), IDS.len(), "each of them once: {seen:?}");
    assert!(!site.path("pwned").exists(), "an identity was run as a command");
}

/// Runs a command as a person who pastes it, and reads its rows.
fn shown(site: &Site, command: &str) -> Vec<Value> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_mantissa"));
    let folder = program.parent().expect("the program is in a folder").display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-c", command])
        .env("PATH", path)
        .current_dir(site.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\n{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {command}"))
}

/// Whether a data file has an event of this identity, read by the parquet crate alone.
fn holds(file: &std::path::Path, id: &str) -> bool {
    use arrow::array::AsArray as _;
    let file = std::fs::File::open(file).expect("the file is there");
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
    let mut batches = reader.unwrap().build().unwrap().map(Result::unwrap);
    batches.any(|batch| {
        let uids = batch.column_by_name("event_uid").expect("every event has an identity");
        uids.as_string::<i32>().iter().any(|uid| uid == Some(id))
    })
}
