//! One seed drives writers of one lane through crashes, lost answers, answers that lie, requests that
//! land long after their writer died, and second writers. After each run the oracle asks: is every
//! acknowledged record in the lake exactly once, without a gap, in files that are there?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use event::PartitionKey;

use super::commit::{Commit, Contents, Lane, StateChange};
use super::encode::Encoded;
use super::error::{Error, Kind};
use super::layout::{self, Hour};
use super::manifest::{Checksum, DataFile, FileKind, Manifest, SpanEntry, StateFile};
use super::protocol::{Answer, Request, Step};
use super::recovery::{Recovery, Swept};

/// SplitMix64.
struct Random(u64);

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

/// The store, and requests that it has swallowed and may still do.
#[derive(Default)]
struct World {
    objects: BTreeMap<String, Bytes>,
    delayed: Vec<Request>,
    /// Files that appeared after nobody expected them any more.
    landed_late: BTreeSet<String>,
    faults: usize,
}

impl World {
    fn apply(&mut self, request: &Request) -> Answer {
        match request {
            Request::Put { path, bytes, if_absent } => {
                if *if_absent && self.objects.contains_key(path) {
                    return Answer::Exists;
                }
                self.objects.insert(path.clone(), bytes.clone());
                Answer::Done
            }
            Request::Get { path } => {
                self.objects.get(path).cloned().map_or(Answer::Missing, Answer::Bytes)
            }
            Request::Look { path } => {
                if self.objects.contains_key(path) {
                    Answer::Exists
                } else {
                    Answer::Missing
                }
            }
            Request::List { folder, after } => {
                let folder = format!("{folder}/");
                let paths = self.objects.keys().filter(|p| p.starts_with(&folder));
                let after = after.as_deref().unwrap_or("");
                Answer::Paths(paths.filter(|p| p.as_str() > after).cloned().collect())
            }
            Request::Delete { path } => {
                self.objects.remove(path);
                Answer::Done
            }
            Request::Wait { .. } => Answer::Done,
        }
    }

    /// Does a request, perhaps; answers, perhaps not the truth.
    fn perform(&mut self, request: Request, random: &mut Random) -> Answer {
        if matches!(request, Request::Wait { .. }) || !random.percent(self.faults) {
            return self.apply(&request);
        }
        match random.below(3) {
            0 => {}
            1 => drop(self.apply(&request)),
            _ => self.delay(request),
        }
        Answer::Failed("no answer".into())
    }

    /// Only puts are delayed beyond their writer's patience: a delayed delete would need a store that
    /// keeps a request longer than our names, which are never used again, live.
    fn delay(&mut self, request: Request) {
        if matches!(request, Request::Put { .. }) {
            self.delayed.push(request);
        }
    }

    fn land_one(&mut self, random: &mut Random) {
        if self.delayed.is_empty() {
            return;
        }
        let request = self.delayed.swap_remove(random.below(self.delayed.len()));
        let done = matches!(self.apply(&request), Answer::Done);
        if let (true, Request::Put { path, .. }) = (done, request) {
            self.landed_late.insert(path);
        }
    }
}

enum Doing {
    Opening(Box<Recovery>),
    Idle,
    Committing(Box<Commit>),
}

struct Writer {
    name: String,
    doing: Doing,
    lane: Option<Lane>,
    /// Requests under way; those done have their answer.
    flying: Vec<(Request, Option<Answer>)>,
}

impl Writer {
    fn new(n: u64) -> Self {
        let name = format!("{n:08x}");
        let doing = Doing::Opening(Box::new(Recovery::new("main", &name, 0)));
        Self { name, doing, lane: None, flying: Vec::new() }
    }

    /// Goes on as far as it can without I/O. `false` when the writer is finished.
    fn go_on(&mut self, random: &mut Random, acknowledged: &mut u64) -> bool {
        let answers = self.flying.drain(..).map(|(_, a)| a.expect("all are answered")).collect();
        match &mut self.doing {
            Doing::Opening(recovery) => match recovery.step(answers) {
                Step::Do(requests) => self.fly(requests),
                Step::Done(Ok((lane, _))) => (self.lane, self.doing) = (Some(lane), Doing::Idle),
                Step::Done(Err(error)) => {
                    assert_ne!(error.kind(), Kind::Damaged, "{error}");
                    return false;
                }
            },
            Doing::Idle => {
                let sealed = epoch(self.lane.as_ref().expect("it is open"), random);
                self.doing = Doing::Committing(Box::new(Commit::new(sealed)));
            }
            Doing::Committing(commit) => match commit.step(answers) {
                Step::Do(requests) => self.fly(requests),
                Step::Done(Ok(())) => {
                    let (manifest, hash) = (&commit.sealed.manifest, commit.sealed.hash);
                    *acknowledged = (*acknowledged).max(manifest.spans[0].upto);
                    self.lane.as_mut().expect("it is open").committed(manifest, hash);
                    self.doing = Doing::Idle;
                }
                Step::Done(Err(error)) if error.kind() == Kind::Store => {}
                Step::Done(Err(error)) => {
                    assert_eq!(error.kind(), Kind::Fenced, "{error}");
                    return false;
                }
            },
        }
        true
    }

    fn fly(&mut self, requests: Vec<Request>) {
        self.flying = requests.into_iter().map(|r| (r, None)).collect();
    }
}

fn key() -> PartitionKey {
    PartitionKey { source: "s".into(), partition: "p".into() }
}

/// The next records of the only partition in one to three files; record `n` is the number `n`.
fn epoch(lane: &Lane, random: &mut Random) -> super::commit::Sealed {
    let after = lane.positions.get(&key()).map_or(0, |r| r.upto);
    let count = 1 + random.below(9) as u64;
    let files = 1 + random.below(3);
    let columns: Arc<[_]> = [].into();
    let encoded = (0..files).map(|n| {
        let ids = (after + 1..=after + count).filter(|id| *id as usize % files == n);
        let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        let bytes = Bytes::from(ids.join(" "));
        let folder = Hour(0).folder("t");
        let path = format!("{folder}/main-{:020}-{n:03}-{}.parquet", lane.head + 1, lane.writer);
        let file = DataFile {
            path,
            table: "t".into(),
            kind: FileKind::Events,
            dt: "1970-01-01".into(),
            hr: 0,
            rows: ids.len() as u64,
            bytes: bytes.len() as u64,
            checksum: Checksum::of(&bytes),
            min_time: 0,
            max_time: 0,
            min_ingest: 0,
            max_ingest: 0,
            schema: 0,
            column_bytes: Vec::new(),
        };
        Encoded { file, columns: columns.clone(), bytes }
    });
    let span = SpanEntry {
        source: "s".into(),
        partition: "p".into(),
        after,
        upto: after + count,
        received: count,
        stored: count,
        duplicates: 0,
        dead: 0,
        dropped: 0,
        state: None,
    };
    // What the next start must know: here, how far the partition has come.
    let state = match random.below(4) {
        0 => StateChange::Kept,
        1 if random.percent(20) => StateChange::Dropped,
        _ => StateChange::Replaced(Bytes::from(span.upto.to_string())),
    };
    lane.seal(Contents { spans: vec![span], state, ..Contents::default() }, encoded.collect(), 0)
}

/// Reads the lake as the promise describes it. Returns how far it goes and the files it names; of the
/// states only the newest.
fn oracle(objects: &BTreeMap<String, Bytes>) -> (u64, BTreeSet<String>) {
    let (mut upto, mut previous, mut files) = (0, None, BTreeSet::new());
    let mut newest: Option<(StateFile, u64)> = None;
    for epoch in 1.. {
        let Some(bytes) = objects.get(&layout::manifest("main", epoch)) else {
            let after = objects.keys().filter_map(|p| layout::parse_manifest(p));
            assert_eq!(after.filter(|(_, e)| *e > epoch).count(), 0, "a hole in the chain");
            if let Some((state, upto)) = newest {
                let bytes = objects.get(&state.path);
                let bytes = bytes.unwrap_or_else(|| panic!("the state {} lost", state.path));
                assert_eq!(
                    (Checksum::of(bytes), bytes),
                    (state.checksum, &upto.to_string().into())
                );
                files.insert(state.path);
            }
            return (upto, files);
        };
        let (manifest, hash) = Manifest::decode(bytes).unwrap();
        assert_eq!(manifest.previous, previous);
        previous = Some(hash);
        let mut ids = Vec::new();
        for file in &manifest.files {
            let bytes = objects.get(&file.path).unwrap_or_else(|| panic!("{} lost", file.path));
            assert_eq!(Checksum::of(bytes), file.checksum);
            let text = std::str::from_utf8(bytes).unwrap();
            ids.extend(text.split_whitespace().map(|id| id.parse::<u64>().unwrap()));
            assert!(files.insert(file.path.clone()));
        }
        ids.sort_unstable();
        for span in &manifest.spans {
            assert_eq!(span.after, upto, "a gap or an overlap");
            assert_eq!(ids, (span.after + 1..=span.upto).collect::<Vec<_>>());
            upto = span.upto;
        }
        newest = match (manifest.state, newest) {
            (Some(state), Some((known, at))) if state == known => Some((state, at)),
            (state, _) => state.map(|state| (state, upto)),
        };
    }
    unreachable!("epochs end")
}

/// Recovery in a world without faults.
fn recover(world: &mut World) -> Result<(Lane, Swept), Error> {
    let mut recovery = Recovery::new("main", "ffffffff", 0);
    let mut answers = Vec::new();
    loop {
        match recovery.step(std::mem::take(&mut answers)) {
            Step::Do(requests) => answers = requests.iter().map(|r| world.apply(r)).collect(),
            Step::Done(result) => return result,
        }
    }
}

/// What a run has seen, to know that it was hard.
#[derive(Debug, Default)]
struct Seen {
    epochs: u64,
    crashes: u64,
    ended: u64,
    landed_late: usize,
    took_over: u64,
    states: usize,
}

fn run(seed: u64, seen: &mut Seen) {
    let mut random = Random(seed);
    let mut world = World { faults: [0, 2, 10, 30][random.below(4)], ..World::default() };
    let crash_percent = random.below(4);
    let writers_max = 1 + random.below(3);
    let (mut writers, mut born, mut acknowledged) = (Vec::<Writer>::new(), 0, 0);
    for tick in 0..1_000 {
        if tick % 100 == 0 {
            oracle(&world.objects);
        }
        if random.percent(5) {
            world.land_one(&mut random);
        }
        if writers.is_empty() || (writers.len() < writers_max && random.percent(1)) {
            born += 1;
            writers.push(Writer::new(born));
        }
        let i = random.below(writers.len());
        if random.percent(crash_percent) {
            seen.crashes += 1;
            for (request, answer) in writers.swap_remove(i).flying {
                match random.below(3) {
                    _ if answer.is_some() => {}
                    0 => {}
                    1 => drop(world.apply(&request)),
                    _ => world.delay(request),
                }
            }
            continue;
        }
        let waiting: Vec<usize> =
            (0..writers[i].flying.len()).filter(|&n| writers[i].flying[n].1.is_none()).collect();
        if waiting.is_empty() {
            if !writers[i].go_on(&mut random, &mut acknowledged) {
                assert!(!writers.swap_remove(i).name.is_empty());
                seen.ended += 1;
            }
        } else {
            let n = waiting[random.below(waiting.len())];
            let answer = world.perform(writers[i].flying[n].0.clone(), &mut random);
            writers[i].flying[n].1 = Some(answer);
            let Request::Delete { path } = &writers[i].flying[n].0 else { continue };
            if path.ends_with(".parquet") || layout::parse_state(path).is_some() {
                oracle(&world.objects);
            }
        }
    }
    drop(writers);
    finish(world, &mut random, acknowledged, seen);
}

/// Everybody is dead: what is late lands, and the next process finds a whole lake.
fn finish(mut world: World, random: &mut Random, acknowledged: u64, seen: &mut Seen) {
    for _ in 0..world.delayed.len() {
        world.land_one(random);
    }
    let (lane, swept) = recover(&mut world).unwrap();
    let (upto, files) = oracle(&world.objects);
    assert!(upto >= acknowledged, "acknowledged {acknowledged}, in the lake {upto}");
    assert_eq!(lane.positions.get(&key()).map_or(0, |r| r.upto), upto);
    let is_state = |p: &String| layout::parse_state(p).is_some();
    let states: Vec<_> = world.objects.keys().filter(|p| is_state(p)).collect();
    assert_eq!(lane.state.iter().map(|s| &s.path).collect::<Vec<_>>(), states, "states");
    seen.states += states.len();
    for path in world.objects.keys().filter(|p| p.ends_with(".parquet")) {
        let known = files.contains(path) || world.landed_late.contains(path);
        assert!(known || may_be_stray(path, &world), "{path} was left");
    }
    assert!(!world.objects.keys().any(|p| p.starts_with(layout::INTENTS)), "an intent was left");
    seen.epochs += lane.head;
    seen.landed_late += world.landed_late.len();
    seen.took_over += u64::from(swept.took_over);
}

/// A writer that was overtaken while it was writing, and died before it could remove its files,
/// leaves them: recovery had already swept that epoch. `verify` names them.
fn may_be_stray(path: &str, world: &World) -> bool {
    let Some((lane, epoch)) = layout::parse_data(path) else { return false };
    let Some(bytes) = world.objects.get(&layout::manifest(&lane, epoch)) else { return false };
    let (manifest, _) = Manifest::decode(bytes).unwrap();
    !path.ends_with(&format!("-{}.parquet", manifest.writer))
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_stored_twice() {
    let mut seen = Seen::default();
    let first = std::env::var("LAKE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for seed in first..first + 300 {
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, &mut seen)));
        assert!(result.is_ok(), "seed {seed}");
    }
    assert!(seen.epochs > 3_000 && seen.crashes > 1_000, "{seen:?}");
    assert!(seen.ended > 100 && seen.landed_late > 100 && seen.took_over > 20, "{seen:?}");
    assert!(seen.states > 100, "{seen:?}");
}

#[test]
fn the_head_of_any_chain_is_found() {
    for head in [0, 1, 2, 3, 31, 32, 33, 64, 65, 100] {
        let mut world = World::default();
        let (mut lane, _) = recover(&mut world).unwrap();
        while lane.head < head {
            let sealed = epoch(&lane, &mut Random(lane.head));
            world.objects.insert(layout::manifest("main", lane.head + 1), sealed.bytes.clone());
            lane.committed(&sealed.manifest, sealed.hash);
        }
        let (found, swept) = recover(&mut world).unwrap();
        assert_eq!((found.head, found.hash, found.positions), (head, lane.hash, lane.positions));
        assert_eq!(swept, Swept::default());
    }
}

#[test]
fn a_hole_in_the_chain_is_never_swept_over() {
    let mut world = World::default();
    let (mut lane, _) = recover(&mut world).unwrap();
    for n in 0..100 {
        let sealed = epoch(&lane, &mut Random(n));
        world.objects.insert(layout::manifest("main", lane.head + 1), sealed.bytes.clone());
        lane.committed(&sealed.manifest, sealed.hash);
    }
    // Any of these may be probed, or be at the end.
    for hole in [64, 99, 100] {
        let path = layout::manifest("main", hole);
        let kept = world.objects.remove(&path).unwrap();
        match recover(&mut world) {
            Err(error) => assert_eq!(error.kind(), Kind::Damaged),
            Ok((found, _)) => assert_eq!(found.head, if hole == 100 { 99 } else { 100 }),
        }
        world.objects.insert(path, kept);
    }
}

#[test]
fn an_intent_deletes_only_its_own_files() {
    let (mut world, writer) = (World::default(), "00000001");
    let other = "t/dt=1970-01-01/hr=00/main-00000000000000000001-000-00000002.parquet";
    world.objects.insert(other.into(), Bytes::new());
    let content = format!(r#"{{"epoch":1,"writer":"{writer}","files":["{other}"]}}"#);
    world.objects.insert(layout::intent("main", 1, writer), content.into());
    assert_eq!(recover(&mut world).unwrap_err().kind(), Kind::Damaged);
    assert!(world.objects.contains_key(other));
}
