//! Processes that share shards, driven by a seed through crashes, pauses and lost answers, over a board and a lake that
//! do as ours do. What they commit must be every record once, in order.

use super::*;
use crate::poll::backoff::Chance;

const SHARDS: u64 = 5;
const LAPSE: Duration = Duration::from_secs(60);

/// A lane: whose life may commit, and how far each tenure stands.
#[derive(Default)]
struct Lane {
    writer: u64,
    at: HashMap<(String, u32), State>,
}

#[derive(Default)]
struct World {
    /// The newest sheet and its number.
    sheet: (u64, Sheet),
    lanes: HashMap<String, Lane>,
    /// By shard: the numbers of its records, as they were committed.
    committed: BTreeMap<String, Vec<u64>>,
    lives: u64,
}

/// A shard that is read.
struct Reading {
    tenure: u32,
    /// Committed and read up to here.
    done: u64,
    read: u64,
    stops: bool,
}

struct Process {
    share: Share,
    life: u64,
    sheet: Sheet,
    reading: BTreeMap<String, Reading>,
    ended: Ended,
    /// A change that is decided and not put yet.
    pending: Option<(u64, Sheet)>,
}

fn at(place: &State) -> u64 {
    place.sequence.as_deref().map_or(0, |text| text.parse().unwrap())
}

fn place(at: u64) -> State {
    State { sequence: (at > 0).then(|| at.to_string()), ..State::default() }
}

fn ready() -> BTreeSet<String> {
    (0..SHARDS).map(|n| format!("s{n}")).collect()
}

impl World {
    /// A process begins: from then on nobody else commits in its lane.
    fn start(&mut self, lane: &str) -> Process {
        self.lives += 1;
        self.lanes.entry(lane.to_owned()).or_default().writer = self.lives;
        Process {
            share: Share::new(lane, self.lives, LAPSE),
            life: self.lives,
            sheet: Sheet::default(),
            reading: BTreeMap::new(),
            ended: Ended::new(),
            pending: None,
        }
    }

    /// Looks, decides, and relieves who is dead.
    fn look(&mut self, process: &mut Process, now: Instant) {
        let (number, sheet) = self.sheet.clone();
        process.share.look(&sheet, now);
        let free = process.share.free(&sheet, &ready(), now);
        let mut relieved = HashMap::new();
        for (lane, shards) in Share::orphans(&sheet, &free) {
            let lane = self.lanes.get_mut(&lane).unwrap();
            lane.writer = 0;
            for shard in shards {
                let lease = &sheet.shards[&shard];
                let known = lane.at.get(&(shard.clone(), lease.tenure));
                relieved.insert(shard, known.cloned().unwrap_or_else(|| lease.place.clone()));
            }
        }
        let news = News { ready: ready(), ended: process.ended.clone(), ..News::default() };
        let next = process.share.change(&sheet, &news, &free, &relieved, now);
        process.pending = Some((number + 1, next));
        process.sheet = sheet;
    }

    /// Puts what was decided; `is_told` whether the process hears what came of it.
    fn put(&mut self, process: &mut Process, is_told: bool) {
        let Some((number, next)) = process.pending.take() else { return };
        if number == self.sheet.0 + 1 {
            self.sheet = (number, next.clone());
            if is_told {
                process.sheet = next;
            }
        }
    }

    /// Reads and stops as the sheet says.
    fn follow(&self, process: &mut Process, now: Instant) {
        let mine = process.share.mine(&process.sheet);
        let is_same =
            |shard: &String, tenure: u32| mine.get(&**shard).is_some_and(|m| m.tenure == tenure);
        process.ended.retain(|shard, (tenure, _)| is_same(shard, *tenure));
        let wanted = process.share.wanted(&process.sheet, now);
        for (shard, reading) in &mut process.reading {
            reading.stops |= !mine.contains_key(shard.as_str()) || wanted.contains(&shard.as_str());
        }
        let lane = &self.lanes[&process.share.lane];
        for (shard, lease) in mine {
            if process.reading.contains_key(shard) || process.ended.contains_key(shard) {
                continue;
            }
            let known = lane.at.get(&(shard.to_owned(), lease.tenure));
            let done = at(known.unwrap_or(&lease.place));
            if wanted.contains(&shard) {
                process.ended.insert(shard.to_owned(), (lease.tenure, place(done)));
                continue;
            }
            let reading = Reading { tenure: lease.tenure, done, read: done, stops: false };
            process.reading.insert(shard.to_owned(), reading);
        }
    }

    /// Commits what was read; false when the process has been relieved.
    fn commit(&mut self, process: &mut Process) -> bool {
        let lane = self.lanes.get_mut(&process.share.lane).unwrap();
        if lane.writer != process.life {
            return false;
        }
        for (shard, reading) in &mut process.reading {
            let log = self.committed.entry(shard.clone()).or_default();
            log.extend(reading.done + 1..=reading.read);
            reading.done = reading.read;
            lane.at.insert((shard.clone(), reading.tenure), place(reading.done));
        }
        let (ended, going): (BTreeMap<_, _>, _) = std::mem::take(&mut process.reading)
            .into_iter()
            .partition(|(_, reading)| reading.stops);
        process.reading = going;
        let ended = ended.into_iter().map(|(shard, r)| (shard, (r.tenure, place(r.done))));
        process.ended.extend(ended);
        true
    }

    fn check(&self, seed: u64) {
        for (shard, log) in &self.committed {
            let expected: Vec<u64> = (1..=log.len() as u64).collect();
            assert_eq!(log, &expected, "seed {seed}: {shard}");
        }
    }
}

/// One life of a seed; how often shards have changed hands.
fn drive(seed: u64) -> u32 {
    let mut chance = Chance::new(seed);
    let (mut world, mut now) = (World::default(), Instant::now());
    let names = ["a", "b", "c"];
    let mut processes: BTreeMap<&str, Process> = BTreeMap::new();
    for _ in 0..4_000 {
        // Now and then somebody is away for longer than the others wait.
        let most = if chance.below(50) == 0 { 90_000 } else { 2_000 };
        now += Duration::from_millis(chance.below(most));
        let name = names[chance.below(3) as usize];
        let Some(process) = processes.get_mut(name) else {
            processes.insert(name, world.start(name));
            continue;
        };
        match chance.below(20) {
            0..6 => world.look(process, now),
            6..11 => world.put(process, chance.below(8) > 0),
            11..14 => world.follow(process, now),
            14..17 => process.reading.values_mut().filter(|r| !r.stops).for_each(|r| r.read += 1),
            17..19 if !world.commit(process) => _ = processes.remove(name),
            19 if chance.below(15) == 0 => _ = processes.remove(name),
            _ => {}
        }
        world.check(seed);
    }
    settle(&mut world, &mut processes, now, seed);
    world.sheet.1.shards.values().map(|lease| lease.tenure).sum()
}

/// Everybody lives and does as it should: soon every shard is read, by all of them.
fn settle(world: &mut World, processes: &mut BTreeMap<&str, Process>, mut now: Instant, seed: u64) {
    for _ in 0..60 {
        for name in ["a", "b", "c"] {
            now += LAPSE / 12;
            let process = processes.entry(name).or_insert_with(|| world.start(name));
            world.look(process, now);
            world.put(process, true);
            world.follow(process, now);
            process.reading.values_mut().filter(|r| !r.stops).for_each(|r| r.read += 1);
            if !world.commit(process) {
                processes.remove(name);
            }
        }
        world.check(seed);
    }
    let owned = |name: &str| {
        world.sheet.1.shards.values().filter(|l| l.owner.as_deref() == Some(name)).count()
    };
    let parts = [owned("a"), owned("b"), owned("c")];
    assert_eq!(parts.iter().sum::<usize>() as u64, SHARDS, "seed {seed}: {parts:?}");
    assert!(parts.iter().all(|part| (1..=2).contains(part)), "seed {seed}: {parts:?}");
    assert_eq!(processes.values().map(|p| p.reading.len()).sum::<usize>() as u64, SHARDS);
}

#[test]
fn every_record_is_committed_once_whatever_becomes_of_the_processes() {
    let seed = crate::poll::source::seed();
    let moves: u32 = (0..60).map(|n| drive(seed.wrapping_add(n))).sum();
    assert!(moves > 1_000, "shards change hands: {moves}");
}

#[test]
fn one_process_has_everything_and_a_second_one_is_given_its_part() {
    let (mut world, now) = (World::default(), Instant::now());
    let mut a = world.start("a");
    for _ in 0..2 {
        world.look(&mut a, now);
        world.put(&mut a, true);
    }
    assert_eq!(a.share.mine(&a.sheet).len() as u64, SHARDS);
    assert!(a.share.wanted(&a.sheet, now).is_empty());
    let mut b = world.start("b");
    for _ in 0..2 {
        world.look(&mut b, now);
        world.put(&mut b, true);
    }
    assert!(b.share.mine(&b.sheet).is_empty(), "nothing is taken from who lives");
    world.look(&mut a, now);
    assert_eq!(a.share.wanted(&a.sheet, now), ["s0"]);
    // Whoever wants it and dies gets nothing.
    assert!(a.share.wanted(&a.sheet, now + LAPSE).is_empty());
}

#[test]
fn who_was_here_before_there_was_a_sheet_goes_on_where_it_stood() {
    let (mut share, now) = (Share::new("main", 1, LAPSE), Instant::now());
    let own = [("s0".to_owned(), place(7))].into();
    let news = News { ready: ready(), own, ..News::default() };
    let joined = share.change(&Sheet::default(), &news, &[], &HashMap::new(), now);
    let free = share.free(&joined, &news.ready, now);
    assert_eq!(free.len() as u64, SHARDS);
    let next = share.change(&joined, &news, &free, &HashMap::new(), now);
    let lease = share.mine(&next)["s0"];
    assert_eq!((lease.tenure, at(&lease.place)), (0, 7));
    // Another life of it owns nothing before it stands on the sheet.
    assert!(Share::new("main", 2, LAPSE).mine(&next).is_empty());
}
