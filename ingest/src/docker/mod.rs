//! Events of a Docker engine, by its API over the unix socket.
//!
//! The engine keeps the last 256 events and numbers none. So the stream is kept open, and taken up again at
//! the nanosecond of the last event, whose own bytes tell what was seen already. When they are not among
//! what the engine still has, events may be missing: that is said by a dead letter, a metric and the log.
//!
//! What a container may do (privileged, mounts, capabilities) is not in the events: it is asked for when a
//! container is created or started, and put beside the event as `inspect`. Nothing of the engine's
//! environment variables is kept.

mod cursor;
mod engine;
mod inspect;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use event::{LogType, PartitionKey, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::assembler::{LINGER, now};
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::framing::Frames;
use crate::lines::Lines;
use crate::meter::Meter;
use crate::source::{Shutdown, Source, SourceContext, Summary, last_words};
use cursor::{Cursor, Event};
use engine::{Engine, Trouble};

/// The engine is asked again after so long, and twice as long every time, up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Options of the `docker` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DockerOptions {
    /// The engine's socket. Who may read it is root on the host.
    pub socket: PathBuf,
    /// Ask what a container may do when it is created or started.
    pub inspect: bool,
    /// Longer events become dead letters.
    pub record_bytes_max: usize,
}

impl Default for DockerOptions {
    fn default() -> Self {
        let socket = PathBuf::from("/var/run/docker.sock");
        Self { socket, inspect: true, record_bytes_max: 1 << 20 }
    }
}

/// Follows the events of an engine.
pub struct DockerSource {
    options: DockerOptions,
    log_type: LogType,
}

impl DockerSource {
    pub fn new(name: &str, log_type: &str, options: DockerOptions) -> Result<Self, SourceError> {
        if options.socket.as_os_str().is_empty() {
            return Err(SourceError::new(name, ErrorKind::Config, "`socket` is empty"));
        }
        Ok(Self { options, log_type: log_type.into() })
    }
}

#[async_trait]
impl Source for DockerSource {
    fn is_finite(&self) -> bool {
        false
    }

    fn hears(&self) -> bool {
        true
    }

    async fn run(self: Box<Self>, mut context: SourceContext) -> Result<Summary, SourceError> {
        let name = context.name.clone();
        let engine = Engine::new(&self.options.socket, self.options.record_bytes_max);
        let engine = engine.map_err(|e| {
            SourceError::new(&name, ErrorKind::Config, "the engine's address").because(e)
        })?;
        let meter = Meter::new(&name, &context.standing);
        let partition: Arc<str> = "events".into();
        let resume = context.resume.remove(&partition).unwrap_or_default();
        let mut follower = Follower {
            engine,
            inspect: self.options.inspect,
            cursor: Cursor::resume(resume.state.as_deref()),
            log_type: self.log_type,
            frames: Frames::default(),
            after: resume.upto,
            position: resume.upto,
            key: PartitionKey { source: name, partition },
            emitter: context.emitter,
            shutdown: context.shutdown,
            meter: meter.clone(),
        };
        follower.run().await?;
        drop(follower);
        last_words(&mut context.finished, |_| {}).await;
        let mut summary = Summary { opened: 1, ..Summary::default() };
        meter.summarize(&mut summary);
        Ok(summary)
    }
}

struct Follower {
    engine: Engine,
    inspect: bool,
    cursor: Cursor,
    log_type: LogType,
    frames: Frames,
    /// Handed over up to here; positions count records and rejects.
    after: u64,
    position: u64,
    key: PartitionKey,
    emitter: Emitter,
    shutdown: Shutdown,
    meter: Meter,
}

impl Follower {
    /// Until the shutdown.
    async fn run(&mut self) -> Result<(), SourceError> {
        let mut pause = PAUSE_MIN;
        while !self.shutdown.is_requested() {
            let before = self.position;
            let trouble = match self.catch_up().await? {
                Some(trouble) => trouble,
                None => match self.follow().await? {
                    Some(trouble) => trouble,
                    None => return Ok(()),
                },
            };
            self.meter.error();
            self.meter.stands(Some(&trouble.to_string()));
            tracing::warn!(source = %self.key.source, %trouble, "the engine does not answer; trying again");
            pause = if self.position > before { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shutdown.requested() => {}
            }
        }
        Ok(())
    }

    /// What happened since the last event; whether the engine still has that one tells of a gap.
    async fn catch_up(&mut self) -> Result<Option<Trouble>, SourceError> {
        let Some(since) = self.cursor.since() else { return Ok(None) };
        let until = format!("{}", now().0.div_euclid(1_000_000_000) + 1);
        let lines = self.engine.events(&since, Some(&until));
        let known = self.cursor.clone();
        let (mut found, mut is_known) = (Vec::new(), false);
        let read = async {
            let mut lines = lines.await?;
            while let Some(line) = lines.next().await? {
                is_known |= line.as_ref().is_ok_and(|line| known.is_known(line));
                found.push(line);
            }
            Ok::<_, Trouble>(())
        };
        let done = tokio::select! {
            done = read => done,
            () = self.shutdown.requested() => return Ok(None),
        };
        if let Err(trouble) = done {
            return Ok(Some(trouble));
        }
        if !is_known {
            self.meter.missed();
            tracing::error!(source = %self.key.source, %since, "the engine no longer has what came next: events may be missing");
            let reason = format!(
                "events may be missing here: the engine no longer has the last one that was seen, of {since}"
            );
            self.position += 1;
            self.frames.reject(self.position, 0, reason, Vec::new());
        }
        for line in found {
            self.take(line).await;
        }
        self.hand_over().await?;
        Ok(None)
    }

    /// Reads on as events happen. `None`: the shutdown.
    async fn follow(&mut self) -> Result<Option<Trouble>, SourceError> {
        let since = self.cursor.since().unwrap_or_else(|| "0".to_owned());
        let opened = tokio::select! {
            opened = self.engine.events(&since, None) => opened,
            () = self.shutdown.requested() => return Ok(None),
        };
        let mut lines = match opened {
            Ok(lines) => lines,
            Err(trouble) => return Ok(Some(trouble)),
        };
        self.meter.stands(None);
        loop {
            let ended = self.some(&mut lines).await;
            self.hand_over().await?;
            match ended {
                Ended::Not => {}
                Ended::Shutdown => return Ok(None),
                Ended::Lost(trouble) => return Ok(Some(trouble)),
                Ended::Closed => return Err(SourceError::closed(&self.key.source)),
            }
        }
    }

    /// Takes events until there are enough for a batch, or they have waited long enough.
    async fn some(&mut self, lines: &mut Lines) -> Ended {
        let mut due = None;
        while !self.frames.is_full() {
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let line = tokio::select! {
                line = lines.next() => line,
                () = wait => return Ended::Not,
                () = self.emitter.closed() => return Ended::Closed,
                () = self.shutdown.requested() => return Ended::Shutdown,
            };
            match line {
                Ok(Some(line)) => self.take(line).await,
                Ok(None) => return Ended::Lost(Trouble::Ended),
                Err(broken) => return Ended::Lost(broken.into()),
            }
            due.get_or_insert(tokio::time::Instant::now() + LINGER);
        }
        Ended::Not
    }

    /// One event, if it is new.
    async fn take(&mut self, line: Result<Bytes, Bytes>) {
        let line = match line {
            Ok(line) if line.trim_ascii().is_empty() => return,
            Ok(line) => line,
            Err(long) => {
                self.position += 1;
                let reason = "an event that is too long".to_owned();
                return self.frames.reject(self.position, 0, reason, long.to_vec());
            }
        };
        let event: Option<Event> = serde_json::from_slice(&line).ok();
        if !self.cursor.take(event.as_ref(), &line) {
            return;
        }
        self.position += 1;
        let about = event.as_ref().filter(|_| self.inspect).and_then(inspect::container);
        let Some(id) = about else { return self.frames.record(self.position, 0, &line) };
        let beside = self.engine.inspect(id).await;
        self.frames.record(self.position, 0, &inspect::attach(&line, beside));
    }

    async fn hand_over(&mut self) -> Result<(), SourceError> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let state = Some(self.cursor.state());
        let span = Span { key: self.key.clone(), after: self.after, upto: self.position, state };
        self.after = self.position;
        let batch = self.frames.take(span, &self.log_type, now());
        self.meter.batch(&batch);
        self.emitter.send(batch).await.map_err(|_| SourceError::closed(&self.key.source))
    }
}

/// Why no more events are taken for now.
enum Ended {
    Not,
    Shutdown,
    Closed,
    Lost(Trouble),
}

#[cfg(test)]
mod tests;
