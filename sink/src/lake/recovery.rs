//! Where a lane stands when a process starts: a state machine without I/O.
//!
//! It finds the newest manifest by probing (the chain has no holes), reads the end of the chain back
//! to the last list of positions, and removes what unfinished epochs have left, which their intents
//! name, and states that newer ones have replaced. Before it removes the files of an epoch that is not in the chain it *takes that epoch's
//! number* with an empty manifest: a writer that is still alive can then no longer commit it, so
//! nothing that is deleted can ever become part of the lake.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;

use super::commit::{Contents, Intent, Lane, Sealed};
use super::error::{Error, Kind};
use super::layout;
use super::manifest::{Manifest, POSITIONS_EVERY};
use super::part;
use super::protocol::{ATTEMPTS_MAX, Answer, Failure, Request, Step, failure, pause};

/// Powers of two probed at once.
const PROBES: u32 = 21;
/// How often another writer may commit while we look for the head.
const ROUNDS_MAX: u32 = 16;

/// What recovery did beside finding the lane's end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// An epoch's number was taken from a writer that died or is being replaced.
    pub took_over: bool,
    /// Files that belonged to no epoch.
    pub files: Vec<String>,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Probe `lane.head + 2^k`.
    Gallop,
    /// The head is in `lane.head..hi`.
    Search {
        hi: u64,
    },
    /// Is there really nothing after the head?
    After,
    /// Read the chain from here to the head.
    Tail {
        from: u64,
    },
    Intents,
    ReadIntents(Vec<String>),
    TakeOver(Box<Sealed>),
    LookTakenOver(Box<Sealed>),
    /// Read the manifests of these epochs, to keep what they name.
    References(Vec<u64>),
    /// List the states of the lane; `files` and `intents` are to be removed as well.
    States {
        files: Vec<String>,
        intents: Vec<String>,
    },
    Sweep {
        files: Vec<String>,
        intents: Vec<String>,
    },
}

/// The machine. Ends with the lane as it stands.
#[derive(Debug)]
pub(super) struct Recovery {
    lane: Lane,
    /// Of another process: what it has left and has under way is its own.
    only_looks: bool,
    /// Microseconds; the time of a manifest that takes over.
    now: i64,
    phase: Phase,
    /// Whether the requests of `phase` are out.
    sent: bool,
    attempts: u32,
    rounds: u32,
    intents: Vec<Intent>,
    swept: Swept,
}

type Move = Step<Result<(Lane, Swept), Error>>;

impl Recovery {
    pub(super) fn new(lane: &str, writer: &str, now: i64) -> Self {
        let lane = Lane {
            lane: lane.into(),
            writer: writer.into(),
            head: 0,
            hash: None,
            positions: Default::default(),
            state: None,
        };
        Self {
            lane,
            only_looks: false,
            now,
            phase: Phase::Gallop,
            sent: false,
            attempts: 0,
            rounds: 0,
            intents: Vec::new(),
            swept: Swept::default(),
        }
    }

    /// Finds where the lane of another process stands and changes nothing. `writer` will be who changes it.
    pub(super) fn look(lane: &str, writer: &str) -> Self {
        Self { only_looks: true, ..Self::new(lane, writer, 0) }
    }

    /// One move; `answers` to the requests of the step before.
    pub(super) fn step(&mut self, answers: Vec<Answer>) -> Move {
        if !std::mem::replace(&mut self.sent, true) {
            return Step::Do(self.requests());
        }
        let answers = match failure(answers) {
            Ok(answers) => answers,
            Err(failure) => return self.again(failure),
        };
        match self.take(answers) {
            Ok(Some(phase)) => {
                (self.phase, self.attempts) = (phase, 0);
                Step::Do(self.requests())
            }
            Ok(None) => Step::Done(Ok((self.lane.clone(), self.swept.clone()))),
            Err(error) => Step::Done(Err(error)),
        }
    }

    fn requests(&self) -> Vec<Request> {
        let lane = self.lane.lane.as_str();
        let look = |epoch| Request::Look { path: layout::manifest(lane, epoch) };
        let get = |epoch| Request::Get { path: layout::manifest(lane, epoch) };
        let next = layout::manifest(lane, self.lane.head + 1);
        match &self.phase {
            Phase::Gallop => (0..PROBES).map(|k| look(self.lane.head + (1 << k))).collect(),
            Phase::Search { hi } => vec![look(self.middle(*hi))],
            Phase::After => vec![Request::List {
                folder: format!("{}/{lane}", layout::MANIFESTS),
                after: Some(layout::manifest(lane, self.lane.head)),
            }],
            Phase::Tail { from } => (*from..=self.lane.head).map(get).collect(),
            Phase::Intents => {
                let folder = format!("{}/{lane}", layout::INTENTS);
                vec![Request::List { folder, after: None }]
            }
            Phase::ReadIntents(paths) => {
                paths.iter().map(|path| Request::Get { path: path.clone() }).collect()
            }
            Phase::TakeOver(sealed) => {
                let bytes = sealed.bytes.clone();
                vec![Request::Put { path: next, bytes, if_absent: true }]
            }
            Phase::LookTakenOver(_) => vec![Request::Get { path: next }],
            Phase::References(epochs) => epochs.iter().map(|&epoch| get(epoch)).collect(),
            Phase::States { .. } => {
                let folder = format!("{}/{lane}", layout::STATES);
                vec![Request::List { folder, after: None }]
            }
            Phase::Sweep { files, intents } => {
                let paths = files.iter().chain(intents);
                paths.map(|path| Request::Delete { path: path.clone() }).collect()
            }
        }
    }

    /// The phase after this one; `None` at the end.
    fn take(&mut self, answers: Vec<Answer>) -> Result<Option<Phase>, Error> {
        let there = |answer: &Answer| matches!(answer, Answer::Exists);
        match self.phase.clone() {
            Phase::Gallop => {
                let Some(k) = answers.iter().rposition(there) else {
                    return Ok(Some(Phase::After));
                };
                let hi = self.lane.head + (2 << k);
                self.lane.head += 1 << k;
                let far = k + 1 == PROBES as usize;
                Ok(Some(if far { Phase::Gallop } else { self.search(hi) }))
            }
            Phase::Search { hi } => {
                let middle = self.middle(hi);
                let higher = answers.iter().all(there);
                if higher {
                    self.lane.head = middle;
                }
                Ok(Some(self.search(if higher { hi } else { middle })))
            }
            Phase::After => self.after(answers),
            Phase::Tail { from } => self.tail(from, answers),
            Phase::Intents => self.found_intents(answers),
            Phase::ReadIntents(paths) => self.read_intents(&paths, answers),
            Phase::TakeOver(sealed) => match answers.first() {
                Some(Answer::Done) => Ok(Some(self.took_over(&sealed))),
                _ => Ok(Some(Phase::LookTakenOver(sealed))),
            },
            Phase::LookTakenOver(sealed) => match answers.first() {
                Some(Answer::Bytes(bytes))
                    if *bytes == sealed.bytes || planted!(TakeOverUnseen) =>
                {
                    Ok(Some(self.took_over(&sealed)))
                }
                Some(Answer::Bytes(_)) => self.round().map(Some),
                _ => Ok(Some(Phase::TakeOver(sealed))),
            },
            Phase::References(epochs) => self.references(&epochs, answers).map(Some),
            Phase::States { files, intents } => Ok(self.old_states(files, intents, answers)),
            Phase::Sweep { files, .. } => {
                self.swept.files = files;
                Ok(None)
            }
        }
    }

    fn middle(&self, hi: u64) -> u64 {
        self.lane.head + (hi - self.lane.head) / 2
    }

    fn search(&self, hi: u64) -> Phase {
        if hi - self.lane.head > 1 { Phase::Search { hi } } else { Phase::After }
    }

    /// Another writer moved on: look again from the head we know.
    fn round(&mut self) -> Result<Phase, Error> {
        self.rounds += 1;
        self.intents.clear();
        if self.rounds < ROUNDS_MAX {
            return Ok(Phase::Gallop);
        }
        let what = format!("another process is writing the lane {}", self.lane.lane);
        Err(Error::new(Kind::Fenced, what))
    }

    fn after(&mut self, answers: Vec<Answer>) -> Result<Option<Phase>, Error> {
        let head = self.lane.head;
        let paths = answers.iter().flat_map(|a| match a {
            Answer::Paths(paths) => paths.as_slice(),
            _ => &[],
        });
        let later: BTreeSet<u64> = paths
            .filter_map(|p| layout::parse_manifest(p))
            .map(|(_, epoch)| epoch)
            .filter(|&epoch| epoch > head)
            .collect();
        match later.first() {
            None if head == 0 => Ok(self.after_tail()),
            None => {
                let from = (head - 1) / POSITIONS_EVERY * POSITIONS_EVERY + 1;
                Ok(Some(Phase::Tail { from }))
            }
            Some(&epoch) if epoch == head + 1 => self.round().map(Some),
            Some(_) => {
                let path = layout::manifest(&self.lane.lane, head + 1);
                Err(Error::new(Kind::Damaged, format!("the manifest {path} is missing")))
            }
        }
    }

    fn tail(&mut self, from: u64, answers: Vec<Answer>) -> Result<Option<Phase>, Error> {
        (self.lane.hash, self.lane.positions) = (None, Default::default());
        for (epoch, answer) in (from..).zip(answers) {
            let (mut manifest, hash) = self.manifest(epoch, answer)?;
            let path = layout::manifest(&self.lane.lane, epoch);
            if epoch == from {
                let Some(positions) = &manifest.positions else {
                    let what = format!("the manifest {path} lacks the positions of its lane");
                    return Err(Error::new(Kind::Damaged, what));
                };
                self.lane.positions = part::unlist(positions);
            } else if manifest.previous != self.lane.hash {
                let what = format!("the manifest {path} does not follow the one before it");
                return Err(Error::new(Kind::Damaged, what));
            }
            if planted!(PositionsOfListOnly) {
                manifest.spans.clear();
            }
            self.lane.committed(&manifest, hash);
        }
        Ok(self.after_tail())
    }

    fn after_tail(&self) -> Option<Phase> {
        (!self.only_looks).then_some(Phase::Intents)
    }

    fn manifest(
        &self,
        epoch: u64,
        answer: Answer,
    ) -> Result<(Manifest, super::manifest::Checksum), Error> {
        let path = layout::manifest(&self.lane.lane, epoch);
        let Answer::Bytes(bytes) = answer else {
            return Err(Error::new(Kind::Damaged, format!("the manifest {path} is missing")));
        };
        let decoded = Manifest::decode(&bytes).map_err(|damage| {
            Error::caused(Kind::Damaged, format!("the manifest {path} is damaged"), damage)
        })?;
        if decoded.0.lane != self.lane.lane || decoded.0.epoch != epoch {
            let what = format!("the manifest {path} belongs to another place");
            return Err(Error::new(Kind::Damaged, what));
        }
        Ok(decoded)
    }

    fn found_intents(&mut self, answers: Vec<Answer>) -> Result<Option<Phase>, Error> {
        let paths: Vec<String> = answers
            .into_iter()
            .flat_map(|a| match a {
                Answer::Paths(paths) => paths,
                _ => Vec::new(),
            })
            .filter(|p| layout::parse_intent(p).is_some())
            .collect();
        let none = Phase::States { files: Vec::new(), intents: Vec::new() };
        Ok(Some(if paths.is_empty() { none } else { Phase::ReadIntents(paths) }))
    }

    fn read_intents(
        &mut self,
        paths: &[String],
        answers: Vec<Answer>,
    ) -> Result<Option<Phase>, Error> {
        for (path, answer) in paths.iter().zip(answers) {
            // One that is gone was finished by its writer.
            let Answer::Bytes(bytes) = answer else { continue };
            self.intents.push(parse_intent(path, &bytes)?);
        }
        match self.intents.iter().map(|i| i.epoch).max() {
            None => Ok(Some(Phase::States { files: Vec::new(), intents: Vec::new() })),
            Some(epoch) if epoch > self.lane.head + 1 => self.round().map(Some),
            Some(epoch) if epoch == self.lane.head + 1 && planted!(SweepWithoutTakeOver) => {
                let files = self.intents.iter().filter(|i| i.epoch == epoch);
                let files = files.flat_map(|i| i.files.clone()).collect();
                Ok(Some(Phase::States { files, intents: Vec::new() }))
            }
            Some(epoch) if epoch == self.lane.head + 1 => {
                let sealed = self.lane.seal(Contents::default(), Vec::new(), self.now);
                Ok(Some(Phase::TakeOver(Box::new(sealed))))
            }
            Some(_) => Ok(Some(self.look_up_references())),
        }
    }

    fn took_over(&mut self, sealed: &Sealed) -> Phase {
        self.lane.committed(&sealed.manifest, sealed.hash);
        self.swept.took_over = true;
        self.look_up_references()
    }

    fn look_up_references(&self) -> Phase {
        let epochs: BTreeSet<u64> = self.intents.iter().map(|i| i.epoch).collect();
        Phase::References(epochs.into_iter().collect())
    }

    fn references(&mut self, epochs: &[u64], answers: Vec<Answer>) -> Result<Phase, Error> {
        let mut live = HashSet::new();
        for (&epoch, answer) in epochs.iter().zip(answers) {
            let (manifest, _) = self.manifest(epoch, answer)?;
            live.extend(manifest.files.into_iter().map(|f| f.path));
            live.extend(manifest.state.map(|state| state.path));
        }
        if planted!(SweepOfCommitted) {
            live.clear();
        }
        let named = self.intents.iter().flat_map(|i| &i.files);
        let files = named.filter(|path| !live.contains(*path)).cloned().collect();
        let intents = self
            .intents
            .iter()
            .map(|i| layout::intent(&self.lane.lane, i.epoch, &i.writer))
            .collect();
        Ok(Phase::States { files, intents })
    }

    /// States that the newest manifest does not name, of epochs that are done. `None` when there is
    /// nothing to remove.
    fn old_states(
        &self,
        mut files: Vec<String>,
        intents: Vec<String>,
        answers: Vec<Answer>,
    ) -> Option<Phase> {
        let live = self.lane.state.as_ref().map(|state| state.path.as_str());
        for answer in answers {
            let Answer::Paths(paths) = answer else { continue };
            let is_old = |path: &String| {
                let of = layout::parse_state(path);
                of.is_some_and(|(_, epoch, _)| epoch <= self.lane.head)
                    && Some(path.as_str()) != live
                    && !files.contains(path)
            };
            let old: Vec<String> = paths.into_iter().filter(is_old).collect();
            files.extend(old);
        }
        (!files.is_empty() || !intents.is_empty()).then_some(Phase::Sweep { files, intents })
    }

    /// After a failure: the same requests again (of a take-over nobody knows: look), or give up.
    fn again(&mut self, failure: Failure) -> Move {
        if let Phase::TakeOver(sealed) = &self.phase {
            self.phase = Phase::LookTakenOver(sealed.clone());
        }
        self.attempts += 1;
        self.sent = false;
        if self.attempts < ATTEMPTS_MAX {
            return pause(self.attempts);
        }
        let what = format!("the lane {} of the lake cannot be read", self.lane.lane);
        Step::Done(Err(Error::caused(Kind::Store, what, failure)))
    }
}

/// Where a lane ends, for somebody who only reads it: the first steps of [`Recovery`].
#[derive(Debug)]
pub(super) struct End(Recovery);

impl End {
    pub(super) fn new(lane: &str) -> Self {
        Self(Recovery::new(lane, "", 0))
    }

    /// One move; ends with the newest epoch, 0 when there is none.
    pub(super) fn step(&mut self, answers: Vec<Answer>) -> Step<Result<u64, Error>> {
        match self.0.step(answers) {
            Step::Do(_) if matches!(self.0.phase, Phase::Tail { .. } | Phase::Intents) => {
                Step::Done(Ok(self.0.lane.head))
            }
            Step::Do(requests) => Step::Do(requests),
            Step::Done(result) => Step::Done(result.map(|(lane, _)| lane.head)),
        }
    }
}

fn parse_intent(path: &str, bytes: &Bytes) -> Result<Intent, Error> {
    let damaged = |what: &str| Error::new(Kind::Damaged, format!("the intent {path} {what}"));
    let intent: Intent = serde_json::from_slice(bytes)
        .map_err(|e| Error::caused(Kind::Damaged, format!("the intent {path} is damaged"), e))?;
    if layout::parse_intent(path) != Some((intent.epoch, intent.writer.clone())) {
        return Err(damaged("belongs to another place"));
    }
    // What it names will be deleted: only ever files of this writer and this epoch.
    let ours = |file: &String| {
        let is_data = layout::parse_data(file).is_some_and(|(_, epoch)| epoch == intent.epoch)
            && file.ends_with(&format!("-{}.parquet", intent.writer))
            && !file.starts_with('_');
        let state = layout::parse_state(file);
        is_data
            || state
                .is_some_and(|(_, epoch, w)| (epoch, w) == (intent.epoch, intent.writer.clone()))
    };
    if !intent.files.iter().all(ours) {
        return Err(damaged("names files that are not its own"));
    }
    Ok(intent)
}
