//! Google Cloud Pub/Sub, pulled over REST: what Cloud Logging, Security Command Center and others publish.
//!
//! A message is acknowledged after the epoch that holds it is committed; until then its lease is renewed.
//! The ids of messages commit with them, so a message that is delivered again (an answer was lost, the
//! process was killed) is recognised for `remember_hours` and not stored twice. What decides is in
//! [`leases`], which knows no network and no clock.
//!
//! Pub/Sub promises no order but that of ordering keys, in which messages are handed over as they come.

mod api;
mod feed;
mod leases;
mod probe;
mod work;

use async_trait::async_trait;
use event::LogType;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{ErrorKind, SourceError};
use crate::framing::{Format, Options, RECORD_BYTES_MAX};
use crate::meter::Meter;
use crate::poll::client::{Client, Reach};
use crate::probe::Findings;
use crate::source::{Source, SourceContext, Summary};
use crate::tokens::{GoogleAuth, Tokens};
pub(crate) use api::{Api, Message, Wire};
use feed::Feed;
use leases::Limits;
pub(crate) use leases::{Ask, Outcome};
use work::Work;

/// An answer of Pub/Sub holds at most about 10 MB of messages, a third more as base64.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A request for messages waits at Pub/Sub for about 90 seconds.
const REQUEST_MS_MAX: u64 = 150_000;

/// Options of the `gcp_pubsub` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PubsubOptions {
    /// `projects/PROJECT/subscriptions/NAME`, of the kind that is pulled.
    pub subscription: String,
    /// How the source proves who it is.
    pub auth: GoogleAuth,
    /// Where Pub/Sub is; a region has an address of its own, and so has an emulator.
    pub endpoint: String,
    /// How the data of a message is cut into records.
    pub format: Format,
    /// Keep a message's attributes: a record is then `{"attributes":{…},"data":…}`.
    pub keep_attributes: bool,
    /// Messages that may be here before they are in the lake.
    pub messages_max: usize,
    /// Bytes of messages that may be here before they are in the lake.
    pub bytes_max: usize,
    /// How long a message is leased; renewed until it is in the lake. After a crash it comes again when this is
    /// over. 10 to 600.
    pub lease_s: u32,
    /// Requests for messages at the same time.
    pub requests_at_once_max: usize,
    /// A message that is delivered again within this time is recognised.
    pub remember_hours: u32,
    /// Messages that are remembered for that. Of 16 bytes each.
    pub remember_max: usize,
    /// Longer records become dead letters, in parts of this size.
    pub record_bytes_max: usize,
    /// `http://proxy:3128`. Without it the environment's proxy applies.
    pub proxy: Option<event::Secret>,
    /// A PEM file with authorities that are trusted beside the system's.
    pub ca: Option<std::path::PathBuf>,
}

impl Default for PubsubOptions {
    fn default() -> Self {
        Self {
            subscription: String::new(),
            auth: GoogleAuth::default(),
            endpoint: "https://pubsub.googleapis.com".to_owned(),
            format: Format::default(),
            keep_attributes: false,
            messages_max: 20_000,
            bytes_max: 64 << 20,
            lease_s: 120,
            requests_at_once_max: 4,
            remember_hours: 24,
            remember_max: 1_000_000,
            record_bytes_max: RECORD_BYTES_MAX,
            proxy: None,
            ca: None,
        }
    }
}

impl PubsubOptions {
    fn fault(&self) -> Option<String> {
        let parts: Vec<_> = self.subscription.split('/').collect();
        let is_name = |part: &&str| part.len() >= 3 && !part.contains(char::is_whitespace);
        if !matches!(&parts[..], ["projects", project, "subscriptions", name] if is_name(project) && is_name(name))
        {
            return Some("`subscription` must be projects/PROJECT/subscriptions/NAME".to_owned());
        }
        if !self.endpoint.starts_with("https://") && !self.endpoint.starts_with("http://") {
            return Some("`endpoint` is no address like https://pubsub.googleapis.com".to_owned());
        }
        if !(10..=600).contains(&self.lease_s) {
            return Some("`lease_s` must be from 10 to 600".to_owned());
        }
        let zero = [
            ("messages_max", self.messages_max),
            ("bytes_max", self.bytes_max),
            ("requests_at_once_max", self.requests_at_once_max),
            ("remember_hours", self.remember_hours as usize),
        ];
        let zero = zero.iter().find(|(_, value)| *value == 0);
        zero.map(|(name, _)| format!("`{name}` must not be 0"))
    }

    pub(crate) fn api(&self) -> Result<Api, String> {
        let reach = Reach {
            proxy: self.proxy.as_ref().map(|proxy| proxy.expose().to_owned()),
            ca: self.ca.clone(),
            request_ms_max: REQUEST_MS_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let issuer = self.auth.issuer().map_err(|words| format!("`auth`: {words}"))?;
        let tokens = Tokens::new(Client::new(&reach)?, issuer);
        Ok(Api::new(tokens, &self.endpoint, &self.subscription))
    }

    fn limits(&self) -> Limits {
        Limits {
            messages_max: self.messages_max,
            bytes_max: self.bytes_max,
            lease_ms: i64::from(self.lease_s) * 1_000,
            pulls_max: self.requests_at_once_max,
        }
    }
}

/// Reads a subscription.
#[derive(Debug)]
pub struct PubsubSource {
    options: PubsubOptions,
    log_type: LogType,
}

impl PubsubSource {
    pub fn new(name: &str, log_type: &str, options: PubsubOptions) -> Result<Self, SourceError> {
        let refuse = |words: String| SourceError::new(name, ErrorKind::Config, words);
        if let Some(fault) = options.fault() {
            return Err(refuse(fault));
        }
        options.auth.issuer().map_err(|words| refuse(format!("`auth`: {words}")))?;
        Ok(Self { options, log_type: log_type.into() })
    }
}

#[async_trait]
impl Source for PubsubSource {
    fn is_finite(&self) -> bool {
        false
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let Self { options, log_type } = *self;
        let name = context.name.clone();
        let failed = |words: String| SourceError::new(&name, ErrorKind::Config, words);
        let api = options.api().map_err(failed)?;
        let mut framing = Options::new(options.format.clone(), log_type.as_str());
        framing.record_bytes_max = options.record_bytes_max.max(1_024);
        let remembers = (options.remember_max, i64::from(options.remember_hours) * 3_600_000);
        let feed = Feed::open(
            &name,
            &log_type,
            framing,
            options.keep_attributes,
            remembers,
            &context.resume,
        );
        let feed = feed.map_err(|words| SourceError::new(&name, ErrorKind::Position, words))?;
        let meter = Meter::new(&name, &context.standing);
        let work =
            Work::new(api, &options, feed, meter.clone(), context.finished, context.shutdown);
        work.run(context.emitter).await?;
        let mut summary = Summary { opened: 1, ..Summary::default() };
        meter.summarize(&mut summary);
        Ok(summary)
    }

    async fn probe(self: Box<Self>) -> Option<Result<Findings, String>> {
        Some(self.try_out().await)
    }
}

#[cfg(test)]
mod tests;
