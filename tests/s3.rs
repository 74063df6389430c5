//! The whole loop with the lake in a bucket, against a real S3 emulator with conditional puts.

use servers::Bucket;

use crate::support::{cloudtrail, ok};

#[test]
fn a_lake_in_a_bucket_does_what_a_local_one_does() {
    let Some(bucket) = Bucket::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let lines: Vec<String> = (0..30).map(|i| cloudtrail(&format!("s3-{i}"), "ListUsers")).collect();
    std::fs::write(at("in.ndjson"), lines.join("\n")).unwrap();
    let config = format!(
        "lake:
  url: s3://bucket/lake
  s3:
    region: eu-central-1
    endpoint: {}
    allow_http: true
    access_key_id: test
    secret_access_key: test
state_dir: {}
sources:
  file:
    log_type: aws.cloudtrail
    file:
      paths: [\"{}\"]
      read: once
",
        bucket.endpoint(),
        at("state"),
        at("in.ndjson")
    );
    std::fs::write(at("m.yaml"), config).unwrap();
    let count = || {
        let sql = "select count(*) as n from events";
        ok(&["query", sql, "--config", &at("m.yaml"), "--format", "json"]).out
    };
    for _ in 0..2 {
        ok(&["run", "--until-end", "--config", &at("m.yaml")]);
        let rows: serde_json::Value = serde_json::from_str(&count()).unwrap();
        assert_eq!(rows, serde_json::json!([{"n": 30}]));
        ok(&["lake", "verify", "--deep", "--config", &at("m.yaml")]);
    }
}
