//! A model of the protocol, explored to its end: two writers of one lane, upkeep and a reader, with a crash
//! at every step, answers that are lost, and manifests that land long after they were sent. Every
//! reachable state is visited, breadth first, so that a mistake is told by one of the shortest ways to it.
//!
//! The names of the steps are those of `commit`, `recovery` and `replace`. The simulation drives the code
//! itself through far longer lives, by chance; this is small, and leaves nothing to chance.

use std::collections::HashMap;

use super::mistake::{Mistake, with};

/// Epochs of the lane.
const EPOCHS: usize = 2;
/// Processes that ever write it; each is another writer for the names of files.
const LIVES: usize = 3;
/// The file that replaces the one of the first epoch.
const MERGED: usize = LIVES * EPOCHS;

/// A set of files or intents, by [`file`].
type Set = u16;

/// The file of a writer's epoch, and its intent. Epochs count from 0 here.
fn file(life: usize, epoch: usize) -> usize {
    life * EPOCHS + epoch
}

fn has(set: Set, n: usize) -> bool {
    set & (1 << n) != 0
}

/// A manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Manifest {
    /// Of a writer, with its file.
    Of(usize),
    /// Empty: a writer took the number.
    TakenBy(usize),
}

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    /// It has not begun, or has ended.
    Down,
    After,
    Intents,
    TakeOver,
    LookTakenOver,
    Sweep,
    SweepIntents,
    Intent,
    Files,
    Manifest,
    Look,
    Tidy {
        fenced: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Writer {
    life: usize,
    phase: Phase,
    /// Epochs that it knows to be there.
    head: usize,
    /// Intents that its recovery has found.
    found: Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Upkeep {
    Idle,
    Announced,
    Manifest,
    Look,
    Done,
}

/// The store, and everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    chain: [Option<Manifest>; EPOCHS],
    files: Set,
    intents: Set,
    /// Manifests that were sent and may still arrive.
    late: [[Option<Manifest>; LIVES]; EPOCHS],
    /// The manifest of upkeep is there: [`MERGED`] has the rows of the first epoch's file.
    merged: bool,
    lives: usize,
    writers: [Writer; 2],
    upkeep: Upkeep,
    /// The file of the first epoch that a question has found and reads.
    reading: Set,
    /// Epochs whose spans went back to their sources, by whom they were written.
    told: Set,
}

/// A step, for people, and where it leads.
type Next = (String, World);

impl World {
    fn new() -> Self {
        let down = Writer { life: 0, phase: Phase::Down, head: 0, found: 0 };
        Self {
            chain: [None; EPOCHS],
            files: 0,
            intents: 0,
            late: [[None; LIVES]; EPOCHS],
            merged: false,
            lives: 0,
            writers: [down; 2],
            upkeep: Upkeep::Idle,
            reading: 0,
            told: 0,
        }
    }

    /// What the promise says of every moment.
    fn wrong(&self) -> Option<&'static str> {
        if self.live() & !self.files != 0 {
            return Some("a file of the lake is missing");
        }
        if self.reading & !self.files != 0 {
            return Some("a question misses a file");
        }
        for (epoch, manifest) in self.chain.iter().enumerate() {
            for life in 0..LIVES {
                if has(self.told, file(life, epoch)) && *manifest != Some(Manifest::Of(life)) {
                    return Some("what was acknowledged is not in the lake");
                }
            }
        }
        None
    }

    /// The files that manifests name.
    fn live(&self) -> Set {
        let mut live = 0;
        for (epoch, manifest) in self.chain.iter().enumerate() {
            if let Some(Manifest::Of(life)) = manifest {
                live |= 1 << if epoch == 0 && self.merged { MERGED } else { file(*life, epoch) };
            }
        }
        live
    }

    /// Everything that can happen now.
    fn next(&self) -> Vec<Next> {
        let mut next = Vec::new();
        for w in 0..self.writers.len() {
            self.writer(w, &mut next);
        }
        for (epoch, late) in self.late.iter().enumerate() {
            for (life, manifest) in late.iter().enumerate() {
                let Some(manifest) = *manifest else { continue };
                let mut world = *self;
                world.late[epoch][life] = None;
                world.chain[epoch].get_or_insert(manifest);
                next.push((format!("{manifest:?} of epoch {epoch} lands late"), world));
            }
        }
        self.keep(&mut next);
        self.read(&mut next);
        next.iter_mut().for_each(|(_, world)| world.forget());
        next
    }

    /// Forgets what cannot matter any more, so that fewer states are different.
    fn forget(&mut self) {
        for (manifest, late) in self.chain.iter().zip(&mut self.late) {
            if manifest.is_some() {
                // It is put if absent.
                *late = [None; LIVES];
            }
        }
        for writer in &mut self.writers {
            match writer.phase {
                Phase::Down => (writer.life, writer.head, writer.found) = (0, 0, 0),
                Phase::After => (writer.head, writer.found) = (0, 0),
                Phase::Intents | Phase::TakeOver | Phase::LookTakenOver => {}
                Phase::Sweep | Phase::SweepIntents => {}
                _ => writer.found = 0,
            }
        }
        // Which of two is which does not matter.
        self.writers.sort_unstable();
    }

    fn writer(&self, w: usize, next: &mut Vec<Next>) {
        let writer = self.writers[w];
        let Writer { life, phase, .. } = writer;
        let mut push = |mut world: Self, phase: Phase, how: &str| {
            world.writers[w].phase = phase;
            next.push((format!("writer {life} {:?}{how}", writer.phase), world));
        };
        if !matches!(phase, Phase::Down) {
            push(*self, Phase::Down, ": crash");
        }
        match phase {
            Phase::Down if self.lives < LIVES => {
                let mut world = *self;
                world.lives += 1;
                let phase = Phase::After;
                world.writers[w] = Writer { life: self.lives, phase, head: 0, found: 0 };
                next.push((format!("writer {} starts", self.lives), world));
            }
            Phase::Down => {}
            Phase::Intent | Phase::Files | Phase::Manifest | Phase::Look | Phase::Tidy { .. } => {
                self.write(w, &mut push);
            }
            _ => self.recover(w, &mut push),
        }
    }

    /// The steps of `recovery`.
    fn recover(&self, w: usize, push: &mut impl FnMut(Self, Phase, &str)) {
        let Writer { life, phase, head, found } = self.writers[w];
        let mut world = *self;
        match phase {
            Phase::After => {
                let there = self.chain.iter().take_while(|manifest| manifest.is_some());
                world.writers[w].head = there.count();
                push(world, Phase::Intents, "");
            }
            Phase::Intents => {
                world.writers[w].found = self.intents;
                let of = |epoch: usize| (0..LIVES).any(|l| has(self.intents, file(l, epoch)));
                let phase = match (head..EPOCHS).rev().find(|epoch| of(*epoch)) {
                    Some(epoch) if epoch > head => Phase::After,
                    Some(_) if !planted!(SweepWithoutTakeOver) => Phase::TakeOver,
                    _ => Phase::Sweep,
                };
                push(world, phase, "");
            }
            Phase::TakeOver => {
                self.put(w, Manifest::TakenBy(life), Phase::LookTakenOver, Phase::Sweep, push);
            }
            Phase::LookTakenOver => match self.chain[head] {
                Some(manifest)
                    if manifest == Manifest::TakenBy(life) || planted!(TakeOverUnseen) =>
                {
                    world.writers[w].head += 1;
                    push(world, Phase::Sweep, ": ours");
                }
                Some(_) => push(world, Phase::After, ": another's"),
                None => push(world, Phase::TakeOver, ": missing"),
            },
            Phase::Sweep => {
                world.files &= !(found & !self.named());
                push(world, Phase::SweepIntents, "");
            }
            Phase::SweepIntents => {
                world.intents &= !found;
                let phase =
                    if world.writers[w].head < EPOCHS { Phase::Intent } else { Phase::Down };
                push(world, phase, "");
            }
            _ => unreachable!("it is not recovering"),
        }
    }

    /// The steps of `commit`.
    fn write(&self, w: usize, push: &mut impl FnMut(Self, Phase, &str)) {
        let Writer { life, phase, head, .. } = self.writers[w];
        let mut world = *self;
        match phase {
            Phase::Intent => {
                world.intents |= 1 << file(life, head);
                push(world, Phase::Files, "");
            }
            Phase::Files => {
                push(*self, phase, ": no answer");
                world.files |= 1 << file(life, head);
                push(world, phase, ": done, no answer");
                push(world, Phase::Manifest, ": done");
            }
            Phase::Manifest => self.commit(w, push),
            Phase::Look => match self.chain[head] {
                None => push(world, Phase::Manifest, ": missing"),
                Some(manifest) => {
                    let ours = manifest == Manifest::Of(life) || planted!(FenceIgnored);
                    push(world, Phase::Tidy { fenced: !ours }, "");
                }
            },
            Phase::Tidy { fenced } => {
                world.intents &= !(1 << file(life, head));
                if fenced {
                    world.files &= !(1 << file(life, head));
                    push(world, Phase::Down, "");
                    return;
                }
                world.told |= 1 << file(life, head);
                world.writers[w].head += 1;
                push(world, if head + 1 < EPOCHS { Phase::Intent } else { Phase::Down }, "");
            }
            _ => unreachable!("it is not writing"),
        }
    }

    /// Files that manifests name, also those whose rows are in others now.
    fn named(&self) -> Set {
        if planted!(SweepOfCommitted) {
            return 0;
        }
        let mut named = 0;
        for (epoch, manifest) in self.chain.iter().enumerate() {
            if let Some(Manifest::Of(life)) = manifest {
                named |= 1 << file(*life, epoch);
            }
        }
        named
    }

    fn commit(&self, w: usize, push: &mut impl FnMut(Self, Phase, &str)) {
        let Writer { life, .. } = self.writers[w];
        let silent = if planted!(SilenceIsYes) {
            Phase::Tidy { fenced: false }
        } else if planted!(SilenceIsNo) {
            Phase::Tidy { fenced: true }
        } else {
            Phase::Look
        };
        self.put(w, Manifest::Of(life), silent, Phase::Tidy { fenced: false }, push);
    }

    /// Puts a manifest, if absent; it may be done or not, now or later, and the answer may be lost.
    fn put(
        &self,
        w: usize,
        manifest: Manifest,
        silent: Phase,
        done: Phase,
        push: &mut impl FnMut(Self, Phase, &str),
    ) {
        let Writer { life, head, .. } = self.writers[w];
        push(*self, silent, ": no answer");
        let mut later = *self;
        later.late[head][life] = Some(manifest);
        push(later, silent, ": later, no answer");
        let mut world = *self;
        match self.chain[head] {
            Some(_) if !planted!(ManifestReplaces) => {
                let look = if matches!(manifest, Manifest::Of(_)) { Phase::Look } else { silent };
                push(world, look, ": exists");
            }
            _ => {
                world.chain[head] = Some(manifest);
                push(world, silent, ": done, no answer");
                // A number that was taken over is behind.
                world.writers[w].head += usize::from(matches!(manifest, Manifest::TakenBy(_)));
                push(world, done, ": done");
            }
        }
    }

    /// Upkeep: one file in place of another, which is collected when nobody reads it.
    fn keep(&self, next: &mut Vec<Next>) {
        let mut push = |mut world: Self, upkeep: Upkeep, how: &str| {
            world.upkeep = upkeep;
            next.push((format!("upkeep {:?}{how}", self.upkeep), world));
        };
        let mut world = *self;
        let Some(Manifest::Of(life)) = self.chain[0] else { return };
        match self.upkeep {
            Upkeep::Idle => push(world, Upkeep::Announced, ""),
            Upkeep::Announced => {
                world.files |= 1 << MERGED;
                push(world, Upkeep::Manifest, ": built");
            }
            Upkeep::Manifest => {
                push(*self, Upkeep::Look, ": no answer");
                world.merged = true;
                push(world, Upkeep::Look, ": done, no answer");
                push(world, Upkeep::Done, ": done");
            }
            Upkeep::Look if planted!(UpkeepGivesUp) => {
                world.files &= !(1 << MERGED);
                push(world, Upkeep::Done, ": removed");
            }
            Upkeep::Look if self.merged => push(world, Upkeep::Done, ": ours"),
            Upkeep::Look => push(world, Upkeep::Manifest, ": missing"),
            Upkeep::Done => {
                let old = 1 << file(life, 0);
                // Longer than a question may take.
                let unread = self.reading & old == 0 || planted!(CollectedAtOnce);
                if self.merged && self.files & old != 0 && unread {
                    world.files &= !old;
                    push(world, Upkeep::Done, ": collect");
                }
            }
        }
    }

    fn read(&self, next: &mut Vec<Next>) {
        let mut world = *self;
        if self.reading == 0 {
            let first = (0..LIVES).fold(1 << MERGED, |set, life| set | 1 << file(life, 0));
            world.reading = self.live() & first;
            next.push(("a question begins".into(), world));
        } else {
            world.reading = 0;
            next.push(("a question ends".into(), world));
        }
    }
}

/// Visits every state; how many there are, or the way to one that is wrong.
fn explore() -> Result<usize, Vec<String>> {
    let mut worlds = vec![World::new()];
    let mut from: HashMap<World, usize> = HashMap::from([(worlds[0], 0)]);
    let mut n = 0;
    while let Some(world) = worlds.get(n).copied() {
        if let Some(wrong) = world.wrong() {
            return Err(way(&worlds, &from, n, wrong));
        }
        for (_, next) in world.next() {
            from.entry(next).or_insert_with(|| {
                worlds.push(next);
                n
            });
        }
        n += 1;
    }
    Ok(n)
}

/// The steps to a world.
fn way(worlds: &[World], from: &HashMap<World, usize>, mut n: usize, wrong: &str) -> Vec<String> {
    let mut way = vec![wrong.to_owned()];
    while n > 0 {
        let before = from[&worlds[n]];
        let step = worlds[before].next().into_iter().find(|(_, next)| *next == worlds[n]);
        way.extend(step.map(|(step, _)| step));
        n = before;
    }
    way.reverse();
    way
}

#[test]
fn nothing_goes_wrong_in_any_state() {
    match explore() {
        Ok(states) => assert!(states > 100_000, "{states} states are too few to mean anything"),
        Err(way) => panic!("{}", way.join("\n")),
    }
}

#[test]
fn every_mistake_is_found() {
    for mistake in [
        Mistake::SilenceIsYes,
        Mistake::SilenceIsNo,
        Mistake::FenceIgnored,
        Mistake::ManifestReplaces,
        Mistake::SweepWithoutTakeOver,
        Mistake::SweepOfCommitted,
        Mistake::UpkeepGivesUp,
        Mistake::CollectedAtOnce,
    ] {
        let way = with(mistake, explore).expect_err("nobody has found it");
        assert!(way.len() < 40, "{mistake:?} is found by a long way: {}", way.join("\n"));
    }
}
