//! Everything fails at once: the object store answers 503, late, half or not at all, the broker is away, the
//! disk under the write-ahead log is full, the receiver of alerts takes them and says nothing, and the
//! program is killed every few seconds. What was acknowledged must be in the lake once, by DuckDB's reading of
//! its folders after collection.
//!
//! `MANTISSA_SOAK_S` is how long it lasts (seconds, default 40), `MANTISSA_SOAK_RATE` how many records a second
//! are offered (default 2,000). A table of what happened is printed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use servers::{Broker, Bucket, Faults, Topic, Wire, free_port, installed};

use crate::lives::{Life, Random, Receiver};
use crate::queue;
use crate::support::{Small, accepts, fill, metric, note, ok, wait_until};

const TOPIC: &str = "flows";
/// Records of one request, and of one round of messages.
const BATCH: usize = 100;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Every 200th flow goes to the port that is watched.
fn flow(sender: char, number: usize) -> String {
    let port = if number.is_multiple_of(200) { 4444 } else { 443 };
    format!(
        "2 123456789012 eni-{sender}-{number} 10.0.0.5 198.51.100.9 50000 {port} 6 10 840 1763633700 \
         1763633760 ACCEPT OK"
    )
}

const RULE: &str = "
title: Flow to the watched port
id: 6d9f1c3e-0a53-4f0b-8b6a-52a7f0a1c006
logsource: {product: aws, service: vpcflow}
detection:
  selection: {dstport: 4444}
  condition: selection
level: high
";

/// Records of one sender, and what it was told about them.
struct Said {
    sender: char,
    from: usize,
    upto: usize,
    accepted: bool,
}

#[derive(Default)]
struct Sent {
    said: Mutex<Vec<Said>>,
    pushed: AtomicUsize,
    stop: AtomicBool,
    /// Held while messages are under way: what a producer does about a wire that is cut is its own
    /// matter.
    queueing: Mutex<()>,
}

impl Sent {
    fn say(&self, sender: char, from: usize, upto: usize, accepted: bool) {
        self.said.lock().unwrap().push(Said { sender, from, upto, accepted });
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn write(&self, path: &Path) {
        let mut text = String::new();
        for Said { sender, from, upto, accepted } in self.said.lock().unwrap().iter() {
            writeln!(text, "{sender},{from},{upto},{}", u8::from(*accepted)).unwrap();
        }
        std::fs::write(path, text).unwrap();
    }
}

fn push(port: u16, sent: &Sent, pause: Duration) {
    while !sent.is_over() {
        let began = Instant::now();
        let from = sent.pushed.fetch_add(BATCH, Ordering::Relaxed);
        let lines: String = (from..from + BATCH).map(|n| flow('p', n) + "\n").collect();
        let accepted = accepts(port, &lines);
        sent.say('p', from, from + BATCH, accepted);
        std::thread::sleep(pause.saturating_sub(began.elapsed()).max(Duration::from_millis(1)));
    }
}

fn queue(topic: &Topic, sent: &Sent, pause: Duration) {
    let mut from = 0;
    while !sent.is_over() {
        let began = Instant::now();
        let held = sent.queueing.lock().unwrap();
        let lines: Vec<_> = (from..from + BATCH).map(|n| flow('q', n)).collect();
        let answers = topic.send_batch((from / BATCH % 4) as i32, &lines);
        drop(held);
        for (n, acknowledged) in (from..).zip(answers) {
            sent.say('q', n, n + 1, acknowledged);
        }
        from += BATCH;
        std::thread::sleep(pause.saturating_sub(began.elapsed()));
    }
}

/// What surrounds the program.
struct Site {
    dir: PathBuf,
    bucket: Bucket,
    faults: Faults,
    broker: Broker,
    wire: Wire,
    receiver: Receiver,
    small: Option<Small>,
    port: u16,
    console: u16,
    sent: Arc<Sent>,
    random: Random,
    troubles: [(&'static str, usize); 5],
    longest_recovery: Duration,
    /// From the end of all trouble until everything was in the lake and every alert had left.
    catching_up: Duration,
}

impl Site {
    fn start(dir: &Path, seed: u64) -> Option<(Self, Topic)> {
        let (bucket, through, broker_port) = (Bucket::start()?, free_port(), free_port());
        let broker = Broker::start_behind(&format!("127.0.0.1:{broker_port}"))?;
        let wire = Wire::start(broker_port, &broker.address);
        let faults = Faults::start(through, &bucket.address, seed);
        let small = Small::mount(&dir.join("state"), "48m");
        let topic = broker.topic(TOPIC, 4);
        let (receiver, port, console) = (Receiver::start(), free_port(), free_port());
        let queue = queue::config(&format!("127.0.0.1:{broker_port}"), TOPIC);
        std::fs::write(dir.join("rule.yml"), RULE).unwrap();
        let config = format!(
            "lake:
  url: s3://bucket/lake
  epoch_ms_max: 500
  s3: {{region: eu-central-1, endpoint: \"http://127.0.0.1:{through}\", allow_http: true, access_key_id: test,
    secret_access_key: test}}
state_dir: ./state
rules: {{builtin: false, paths: [rule.yml]}}
console: {{listen: \"127.0.0.1:{console}\"}}
sources:
  push:
    log_type: aws.vpcflow
    http: {{listen: \"127.0.0.1:{port}\", tokens: [t0ken], wal_folder: ./state/wal, wal_bytes_max: 33554432}}
{queue}destinations:
  hook:
    webhook: {{url: \"http://{}/\", per_second_max: 5000, concurrency_max: 16}}
",
            receiver.address
        );
        std::fs::write(dir.join("mantissa.yaml"), config).unwrap();
        let site = Self {
            dir: dir.to_path_buf(),
            bucket,
            faults,
            broker,
            wire,
            receiver,
            small,
            port,
            console,
            sent: Arc::default(),
            random: Random(seed),
            troubles: [
                ("the program killed", 0),
                ("the store in a storm", 0),
                ("the broker away", 0),
                ("the disk full", 0),
                ("the receiver silent", 0),
            ],
            longest_recovery: Duration::ZERO,
            catching_up: Duration::ZERO,
        };
        Some((site, topic))
    }

    /// A new life, once it has an epoch in the lake.
    fn revive(&mut self) -> Life {
        let began = Instant::now();
        let mut life = Life::start(&self.dir);
        wait_until("recovery", Duration::from_secs(120), || {
            let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let ended = life.ended();
            assert!(ended.is_none(), "it ended by itself, {ended:?}:\n{}", log());
            metric(self.console, "mantissa_epochs_total") > 0.0
        });
        self.longest_recovery = self.longest_recovery.max(began.elapsed());
        life
    }

    /// Some trouble for some seconds.
    fn trouble(&mut self) {
        let long = Duration::from_millis(500 + self.random.below(3_000));
        let which = 1 + self.random.below(4) as usize;
        self.troubles[which].1 += 1;
        match which {
            1 => {
                self.faults.set(500);
                std::thread::sleep(long);
                self.faults.set(CALM);
            }
            2 => {
                let sent = Arc::clone(&self.sent);
                let _held: MutexGuard<'_, ()> = sent.queueing.lock().unwrap();
                self.wire.cut();
                std::thread::sleep(long);
                self.wire.mend();
            }
            3 => {
                let Some(small) = &self.small else { return };
                fill(&small.0.join("filler"));
                std::thread::sleep(long);
                std::fs::remove_file(small.0.join("filler")).unwrap();
            }
            _ => {
                self.receiver.unanswered_per_mille.store(800, Ordering::Relaxed);
                std::thread::sleep(long);
                self.receiver.unanswered_per_mille.store(50, Ordering::Relaxed);
            }
        }
    }

    /// A command with the same configuration; it must succeed.
    fn ok(&self, args: &[&str]) {
        let config = self.dir.join("mantissa.yaml");
        ok(&[args, &["--config", config.to_str().unwrap()]].concat());
    }

    fn judge(&self) -> Value {
        self.sent.write(&self.dir.join("sent.csv"));
        let python = installed("python").expect("the bucket runs by it");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/soak/judge.py");
        let output = Command::new(python)
            .arg(script)
            .args([&format!("{}/bucket", self.bucket.endpoint()), "lake"])
            .args([self.dir.join("sent.csv"), self.dir.join("fetched")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&said)
            .unwrap_or_else(|e| panic!("{e}: {said}{}", String::from_utf8_lossy(&output.stderr)))
    }

    fn report(&self, seed: u64, took: Duration, judged: &Value) -> String {
        let mut text = format!("soak of {} s, seed {seed}\n", took.as_secs());
        let mut line =
            |what: &str, value: String| writeln!(text, "  {what:<34}{value:>12}").unwrap();
        for (what, times) in self.troubles {
            line(what, times.to_string());
        }
        line("requests to the store", self.faults.requests().to_string());
        for (fault, times) in self.faults.counts() {
            line(&format!("  {fault:?}"), times.to_string());
        }
        for what in ["accepted", "stored", "lost", "doubled", "never_sent", "alerts"] {
            line(
                &format!("records: {what}").replace("records: alerts", "alerts"),
                judged[what].to_string(),
            );
        }
        line("alerts at the receiver", self.receiver.alerts().to_string());
        line("  sent again, known by their id", self.receiver.repeats().to_string());
        let ms = |time: Duration| time.as_millis().to_string();
        line("longest way to a first epoch, ms", ms(self.longest_recovery));
        line("all in and out after the end, ms", ms(self.catching_up));
        text
    }
}

/// Faults of a thousand requests when nothing in particular is wrong.
const CALM: u32 = 100;

#[test]
fn what_was_acknowledged_survives_everything_at_once() {
    let mut dir = tempfile::tempdir().unwrap();
    dir.disable_cleanup(true);
    let seed = Random::seed();
    let Some((mut site, topic)) = Site::start(dir.path(), seed) else { return };
    let (length, rate) = (setting("MANTISSA_SOAK_S", 40), setting("MANTISSA_SOAK_RATE", 2_000));
    // Two push, and one puts into the queue.
    let pause = Duration::from_secs_f64(3.0 * BATCH as f64 / rate as f64);
    let mut senders = Vec::new();
    for _ in 0..2 {
        let (port, sent) = (site.port, Arc::clone(&site.sent));
        senders.push(std::thread::spawn(move || push(port, &sent, pause)));
    }
    let sent = Arc::clone(&site.sent);
    senders.push(std::thread::spawn(move || queue(&topic, &sent, pause)));

    let began = Instant::now();
    site.faults.set(CALM);
    site.receiver.unanswered_per_mille.store(50, Ordering::Relaxed);
    while began.elapsed() < Duration::from_secs(length) {
        let life = site.revive();
        for _ in 0..site.random.below(3) {
            std::thread::sleep(Duration::from_millis(site.random.below(1_500)));
            site.trouble();
        }
        std::thread::sleep(Duration::from_millis(site.random.below(2_000)));
        drop(life);
        site.troubles[0].1 += 1;
    }
    let last = site.revive();
    site.sent.stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    site.faults.set(0);
    site.receiver.unanswered_per_mille.store(0, Ordering::Relaxed);
    let calm = Instant::now();
    wait_until(
        &format!("every record in the lake (seed {seed})"),
        Duration::from_secs(180),
        || {
            let judged = site.judge();
            judged["lost"] == 0 && judged["different_alerts"] == site.receiver.alerts()
        },
    );
    site.catching_up = calm.elapsed();
    let status = last.stop();
    assert!(status.success(), "seed {seed}: {status:?}");

    // What the store did after all, of epochs that were taken over, is in no manifest but in the folders.
    std::thread::sleep(Duration::from_secs(3));
    site.ok(&["lake", "collect", "--keep-minutes", "0"]);
    let judged = site.judge();
    note(&site.report(seed, began.elapsed(), &judged));
    for bad in ["lost", "doubled", "never_sent"] {
        assert_eq!(judged[bad], 0, "seed {seed}: {judged}");
    }
    assert!(judged["accepted"].as_u64() > Some(length * rate / 20), "seed {seed}: {judged}");
    for what in ["alerts", "different_alerts"] {
        assert_eq!(judged[what], judged["watched"], "seed {seed}: {judged}");
    }
    assert_eq!(judged["alerts"], site.receiver.alerts(), "seed {seed}: alerts that left");
    site.ok(&["lake", "verify", "--deep"]);
    drop(site.broker);
    dir.disable_cleanup(false);
}
