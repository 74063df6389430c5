//! Files: read once, or followed as they grow and rotate.
//!
//! A partition is one file, known by its content (see [`identity`]); positions are bytes of the
//! decompressed stream. A renamed file goes on where it was, a truncated or replaced one is a new
//! one, a rotated one is read to its end before it is let go. Nothing here watches for changes by
//! system notification: files are looked at every second, which works on every file system.

mod glob;
pub(crate) mod identity;
mod reader;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use event::LogType;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::runtime::Handle;

use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::framing::{Format, Options, RECORD_BYTES_MAX};
use crate::meter::Meter;
use crate::poll::source::now_ms;
use crate::source::{Shutdown, Source, SourceContext, Summary};
pub(crate) use glob::matches;
use identity::{Entry, Known};
use reader::{Progress, Reader, Shared};

/// More files than this are not open at a time; the others wait their turn.
const OPEN_MAX: usize = 1_000;
/// Chunks read from one file before the next has its turn.
const TURN_CHUNKS: usize = 16;
/// A compressed file is followed once it has not been written to for this long.
const SETTLED: Duration = Duration::from_secs(5);
/// How often it is said how much is left to read.
const LAG_EVERY: Duration = Duration::from_secs(1);

/// When files are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadMode {
    /// Those that are there at the start, to their end.
    Once,
    /// As they grow, rotate and appear.
    #[default]
    Tail,
}

/// Options of the `file` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FileOptions {
    /// Files, or patterns with `*`, `?`, `[a-z]` and `**`. gzip and zstd are recognised.
    pub paths: Vec<String>,
    /// `once` or `tail`.
    pub read: ReadMode,
    /// How the bytes are cut into records.
    pub format: Format,
    /// Longer records become dead letters, in parts of this size.
    pub record_bytes_max: usize,
    /// How often files are looked at when following them.
    pub poll_ms: u64,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            read: ReadMode::default(),
            format: Format::default(),
            record_bytes_max: RECORD_BYTES_MAX,
            poll_ms: 1_000,
        }
    }
}

/// Reads files.
#[derive(Debug)]
pub struct FileSource {
    options: FileOptions,
    log_type: LogType,
}

impl FileSource {
    pub fn new(name: &str, log_type: &str, options: FileOptions) -> Result<Self, SourceError> {
        if options.paths.is_empty() {
            return Err(SourceError::new(name, ErrorKind::Config, "`paths` names no file"));
        }
        Ok(Self { options, log_type: log_type.into() })
    }
}

#[async_trait]
impl Source for FileSource {
    fn is_finite(&self) -> bool {
        self.options.read == ReadMode::Once
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let runtime = Handle::current();
        let name = context.name.clone();
        let work = tokio::task::spawn_blocking(move || Work::new(*self, context, runtime).run());
        work.await.map_err(|e| SourceError::new(&name, ErrorKind::Io, "stopped").because(e))?
    }
}

/// A file that was looked at: the device and number tell open files apart, nothing more.
type FileId = (u64, u64);

/// The blocking side: one thread reads all files in turn.
struct Work {
    options: FileOptions,
    shared: Shared,
    emitter: Emitter,
    shutdown: Shutdown,
    runtime: Handle,
    known: Known,
    open: HashMap<FileId, Reader>,
    /// Files that need no more reading, and their size then.
    settled: HashMap<FileId, u64>,
    /// Open files that no pattern finds any more, and had nothing to read when last looked at.
    leaving: HashMap<FileId, u32>,
    /// Bytes of the files that are read once and were not begun yet.
    waiting_bytes: u64,
    /// When it was last said how much is left to read.
    lag_shown: Option<Instant>,
    summary: Summary,
}

impl Work {
    fn new(source: FileSource, context: SourceContext, runtime: Handle) -> Self {
        let meter = Meter::new(&context.name, &context.standing);
        let mut framing = Options::new(source.options.format.clone(), source.log_type.as_str());
        framing.record_bytes_max = source.options.record_bytes_max;
        let shared = Shared {
            source: context.name.clone(),
            log_type: source.log_type,
            options: framing,
            meter,
        };
        Self {
            options: source.options,
            shared,
            emitter: context.emitter,
            shutdown: context.shutdown,
            runtime,
            known: Known::new(&context.resume),
            open: HashMap::new(),
            settled: HashMap::new(),
            leaving: HashMap::new(),
            waiting_bytes: 0,
            lag_shown: None,
            summary: Summary::default(),
        }
    }

    fn run(mut self) -> Result<Summary, SourceError> {
        match self.options.read {
            ReadMode::Once => self.read_once()?,
            ReadMode::Tail => self.tail()?,
        }
        self.shared.meter.summarize(&mut self.summary);
        Ok(self.summary)
    }

    fn read_once(&mut self) -> Result<(), SourceError> {
        let paths = self.paths()?;
        if paths.is_empty() {
            let message = format!("no file matches {}", self.options.paths.join(", "));
            return Err(SourceError::new(&self.shared.source, ErrorKind::Config, message));
        }
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let planned = self.plan(&paths)?;
        self.waiting_bytes = planned.iter().map(|(path, _)| size(path)).sum();
        for (path, entry) in planned {
            if self.shutdown.is_requested() {
                break;
            }
            self.waiting_bytes = self.waiting_bytes.saturating_sub(size(&path));
            let opened = self.open(&path, entry).map_err(|e| self.io(&path, e))?;
            let Some(mut reader) = opened else { continue };
            let before = reader.partition().clone();
            tracing::debug!(path = %path.display(), partition = %before, "reading");
            let whole = self.drain(&mut reader, usize::MAX)?;
            if whole {
                self.close(reader)?;
            }
        }
        self.lag_shown = None;
        self.show_lag(None);
        Ok(())
    }

    fn tail(&mut self) -> Result<(), SourceError> {
        let poll = Duration::from_millis(self.options.poll_ms.max(10));
        let mut next_scan = Instant::now();
        while !self.shutdown.is_requested() {
            if Instant::now() >= next_scan {
                self.scan()?;
                next_scan = Instant::now() + poll;
            }
            let busy = self.turn()?;
            if !busy {
                self.show_lag(None);
                let wait = next_scan.saturating_duration_since(Instant::now());
                std::thread::sleep(wait.min(crate::assembler::LINGER / 2));
            }
        }
        for mut reader in std::mem::take(&mut self.open).into_values() {
            if reader.has_news() {
                self.send(&mut reader)?;
            }
        }
        Ok(())
    }

    fn paths(&self) -> Result<Vec<PathBuf>, SourceError> {
        let mut paths = Vec::new();
        for pattern in &self.options.paths {
            let found = glob::files(pattern).map_err(|e| self.io(Path::new(pattern), e))?;
            paths.extend(found.into_iter().map(|p| fs::canonicalize(&p).unwrap_or(p)));
        }
        paths.sort();
        paths.dedup();
        Ok(paths)
    }

    /// Finds out which of the files were seen before: first those that are where they were, then
    /// those that were renamed. Files that vanished or cannot be read yet are left for later.
    fn plan(&mut self, paths: &[PathBuf]) -> Result<Vec<(PathBuf, Option<Entry>)>, SourceError> {
        let mut planned = Vec::new();
        for path in paths {
            let prefix = fs::File::open(path).and_then(|file| reader::read_prefix(&file));
            match prefix {
                Ok(prefix) => {
                    let entry = self.known.claim(&prefix, path.to_str());
                    planned.push((path.clone(), prefix, entry));
                }
                Err(error) if self.options.read == ReadMode::Once => {
                    return Err(self.io(path, error));
                }
                Err(error) => {
                    self.shared.meter.error();
                    tracing::warn!(path = %path.display(), %error, "cannot be read");
                }
            }
        }
        let known = &mut self.known;
        let renamed = planned.into_iter().map(|(path, prefix, entry)| {
            let entry = entry.or_else(|| known.claim(&prefix, None));
            (path, entry)
        });
        Ok(renamed.collect())
    }

    /// Opens a file, or notes that there is nothing in it that was not read before.
    fn open(&mut self, path: &Path, entry: Option<Entry>) -> io::Result<Option<Reader>> {
        let file = fs::File::open(path)?;
        let prefix = reader::read_prefix(&file)?;
        if let Some(entry) = entry {
            if reader::is_done(&file, &entry)? {
                self.summary.skip(path.display().to_string());
                return Ok(None);
            }
            if let Some(reader) = Reader::resume(&self.shared, path, &entry)? {
                if reader.is_at_end()? {
                    self.summary.skip(path.display().to_string());
                    return Ok((self.options.read == ReadMode::Tail).then_some(reader));
                }
                self.summary.opened += 1;
                return Ok(Some(reader));
            }
            tracing::info!(path = %path.display(), "was replaced; reading it from the start");
        }
        self.summary.opened += 1;
        let name = self.known.new_name("file", &path.display().to_string(), &prefix);
        Reader::open(&self.shared, path, name).map(Some)
    }

    /// Looks for new files, renamed ones and those that are gone.
    fn scan(&mut self) -> Result<(), SourceError> {
        let mut fresh = Vec::new();
        let mut seen = HashMap::new();
        for path in self.paths()? {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let id = (metadata.dev(), metadata.ino());
            seen.insert(id, ());
            if let Some(reader) = self.open.get_mut(&id) {
                reader.path = path;
            } else if self.settled.get(&id) != Some(&metadata.len()) && may_open(&path, &metadata) {
                fresh.push(path);
            }
        }
        self.settled.retain(|id, _| seen.contains_key(id));
        self.leaving.retain(|id, _| !seen.contains_key(id));
        for id in self.open.keys().filter(|id| !seen.contains_key(id)) {
            self.leaving.entry(*id).or_insert(0);
        }
        for (path, entry) in self.plan(&fresh)? {
            if self.open.len() >= OPEN_MAX {
                tracing::warn!(open = OPEN_MAX, "too many files to follow; the others wait");
                break;
            }
            if let Err(error) = self.follow(&path, entry) {
                self.shared.meter.error();
                tracing::warn!(path = %path.display(), %error, "cannot be opened");
            }
        }
        Ok(())
    }

    fn follow(&mut self, path: &Path, entry: Option<Entry>) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        let id = (metadata.dev(), metadata.ino());
        match self.open(path, entry)? {
            Some(reader) => {
                self.open.insert(id, reader);
            }
            None => {
                self.settled.insert(id, metadata.len());
            }
        }
        Ok(())
    }

    /// Gives every open file its turn; whether any had something.
    fn turn(&mut self) -> Result<bool, SourceError> {
        let mut busy = false;
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            let Some(mut reader) = self.open.remove(&id) else { continue };
            let path = reader.path.clone();
            if reader.was_replaced().unwrap_or(false) {
                self.restart(id, reader)?;
                busy = true;
                continue;
            }
            if reader.is_compressed() && !is_settled(&path) {
                self.open.insert(id, reader);
                continue;
            }
            let at_end = match self.drain(&mut reader, TURN_CHUNKS) {
                Ok(at_end) => at_end,
                Err(error) if error.kind == ErrorKind::Io => {
                    // It may pass; nothing of the file was lost, and nothing of it is skipped.
                    self.shared.meter.error();
                    tracing::warn!(path = %path.display(), %error, "cannot be read; trying again");
                    self.open.insert(id, reader);
                    continue;
                }
                Err(error) => return Err(error),
            };
            busy |= !at_end;
            let gone = self.leaving.get_mut(&id).is_some_and(|looks| {
                *looks += u32::from(at_end);
                *looks > 2
            });
            if at_end && (gone || reader.is_compressed()) {
                if !gone && let Ok(metadata) = fs::metadata(&path) {
                    self.settled.insert(id, metadata.len());
                }
                self.leaving.remove(&id);
                self.close(reader)?;
                continue;
            }
            if at_end && reader.is_due() {
                self.send(&mut reader)?;
            }
            self.open.insert(id, reader);
        }
        Ok(busy)
    }

    /// The file was truncated or written over: what was read is handed over, then it is a new file.
    fn restart(&mut self, id: FileId, mut reader: Reader) -> Result<(), SourceError> {
        if reader.has_news() {
            self.send(&mut reader)?;
        }
        tracing::info!(path = %reader.path.display(), "was truncated; reading it from the start");
        let path = reader.path;
        let start = |work: &mut Self| -> io::Result<()> {
            let metadata = fs::metadata(&path)?;
            if (metadata.dev(), metadata.ino()) == id && metadata.len() > 0 {
                work.follow(&path, None)?;
            }
            Ok(())
        };
        if let Err(error) = start(self) {
            tracing::warn!(path = %path.display(), %error, "cannot be opened");
        }
        Ok(())
    }

    /// Reads on; whether the end was reached.
    fn drain(&mut self, reader: &mut Reader, chunks: usize) -> Result<bool, SourceError> {
        for _ in 0..chunks {
            let progress = reader.advance().map_err(|e| self.io(&reader.path, e))?;
            match progress {
                Progress::Full => self.send(reader)?,
                Progress::Some if reader.is_due() => self.send(reader)?,
                Progress::Some => {}
                Progress::End => return Ok(true),
            }
            if self.shutdown.is_requested() {
                if reader.has_news() {
                    self.send(reader)?;
                }
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// The file is at its end for good: what is open is handed over.
    fn close(&mut self, mut reader: Reader) -> Result<(), SourceError> {
        while !reader.finish() {
            self.send(&mut reader)?;
        }
        // Also without news: that a compressed file was read to its end must be kept.
        if reader.has_news() || reader.is_compressed() {
            self.send(&mut reader)?;
        }
        Ok(())
    }

    fn send(&mut self, reader: &mut Reader) -> Result<(), SourceError> {
        self.show_lag(Some(reader));
        let batch = reader.take().map_err(|e| self.io(&reader.path, e))?;
        let sent = self.runtime.block_on(self.emitter.send(batch));
        sent.map_err(|_| SourceError::closed(&self.shared.source))
    }

    /// Says now and then how much is left to read, in all files together. `reading` is not among the
    /// open ones at the moment.
    fn show_lag(&mut self, reading: Option<&Reader>) {
        if self.lag_shown.is_some_and(|at| at.elapsed() < LAG_EVERY) {
            return;
        }
        self.lag_shown = Some(Instant::now());
        let readers = self.open.values().chain(reading);
        let left: u64 = readers.map(|reader| reader.bytes_left().unwrap_or(0)).sum();
        let left = self.waiting_bytes + left;
        self.shared.meter.lag_bytes("files", left);
        if left == 0 {
            self.shared.meter.read_to(now_ms());
        }
    }

    fn io(&self, path: &Path, error: io::Error) -> SourceError {
        SourceError::io(&self.shared.source, format!("reading {}", path.display()), error)
    }
}

/// An empty file has no identity yet, one of a few bytes may be the beginning of a compressed one,
/// and that is read when it is complete.
fn may_open(path: &Path, metadata: &fs::Metadata) -> bool {
    let compressed = path.extension().is_some_and(|e| e == "gz" || e == "zst" || e == "zstd");
    let whole = metadata.len() >= 4 && !compressed;
    metadata.len() > 0 && (whole || is_settled(path))
}

/// Whether a file has not been written to for a while.
fn is_settled(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age >= SETTLED))
}

/// For sources beside this one that know their content by its beginning.
pub(crate) fn known(resume: &HashMap<Arc<str>, crate::source::Resume>) -> Known {
    Known::new(resume)
}

#[cfg(test)]
mod tests;
