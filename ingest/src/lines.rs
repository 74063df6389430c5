//! The lines of an answer that goes on for as long as its connection.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// Why there are no more lines.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("nothing came for {} s, not even a sign of life", .0.as_secs())]
    Silent(Duration),
    #[error(transparent)]
    Lost(#[from] reqwest::Error),
}

pub(crate) struct Lines {
    answer: reqwest::Response,
    open: BytesMut,
    max: usize,
    /// A connection that is silent for longer counts as lost. `None`: it may be silent for ever.
    silence_max: Option<Duration>,
    /// The rest of a line that was too long is passed over.
    is_cut: bool,
}

impl Lines {
    /// Of lines that are no longer than `max` bytes.
    pub fn new(answer: reqwest::Response, max: usize, silence_max: Option<Duration>) -> Self {
        Self { answer, open: BytesMut::new(), max: max.max(1), silence_max, is_cut: false }
    }

    /// The next line without its end, also an empty one; the beginning of one that is too long is an `Err`. `None`:
    /// there are no more, and what came of an unfinished one is dropped. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Option<Result<Bytes, Bytes>>, Broken> {
        loop {
            if let Some(end) = memchr(b'\n', &self.open) {
                let line = self.open.split_to(end + 1).freeze();
                if std::mem::take(&mut self.is_cut) {
                    continue;
                }
                let end = end - usize::from(line[..end].ends_with(b"\r"));
                return Ok(Some(Ok(line.slice(..end))));
            }
            if self.open.len() > self.max {
                let start = self.open.split().freeze();
                if !std::mem::replace(&mut self.is_cut, true) {
                    return Ok(Some(Err(start)));
                }
            }
            let chunk = match self.silence_max {
                Some(max) => tokio::time::timeout(max, self.answer.chunk())
                    .await
                    .map_err(|_| Broken::Silent(max))?,
                None => self.answer.chunk().await,
            };
            match chunk? {
                Some(chunk) => self.open.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}
