//! The lake in a bucket: the same promises against a real S3 emulator with conditional puts.
//!
//! Needs `moto_server`: `$MOTO_SERVER`, or `.deps/venv/bin/moto_server` as the test set-up installs it.
//! Without it the test says that it was skipped.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use event::Secret;
use object_store::{ObjectStoreExt, PutMode, PutOptions};

use super::lake::tests::part;
use super::snapshot::Snapshot;
use super::store::{LakeOptions, LakeStore, S3Options};
use super::verify::verify;
use super::{Kind, Lake};

/// A server that ends with the test.
struct Emulator {
    child: Child,
    address: String,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Emulator {
    /// `None` when the emulator is not installed.
    fn start() -> Option<Self> {
        let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/../.deps/venv/bin/moto_server");
        let program = std::env::var_os("MOTO_SERVER").map_or(installed.into(), PathBuf::from);
        if !program.exists() {
            let mut stderr = std::io::stderr();
            writeln!(stderr, "SKIPPED: no S3 emulator at {}", program.display()).unwrap();
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let emulator = Self { child, address: format!("127.0.0.1:{port}") };
        let begun = Instant::now();
        while !emulator.create_bucket() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the S3 emulator does not start");
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(emulator)
    }

    fn create_bucket(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return false };
        let request = format!(
            "PUT /bucket HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        );
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }

    fn options(&self) -> LakeOptions {
        LakeOptions {
            url: "s3://bucket/team/lake".into(),
            s3: S3Options {
                region: Some("us-east-1".into()),
                endpoint: Some(format!("http://{}", self.address)),
                allow_http: true,
                access_key_id: Some("test".into()),
                secret_access_key: Some(Secret::new("test")),
                ..S3Options::default()
            },
            ..LakeOptions::default()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_in_a_bucket_keeps_the_same_promises() {
    let Some(emulator) = Emulator::start() else { return };
    let options = emulator.options();
    let (mut lake, recovered) = Lake::open(&options).await.unwrap();
    assert_eq!(recovered.next_epoch, 1);
    for n in 0..3 {
        lake.commit(vec![part("p", n * 20, n * 20 + 20)]).await.unwrap();
    }
    let (mut second, recovered) = Lake::open(&options).await.unwrap();
    assert_eq!((recovered.next_epoch, recovered.window.len()), (4, 54));
    second.commit(vec![part("p", 60, 80)]).await.unwrap();
    let error = lake.commit(vec![part("p", 60, 90)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{error}");
    let at = LakeStore::open(&options).unwrap();
    let snapshot = Snapshot::read(&at.store, &at.root).await.unwrap();
    assert_eq!(snapshot.files.iter().map(|f| f.file.rows).sum::<u64>(), 80);
    let report = verify(&at, true).await.unwrap();
    assert!(report.ok && report.notes.is_empty(), "{report}");
    let path = super::layout::under(&at.root, &snapshot.files[0].file.path);
    at.store.delete(&path).await.unwrap();
    let report = verify(&at, false).await.unwrap();
    assert!(report.problems[0].path == snapshot.files[0].file.path, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_if_absent_that_lost_says_so() {
    let Some(emulator) = Emulator::start() else { return };
    let at = LakeStore::open(&emulator.options()).unwrap();
    let create = || PutOptions::from(PutMode::Create);
    at.store.put_opts(&"x".into(), "first".into(), create()).await.unwrap();
    let again = at.store.put_opts(&"x".into(), "second".into(), create()).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
    let kept = at.store.get(&"x".into()).await.unwrap().bytes().await.unwrap();
    assert_eq!(&kept[..], b"first");
}

#[tokio::test]
async fn a_bucket_that_does_not_answer_is_an_error_of_the_store() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = Some(format!("http://{free}"));
    let mut options = LakeOptions { url: "s3://bucket".into(), ..LakeOptions::default() };
    options.s3 = S3Options {
        region: Some("us-east-1".into()),
        endpoint,
        allow_http: true,
        access_key_id: Some("test".into()),
        secret_access_key: Some(Secret::new("test")),
        ..S3Options::default()
    };
    let at = LakeStore::open(&options).unwrap();
    assert_eq!(Snapshot::read(&at.store, &at.root).await.unwrap_err().kind(), Kind::Store);
}
