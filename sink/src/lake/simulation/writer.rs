//! A process, and the one that writes the lane: what `Lake` does, with the machines driven by hand.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use event::PartitionKey;

use super::super::commit::{Commit, Contents, Lane, Sealed, StateChange};
use super::super::encode::{Encoded, FileHead};
use super::super::error::{Error, Kind};
use super::super::layout::{self, Hour};
use super::super::manifest::{Checksum, ColumnKind, ColumnSpec, DataFile, FileKind, SpanEntry};
use super::super::plan::Namer;
use super::super::protocol::{Answer, Request, Step};
use super::super::recovery::{End, Recovery};
use super::super::window::{Recent, moved};
use super::Random;
use super::keeper::{Keeper, Reader};
use super::world::{Access, World};

enum Doing {
    Opening(Box<Recovery>),
    /// Which files hold the identities seen?
    Remembering(Box<Recent>),
    /// Where does upkeep end?
    Ending(Box<End>, Vec<DataFile>),
    /// What has it replaced?
    Following(Box<Recent>, Vec<DataFile>),
    /// Their contents come.
    Reading,
    Idle,
    Committing(Box<Commit>),
}

/// What a process does next.
pub(super) enum Move {
    Do(Vec<Request>),
    /// So many milliseconds.
    Sleep(u64),
    End,
}

enum Role {
    Writer(Box<Writer>),
    Keeper(Box<Keeper>),
    Reader(Box<Reader>),
}

/// One process.
pub(super) struct Process {
    pub(super) access: Access,
    role: Role,
    /// Requests under way; those done have their answer.
    pub(super) flying: Vec<(Request, Option<Answer>)>,
    /// Does nothing until then, in the milliseconds of the world.
    pub(super) sleeps_until: u64,
    /// Its clock against that of the world, in milliseconds.
    skew: i64,
}

struct Writer {
    doing: Doing,
    lane: Option<Lane>,
    /// Identities of stored events.
    seen: HashSet<u64>,
}

/// What a source has been told: up to here it may forget.
#[derive(Debug, Default)]
pub(super) struct Told(pub(super) u64);

impl Process {
    fn new(n: u64, role: Role, world: &World, random: &mut Random) -> Self {
        // Two clocks are less apart than what replaced files stay beyond the longest question.
        let skew = random.below(240_000) as i64 - 120_000;
        Self { access: world.access(n), role, flying: Vec::new(), sleeps_until: 0, skew }
    }

    pub(super) fn writer(n: u64, world: &World, random: &mut Random) -> Self {
        let recovery = Box::new(Recovery::new("main", &format!("{n:08x}"), 0));
        let doing = Doing::Opening(recovery);
        let writer = Writer { doing, lane: None, seen: HashSet::new() };
        Self::new(n, Role::Writer(Box::new(writer)), world, random)
    }

    pub(super) fn keeper(n: u64, world: &World, random: &mut Random) -> Self {
        Self::new(n, Role::Keeper(Box::new(Keeper::new(n))), world, random)
    }

    pub(super) fn reader(n: u64, world: &World, told: &Told, random: &mut Random) -> Self {
        let reader = Reader::new(world.now, told);
        Self::new(n, Role::Reader(Box::new(reader)), world, random)
    }

    pub(super) fn is_writer(&self) -> bool {
        matches!(self.role, Role::Writer(_))
    }

    /// Requests that have no answer yet.
    pub(super) fn waiting(&self) -> Vec<usize> {
        (0..self.flying.len()).filter(|&n| self.flying[n].1.is_none()).collect()
    }

    /// Goes on as far as it can without I/O. `false` when the process is finished.
    pub(super) fn go_on(&mut self, world: &World, random: &mut Random, told: &mut Told) -> bool {
        let flown: Vec<_> = self.flying.drain(..).collect();
        let mut answers = flown.into_iter().map(|(_, a)| a.expect("all are answered")).collect();
        let now = (world.now as i64 + self.skew) * 1_000;
        let next = loop {
            let next = match &mut self.role {
                Role::Writer(writer) => writer.step(answers, now, random, told),
                Role::Keeper(keeper) => keeper.step(answers, now, random),
                Role::Reader(reader) => reader.step(answers, world.now),
            };
            match next {
                Move::Do(requests) if requests.is_empty() => answers = Vec::new(),
                Move::Sleep(0) => answers = Vec::new(),
                next => break next,
            }
        };
        match next {
            Move::Do(requests) => {
                self.flying = requests.into_iter().map(|r| (r, None)).collect();
            }
            Move::Sleep(ms) => self.sleeps_until = world.now + ms,
            Move::End => return false,
        }
        true
    }
}

impl Writer {
    fn step(
        &mut self,
        answers: Vec<Answer>,
        now: i64,
        random: &mut Random,
        told: &mut Told,
    ) -> Move {
        match &mut self.doing {
            Doing::Opening(recovery) => match recovery.step(answers) {
                Step::Do(requests) => return Move::Do(requests),
                Step::Done(Ok((lane, _))) => {
                    // A source begins there and forgets what is before.
                    told.0 = told.0.max(position(&lane));
                    let recent = Recent::new("main", lane.head, i64::MIN, u64::MAX);
                    self.doing = Doing::Remembering(Box::new(recent));
                    self.lane = Some(lane);
                }
                Step::Done(Err(error)) => return ended(&error),
            },
            Doing::Remembering(_) | Doing::Ending(..) | Doing::Following(..) | Doing::Reading => {
                return self.remember(answers);
            }
            Doing::Idle => {
                let lane = self.lane.as_ref().expect("it is open");
                let sealed = epoch(lane, &mut self.seen, now, random);
                self.doing = Doing::Committing(Box::new(Commit::new(sealed)));
            }
            Doing::Committing(commit) => match commit.step(answers) {
                Step::Do(requests) => return Move::Do(requests),
                Step::Done(Ok(())) => {
                    let (manifest, hash) = (&commit.sealed.manifest, commit.sealed.hash);
                    let lane = self.lane.as_mut().expect("it is open");
                    lane.committed(manifest, hash);
                    told.0 = told.0.max(position(lane));
                    self.doing = Doing::Idle;
                    return Move::Sleep(random.below(30_000) as u64);
                }
                Step::Done(Err(error)) if error.kind() == Kind::Store => {
                    return Move::Sleep(1_000);
                }
                Step::Done(Err(error)) => {
                    assert_eq!(error.kind(), Kind::Fenced, "{error}");
                    return Move::End;
                }
            },
        }
        Move::Sleep(0)
    }

    /// The identities of stored events, from the files that have them now.
    fn remember(&mut self, answers: Vec<Answer>) -> Move {
        match &mut self.doing {
            Doing::Remembering(recent) => match recent.step(answers) {
                Step::Do(requests) => return Move::Do(requests),
                Step::Done(Ok((files, _))) => {
                    self.doing = Doing::Ending(Box::new(End::new(layout::UPKEEP)), files);
                }
                Step::Done(Err(error)) => return ended(&error),
            },
            Doing::Ending(end, files) => match end.step(answers) {
                Step::Do(requests) => return Move::Do(requests),
                Step::Done(Ok(head)) => {
                    let recent = Recent::new(layout::UPKEEP, head, i64::MIN, u64::MAX);
                    let files = std::mem::take(files);
                    self.doing = Doing::Following(Box::new(recent), files);
                }
                Step::Done(Err(error)) => return ended(&error),
            },
            Doing::Following(recent, files) => match recent.step(answers) {
                Step::Do(requests) => return Move::Do(requests),
                Step::Done(Ok((_, replaced))) => {
                    let files = moved(std::mem::take(files), &replaced);
                    self.doing = Doing::Reading;
                    let get = |file: DataFile| Request::Get { path: file.path };
                    return Move::Do(files.into_iter().map(get).collect());
                }
                Step::Done(Err(error)) => return ended(&error),
            },
            Doing::Reading => {
                for answer in answers {
                    match answer {
                        Answer::Bytes(bytes) => self.seen.extend(numbers(&bytes).map(identity)),
                        Answer::Failed(_) => return Move::End,
                        _ => panic!("a file of the lake is missing"),
                    }
                }
                self.doing = Doing::Idle;
            }
            _ => unreachable!("it is doing something else"),
        }
        Move::Sleep(0)
    }
}

/// A writer that could not open the lane is started again by somebody.
fn ended(error: &Error) -> Move {
    assert_ne!(error.kind(), Kind::Damaged, "{error}");
    Move::End
}

pub(super) fn key() -> PartitionKey {
    PartitionKey { source: "s".into(), partition: "p".into() }
}

fn position(lane: &Lane) -> u64 {
    lane.positions.get(&key()).map_or(0, |resume| resume.upto)
}

/// How far back the provider repeats itself.
const NEAR: usize = 6;

/// The identity of record `n`: the provider gives some events a second time.
pub(super) fn identity(n: u64) -> u64 {
    let mut random = Random(n);
    match n {
        2.. if random.percent(15) => {
            identity(n - 1 - random.below((n as usize - 1).min(NEAR)) as u64)
        }
        _ => n,
    }
}

pub(super) fn numbers(bytes: &Bytes) -> impl Iterator<Item = u64> {
    let text = std::str::from_utf8(bytes).expect("digits");
    let all: Vec<u64> = text.split_whitespace().map(|id| id.parse().expect("digits")).collect();
    all.into_iter()
}

/// The next records of the only partition in up to three files; record `n` is the number `n`.
pub(super) fn epoch(lane: &Lane, seen: &mut HashSet<u64>, now: i64, random: &mut Random) -> Sealed {
    let after = position(lane);
    let count = 1 + random.below(9) as u64;
    let files = 1 + random.below(3);
    let stored: Vec<u64> =
        (after + 1..=after + count).filter(|id| seen.insert(identity(*id))).collect();
    let mut namer = Namer::new(&lane.lane, lane.head + 1, &lane.writer);
    let encoded = (0..files).filter_map(|n| {
        let ids = stored.iter().copied().filter(|id| *id as usize % files == n);
        let ids: Vec<u64> = ids.collect();
        let columns = [ColumnSpec { name: "dedup_key".into(), kind: ColumnKind::Text }].into();
        let head = namer.head("t", FileKind::Events, Hour(0), columns);
        let times = (*ids.first()?, *ids.last()?);
        let texts: Vec<String> = ids.iter().map(u64::to_string).collect();
        Some(file(head, ids.len() as u64, times, texts.join(" ").into()))
    });
    let span = SpanEntry {
        source: "s".into(),
        partition: "p".into(),
        after,
        upto: after + count,
        received: count,
        stored: stored.len() as u64,
        duplicates: count - stored.len() as u64,
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
    let contents = Contents { spans: vec![span], state, ..Contents::default() };
    lane.seal(contents, encoded.collect(), now)
}

/// The numbers of the records are their times.
fn file(head: FileHead, rows: u64, times: (u64, u64), bytes: Bytes) -> Encoded {
    let columns: Arc<[ColumnSpec]> = head.columns;
    let (dt, hr) = head.hour.dt_hr();
    let file = DataFile {
        path: head.path,
        table: head.table,
        kind: head.kind,
        dt,
        hr,
        rows,
        bytes: bytes.len() as u64,
        checksum: Checksum::of(&bytes),
        min_time: times.0 as i64,
        max_time: times.1 as i64,
        min_ingest: 0,
        max_ingest: 0,
        schema: 0,
        column_bytes: vec![0],
    };
    Encoded { file, columns, bytes }
}
