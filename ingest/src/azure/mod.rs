//! Azure Blob Storage: the archive of diagnostic settings, and anything else that writes logs to blobs.
//!
//! `PT1H.json` is an append blob that grows for an hour; it is read on from its last byte, once. New blobs are
//! found by listing, or told of by Event Grid through a storage queue. How objects are read is in
//! [`crate::objects`].

mod credentials;
mod probe;
mod queue;

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
use crate::probe::Findings;
use crate::source::{Source, SourceContext, Summary};
use crate::stores::{self, Dialect, Store};
pub use credentials::AzureAuth;
use credentials::Proof;
use queue::Queue;

/// Options of the `azure_blob` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AzureBlobOptions {
    /// The storage account.
    pub account: String,
    /// The container, `insights-activity-logs`.
    pub container: String,
    /// Only blobs below this folder.
    pub prefix: Option<String>,
    /// How the source proves who it is; default: the managed identity of the machine.
    pub auth: AzureAuth,
    /// A storage queue to which Event Grid sends `BlobCreated`; without it the container is listed.
    pub queue: Option<String>,
    /// How long a message of the queue is kept from others; renewed until its blob is in the lake.
    pub lease_s: u32,
    /// A message whose blob cannot be read becomes a dead letter after so many deliveries.
    pub deliveries_max: u32,
    /// Blobs whose names end so are written on for a while.
    pub growing: Option<String>,
    /// How often the container is listed; with a queue, how often growing blobs are looked at.
    pub every_s: u32,
    /// Blobs that are older are not looked for, and no longer remembered after twice this time.
    pub look_back_hours: u32,
    /// A growing blob that has not grown for so long is complete.
    pub settle_minutes: u32,
    /// How a blob is cut into records.
    pub format: Format,
    /// Longer records become dead letters, in parts of this size.
    pub record_bytes_max: usize,
    /// Blobs that are remembered so as not to be read twice. Of 16 bytes each.
    pub remember_max: usize,
    /// Where blobs are; default: `https://ACCOUNT.blob.core.windows.net`.
    pub endpoint: Option<String>,
    /// Where queues are; default: `https://ACCOUNT.queue.core.windows.net`.
    pub queue_endpoint: Option<String>,
    /// `http://proxy:3128`. Without it the environment's proxy applies.
    pub proxy: Option<Secret>,
    /// PEM file with more authorities that are trusted.
    pub ca: Option<PathBuf>,
}

impl Default for AzureBlobOptions {
    fn default() -> Self {
        Self {
            account: String::new(),
            container: String::new(),
            prefix: None,
            auth: AzureAuth::default(),
            queue: None,
            lease_s: 120,
            deliveries_max: 10,
            growing: Some("PT1H.json".to_owned()),
            every_s: 60,
            look_back_hours: 48,
            settle_minutes: 180,
            format: Format::default(),
            record_bytes_max: RECORD_BYTES_MAX,
            remember_max: 1_000_000,
            endpoint: None,
            queue_endpoint: None,
            proxy: None,
            ca: None,
        }
    }
}

impl AzureBlobOptions {
    fn fault(&self) -> Option<String> {
        let is_name = |name: &str| {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            name.len() >= 3 && name.len() <= 63 && name.chars().all(is_plain)
        };
        if !is_name(&self.account) {
            return Some("`account` must be the name of a storage account".to_owned());
        }
        if !is_name(&self.container) && self.container != "$logs" {
            return Some("`container` must be the name of a container".to_owned());
        }
        if self.queue.as_ref().is_some_and(|queue| !is_name(queue)) {
            return Some("`queue` must be the name of a storage queue".to_owned());
        }
        let is_address = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        let addresses = [&self.endpoint, &self.queue_endpoint];
        if addresses.into_iter().flatten().any(|url| !is_address(url)) {
            return Some("`endpoint` and `queue_endpoint` must be addresses".to_owned());
        }
        if self.look_back_hours == 0 || self.every_s == 0 || self.deliveries_max == 0 {
            return Some(
                "`look_back_hours`, `every_s` and `deliveries_max` must not be 0".to_owned(),
            );
        }
        let is_short = u64::from(self.settle_minutes) > u64::from(self.look_back_hours) * 60;
        if is_short {
            return Some("`settle_minutes` must not be more than `look_back_hours`".to_owned());
        }
        (!(10..=3_600).contains(&self.lease_s))
            .then(|| "`lease_s` must be from 10 to 3600".to_owned())
    }

    fn proof(&self) -> Result<Arc<Proof>, String> {
        let client = stores::client(self.proxy.as_ref(), self.ca.as_ref())?;
        Ok(Arc::new(self.auth.proof(&self.account, client)?))
    }

    fn store(&self, proof: &Arc<Proof>) -> Arc<Store> {
        let endpoint = self.endpoint.clone();
        let endpoint =
            endpoint.unwrap_or_else(|| format!("https://{}.blob.core.windows.net", self.account));
        let url = format!("{}/{}", endpoint.trim_end_matches('/'), self.container);
        Arc::new(Store::new(proof.client().clone(), Dialect::Azure, url, proof.clone()))
    }

    fn queue(&self, proof: &Arc<Proof>) -> Option<Queue> {
        let queue = self.queue.as_ref()?;
        let endpoint = self.queue_endpoint.clone();
        let endpoint =
            endpoint.unwrap_or_else(|| format!("https://{}.queue.core.windows.net", self.account));
        let url = format!("{}/{queue}", endpoint.trim_end_matches('/'));
        Some(Queue::new(proof.clone(), url, &self.container, u64::from(self.lease_s)))
    }

    fn setup(&self, log_type: LogType) -> Setup {
        let mut framing = Options::new(self.format.clone(), log_type.as_str());
        framing.record_bytes_max = self.record_bytes_max.max(1_024);
        Setup {
            log_type,
            framing,
            prefix: self.prefix.clone(),
            growing: self.growing.clone().filter(|end| !end.is_empty()),
            every: Duration::from_secs(u64::from(self.every_s)),
            look_back_ms: i64::from(self.look_back_hours) * 3_600_000,
            settle_ms: i64::from(self.settle_minutes) * 60_000,
            seen_max: self.remember_max,
            deliveries_max: self.deliveries_max,
        }
    }
}

/// Reads a container.
#[derive(Debug)]
pub struct AzureBlobSource {
    options: AzureBlobOptions,
    log_type: LogType,
}

impl AzureBlobSource {
    pub fn new(name: &str, log_type: &str, options: AzureBlobOptions) -> Result<Self, SourceError> {
        let refuse = |words: String| SourceError::new(name, ErrorKind::Config, words);
        if let Some(fault) = options.fault().or_else(|| options.auth.fault()) {
            return Err(refuse(fault));
        }
        Ok(Self { options, log_type: log_type.into() })
    }
}

#[async_trait]
impl Source for AzureBlobSource {
    fn is_finite(&self) -> bool {
        false
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let failed = |words: String| SourceError::new(&context.name, ErrorKind::Config, words);
        let proof = self.options.proof().map_err(failed)?;
        let store = self.options.store(&proof);
        let queue = self.options.queue(&proof).map(|queue| Arc::new(queue) as Arc<dyn Notices>);
        objects::run(self.options.setup(self.log_type), store, queue, context).await
    }

    async fn probe(self: Box<Self>) -> Option<Result<Findings, String>> {
        Some(self.try_out().await)
    }
}

#[cfg(test)]
mod tests;
