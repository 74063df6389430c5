//! The words that the lake's state machines use for I/O. They do none themselves: time, answers and
//! failures come in, requests go out, so that a test can drive them through every crash and lie.

use bytes::Bytes;

/// Attempts at a request before the machine gives the failure to its caller.
pub(super) const ATTEMPTS_MAX: u32 = 4;
const PAUSE_MS: u64 = 200;

/// What a machine wants done. Paths are seen from the lake's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// [`Answer::Done`], or [`Answer::Exists`] when `if_absent` and it is there.
    Put { path: String, bytes: Bytes, if_absent: bool },
    /// [`Answer::Bytes`] or [`Answer::Missing`].
    Get { path: String },
    /// [`Answer::Exists`] or [`Answer::Missing`].
    Look { path: String },
    /// [`Answer::Paths`] below the folder, those after `after` where it is given.
    List { folder: String, after: Option<String> },
    /// [`Answer::Paths`] of the folders in the folder.
    Folders { folder: String },
    /// [`Answer::Done`], also when it was not there.
    Delete { path: String },
    /// [`Answer::Done`] when all that can be seen in the folder stays, whatever happens to the power.
    Sync { folder: String },
    /// [`Answer::Done`] later.
    Wait { ms: u64 },
}

/// What came of a [`Request`].
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Exists,
    Missing,
    Bytes(Bytes),
    Paths(Vec<String>),
    /// It was refused, or nobody knows whether it was done.
    Failed(Failure),
}

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The next move of a machine.
#[derive(Debug)]
pub(super) enum Step<T> {
    /// Do these, in any order and at once, and step again with one answer each, in this order.
    Do(Vec<Request>),
    Done(T),
}

/// The pause before attempt `n`, which counts from 1.
pub(super) fn pause<T>(n: u32) -> Step<T> {
    Step::Do(vec![pause_before(n)])
}

/// As [`pause`], alone.
pub(super) fn pause_before(n: u32) -> Request {
    Request::Wait { ms: PAUSE_MS << n.min(5) }
}

/// Splits off the first failure.
pub(super) fn failure(answers: Vec<Answer>) -> Result<Vec<Answer>, Failure> {
    let mut kept = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer {
            Answer::Failed(failure) => return Err(failure),
            answer => kept.push(answer),
        }
    }
    Ok(kept)
}
