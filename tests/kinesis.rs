//! A stream of Kinesis from outside: killed at random, split and merged meanwhile, parted among processes, and
//! everything stored once.

use std::path::Path;
use std::time::Duration;

use servers::{Bucket, Kinesis};

use crate::lives::{Life, Random};
use crate::support::{column_counts, number, ok, parquet_files, run, wait_until};

fn write_config(dir: &Path, server: &Kinesis) {
    let config = format!(
        "lake: {{url: ./lake, epoch_ms_max: 150}}
rules: {{builtin: false}}
sources:
  flows:
    log_type: aws.vpcflow
    aws_kinesis:
      stream: flows
      every_ms: 200
      aws: {{region: us-east-1, endpoint: \"{}\", access_key_id: test, secret_access_key: test}}
",
        server.endpoint()
    );
    std::fs::write(dir.join("mantissa.yaml"), config).unwrap();
}

fn flow(number: usize) -> (String, Vec<u8>) {
    let line = format!(
        "2 123456789012 eni-{number} 10.0.0.5 198.51.100.9 50000 443 6 10 840 1763633700 1763633760 \
         ACCEPT OK"
    );
    (format!("key-{}", number % 50), line.into_bytes())
}

/// Flow logs have no identity: what was read twice is told by its place alone.
#[test]
fn records_are_stored_once_however_often_the_program_is_killed() {
    let Some(server) = Kinesis::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (dir, lake) = (dir.path(), dir.path().join("lake"));
    server.stream("flows", 2);
    write_config(dir, &server);
    let config = dir.join("mantissa.yaml");
    let said = ok(&["sources", "test", "flows", "--config", config.to_str().unwrap()]);
    assert!(said.out.contains("2 open shards"), "{}", said.out);
    let mut random = Random(Random::seed());
    let seed = random.0;
    let (mut put, mut files) = (0, 0);
    for round in 0..6 {
        let life = Life::start(dir);
        for _ in 0..4 {
            server.put("flows", &(put..put + 250).map(flow).collect::<Vec<_>>());
            put += 250;
        }
        let open = server.open_shards("flows");
        match round {
            1 => server.split("flows", &open[0]),
            // Those of the split are the newest, and lie side by side.
            3 => server.merge("flows", &open[open.len() - 2], &open[open.len() - 1]),
            _ => {}
        }
        wait_until(&format!("storing (seed {seed})"), Duration::from_secs(60), || {
            parquet_files(&lake).len() > files
        });
        std::thread::sleep(Duration::from_millis(random.below(400)));
        drop(life);
        files = parquet_files(&lake).len();
    }
    let life = Life::start(dir);
    wait_until(&format!("everything (seed {seed})"), Duration::from_secs(120), || {
        number(&lake, "SELECT count(*) AS n FROM aws_vpcflow") >= put as i64
    });
    assert!(life.stop().success());
    let have = column_counts(&lake, "aws_vpcflow", "interface_id");
    assert_eq!(have.len(), put, "seed {seed}");
    assert!(have.values().all(|times| *times == 1), "seed {seed}: stored more than once");
    let places = column_counts(&lake, "aws_vpcflow", "source_partition");
    assert_eq!(places.len(), 5, "two shards, two of the split, one of the merge: {places:?}");
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}

/// A process of those that part the stream, with a folder of its own.
fn member(dir: &Path, lake: &str, lane: &str, server: &Kinesis) -> std::path::PathBuf {
    let dir = dir.join(lane);
    std::fs::create_dir(&dir).unwrap();
    let config = format!(
        "state_dir: ./state
lake: {{{lake}, lane: {lane}, epoch_ms_max: 150}}
rules: {{builtin: false}}
sources:
  flows:
    log_type: aws.vpcflow
    aws_kinesis:
      stream: flows
      every_ms: 200
      share: true
      lapse_ms: 2000
      aws: {{region: us-east-1, endpoint: \"{}\", access_key_id: test, secret_access_key: test}}
",
        server.endpoint()
    );
    std::fs::write(dir.join("mantissa.yaml"), config).unwrap();
    dir
}

/// How many partitions each lane has written since the last time.
fn lanes(lake: &Path, seen: &mut std::collections::BTreeSet<String>) -> [usize; 2] {
    let mut found = [0, 0];
    for path in parquet_files(lake) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if seen.insert(name.clone()) {
            found[usize::from(name.starts_with("b-"))] += 1;
        }
    }
    found
}

/// Shards move to who comes, and from who is killed or stops; none is read by two, and nothing twice.
#[test]
fn processes_that_write_one_lake_part_a_stream_and_relieve_each_other() {
    let Some(server) = Kinesis::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    server.stream("flows", 4);
    let url = format!("url: {}", lake.display());
    let [dir_a, dir_b] = ["a", "b"].map(|lane| member(folder.path(), &url, lane, &server));
    let (mut put, mut seen) = (0, std::collections::BTreeSet::new());
    let mut until = |what: &str, which: fn([usize; 2]) -> bool| {
        wait_until(what, Duration::from_secs(120), || {
            server.put("flows", &(put..put + 40).map(flow).collect::<Vec<_>>());
            put += 40;
            wait_until(&format!("storing, while {what}"), Duration::from_secs(60), || {
                number(&lake, "SELECT count(*) AS n FROM aws_vpcflow") >= put as i64
            });
            which(lanes(&lake, &mut seen))
        });
        put
    };
    let a = Life::start(&dir_a);
    until("one process reads everything", |[a, b]| a > 0 && b == 0);
    let b = Life::start(&dir_b);
    until("two read", |[a, b]| a > 0 && b > 0);
    // Killed: the other one waits until it is taken for dead.
    drop(a);
    until("the second one reads everything", |[a, b]| a == 0 && b > 0);
    let open = server.open_shards("flows");
    server.split("flows", &open[0]);
    let a = Life::start(&dir_a);
    until("two read again", |[a, b]| a > 0 && b > 0);
    // Stopped: it gives back what it has.
    assert!(b.stop().success());
    until("the first one reads everything", |[a, b]| a > 0 && b == 0);
    let b = Life::start(&dir_b);
    let all = until("two read at last", |[a, b]| a > 0 && b > 0);
    assert!(a.stop().success() && b.stop().success());
    let have = column_counts(&lake, "aws_vpcflow", "interface_id");
    let (twice, missing) = (have.values().filter(|n| **n > 1).count(), all - have.len());
    assert_eq!((twice, missing), (0, 0));
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}

/// In a bucket no lock reaches who is only slow: it is shut out by the number of its lane that others have taken.
#[test]
fn a_process_that_was_away_finds_its_lane_taken_and_stores_nothing_twice() {
    let (Some(server), Some(bucket)) = (Kinesis::start(), Bucket::start()) else { return };
    let folder = tempfile::tempdir().unwrap();
    server.stream("flows", 2);
    let lake = format!(
        "url: s3://bucket/lake, s3: {{region: us-east-1, endpoint: \"{}\", allow_http: true, access_key_id: test, \
         secret_access_key: test}}",
        bucket.endpoint()
    );
    let [dir_a, dir_b] = ["a", "b"].map(|lane| member(folder.path(), &lake, lane, &server));
    let config = dir_b.join("mantissa.yaml");
    let count = |what: &str| {
        let sql = format!("SELECT count({what}) AS n FROM aws_vpcflow");
        let said = run(&["query", &sql, "-c", config.to_str().unwrap(), "--format", "json"]);
        let rows: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_default();
        rows[0]["n"].as_i64().unwrap_or(0)
    };
    let put = |from: usize| {
        server.put("flows", &(from..from + 200).map(flow).collect::<Vec<_>>());
    };
    put(0);
    let mut a = Life::start(&dir_a);
    wait_until("the first one reads", Duration::from_secs(60), || count("*") >= 200);
    // Something is under way when it goes.
    put(200);
    a.signal("-STOP");
    let b = Life::start(&dir_b);
    wait_until("the second one reads on", Duration::from_secs(90), || count("*") >= 400);
    a.signal("-CONT");
    put(400);
    let mut status = None;
    wait_until("the first one ends", Duration::from_secs(90), || {
        status = a.ended();
        status.is_some()
    });
    assert!(!status.unwrap().success(), "it was shut out");
    let a = Life::start(&dir_a);
    put(600);
    wait_until("everything", Duration::from_secs(90), || count("*") >= 800);
    assert!(a.stop().success() && b.stop().success());
    assert_eq!((count("*"), count("DISTINCT interface_id")), (800, 800));
    ok(&["lake", "verify", "--deep", "-c", config.to_str().unwrap()]);
}
