//! A bucket of an emulator of Cloud Storage from outside: objects come while the program is killed.

use std::path::Path;
use std::time::Duration;

use servers::{CloudStorage, Pubsub};

use crate::lives::Life;
use crate::support::{number, ok, parquet_files, wait_until};

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

fn site(folder: &Path, server: &CloudStorage, news: &str) {
    std::fs::write(folder.join("log_type.yml"), LOG_TYPE).unwrap();
    let config = format!(
        "lake: {{url: ./lake, epoch_ms_max: 300}}\nlog_types: [log_type.yml]\nrules: {{builtin: false}}\n\
         sources:\n  doors:\n    log_type: acme.doors\n    gcs:\n      bucket: bucket\n      \
         auth: {{anonymous: true}}\n      endpoint: {}\n      every_s: 1\n      lease_s: 10\n{news}",
        server.endpoint(),
    );
    std::fs::write(folder.join("mantissa.yaml"), config).unwrap();
}

fn lines(numbers: std::ops::Range<usize>) -> Vec<u8> {
    let line = |n: usize| format!("{{\"id\":\"d{n}\",\"time\":\"2026-11-20T10:15:00Z\"}}\n");
    numbers.flat_map(|n| line(n).into_bytes()).collect()
}

/// Kills the program four times while objects come; what the lake has then.
fn judge(news: Option<&Pubsub>) {
    const LIVES: usize = 4;
    const OBJECTS: usize = 5;
    const EVENTS: usize = 2_000;
    let Some(server) = CloudStorage::start() else { return };
    let option = news.map(|pubsub| {
        let (subscription, endpoint) = (pubsub.subscription("news"), pubsub.endpoint());
        format!("      subscription: {subscription}\n      pubsub_endpoint: {endpoint}\n")
    });
    let folder = tempfile::tempdir().unwrap();
    site(folder.path(), &server, &option.unwrap_or_default());
    let lake = folder.path().join("lake");
    let mut files = Vec::new();
    for life in 0..LIVES {
        for n in life * OBJECTS..(life + 1) * OBJECTS {
            let name = format!("activity/2099/{n:02}_S0.json");
            server.put(&name, &lines(n * EVENTS..(n + 1) * EVENTS));
            if let Some(pubsub) = news {
                let pairs = [
                    ("eventType", "OBJECT_FINALIZE"),
                    ("bucketId", "bucket"),
                    ("objectId", name.as_str()),
                ];
                pubsub.publish_with("news", &pairs);
            }
        }
        let program = Life::start(folder.path());
        // Between what is committed, what is acknowledged and what is not.
        wait_until("storing", Duration::from_secs(60), || {
            parquet_files(&lake).iter().any(|file| !files.contains(file))
        });
        std::thread::sleep(Duration::from_millis(150 * life as u64));
        drop(program);
        files = parquet_files(&lake);
    }
    let program = Life::start(folder.path());
    let all = (LIVES * OBJECTS * EVENTS) as i64;
    let count = |what: &str| number(&lake, &format!("SELECT count({what}) AS n FROM acme_doors"));
    wait_until("everything", Duration::from_secs(120), || count("*") >= all);
    // What killed processes had in hand comes again after ten seconds.
    std::thread::sleep(Duration::from_secs(if news.is_some() { 14 } else { 3 }));
    assert!(program.stop().success());
    if let Some(pubsub) = news {
        std::thread::sleep(Duration::from_secs(11));
        assert_eq!(pubsub.waiting("news"), 0, "every notification is acknowledged");
    }
    assert_eq!((count("DISTINCT action"), count("*")), (all, all));
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}

#[test]
fn what_is_listed_is_stored_once_however_often_the_program_is_killed() {
    judge(None);
}

#[test]
fn what_is_told_of_is_stored_once_however_often_the_program_is_killed() {
    let Some(pubsub) = Pubsub::start() else { return };
    judge(Some(&pubsub));
}
