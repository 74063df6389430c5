//! Against a stand-in for the engine, which keeps the last 256 events as the engine does.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::*;
use crate::testing::Lake;

const KEPT: usize = 256;

/// Events that the engine has, with their times.
#[derive(Default)]
struct Engine {
    events: Mutex<Vec<(i64, String)>>,
    /// Streams of an earlier generation are cut.
    generation: AtomicUsize,
    inspected: AtomicUsize,
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

impl Engine {
    fn start(socket: &Path) -> Arc<Self> {
        let listener = UnixListener::bind(socket).unwrap();
        let engine = Arc::new(Self::default());
        let serving = engine.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let engine = serving.clone();
                std::thread::spawn(move || engine.serve(stream));
            }
        });
        engine
    }

    fn happen(&self, kind: &str, action: &str, id: &str) -> String {
        let mut events = self.events.lock();
        // Two events of one nanosecond, now and then.
        let time = match events.last() {
            Some((time, _)) if events.len().is_multiple_of(5) => *time,
            _ => now_ns(),
        };
        let line = format!(
            r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"{id}"}},"time":{},"timeNano":{time}}}"#,
            time / 1_000_000_000
        );
        events.push((time, line.clone()));
        let drop = events.len().saturating_sub(KEPT);
        events.drain(..drop);
        line
    }

    fn cut(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    fn serve(&self, mut stream: UnixStream) -> Option<()> {
        let generation = self.generation.load(Ordering::SeqCst);
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let mut first = String::new();
            reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
            let mut line = String::new();
            while reader.read_line(&mut line).ok()? > 2 {
                line.clear();
            }
            let target = first.split(' ').nth(1)?.to_owned();
            if let Some(rest) = target.strip_prefix("/containers/") {
                self.inspected.fetch_add(1, Ordering::SeqCst);
                let body = match rest {
                    "gone/json" => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
                    _ => {
                        let body = r#"{"HostConfig":{"Privileged":true},"Config":{"Env":["A=b"]}}"#;
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                    }
                };
                stream.write_all(body.as_bytes()).ok()?;
            } else {
                self.stream(&target, generation, &mut stream)?;
            }
        }
    }

    fn stream(&self, target: &str, generation: usize, to: &mut UnixStream) -> Option<()> {
        let value = |name: &str| {
            let (_, query) = target.split_once('?').expect("a query");
            let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
            let (seconds, nanos) = found.split_once('.').unwrap_or((found, "0"));
            Some(seconds.parse::<i64>().unwrap() * 1_000_000_000 + nanos.parse::<i64>().unwrap())
        };
        let (since, until) = (value("since").expect("`since`"), value("until"));
        to.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
        // What there was, and then what comes, by number.
        let mut sent: Vec<String> = Vec::new();
        while self.generation.load(Ordering::SeqCst) == generation {
            let fresh: Vec<String> = {
                let events = self.events.lock();
                let is_asked =
                    |(time, line): &&(i64, String)| *time >= since && !sent.contains(line);
                events.iter().filter(is_asked).map(|(_, line)| line.clone()).collect()
            };
            for line in fresh {
                write!(to, "{:x}\r\n{line}\n\r\n", line.len() + 1).ok()?;
                sent.push(line);
            }
            if until.is_some() {
                return to.write_all(b"0\r\n\r\n").ok();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // Broken off in the middle of a chunk.
        let _ = to.write_all(b"100\r\n{\"Type\":");
        let _ = to.shutdown(std::net::Shutdown::Both);
        None
    }
}

struct Site {
    folder: tempfile::TempDir,
    lake: Lake,
}

impl Site {
    fn new() -> (Self, Arc<Engine>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let site = Self { folder: tempfile::tempdir().unwrap(), lake: Lake::default() };
        let engine = Engine::start(&site.socket());
        (site, engine)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    fn start(&self) -> crate::testing::Running {
        let options = DockerOptions { socket: self.socket(), ..DockerOptions::default() };
        self.lake.start(Box::new(DockerSource::new("s", "docker.event", options).unwrap()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_once_however_often_the_stream_breaks_and_the_source_stops() {
    let (site, engine) = Site::new();
    let mut expected = Vec::new();
    for round in 0..4 {
        let running = site.start();
        for n in 0..30 {
            expected.push(engine.happen("container", "die", &format!("c{round}x{n}")));
            if n % 10 == 9 {
                running.wait_for(expected.len()).await;
                engine.cut();
            }
        }
        running.wait_for(expected.len()).await;
        running.stop().await.unwrap();
        // While nobody listens.
        for n in 0..20 {
            expected.push(engine.happen("network", "connect", &format!("n{round}x{n}")));
        }
    }
    let running = site.start();
    expected.sort();
    assert_eq!(running.wait_for(expected.len()).await, expected);
    running.stop().await.unwrap();
    assert_eq!(*site.lake.rejects.lock(), [], "there was no gap");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_has_forgotten_is_told() {
    let (site, engine) = Site::new();
    engine.happen("container", "die", "first");
    let running = site.start();
    running.wait_for(1).await;
    running.stop().await.unwrap();
    for n in 0..300 {
        engine.happen("container", "die", &format!("c{n}"));
    }
    let running = site.start();
    running.wait_for(1 + KEPT).await;
    running.stop().await.unwrap();
    let rejects = site.lake.rejects.lock();
    assert_eq!(rejects.len(), 1);
    assert!(rejects[0].0.starts_with("events may be missing here"), "{}", rejects[0].0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_container_may_do_stands_beside_its_events() {
    let (site, engine) = Site::new();
    let running = site.start();
    for (kind, action, id) in [
        ("container", "create", "c0ffee"),
        ("container", "start", "gone"),
        ("container", "die", "c0ffee"),
        ("image", "pull", "busybox"),
    ] {
        engine.happen(kind, action, id);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let records = running.wait_for(4).await;
    let about = |action: &str| {
        let found = records.iter().find(|r| r.contains(action)).expect("it is there");
        let all: serde_json::Value = serde_json::from_str(found).unwrap();
        (all["inspect"].clone(), all["inspect_error"].clone())
    };
    let null = serde_json::Value::Null;
    let privileged = serde_json::json!({"Privileged": true, "Mounts": []});
    assert_eq!(about("create"), (privileged, null.clone()));
    assert_eq!(about("start"), (null.clone(), "status 404".into()));
    assert_eq!(about("die"), (null.clone(), null.clone()));
    assert_eq!(about("pull"), (null.clone(), null));
    assert_eq!(engine.inspected.load(Ordering::SeqCst), 2);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_not_there_yet_is_waited_for() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let site = Site { folder: tempfile::tempdir().unwrap(), lake: Lake::default() };
    let running = site.start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let engine = Engine::start(&site.socket());
    let line = engine.happen("container", "die", "c0");
    assert_eq!(running.wait_for(1).await, [line]);
    running.stop().await.unwrap();
}
