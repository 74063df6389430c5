//! The writing thread: gathers the appends that wait, writes them at once, makes them durable with
//! one fsync, and answers them all.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{Segment, Shared, create, entry};

/// Appends that wait for the disk.
const QUEUE_MAX: usize = 1_024;
/// Appends written together hold about this much.
const GROUP_BYTES: usize = 8 << 20;

/// Why an append was refused. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("the log holds as much as it may")]
    Full,
    #[error("too many appends wait for the disk")]
    Busy,
    #[error("the log cannot be written: {0}")]
    Io(String),
}

struct Append {
    payload: Bytes,
    reply: oneshot::Sender<Result<u64, AppendError>>,
}

/// Appends to the log; cheap to clone. The thread ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Append>,
    shared: Arc<Shared>,
}

impl Writer {
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let work =
            Work { shared: shared.clone(), file: None, group: Vec::new(), is_failing: false };
        std::thread::spawn(move || work.run(waiting));
        Self { queue, shared }
    }

    /// Returns the position after the entry once it is on disk. A payload is not empty.
    pub async fn append(&self, payload: Bytes) -> Result<u64, AppendError> {
        if self.is_full(payload.len()) {
            return Err(AppendError::Full);
        }
        let (reply, answer) = oneshot::channel();
        let append = Append { payload, reply };
        self.queue.try_send(append).map_err(|_| AppendError::Busy)?;
        let gone = |_| AppendError::Io("the writing thread has ended".to_owned());
        answer.await.map_err(gone)?
    }

    /// Whether that many bytes more are too many.
    pub fn is_full(&self, more: usize) -> bool {
        self.shared.is_full(more)
    }
}

impl Shared {
    fn is_full(&self, more: usize) -> bool {
        self.segments.lock().bytes() + more as u64 > self.options.bytes_max
    }
}

struct Work {
    shared: Arc<Shared>,
    file: Option<File>,
    group: Vec<u8>,
    /// The last write failed, which has been said.
    is_failing: bool,
}

impl Work {
    fn run(mut self, mut waiting: mpsc::Receiver<Append>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut appends = vec![first];
            let mut bytes = appends[0].payload.len();
            while bytes < GROUP_BYTES
                && let Ok(next) = waiting.try_recv()
            {
                bytes += next.payload.len();
                appends.push(next);
            }
            self.commit(appends);
        }
    }

    fn commit(&mut self, appends: Vec<Append>) {
        let start = *self.shared.durable.borrow();
        let mut ends = Vec::with_capacity(appends.len());
        self.group.clear();
        for append in appends {
            if self.shared.is_full(self.group.len() + append.payload.len()) {
                let _ = append.reply.send(Err(AppendError::Full));
                continue;
            }
            let position = start + self.group.len() as u64;
            entry::encode(position, &append.payload, &mut self.group);
            ends.push((append.reply, start + self.group.len() as u64));
        }
        match self.write() {
            Ok(()) => {
                self.shared.durable.send_replace(start + self.group.len() as u64);
                if !self.group.is_empty() && std::mem::take(&mut self.is_failing) {
                    tracing::info!("the write-ahead log is written again");
                }
                for (reply, end) in ends {
                    let _ = reply.send(Ok(end));
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(%error, "the write-ahead log cannot be written");
                }
                self.undo();
                for (reply, _) in ends {
                    let _ = reply.send(Err(AppendError::Io(error.to_string())));
                }
            }
        }
        self.group.shrink_to(GROUP_BYTES);
    }

    fn write(&mut self) -> io::Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let last = self.last();
        if last.len >= self.shared.options.segment_bytes {
            self.rotate(last.end())?;
        }
        if self.file.is_none() {
            let last = self.last();
            let path = last.path(&self.shared.options.folder);
            let file = File::options().append(true).open(path)?;
            if file.metadata()?.len() != last.len {
                file.set_len(last.len)?;
            }
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&self.group)?;
        (self.shared.options.sync)(file)?;
        if let Some(last) = self.shared.segments.lock().0.back_mut() {
            last.len += self.group.len() as u64;
        }
        Ok(())
    }

    /// After a write that failed: what was acknowledged stays, the rest is cut off. After a failed
    /// fsync the pages of a file cannot be trusted, so the next append begins a new segment.
    fn undo(&mut self) {
        self.file = None;
        let last = self.last();
        let path = last.path(&self.shared.options.folder);
        let cut = File::options().write(true).open(path).and_then(|file| {
            file.set_len(last.len)?;
            file.sync_all()
        });
        let fresh = cut.and_then(|()| if last.len > 0 { self.rotate(last.end()) } else { Ok(()) });
        if let Err(error) = fresh {
            // Tried again with the next append; a restart cuts it off as well.
            tracing::error!(%error, "the write-ahead log cannot be repaired yet");
        }
    }

    fn rotate(&mut self, end: u64) -> io::Result<()> {
        self.file = None;
        let segment = create(&self.shared.options.folder, end)?;
        self.shared.segments.lock().0.push_back(segment);
        Ok(())
    }

    fn last(&self) -> Segment {
        let segments = self.shared.segments.lock();
        *segments.0.back().expect("an open log has a segment")
    }
}
