//! What processes that write one lake, each by its lane, tell each other: who reads what. And how one that died is
//! relieved of what it read.
//!
//! A board is a folder of numbered sheets. Each sheet says everything, is put once if absent, and follows the one before, so
//! that of two who change the same sheet one is refused and looks again. Nothing in the lake depends on a board: it
//! may be lost, and what a sheet says is never taken for what the lake holds. That alone says who has what
//! ([`Board::take_over`]): once a lane's next number is taken its writer can commit nothing more.

use bytes::Bytes;

use super::commit::{Commit, Contents};
use super::error::{Error, Kind};
use super::lake::{drive, now_us, perform, recover};
use super::layout;
use super::part::Positions;
use super::protocol::{Answer, Request};
use super::store::LakeStore;

/// Sheets that stay, for whoever is about to read one.
const KEPT: u64 = 64;
/// How often a lane's writer may commit while it is relieved.
const ROUNDS_MAX: u32 = 8;

/// The boards of a lake, as the writer of one lane uses them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Board {
    store: LakeStore,
    lane: String,
}

impl Board {
    pub fn new(store: LakeStore, lane: &str) -> Self {
        Self { store, lane: lane.to_owned() }
    }

    /// The lane of this process.
    pub fn lane(&self) -> &str {
        &self.lane
    }

    /// The newest sheet of a board, with its number.
    ///
    /// # Errors
    /// [`Kind::Store`]: try again.
    pub async fn newest(&self, name: &str) -> Result<Option<(u64, Bytes)>, Error> {
        loop {
            let folder = layout::board(name);
            let paths = match perform(&self.store, Request::List { folder, after: None }).await {
                Answer::Paths(paths) => paths,
                Answer::Failed(e) => return Err(self.failed(name, e)),
                _ => Vec::new(),
            };
            let Some(number) = paths.iter().filter_map(|path| layout::parse_sheet(path)).max()
            else {
                return Ok(None);
            };
            let path = layout::sheet(name, number);
            match perform(&self.store, Request::Get { path }).await {
                Answer::Bytes(bytes) => return Ok(Some((number, bytes))),
                Answer::Failed(e) => return Err(self.failed(name, e)),
                // Many came after it meanwhile.
                _ => {}
            }
        }
    }

    /// Puts a sheet; false when there is one of that number. Who has no answer looks at the newest one.
    ///
    /// # Errors
    /// [`Kind::Store`]: nobody knows whether it was put.
    pub async fn put(&self, name: &str, number: u64, bytes: Bytes) -> Result<bool, Error> {
        let path = layout::sheet(name, number);
        match perform(&self.store, Request::Put { path, bytes, if_absent: true }).await {
            Answer::Done => {}
            Answer::Failed(e) => return Err(self.failed(name, e)),
            _ => return Ok(false),
        }
        if let Some(old) = number.checked_sub(KEPT) {
            // One that stays is only in the way.
            let _ = perform(&self.store, Request::Delete { path: layout::sheet(name, old) }).await;
        }
        Ok(true)
    }

    /// Ends what the writer of a lane had under way, by an empty epoch of its next number; where its partitions stand
    /// then. Should it still live, its next commit is refused. Whoever opens the lane anew goes on behind it.
    ///
    /// # Errors
    /// [`Kind::Fenced`] when it lives on this machine, [`Kind::Store`], [`Kind::Damaged`].
    pub async fn take_over(&self, lane: &str) -> Result<Positions, Error> {
        if !layout::lane_is_valid(lane) {
            return Err(Error::new(Kind::Options, format!("'{lane}' is no lane")));
        }
        let _lock = self.store.lock(lane)?;
        for _ in 0..ROUNDS_MAX {
            let (mut at, _) = recover(&self.store, lane).await?;
            let sealed = at.seal(Contents::default(), Vec::new(), now_us());
            let mut commit = Commit::new(sealed);
            match drive(&self.store, |answers| commit.step(answers)).await {
                Ok(()) => {
                    at.committed(&commit.sealed.manifest, commit.sealed.hash);
                    return Ok(at.positions);
                }
                // It has committed meanwhile.
                Err(error) if error.kind() == Kind::Fenced => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(Kind::Store, format!("the writer of the lane {lane} goes on committing")))
    }

    fn failed(&self, name: &str, cause: super::protocol::Failure) -> Error {
        let what = format!("the board {name} of the lake {} cannot be used", self.store.url);
        Error::caused(Kind::Store, what, cause)
    }
}

#[cfg(test)]
mod tests {
    use super::super::lake::tests::{options, part};
    use super::super::{Lake, LakeOptions, Scope, verify};
    use super::*;

    #[tokio::test]
    async fn of_two_who_change_a_sheet_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let board = Board::new(LakeStore::create(&options(folder.path())).unwrap(), "a");
        assert_eq!(board.newest("flows/1").await.unwrap(), None);
        for number in 1..=KEPT + 10 {
            let text = number.to_string();
            assert!(board.put("flows/1", number, text.clone().into()).await.unwrap());
            assert!(!board.put("flows/1", number, "other".into()).await.unwrap());
            assert_eq!(board.newest("flows/1").await.unwrap(), Some((number, text.into())));
        }
        assert_eq!(board.newest("flows").await.unwrap(), None, "another board");
        let left = std::fs::read_dir(folder.path().join(layout::board("flows/1"))).unwrap().count();
        assert_eq!(left as u64, KEPT);
    }

    #[tokio::test]
    async fn who_is_relieved_can_commit_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let options = LakeOptions { lane: "a".into(), ..options(folder.path()) };
        // As on another machine, which no lock reaches.
        let (mut lake, _) = Lake::open_lane(&options, false).await.unwrap();
        lake.commit(vec![part("p", 0, 20)]).await.unwrap();
        let board = Board::new(lake.store().clone(), "b");
        let upto = |positions: Positions| positions.values().map(|at| at.upto).collect::<Vec<_>>();
        assert_eq!(upto(board.take_over("a").await.unwrap()), [20]);
        let refused = lake.commit(vec![part("p", 20, 40)]).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Fenced);
        // Twice is as once; and it may be opened anew.
        assert_eq!(upto(board.take_over("a").await.unwrap()), [20]);
        let (mut lake, recovered) = Lake::open(&options).await.unwrap();
        assert_eq!(upto(recovered.positions), [20]);
        lake.commit(vec![part("p", 20, 40)]).await.unwrap();
        // It lives on this machine.
        assert_eq!(board.take_over("a").await.unwrap_err().kind(), Kind::Fenced);
        assert_eq!(board.take_over("upkeep").await.unwrap_err().kind(), Kind::Options);
        drop(lake);
        let report = verify(&board.store, Scope::full(true)).await.unwrap();
        assert!(report.problems.is_empty(), "{report}");
    }
}
