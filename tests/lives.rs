//! A program that is killed and started again, and who hears of its alerts.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{mantissa, request};

/// Small deterministic random numbers; the seed is printed with a failure.
pub struct Random(pub u64);

impl Random {
    /// From the clock.
    pub fn seed() -> u64 {
        std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A webhook receiver that knows an alert again by its id, as the Standard Webhooks specification
/// asks.
pub struct Receiver {
    pub address: SocketAddr,
    /// How often each alert arrived.
    pub seen: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Of a thousand requests, how many are taken and not answered.
    pub unanswered_per_mille: Arc<AtomicU32>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, unanswered) = (Arc::default(), Arc::new(AtomicU32::new(0)));
        let receiver = Self { address, seen, unanswered_per_mille: unanswered };
        let (seen, unanswered) = (receiver.seen.clone(), receiver.unanswered_per_mille.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, unanswered) = (seen.clone(), unanswered.clone());
                std::thread::spawn(move || receive(stream, &seen, &unanswered));
            }
        });
        receiver
    }

    /// Alerts that arrived.
    pub fn alerts(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Requests beyond the first of each alert.
    pub fn repeats(&self) -> usize {
        self.seen.lock().unwrap().values().map(|times| times - 1).sum()
    }
}

fn receive(
    mut stream: std::net::TcpStream,
    seen: &Mutex<BTreeMap<String, usize>>,
    unanswered: &AtomicU32,
) {
    let mut random = Random(Random::seed());
    while let Some((head, _)) = request(&mut stream) {
        let id = head.lines().find_map(|l| l.strip_prefix("webhook-id:"));
        let id = id.expect("a webhook carries its id").trim().to_owned();
        *seen.lock().unwrap().entry(id).or_default() += 1;
        let is_lost = random.below(1_000) < u64::from(unanswered.load(Ordering::Relaxed));
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        if is_lost || stream.write_all(answer).is_err() {
            return;
        }
    }
}

/// The running program; a failed test leaves none behind.
pub struct Life(Child);

impl Drop for Life {
    fn drop(&mut self) {
        // SIGKILL. It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Life {
    /// `mantissa run` in a folder with its configuration; what it logs is appended to `log` there.
    pub fn start(dir: &Path) -> Self {
        Self::start_telling(dir, "warn")
    }

    /// As [`Life::start`], with what it logs from this level on.
    pub fn start_telling(dir: &Path, level: &str) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log"));
        let child = mantissa()
            .args(["run", "--log", level])
            .current_dir(dir)
            .stderr(Stdio::from(log.unwrap()))
            .spawn()
            .expect("the program starts");
        Self(child)
    }

    /// Whether it has ended by itself, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child can be asked")
    }

    /// SIGSTOP and SIGCONT: it is away for some time and knows nothing of it.
    pub fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// SIGTERM: a final epoch and an exit.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.0.wait().unwrap()
    }
}
