//! One seed drives writers of one lane, those who keep the lake in order, and readers through crashes,
//! lost answers, answers that lie, requests that land long after their sender died, power cuts, and
//! second processes that do the same, on a clock of their own. All the time the oracle asks: is every
//! acknowledged record in the lake exactly once, without a gap, in files that are there? And every
//! reader: do I find all files of the moment that I saw, and in them each event once?
//!
//! Every run has seeds that are always the same and some that are new. A failure names its seed:
//! `LAKE_SEED=<seed>` begins there. `LAKE_HOURS=<n>` goes on until the processes have lived through so
//! many hours. That it would find what it looks for is shown by planting mistakes: see `mistakes`.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::commit::Lane;
use super::error::{Error, Kind};
use super::layout;
use super::manifest::Manifest;
use super::protocol::Step;
use super::recovery::{Recovery, Swept};

mod collecting;
mod disk;
mod keeper;
mod mistakes;
mod oracle;
mod world;
mod writer;

use oracle::{former, oracle};
use world::World;
use writer::{Process, Told, key};

/// SplitMix64.
pub(super) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn percent(&mut self, p: usize) -> bool {
        self.below(100) < p
    }
}

/// Recovery in a world without faults.
fn recover(world: &mut World) -> Result<(Lane, Swept), Error> {
    recover_lane(world, "main")
}

fn recover_lane(world: &mut World, lane: &str) -> Result<(Lane, Swept), Error> {
    let access = world.access(u64::MAX);
    let mut recovery = Recovery::new(lane, "ffffffff", 0);
    let mut answers = Vec::new();
    loop {
        match recovery.step(std::mem::take(&mut answers)) {
            Step::Do(requests) => {
                answers = requests.iter().map(|r| world.apply(&access, r)).collect();
            }
            Step::Done(result) => return result,
        }
    }
}

/// What runs have seen, to know that they were hard.
#[derive(Debug, Default)]
struct Seen {
    runs: u64,
    epochs: u64,
    crashes: u64,
    power_cuts: u64,
    ended: u64,
    landed_late: usize,
    took_over: u64,
    states: usize,
    /// Epochs of upkeep, and files that retention took out.
    upkeep: u64,
    removed: usize,
    /// Checkpoints at the end of a world, and those that were spoiled.
    checkpoints: usize,
    spoiled: u64,
    milliseconds: u64,
}

impl Seen {
    fn hours(&self) -> u64 {
        self.milliseconds / 3_600_000
    }
}

/// One world.
struct Run {
    random: Random,
    world: World,
    processes: Vec<Process>,
    /// Whether there are others than writers.
    is_kept: bool,
    born: u64,
    told: Told,
}

/// Which worlds; `None`: both kinds.
#[derive(Clone, Copy, Debug, Default)]
struct Where {
    /// The lake is in a folder, or in a bucket.
    folder: Option<bool>,
    /// It is kept in order and read meanwhile.
    kept: Option<bool>,
}

fn run(seed: u64, place: Where, seen: &mut Seen) {
    let mut random = Random(seed);
    let (is_folder, is_kept) = (random.percent(50), random.percent(50));
    let (is_folder, is_kept) = (place.folder.unwrap_or(is_folder), place.kept.unwrap_or(is_kept));
    let mut world = if is_folder { World::folder() } else { World::bucket() };
    world.faults = [0, 2, 10, 30][random.below(4)];
    let (crash_percent, cut_percent) = (random.below(4), random.below(2));
    let writers_max = 1 + random.below(3);
    let (processes, told) = (Vec::new(), Told::default());
    let mut run = Run { random, world, processes, is_kept, born: 0, told };
    for tick in 0..if is_kept { 2_500 } else { 1_000 } {
        if tick % 100 == 0 {
            run.check();
        }
        if run.random.percent(5) {
            run.world.land_one(&mut run.random);
        }
        run.world.weather(&mut run.random);
        if run.is_kept && run.random.below(400) == 0 {
            run.world.spoil_checkpoint(&mut run.random);
        }
        run.begin(writers_max);
        if run.world.is_folder() && run.random.percent(cut_percent) {
            run.lose_power();
            continue;
        }
        let i = run.choose();
        if run.random.percent(crash_percent) {
            seen.crashes += 1;
            run.kill(i);
        } else {
            seen.ended += u64::from(!run.step(i));
        }
    }
    run.finish(seen);
}

impl Run {
    /// The lake keeps its promise as it stands.
    fn check(&self) {
        let (upto, _) = oracle(&self.world.objects(), &self.world.archive);
        assert!(upto >= self.told.0, "told {}, in the lake {upto}", self.told.0);
    }

    /// There is always a writer; others come.
    fn begin(&mut self, writers_max: usize) {
        let Self { random, world, processes, told, .. } = self;
        self.born += 1;
        let writers = processes.iter().filter(|p| p.is_writer()).count();
        let others = processes.len() - writers;
        if writers == 0 || (writers < writers_max && random.percent(1)) {
            processes.push(Process::writer(self.born, world, random));
        }
        if self.is_kept && others < 3 && random.percent(4) {
            processes.push(if random.percent(50) {
                Process::keeper(self.born, world, random)
            } else {
                Process::reader(self.born, world, told, random)
            });
        }
    }

    /// A process that has something to do; the clock goes on until there is one.
    fn choose(&mut self) -> usize {
        let wakes =
            self.processes.iter().map(|w| w.sleeps_until).min().expect("there is a process");
        self.world.now = self.world.now.max(wakes);
        let awake = |i: &usize| self.processes[*i].sleeps_until <= self.world.now;
        let awake: Vec<usize> = (0..self.processes.len()).filter(awake).collect();
        awake[self.random.below(awake.len())]
    }

    fn kill(&mut self, i: usize) {
        let process = self.processes.swap_remove(i);
        for (request, answer) in &process.flying {
            if answer.is_none() {
                self.world.abandon(&process.access, request, &mut self.random);
            }
        }
    }

    fn lose_power(&mut self) {
        while !self.processes.is_empty() {
            self.kill(0);
        }
        self.world.lose_power(&mut self.random);
        self.world.now += self.random.below(600_000) as u64;
        self.check();
    }

    /// One move of a process; `false` when it has ended.
    fn step(&mut self, i: usize) -> bool {
        let Self { random, world, processes, told, .. } = self;
        let waiting = processes[i].waiting();
        if waiting.is_empty() {
            let goes_on = processes[i].go_on(world, random, told);
            if !goes_on {
                drop(processes.swap_remove(i));
            }
            return goes_on;
        }
        let n = waiting[random.below(waiting.len())];
        let Process { access, flying, sleeps_until, .. } = &mut processes[i];
        let (request, answer) = &mut flying[n];
        *answer = Some(world.perform(access, request, random));
        match request {
            super::protocol::Request::Wait { ms } => *sleeps_until = world.now + *ms,
            // The next epoch hides it.
            super::protocol::Request::Delete { path } if layout::parse_state(path).is_some() => {
                self.check();
            }
            _ => {}
        }
        true
    }

    /// Everybody is dead: what is late lands, and the next process finds a whole lake.
    fn finish(mut self, seen: &mut Seen) {
        self.processes.clear();
        self.world.land_all(&mut self.random);
        let (lane, swept) = recover(&mut self.world).expect("a lane can be opened");
        let upkeep = recover_lane(&mut self.world, layout::UPKEEP);
        let upkeep = upkeep.expect("a lane can be opened").0;
        self.check();
        let objects = self.world.objects();
        let (upto, files) = oracle(&objects, &self.world.archive);
        assert_eq!(lane.positions.get(&key()).map_or(0, |r| r.upto), upto);
        let is_state = |p: &String| layout::parse_state(p).is_some();
        let states: Vec<_> = objects.keys().filter(|p| is_state(p)).collect();
        assert_eq!(lane.state.iter().map(|s| &s.path).collect::<Vec<_>>(), states, "states");
        let former = former(&objects);
        for path in objects.keys().filter(|p| p.ends_with(".parquet")) {
            let known = files.contains(path)
                || self.world.landed_late.contains(path)
                || former.contains(path);
            // What a removal that was not synced brings back; nobody acknowledges removals.
            let came_back = self.world.power_cuts > 0;
            assert!(known || came_back || may_be_stray(path, &objects), "{path} was left");
        }
        assert!(!objects.keys().any(|p| p.starts_with(layout::INTENTS)), "an intent was left");
        seen.runs += 1;
        seen.states += states.len();
        seen.epochs += lane.head;
        seen.upkeep += upkeep.head;
        seen.removed += oracle::removed(&objects);
        let is_root = |p: &&String| p.starts_with(layout::CHECKPOINTS);
        seen.checkpoints += objects.keys().filter(is_root).count();
        seen.spoiled += self.world.spoiled;
        seen.power_cuts += self.world.power_cuts;
        seen.landed_late += self.world.landed_late.len();
        seen.took_over += u64::from(swept.took_over);
        seen.milliseconds += self.world.now;
    }
}

/// A writer that was overtaken while it was writing, and died before it could remove its files,
/// leaves them: recovery had already swept that epoch. `verify` names them.
fn may_be_stray(path: &str, objects: &std::collections::BTreeMap<String, Bytes>) -> bool {
    let Some((lane, epoch)) = layout::parse_data(path) else { return false };
    let Some(bytes) = objects.get(&layout::manifest(&lane, epoch)) else { return false };
    let (manifest, _) = Manifest::decode(bytes).expect("a manifest is whole");
    !path.ends_with(&format!("-{}.parquet", manifest.writer))
}

/// A number of the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Says it also when the test passes.
pub(super) fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "the lake's simulation: {what}");
}

/// Seeds that nobody has tried.
fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Random(since.as_nanos() as u64).next() >> 16
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_stored_twice() {
    let began = Instant::now();
    let go = |seed: u64, seen: &mut Seen| {
        let result = catch_unwind(AssertUnwindSafe(|| run(seed, Where::default(), seen)));
        assert!(result.is_ok(), "seed {seed}: LAKE_SEED={seed} does it again");
    };
    let mut seen = Seen::default();
    if let Some(first) = number("LAKE_SEED") {
        go(first, &mut seen);
    }
    // These are always the same, and hard enough.
    seen = Seen::default();
    (0..300).for_each(|seed| go(seed, &mut seen));
    assert!(seen.epochs > 3_000 && seen.crashes > 1_000, "{seen:?}");
    assert!(seen.ended > 100 && seen.landed_late > 50 && seen.took_over > 20, "{seen:?}");
    assert!(seen.states > 100 && seen.power_cuts > 100 && seen.upkeep > 200, "{seen:?}");
    assert!(seen.removed > 10 && seen.checkpoints > 50 && seen.spoiled > 100, "{seen:?}");
    let fresh = fresh_seed();
    say(&format!("fresh seeds from {fresh}"));
    let hours = number("LAKE_HOURS").unwrap_or(0);
    for n in 0.. {
        go(fresh + n, &mut seen);
        if n >= 100 && seen.hours() >= hours {
            break;
        }
    }
    say(&format!("{} simulated hours in {:?}: {seen:?}", seen.hours(), began.elapsed()));
}

fn next_epoch(lane: &Lane) -> super::commit::Sealed {
    writer::epoch(lane, &mut Default::default(), 0, &mut Random(lane.head))
}

#[test]
fn the_head_of_any_chain_is_found() {
    for head in [0, 1, 2, 3, 31, 32, 33, 64, 65, 100] {
        let mut world = World::bucket();
        let (mut lane, _) = recover(&mut world).unwrap();
        while lane.head < head {
            let sealed = next_epoch(&lane);
            world.insert(&layout::manifest("main", lane.head + 1), sealed.bytes.clone());
            lane.committed(&sealed.manifest, sealed.hash);
        }
        let (found, swept) = recover(&mut world).unwrap();
        assert_eq!((found.head, found.hash, found.positions), (head, lane.hash, lane.positions));
        assert_eq!(swept, Swept::default());
    }
}

#[test]
fn a_hole_in_the_chain_is_never_swept_over() {
    let mut world = World::bucket();
    let (mut lane, _) = recover(&mut world).unwrap();
    for _ in 0..100 {
        let sealed = next_epoch(&lane);
        world.insert(&layout::manifest("main", lane.head + 1), sealed.bytes.clone());
        lane.committed(&sealed.manifest, sealed.hash);
    }
    // Any of these may be probed, or be at the end.
    for hole in [64, 99, 100] {
        let path = layout::manifest("main", hole);
        let kept = world.remove(&path).unwrap();
        match recover(&mut world) {
            Err(error) => assert_eq!(error.kind(), Kind::Damaged),
            Ok((found, _)) => assert_eq!(found.head, if hole == 100 { 99 } else { 100 }),
        }
        world.insert(&path, kept);
    }
}

#[test]
fn an_intent_deletes_only_its_own_files() {
    let (mut world, writer) = (World::bucket(), "00000001");
    let other = "t/dt=1970-01-01/hr=00/main-00000000000000000001-000-00000002.parquet";
    world.insert(other, Bytes::new());
    let content = format!(r#"{{"epoch":1,"writer":"{writer}","files":["{other}"]}}"#);
    world.insert(&layout::intent("main", 1, writer), content.into());
    assert_eq!(recover(&mut world).unwrap_err().kind(), Kind::Damaged);
    assert!(world.objects().contains_key(other));
}
