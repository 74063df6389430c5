//! The write-ahead log: makes bytes that arrive only once durable before they are acknowledged.
//!
//! A folder of segments, each named by the position of its first byte; positions count bytes over all
//! segments and are those of the source's partition. An entry is its length, a checksum over position
//! and payload, and the payload. Concurrent appends share one fsync. What was half written when the
//! machine stopped is cut off at the next start: it was never acknowledged. A segment is deleted
//! when everything in it is finished. One process owns the folder, by a lock.

mod entry;
mod pump;
mod read;
mod write;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::Uid;
use parking_lot::Mutex;
use tokio::sync::watch;

pub(crate) use pump::{Place, Pump};
pub use read::{Entries, Reader};
pub use write::{AppendError, Writer};

/// Makes what was written to a file durable. Another one than the system's is for tests.
pub type Sync = fn(&File) -> io::Result<()>;

/// Where the log is and how much it may hold.
#[derive(Clone, Debug)]
pub struct Options {
    pub folder: PathBuf,
    /// A new segment begins when this is reached.
    pub segment_bytes: u64,
    /// Appends are refused when all segments together hold this much.
    pub bytes_max: u64,
    pub sync: Sync,
}

/// A segment: where it begins and how many bytes it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    start: u64,
    len: u64,
}

impl Segment {
    fn end(self) -> u64 {
        self.start + self.len
    }

    fn path(self, folder: &Path) -> PathBuf {
        folder.join(format!("{:020}.wal", self.start))
    }
}

/// The segments in order; the last one is written to.
#[derive(Debug, Default)]
struct Segments(VecDeque<Segment>);

impl Segments {
    fn bytes(&self) -> u64 {
        self.0.iter().map(|segment| segment.len).sum()
    }
}

/// What writer, reader and deletion share.
#[derive(Debug)]
struct Shared {
    options: Options,
    segments: Mutex<Segments>,
    /// Everything before this is on disk.
    durable: watch::Sender<u64>,
    /// Held as long as the log is open.
    _lock: File,
}

/// An open log.
#[derive(Debug)]
pub struct Wal {
    shared: Arc<Shared>,
    /// Names the log for ever, `wal:3f9a…`.
    pub partition: Arc<str>,
    /// Bytes that were cut off because they were half written.
    pub torn_bytes: u64,
}

impl Wal {
    /// Opens or makes the log. `finished` tells how far a log of some name was finished, to know
    /// where an emptied one goes on.
    pub fn open(options: Options, finished: impl Fn(&str) -> Option<u64>) -> io::Result<Self> {
        create_private(&options.folder)?;
        let lock = File::create(options.folder.join("lock"))?;
        lock.try_lock().map_err(|_| {
            io::Error::new(io::ErrorKind::ResourceBusy, "another process has this log open")
        })?;
        let partition = identity(&options.folder)?;
        let mut segments = Segments(find(&options.folder)?.into());
        let mut torn_bytes = 0;
        if let Some(last) = segments.0.back_mut() {
            let whole = read::whole_bytes(&last.path(&options.folder), last.start)?;
            torn_bytes = last.len - whole;
            if torn_bytes > 0 {
                let file = File::options().write(true).open(last.path(&options.folder))?;
                file.set_len(whole)?;
                file.sync_all()?;
                last.len = whole;
            }
        }
        let end = segments.0.back().map_or(0, |last| last.end());
        let end = if segments.0.is_empty() { finished(&partition).unwrap_or(0) } else { end };
        if segments.0.is_empty() {
            segments.0.push_back(create(&options.folder, end)?);
        }
        let durable = watch::Sender::new(end);
        let segments = Mutex::new(segments);
        let shared = Arc::new(Shared { options, segments, durable, _lock: lock });
        Ok(Self { shared, partition, torn_bytes })
    }

    /// The position after the last entry.
    pub fn end(&self) -> u64 {
        *self.shared.durable.borrow()
    }

    /// The position of the first entry that is still there.
    pub fn start(&self) -> u64 {
        self.shared.segments.lock().0.front().map_or(0, |segment| segment.start)
    }

    /// Bytes in all segments.
    pub fn bytes(&self) -> u64 {
        self.shared.segments.lock().bytes()
    }

    /// Starts the thread that writes.
    pub fn writer(&self) -> Writer {
        Writer::start(self.shared.clone())
    }

    /// Reads from a position on.
    pub fn reader(&self, from: u64) -> Reader {
        Reader::new(self.shared.clone(), from)
    }

    /// Tells when there is more to read.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.shared.durable.subscribe()
    }

    /// Deletes the segments that lie wholly before `position`; how many. The last one stays.
    pub fn release(&self, position: u64) -> io::Result<usize> {
        let mut count = 0;
        loop {
            let mut segments = self.shared.segments.lock();
            let Some(first) = segments.0.front().copied() else { break };
            if segments.0.len() < 2 || first.end() > position {
                break;
            }
            match fs::remove_file(first.path(&self.shared.options.folder)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            segments.0.pop_front();
            count += 1;
        }
        Ok(count)
    }
}

/// Makes the folder for its owner only: it holds events as they came. One that is there stays as it is.
fn create_private(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// The log's name, made at its first start.
fn identity(folder: &Path) -> io::Result<Arc<str>> {
    let path = folder.join("id");
    if let Ok(text) = fs::read_to_string(&path)
        && let Some(uid) = Uid::parse(text.trim())
    {
        return Ok(name(uid));
    }
    let now = crate::assembler::now().0.to_le_bytes();
    let process = std::process::id().to_le_bytes();
    let place = folder.as_os_str().as_encoded_bytes();
    let uid = Uid::of("wal", &[&now, &process, place]);
    let fresh = folder.join("id.new");
    let mut file = File::create(&fresh)?;
    writeln!(file, "{uid}")?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    sync_folder(folder)?;
    Ok(name(uid))
}

fn name(uid: Uid) -> Arc<str> {
    format!("wal:{}", &uid.to_string()[..16]).into()
}

fn find(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let start = name.to_str().and_then(|name| name.strip_suffix(".wal")?.parse().ok());
        if let Some(start) = start {
            found.push(Segment { start, len: entry.metadata()?.len() });
        }
    }
    found.sort_by_key(|segment| segment.start);
    let gap = found.windows(2).find(|pair| pair[0].end() != pair[1].start);
    if let Some(pair) = gap {
        let message = format!("segments do not touch at {} and {}", pair[0].end(), pair[1].start);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(found)
}

/// A new, empty segment that survives a power cut.
fn create(folder: &Path, start: u64) -> io::Result<Segment> {
    let segment = Segment { start, len: 0 };
    File::options().create(true).append(true).open(segment.path(folder))?.sync_all()?;
    sync_folder(folder)?;
    Ok(segment)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
