//! Objects of S3, or of anything that speaks as S3 does: CloudTrail, flow logs, load balancers and all that
//! writes its logs to a bucket. Announced by an SQS queue, or found by listing.
//!
//! A message is deleted when all its objects are in the lake, and until then kept from others. What was read
//! is remembered ([`shelf`]), so that a message that comes again gives nothing. Listing finds objects by
//! the time at which they were written and what is remembered, never by the order of their names: CloudTrail
//! delivers late into folders of earlier days.

mod body;
mod inbox;
mod listing;
mod notice;
mod probe;
mod queue;
mod read;
mod shelf;
mod store;
mod work;

use async_trait::async_trait;
use event::LogType;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::AwsOptions;
use crate::error::{ErrorKind, SourceError};
use crate::framing::{Format, RECORD_BYTES_MAX};
use crate::probe::Findings;
use crate::source::{Source, SourceContext, Summary};
pub use listing::ListingOptions;
use work::Work;

/// Options of the `aws_s3` source: a `queue_url` or a `listing`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AwsS3Options {
    /// The queue that announces objects: S3's notifications, directly, by SNS or by EventBridge; the topics of
    /// CloudTrail and Config; CrowdStrike's replicator.
    pub queue_url: Option<String>,
    /// Buckets that nobody announces anything of.
    pub listing: Option<ListingOptions>,
    /// Who we are at AWS.
    pub aws: AwsOptions,
    /// Only objects whose keys fit one of these are read; `*` is any text. Default: all.
    pub include: Vec<String>,
    /// Objects whose keys fit one of these are not read. Default: CloudTrail's digests and the test objects
    /// that services write.
    pub exclude: Vec<String>,
    /// How an object is cut into records.
    pub format: Format,
    /// Objects that are read at the same time.
    pub objects_at_once_max: usize,
    /// Messages that may be here before their objects are in the lake.
    pub messages_max: usize,
    /// How long a message is kept from others; renewed while it is here. After a crash it comes again when this is
    /// over. 30 to 43200.
    pub visibility_s: u32,
    /// An object that is announced again within this time is recognised.
    pub remember_hours: u32,
    /// Objects that are remembered for that. Of 16 bytes each.
    pub remember_max: usize,
    /// Longer records become dead letters, in parts of this size.
    pub record_bytes_max: usize,
}

impl Default for AwsS3Options {
    fn default() -> Self {
        let exclude = [
            "*/CloudTrail-Digest/*",
            "*ConfigWritabilityCheckFile",
            "*ELBAccessLogTestFile",
            "*aws-logs-write-test",
        ];
        Self {
            queue_url: None,
            listing: None,
            aws: AwsOptions::default(),
            include: Vec::new(),
            exclude: exclude.map(str::to_owned).to_vec(),
            format: Format::default(),
            objects_at_once_max: 4,
            messages_max: 40,
            visibility_s: 300,
            remember_hours: 14 * 24,
            remember_max: 1_000_000,
            record_bytes_max: RECORD_BYTES_MAX,
        }
    }
}

impl AwsS3Options {
    fn fault(&self) -> Option<String> {
        match (&self.queue_url, &self.listing) {
            (Some(_), Some(_)) => {
                return Some("has both `queue_url` and `listing`; give one".to_owned());
            }
            (None, None) => return Some("give a `queue_url` or a `listing`".to_owned()),
            (Some(url), None) if !url.starts_with("http") => {
                let like = "https://sqs.eu-central-1.amazonaws.com/123456789012/NAME";
                return Some(format!("`queue_url` is no address like {like}"));
            }
            (Some(_), None) => {}
            (None, Some(listing)) => {
                if let Some(fault) = listing.fault() {
                    return Some(format!("`listing`: {fault}"));
                }
            }
        }
        if let Some(fault) = self.aws.fault() {
            return Some(format!("`aws`: {fault}"));
        }
        if !(30..=43_200).contains(&self.visibility_s) {
            return Some("`visibility_s` must be from 30 to 43200".to_owned());
        }
        let zero = [
            ("objects_at_once_max", self.objects_at_once_max),
            ("messages_max", self.messages_max),
            ("remember_hours", self.remember_hours as usize),
        ];
        let zero = zero.iter().find(|(_, value)| *value == 0);
        zero.map(|(name, _)| format!("`{name}` must not be 0"))
    }

    /// Whether a key is one of those that are read.
    fn wants(&self, key: &str) -> bool {
        let fits = |pattern: &String| crate::file::matches(pattern.as_bytes(), key.as_bytes());
        let is_included = self.include.is_empty() || self.include.iter().any(fits);
        is_included && !self.exclude.iter().any(fits)
    }
}

/// Reads objects.
#[derive(Debug)]
pub struct AwsS3Source {
    options: AwsS3Options,
    log_type: LogType,
}

impl AwsS3Source {
    pub fn new(name: &str, log_type: &str, options: AwsS3Options) -> Result<Self, SourceError> {
        match options.fault() {
            Some(fault) => Err(SourceError::new(name, ErrorKind::Config, fault)),
            None => Ok(Self { options, log_type: log_type.into() }),
        }
    }
}

#[async_trait]
impl Source for AwsS3Source {
    fn is_finite(&self) -> bool {
        self.options.listing.as_ref().is_some_and(|listing| listing.once)
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        Work::open(self.options, self.log_type, context).await?.run().await
    }

    async fn probe(self: Box<Self>) -> Option<Result<Findings, String>> {
        Some(Ok(probe::try_out(&self.options).await))
    }
}

#[cfg(test)]
mod tests;
