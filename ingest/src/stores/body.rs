//! A body on its way: one that breaks off is read on from there, as long as something comes.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures::StreamExt as _;
use futures::stream;
use reqwest::Response;
use tokio::sync::mpsc;

use super::{Chunks, Entry, Extent, READ_MAX, RETRIES_MAX, Store};
use crate::decode::Away;
use crate::poll::backoff::{Chance, pause_ms};
use crate::poll::source::seed;

/// Parts of a body that wait to be read; a store sends some tens of kilobytes in each.
const PARTS_MAX: usize = 8;

struct Rest {
    store: Arc<Store>,
    key: String,
    response: Response,
    /// What is left to be read, if what was read is known to be of the same content.
    left: Option<Extent>,
    failures: u32,
    chance: Chance,
    is_over: bool,
}

/// The body of an answer to a request for this extent.
pub(super) fn chunks(
    store: Arc<Store>,
    entry: Entry,
    extent: Extent,
    response: Response,
) -> Chunks {
    let length = response.headers().get("content-length");
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let etag = entry.etag.filter(|etag| !etag.starts_with("W/"));
    let left = length.zip(etag).map(|(length, etag)| Extent {
        from: extent.from,
        upto: Some(extent.from.saturating_add(length)),
        etag: Some(etag),
    });
    let (failures, chance) = (0, Chance::new(seed()));
    let rest = Rest { store, key: entry.key, response, left, failures, chance, is_over: false };
    stream::unfold(rest, |mut rest| async { Some((rest.next().await?, rest)) }).boxed()
}

impl Rest {
    /// Everything that was announced has come, as far as anything was.
    fn is_whole(&self) -> bool {
        self.left.as_ref().is_none_or(|left| left.upto == Some(left.from))
    }

    async fn next(&mut self) -> Option<Result<Bytes, String>> {
        if self.is_over {
            return None;
        }
        let next = self.read().await;
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }

    async fn read(&mut self) -> Option<Result<Bytes, String>> {
        loop {
            let words = match tokio::time::timeout(READ_MAX, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    self.failures = 0;
                    if let Some(left) = &mut self.left {
                        left.from += bytes.len() as u64;
                    }
                    return Some(Ok(bytes));
                }
                Ok(Ok(None)) if self.is_whole() => return None,
                Ok(_) => "the connection broke in the middle of the object",
                Err(_) => "nothing more of the object came in time",
            };
            let Some(left) = self.left.clone().filter(|_| !self.is_whole()) else {
                return Some(Err(words.to_owned()));
            };
            self.failures += 1;
            if self.failures > RETRIES_MAX {
                return Some(Err(words.to_owned()));
            }
            let pause = pause_ms(self.failures, &mut self.chance).unsigned_abs();
            tokio::time::sleep(Duration::from_millis(pause)).await;
            match self.store.open(&self.key, &left).await {
                Ok(response) => self.response = response,
                Err(trouble) => return Some(Err(trouble.words().to_owned())),
            }
        }
    }
}

/// A body for a thread that may block. It ends only where the body does: what breaks off is an error of
/// [`Away`], also when the runtime stops.
pub(crate) fn reader(mut chunks: Chunks) -> Box<dyn Read + Send> {
    let (sender, received) = mpsc::channel(PARTS_MAX);
    tokio::spawn(async move {
        while let Some(chunk) = chunks.next().await {
            let is_last = chunk.is_err();
            if sender.send(Some(chunk)).await.is_err() || is_last {
                return;
            }
        }
        // Nobody may read any more.
        let _ = sender.send(None).await;
    });
    Box::new(Reader { received, chunk: Bytes::new(), is_over: false })
}

struct Reader {
    /// `None` is the end.
    received: mpsc::Receiver<Option<Result<Bytes, String>>>,
    chunk: Bytes,
    is_over: bool,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() && !self.is_over {
            match self.received.blocking_recv() {
                Some(Some(chunk)) => self.chunk = chunk.map_err(|e| io::Error::other(Away(e)))?,
                Some(None) => self.is_over = true,
                None => return Err(io::Error::other(Away("it is no longer read".to_owned()))),
            }
        }
        let n = self.chunk.len().min(into.len());
        self.chunk.copy_to_slice(&mut into[..n]);
        Ok(n)
    }
}
