//! The lake in a bucket of S3 or of Google Cloud, and in a container of Azure: the program against real emulators.

use std::path::Path;
use std::time::Duration;

use servers::{Azure, Bucket, CloudStorage};

use crate::lives::Life;
use crate::support::{cloudtrail, ok, wait_until};

/// What keeps a lake there, killed once in between.
fn keeps_a_lake(options: &str) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let config = format!(
        "lake:\n  epoch_ms_max: 300\n{options}state_dir: {}\nrules: {{builtin: false}}\nsources:\n  trail:\n    \
         log_type: aws.cloudtrail\n    file:\n      paths: [\"{}/*.ndjson\"]\n      read: once\n",
        dir.join("state").display(),
        dir.display()
    );
    std::fs::write(dir.join("mantissa.yaml"), config).unwrap();
    write(dir, "first");
    let life = Life::start(dir);
    wait_until("storing", Duration::from_secs(60), || count(dir) == 30);
    drop(life);
    let config = dir.join("mantissa.yaml").to_str().unwrap().to_owned();
    write(dir, "second");
    ok(&["run", "--until-end", "--config", &config]);
    assert_eq!(count(dir), 60);
    let compacted = ok(&["lake", "compact", "--all", "--config", &config]);
    ok(&["lake", "checkpoint", "--config", &config]);
    ok(&["lake", "collect", "--keep-minutes", "0", "--config", &config]);
    assert_eq!(count(dir), 60, "{}", compacted.out);
    let files = ok(&["lake", "ls", "--files", "--config", &config, "aws_cloudtrail"]);
    assert_eq!(files.out.lines().count(), 1, "{}", files.out);
    ok(&["lake", "verify", "--deep", "--config", &config]);
}

fn write(dir: &Path, name: &str) {
    let lines: Vec<_> = (0..30).map(|n| cloudtrail(&format!("{name}-{n}"), "ListUsers")).collect();
    std::fs::write(dir.join(format!("{name}.ndjson")), lines.join("\n") + "\n").unwrap();
}

/// The rows that a question finds.
fn count(dir: &Path) -> u64 {
    let sql = "SELECT count(*) AS n FROM aws_cloudtrail";
    let config = dir.join("mantissa.yaml");
    let said = ok(&["query", sql, "--config", config.to_str().unwrap(), "--format", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    rows[0]["n"].as_u64().unwrap()
}

#[test]
fn s3_keeps_a_lake() {
    let Some(bucket) = Bucket::start() else { return };
    keeps_a_lake(&format!(
        "  url: s3://bucket/team/lake\n  s3: {{region: eu-central-1, endpoint: \"{}\", allow_http: true, \
         access_key_id: test, secret_access_key: test}}\n",
        bucket.endpoint()
    ));
}

#[test]
fn google_cloud_keeps_a_lake() {
    let Some(storage) = CloudStorage::start() else { return };
    keeps_a_lake(&format!(
        "  url: gs://bucket/team/lake\n  gcs: {{endpoint: \"{}\", allow_http: true, anonymous: true}}\n",
        storage.endpoint()
    ));
}

#[test]
fn azure_keeps_a_lake() {
    let Some(server) = Azure::start() else { return };
    server.container("logs");
    keeps_a_lake(&format!(
        "  url: az://logs/team/lake\n  azure: {{account: {}, account_key: \"{}\", endpoint: \"{}\", \
         allow_http: true}}\n",
        Azure::ACCOUNT,
        Azure::KEY,
        server.blob_endpoint()
    ));
}
