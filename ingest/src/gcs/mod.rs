//! Google Cloud Storage: what a sink of Cloud Logging writes every hour, and any other objects with logs.
//!
//! New objects are found by listing, or told of by notifications through Pub/Sub. How objects are read is in
//! [`crate::objects`].

mod news;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event::{LogType, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{ErrorKind, SourceError};
use crate::framing::{Format, Options, RECORD_BYTES_MAX};
use crate::objects::{self, Notices, Setup};
use crate::poll::request::Request;
use crate::probe::Findings;
use crate::pubsub::{PubsubOptions, PubsubSource};
use crate::source::{Source, SourceContext, Summary};
use crate::stores::{self, Dialect, Proof, Store};
use crate::tokens::{GoogleAuth, Tokens};
use news::News;

/// Where Cloud Storage is, by its XML interface.
const ENDPOINT: &str = "https://storage.googleapis.com";

/// Options of the `gcs` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GcsOptions {
    /// The bucket.
    pub bucket: String,
    /// Only objects below this folder.
    pub prefix: Option<String>,
    /// How the source proves who it is.
    pub auth: GoogleAuth,
    /// A subscription to the bucket's notifications, `projects/PROJECT/subscriptions/NAME`; without it the bucket is
    /// listed.
    pub subscription: Option<String>,
    /// How long a notification is kept from others; renewed until its object is in the lake.
    pub lease_s: u32,
    /// A notification whose object cannot be read becomes a dead letter after so many deliveries.
    pub deliveries_max: u32,
    /// How often the bucket is listed.
    pub every_s: u32,
    /// Objects that are older are not looked for, and no longer remembered after twice this time.
    pub look_back_hours: u32,
    /// How an object is cut into records.
    pub format: Format,
    /// Longer records become dead letters, in parts of this size.
    pub record_bytes_max: usize,
    /// Objects that are remembered so as not to be read twice. Of 16 bytes each.
    pub remember_max: usize,
    /// Where Cloud Storage is.
    pub endpoint: Option<String>,
    /// Where Pub/Sub is.
    pub pubsub_endpoint: Option<String>,
    /// `http://proxy:3128`. Without it the environment's proxy applies.
    pub proxy: Option<Secret>,
    /// PEM file with more authorities that are trusted.
    pub ca: Option<PathBuf>,
}

impl Default for GcsOptions {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: None,
            auth: GoogleAuth::default(),
            subscription: None,
            lease_s: 120,
            deliveries_max: 10,
            every_s: 60,
            look_back_hours: 48,
            format: Format::default(),
            record_bytes_max: RECORD_BYTES_MAX,
            remember_max: 1_000_000,
            endpoint: None,
            pubsub_endpoint: None,
            proxy: None,
            ca: None,
        }
    }
}

/// The source's tokens.
#[derive(Debug)]
struct Bearer(Tokens);

#[async_trait]
impl Proof for Bearer {
    async fn sign(&self, request: &mut Request) -> Result<(), String> {
        if let Some(token) = self.0.get().await? {
            request.header("authorization", format!("Bearer {}", token.expose()));
        }
        Ok(())
    }
}

impl GcsOptions {
    fn fault(&self) -> Option<String> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if self.bucket.len() < 3 || !self.bucket.chars().all(is_plain) {
            return Some("`bucket` must be the name of a bucket, without gs://".to_owned());
        }
        if self.look_back_hours == 0 || self.every_s == 0 || self.deliveries_max == 0 {
            return Some(
                "`look_back_hours`, `every_s` and `deliveries_max` must not be 0".to_owned(),
            );
        }
        self.auth.issuer().err().map(|words| format!("`auth`: {words}"))
    }

    /// The subscription as a source of its own would have it.
    fn pubsub(&self) -> Option<PubsubOptions> {
        let usual = PubsubOptions::default();
        Some(PubsubOptions {
            subscription: self.subscription.clone()?,
            auth: self.auth.clone(),
            endpoint: self.pubsub_endpoint.clone().unwrap_or(usual.endpoint),
            lease_s: self.lease_s,
            proxy: self.proxy.clone(),
            ca: self.ca.clone(),
            ..PubsubOptions::default()
        })
    }

    fn store(&self) -> Result<Arc<Store>, String> {
        let client = stores::client(self.proxy.as_ref(), self.ca.as_ref())?;
        let endpoint = self.endpoint.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/');
        let url = format!("{endpoint}/{}", self.bucket);
        let proof = Bearer(Tokens::new(client.clone(), self.auth.issuer()?));
        Ok(Arc::new(Store::new(client, Dialect::Google, url, Arc::new(proof))))
    }

    fn setup(&self, log_type: LogType) -> Setup {
        let mut framing = Options::new(self.format.clone(), log_type.as_str());
        framing.record_bytes_max = self.record_bytes_max.max(1_024);
        Setup {
            log_type,
            framing,
            prefix: self.prefix.clone(),
            // An object of Cloud Storage is never written on.
            growing: None,
            every: Duration::from_secs(u64::from(self.every_s)),
            look_back_ms: i64::from(self.look_back_hours) * 3_600_000,
            settle_ms: 0,
            seen_max: self.remember_max,
            deliveries_max: self.deliveries_max,
        }
    }
}

/// Reads a bucket.
#[derive(Debug)]
pub struct GcsSource {
    options: GcsOptions,
    log_type: LogType,
}

impl GcsSource {
    pub fn new(name: &str, log_type: &str, options: GcsOptions) -> Result<Self, SourceError> {
        if let Some(fault) = options.fault() {
            return Err(SourceError::new(name, ErrorKind::Config, fault));
        }
        if let Some(pubsub) = options.pubsub() {
            PubsubSource::new(name, log_type, pubsub)?;
        }
        Ok(Self { options, log_type: log_type.into() })
    }

    async fn try_out(&self) -> Result<Findings, String> {
        const NEEDS: &str = "Storage Object Viewer on the bucket (storage.objects.list, \
                             storage.objects.get)";
        let reads = format!("the bucket {}", self.options.bucket);
        let mut found = Findings::new(reads, NEEDS, "docs/google-cloud.md");
        let store = self.options.store()?;
        objects::try_out(&store, self.options.prefix.as_deref(), &mut found).await;
        let Some(pubsub) = self.options.pubsub() else { return Ok(found) };
        let pubsub = PubsubSource::new("", self.log_type.as_str(), pubsub);
        let pubsub = Box::new(pubsub.map_err(|e| e.message)?);
        if let Some(told) = pubsub.probe().await {
            let told = told?;
            found.needs += &format!("; {}", told.needs);
            found.findings.extend(told.findings);
        }
        Ok(found)
    }
}

#[async_trait]
impl Source for GcsSource {
    fn is_finite(&self) -> bool {
        false
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let failed = |words: String| SourceError::new(&context.name, ErrorKind::Config, words);
        let store = self.options.store().map_err(failed)?;
        let queue = match self.options.pubsub() {
            Some(pubsub) => {
                let api = pubsub.api().map_err(failed)?;
                let news = News::new(api, &self.options.bucket, self.options.lease_s);
                Some(Arc::new(news) as Arc<dyn Notices>)
            }
            None => None,
        };
        objects::run(self.options.setup(self.log_type), store, queue, context).await
    }

    async fn probe(self: Box<Self>) -> Option<Result<Findings, String>> {
        Some(self.try_out().await)
    }
}

#[cfg(test)]
mod tests;
