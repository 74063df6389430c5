//! One open file on its way to batches.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use event::{Batch, LogType, PartitionKey};

use super::identity::{Entry, PREFIX_BYTES, State, Tail, hash};
use crate::assembler::Assembler;
use crate::decode::{Compression, Decoder, ReadError};
use crate::framing::Options;
use crate::meter::Meter;

const CHUNK_BYTES: usize = 256 << 10;

/// What reading on has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Bytes were read; there may be more.
    Some,
    /// A batch is ready to be taken.
    Full,
    /// Nothing more at present.
    End,
}

/// What all files of a source have in common.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub source: std::sync::Arc<str>,
    pub log_type: LogType,
    pub options: Options,
    pub meter: Meter,
}

#[derive(Debug)]
pub(super) struct Reader {
    pub path: PathBuf,
    file: File,
    decoder: Decoder,
    assembler: Assembler,
    prefix: Vec<u8>,
    chunk: Vec<u8>,
    /// `chunk[used..filled]` is still to be framed; `chunk` begins at `base` of the stream.
    used: usize,
    filled: usize,
    base: u64,
    tail: Option<Tail>,
    broken: Option<String>,
    done: bool,
    /// Size and time of the file when its last bytes were checked.
    checked: Option<(u64, SystemTime)>,
}

/// The first bytes of a file.
pub(super) fn read_prefix(file: &File) -> io::Result<Vec<u8>> {
    let mut prefix = vec![0; PREFIX_BYTES];
    let mut filled = 0;
    while filled < prefix.len() {
        match file.read_at(&mut prefix[filled..], filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    prefix.truncate(filled);
    Ok(prefix)
}

/// Whether a compressed file is as it was when it had been read to its end.
pub(super) fn is_done(file: &File, entry: &Entry) -> io::Result<bool> {
    Ok(entry.state.done.is_some() && entry.state.done == Some(end_of(file)?))
}

/// Size and hash of the last bytes, which hold the checksum of a compressed stream.
fn end_of(file: &File) -> io::Result<(u64, event::Uid)> {
    let size = file.metadata()?.len();
    let mut last = vec![0; usize::try_from(size.min(512)).unwrap_or(512)];
    let from = size - last.len() as u64;
    file.read_exact_at(&mut last, from)?;
    Ok((size, hash(&last)))
}

impl Reader {
    /// From the start, as a new partition.
    pub fn open(shared: &Shared, path: &Path, partition: std::sync::Arc<str>) -> io::Result<Self> {
        let file = File::open(path)?;
        Self::new(shared, path, file, partition, None)
    }

    /// Where it was left; `None` when the bytes before that place are not those that were read.
    pub fn resume(shared: &Shared, path: &Path, entry: &Entry) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let mut reader = Self::new(shared, path, file, entry.partition.clone(), Some(entry))?;
        let fits = match reader.decoder.compression() {
            Compression::None => reader.tail_fits()?,
            _ => reader.skip_to(entry)?,
        };
        if !fits {
            return Ok(None);
        }
        if reader.decoder.compression() == Compression::None {
            let mut file = File::open(path)?;
            io::Seek::seek(&mut file, io::SeekFrom::Start(entry.upto))?;
            reader.decoder = Decoder::plain(Box::new(file));
        }
        reader.base = entry.upto;
        Ok(Some(reader))
    }

    fn new(
        shared: &Shared,
        path: &Path,
        file: File,
        partition: std::sync::Arc<str>,
        entry: Option<&Entry>,
    ) -> io::Result<Self> {
        let key = PartitionKey { source: shared.source.clone(), partition };
        let resume = entry.map(|entry| (entry.upto, &entry.state.framing));
        let meter = shared.meter.clone();
        let assembler = Assembler::new(key, &shared.log_type, &shared.options, resume, meter);
        Ok(Self {
            path: path.to_owned(),
            prefix: read_prefix(&file)?,
            decoder: Decoder::new(Box::new(file.try_clone()?))?,
            file,
            assembler,
            chunk: Vec::new(),
            used: 0,
            filled: 0,
            base: 0,
            tail: entry.and_then(|entry| entry.state.tail),
            broken: None,
            done: false,
            checked: None,
        })
    }

    /// Skips what was read before in a compressed file, and checks the end of it.
    fn skip_to(&mut self, entry: &Entry) -> io::Result<bool> {
        let from = self.tail.map_or(entry.upto, |tail| tail.from());
        let skipped = as_io(self.decoder.skip(from))?;
        if skipped < from {
            return Ok(false);
        }
        let Some(tail) = self.tail else { return Ok(true) };
        let mut bytes = vec![0; tail.len as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match as_io(self.decoder.read(&mut bytes[filled..]))? {
                0 => return Ok(false),
                n => filled += n,
            }
        }
        let rest = entry.upto.saturating_sub(tail.upto);
        Ok(tail.fits(&bytes) && as_io(self.decoder.skip(rest))? == rest)
    }

    /// Whether the bytes last read are still there (plain files).
    fn tail_fits(&self) -> io::Result<bool> {
        let Some(tail) = self.tail else { return Ok(true) };
        let mut bytes = vec![0; tail.len as usize];
        match self.file.read_exact_at(&mut bytes, tail.from()) {
            Ok(()) => Ok(tail.fits(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the file was emptied or written over under our hands (copy and truncate).
    pub fn was_replaced(&mut self) -> io::Result<bool> {
        if self.decoder.compression() != Compression::None {
            return Ok(false);
        }
        let metadata = self.file.metadata()?;
        let now = (metadata.len(), metadata.modified()?);
        if self.checked == Some(now) {
            return Ok(false);
        }
        self.checked = Some(now);
        Ok(metadata.len() < self.base + self.filled as u64 || !self.tail_fits()?)
    }

    /// Whether a plain file has nothing beyond where it was left.
    pub fn is_at_end(&self) -> io::Result<bool> {
        Ok(!self.is_compressed() && self.file.metadata()?.len() == self.base)
    }

    /// Bytes of the file that were not read yet.
    pub fn bytes_left(&self) -> io::Result<u64> {
        let read = match self.is_compressed() {
            true => io::Seek::stream_position(&mut &self.file)?,
            false => self.base + self.filled as u64,
        };
        Ok(self.file.metadata()?.len().saturating_sub(read))
    }

    pub fn is_compressed(&self) -> bool {
        self.decoder.compression() != Compression::None
    }

    pub fn partition(&self) -> &std::sync::Arc<str> {
        self.assembler.partition()
    }

    /// Reads one chunk, or frames what is left of the last one.
    pub fn advance(&mut self) -> io::Result<Progress> {
        if self.used == self.filled {
            self.base += self.filled as u64;
            (self.used, self.filled) = (0, 0);
            self.chunk.resize(CHUNK_BYTES, 0);
            match self.decoder.read(&mut self.chunk) {
                Ok(n) => self.filled = n,
                Err(ReadError::Io(error)) => return Err(error),
                Err(ReadError::Broken(broken)) => self.broken = Some(broken.to_string()),
            }
            if self.filled == 0 {
                self.chunk = Vec::new();
                self.assembler.push(&[]);
                return Ok(if self.assembler.is_full() { Progress::Full } else { Progress::End });
            }
        }
        self.used += self.assembler.push(&self.chunk[self.used..self.filled]);
        if let Some(tail) =
            Tail::before(self.assembler.position(), &self.chunk[..self.filled], self.base)
        {
            self.tail = Some(tail);
        }
        Ok(if self.assembler.is_full() { Progress::Full } else { Progress::Some })
    }

    /// The file is at its end and will not grow. False: take the batch and call again.
    pub fn finish(&mut self) -> bool {
        self.done = self.assembler.finish(self.broken.as_deref());
        self.done
    }

    pub fn is_due(&self) -> bool {
        self.assembler.is_due()
    }

    pub fn has_news(&self) -> bool {
        self.assembler.has_news()
    }

    /// What has been read, as a batch with the state to go on from there.
    pub fn take(&mut self) -> io::Result<Batch> {
        if self.prefix.len() < PREFIX_BYTES {
            self.prefix = read_prefix(&self.file)?;
        }
        let state = State {
            path: self.path.to_string_lossy().into_owned(),
            prefix_len: self.prefix.len() as u64,
            prefix_hash: hash(&self.prefix),
            tail: self.tail.filter(|tail| tail.upto <= self.assembler.position()),
            done: if self.done && self.is_compressed() { Some(end_of(&self.file)?) } else { None },
            framing: self.assembler.checkpoint(),
        };
        Ok(self.assembler.take(Some(state.to_text())))
    }
}

fn as_io<T>(result: Result<T, ReadError>) -> io::Result<T> {
    result.map_err(|error| match error {
        ReadError::Io(error) => error,
        ReadError::Broken(broken) => io::Error::new(io::ErrorKind::UnexpectedEof, broken),
    })
}
