//! Reading entries back, for the pipeline and at start.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::entry::{self, Decoded};
use super::{Segment, Shared};

/// About how much is read at a time.
const READ_BYTES: usize = 1 << 20;

/// Some entries that follow each other.
#[derive(Debug, Default)]
pub struct Entries {
    /// Position and payload of each.
    pub entries: Vec<(u64, Bytes)>,
    /// Bytes that are no entries though they were acknowledged: the disk has damaged them.
    pub damaged: Option<(u64, Bytes)>,
    /// The position after all of this.
    pub upto: u64,
}

/// Reads on from a position. Blocking.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    position: u64,
    open: Option<(u64, File)>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, position: u64) -> Self {
        Self { shared, position, open: None }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next entries that are durable, about a mebibyte of them; `None` when there are none.
    pub fn read_on(&mut self) -> io::Result<Option<Entries>> {
        let durable = *self.shared.durable.borrow();
        if self.position >= durable {
            return Ok(None);
        }
        let segment = self.segment()?;
        let end = segment.end().min(durable);
        let bytes = self.read(segment, end, READ_BYTES)?;
        let mut found = self.decode(&bytes);
        if found.entries.is_empty() && found.damaged.is_none() {
            // One entry that is longer than what was read.
            let Decoded::More(wanted) = entry::decode(self.position, &bytes) else {
                return Err(io::Error::other("an entry was neither whole nor short"));
            };
            let bytes = self.read(segment, end, wanted)?;
            found = self.decode(&bytes);
            if found.entries.is_empty() {
                found.damaged = Some((self.position, Bytes::new()));
            }
        }
        if let Some((at, bytes)) = &mut found.damaged {
            // Without a length that can be trusted the rest of the segment is lost as entries.
            self.position = *at;
            *bytes = self.read(segment, end, usize::MAX)?;
            found.upto = end;
        }
        self.position = found.upto;
        Ok(Some(found))
    }

    fn decode(&self, bytes: &Bytes) -> Entries {
        let mut found = Entries { upto: self.position, ..Entries::default() };
        let mut used = 0;
        loop {
            match entry::decode(found.upto, &bytes[used..]) {
                Decoded::Entry(payload) => {
                    let start = used + entry::HEAD;
                    let payload = bytes.slice(start..start + payload.len());
                    used = start + payload.len();
                    found.entries.push((found.upto, payload));
                    found.upto = self.position + used as u64;
                }
                Decoded::More(_) => return found,
                Decoded::Damaged => {
                    found.damaged = Some((found.upto, Bytes::new()));
                    return found;
                }
            }
        }
    }

    fn segment(&self) -> io::Result<Segment> {
        let segments = self.shared.segments.lock();
        let holds = |s: &&Segment| s.start <= self.position && self.position < s.end();
        segments.0.iter().find(holds).copied().ok_or_else(|| {
            let message = format!("no segment holds position {}", self.position);
            io::Error::new(io::ErrorKind::NotFound, message)
        })
    }

    fn read(&mut self, segment: Segment, end: u64, wanted: usize) -> io::Result<Bytes> {
        if self.open.as_ref().is_none_or(|(start, _)| *start != segment.start) {
            let file = File::open(segment.path(&self.shared.options.folder))?;
            self.open = Some((segment.start, file));
        }
        let left = usize::try_from(end - self.position).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(wanted)];
        if let Some((start, file)) = &self.open {
            file.read_exact_at(&mut bytes, self.position - start)?;
        }
        Ok(bytes.into())
    }
}

/// How many bytes of a segment are whole entries.
pub(super) fn whole_bytes(path: &Path, start: u64) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    let (mut at, mut used) = (start, 0);
    loop {
        match entry::decode(at, &bytes[used..]) {
            Decoded::Entry(payload) => {
                let len = entry::HEAD + payload.len();
                used += len;
                at += len as u64;
            }
            Decoded::Damaged => return Ok(at - start),
            Decoded::More(wanted) => {
                bytes.drain(..used);
                used = 0;
                let more = wanted.max(READ_BYTES) - bytes.len();
                let read = file.by_ref().take(more as u64).read_to_end(&mut bytes)?;
                if read == 0 {
                    return Ok(at - start);
                }
            }
        }
    }
}
