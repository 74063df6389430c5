//! Writing the next checkpoint: runs first, then the root that names them, both put if absent, then what
//! only older ones need is removed. A state machine without I/O.
//!
//! Whoever dies on the way leaves runs that no root names, which the next one removes. Two that write at
//! once write different roots, or one of them finds the other's: each is true by itself.

use std::collections::HashSet;

use event::Uid;

use super::super::error::{Error, Kind};
use super::super::lake::drive;
use super::super::layout;
use super::super::live::LiveFile;
use super::super::protocol::{Answer, Request, Step, failure};
use super::super::snapshot::{Base, Beside, LaneHead, Look, Looked};
use super::super::store::{LakeOptions, LakeStore};
use super::{Checkpoint, Covered, Listed, RunRef, decode_run, encode_run, groups};

/// So many epochs are worth a new checkpoint.
pub(in crate::lake) const EPOCHS_MIN: u64 = 16;

/// Writes a checkpoint when the newest one is [`EPOCHS_MIN`] epochs old, or one where `always`. Returns how
/// many epochs the newest one covers now.
///
/// # Errors
/// [`Kind::Store`]: nothing is lost. [`Kind::Damaged`] when manifests are.
pub async fn checkpoint(options: &LakeOptions, always: bool) -> Result<u64, Error> {
    let at = LakeStore::open_to_change(options)?;
    match next(&at, Look::new(Beside::News), always).await {
        Err(error) if error.kind() == Kind::Damaged => {
            next(&at, Look::without_checkpoints(Beside::News), always).await
        }
        result => result,
    }
}

async fn next(at: &LakeStore, mut look: Look, always: bool) -> Result<u64, Error> {
    let looked = drive(at, |answers| look.step(answers)).await?;
    if looked.read < if always { 1 } else { EPOCHS_MIN } {
        return Ok(looked.base.checkpoint.epochs());
    }
    let mut write = Write::new(*looked);
    drive(at, |answers| write.step(answers)).await
}

/// A run of the new checkpoint, before some are put together.
#[derive(Debug)]
struct Piece {
    /// It is there, with these files.
    kept: Option<RunRef>,
    /// Those of a run that is there are read when they are needed.
    files: Vec<Listed>,
}

impl Piece {
    fn count(&self) -> u64 {
        self.kept.as_ref().map_or(self.files.len() as u64, RunRef::left)
    }
}

#[derive(Debug)]
enum Phase {
    /// Read the runs that are put together with others.
    Merged,
    Runs,
    Root,
    List,
    Remove(Vec<String>),
}

/// The machine.
#[derive(Debug)]
pub(in crate::lake) struct Write {
    before: Checkpoint,
    next: Checkpoint,
    /// Groups of the live and of the former files, until their runs are known.
    live: Vec<Vec<Piece>>,
    former: Vec<Vec<Piece>>,
    puts: Vec<(String, Vec<u8>)>,
    phase: Phase,
    sent: bool,
}

impl Write {
    /// After what was seen with [`Beside::News`].
    pub(in crate::lake) fn new(looked: Looked) -> Self {
        let Looked { snapshot, base, still, .. } = looked;
        let Base { checkpoint: before, places } = base;
        let mut redriven: Vec<Uid> = snapshot.redriven.into_iter().collect();
        redriven.sort_unstable();
        let lanes = snapshot.lanes.into_iter().map(cover).collect();
        let kept = |run: &RunRef| Piece { kept: Some(run.clone()), files: Vec::new() };
        let mut former: Vec<Piece> = before.former.iter().map(kept).collect();
        let files = snapshot.former.into_iter().map(Listed::Former).collect();
        former.push(Piece { kept: None, files });
        let live = live(&before.live, snapshot.files, &places, &still);
        Self {
            next: Checkpoint { lanes, redriven, ..Checkpoint::default() },
            live: grouped(live),
            former: grouped(former),
            before,
            puts: Vec::new(),
            phase: Phase::Merged,
            sent: false,
        }
    }

    /// The runs of these groups; those that are new are to be put.
    fn runs(&mut self, groups: Vec<Vec<Piece>>) -> Vec<RunRef> {
        let mut runs = Vec::new();
        for mut group in groups {
            if let [Piece { kept, .. }] = group.as_mut_slice()
                && let Some(run) = kept.take()
            {
                runs.push(run);
                continue;
            }
            let files: Vec<Listed> = group.into_iter().flat_map(|piece| piece.files).collect();
            let (run, bytes) = encode_run(&files);
            self.puts.push((run.path(), bytes));
            runs.push(run);
        }
        runs
    }

    /// Runs that are put together with others and were not read yet.
    fn unread(&mut self) -> impl Iterator<Item = (RunRef, &mut Piece)> {
        let groups = self.live.iter_mut().chain(&mut self.former).filter(|group| group.len() > 1);
        let pieces = groups.flatten().filter(|piece| piece.files.is_empty());
        pieces.filter_map(|piece| Some((piece.kept.clone()?, piece)))
    }

    /// One move; ends with how many epochs the newest checkpoint covers.
    pub(in crate::lake) fn step(&mut self, answers: Vec<Answer>) -> Step<Result<u64, Error>> {
        if std::mem::replace(&mut self.sent, true) {
            let answers = match failure(answers) {
                Ok(answers) => answers,
                Err(failure) => {
                    let what = "the checkpoint cannot be written";
                    return Step::Done(Err(Error::caused(Kind::Store, what, failure)));
                }
            };
            match self.take(answers) {
                Ok(Some(phase)) => self.phase = phase,
                Ok(None) => return Step::Done(Ok(self.next.epochs())),
                Err(error) => return Step::Done(Err(error)),
            }
        }
        Step::Do(self.requests())
    }

    fn requests(&mut self) -> Vec<Request> {
        let put =
            |path, bytes: Vec<u8>| Request::Put { path, bytes: bytes.into(), if_absent: true };
        let list = |folder: &str| Request::List { folder: folder.into(), after: None };
        match &self.phase {
            Phase::Merged => {
                self.unread().map(|(run, _)| Request::Get { path: run.path() }).collect()
            }
            Phase::Runs => {
                std::mem::take(&mut self.puts).into_iter().map(|(p, b)| put(p, b)).collect()
            }
            Phase::Root => vec![put(self.next.path(), self.next.encode())],
            Phase::List => vec![list(layout::CHECKPOINTS), list(layout::RUNS)],
            Phase::Remove(paths) => {
                paths.iter().map(|path| Request::Delete { path: path.clone() }).collect()
            }
        }
    }

    /// The phase after this one; `None` at the end.
    fn take(&mut self, answers: Vec<Answer>) -> Result<Option<Phase>, Error> {
        match &self.phase {
            Phase::Merged => {
                for ((run, piece), answer) in self.unread().zip(answers) {
                    let files = match answer {
                        Answer::Bytes(bytes) => decode_run(&run, &bytes),
                        _ => None,
                    };
                    let damaged =
                        || Error::new(Kind::Damaged, format!("{} is damaged", run.path()));
                    let files = files.ok_or_else(damaged)?.into_iter();
                    piece.files = files.map(|(_, listed)| listed).collect();
                }
                let (live, former) =
                    (std::mem::take(&mut self.live), std::mem::take(&mut self.former));
                (self.next.live, self.next.former) = (self.runs(live), self.runs(former));
                Ok(Some(Phase::Runs))
            }
            Phase::Runs => Ok(Some(Phase::Root)),
            Phase::Root => Ok(Some(Phase::List)),
            Phase::List => {
                let useless = self.useless(answers);
                Ok((!useless.is_empty()).then_some(Phase::Remove(useless)))
            }
            Phase::Remove(_) => Ok(None),
        }
    }

    /// What neither this checkpoint nor the one before it needs. Nothing while there is a newer one.
    fn useless(&self, answers: Vec<Answer>) -> Vec<String> {
        let paths = answers.into_iter().flat_map(|answer| match answer {
            Answer::Paths(paths) => paths,
            _ => Vec::new(),
        });
        let paths: Vec<String> = paths.collect();
        let roots = [self.next.path(), self.before.path()];
        let is_root = |path: &&String| path.starts_with(layout::CHECKPOINTS);
        if paths.iter().filter(is_root).any(|path| *path > roots[0]) {
            return Vec::new();
        }
        let both = [&self.next, &self.before].into_iter();
        let runs = both.flat_map(|c| c.live.iter().chain(&c.former)).map(RunRef::path);
        let needed: HashSet<String> = runs.chain(roots).collect();
        paths.into_iter().filter(|path| !needed.contains(path)).collect()
    }
}

fn cover(head: LaneHead) -> Covered {
    let LaneHead { lane, epoch, hash, created_at } = head;
    Covered { lane: lane.to_string(), epoch, hash, created_at }
}

/// The runs of live files, with what has gone from them since, and the files that have come.
fn live(
    before: &[RunRef],
    files: Vec<LiveFile>,
    places: &[(usize, u32)],
    still: &[bool],
) -> Vec<Piece> {
    let kept = |run: &RunRef| (run.clone(), Vec::new());
    let mut runs: Vec<(RunRef, Vec<Listed>)> = before.iter().map(kept).collect();
    let mut files = files.into_iter().map(Listed::Live);
    for (&(run, place), still) in places.iter().zip(still) {
        let (run, listed) = &mut runs[run];
        if *still {
            listed.extend(files.next());
        } else if !planted!(CheckpointForgets) {
            run.gone.push(place);
        }
    }
    let mut pieces = Vec::new();
    for (mut run, files) in runs {
        run.gone.sort_unstable();
        let is_good = run.gone.len() as u64 * 2 <= run.files;
        pieces.push(Piece { kept: is_good.then_some(run), files });
    }
    let files = files.filter(|_| !planted!(CheckpointAhead)).collect();
    pieces.push(Piece { kept: None, files });
    pieces
}

/// Those that are put together beside each other. Empty ones are left out.
fn grouped(mut pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    pieces.retain(|piece| piece.count() > 0);
    let sizes: Vec<u64> = pieces.iter().map(Piece::count).collect();
    let mut pieces: Vec<Option<Piece>> = pieces.into_iter().map(Some).collect();
    let group = |g: Vec<usize>| g.into_iter().filter_map(|n| pieces[n].take()).collect();
    groups(&sizes).into_iter().map(group).collect()
}
