//! CrowdStrike's event streams from outside: connections are cut, the program is killed, and everything is stored once.

use std::path::Path;
use std::time::Duration;

use servers::Falcon;
use servers::falcon::{CLIENT_ID, CLIENT_SECRET};

use crate::lives::{Life, Random};
use crate::support::{Said, column_counts, mantissa, number, ok, parquet_files, wait_until};

/// Events are known by their place alone, so the lake would not notice one that comes twice.
const LOG_TYPE: &str = "
name: acme.falcon
description: Events of a stream.
logsource: {product: acme, service: falcon}
decoder: {json: {}}
identity: {position: true}
time:
  - {from: metadata.eventCreationTime, form: epoch_ms}
columns:
  action: metadata.eventType
  target_id: event.n
";

fn site(falcon: &Falcon, secret: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("log_type.yml", LOG_TYPE);
    write(
        "mantissa.yaml",
        &format!(
            "lake: {{url: ./lake, epoch_ms_max: 100}}\nlog_types: [log_type.yml]\n\
             rules: {{builtin: false}}\nsources:\n  falcon:\n    log_type: acme.falcon\n    \
             crowdstrike_streams: {{base_url: \"{}\", app_id: mantissa, client_id: {CLIENT_ID}, \
             client_secret: {secret}}}\n",
            falcon.url
        ),
    );
    folder
}

fn tried_out(folder: &Path) -> Said {
    let mut command = mantissa();
    command.args(["sources", "test", "falcon"]).current_dir(folder);
    Said::from(command.output().unwrap())
}

#[test]
fn events_are_stored_once_however_often_the_program_is_killed_and_connections_break() {
    let falcon = Falcon::start(2);
    let folder = site(&falcon, CLIENT_SECRET);
    let lake = folder.path().join("lake");
    let said = tried_out(folder.path());
    assert!(said.out.contains("2 partitions may be listened to"), "{}{}", said.out, said.err);
    let mut random = Random(Random::seed());
    let seed = random.0;
    let (mut happened, mut files) = (0, 0);
    for round in 0..4 {
        let life = Life::start(folder.path());
        for partition in [0, 1] {
            happened += falcon.happen(partition, 150).len();
        }
        wait_until(&format!("storing (seed {seed})"), Duration::from_secs(60), || {
            parquet_files(&lake).len() > files
        });
        if round % 2 == 1 {
            falcon.cut();
            happened += falcon.happen(0, 50).len();
        }
        std::thread::sleep(Duration::from_millis(random.below(300)));
        drop(life);
        files = parquet_files(&lake).len();
    }
    let life = Life::start(folder.path());
    wait_until(&format!("everything (seed {seed})"), Duration::from_secs(120), || {
        number(&lake, "SELECT count(*) AS n FROM acme_falcon") >= happened as i64
    });
    assert!(tried_out(folder.path()).out.contains("needs an app_id of its own"));
    assert!(life.stop().success());
    let have = column_counts(&lake, "acme_falcon", "target_id");
    assert_eq!(have.len(), happened, "seed {seed}");
    assert!(have.values().all(|times| *times == 1), "seed {seed}: stored more than once");
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}

#[test]
fn a_secret_that_is_wrong_is_told_and_not_shown() {
    let falcon = Falcon::start(1);
    let said = tried_out(site(&falcon, "hunter3").path());
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("no token: access denied"), "{}", said.out);
    assert!(!said.out.contains("hunter3") && !said.err.contains("hunter3"));
}
