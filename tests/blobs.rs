//! A container of a real emulator from outside: blobs that grow while the program is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use servers::Azure;

use crate::support::{mantissa, number, ok, parquet_files, wait_until};

/// Events are known by their place only, so the lake would not notice one that comes twice.
const LOG_TYPE: &str = "
name: acme.doors
description: Doors that were opened, by Acme.
logsource: {product: acme, service: doors}
decoder: {json: {}}
identity: {position: true}
time:
  - {from: time, form: rfc3339}
columns:
  action: id
";

fn site(folder: &Path, server: &Azure, queue: &str) {
    std::fs::write(folder.join("log_type.yml"), LOG_TYPE).unwrap();
    let (blobs, queues) = (server.blob_endpoint(), server.queue_endpoint());
    let config = format!(
        "lake: {{url: ./lake, epoch_ms_max: 300}}\nlog_types: [log_type.yml]\nrules: {{builtin: false}}\n\
         sources:\n  doors:\n    log_type: acme.doors\n    azure_blob:\n      account: {}\n      \
         container: doors\n      auth: {{account_key: \"{}\"}}\n      endpoint: {blobs}\n      \
         queue_endpoint: {queues}\n      every_s: 1\n      lease_s: 10\n{queue}",
        Azure::ACCOUNT,
        Azure::KEY,
    );
    std::fs::write(folder.join("mantissa.yaml"), config).unwrap();
}

fn start(folder: &Path) -> Child {
    let mut command = mantissa();
    command.arg("run").current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

fn lines(numbers: std::ops::Range<usize>) -> Vec<u8> {
    let line = |n: usize| format!("{{\"id\":\"d{n}\",\"time\":\"2026-11-20T10:15:00Z\"}}\n");
    numbers.flat_map(|n| line(n).into_bytes()).collect()
}

/// Kills the program four times while blobs grow and new ones come; what the lake has then.
fn judge(queue: Option<&str>) {
    const LIVES: usize = 4;
    let Some(server) = Azure::start() else { return };
    server.container("doors");
    let option = queue.map(|queue| {
        server.queue(queue);
        format!("      queue: {queue}\n")
    });
    let folder = tempfile::tempdir().unwrap();
    site(folder.path(), &server, &option.unwrap_or_default());
    let lake = folder.path().join("lake");
    let tell = |blob: &str| {
        let subject = format!("/blobServices/default/containers/doors/blobs/{blob}");
        let event =
            format!(r#"{{"eventType":"Microsoft.Storage.BlobCreated","subject":"{subject}"}}"#);
        if let Some(queue) = queue {
            server.send(queue, &event);
        }
    };
    let mut files = Vec::new();
    for life in 0..LIVES {
        let from = life * 10_000;
        // The half of a line is written while the program runs.
        let growing = lines(from..from + 6_000);
        server.append("doors", "y=2099/m=01/PT1H.json", &growing[..growing.len() - 20]);
        server.put("doors", &format!("blob-{life}.json"), &lines(from + 6_000..from + 10_000));
        tell("y=2099/m=01/PT1H.json");
        tell(&format!("blob-{life}.json"));
        let mut child = start(folder.path());
        // A start removes what was not committed, so that their number says nothing.
        let is_new = |file: &PathBuf| !files.contains(file);
        wait_until("storing", Duration::from_secs(60), || parquet_files(&lake).iter().any(is_new));
        server.append("doors", "y=2099/m=01/PT1H.json", &growing[growing.len() - 20..]);
        std::thread::sleep(Duration::from_millis(300 * life as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        files = parquet_files(&lake);
    }
    let mut child = start(folder.path());
    let all = (LIVES * 10_000) as i64;
    let count = |what: &str| number(&lake, &format!("SELECT count({what}) AS n FROM acme_doors"));
    wait_until("everything", Duration::from_secs(90), || count("*") >= all);
    // What killed processes had in hand comes again after ten seconds.
    std::thread::sleep(Duration::from_secs(if queue.is_some() { 14 } else { 3 }));
    if let Some(queue) = queue {
        let are_done = || server.messages(queue) == 0;
        wait_until("every notification is done with", Duration::from_secs(60), are_done);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((count("DISTINCT action"), count("*")), (all, all));
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}

#[test]
fn what_is_listed_is_stored_once_however_often_the_program_is_killed() {
    judge(None);
}

#[test]
fn what_is_told_of_is_stored_once_however_often_the_program_is_killed() {
    judge(Some("news"));
}
