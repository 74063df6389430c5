//! Events of containerd, by its API over the unix socket, of all its namespaces.
//!
//! containerd keeps no event and numbers none: what happens while nobody listens is not told to anybody. So each
//! time the stream is taken up again (after a restart of this program, or of containerd) events may be missing,
//! which is said by a dead letter, a metric and the log.
//!
//! What a container runs and may do is not in the events: it is asked for when a container is created or a task
//! started, and put beside the event as `inspect`. Nothing of its environment variables is kept.

mod events;
mod grpc;
mod inspect;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use event::{LogType, PartitionKey, Span, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::assembler::{LINGER, now};
use crate::emitter::Emitter;
use crate::error::{ErrorKind, SourceError};
use crate::framing::Frames;
use crate::meter::Meter;
use crate::source::{Shutdown, Source, SourceContext, Summary, last_words};
use events::Envelope;
use grpc::{Grpc, Messages, Trouble};

const SUBSCRIBE: &str = "containerd.services.events.v1.Events/Subscribe";
/// Containerd is asked again after so long, and twice as long every time, up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Options of the `containerd` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContainerdOptions {
    /// Its socket. Who may use it is root on the host.
    pub socket: PathBuf,
    /// Ask what a container runs and may do when it is created or started.
    pub inspect: bool,
    /// Longer events become dead letters.
    pub record_bytes_max: usize,
}

impl Default for ContainerdOptions {
    fn default() -> Self {
        let socket = PathBuf::from("/run/containerd/containerd.sock");
        Self { socket, inspect: true, record_bytes_max: 1 << 20 }
    }
}

/// Follows the events of containerd.
pub struct ContainerdSource {
    options: ContainerdOptions,
    log_type: LogType,
}

impl ContainerdSource {
    pub fn new(
        name: &str,
        log_type: &str,
        options: ContainerdOptions,
    ) -> Result<Self, SourceError> {
        if options.socket.as_os_str().is_empty() {
            return Err(SourceError::new(name, ErrorKind::Config, "`socket` is empty"));
        }
        Ok(Self { options, log_type: log_type.into() })
    }
}

#[async_trait]
impl Source for ContainerdSource {
    fn is_finite(&self) -> bool {
        false
    }

    fn hears(&self) -> bool {
        true
    }

    async fn run(self: Box<Self>, mut context: SourceContext) -> Result<Summary, SourceError> {
        let name = context.name.clone();
        let grpc = Grpc::new(&self.options.socket, self.options.record_bytes_max);
        let grpc = grpc.map_err(|e| {
            SourceError::new(&name, ErrorKind::Config, "the address of containerd").because(e)
        })?;
        let meter = Meter::new(&name, &context.standing);
        let partition: Arc<str> = "events".into();
        let resume = context.resume.remove(&partition).unwrap_or_default();
        let mut listener = Listener {
            grpc,
            inspect: self.options.inspect,
            last: resume.state.and_then(|state| Some(Timestamp(state.parse().ok()?))),
            log_type: self.log_type,
            frames: Frames::default(),
            after: resume.upto,
            position: resume.upto,
            key: PartitionKey { source: name, partition },
            emitter: context.emitter,
            shutdown: context.shutdown,
            meter: meter.clone(),
        };
        listener.run().await?;
        drop(listener);
        last_words(&mut context.finished, |_| {}).await;
        let mut summary = Summary { opened: 1, ..Summary::default() };
        meter.summarize(&mut summary);
        Ok(summary)
    }
}

struct Listener {
    grpc: Grpc,
    inspect: bool,
    /// When somebody listened last; what is committed as the state, in nanoseconds.
    last: Option<Timestamp>,
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

impl Listener {
    /// Until the shutdown.
    async fn run(&mut self) -> Result<(), SourceError> {
        let mut pause = PAUSE_MIN;
        while !self.shutdown.is_requested() {
            let before = self.position;
            let Some(trouble) = self.listen().await? else { return Ok(()) };
            self.meter.error();
            self.meter.stands(Some(&trouble.to_string()));
            tracing::warn!(source = %self.key.source, %trouble, "containerd does not answer; trying again");
            pause = if self.position > before { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shutdown.requested() => {}
            }
        }
        Ok(())
    }

    /// One stream to its end. `None`: the shutdown.
    async fn listen(&mut self) -> Result<Option<Trouble>, SourceError> {
        let opened = tokio::select! {
            opened = self.grpc.call(SUBSCRIBE, None, &[]) => opened,
            () = self.shutdown.requested() => return Ok(None),
        };
        let mut messages = match opened {
            Ok(messages) => messages,
            Err(trouble) => return Ok(Some(trouble)),
        };
        self.meter.stands(None);
        self.miss();
        loop {
            let ended = self.some(&mut messages).await;
            self.last = Some(now());
            self.hand_over().await?;
            match ended {
                Ended::Not => {}
                Ended::Shutdown => return Ok(None),
                Ended::Lost(trouble) => return Ok(Some(trouble)),
                Ended::Closed => return Err(SourceError::closed(&self.key.source)),
            }
        }
    }

    /// Says that nobody listened, if somebody did before.
    fn miss(&mut self) {
        let Some(last) = self.last.take() else { return };
        let now = now();
        self.meter.missed();
        self.meter.gap(last.micros() / 1_000, now.micros() / 1_000);
        let reason = format!(
            "events may be missing here: containerd keeps none, and nobody listened from {last} to {now}"
        );
        tracing::error!(source = %self.key.source, "{reason}");
        self.position += 1;
        self.frames.reject(self.position, 0, reason, Vec::new());
    }

    /// Takes events until there are enough for a batch, or they have waited long enough.
    async fn some(&mut self, messages: &mut Messages) -> Ended {
        let mut due = (!self.frames.is_empty()).then(|| tokio::time::Instant::now() + LINGER);
        while !self.frames.is_full() {
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                message = messages.next() => message,
                () = wait => return Ended::Not,
                () = self.emitter.closed() => return Ended::Closed,
                () = self.shutdown.requested() => return Ended::Shutdown,
            };
            match message {
                Ok(Some(message)) => self.take(message).await,
                Ok(None) => return Ended::Lost(Trouble::Ended),
                Err(trouble) => return Ended::Lost(trouble),
            }
            due.get_or_insert(tokio::time::Instant::now() + LINGER);
        }
        Ended::Not
    }

    async fn take(&mut self, message: Result<Bytes, Bytes>) {
        self.position += 1;
        let message = match message {
            Ok(message) => message,
            Err(long) => {
                let reason = "an event that is too long".to_owned();
                return self.frames.reject(self.position, 0, reason, long.to_vec());
            }
        };
        let Some(envelope) = Envelope::read(&message) else {
            let reason = "no event of containerd's API".to_owned();
            return self.frames.reject(self.position, 0, reason, message.to_vec());
        };
        let about = inspect::container(&envelope).filter(|_| self.inspect);
        let beside = match about {
            Some(id) => Some(inspect::ask(&self.grpc, &envelope.namespace, id).await),
            None => None,
        };
        self.frames.record(self.position, 0, &envelope.line(beside));
    }

    async fn hand_over(&mut self) -> Result<(), SourceError> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let (after, upto) = (self.after, self.position);
        let state = self.last.map(|last| last.0.to_string().into());
        let span = Span { key: self.key.clone(), after, upto, state };
        self.after = upto;
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
