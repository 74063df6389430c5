//! Objects of a bucket as the source, against a real emulator of S3 and SQS.

use std::path::Path;
use std::time::Duration;

use servers::Bucket;

use crate::lives::{Life, Random};
use crate::support::{column_counts, number, ok, parquet_files, wait_until};

/// Flow logs are known by their place only, so a line that is read again in another place is a new one.
fn flows(object: usize, lines: usize) -> Vec<u8> {
    let flow = |line| {
        format!(
            "2 123456789012 eni-{object}-{line} 10.0.0.5 198.51.100.9 5 443 6 10 840 1763633700 1763633760 \
             ACCEPT OK\n"
        )
    };
    let header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes \
                  start end action log-status\n";
    (0..lines).fold(header.to_owned(), |text, line| text + &flow(line)).into_bytes()
}

fn write_config(dir: &Path, bucket: &Bucket, queue: &str) {
    let config = format!(
        "lake: {{url: ./lake, epoch_ms_max: 150}}
rules: {{builtin: false}}
sources:
  flows:
    log_type: aws.vpcflow
    aws_s3:
      queue_url: {queue}
      visibility_s: 30
      aws: {{region: us-east-1, endpoint: \"{}\", access_key_id: test, secret_access_key: test}}
",
        bucket.endpoint()
    );
    std::fs::write(dir.join("mantissa.yaml"), config).unwrap();
}

#[test]
fn objects_are_stored_once_however_often_the_program_is_killed() {
    let Some(bucket) = Bucket::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (objects, lines) = (12, 8_000);
    let queue = bucket.queue("flows");
    write_config(dir, &bucket, &queue);
    let lake = dir.join("lake");
    let mut random = Random(Random::seed());
    let seed = random.0;
    let mut files = 0;
    for object in 0..objects {
        let key = format!("flows/{object}.log");
        bucket.put(&key, &flows(object, lines));
        bucket.announce(&queue, &key);
        bucket.announce(&queue, &key);
        if object % 3 == 2 {
            let life = Life::start(dir);
            // In the middle of an object: each takes several epochs.
            wait_until(&format!("storing (seed {seed})"), Duration::from_secs(60), || {
                parquet_files(&lake).len() > files
            });
            std::thread::sleep(Duration::from_millis(random.below(400)));
            drop(life);
            files = parquet_files(&lake).len();
        }
    }
    let life = Life::start(dir);
    let all = (objects * lines) as i64;
    // What was with a killed process comes again after 30 seconds; of two messages about an object the second
    // can come when all records are there already.
    let config = dir.join("mantissa.yaml");
    let is_empty = || {
        let said = ok(&["sources", "test", "flows", "--config", config.to_str().unwrap()]);
        said.out.contains("0 messages wait, 0 are with readers")
    };
    wait_until(&format!("everything (seed {seed})"), Duration::from_secs(240), || {
        number(&lake, "SELECT count(*) AS n FROM aws_vpcflow") >= all && is_empty()
    });
    assert!(life.stop().success());
    let have = column_counts(&lake, "aws_vpcflow", "interface_id");
    assert_eq!(have.len() as i64, all, "seed {seed}");
    assert!(have.values().all(|times| *times == 1), "seed {seed}: stored more than once");
    let places = column_counts(&lake, "aws_vpcflow", "source_partition");
    assert_eq!(places.len(), objects);
    assert!(places.keys().all(|place| place.starts_with("s3://bucket/flows/")), "{places:?}");
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}
