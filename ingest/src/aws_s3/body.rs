//! The bytes of an object on their way to pieces: decompressed and framed on a thread of its own, a part at a
//! time, so that an object of a gigabyte needs some megabytes.

use std::io::{self, Read};
use std::sync::Arc;

use event::{Batch, LogType, PartitionKey};
use tokio::sync::mpsc;

use super::shelf::Mark;
use crate::assembler::Assembler;
use crate::decode::{Decoder, ReadError};
use crate::framing::Options;
use crate::meter::Meter;
use crate::stores::{Chunks, reader};

const CHUNK_BYTES: usize = 256 << 10;

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
pub(super) async fn read(job: Job, body: Chunks, pieces: mpsc::Sender<Piece>) {
    let (body, failed) = (reader(body), pieces.clone());
    let work = tokio::task::spawn_blocking(move || {
        if let Err(error) = frame(&job, body, &pieces) {
            // Nobody may be there to hear of it.
            let _ = pieces.blocking_send(Piece::Failed(error));
        }
    });
    if let Err(error) = work.await {
        let _ = failed.send(Piece::Failed(io::Error::other(error))).await;
    }
}

fn frame(job: &Job, body: Box<dyn Read + Send>, pieces: &mpsc::Sender<Piece>) -> io::Result<()> {
    let key = PartitionKey { source: job.source.clone(), partition: job.origin.clone() };
    let resume = job.mark.as_ref().map(|mark| (mark.at, &mark.framing));
    let mut assembler = Assembler::new(key, &job.log_type, &job.framing, resume, job.meter.clone());
    let mut decoder = Decoder::of_object(body, job.framing.has_headers())?;
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
