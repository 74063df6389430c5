//! What a lake holds at one moment, read from the newest checkpoint that can be believed and the
//! manifests after it. A state machine without I/O.
//!
//! ```text
//! Roots ──► Root ──► Runs (and the last manifests that it knows) ──► Upkeep [──► Live] ──► Lanes ──► Others ──► Tail
//!            ▲ damaged, gone or of other chains │                     ▲
//!            └─the one before it────────────────┴──none is left───────┘
//! ```
//!
//! The chain of upkeep is listed before the others, so that it cannot name files that came after the rest
//! was listed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::super::checkpoint::{Checkpoint, Covered, Listed, RunRef, decode_run};
use super::super::error::{Error, Kind};
use super::super::layout;
use super::super::live::Live;
use super::super::manifest::Checksum;
use super::super::protocol::{Answer, Failure, Request, Step, failure};
use super::{Chain, Snapshot};

/// Manifests asked for at once. All of an answer is in memory.
const MANIFESTS_AT_ONCE: usize = 64;

/// What is wanted beside the files that are part of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lake) enum Beside {
    Nothing,
    /// Files that were part of it.
    Former,
    /// Those of them that the newest checkpoint does not know, to write the next one. The files that it does know are
    /// read only when upkeep has taken some away since.
    News,
}

/// The machine.
#[derive(Debug)]
pub(in crate::lake) struct Look {
    beside: Beside,
    phase: Phase,
    /// Whether the requests of `phase` are out.
    sent: bool,
    /// Not tried yet, oldest first.
    roots: Vec<String>,
    base: Base,
    live: Live,
    chains: BTreeMap<Arc<str>, Chain>,
    upkeep: Vec<(Arc<str>, u64)>,
    /// Manifests to read, in this order.
    tail: VecDeque<(Arc<str>, u64)>,
    read: u64,
}

#[derive(Clone, Debug)]
enum Phase {
    Roots,
    Root(String),
    Runs,
    Upkeep,
    Live,
    Lanes,
    Others(Vec<Arc<str>>),
    Tail,
}

/// The checkpoint that a snapshot began with; an empty one when there was none.
#[derive(Clone, Debug, Default)]
pub(in crate::lake) struct Base {
    pub checkpoint: Checkpoint,
    /// Run and place in it of each file that was live, where those were read.
    pub places: Vec<(usize, u32)>,
}

/// What was seen.
#[derive(Debug)]
pub(in crate::lake) struct Looked {
    pub snapshot: Snapshot,
    pub base: Base,
    /// Of the files of the base, in the order of [`Base::places`], whether they are still live. The files
    /// of the snapshot begin with those.
    pub still: Vec<bool>,
    /// Manifests that were read after the base.
    pub read: u64,
}

type Move = Step<Result<Box<Looked>, Error>>;

impl Look {
    pub(in crate::lake) fn new(beside: Beside) -> Self {
        Self {
            beside,
            phase: Phase::Roots,
            sent: false,
            roots: Vec::new(),
            base: Base::default(),
            live: Self::nothing(beside),
            chains: BTreeMap::new(),
            upkeep: Vec::new(),
            tail: VecDeque::new(),
            read: 0,
        }
    }

    /// From the beginning of the chains.
    pub(in crate::lake) fn without_checkpoints(beside: Beside) -> Self {
        Self { phase: Phase::Upkeep, ..Self::new(beside) }
    }

    fn nothing(beside: Beside) -> Live {
        if beside == Beside::Nothing { Live::default() } else { Live::with_former() }
    }

    /// One move; `answers` to the requests of the step before.
    pub(in crate::lake) fn step(&mut self, answers: Vec<Answer>) -> Move {
        if std::mem::replace(&mut self.sent, true) {
            let answers = match failure(answers) {
                Ok(answers) => answers,
                Err(failure) => return Step::Done(Err(self.failed(failure))),
            };
            match self.take(answers) {
                Ok(Some(phase)) => self.phase = phase,
                Ok(None) => return Step::Done(Ok(self.finish())),
                Err(error) => return Step::Done(Err(error)),
            }
        }
        Step::Do(self.requests())
    }

    fn failed(&self, failure: Failure) -> Error {
        let what = match self.phase {
            Phase::Roots | Phase::Root(_) | Phase::Runs | Phase::Live => {
                "the checkpoints cannot be read"
            }
            Phase::Lanes | Phase::Upkeep | Phase::Others(_) => "the manifests cannot be listed",
            Phase::Tail => "the manifests cannot be read",
        };
        Error::caused(Kind::Store, what, failure)
    }

    /// Those to be read with the root.
    fn runs(&self) -> impl Iterator<Item = &RunRef> {
        let Checkpoint { live, former, .. } = &self.base.checkpoint;
        let live = live.iter().filter(|_| self.beside != Beside::News);
        let former = former.iter().filter(|_| self.beside == Beside::Former);
        live.chain(former)
    }

    fn requests(&self) -> Vec<Request> {
        let list = |folder: &str| Request::List { folder: folder.into(), after: None };
        match &self.phase {
            Phase::Roots => vec![list(layout::CHECKPOINTS)],
            Phase::Root(path) => vec![Request::Get { path: path.clone() }],
            Phase::Runs => {
                let manifest = |c: &Covered| layout::manifest(&c.lane, c.epoch);
                let manifests = self.base.checkpoint.lanes.iter().map(manifest);
                let paths = manifests.chain(self.runs().map(RunRef::path));
                paths.map(|path| Request::Get { path }).collect()
            }
            Phase::Live => {
                let paths = self.base.checkpoint.live.iter().map(RunRef::path);
                paths.map(|path| Request::Get { path }).collect()
            }
            Phase::Lanes => vec![Request::Folders { folder: layout::MANIFESTS.into() }],
            Phase::Upkeep => vec![self.after(layout::UPKEEP)],
            Phase::Others(lanes) => lanes.iter().map(|lane| self.after(lane)).collect(),
            Phase::Tail => {
                let next = self.tail.iter().take(MANIFESTS_AT_ONCE);
                next.map(|(lane, epoch)| Request::Get { path: layout::manifest(lane, *epoch) })
                    .collect()
            }
        }
    }

    /// Lists what a chain has after the base.
    fn after(&self, lane: &str) -> Request {
        let known = self.chains.get(lane).map(|chain| layout::manifest(lane, chain.epoch));
        Request::List { folder: format!("{}/{lane}", layout::MANIFESTS), after: known }
    }

    /// The phase after this one; `None` at the end.
    fn take(&mut self, answers: Vec<Answer>) -> Result<Option<Phase>, Error> {
        match self.phase.clone() {
            Phase::Roots => {
                self.roots = paths(answers);
                self.roots.sort_unstable();
                Ok(Some(self.older()))
            }
            Phase::Root(path) => Ok(Some(match answers.into_iter().next() {
                Some(Answer::Bytes(bytes)) => match Checkpoint::decode(&path, &bytes) {
                    Some(checkpoint) => {
                        self.base.checkpoint = checkpoint;
                        Phase::Runs
                    }
                    None => self.passed_over(&path),
                },
                _ => self.passed_over(&path),
            })),
            Phase::Runs => {
                let path = self.base.checkpoint.path();
                Ok(Some(match self.begin(answers) {
                    Some(()) => Phase::Upkeep,
                    None => self.passed_over(&path),
                }))
            }
            Phase::Upkeep => {
                self.upkeep = self.listed(&layout::UPKEEP.into(), answers.into_iter().next())?;
                let unread = self.beside == Beside::News && !self.base.checkpoint.live.is_empty();
                let is_wanted = unread && !self.upkeep.is_empty();
                Ok(Some(if is_wanted { Phase::Live } else { Phase::Lanes }))
            }
            Phase::Live => {
                let path = self.base.checkpoint.path();
                let runs = self.base.checkpoint.live.clone();
                Ok(Some(match self.fill(&runs, answers) {
                    Some(()) => Phase::Lanes,
                    None => self.passed_over(&path),
                }))
            }
            Phase::Lanes => {
                let folders = paths(answers);
                let lanes = folders.iter().filter_map(|path| path.rsplit('/').next());
                let lanes = lanes.filter(|lane| *lane != layout::UPKEEP);
                Ok(Some(Phase::Others(lanes.map(Into::into).collect())))
            }
            Phase::Others(lanes) => {
                for (lane, answer) in lanes.iter().zip(answers) {
                    let listed = self.listed(lane, Some(answer))?;
                    self.tail.extend(listed);
                }
                self.tail.extend(std::mem::take(&mut self.upkeep));
                Ok((!self.tail.is_empty()).then_some(Phase::Tail))
            }
            Phase::Tail => {
                for answer in answers {
                    let (lane, epoch) = self.tail.pop_front().expect("it was asked for");
                    self.add(&lane, epoch, answer)?;
                }
                Ok((!self.tail.is_empty()).then_some(Phase::Tail))
            }
        }
    }

    /// The next checkpoint to try, or none.
    fn older(&mut self) -> Phase {
        match self.roots.pop() {
            Some(path) => Phase::Root(path),
            None => Phase::Upkeep,
        }
    }

    fn passed_over(&mut self, path: &str) -> Phase {
        tracing::warn!(path, "a checkpoint of the lake cannot be used: reading on without it");
        (self.base, self.live) = (Base::default(), Self::nothing(self.beside));
        self.chains.clear();
        self.older()
    }

    /// Begins with the checkpoint; `None` when it is not whole or not of these chains.
    fn begin(&mut self, answers: Vec<Answer>) -> Option<()> {
        let mut answers = answers.into_iter();
        for (covered, answer) in self.base.checkpoint.lanes.iter().zip(answers.by_ref()) {
            let Answer::Bytes(bytes) = answer else { return None };
            if Checksum::of(&bytes) != covered.hash && !planted!(CheckpointOfOthers) {
                return None;
            }
            self.chains.insert(covered.lane.as_str().into(), Chain::after(covered));
        }
        self.live.begin_with_redriven(&self.base.checkpoint.redriven);
        let runs: Vec<RunRef> = self.runs().cloned().collect();
        self.fill(&runs, answers)
    }

    /// Begins with the files of these runs of the checkpoint; `None` when one is not whole.
    fn fill(&mut self, runs: &[RunRef], answers: impl IntoIterator<Item = Answer>) -> Option<()> {
        for ((n, run), answer) in runs.iter().enumerate().zip(answers) {
            let Answer::Bytes(bytes) = answer else { return None };
            for (place, listed) in decode_run(run, &bytes)? {
                match listed {
                    Listed::Live(live) if n < self.base.checkpoint.live.len() => {
                        self.base.places.push((n, place));
                        self.live.begin_with(live);
                    }
                    Listed::Former(former) => self.live.begin_with_former(former),
                    Listed::Live(_) => return None,
                }
            }
        }
        Some(())
    }

    /// The epochs of a chain after the base.
    fn listed(
        &self,
        lane: &Arc<str>,
        answer: Option<Answer>,
    ) -> Result<Vec<(Arc<str>, u64)>, Error> {
        let known = self.chains.get(lane).map_or(0, |chain| chain.epoch);
        let paths = paths(answer.into_iter().collect());
        let manifests = paths.iter().filter_map(|path| layout::parse_manifest(path));
        let mut epochs: Vec<u64> =
            manifests.map(|(_, epoch)| epoch).filter(|e| *e > known).collect();
        epochs.sort_unstable();
        if let Some((missing, _)) = (known + 1..).zip(&epochs).find(|(want, have)| want != *have) {
            let what = format!("the manifest {} is missing", layout::manifest(lane, missing));
            return Err(Error::new(Kind::Damaged, what));
        }
        Ok(epochs.into_iter().map(|epoch| (lane.clone(), epoch)).collect())
    }

    fn add(&mut self, lane: &Arc<str>, epoch: u64, answer: Answer) -> Result<(), Error> {
        let Answer::Bytes(bytes) = answer else {
            let what = format!("the manifest {} is missing", layout::manifest(lane, epoch));
            return Err(Error::new(Kind::Damaged, what));
        };
        let chain = self.chains.entry(lane.clone()).or_default();
        self.live.add(lane, chain.link(lane, &bytes)?)?;
        self.read += 1;
        Ok(())
    }

    fn finish(&mut self) -> Box<Looked> {
        let base = std::mem::take(&mut self.base);
        let live = std::mem::take(&mut self.live);
        let still = live.still(base.places.len());
        let lanes = self.chains.iter().filter_map(|(lane, chain)| chain.head(lane)).collect();
        let (files, former, redriven) = live.finish();
        let snapshot = Snapshot { lanes, files, former, redriven };
        Box::new(Looked { snapshot, base, still, read: self.read })
    }
}

fn paths(answers: Vec<Answer>) -> Vec<String> {
    let paths = answers.into_iter().filter_map(|answer| match answer {
        Answer::Paths(paths) => Some(paths),
        _ => None,
    });
    paths.flatten().collect()
}
