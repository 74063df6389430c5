//! Objects of a bucket as the source, against a real emulator of S3 and SQS.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel};
use parquet::file::properties::WriterProperties;
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

/// The same in Parquet, with the types that AWS gives the columns.
fn flows_in_parquet(object: usize, lines: usize) -> Vec<u8> {
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; lines])) };
    let int = |value| -> ArrayRef { Arc::new(Int32Array::from(vec![value; lines])) };
    let long = |value| -> ArrayRef { Arc::new(Int64Array::from(vec![value; lines])) };
    let interfaces = (0..lines).map(|line| Some(format!("eni-{object}-{line}")));
    let interfaces: ArrayRef = Arc::new(interfaces.collect::<StringArray>());
    let batch = RecordBatch::try_from_iter([
        ("version", int(2)),
        ("account_id", text("123456789012")),
        ("interface_id", interfaces),
        ("srcaddr", text("10.0.0.5")),
        ("dstaddr", text("198.51.100.9")),
        ("srcport", int(5)),
        ("dstport", int(443)),
        ("protocol", long(6)),
        ("packets", long(10)),
        ("bytes", long(840)),
        ("start", long(1_763_633_700)),
        ("end", long(1_763_633_760)),
        ("action", text("ACCEPT")),
        ("log_status", text("OK")),
    ])
    .unwrap();
    let options = WriterProperties::builder()
        .set_compression(Compression::GZIP(GzipLevel::default()))
        .set_max_row_group_row_count(Some(1_500))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(options)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
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
    let mut files = Vec::new();
    for object in 0..objects {
        let key = format!("flows/{object}.log");
        let is_text = object % 2 == 0;
        let made = if is_text { flows(object, lines) } else { flows_in_parquet(object, lines) };
        bucket.put(&key, &made);
        bucket.announce(&queue, &key);
        bucket.announce(&queue, &key);
        if object % 3 == 2 {
            let life = Life::start(dir);
            // In the middle of an object: each takes several epochs. A start removes what was not committed, so that
            // the number of files says nothing.
            let is_new = |file: &PathBuf| !files.contains(file);
            wait_until(&format!("storing (seed {seed})"), Duration::from_secs(60), || {
                parquet_files(&lake).iter().any(is_new)
            });
            std::thread::sleep(Duration::from_millis(random.below(400)));
            drop(life);
            files = parquet_files(&lake);
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
    let same = "SELECT count(*) AS n FROM aws_vpcflow WHERE action = 'ACCEPT' AND bytes = 840 AND dest_port = 443 \
                AND protocol = 'tcp' AND cloud_account = '123456789012' AND version = 2 AND log_status = 'OK' \
                AND source_ip = '10.0.0.5' AND event_time = TIMESTAMP '2025-11-20T10:16:00Z'";
    assert_eq!(number(&lake, same), all, "Parquet and text give the same events");
    let places = column_counts(&lake, "aws_vpcflow", "source_partition");
    assert_eq!(places.len(), objects);
    assert!(places.keys().all(|place| place.starts_with("s3://bucket/flows/")), "{places:?}");
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}
