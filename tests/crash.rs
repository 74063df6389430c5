//! kill -9 at random moments while sources run. Afterwards every acknowledged record is in the lake
//! exactly once and each expected alert has left exactly once. The judge reads Parquet by its paths,
//! without our manifests.
//!
//! Correlations are loaded: what they count must be neither forgotten nor counted twice.
//!
//! The records are flow-log lines: they have no identity of the provider, so a line stored twice shows.
//! `MANTISSA_CRASH_KILLS` sets the number of kills (default 6, the long form is 30).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lives::{Life, Random, Receiver};
use crate::queue;
use crate::support::{accepts, column_counts, note, ok, wait_until};
use servers::{Broker, Topic, free_port};

fn kills() -> u32 {
    std::env::var("MANTISSA_CRASH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6)
}

/// Correlations of the counted flows: said at once, and said when time has passed.
const WHOLE: &str = "All flows of a block";
const EXACT: &str = "A block and no more";

/// Flows of one block come from one address; so many of them are counted.
const BLOCK: usize = 100;
const COUNTED: usize = 5;

/// Whether a flow goes to the port that is counted.
fn is_counted(number: usize) -> bool {
    number % BLOCK % (BLOCK / COUNTED) == 7
}

/// One flow; `number` makes it unique, and every 200th goes to the port that the rule watches.
fn flow(prefix: &str, number: usize) -> String {
    let port = match number {
        n if n.is_multiple_of(200) => 4444,
        n if is_counted(n) => 5555,
        _ => 443,
    };
    let (source, block) = (prefix.as_bytes()[0], number / BLOCK);
    let from = format!("10.{source}.{}.{}", block / 256 % 256, block % 256);
    format!(
        "2 123456789012 eni-{prefix}-{number} {from} 198.51.100.9 50000 {port} 6 10 840 1763633700 \
         1763633760 ACCEPT OK"
    )
}

const TOPIC: &str = "flows";

const RULE: &str = "
title: Flow to the watched port
id: 6d9f1c3e-0a53-4f0b-8b6a-52a7f0a1c001
status: test
logsource: {product: aws, service: vpcflow}
detection:
  selection: {dstport: 4444}
  condition: selection
level: high
---
title: Flow to the counted port
name: counted
id: 6d9f1c3e-0a53-4f0b-8b6a-52a7f0a1c002
logsource: {product: aws, service: vpcflow}
detection:
  selection: {dstport: 5555}
  condition: selection
---
title: All flows of a block
id: 6d9f1c3e-0a53-4f0b-8b6a-52a7f0a1c003
correlation:
  type: event_count
  rules: [counted]
  group-by: [srcaddr]
  timespan: 1h
  condition: {gte: 5}
---
title: More flows than a block has
id: 6d9f1c3e-0a53-4f0b-8b6a-52a7f0a1c004
correlation:
  type: event_count
  rules: [counted]
  group-by: [srcaddr]
  timespan: 1h
  condition: {gte: 6}
---
title: A block and no more
id: 6d9f1c3e-0a53-4f0b-8b6a-52a7f0a1c005
correlation:
  type: event_count
  rules: [counted]
  group-by: [srcaddr]
  timespan: 1h
  condition: {eq: 5}
";

fn write_config(dir: &Path, port: u16, hook: SocketAddr, broker: Option<&Broker>) {
    std::fs::create_dir_all(dir.join("in")).unwrap();
    std::fs::write(dir.join("rule.yml"), RULE).unwrap();
    let queue = broker.map_or(String::new(), |broker| queue::config(&broker.address, TOPIC));
    let config = format!(
        "lake:
  url: ./lake
  epoch_ms_max: 150
rules:
  builtin: false
  paths: [rule.yml]
correlation:
  lateness_ms: 500
sources:
  tail:
    log_type: aws.vpcflow
    file:
      paths: [\"in/*.log\"]
      read: tail
      poll_ms: 50
  push:
    log_type: aws.vpcflow
    http:
      listen: 127.0.0.1:{port}
      tokens: [t0ken]
{queue}destinations:
  hook:
    webhook:
      url: http://{hook}/
      per_second_max: 5000
      concurrency_max: 16
"
    );
    std::fs::write(dir.join("mantissa.yaml"), config).unwrap();
}

/// What the senders have had accepted so far.
#[derive(Default)]
struct Sent {
    /// Lines appended to the file: all of them count.
    tailed: AtomicUsize,
    /// Numbers of pushed lines that were answered with 200, and those of which nobody knows.
    accepted: Mutex<Vec<usize>>,
    tried: AtomicUsize,
    /// Numbers of messages that the broker has acknowledged.
    queued: Mutex<Vec<usize>>,
    stop: AtomicBool,
}

fn append_lines(dir: &Path, sent: &Sent) {
    let mut file = std::fs::File::create(dir.join("in/flow.log")).unwrap();
    while !sent.stop.load(Ordering::Relaxed) {
        let from = sent.tailed.load(Ordering::Relaxed);
        let lines: String = (from..from + 40).map(|n| flow("t", n) + "\n").collect();
        file.write_all(lines.as_bytes()).unwrap();
        sent.tailed.store(from + 40, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(15));
    }
}

fn push_lines(port: u16, sent: &Sent) {
    while !sent.stop.load(Ordering::Relaxed) {
        let from = sent.tried.fetch_add(25, Ordering::Relaxed);
        let numbers = from..from + 25;
        let lines: String = numbers.clone().map(|n| flow("p", n) + "\n").collect();
        if accepts(port, &lines) {
            sent.accepted.lock().unwrap().extend(numbers);
        } else {
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

fn queue_lines(topic: &Topic, sent: &Sent) {
    let mut from = 0;
    while !sent.stop.load(Ordering::Relaxed) {
        // Even numbers to one partition in a batch, odd ones to the other by themselves.
        for partition in [0, 1] {
            let numbers: Vec<_> = (from + partition..from + 20).step_by(2).collect();
            let lines: Vec<_> = numbers.iter().map(|n| flow("q", *n)).collect();
            let acknowledged = match partition {
                0 => topic.send_batch(0, &lines),
                _ => topic.send(1, &lines),
            };
            let kept = numbers.iter().zip(acknowledged).filter(|(_, acknowledged)| *acknowledged);
            sent.queued.lock().unwrap().extend(kept.map(|(n, _)| *n));
        }
        from += 20;
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// How many messages the group has given back as stored.
fn committed(broker: Option<&Broker>) -> i64 {
    let of =
        |broker: &Broker, partition| broker.committed("mantissa", TOPIC, partition).unwrap_or(0);
    broker.map_or(0, |broker| of(broker, 0) + of(broker, 1))
}

/// What must hold after the last life, read from the lake without its manifests.
struct Judge<'a> {
    seed: u64,
    lake: &'a Path,
    tailed: usize,
    queued: &'a [usize],
    /// Alerts that reached the destination, by identity.
    left: &'a Receiver,
}

impl Judge<'_> {
    fn alerts_by(&self, column: &str) -> BTreeMap<String, usize> {
        column_counts(self.lake, "alerts", column)
    }

    fn wait_for_all(&self) {
        let Judge { seed, lake, tailed, queued, left } = self;
        let wait = |what: &str, seconds, holds: &dyn Fn() -> bool| {
            wait_until(&format!("{what} (seed {seed})"), Duration::from_secs(seconds), holds);
        };
        wait("the end of the file and of the queue in the lake", 60, &|| {
            column_counts_if_whole(lake).is_some_and(|c| {
                c.contains_key(&format!("eni-t-{}", tailed - 1))
                    && queued.iter().all(|n| c.contains_key(&format!("eni-q-{n}")))
            })
        });
        // Conditions that more events could make false wait until time has passed their window.
        wait("what waits for time to be said", 120, &|| {
            std::panic::catch_unwind(|| column_counts(lake, "alerts", "rule_title"))
                .is_ok_and(|by_rule| by_rule.get(EXACT) == by_rule.get(WHOLE))
        });
        wait("the delivery of every alert", 60, &|| {
            std::panic::catch_unwind(|| column_counts(lake, "alerts", "alert_id").len())
                .is_ok_and(|raised| raised == left.alerts())
        });
    }

    fn check_events(&self, have: &BTreeMap<String, usize>, accepted: &[usize]) {
        let seed = self.seed;
        let doubled: Vec<_> = have.iter().filter(|(_, n)| **n != 1).collect();
        assert!(doubled.is_empty(), "seed {seed}: stored more than once: {doubled:?}");
        for n in 0..self.tailed {
            assert!(
                have.contains_key(&format!("eni-t-{n}")),
                "seed {seed}: tailed line {n} is lost"
            );
        }
        let count = accepted.len();
        assert!(count > 100, "seed {seed}: only {count} pushed lines were accepted");
        for n in accepted {
            assert!(
                have.contains_key(&format!("eni-p-{n}")),
                "seed {seed}: accepted line {n} is lost"
            );
        }
    }

    /// Every stored flow to the watched port raised one alert, and so did every block whose counted flows
    /// are all stored; each left once.
    fn check_alerts(&self, have: &BTreeMap<String, usize>) {
        let seed = self.seed;
        let mut blocks: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        for eni in have.keys() {
            let number = number_of(eni);
            if is_counted(number) {
                *blocks.entry((&eni[..5], number / BLOCK)).or_default() += 1;
            }
        }
        let whole = blocks.values().filter(|count| **count == COUNTED).count();
        assert!(whole > 10, "seed {seed}: only {whole} whole blocks");
        let by_rule = self.alerts_by("rule_title");
        for title in [WHOLE, EXACT] {
            assert_eq!(by_rule.get(title), Some(&whole), "seed {seed}: {by_rule:?}");
        }
        assert_eq!(by_rule.get("More flows than a block has"), None, "seed {seed}: counted twice");
        let watched = have.keys().filter(|eni| number_of(eni).is_multiple_of(200)).count();
        let expected = watched + 2 * whole;
        let raised: usize = self.alerts_by("alert_id").values().sum();
        assert_eq!(raised, expected, "seed {seed}");
        assert_eq!(self.left.alerts(), expected, "seed {seed}: alerts that left");
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let seed = Random::seed();
    let mut random = Random(seed);
    let (port, alerts) = (free_port(), Receiver::start());
    let broker = Broker::start();
    write_config(dir, port, alerts.address, broker.as_ref());
    let lake = dir.join("lake");
    let sent = Arc::new(Sent::default());
    let (a, b) = (Arc::clone(&sent), Arc::clone(&sent));
    let folder = dir.to_path_buf();
    let tailing = std::thread::spawn(move || append_lines(&folder, &a));
    let pushing = std::thread::spawn(move || push_lines(port, &b));
    let queueing = broker.as_ref().map(|broker| {
        let (topic, sent) = (broker.topic(TOPIC, 2), Arc::clone(&sent));
        std::thread::spawn(move || queue_lines(&topic, &sent))
    });
    // How far the group had come after each life; it follows what is in the lake.
    let mut lives: Vec<i64> = vec![0];
    for life in 0..kills() {
        let running = Life::start(dir);
        if broker.is_some() && life % 2 == 1 {
            // Joining a group takes longer than the short lives: the member of the one before has to be
            // given up first.
            let before = *lives.last().expect("one is there from the start");
            let what = format!("reading from the queue (seed {seed}, {lives:?})");
            wait_until(&what, Duration::from_secs(30), || committed(broker.as_ref()) > before);
        }
        std::thread::sleep(Duration::from_millis(300 + random.below(1_500)));
        drop(running);
        lives.push(committed(broker.as_ref()));
    }
    let killed_reading = lives.windows(2).filter(|two| two[1] > two[0]).count();
    let enough = kills() as usize / 2;
    assert!(broker.is_none() || killed_reading >= enough, "seed {seed}: {lives:?}");
    let last = Life::start(dir);
    std::thread::sleep(Duration::from_millis(1_500));
    sent.stop.store(true, Ordering::Relaxed);
    tailing.join().unwrap();
    pushing.join().unwrap();
    if let Some(queueing) = queueing {
        queueing.join().unwrap();
    }
    let tailed = sent.tailed.load(Ordering::Relaxed);
    let queued = sent.queued.lock().unwrap().clone();
    let judge = Judge { seed, lake: &lake, tailed, queued: &queued, left: &alerts };
    judge.wait_for_all();
    // SIGTERM: a final epoch and a clean exit.
    let asked = Instant::now();
    let status = last.stop();
    assert!(status.success() && asked.elapsed() < Duration::from_secs(25), "{status:?}");

    let have = column_counts(&lake, "aws_vpcflow", "interface_id");
    let accepted = sent.accepted.lock().unwrap().clone();
    judge.check_events(&have, &accepted);
    assert!(broker.is_none() || queued.len() > 100, "seed {seed}: {} were queued", queued.len());
    note(&format!(
        "seed {seed}: {tailed} tailed, {} pushed, {} queued; killed {killed_reading} times while the queue \
         was read; the queue after each life: {lives:?}",
        accepted.len(),
        queued.len()
    ));
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
    judge.check_alerts(&have);
}

fn number_of(eni: &str) -> usize {
    eni.rsplit('-').next().and_then(|n| n.parse().ok()).expect("eni-x-N")
}

/// While the program runs a file may disappear between listing and reading.
fn column_counts_if_whole(lake: &Path) -> Option<BTreeMap<String, usize>> {
    std::panic::catch_unwind(|| column_counts(lake, "aws_vpcflow", "interface_id")).ok()
}
