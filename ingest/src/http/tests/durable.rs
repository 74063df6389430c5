//! 200 means on disk, anything else means that nothing was kept.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;

static DISK_WAITS: AtomicBool = AtomicBool::new(true);

fn sync_when_let(file: &File) -> io::Result<()> {
    while DISK_WAITS.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(5));
    }
    file.sync_data()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_after_the_disk_has_its_body() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let server = start_with(&lake, options(dir.path()), |source| source.sync = sync_when_let);
    let mut sends: Vec<_> = ["/v1/ingest", "/services/collector/raw", "/services/collector/event"]
        .into_iter()
        .map(|path| tokio::spawn(answer(server.post(path).body("{\"event\":{\"n\":1}}"))))
        .collect();
    for send in &mut sends {
        let early = tokio::time::timeout(Duration::from_millis(300), send).await;
        assert!(early.is_err(), "answered before it was on disk: {early:?}");
    }
    assert_eq!(lake.take(), Vec::<String>::new(), "what is not on disk is not emitted");
    DISK_WAITS.store(false, Ordering::SeqCst);
    for send in sends {
        assert_eq!(send.await.unwrap().0, 200);
    }
    server.running.wait_for(3).await;
    server.running.stop().await.unwrap();
}

static DISK_FAILS: AtomicBool = AtomicBool::new(false);

fn sync_unless_failing(file: &File) -> io::Result<()> {
    match DISK_FAILS.load(Ordering::SeqCst) {
        true => Err(io::ErrorKind::StorageFull.into()),
        false => file.sync_data(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_refuses_is_answered_503_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let change = |source: &mut HttpSource| source.sync = sync_unless_failing;
    let server = start_with(&lake, options(dir.path()), change);
    assert_eq!(server.send("/v1/ingest", "{\"n\":1}").await.0, 200);
    DISK_FAILS.store(true, Ordering::SeqCst);
    for path in ["/v1/ingest", "/v1/k8s-audit", "/services/collector/raw"] {
        let refused = server.post(path).body("{\"refused\":1}").send().await.unwrap();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (503, &"10".parse().unwrap())
        );
    }
    DISK_FAILS.store(false, Ordering::SeqCst);
    assert_eq!(server.send("/v1/ingest", "{\"n\":2}").await.0, 200);
    assert_eq!(server.running.wait_for(2).await, ["{\"n\":1}", "{\"n\":2}"]);
    server.running.stop().await.unwrap();
    // Nor does it come back from the disk.
    let server = start(&lake, options(dir.path()));
    assert_eq!(server.send("/v1/ingest", "{\"n\":3}").await.0, 200);
    server.running.wait_for(3).await;
    server.running.stop().await.unwrap();
}

/// A request that announces more than it has sent so far.
fn begin(server: &Server, announced: usize, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.base.strip_prefix("http://").unwrap()).unwrap();
    write!(
        stream,
        "POST /v1/ingest HTTP/1.1\r\nhost: h\r\nauthorization: Bearer s3cret\r\n\
         content-length: {announced}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    stream.write_all(sent).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_early_is_not_half_kept() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let server = start(&lake, options(dir.path()));
    // Whole lines, of a body that ends early.
    drop(begin(&server, 1_000, b"{\"half\":1}\n{\"half\":2}\n"));
    let mut closed = begin(&server, 1_000, b"{\"half\":3}\n");
    closed.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = String::new();
    // An answer or a closed connection, but no 200.
    let _ = closed.read_to_string(&mut said);
    assert!(!said.contains("200 OK"), "{said}");
    let event = "{\"event\":{\"half\":4}}{\"event\":{\"half\":5}}{\"eve";
    assert_eq!(server.send("/services/collector/event", event).await.0, 400);
    assert_eq!(server.send("/v1/ingest", "{\"whole\":1}").await.0, 200);
    assert_eq!(server.running.wait_for(1).await, ["{\"whole\":1}"]);
    server.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_at_once_is_answered_429() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let server = start(&lake, HttpOptions { memory_bytes_max: 1 << 16, ..options(dir.path()) });
    let line = format!("{{\"n\":\"{}\"}}\n", "x".repeat(50_000));
    let (most, rest) = line.as_bytes().split_at(line.len() - 1);
    let body = "y".repeat(30_000);
    let mut found = None;
    // When the slow one came second it was refused itself: again.
    for _ in 0..50 {
        let slow = begin(&server, line.len(), most);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let response = server.post("/v1/ingest").body(body.clone()).send().await.unwrap();
        if response.status() != 200 {
            found = Some((slow, response));
            break;
        }
    }
    let (mut slow, refused) = found.expect("the memory is bounded");
    assert_eq!(
        (refused.status().as_u16(), refused.headers()["retry-after"].as_bytes()),
        (429, &b"1"[..])
    );
    slow.write_all(rest).unwrap();
    let mut said = String::new();
    slow.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert_eq!(server.send("/v1/ingest", body).await.0, 200, "there is room again");
    server.running.stop().await.unwrap();
}
