//! One epoch of upkeep. A state machine without I/O; the files are built between two of its steps.
//!
//! ```text
//! Announce ──► Building ──► Manifest … as in `commit` ──► committed, or fenced and our files removed
//!                 │ failed
//!                 └──► Abandon (removes our files, then the intent): the manifest was never sent
//! ```

use bytes::Bytes;

use super::super::commit::{Commit, Contents, Intent, Lane, Sealed};
use super::super::encode::{Encoded, FileHead};
use super::super::error::{Error, Kind};
use super::super::layout;
use super::super::manifest::{Digest, Replacement};
use super::super::plan::Namer;
use super::super::protocol::{ATTEMPTS_MAX, Answer, Request, Step, pause_before};
use super::plan::Job;

/// A new file, which is in the store, and the sum of its rows.
#[derive(Clone, Debug)]
pub(in crate::lake) struct Merged {
    /// Without its bytes.
    pub encoded: Encoded,
    pub rows: Digest,
    /// In which a person was erased.
    pub erased: u64,
}

/// What the machine wants.
#[derive(Debug)]
pub(in crate::lake) enum Next {
    /// As [`Step::Do`].
    Do(Vec<Request>),
    /// Write the files of [`Replace::jobs`], and say what came of it with [`Replace::built`].
    Build,
    /// `None`: nothing could be replaced. After [`Kind::Store`] nobody may know whether it was: the next
    /// start of the lane finds out.
    Done(Result<Option<Box<Sealed>>, Error>),
}

#[derive(Debug)]
enum State {
    Announce,
    Announced,
    Building,
    Committing(Box<Commit>),
    Abandon(Option<Error>),
    /// The files are being removed, and then the intent that names them.
    Abandoned(Option<Error>),
    Forgotten(Option<Error>),
}

/// The machine.
#[derive(Debug)]
pub(in crate::lake) struct Replace {
    lane: Lane,
    jobs: Vec<(Job, FileHead)>,
    intent: Intent,
    state: State,
    attempts: u32,
}

impl Replace {
    /// The next epoch of the lane. Its writer's name must be new, also after a failure: what an earlier
    /// attempt has sent may still arrive.
    pub(in crate::lake) fn new(lane: &Lane, jobs: Vec<Job>) -> Self {
        let epoch = lane.head + 1;
        let mut namer = Namer::new(layout::UPKEEP, epoch, &lane.writer);
        let mut head = |job: &Job| {
            let p = &job.partition;
            namer.head(&p.table, p.kind, p.hour, job.columns.clone())
        };
        let jobs: Vec<_> = jobs.into_iter().map(|job| (head(&job), job)).collect();
        let jobs: Vec<_> = jobs.into_iter().map(|(head, job)| (job, head)).collect();
        let files = jobs.iter().map(|(_, head)| head.path.clone()).collect();
        let intent = Intent { epoch, writer: lane.writer.clone(), files };
        let state = if planted!(UpkeepUnannounced) { State::Building } else { State::Announce };
        Self { lane: lane.clone(), jobs, intent, state, attempts: 0 }
    }

    /// What is to be built.
    pub(in crate::lake) fn jobs(&self) -> &[(Job, FileHead)] {
        &self.jobs
    }

    /// The files, one for each job; `None` leaves a job's inputs as they are. `now` in microseconds.
    pub(in crate::lake) fn built(&mut self, built: Result<Vec<Option<Merged>>, Error>, now: i64) {
        let built = match built {
            Ok(built) => built,
            Err(error) => {
                self.state = State::Abandon(Some(error));
                return;
            }
        };
        let (mut encoded, mut replaced) = (Vec::new(), Vec::new());
        for ((job, _), merged) in self.jobs.iter().zip(built) {
            let Some(Merged { encoded: file, rows, erased }) = merged else { continue };
            let files = job.inputs.iter().map(|live| live.file.path.clone());
            let files = files.skip(usize::from(planted!(OneNotReplaced))).collect();
            let (by, rewrites) = (encoded.len(), job.rewrites);
            replaced.push(Replacement { by, rewrites, rows, erased, files });
            encoded.push(Encoded { bytes: Bytes::new(), ..file });
        }
        if encoded.is_empty() {
            self.state = State::Abandon(None);
            return;
        }
        let erasures = self.jobs.iter().filter_map(|(job, _)| job.erasure.as_ref());
        let erasure = erasures.map(|erasure| erasure.reason.clone()).next();
        let contents = Contents { replaced, erasure, ..Contents::default() };
        let commit = Commit::of_stored(self.lane.seal(contents, encoded, now));
        self.state = State::Committing(Box::new(commit));
    }

    /// One move; `answers` to the requests of the step before.
    pub(in crate::lake) fn step(&mut self, answers: Vec<Answer>) -> Next {
        match std::mem::replace(&mut self.state, State::Building) {
            State::Announce => {
                self.state = State::Announced;
                Next::Do(vec![self.intent.announce(layout::UPKEEP)])
            }
            State::Announced => match answers.into_iter().next() {
                Some(Answer::Failed(failure)) => {
                    self.state = State::Announce;
                    self.attempts += 1;
                    if self.attempts < ATTEMPTS_MAX {
                        return Next::Do(vec![pause_before(self.attempts)]);
                    }
                    let what = "the intent of upkeep cannot be written to the lake";
                    Next::Done(Err(Error::caused(Kind::Store, what, failure)))
                }
                _ => Next::Build,
            },
            State::Building => Next::Build,
            State::Committing(mut commit) => match commit.step(answers) {
                Step::Do(requests) => {
                    self.state = State::Committing(commit);
                    Next::Do(requests)
                }
                Step::Done(Ok(())) => Next::Done(Ok(Some(Box::new(commit.sealed)))),
                Step::Done(Err(error)) if planted!(UpkeepGivesUp) => {
                    self.state = State::Abandon(Some(error));
                    self.step(Vec::new())
                }
                Step::Done(Err(error)) => Next::Done(Err(error)),
            },
            State::Abandon(error) => {
                self.state = State::Abandoned(error);
                let paths = self.intent.files.iter().cloned();
                Next::Do(paths.map(|path| Request::Delete { path }).collect())
            }
            State::Abandoned(error) => {
                // While a file may be there its intent stays, so that the next start of the lane removes both.
                let failed = answers.iter().any(|answer| matches!(answer, Answer::Failed(_)));
                if failed && !planted!(AbandonedForgotten) {
                    return Next::Done(error.map_or(Ok(None), Err));
                }
                self.state = State::Forgotten(error);
                let Intent { epoch, writer, .. } = &self.intent;
                let path = layout::intent(layout::UPKEEP, *epoch, writer);
                Next::Do(vec![Request::Delete { path }])
            }
            State::Forgotten(error) => Next::Done(error.map_or(Ok(None), Err)),
        }
    }
}
