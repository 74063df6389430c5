//! Processes beside the writer: one that keeps the lake in order, one that reads it.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::super::checkpoint::write::Write;
use super::super::commit::{Commit, Contents, Lane};
use super::super::encode::Encoded;
use super::super::error::Kind;
use super::super::layout;
use super::super::live::{Former, LiveFile};
use super::super::manifest::{Checksum, DataFile, Digest, Removed};
use super::super::protocol::{Answer, Request, Step};
use super::super::recovery::Recovery;
use super::super::snapshot::{Beside, Look, Looked, Snapshot};
use super::super::upkeep::collect::{Useless, Verdict};
use super::super::upkeep::plan;
use super::super::upkeep::replace::{Merged, Next, Replace};
use super::super::upkeep::retention;
use super::super::upkeep::{CompactionOptions, RetentionOptions};
use super::Random;
use super::writer::{Move, Told, identity, numbers};

/// How long replaced files stay, in milliseconds.
const KEEP_MS: u64 = 600_000;
/// How long a question may take.
const READ_MS_MAX: u64 = KEEP_MS / 2;

/// An event is repeated after so many others at most: a repetition may be repeated, seldom often.
const REPEATED_MAX: i64 = 60;

/// One move of somebody who looks; `None` when the store did not answer: whoever looks looks again.
fn see(look: &mut Look, answers: Vec<Answer>) -> Step<Option<Box<Looked>>> {
    match look.step(answers) {
        Step::Do(requests) => Step::Do(requests),
        Step::Done(Ok(looked)) => Step::Done(Some(looked)),
        Step::Done(Err(error)) => {
            assert_eq!(error.kind(), Kind::Store, "{error}");
            Step::Done(None)
        }
    }
}

enum Keeping {
    Opening(Box<Recovery>),
    Looking(Look),
    /// What is new since the last checkpoint?
    Covering(Look),
    /// The next checkpoint is written.
    Checkpointing(Box<Write>),
    Replacing(Box<Replace>),
    /// The inputs are read, job by job.
    Reading(Box<Replace>),
    /// Files are taken out of the lake.
    Expiring(Box<Commit>),
    /// The new files are put.
    Putting(Box<Replace>, Vec<Option<Merged>>),
    /// What says that files are useless becomes durable.
    Syncing(Box<Useless>),
    /// The objects are listed.
    Listing(Box<Useless>),
    Collecting,
}

/// What [`super::super::upkeep::Upkeep`] does.
pub(super) struct Keeper {
    doing: Keeping,
    lane: Option<Lane>,
    attempts: u64,
    n: u64,
}

impl Keeper {
    pub(super) fn new(n: u64) -> Self {
        let recovery = Recovery::new(layout::UPKEEP, &format!("{n:08x}"), 0);
        Self { doing: Keeping::Opening(Box::new(recovery)), lane: None, attempts: 0, n }
    }

    pub(super) fn step(&mut self, answers: Vec<Answer>, now: i64, random: &mut Random) -> Move {
        let again = match random.percent(25) {
            true => Keeping::Covering(Look::new(Beside::News)),
            false => Keeping::Looking(Look::new(Beside::Former)),
        };
        match std::mem::replace(&mut self.doing, again) {
            Keeping::Opening(recovery) => self.open(recovery, answers),
            Keeping::Covering(look) => self.cover(look, answers),
            Keeping::Checkpointing(write) => self.checkpoint(write, answers),
            Keeping::Looking(mut look) => match see(&mut look, answers) {
                Step::Do(requests) => {
                    self.doing = Keeping::Looking(look);
                    Move::Do(requests)
                }
                Step::Done(None) => Move::Sleep(1_000),
                Step::Done(Some(looked)) => self.decide(&looked.snapshot, now, random),
            },
            Keeping::Replacing(replace) => self.replace(replace, answers),
            Keeping::Expiring(mut commit) => match commit.step(answers) {
                Step::Do(requests) => {
                    self.doing = Keeping::Expiring(commit);
                    Move::Do(requests)
                }
                Step::Done(Ok(())) => {
                    let (manifest, hash) = (&commit.sealed.manifest, commit.sealed.hash);
                    self.lane.as_mut().expect("it is open").committed(manifest, hash);
                    Move::Sleep(60_000)
                }
                Step::Done(Err(error)) => {
                    assert!(matches!(error.kind(), Kind::Store | Kind::Fenced), "{error}");
                    Move::End
                }
            },
            Keeping::Reading(replace) => self.read(replace, answers, now),
            Keeping::Putting(mut replace, built) => {
                let failed = answers.iter().any(|a| matches!(a, Answer::Failed(_)));
                let failure = || super::super::Error::new(Kind::Store, "a file was not stored");
                replace.built(if failed { Err(failure()) } else { Ok(built) }, now);
                self.doing = Keeping::Replacing(replace);
                Move::Sleep(0)
            }
            Keeping::Syncing(useless) => {
                if answers.iter().any(|a| matches!(a, Answer::Failed(_))) {
                    return Move::Sleep(1_000);
                }
                self.doing = Keeping::Listing(useless);
                Move::Do(vec![Request::List { folder: "t".into(), after: None }])
            }
            Keeping::Listing(useless) => {
                let Some(Answer::Paths(paths)) = answers.into_iter().next() else {
                    return Move::Sleep(1_000);
                };
                let judged = paths.into_iter().filter(|path| {
                    matches!(useless.judge(path, true), Verdict::Replaced | Verdict::Stray)
                });
                self.doing = Keeping::Collecting;
                Move::Do(judged.map(|path| Request::Delete { path }).collect())
            }
            Keeping::Collecting => Move::Sleep(random.below(300_000) as u64),
        }
    }

    fn open(&mut self, mut recovery: Box<Recovery>, answers: Vec<Answer>) -> Move {
        match recovery.step(answers) {
            Step::Do(requests) => {
                self.doing = Keeping::Opening(recovery);
                Move::Do(requests)
            }
            Step::Done(Ok((lane, _))) => {
                self.lane = Some(lane);
                Move::Sleep(0)
            }
            Step::Done(Err(error)) => {
                assert_ne!(error.kind(), Kind::Damaged, "{error}");
                Move::End
            }
        }
    }

    fn cover(&mut self, mut look: Look, answers: Vec<Answer>) -> Move {
        match see(&mut look, answers) {
            Step::Do(requests) => {
                self.doing = Keeping::Covering(look);
                Move::Do(requests)
            }
            Step::Done(Some(looked)) if looked.read > 0 => {
                self.doing = Keeping::Checkpointing(Box::new(Write::new(*looked)));
                Move::Sleep(0)
            }
            Step::Done(_) => Move::Sleep(1_000),
        }
    }

    fn checkpoint(&mut self, mut write: Box<Write>, answers: Vec<Answer>) -> Move {
        match write.step(answers) {
            Step::Do(requests) => {
                self.doing = Keeping::Checkpointing(write);
                Move::Do(requests)
            }
            // One that is damaged is passed over.
            Step::Done(_) => Move::Sleep(1_000),
        }
    }

    /// To make one of many, or to remove what nobody needs.
    fn decide(&mut self, snapshot: &Snapshot, now: i64, random: &mut Random) -> Move {
        if random.percent(40) {
            let before = now - KEEP_MS as i64 * 1_000;
            let useless = Useless::of(snapshot, before);
            let requests = useless.before_removing();
            self.doing = Keeping::Syncing(Box::new(useless));
            return Move::Do(requests);
        }
        if random.percent(25) && !snapshot.files.is_empty() {
            return self.expire(snapshot, now, random);
        }
        let options = CompactionOptions::default();
        let mut jobs = plan::jobs(&snapshot.files, &options, true, now);
        for job in &mut jobs {
            job.inputs.truncate(2 + random.below(job.inputs.len() - 1));
        }
        if jobs.is_empty() {
            return Move::Sleep(random.below(300_000) as u64);
        }
        let lane = self.lane.as_mut().expect("it is open");
        self.attempts += 1;
        lane.writer = format!("{:04x}{:04x}", self.n, self.attempts);
        self.doing = Keeping::Replacing(Box::new(Replace::new(lane, jobs)));
        Move::Sleep(0)
    }

    /// The oldest go because the lake is too large, except those whose events can be repeated still.
    fn expire(&mut self, snapshot: &Snapshot, now: i64, random: &mut Random) -> Move {
        let newest = snapshot.files.iter().map(|live| live.file.max_time).max().unwrap_or(0);
        let is_old = |live: &&LiveFile| live.file.max_time < newest - REPEATED_MAX;
        let old: Vec<LiveFile> = snapshot.files.iter().filter(is_old).cloned().collect();
        let bytes: u64 = old.iter().map(|live| live.file.bytes).sum();
        let bytes_max = Some(random.below(bytes as usize + 1) as u64);
        let options = RetentionOptions { bytes_max, ..RetentionOptions::default() };
        let gone = retention::expired(&old, &options, i64::MAX, now);
        if gone.is_empty() {
            return Move::Sleep(60_000);
        }
        let path = |live: &LiveFile| live.file.path.clone();
        let removed = gone.iter().map(|(live, why)| Removed { path: path(live), why: *why });
        let contents = Contents { removed: removed.collect(), ..Contents::default() };
        let lane = self.lane.as_mut().expect("it is open");
        self.attempts += 1;
        lane.writer = format!("{:04x}{:04x}", self.n, self.attempts);
        let sealed = lane.seal(contents, Vec::new(), now);
        self.doing = Keeping::Expiring(Box::new(Commit::new(sealed)));
        Move::Sleep(0)
    }

    fn replace(&mut self, mut replace: Box<Replace>, answers: Vec<Answer>) -> Move {
        match replace.step(answers) {
            Next::Do(requests) => {
                self.doing = Keeping::Replacing(replace);
                Move::Do(requests)
            }
            Next::Build => {
                let inputs = replace.jobs().iter().flat_map(|(job, _)| &job.inputs);
                let get = |live: &LiveFile| Request::Get { path: live.file.path.clone() };
                let gets = inputs.map(get).collect();
                self.doing = Keeping::Reading(replace);
                Move::Do(gets)
            }
            Next::Done(Ok(sealed)) => {
                if let Some(sealed) = sealed {
                    let lane = self.lane.as_mut().expect("it is open");
                    lane.committed(&sealed.manifest, sealed.hash);
                }
                Move::Sleep(60_000)
            }
            Next::Done(Err(error)) => {
                assert!(matches!(error.kind(), Kind::Store | Kind::Fenced), "{error}");
                Move::End
            }
        }
    }

    fn read(&mut self, mut replace: Box<Replace>, answers: Vec<Answer>, now: i64) -> Move {
        let mut answers = answers.into_iter();
        let (mut puts, mut built) = (Vec::new(), Vec::new());
        for (job, head) in replace.jobs() {
            let answers: Vec<Answer> = answers.by_ref().take(job.inputs.len()).collect();
            if answers.iter().any(|a| matches!(a, Answer::Failed(_))) {
                let error = super::super::Error::new(Kind::Store, "a file cannot be read");
                replace.built(Err(error), now);
                self.doing = Keeping::Replacing(replace);
                return Move::Sleep(0);
            }
            let mut ids = Vec::new();
            let mut whole = true;
            for answer in answers {
                match answer {
                    Answer::Bytes(bytes) => ids.extend(numbers(&bytes)),
                    _ => whole = false,
                }
            }
            // Another one was faster and its replaced files are gone already.
            built.push(whole.then(|| {
                ids.sort_unstable();
                let text: Vec<String> = ids.iter().map(u64::to_string).collect();
                let bytes = Bytes::from(text.join(" "));
                let times = job.times();
                let file = DataFile {
                    path: head.path.clone(),
                    rows: ids.len() as u64,
                    min_time: times.min_time,
                    max_time: times.max_time,
                    bytes: bytes.len() as u64,
                    checksum: Checksum::of(&bytes),
                    ..job.inputs[0].file.clone()
                };
                puts.push(Request::Put { path: head.path.clone(), bytes, if_absent: true });
                let (columns, bytes) = (job.columns.clone(), Bytes::new());
                let encoded = Encoded { file, columns, bytes };
                Merged { encoded, rows: Digest::default(), erased: 0 }
            }));
        }
        self.doing = Keeping::Putting(replace, built);
        Move::Do(puts)
    }
}

enum Asking {
    Looking(Box<Look>),
    /// What was found, the files to read, and whether retention has taken some out.
    Reading(BTreeSet<u64>, Vec<LiveFile>, bool),
}

/// Somebody with a question: sees the lake of one moment, and finds every file of it.
pub(super) struct Reader {
    doing: Asking,
    began: u64,
    told: u64,
}

impl Reader {
    pub(super) fn new(began: u64, told: &Told) -> Self {
        Self { doing: Asking::Looking(Box::new(Look::new(Beside::Former))), began, told: told.0 }
    }

    pub(super) fn step(&mut self, answers: Vec<Answer>, now: u64) -> Move {
        if now - self.began > READ_MS_MAX || answers.iter().any(|a| matches!(a, Answer::Failed(_)))
        {
            return Move::End;
        }
        match &mut self.doing {
            Asking::Looking(look) => match see(look, answers) {
                Step::Do(requests) => Move::Do(requests),
                Step::Done(None) => Move::End,
                Step::Done(Some(looked)) => {
                    let snapshot = looked.snapshot;
                    let removed = |f: &Former| matches!(f.end, super::super::End::Removed(_));
                    let expired = snapshot.former.iter().any(removed);
                    self.doing = Asking::Reading(BTreeSet::new(), snapshot.files, expired);
                    // It thinks about its plan.
                    Move::Sleep(60_000)
                }
            },
            Asking::Reading(found, files, expired) => {
                for answer in answers {
                    let Answer::Bytes(bytes) = answer else { panic!("a reader misses a file") };
                    for id in numbers(&bytes) {
                        assert!(found.insert(id), "a reader sees {id} twice");
                    }
                }
                let rest = files.split_off(files.len().min(3));
                let now = std::mem::replace(files, rest);
                if now.is_empty() {
                    if !*expired {
                        is_a_moment(found, self.told);
                    }
                    return Move::End;
                }
                Move::Do(now.into_iter().map(|l| Request::Get { path: l.file.path }).collect())
            }
        }
    }
}

/// What was found is everything up to some record, each event once, and not less than was told before.
fn is_a_moment(found: &BTreeSet<u64>, told: u64) {
    let last = found.last().copied().unwrap_or(0).max(told);
    let mut seen = BTreeSet::new();
    let new = (1..=last).filter(|id| seen.insert(identity(*id)));
    assert!(new.eq(found.iter().copied()), "a reader sees half of it");
}
