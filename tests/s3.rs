//! The whole loop with the lake in a bucket, against a real S3 emulator with conditional puts.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{cloudtrail, ok, skipped};

/// The emulator, ended when dropped.
struct Emulator {
    child: Child,
    port: u16,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None`, said loudly, when it is not installed; in CI that is a failure.
fn emulator() -> Option<Emulator> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("in the workspace");
    let program: PathBuf = root.join(".deps/venv/bin/moto_server");
    if !program.exists() {
        assert!(std::env::var_os("CI").is_none(), "scripts/test-deps.sh did not install moto");
        skipped("no S3 emulator; run scripts/test-deps.sh");
        return None;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(program)
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the emulator starts");
    let emulator = Emulator { child, port };
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "the emulator does not listen");
        std::thread::sleep(Duration::from_millis(100));
    }
    Some(emulator)
}

fn make_bucket(port: u16) {
    use std::io::{Read as _, Write as _};
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "PUT /bucket HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_lake_in_a_bucket_does_what_a_local_one_does() {
    let Some(emulator) = emulator() else { return };
    make_bucket(emulator.port);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let lines: Vec<String> = (0..30).map(|i| cloudtrail(&format!("s3-{i}"), "ListUsers")).collect();
    std::fs::write(at("in.ndjson"), lines.join("\n")).unwrap();
    let config = format!(
        "lake:
  url: s3://bucket/lake
  s3:
    region: eu-central-1
    endpoint: http://127.0.0.1:{}
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
        emulator.port,
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
