//! The table of sources and the options by which one is configured.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws_s3::{AwsS3Options, AwsS3Source};
use crate::azure::{AzureBlobOptions, AzureBlobSource};
use crate::containerd::{ContainerdOptions, ContainerdSource};
use crate::crowdstrike_streams::{CrowdstrikeStreamsOptions, CrowdstrikeStreamsSource};
use crate::docker::{DockerOptions, DockerSource};
use crate::error::{ConfigError, ErrorKind};
use crate::file::{FileOptions, FileSource};
use crate::gcs::{GcsOptions, GcsSource};
use crate::http::{HttpOptions, HttpSource};
use crate::kafka::{KafkaOptions, KafkaSource};
use crate::kinesis::{KinesisOptions, KinesisSource};
use crate::poll::{PollOptions, PollSource};
use crate::pubsub::{PubsubOptions, PubsubSource};
use crate::source::Source;
use crate::stdin::{StdinOptions, StdinSource};
use crate::syslog::{SyslogOptions, SyslogSource};

type Build = fn(&SourceConfig, &str) -> Result<Box<dyn Source>, ConfigError>;

/// A row of [`SOURCES`].
#[derive(Clone, Copy, Debug)]
pub struct SourceKind {
    /// The key in the configuration.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub doc: &'static str,
    is_given: fn(&SourceConfig) -> bool,
    build: Build,
}

/// Every kind of source. A new one is a line here, its options in [`SourceConfig`], and its file.
pub const SOURCES: &[SourceKind] = &[
    SourceKind {
        name: "file",
        doc: "Files, read once or followed as they grow and rotate; gzip and zstd.",
        is_given: |config| config.file.is_some(),
        build: |config, name| {
            let options = config.file.clone().unwrap_or_default();
            Ok(Box::new(FileSource::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "stdin",
        doc: "Standard input, to its end; gzip and zstd.",
        is_given: |config| config.stdin.is_some(),
        build: |config, _| {
            let options = config.stdin.clone().unwrap_or_default();
            Ok(Box::new(StdinSource::new(&config.log_type, options)))
        },
    },
    SourceKind {
        name: "http",
        doc: "Pushed logs: NDJSON, arrays, Splunk collector senders, Kubernetes audit webhooks.",
        is_given: |config| config.http.is_some(),
        build: |config, name| {
            let options = config.http.clone().unwrap_or_default();
            Ok(Box::new(HttpSource::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "syslog",
        doc: "Syslog over TCP, TLS and UDP, by RFC 5424 and RFC 3164.",
        is_given: |config| config.syslog.is_some(),
        build: |config, name| {
            let options = config.syslog.clone().unwrap_or_default();
            Ok(Box::new(SyslogSource::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "kafka",
        doc: "Topics of Kafka, MSK, Event Hubs or anything that speaks the protocol.",
        is_given: |config| config.kafka.is_some(),
        build: |config, name| {
            let options = config.kafka.clone().unwrap_or_default();
            Ok(Box::new(KafkaSource::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "docker",
        doc: "Events of a Docker engine, with what its containers may do.",
        is_given: |config| config.docker.is_some(),
        build: |config, name| {
            let options = config.docker.clone().unwrap_or_default();
            Ok(Box::new(DockerSource::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "containerd",
        doc: "Events of containerd, with what its containers run and may do.",
        is_given: |config| config.containerd.is_some(),
        build: |config, name| {
            let options = config.containerd.clone().unwrap_or_default();
            Ok(Box::new(ContainerdSource::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "poll",
        doc: "Vendors' APIs that are asked: Okta, Microsoft, Google, GitHub, Slack and any other.",
        is_given: |config| config.poll.is_some(),
        build: |config, name| {
            let options = config.poll.clone().unwrap_or_default();
            Ok(Box::new(PollSource::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "crowdstrike_streams",
        doc: "The event streams of CrowdStrike Falcon: detections, and the audit of its console and API.",
        is_given: |config| config.crowdstrike_streams.is_some(),
        build: |config, name| {
            let options = config.crowdstrike_streams.clone().unwrap_or_default();
            Ok(Box::new(CrowdstrikeStreamsSource::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "aws_s3",
        doc: "Objects of S3 buckets, announced by an SQS queue or found by listing.",
        is_given: |config| config.aws_s3.is_some(),
        build: |config, name| {
            let options = config.aws_s3.clone().unwrap_or_default();
            Ok(Box::new(AwsS3Source::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "aws_kinesis",
        doc: "A stream of Amazon Kinesis Data Streams, such as a subscription of CloudWatch Logs.",
        is_given: |config| config.aws_kinesis.is_some(),
        build: |config, name| {
            let options = config.aws_kinesis.clone().unwrap_or_default();
            Ok(Box::new(KinesisSource::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "gcp_pubsub",
        doc: "A subscription of Google Cloud Pub/Sub, such as a sink of Cloud Logging.",
        is_given: |config| config.gcp_pubsub.is_some(),
        build: |config, name| {
            let options = config.gcp_pubsub.clone().unwrap_or_default();
            Ok(Box::new(PubsubSource::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "azure_blob",
        doc: "A container of Azure Blob Storage; blobs that grow are read on.",
        is_given: |config| config.azure_blob.is_some(),
        build: |config, name| {
            let options = config.azure_blob.clone().unwrap_or_default();
            Ok(Box::new(AzureBlobSource::new(name, &config.log_type, options)?))
        },
    },
    SourceKind {
        name: "gcs",
        doc: "A bucket of Google Cloud Storage, by notifications or by listing.",
        is_given: |config| config.gcs.is_some(),
        build: |config, name| {
            let options = config.gcs.clone().unwrap_or_default();
            Ok(Box::new(GcsSource::new(name, &config.log_type, options)?))
        },
    },
];

/// One configured source: what its bytes mean, and exactly one kind.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// What the records are, such as `aws.cloudtrail`.
    pub log_type: String,
    /// Read files.
    #[serde(default)]
    pub file: Option<FileOptions>,
    /// Read standard input.
    #[serde(default)]
    pub stdin: Option<StdinOptions>,
    /// Receive logs over HTTP.
    #[serde(default)]
    pub http: Option<HttpOptions>,
    /// Receive syslog.
    #[serde(default)]
    pub syslog: Option<SyslogOptions>,
    /// Read topics.
    #[serde(default)]
    pub kafka: Option<KafkaOptions>,
    /// Follow containerd.
    #[serde(default)]
    pub containerd: Option<ContainerdOptions>,
    /// Follow a Docker engine.
    #[serde(default)]
    pub docker: Option<DockerOptions>,
    /// Ask a vendor's API.
    #[serde(default)]
    pub poll: Option<PollOptions>,
    /// Listen to the event streams of CrowdStrike Falcon.
    #[serde(default)]
    pub crowdstrike_streams: Option<CrowdstrikeStreamsOptions>,
    /// Read objects of S3.
    #[serde(default)]
    pub aws_s3: Option<AwsS3Options>,
    /// Read a stream of Amazon Kinesis.
    #[serde(default)]
    pub aws_kinesis: Option<KinesisOptions>,
    /// Read a subscription of Google Cloud Pub/Sub.
    #[serde(default)]
    pub gcp_pubsub: Option<PubsubOptions>,
    /// Read a container of Azure Blob Storage.
    #[serde(default)]
    pub azure_blob: Option<AzureBlobOptions>,
    /// Read a bucket of Google Cloud Storage.
    #[serde(default)]
    pub gcs: Option<GcsOptions>,
}

impl SourceConfig {
    /// The kind that is given.
    pub fn kind(&self, name: &str) -> Result<&'static SourceKind, ConfigError> {
        let mut given = SOURCES.iter().filter(|kind| (kind.is_given)(self));
        let refuse = |message: String| Err(ConfigError::new(name, ErrorKind::Config, message));
        match (given.next(), given.next()) {
            (Some(kind), None) => Ok(kind),
            (Some(one), Some(two)) => {
                refuse(format!("has both `{}` and `{}`; give one", one.name, two.name))
            }
            _ => {
                let names: Vec<_> = SOURCES.iter().map(|kind| kind.name).collect();
                refuse(format!("says not where from; give one of {}", names.join(", ")))
            }
        }
    }

    /// Checks the options and makes the source. No side effect: nothing is opened yet.
    pub fn build(&self, name: &str) -> Result<Box<dyn Source>, ConfigError> {
        (self.kind(name)?.build)(self, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_kind_is_given() {
        let none = SourceConfig::default();
        assert!(none.build("s").err().unwrap().message.contains("give one of file, stdin"));
        let stdin = SourceConfig { stdin: Some(StdinOptions::default()), ..none };
        assert!(stdin.build("s").unwrap().is_finite());
        let both = SourceConfig { file: Some(FileOptions::default()), ..stdin };
        assert!(both.build("s").err().unwrap().message.contains("both `file` and `stdin`"));
        let empty = SourceConfig { stdin: None, ..both };
        assert!(empty.build("s").err().unwrap().message.contains("names no file"));
    }
}
