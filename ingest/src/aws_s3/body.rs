//! The bytes of an object on their way to pieces: decompressed and framed on a thread of its own, a part at a
//! time, so that an object of a gigabyte needs some megabytes.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use event::{Batch, LogType, PartitionKey};
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::shelf::Mark;
use crate::assembler::Assembler;
use crate::decode::{Decoder, ReadError};
use crate::framing::Options;
use crate::meter::Meter;

const CHUNK_BYTES: usize = 256 << 10;
/// Parts of the body that wait to be decompressed; a store sends some tens of kilobytes in each.
const PARTS_MAX: usize = 8;

/// What comes of an object.
#[derive(Debug)]
pub(super) enum Piece {
    /// Records, and where the next piece begins; `None`: it was the last.
    Framed(Box<Batch>, Option<Mark>),
    /// It cannot be read on at present.
    Failed(io::Error),
}

/// How an object is to be read.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub source: Arc<str>,
    /// Names the object.
    pub origin: Arc<str>,
    pub log_type: LogType,
    pub framing: Options,
    /// Where it was left.
    pub mark: Option<Mark>,
    pub meter: Meter,
}

/// Reads a body from its first byte to its end. The last piece is a [`Piece::Framed`] without a mark or a
/// [`Piece::Failed`]. Ends early when nobody takes the pieces any more.
pub(super) async fn read(
    job: Job,
    mut body: impl Stream<Item = io::Result<Bytes>> + Unpin + Send,
    pieces: mpsc::Sender<Piece>,
) {
    let (parts, waiting) = mpsc::channel(PARTS_MAX);
    let failed = pieces.clone();
    let work = tokio::task::spawn_blocking(move || {
        let body = Body { parts: waiting, part: Bytes::new() };
        if let Err(error) = frame(&job, body, &pieces) {
            // Nobody may be there to hear of it.
            let _ = pieces.blocking_send(Piece::Failed(error));
        }
    });
    while let Some(part) = body.next().await {
        let is_last = part.is_err();
        if parts.send(part).await.is_err() || is_last {
            break;
        }
    }
    drop(parts);
    if let Err(error) = work.await {
        let _ = failed.send(Piece::Failed(io::Error::other(error))).await;
    }
}

/// A stream as a reader, for a thread that may block.
struct Body {
    parts: mpsc::Receiver<io::Result<Bytes>>,
    part: Bytes,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.parts.blocking_recv() {
                None => return Ok(0),
                Some(part) => self.part = part.map_err(as_system)?,
            }
        }
        let n = self.part.len().min(into.len());
        self.part.copy_to_slice(&mut into[..n]);
        Ok(n)
    }
}

/// As an error of the system, so that the decoder does not take it for a damaged stream.
fn as_system(error: io::Error) -> io::Error {
    tracing::debug!(%error, "a body broke off");
    io::Error::from_raw_os_error(libc_reset())
}

/// `ECONNRESET` on Linux and macOS.
const fn libc_reset() -> i32 {
    if cfg!(target_os = "macos") { 54 } else { 104 }
}

fn frame(job: &Job, body: Body, pieces: &mpsc::Sender<Piece>) -> io::Result<()> {
    let key = PartitionKey { source: job.source.clone(), partition: job.origin.clone() };
    let resume = job.mark.as_ref().map(|mark| (mark.at, &mark.framing));
    let mut assembler = Assembler::new(key, &job.log_type, &job.framing, resume, job.meter.clone());
    let mut decoder = Decoder::of_object(Box::new(body), job.framing.has_headers())?;
    let from = assembler.position();
    let mut broken = None;
    match decoder.skip(from) {
        Ok(skipped) if skipped == from => {}
        Ok(_) => return Err(io::Error::other("the object is shorter than what was read of it")),
        Err(error) => broken = Some(said(error)?),
    }
    let send = |assembler: &mut Assembler, is_last: bool| {
        let mark = (!is_last).then(|| Mark::new(assembler.position(), assembler.checkpoint()));
        pieces.blocking_send(Piece::Framed(Box::new(assembler.take(None)), mark)).is_ok()
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    while broken.is_none() {
        let n = match decoder.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) => {
                broken = Some(said(error)?);
                break;
            }
        };
        let mut used = 0;
        loop {
            used += assembler.push(&chunk[used..n]);
            if (assembler.is_full() || assembler.is_due()) && !send(&mut assembler, false) {
                return Ok(());
            }
            if used == n && !assembler.is_full() {
                break;
            }
        }
    }
    while !assembler.finish(broken.as_deref()) {
        if !send(&mut assembler, false) {
            return Ok(());
        }
    }
    send(&mut assembler, true);
    Ok(())
}

/// What is wrong with the stream, for a dead letter; trouble of the connection is no such thing.
fn said(error: ReadError) -> io::Result<String> {
    match error {
        ReadError::Broken(broken) => Ok(broken.to_string()),
        ReadError::Io(error) => Err(error),
    }
}
