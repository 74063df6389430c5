//! Syslog over TCP, TLS and UDP: RFC 5424 and RFC 3164, counted or one message a line.
//!
//! Messages are written to the write-ahead log ([`crate::wal`]) before anything else. When it is full or
//! the disk is slow, a connection is not read, so that its sender waits; syslog has no acknowledgement, so
//! what a sender has sent and this side has not read is for the sender to keep. UDP cannot be made to wait:
//! what the kernel has no room for is gone, and counted where the kernel says so.
//!
//! What is no message (too long, a count that is none, a connection that ends inside of one) becomes a
//! dead letter. Whether a message says what syslog says is for its reader.

mod entry;
mod split;
mod tcp;
mod udp;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use event::LogType;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use crate::error::{ErrorKind, SourceError};
use crate::framing::Frames;
use crate::meter::Meter;
use crate::source::{Shutdown, Source, SourceContext, Summary};
use crate::tls::{RENEWED_EVERY, Tls, TlsOptions};
use crate::wal::{self, Pump, Writer};
use entry::{Entry, Part};
pub use split::Framing;

/// While the log has no room, it is tried again after this long.
const AGAIN: Duration = Duration::from_millis(100);

/// What of a message becomes the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordPart {
    /// The message with its header, for log types that read syslog.
    #[default]
    Whole,
    /// What follows the header, for vendors whose records travel inside: JSON of GitHub, GitLab, Jamf.
    Message,
}

/// Options of the `syslog` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SyslogOptions {
    /// Address and port to listen on for connections, `0.0.0.0:6514`.
    pub tcp: Option<String>,
    /// Speak TLS on connections; with `client_ca`, only with known clients.
    pub tls: Option<TlsOptions>,
    /// Address and port to listen on for datagrams, which get lost when there are too many.
    pub udp: Option<String>,
    /// How the messages of a connection are told apart.
    pub framing: Framing,
    /// What of a message becomes the record.
    pub record: RecordPart,
    /// The zone of times that are written without one, `+02:00`; UTC unless it is given.
    pub zone: Option<String>,
    /// Longer messages become dead letters, in parts of this size.
    pub record_bytes_max: usize,
    /// The folder of the write-ahead log; the source's name is added.
    pub wal_folder: PathBuf,
    /// The write-ahead log holds no more than this; then connections are not read.
    pub wal_bytes_max: u64,
    /// More connections than this wait.
    pub connections_max: usize,
}

impl Default for SyslogOptions {
    fn default() -> Self {
        Self {
            tcp: None,
            tls: None,
            udp: None,
            framing: Framing::Auto,
            record: RecordPart::Whole,
            zone: None,
            record_bytes_max: 256 << 10,
            wal_folder: PathBuf::from("mantissa-wal"),
            wal_bytes_max: 4 << 30,
            connections_max: 512,
        }
    }
}

/// Receives syslog.
pub struct SyslogSource {
    options: SyslogOptions,
    log_type: LogType,
    tcp: Option<SocketAddr>,
    udp: Option<SocketAddr>,
    /// Bound already, by a test that must know the ports.
    bound: (Option<std::net::TcpListener>, Option<std::net::UdpSocket>),
    sync: wal::Sync,
}

impl SyslogSource {
    pub fn new(name: &str, log_type: &str, options: SyslogOptions) -> Result<Self, SourceError> {
        let refuse = |message: String| SourceError::new(name, ErrorKind::Config, message);
        let address = |name: &str, given: &Option<String>| match given {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                refuse(format!(
                    "`{name}` must be an address and port like 0.0.0.0:514, not {text:?}"
                ))
            }),
        };
        let (tcp, udp) = (address("tcp", &options.tcp)?, address("udp", &options.udp)?);
        if tcp.is_none() && udp.is_none() {
            return Err(refuse("listens nowhere; give `tcp`, `udp` or both".to_owned()));
        }
        if tcp.is_none() && options.tls.is_some() {
            return Err(refuse("`tls` is spoken on connections; give `tcp`".to_owned()));
        }
        if let Some(zone) = options.zone.as_deref().filter(|zone| !is_zone(zone)) {
            return Err(refuse(format!("`zone` must be like +02:00, not {zone:?}")));
        }
        if options.zone.is_some() && options.record == RecordPart::Message {
            return Err(refuse(
                "`zone` is of the header, which `record: message` drops".to_owned(),
            ));
        }
        let (log_type, bound) = (log_type.into(), (None, None));
        Ok(Self { options, log_type, tcp, udp, bound, sync: std::fs::File::sync_data })
    }

    /// On sockets that are bound already.
    pub fn on(
        mut self,
        tcp: Option<std::net::TcpListener>,
        udp: Option<std::net::UdpSocket>,
    ) -> Self {
        self.bound = (tcp, udp);
        self
    }

    async fn listener(&mut self, name: &str) -> Result<Option<TcpListener>, SourceError> {
        let Some(address) = self.tcp else { return Ok(None) };
        let bound = match self.bound.0.take() {
            Some(bound) => bound.set_nonblocking(true).and_then(|()| TcpListener::from_std(bound)),
            None => TcpListener::bind(address).await,
        };
        let failed = |e| SourceError::io(name, format!("listening on {address}"), e);
        bound.map(Some).map_err(failed)
    }

    async fn socket(&mut self, name: &str) -> Result<Option<UdpSocket>, SourceError> {
        let Some(address) = self.udp else { return Ok(None) };
        let bound = match self.bound.1.take() {
            Some(bound) => bound.set_nonblocking(true).and_then(|()| UdpSocket::from_std(bound)),
            None => UdpSocket::bind(address).await,
        };
        let failed = |e| SourceError::io(name, format!("listening on UDP {address}"), e);
        bound.map(Some).map_err(failed)
    }
}

/// `+02:00` or `-0530`.
fn is_zone(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).map(|rest| rest.replacen(':', "", 1));
    let digits =
        digits.filter(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()));
    digits.is_some_and(|digits| &digits[..2] < "24" && &digits[2..] < "60")
}

#[async_trait]
impl Source for SyslogSource {
    fn is_finite(&self) -> bool {
        false
    }

    fn hears(&self) -> bool {
        true
    }

    async fn run(mut self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let place = wal::Place {
            folder: self.options.wal_folder.clone(),
            bytes_max: self.options.wal_bytes_max,
            sync: self.sync,
        };
        let wal = place.open(&context)?;
        let name = context.name.clone();
        let tls = self.options.tls.as_ref().map(|options| Tls::load(options, &[])).transpose();
        let tls =
            tls.map_err(|e| SourceError::new(&name, ErrorKind::Config, format!("`tls`: {e}")))?;
        let (listener, socket) = (self.listener(&name).await?, self.socket(&name).await?);
        let meter = Meter::new(&name, &context.standing);
        let keeper = Keeper {
            writer: wal.writer(),
            meter: meter.clone(),
            shutdown: context.shutdown.clone(),
        };
        let mut tasks = JoinSet::new();
        if let Some(tls) = tls.clone() {
            tasks.spawn(tls.follow(RENEWED_EVERY, meter.clone()));
        }
        if let Some(listener) = listener {
            let server = tcp::Server {
                tls,
                framing: self.options.framing,
                max: self.options.record_bytes_max,
                room: tcp::room(self.options.connections_max),
                keeper: keeper.clone(),
            };
            tasks.spawn(server.run(listener));
        }
        if let Some(socket) = socket {
            tasks.spawn(udp::watch_drops(name.clone(), socket.local_addr().ok()));
            tasks.spawn(udp::run(socket, keeper.clone()));
        }
        drop(keeper);
        let part = match self.options.record {
            RecordPart::Whole => Part::Whole { zone: self.options.zone.clone() },
            RecordPart::Message => Part::Text,
        };
        let frame = move |payload: &[u8], at: u64, out: &mut Frames| {
            entry::frame(&part, payload, at, out);
        };
        let (pump, emitter) = Pump::new(wal, context, self.log_type, meter.clone(), frame);
        let done = pump.run(emitter).await;
        tasks.shutdown().await;
        done?;
        let mut summary = Summary { opened: 1, ..Summary::default() };
        meter.summarize(&mut summary);
        Ok(summary)
    }
}

/// Puts messages into the log, and waits while it has no room.
#[derive(Clone)]
struct Keeper {
    writer: Writer,
    meter: Meter,
    shutdown: Shutdown,
}

impl Keeper {
    /// Returns when what `entry` holds is on disk. Only the shutdown ends the waiting without.
    async fn keep(&mut self, entry: &mut Entry) {
        let count = entry.count;
        let Some(payload) = entry.take() else { return };
        let mut is_said = false;
        while let Err(error) = self.writer.append(payload.clone()).await {
            if !is_said {
                self.meter.error();
                tracing::warn!(source = self.meter.source(), %error, "senders have to wait");
                is_said = true;
            }
            if self.shutdown.is_requested() {
                let source = self.meter.source();
                tracing::error!(source, messages = count, %error, "stopped before these were kept");
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests;
