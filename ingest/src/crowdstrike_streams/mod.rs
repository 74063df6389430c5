//! The event streams of CrowdStrike Falcon: detections and incidents, and the audit of its console and its API.
//!
//! The vendor lists partitions, each with a session; each is one answer that never ends, of one event a line and empty
//! lines as signs of life ([`feed`]). The session has to be refreshed before it ends. When a connection breaks the
//! partitions are listed anew and it goes on at the offset of the last event ([`place`]), which commits with the events.
//! As long as a connection uses an `app_id`, nobody else gets a stream by that name: so there is one of each.

mod api;
mod feed;
mod place;
mod probe;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use event::{LogType, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::begin::Begin;
use crate::error::{ErrorKind, SourceError};
use crate::meter::Meter;
use crate::poll::client::{Client, Reach};
use crate::probe::Findings;
use crate::source::{Source, SourceContext, Summary};
use crate::tokens::{Issuer, Tokens, application};
use api::Api;

const REQUEST_MS_MAX: u64 = 30_000;
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Options of the `crowdstrike_streams` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CrowdstrikeStreamsOptions {
    /// The API of the customer's cloud, such as `https://api.eu-1.crowdstrike.com`.
    pub base_url: String,
    /// What the vendor knows this collector by: up to 32 letters and digits, that no other collector uses.
    pub app_id: String,
    /// By which name the vendor knows the API client.
    pub client_id: String,
    /// The secret of the API client.
    pub client_secret: Secret,
    /// Where reading begins the first time: `oldest` that the vendor still has, `latest`, or a time like
    /// `2026-11-01T00:00:00Z`.
    pub from: String,
    /// A connection on which nothing comes for so long, not even a sign of life, is opened anew.
    pub silence_ms_max: u64,
    /// Longer events become dead letters.
    pub record_bytes_max: usize,
    /// `http://proxy:3128`. Without it the environment's proxy applies.
    pub proxy: Option<Secret>,
    /// A PEM file with authorities that are trusted beside the system's.
    pub ca: Option<PathBuf>,
}

impl Default for CrowdstrikeStreamsOptions {
    fn default() -> Self {
        Self {
            base_url: "https://api.crowdstrike.com".to_owned(),
            app_id: String::new(),
            client_id: String::new(),
            client_secret: Secret::default(),
            from: "oldest".to_owned(),
            silence_ms_max: 90_000,
            record_bytes_max: 1 << 20,
            proxy: None,
            ca: None,
        }
    }
}

impl CrowdstrikeStreamsOptions {
    fn fault(&self) -> Option<String> {
        let id = &self.app_id;
        if id.is_empty() || id.len() > 32 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Some("`app_id` must be 1 to 32 letters and digits".to_owned());
        }
        let host = ["https://", "http://"].iter().find_map(|s| self.base_url.strip_prefix(s));
        if host.is_none_or(|host| host.is_empty() || host.contains(['@', '?', '#', ' '])) {
            // Not shown: it may hold a password.
            return Some("`base_url` is no address like https://api.crowdstrike.com".to_owned());
        }
        if self.client_id.is_empty() || self.client_secret.expose().trim().is_empty() {
            return Some("`client_id` and `client_secret` must not be empty".to_owned());
        }
        if self.silence_ms_max < 1_000 {
            return Some("`silence_ms_max` must be at least 1000".to_owned());
        }
        Begin::read(&self.from).err()
    }

    /// Fails in words.
    fn api(&self) -> Result<Api, String> {
        let client = Client::new(&Reach {
            proxy: self.proxy.as_ref().map(|proxy| proxy.expose().to_owned()),
            ca: self.ca.clone(),
            request_ms_max: REQUEST_MS_MAX,
            answer_bytes_max: ANSWER_BYTES_MAX,
        })?;
        let base_url = self.base_url.trim_end_matches('/').to_owned();
        let issuer = Issuer::Application(application::Issuer {
            token_url: format!("{base_url}/oauth2/token"),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
        });
        Ok(Api {
            tokens: Tokens::new(client.clone(), issuer),
            client,
            base_url,
            app_id: self.app_id.clone(),
            silence_max: Duration::from_millis(self.silence_ms_max),
            line_bytes_max: self.record_bytes_max.max(1_024),
        })
    }
}

/// Listens to the event streams of a customer.
#[derive(Debug)]
pub struct CrowdstrikeStreamsSource {
    options: CrowdstrikeStreamsOptions,
    log_type: LogType,
}

impl CrowdstrikeStreamsSource {
    pub fn new(
        name: &str,
        log_type: &str,
        options: CrowdstrikeStreamsOptions,
    ) -> Result<Self, SourceError> {
        match options.fault() {
            Some(fault) => Err(SourceError::new(name, ErrorKind::Config, fault)),
            None => Ok(Self { options, log_type: log_type.into() }),
        }
    }
}

#[async_trait]
impl Source for CrowdstrikeStreamsSource {
    fn is_finite(&self) -> bool {
        false
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let refused = |words: String| SourceError::new(&context.name, ErrorKind::Config, words);
        let api = self.options.api().map_err(refused)?;
        let begin = Begin::read(&self.options.from).map_err(refused)?;
        let meter = Meter::new(&context.name, &context.standing);
        let opened = work::run(api, begin, self.log_type, meter.clone(), context).await?;
        let mut summary = Summary { opened, ..Summary::default() };
        meter.summarize(&mut summary);
        Ok(summary)
    }

    async fn probe(self: Box<Self>) -> Option<Result<Findings, String>> {
        Some(probe::try_out(&self.options).await)
    }
}

#[cfg(test)]
mod tests;
