//! The requests to Kinesis (<https://docs.aws.amazon.com/kinesis/latest/APIReference/>).

use aws_config::SdkConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{EncryptionType, ShardIteratorType};

use super::family::Listed;
use crate::aws;

/// An answer has at most 10 MB and as many records as this.
const RECORDS_MAX: i32 = 10_000;

#[derive(Clone, Debug)]
pub(super) struct Api {
    client: Client,
    name: Option<String>,
    arn: Option<String>,
}

/// How a stream is set up.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Seconds since 1970. A stream that was made anew under the same name has other shards of the same names.
    pub created_s: i64,
    pub retention_ms: i64,
    pub open_shards: i32,
    pub is_encrypted: bool,
}

/// Where to begin in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Oldest,
    /// Milliseconds since 1970.
    At(i64),
    /// Behind the record of that sequence number.
    After(String),
}

#[derive(Debug)]
pub(super) struct Record {
    pub sequence: String,
    pub data: Vec<u8>,
    pub arrived_ms: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Answer {
    pub records: Vec<Record>,
    /// `None`: the shard was closed, and this was its end.
    pub next: Option<String>,
    /// How far behind the newest record of the shard this is.
    pub behind_ms: i64,
}

/// Why something cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The iterator is older than five minutes.
    Expired,
    /// There is no such stream or shard.
    Gone(String),
    /// It may be otherwise later.
    Other(String),
}

impl Trouble {
    pub fn words(self) -> String {
        match self {
            Self::Expired => "the iterator has expired".to_owned(),
            Self::Gone(words) | Self::Other(words) => words,
        }
    }
}

impl Api {
    pub fn new(config: &SdkConfig, stream: &str) -> Self {
        // What failed is asked again by who asked, with pauses that grow.
        let config = aws_sdk_kinesis::config::Builder::from(config)
            .retry_config(aws_sdk_kinesis::config::retry::RetryConfig::disabled())
            .build();
        let is_arn = stream.starts_with("arn:");
        let given = |is_it: bool| is_it.then(|| stream.to_owned());
        Self { client: Client::from_conf(config), name: given(!is_arn), arn: given(is_arn) }
    }

    /// The stream's name or ARN.
    pub fn stream(&self) -> &str {
        self.name.as_deref().or(self.arn.as_deref()).unwrap_or_default()
    }

    pub async fn settings(&self) -> Result<Settings, Trouble> {
        let asked = self.client.describe_stream_summary();
        let asked = asked.set_stream_name(self.name.clone()).set_stream_arn(self.arn.clone());
        let given = asked.send().await;
        let given = given.map_err(|e| self.trouble("kinesis:DescribeStreamSummary", &e))?;
        let summary = given.stream_description_summary.ok_or_else(|| {
            Trouble::Other("the answer to kinesis:DescribeStreamSummary is empty".to_owned())
        })?;
        Ok(Settings {
            created_s: summary.stream_creation_timestamp.secs(),
            retention_ms: i64::from(summary.retention_period_hours) * 3_600_000,
            open_shards: summary.open_shard_count,
            is_encrypted: summary.encryption_type == Some(EncryptionType::Kms),
        })
    }

    /// All shards that have records or may get some.
    pub async fn shards(&self) -> Result<Vec<Listed>, Trouble> {
        let (mut shards, mut next) = (Vec::new(), None);
        loop {
            let asked = self.client.list_shards();
            let asked = match next.take() {
                Some(token) => asked.next_token(token),
                None => asked.set_stream_name(self.name.clone()).set_stream_arn(self.arn.clone()),
            };
            let given = asked.send().await;
            let given = given.map_err(|e| self.trouble("kinesis:ListShards", &e))?;
            shards.extend(given.shards.unwrap_or_default().into_iter().map(|shard| {
                Listed {
                    id: shard.shard_id,
                    parents: [shard.parent_shard_id, shard.adjacent_parent_shard_id]
                        .into_iter()
                        .flatten()
                        .collect(),
                }
            }));
            next = given.next_token;
            if next.is_none() {
                return Ok(shards);
            }
        }
    }

    /// What records are asked for with.
    pub async fn iterator(&self, shard: &str, place: &Place) -> Result<String, Trouble> {
        let asked = self.client.get_shard_iterator().shard_id(shard);
        let asked = asked.set_stream_name(self.name.clone()).set_stream_arn(self.arn.clone());
        let asked = match place {
            Place::Oldest => asked.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Place::At(ms) => asked
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(*ms)),
            Place::After(sequence) => asked
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence),
        };
        let given = asked.send().await;
        let given = given.map_err(|e| self.trouble("kinesis:GetShardIterator", &e))?;
        let none = || Trouble::Other("the answer to kinesis:GetShardIterator is empty".to_owned());
        given.shard_iterator.ok_or_else(none)
    }

    pub async fn records(&self, iterator: &str) -> Result<Answer, Trouble> {
        let asked = self.client.get_records().shard_iterator(iterator).limit(RECORDS_MAX);
        let given = asked.set_stream_arn(self.arn.clone()).send().await;
        let given = given.map_err(|e| self.trouble("kinesis:GetRecords", &e))?;
        let records = given.records.into_iter().map(|record| Record {
            sequence: record.sequence_number,
            data: record.data.into_inner(),
            arrived_ms: record.approximate_arrival_timestamp.and_then(|at| at.to_millis().ok()),
        });
        Ok(Answer {
            records: records.collect(),
            next: given.next_shard_iterator,
            behind_ms: given.millis_behind_latest.unwrap_or(0).max(0),
        })
    }

    fn trouble<E>(&self, permission: &str, error: &SdkError<E>) -> Trouble
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let stream = self.stream();
        match error.code().unwrap_or_default() {
            "ExpiredIteratorException" => Trouble::Expired,
            "ResourceNotFoundException" => {
                Trouble::Gone(format!("{permission}: {}", aws::words(error)))
            }
            "AccessDeniedException" => {
                Trouble::Other(format!("the credential lacks {permission} on {stream}"))
            }
            "KMSAccessDeniedException" => Trouble::Other(format!(
                "the credential lacks kms:Decrypt on the key of {stream}: {}",
                aws::words(error)
            )),
            "ProvisionedThroughputExceededException" => Trouble::Other(format!(
                "{stream} is read faster than it allows, by all its readers"
            )),
            _ => Trouble::Other(format!("{permission} on {stream}: {}", aws::words(error))),
        }
    }
}
