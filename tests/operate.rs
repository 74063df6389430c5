//! A process as its operator sees it: health, metrics, signals, destinations and disks that fail.
//! Every wait is for a condition, with a deadline.

mod alerts;
mod configuration;
mod console;
mod correlation;
mod coverage;
mod dead_letters;
mod disk;
mod health;
mod links;
mod redaction;
mod replay;
mod routing;
mod rules;
mod sight;
mod sources;
mod syslog;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use servers::free_port;

use crate::support::{Said, get, mantissa, metric, request, wait_until};

const WAIT: Duration = Duration::from_secs(45);

/// A rule for CloudTrail events of this name.
fn rule(name: &str) -> String {
    let id = format!("{:032x}", name.bytes().fold(7_u128, |id, b| id * 257 + u128::from(b)));
    let id = format!("{}-{}-4{}-8{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..]);
    format!(
        "title: Saw {name}\nid: {id}\nstatus: test\nlogsource: {{product: aws, service: cloudtrail}}\n\
         detection:\n  selection: {{eventName: {name}}}\n  condition: selection\nlevel: high\n"
    )
}

/// The start of a configuration: a lake, the rules of this folder and CloudTrail from `in/`.
const BASE: &str = "lake:
  url: ./lake
  epoch_ms_max: 150
rules:
  builtin: false
  paths: [rules]
sources:
  tail:
    log_type: aws.cloudtrail
    file:
      paths: [\"in/*.ndjson\"]
      read: tail
      poll_ms: 50
";

/// A folder with a configuration, and the process that may run in it.
struct Site {
    folder: tempfile::TempDir,
    child: Option<Child>,
    console: u16,
}

impl Site {
    /// `more` is appended to [`BASE`].
    fn new(more: &str) -> Self {
        Self::with(&format!("{BASE}{more}"))
    }

    /// A console without token is always part of it, unless the configuration has one.
    fn with(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let console = free_port();
        for name in ["in", "rules"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("rules/watched.yml"), rule("Watched")).unwrap();
        let config = match config.contains("console:") {
            true => config.replace("CONSOLE", &format!("127.0.0.1:{console}")),
            false => format!("{config}console:\n  listen: 127.0.0.1:{console}\n"),
        };
        std::fs::write(folder.path().join("mantissa.yaml"), config).unwrap();
        Self { folder, child: None, console }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    /// Starts the process and waits until it lives.
    fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("log"));
        let child = mantissa()
            .args(["run", "--log", "info"])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log.unwrap()))
            .spawn()
            .expect("the program starts");
        self.child = Some(child);
        self.wait("an answer of /readyz", |site| {
            let ended = site.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "ended: {ended:?}");
            site.get("/readyz", "").0 == 200
        });
    }

    /// Waits; a failure shows the log.
    fn wait(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let log = self.path("log");
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(what, WAIT, || done(self));
        }));
        if waited.is_err() {
            panic!("{what}; the log:\n{}", std::fs::read_to_string(log).unwrap_or_default());
        }
    }

    /// Asks the console; status 0 when it does not answer.
    fn get(&self, path: &str, token: &str) -> (u16, String) {
        get(self.console, path, token)
    }

    /// The check of this name in `/readyz`: its condition and reason.
    fn check(&self, name: &str) -> (u16, String, String) {
        let (status, body) = self.get("/readyz", "");
        let report: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let checks = report["checks"].as_array().cloned().unwrap_or_default();
        let check = checks.into_iter().find(|c| c["name"] == name).unwrap_or_default();
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        (status, text("condition"), text("reason"))
    }

    /// The value of a metric's first sample that begins so.
    fn metric(&self, sample: &str) -> f64 {
        metric(self.console, sample)
    }

    /// Appends lines to the file that the process follows.
    fn append(&self, lines: &[String]) {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("in/events.ndjson"))
            .unwrap();
        file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    }

    fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("the process runs").id().to_string();
        let sent = std::process::Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGTERM; the process must end well and in time.
    fn stop(&mut self) {
        self.signal("-TERM");
        let asked = Instant::now();
        let status = self.child.take().expect("the process runs").wait().unwrap();
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        assert!(status.success() && asked.elapsed() < Duration::from_secs(25), "{status:?}\n{log}");
    }

    /// Runs a command in the folder.
    fn command(&self, args: &[&str]) -> Said {
        mantissa().args(args).current_dir(self.folder.path()).output().unwrap().into()
    }

    /// Runs a command in the folder; it must succeed.
    fn ok(&self, args: &[&str]) -> Said {
        let said = self.command(args);
        assert_eq!(said.code, 0, "{args:?}\nstdout:\n{}\nstderr:\n{}", said.out, said.err);
        said
    }

    /// How often each state occurs among the deliveries that `alerts list` shows.
    fn deliveries(&self) -> BTreeMap<String, usize> {
        let said = self.ok(&["alerts", "list", "--config", "mantissa.yaml", "--limit", "1000"]);
        let mut states = BTreeMap::new();
        for line in said.out.lines().filter_map(|l| l.trim().split_once(": ")) {
            let (name, standing) = line;
            if name == "hook" {
                let state = standing.split([' ', ':']).next().unwrap_or_default();
                *states.entry(state.to_owned()).or_default() += 1;
            }
        }
        states
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Every alert that a webhook accepted: id and body, in order.
type Accepted = Arc<Mutex<Vec<(String, String)>>>;

/// A webhook receiver that answers with a status that the test chooses.
struct Hook {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    accepted: Accepted,
    refused: Arc<Mutex<usize>>,
}

impl Hook {
    fn start(port: u16, status: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let hook = Self {
            address: listener.local_addr().unwrap(),
            status: Arc::new(AtomicU16::new(status)),
            accepted: Accepted::default(),
            refused: Arc::default(),
        };
        let (status, accepted) = (Arc::clone(&hook.status), Arc::clone(&hook.accepted));
        let refused = Arc::clone(&hook.refused);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (status, accepted) = (Arc::clone(&status), Arc::clone(&accepted));
                let refused = Arc::clone(&refused);
                std::thread::spawn(move || answer(stream, &status, &accepted, &refused));
            }
        });
        hook
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn accepted(&self) -> Vec<(String, String)> {
        self.accepted.lock().unwrap().clone()
    }

    fn refused(&self) -> usize {
        *self.refused.lock().unwrap()
    }
}

fn answer(mut stream: TcpStream, status: &AtomicU16, accepted: &Accepted, refused: &Mutex<usize>) {
    while let Some((head, body)) = request(&mut stream) {
        let id = head.lines().find_map(|l| l.strip_prefix("webhook-id:"));
        let id = id.expect("a webhook carries its id").trim().to_owned();
        let status = status.load(Ordering::SeqCst);
        if status == 200 {
            accepted.lock().unwrap().push((id, String::from_utf8_lossy(&body).into_owned()));
        } else {
            *refused.lock().unwrap() += 1;
        }
        let answer = format!("HTTP/1.1 {status} Chosen\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Alerts in a file destination, one JSON object a line.
fn alerts_in(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    whole.collect()
}
