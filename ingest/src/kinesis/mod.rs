//! Amazon Kinesis Data Streams: what CloudWatch Logs, the Kinesis Producer Library and others put there.
//!
//! A shard is a partition; its positions count the records of the stream, and the sequence number of the last one
//! commits with them, so that a restart goes on behind it. The shards that a split or a merge makes are read when those
//! that they come from are read to their end and in the lake, so that what one key has put stays in order. What was
//! put together by the Producer Library is taken apart ([`aggregate`]), what is compressed is decompressed.
//!
//! One process reads a stream, or several that write one lake and part its shards among them ([`share`]): two that do
//! neither would each store all of it.

mod aggregate;
mod api;
mod family;
mod probe;
mod replicas;
mod shard;
mod share;
mod work;

use std::sync::Arc;

use async_trait::async_trait;
use event::LogType;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::AwsOptions;
use crate::begin::Begin;
use crate::error::{ErrorKind, SourceError};
use crate::framing::{Format, Options, RECORD_BYTES_MAX};
use crate::meter::Meter;
use crate::probe::Findings;
use crate::source::{Source, SourceContext, Summary};
use api::Api;
use work::Work;

/// Options of the `aws_kinesis` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KinesisOptions {
    /// The stream's name, or its ARN when it is another account's.
    pub stream: String,
    /// Where reading begins the first time: `oldest` that the stream still has, `latest`, or a time like
    /// `2026-11-01T00:00:00Z`.
    pub from: String,
    /// Part the stream's shards among all processes that have this source and write the same lake, each by a
    /// `lake.lane` of its own.
    pub share: bool,
    /// Of several processes: one that gives no sign of life for so long is taken for dead, shut out of the lake, and
    /// its shards are read by the others.
    pub lapse_ms: u64,
    /// Who we are at AWS.
    pub aws: AwsOptions,
    /// How a record is cut into events.
    pub format: Format,
    /// A shard that is read to its end is asked again after this time. All readers of a shard together may ask it five
    /// times a second.
    pub every_ms: u64,
    /// Answers of up to 10 MB that are in memory at a time.
    pub answers_at_once_max: usize,
    /// Longer events become dead letters, in parts of this size; it also bounds what a record may become when it is
    /// decompressed.
    pub record_bytes_max: usize,
}

impl Default for KinesisOptions {
    fn default() -> Self {
        Self {
            stream: String::new(),
            from: "oldest".to_owned(),
            share: false,
            lapse_ms: 60_000,
            aws: AwsOptions::default(),
            format: Format::default(),
            every_ms: 1_000,
            answers_at_once_max: 4,
            record_bytes_max: RECORD_BYTES_MAX,
        }
    }
}

impl KinesisOptions {
    fn fault(&self) -> Option<String> {
        let name = match self.stream.strip_prefix("arn:") {
            Some(arn) => arn.split_once(":stream/").map_or("", |(_, name)| name),
            None => &self.stream,
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.is_empty() || name.len() > 128 || !name.chars().all(is_name) {
            return Some("`stream` must be a stream's name or its ARN".to_owned());
        }
        if let Err(fault) = Begin::read(&self.from) {
            return Some(fault);
        }
        if self.every_ms < 200 {
            return Some("`every_ms` must be at least 200".to_owned());
        }
        if self.lapse_ms < 1_000 {
            return Some("`lapse_ms` must be at least 1000".to_owned());
        }
        if self.answers_at_once_max == 0 {
            return Some("`answers_at_once_max` must not be 0".to_owned());
        }
        self.aws.fault()
    }

    async fn api(&self) -> Api {
        Api::new(&self.aws.load().await, &self.stream)
    }
}

/// Reads a stream.
#[derive(Debug)]
pub struct KinesisSource {
    options: KinesisOptions,
    log_type: LogType,
}

impl KinesisSource {
    pub fn new(name: &str, log_type: &str, options: KinesisOptions) -> Result<Self, SourceError> {
        match options.fault() {
            Some(fault) => Err(SourceError::new(name, ErrorKind::Config, fault)),
            None => Ok(Self { options, log_type: log_type.into() }),
        }
    }
}

#[async_trait]
impl Source for KinesisSource {
    fn is_finite(&self) -> bool {
        false
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        if self.options.share && context.board.is_none() {
            let message = "`share` needs a lake that several processes write";
            return Err(SourceError::new(&context.name, ErrorKind::Config, message));
        }
        let meter = Meter::new(&context.name, &context.standing);
        let mut framing = Options::new(self.options.format.clone(), self.log_type.as_str());
        framing.record_bytes_max = self.options.record_bytes_max.max(1_024);
        let api = self.options.api().await;
        let opened =
            Work::new(api, &self.options, self.log_type, framing, meter.clone(), context).run();
        let mut summary = Summary { opened: opened.await?, ..Summary::default() };
        meter.summarize(&mut summary);
        Ok(summary)
    }

    async fn probe(self: Box<Self>) -> Option<Result<Findings, String>> {
        Some(Ok(probe::try_out(&self.options).await))
    }
}

/// The name of a partition. A stream that is made anew is another one, and so is a shard that has changed hands.
fn partition(created_s: i64, shard: &str, tenure: u32) -> Arc<str> {
    match tenure {
        0 => format!("{created_s}:{shard}").into(),
        n => format!("{created_s}:{shard}/{n}").into(),
    }
}

#[cfg(test)]
mod tests;
