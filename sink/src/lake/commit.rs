//! One epoch becomes part of the lake: intent, files, manifest. A state machine without I/O.
//!
//! ```text
//! Intent ──► Files ──► Manifest ──done──► Tidy ──► committed
//!                         │  ▲
//!            exists, or   ▼  │ missing: the put did not happen, put the same bytes again
//!            nobody knows Look ──ours──► Tidy ──► committed
//!                              └─another's──► Tidy (removes our files) ──► fenced
//! ```
//!
//! The intent lists the files before they are written, so that recovery knows what a crash can have
//! left without listing the lake. An answer that did not come is never taken for a no: only *reading*
//! the manifest decides, and until it has decided nothing is deleted. A state that the epoch leaves
//! behind is one more file; the one before it goes when the manifest is there. The names of files hold the
//! writer's identity, so that doing a put again can only write the same bytes.

use bytes::Bytes;
use event::Uid;
use serde::{Deserialize, Serialize};

use super::encode::Encoded;
use super::error::{Error, Kind};
use super::hold::{Partition, Taken};
use super::layout;
use super::manifest::{
    Checksum, ColumnSpec, Manifest, Removed, Replacement, SpanEntry, StateFile, VERSION,
    VERSION_MOVING, VERSION_REPLACING,
};
use super::part::{self, Positions};
use super::protocol::{ATTEMPTS_MAX, Answer, Failure, Request, Step, pause};

/// A lane as its writer knows it.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub lane: String,
    pub writer: String,
    /// The newest epoch, 0 when there is none.
    pub head: u64,
    /// Of the newest manifest's bytes.
    pub hash: Option<Checksum>,
    pub positions: Positions,
    /// The state that the newest manifest names.
    pub state: Option<StateFile>,
}

/// The files an epoch is about to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    pub epoch: u64,
    pub writer: String,
    pub files: Vec<String>,
}

impl Intent {
    /// Says it before any of its files is written.
    pub(super) fn announce(&self, lane: &str) -> Request {
        let path = layout::intent(lane, self.epoch, &self.writer);
        let bytes = serde_json::to_vec(self).expect("plain text and numbers");
        Request::Put { path, bytes: bytes.into(), if_absent: false }
    }
}

/// An epoch with everything decided: its files and the bytes of its manifest.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub manifest: Manifest,
    pub bytes: Bytes,
    pub hash: Checksum,
    pub files: Vec<(String, Bytes)>,
    /// A state that this epoch replaces.
    pub superseded: Option<String>,
}

/// What an epoch holds beside files.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub spans: Vec<SpanEntry>,
    pub alert_ids: Vec<Uid>,
    pub redriven: Vec<Uid>,
    pub state: StateChange,
    pub replaced: Vec<Replacement>,
    pub erasure: Option<String>,
    pub removed: Vec<Removed>,
    pub claimed: Vec<Partition>,
    pub taken: Vec<Taken>,
}

/// What an epoch does to the lane's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StateChange {
    /// It is what it was.
    #[default]
    Kept,
    /// There is none any more.
    Dropped,
    Replaced(Bytes),
}

impl Lane {
    /// Decides the next epoch. `now` in microseconds.
    pub(super) fn seal(&self, contents: Contents, encoded: Vec<Encoded>, now: i64) -> Sealed {
        let epoch = self.head + 1;
        let mut schemas: Vec<Vec<ColumnSpec>> = Vec::new();
        let (mut files, mut payload) = (Vec::new(), Vec::new());
        for Encoded { mut file, columns, bytes } in encoded {
            let known = schemas.iter().position(|s| s.as_slice() == &*columns);
            file.schema = known.unwrap_or_else(|| {
                schemas.push(columns.to_vec());
                schemas.len() - 1
            });
            payload.push((file.path.clone(), bytes));
            files.push(file);
        }
        let state = match contents.state {
            StateChange::Kept => self.state.clone(),
            StateChange::Dropped => None,
            StateChange::Replaced(bytes) => {
                let path = layout::state(&self.lane, epoch, &self.writer);
                let (len, checksum) = (bytes.len() as u64, Checksum::of(&bytes));
                payload.push((path.clone(), bytes));
                Some(StateFile { path, bytes: len, checksum })
            }
        };
        let superseded = self.state.as_ref().filter(|old| Some(*old) != state.as_ref());
        let superseded = superseded.map(|old| old.path.clone());
        let takes_away = !contents.replaced.is_empty() || !contents.removed.is_empty();
        let moves = !contents.claimed.is_empty() || !contents.taken.is_empty();
        let mut manifest = Manifest {
            version: if takes_away { VERSION_REPLACING } else { VERSION },
            lane: self.lane.clone(),
            epoch,
            previous: self.hash,
            created_at: now,
            writer: self.writer.clone(),
            program: env!("CARGO_PKG_VERSION").into(),
            spans: contents.spans,
            files,
            schemas,
            alert_ids: contents.alert_ids,
            redriven: contents.redriven,
            positions: None,
            state,
            replaced: contents.replaced,
            erasure: contents.erasure,
            removed: contents.removed,
            claimed: contents.claimed,
            taken: contents.taken,
        };
        if Manifest::carries_positions(epoch) {
            let mut positions = self.positions.clone();
            part::follow(&mut positions, &manifest);
            manifest.positions = Some(part::list(&positions));
        }
        if moves || manifest.positions.iter().flatten().any(|position| !position.hold.is_own()) {
            manifest.version = VERSION_MOVING;
        }
        let (bytes, hash) = manifest.encode();
        Sealed { manifest, bytes: bytes.into(), hash, files: payload, superseded }
    }

    /// Moves on past an epoch that is in the lake.
    pub(super) fn committed(&mut self, manifest: &Manifest, hash: Checksum) {
        self.head = manifest.epoch;
        self.hash = Some(hash);
        if !(planted!(StateOfAnotherEpoch) && self.state.is_some()) {
            self.state = manifest.state.clone();
        }
        part::follow(&mut self.positions, manifest);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Intent,
    Files,
    Manifest,
    Look,
    Tidy,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The next step sends the requests of this phase.
    Send(Phase),
    /// The next step brings the answers to them.
    Sent(Phase),
}

/// The phase that follows one that went well.
fn after(phase: Phase) -> Phase {
    match phase {
        Phase::Intent if planted!(ManifestBeforeFiles) => Phase::Manifest,
        Phase::Manifest if planted!(ManifestBeforeFiles) => Phase::Files,
        Phase::Files if planted!(ManifestBeforeFiles) => Phase::Tidy,
        Phase::Intent => Phase::Files,
        Phase::Files => Phase::Manifest,
        Phase::Manifest | Phase::Look | Phase::Tidy => Phase::Tidy,
    }
}

/// The machine. [`Step::Done`] with `Err` of [`Kind::Store`] can be stepped again: it goes on where it
/// was.
#[derive(Debug)]
pub(super) struct Commit {
    pub sealed: Sealed,
    state: State,
    attempts: u32,
    /// Indices of files that are not known to be stored.
    missing: Vec<usize>,
    fenced: bool,
}

impl Commit {
    pub(super) fn new(sealed: Sealed) -> Self {
        let missing = (0..sealed.files.len()).collect();
        let first = if planted!(NoIntent) { Phase::Files } else { Phase::Intent };
        Self { sealed, state: State::Send(first), attempts: 0, missing, fenced: false }
    }

    /// Of an epoch whose intent and files are stored already: only the manifest is left. They are
    /// removed when it is fenced.
    pub(super) fn of_stored(sealed: Sealed) -> Self {
        let (state, missing) = (State::Send(Phase::Manifest), Vec::new());
        Self { sealed, state, attempts: 0, missing, fenced: false }
    }

    /// One move; `answers` to the requests of the step before.
    pub(super) fn step(&mut self, answers: Vec<Answer>) -> Step<Result<(), Error>> {
        let phase = match self.state {
            State::Send(phase) => return self.send(phase),
            State::Sent(phase) => phase,
        };
        match phase {
            Phase::Intent => match answers.into_iter().next() {
                Some(Answer::Failed(failure)) => self.again(Phase::Intent, failure),
                _ => self.send(after(Phase::Intent)),
            },
            Phase::Files => self.files_answered(answers),
            Phase::Manifest => match answers.into_iter().next() {
                Some(Answer::Done) => self.send(after(Phase::Manifest)),
                Some(Answer::Failed(_)) if planted!(SilenceIsYes) => self.send(Phase::Tidy),
                Some(Answer::Failed(_)) if planted!(SilenceIsNo) => {
                    self.fenced = true;
                    self.send(Phase::Tidy)
                }
                Some(Answer::Failed(failure)) => self.again(Phase::Look, failure),
                _ => self.send(Phase::Look),
            },
            Phase::Look => self.looked(answers),
            Phase::Tidy => Step::Done(self.outcome()),
        }
    }

    fn send(&mut self, phase: Phase) -> Step<Result<(), Error>> {
        self.state = State::Sent(phase);
        let Sealed { manifest, bytes, files, superseded, .. } = &self.sealed;
        let (epoch, lane, writer) = (manifest.epoch, &manifest.lane, &manifest.writer);
        let intent = layout::intent(lane, epoch, writer);
        let path = layout::manifest(lane, epoch);
        let put = |path, bytes, if_absent| Request::Put { path, bytes, if_absent };
        Step::Do(match phase {
            Phase::Intent => {
                let files = files.iter().map(|(path, _)| path.clone()).collect();
                vec![Intent { epoch, writer: writer.clone(), files }.announce(lane)]
            }
            Phase::Files => {
                let early = superseded.iter().filter(|_| planted!(StateRemovedEarly));
                let early = early.map(|path| Request::Delete { path: path.clone() });
                let missing = self.missing.iter().map(|&i| &files[i]);
                let puts = missing.map(|(path, bytes)| put(path.clone(), bytes.clone(), true));
                puts.chain(early).collect()
            }
            Phase::Manifest => vec![put(path, bytes.clone(), !planted!(ManifestReplaces))],
            Phase::Look => vec![Request::Get { path }],
            Phase::Tidy => {
                let ours = files.iter().map(|(path, _)| path.clone()).filter(|_| self.fenced);
                let old = superseded.clone().filter(|_| !self.fenced);
                // The intent goes last in the order of the list, but nothing depends on it.
                ours.chain(old).chain([intent]).map(|path| Request::Delete { path }).collect()
            }
        })
    }

    fn files_answered(&mut self, answers: Vec<Answer>) -> Step<Result<(), Error>> {
        let mut failed = None;
        let sent = std::mem::take(&mut self.missing);
        for (file, answer) in sent.into_iter().zip(answers) {
            if let (Answer::Failed(failure), false) = (answer, planted!(FileFailureIgnored)) {
                self.missing.push(file);
                failed.get_or_insert(failure);
            }
        }
        match failed {
            Some(failure) => self.again(Phase::Files, failure),
            None if planted!(AcknowledgeBeforeManifest) => Step::Done(Ok(())),
            None => self.send(after(Phase::Files)),
        }
    }

    fn looked(&mut self, answers: Vec<Answer>) -> Step<Result<(), Error>> {
        match answers.into_iter().next() {
            Some(Answer::Bytes(bytes)) => {
                self.fenced = bytes != self.sealed.bytes && !planted!(FenceIgnored);
                self.send(Phase::Tidy)
            }
            Some(Answer::Failed(failure)) => self.again(Phase::Look, failure),
            _ => self.again(Phase::Manifest, "the manifest was not written".into()),
        }
    }

    /// Goes to a phase after a pause, or leaves it to the caller to come back.
    fn again(&mut self, phase: Phase, failure: Failure) -> Step<Result<(), Error>> {
        self.state = State::Send(phase);
        self.attempts += 1;
        if self.attempts < ATTEMPTS_MAX {
            return pause(self.attempts);
        }
        self.attempts = 0;
        let Manifest { lane, epoch, .. } = &self.sealed.manifest;
        let what = format!("epoch {epoch} of the lane {lane} could not be written to the lake");
        Step::Done(Err(Error::caused(Kind::Store, what, failure)))
    }

    fn outcome(&self) -> Result<(), Error> {
        let Manifest { lane, epoch, .. } = &self.sealed.manifest;
        if !self.fenced {
            return Ok(());
        }
        let what = format!(
            "another process wrote epoch {epoch} of the lane {lane}: two processes must not write \
             the same lane of a lake"
        );
        Err(Error::new(Kind::Fenced, what))
    }
}
