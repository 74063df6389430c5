//! Standard input: a finite stream whose partition is known by what it begins with, so that piping
//! the same content again adds nothing.
//!
//! A pipe cannot be read twice. Content that begins like what was read before and then differs is
//! refused rather than half skipped.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event::{LogType, PartitionKey};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::assembler::{Assembler, LINGER};
use crate::decode::{Decoder, ReadError};
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::file::identity::{Entry, PREFIX_BYTES, State, Tail, hash};
use crate::framing::{Format, Options, RECORD_BYTES_MAX};
use crate::meter::Meter;
use crate::source::{Source, SourceContext, Summary};

/// A stream that is silent for this long is named by what came until then.
const PREFIX_WAIT: Duration = Duration::from_secs(2);
const CHUNK_BYTES: usize = 128 << 10;
const CHUNKS_MAX: usize = 4;

/// Options of the `stdin` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StdinOptions {
    /// How the bytes are cut into records.
    pub format: Format,
    /// Longer records become dead letters, in parts of this size.
    pub record_bytes_max: usize,
}

impl Default for StdinOptions {
    fn default() -> Self {
        Self { format: Format::default(), record_bytes_max: RECORD_BYTES_MAX }
    }
}

/// Reads standard input to its end.
pub struct StdinSource {
    options: StdinOptions,
    log_type: LogType,
    input: Box<dyn Read + Send>,
}

impl StdinSource {
    pub fn new(log_type: &str, options: StdinOptions) -> Self {
        Self::reading(log_type, options, Box::new(std::io::stdin()))
    }

    /// From another stream that can be read once.
    pub fn reading(log_type: &str, options: StdinOptions, input: Box<dyn Read + Send>) -> Self {
        Self { options, log_type: log_type.into(), input }
    }
}

/// What the reading thread says.
enum Piece {
    Bytes(Vec<u8>),
    Broken(String),
    Failed(std::io::Error),
}

#[async_trait]
impl Source for StdinSource {
    fn is_finite(&self) -> bool {
        true
    }

    fn hears(&self) -> bool {
        true
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let Self { options, log_type, input } = *self;
        let (sender, pieces) = mpsc::channel(CHUNKS_MAX);
        // Not a task: a read of standard input cannot be cancelled, and must not hold up the exit.
        std::thread::spawn(move || read_all(input, &sender));
        let mut framing = Options::new(options.format, log_type.as_str());
        framing.record_bytes_max = options.record_bytes_max;
        let mut feed = Feed { pieces, bytes: Vec::new(), base: 0, broken: None, ended: false };
        feed.fill(PREFIX_BYTES, &context.name).await?;
        let prefix = feed.bytes[..feed.bytes.len().min(PREFIX_BYTES)].to_vec();
        let mut known = crate::file::known(&context.resume);
        let entry = known.claim(&prefix, None);
        let partition = match &entry {
            Some(entry) => entry.partition.clone(),
            None => known.new_name("stdin", "", &prefix),
        };
        let meter = Meter::new(&context.name, &context.standing);
        let key = PartitionKey { source: context.name.clone(), partition };
        let resume = entry.as_ref().map(|entry| (entry.upto, &entry.state.framing));
        let assembler = Assembler::new(key, &log_type, &framing, resume, meter.clone());
        let tail = entry.as_ref().and_then(|entry| entry.state.tail);
        let mut run = Run { context, feed, assembler, prefix, tail };
        let mut summary = Summary::default();
        let news = run.all(entry.as_ref()).await?;
        match news {
            true => summary.opened = 1,
            false => summary.skip("-".to_owned()),
        }
        meter.summarize(&mut summary);
        Ok(summary)
    }
}

fn read_all(input: Box<dyn Read + Send>, sender: &mpsc::Sender<Piece>) {
    let mut decoder = match Decoder::new(input) {
        Ok(decoder) => decoder,
        Err(error) => return drop(sender.blocking_send(Piece::Failed(error))),
    };
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let piece = match decoder.read(&mut chunk) {
            Ok(0) => return,
            Ok(n) => {
                chunk.truncate(n);
                Piece::Bytes(chunk)
            }
            Err(ReadError::Broken(broken)) => Piece::Broken(broken.to_string()),
            Err(ReadError::Io(error)) => Piece::Failed(error),
        };
        let last = !matches!(piece, Piece::Bytes(_));
        if sender.blocking_send(piece).is_err() || last {
            return;
        }
    }
}

/// The decompressed stream as it arrives: `bytes` stand `base` in it.
struct Feed {
    pieces: mpsc::Receiver<Piece>,
    bytes: Vec<u8>,
    base: u64,
    broken: Option<String>,
    ended: bool,
}

impl Feed {
    fn take(&mut self, piece: Option<Piece>, name: &str) -> Result<(), SourceError> {
        match piece {
            Some(Piece::Bytes(bytes)) if self.bytes.is_empty() => self.bytes = bytes,
            Some(Piece::Bytes(bytes)) => self.bytes.extend_from_slice(&bytes),
            Some(Piece::Broken(reason)) => {
                self.broken = Some(reason);
                self.ended = true;
            }
            Some(Piece::Failed(error)) => {
                return Err(SourceError::io(name, "reading standard input", error));
            }
            None => self.ended = true,
        }
        Ok(())
    }

    /// Gathers at least `wanted` bytes, fewer at the end or when nothing comes for a while.
    async fn fill(&mut self, wanted: usize, name: &str) -> Result<(), SourceError> {
        while self.bytes.len() < wanted && !self.ended {
            let next = tokio::time::timeout(PREFIX_WAIT, self.pieces.recv()).await;
            match next {
                Ok(piece) => self.take(piece, name)?,
                Err(_) if self.bytes.is_empty() => {}
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// The next bytes, empty at the end.
    async fn next(&mut self, name: &str) -> Result<(), SourceError> {
        while self.bytes.is_empty() && !self.ended {
            let piece = self.pieces.recv().await;
            self.take(piece, name)?;
        }
        Ok(())
    }

    fn consume(&mut self) {
        self.base += self.bytes.len() as u64;
        self.bytes.clear();
    }
}

struct Run {
    context: SourceContext,
    feed: Feed,
    assembler: Assembler,
    prefix: Vec<u8>,
    tail: Option<Tail>,
}

impl Run {
    /// Reads to the end; whether anything was new.
    async fn all(&mut self, entry: Option<&Entry>) -> Result<bool, SourceError> {
        if let Some(entry) = entry {
            self.skip(entry).await?;
        }
        let mut news = false;
        loop {
            let mut used = 0;
            while used < self.feed.bytes.len() || self.assembler.is_full() {
                if self.assembler.is_full() {
                    self.send().await?;
                    news = true;
                }
                used += self.assembler.push(&self.feed.bytes[used..]);
                let position = self.assembler.position();
                self.tail = Tail::before(position, &self.feed.bytes, self.feed.base).or(self.tail);
            }
            self.feed.consume();
            if self.feed.ended || self.context.shutdown.is_requested() {
                break;
            }
            news |= self.wait().await?;
        }
        if self.feed.ended {
            let broken = self.feed.broken.take();
            while !self.assembler.finish(broken.as_deref()) {
                self.send().await?;
                news = true;
            }
        }
        if self.assembler.has_news() {
            self.send().await?;
            news = true;
        }
        Ok(news)
    }

    /// Waits for bytes, handing over what waits when none come; whether it did.
    async fn wait(&mut self) -> Result<bool, SourceError> {
        let name = self.context.name.clone();
        let mut sent = false;
        loop {
            let piece = tokio::select! {
                piece = tokio::time::timeout(LINGER, self.feed.pieces.recv()) => piece,
                () = self.context.shutdown.requested() => return Ok(sent),
            };
            if self.assembler.is_due() {
                self.send().await?;
                sent = true;
            }
            if let Ok(piece) = piece {
                self.feed.take(piece, &name)?;
                return Ok(sent);
            }
        }
    }

    /// Passes over what was read before and makes sure that it is the same.
    async fn skip(&mut self, entry: &Entry) -> Result<(), SourceError> {
        let name = self.context.name.clone();
        let tail = entry.state.tail;
        let mut last = Vec::new();
        while self.feed.base < entry.upto {
            self.feed.next(&name).await?;
            if self.feed.bytes.is_empty() {
                return Err(differs(&name, self.feed.base, "is shorter"));
            }
            let left = usize::try_from(entry.upto - self.feed.base).unwrap_or(usize::MAX);
            let count = left.min(self.feed.bytes.len());
            if let Some(tail) = tail {
                let base = self.feed.base;
                let within = |at: u64| (at.saturating_sub(base) as usize).min(count);
                last.extend_from_slice(&self.feed.bytes[within(tail.from())..within(tail.upto)]);
            }
            self.feed.bytes.drain(..count);
            self.feed.base += count as u64;
        }
        match tail {
            Some(tail) if !tail.fits(&last) => Err(differs(&name, tail.upto, "differs")),
            _ => Ok(()),
        }
    }

    async fn send(&mut self) -> Result<(), SourceError> {
        let state = State {
            path: "-".to_owned(),
            prefix_len: self.prefix.len() as u64,
            prefix_hash: hash(&self.prefix),
            tail: self.tail.filter(|tail| tail.upto <= self.assembler.position()),
            done: None,
            framing: self.assembler.checkpoint(),
        };
        let batch = self.assembler.take(Some(state.to_text()));
        let emitter: &Emitter = &self.context.emitter;
        emitter.send(batch).await.map_err(|_| SourceError::closed(&self.context.name))
    }
}

fn differs(name: &Arc<str>, at: u64, how: &str) -> SourceError {
    let message = format!(
        "standard input begins like what was read before but {how} at byte {at}; \
         store it in a file and give its name"
    );
    SourceError::new(name, ErrorKind::Position, message)
}

#[cfg(test)]
mod tests;
