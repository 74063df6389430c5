//! Pushed logs over HTTP: NDJSON, JSON arrays and envelopes, the Splunk HTTP Event Collector's
//! paths, the Kubernetes audit webhook, and Amazon Data Firehose.
//!
//! A request is answered 200 when its whole body is on disk in the write-ahead log ([`crate::wal`]),
//! and refused whole otherwise: 429 and 503 with `Retry-After` when there is no room, 413 when it is
//! too large, 400 when it cannot be decompressed. Nothing is ever half accepted. The log is a
//! partition like any other; its segments are deleted when they are finished.
//!
//! A vendor that pushes its events has a path of its own, where its signature is asked for instead of a
//! token ([`webhook`]).
//!
//! With `tls` the listener speaks TLS, and with `tls.client_ca` lets only clients in whose certificate
//! it knows. A renewed certificate is taken as soon as its files have changed.

mod entry;
mod firehose;
mod hec;
mod listen;
mod serve;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event::{LogType, Secret};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::error::{ErrorKind, SourceError};
use crate::framing::{Format, Frames, Options, RECORD_BYTES_MAX};
use crate::meter::Meter;
use crate::source::{Source, SourceContext, Summary};
use crate::tls::{RENEWED_EVERY, Tls, TlsOptions};
use crate::wal::{self, Pump};
use listen::Limited;
pub use webhook::{Verify, WebhookOptions};

/// Options of the `http` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpOptions {
    /// Address and port to listen on.
    pub listen: String,
    /// Speak TLS.
    pub tls: Option<TlsOptions>,
    /// Where NDJSON, JSON arrays and envelopes are posted.
    pub path: String,
    /// Where a Kubernetes API server posts audit events.
    pub k8s_audit_path: String,
    /// Where Amazon Data Firehose delivers.
    pub firehose_path: String,
    /// Tokens that are accepted as `Authorization: Bearer …` or `Authorization: Splunk …`, and as Firehose's access key.
    pub tokens: Vec<Secret>,
    /// Accept requests without a token. Needed when `tokens` is empty and there is neither `tls.client_ca` nor
    /// a webhook.
    pub allow_anonymous: bool,
    /// Paths of vendors that sign what they post; no token is asked for there.
    pub webhooks: Vec<WebhookOptions>,
    /// How bodies posted to `path` are cut into records.
    pub format: Format,
    /// The largest body, before and after decompression.
    pub body_bytes_max: usize,
    /// Longer records become dead letters, in parts of this size.
    pub record_bytes_max: usize,
    /// The folder of the write-ahead log; the source's name is added.
    pub wal_folder: PathBuf,
    /// The write-ahead log holds no more than this; then requests are answered 503.
    pub wal_bytes_max: u64,
    /// Bytes of bodies that are held in memory at a time; then requests are answered 429.
    pub memory_bytes_max: usize,
    /// More connections than this wait.
    pub connections_max: usize,
    /// A request must have arrived after this time.
    pub request_ms_max: u64,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8088".to_owned(),
            tls: None,
            path: "/v1/ingest".to_owned(),
            k8s_audit_path: "/v1/k8s-audit".to_owned(),
            firehose_path: "/v1/firehose".to_owned(),
            tokens: Vec::new(),
            allow_anonymous: false,
            webhooks: Vec::new(),
            format: Format::Auto,
            body_bytes_max: 16 << 20,
            record_bytes_max: RECORD_BYTES_MAX,
            wal_folder: PathBuf::from("mantissa-wal"),
            wal_bytes_max: 4 << 30,
            memory_bytes_max: 64 << 20,
            connections_max: 512,
            request_ms_max: 30_000,
        }
    }
}

impl HttpOptions {
    /// Whether requests without a token are let in.
    fn is_open(&self) -> bool {
        let knows_clients = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        knows_clients || self.allow_anonymous
    }

    fn fault_of_paths(&self) -> Option<String> {
        let mut all = vec![&self.path, &self.k8s_audit_path, &self.firehose_path];
        all.extend(self.webhooks.iter().map(|webhook| &webhook.path));
        let is_path = |path: &str| path.starts_with('/') && !path.contains(['{', '}', '*', ':']);
        if let Some(path) = all.iter().find(|path| !is_path(path)) {
            return Some(format!("{path:?} is no path: it begins with / and has no patterns"));
        }
        let is_taken = |path: &str, others: &[&String]| {
            path.starts_with("/services/collector") || others.iter().any(|other| **other == path)
        };
        let taken = (0..all.len()).find(|at| is_taken(all[*at], &all[..*at]));
        taken.map(|at| format!("the path {} is taken", all[at]))
    }
}

/// Receives logs over HTTP.
pub struct HttpSource {
    options: HttpOptions,
    log_type: LogType,
    address: SocketAddr,
    /// Bound already, by a test that must know the port.
    listener: Option<std::net::TcpListener>,
    sync: wal::Sync,
    renewed_every: Duration,
}

impl HttpSource {
    pub fn new(name: &str, log_type: &str, options: HttpOptions) -> Result<Self, SourceError> {
        let refuse = |message: String| Err(SourceError::new(name, ErrorKind::Config, message));
        let Ok(address) = options.listen.parse() else {
            return refuse(format!(
                "`listen` must be an address and port like 0.0.0.0:8088, not {:?}",
                options.listen
            ));
        };
        if options.tokens.is_empty() && !options.is_open() && options.webhooks.is_empty() {
            let message =
                "give `tokens`, `webhooks` or `tls.client_ca`, or say `allow_anonymous: true`";
            return refuse(message.to_owned());
        }
        if options.tokens.iter().any(|token| token.expose().is_empty()) {
            return refuse("a token is empty".to_owned());
        }
        if let Some(fault) = options.fault_of_paths() {
            return refuse(fault);
        }
        if let Some(fault) = options.webhooks.iter().find_map(WebhookOptions::fault) {
            return refuse(fault);
        }
        Ok(Self {
            options,
            log_type: log_type.into(),
            address,
            listener: None,
            sync: std::fs::File::sync_data,
            renewed_every: RENEWED_EVERY,
        })
    }

    /// On a socket that listens already.
    pub fn on(mut self, listener: std::net::TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }
}

#[async_trait]
impl Source for HttpSource {
    fn is_finite(&self) -> bool {
        false
    }

    fn hears(&self) -> bool {
        true
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let place = wal::Place {
            folder: self.options.wal_folder.clone(),
            bytes_max: self.options.wal_bytes_max,
            sync: self.sync,
        };
        let wal = place.open(&context)?;
        let name = context.name.clone();
        let tls =
            self.options.tls.as_ref().map(|options| Tls::load(options, &[b"h2", b"http/1.1"]));
        let tls = tls
            .transpose()
            .map_err(|e| SourceError::new(&name, ErrorKind::Config, format!("`tls`: {e}")))?;
        let bind = |e| SourceError::io(&name, format!("listening on {}", self.address), e);
        let listener = match self.listener {
            Some(listener) => {
                listener.set_nonblocking(true).map_err(bind)?;
                TcpListener::from_std(listener).map_err(bind)?
            }
            None => TcpListener::bind(self.address).await.map_err(bind)?,
        };
        let meter = Meter::new(&context.name, &context.standing);
        let mut framing = Options::new(self.options.format.clone(), self.log_type.as_str());
        framing.record_bytes_max = self.options.record_bytes_max;
        let connections_max = self.options.connections_max;
        let service = serve::router(&self.options, wal.writer(), meter.clone());
        let renewing =
            tls.clone().map(|tls| tokio::spawn(tls.follow(self.renewed_every, meter.clone())));
        let listener = Limited::new(listener, connections_max, tls);
        let server = tokio::spawn(serve::run(listener, service, context.shutdown.clone()));
        let frame = move |payload: &[u8], at: u64, out: &mut Frames| {
            entry::frame(&framing, payload, at, out);
        };
        let (pump, emitter) = Pump::new(wal, context, self.log_type, meter.clone(), frame);
        let done = pump.with_origins(entry::origin).run(emitter).await;
        server.abort();
        if let Some(renewing) = renewing {
            renewing.abort();
        }
        done?;
        let mut summary = Summary { opened: 1, ..Summary::default() };
        meter.summarize(&mut summary);
        Ok(summary)
    }
}

/// Whether a token is one of those that are accepted. Takes the same time for every wrong one.
fn is_accepted(tokens: &[Arc<[u8; 32]>], given: &str) -> bool {
    let given = blake3::hash(given.as_bytes());
    tokens.iter().fold(false, |found, token| (blake3::Hash::from_bytes(**token) == given) | found)
}

#[cfg(test)]
mod tests;
