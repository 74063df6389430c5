//! Two processes of a consumer group write one lake, and are killed, stopped and put to sleep for so long that the
//! group takes them for dead.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use servers::Broker;

use crate::lives::{Life, Random};
use crate::queue;
use crate::support::{column_counts, number, ok};

const PARTITIONS: i32 = 4;

/// A folder for each process, with its own lane of the same lake.
fn site(dir: &Path, broker: &Broker, lane: &str) -> PathBuf {
    let folder = dir.join(lane);
    std::fs::create_dir(&folder).unwrap();
    let config = format!(
        "lake: {{url: {}, lane: {lane}, epoch_ms_max: 200}}\nstate_dir: {}\nrules: {{builtin: false}}\nsources:\n{}",
        dir.join("lake").display(),
        folder.join("state").display(),
        queue::config(&broker.address, "flows")
    );
    std::fs::write(folder.join("mantissa.yaml"), config).unwrap();
    folder
}

fn flow(number: usize) -> String {
    format!(
        "2 123456789012 eni-{number} 10.0.0.5 198.51.100.9 50000 443 6 10 840 1763633700 1763633760 \
         ACCEPT OK"
    )
}

fn stored(lake: &Path) -> usize {
    let is_there = lake.join("_manifests").exists();
    if is_there { number(lake, "SELECT count(*) AS n FROM aws_vpcflow") as usize } else { 0 }
}

/// It may have been fenced just now, and has ended already.
fn stop(life: Life) {
    let _ = life.stop();
}

struct Group<'a> {
    members: [Option<Life>; 2],
    sites: &'a [PathBuf; 2],
    /// How much each had said before its present life.
    said_before: [usize; 2],
    seed: u64,
}

impl Group<'_> {
    /// Waits with all members but one at work: who was fenced has ended, and is started again like any container.
    fn wait(&mut self, what: &str, without: Option<usize>, done: impl Fn(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !done(self) {
            for (n, member) in self.members.iter_mut().enumerate() {
                let ended = member.as_mut().is_none_or(|life| life.ended().is_some());
                if ended && without != Some(n) {
                    self.said_before[n] = said(&self.sites[n]).len();
                    *member = Some(Life::start_telling(&self.sites[n], "info"));
                }
            }
            let seed = self.seed;
            assert!(Instant::now() < until, "seed {seed}, {what} did not happen: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the members have said.
    fn log(&self) -> String {
        self.sites.iter().map(|site| said(site)).collect()
    }

    /// Waits until each has its share. The broker of these tests never gets a group together again whose leader says
    /// that it goes while others come.
    fn settle(&mut self) {
        let has_share = |group: &Self, n: usize| {
            held(&said(&group.sites[n])[group.said_before[n]..]) == PARTITIONS as usize / 2
        };
        self.wait("a share for each", None, |group| has_share(group, 0) && has_share(group, 1));
    }
}

fn said(site: &Path) -> String {
    std::fs::read_to_string(site.join("log")).unwrap_or_default()
}

/// How many partitions somebody has that has said this.
fn held(said: &str) -> usize {
    let count =
        |what: &str| said.matches(&format!("ingest::kafka::group: {what} partition")).count();
    count("taken").saturating_sub(count("given back"))
}

/// How often a partition was taken from another lane.
fn moved(lake: &Path) -> usize {
    let found =
        Command::new("grep").args(["-rl", "\"taken\""]).arg(lake.join("_manifests")).output();
    String::from_utf8(found.unwrap().stdout).unwrap().lines().count()
}

#[test]
fn what_a_group_shares_is_stored_once_whoever_dies_or_sleeps() {
    let Some(broker) = Broker::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let sites = ["a", "b"].map(|lane| site(dir.path(), &broker, lane));
    let topic = broker.topic("flows", PARTITIONS);
    let mut random = Random(Random::seed());
    let seed = random.0;
    let mut sent = 0;
    let mut produce = |count: usize| {
        for partition in 0..PARTITIONS {
            let lines: Vec<_> = (sent..sent + count).map(flow).collect();
            topic.produce(partition, &lines);
            sent += count;
        }
        sent
    };
    let mut group = Group { members: [None, None], sites: &sites, said_before: [0, 0], seed };
    // Whom the dice meet is not always whose partitions move.
    for round in 0.. {
        if round >= 8 && moved(&lake) >= 4 {
            break;
        }
        assert!(round < 40, "seed {seed}: partitions moved only {} times", moved(&lake));
        let all = produce(25);
        group.wait(&format!("round {round}"), None, |_| stored(&lake) >= all);
        assert_eq!(stored(&lake), all, "seed {seed}, round {round}: {}", group.log());
        let victim = random.below(2) as usize;
        let more = produce(25);
        std::thread::sleep(Duration::from_millis(random.below(300)));
        let what = random.below(3);
        if what == 0 {
            group.settle();
        }
        match (what, group.members[victim].take()) {
            (0, Some(life)) => stop(life),
            (1, Some(life)) => {
                // Longer than the group waits for it: the other one reads on, and this one wakes up with work in hand.
                life.signal("-STOP");
                group.wait("the other one", Some(victim), |_| stored(&lake) >= more);
                life.signal("-CONT");
                group.members[victim] = Some(life);
            }
            (_, life) => drop(life),
        }
    }
    let log = group.log();
    group.members.into_iter().flatten().for_each(stop);
    for site in &sites {
        // Removes what was left half-done, and reads what nobody has read.
        let config = site.join("mantissa.yaml");
        ok(&["run", "--until-end", "--config", config.to_str().unwrap()]);
    }
    let have = column_counts(&lake, "aws_vpcflow", "interface_id");
    let twice: Vec<_> = have.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "seed {seed}: {twice:?} {log}");
    assert_eq!(have.len(), sent, "seed {seed}: {log}");
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}
