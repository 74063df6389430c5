//! Sources: where bytes come from, and how they become batches of framed records.
//!
//! A source is a row of [`SOURCES`] with typed options ([`SourceConfig`]). It runs with a
//! [`SourceContext`]: batches go out through a bounded [`Emitter`], and come back as finished spans
//! after their epoch is committed. The contract, with what every source must do at start, restart
//! and end, is in [`source`]; the framing of bytes into records is in [`framing`].
//!
//! Invariants: nothing is acknowledged before its span is finished; spans of a partition touch;
//! bytes that cannot be read as records are handed over as dead letters, never dropped; every queue
//! and buffer is bounded. This crate knows no log type beyond the shape of its container.

mod assembler;
mod aws;
pub mod aws_s3;
pub mod azure;
mod begin;
pub mod board;
pub mod claims;
pub mod config;
pub mod containerd;
pub mod crowdstrike_streams;
pub mod decode;
pub mod docker;
pub mod emitter;
pub mod error;
pub mod file;
pub mod finished;
pub mod framing;
pub mod gcs;
pub mod http;
pub mod kafka;
pub mod kinesis;
pub mod ledger;
mod lines;
mod meter;
mod objects;
pub mod poll;
pub mod probe;
mod protobuf;
pub mod pubsub;
pub mod source;
pub mod standing;
pub mod stdin;
mod stores;
pub mod syslog;
mod tls;
pub mod tokens;
pub mod wal;

#[cfg(test)]
mod testing;

pub use aws_s3::{AwsS3Options, AwsS3Source};
pub use azure::{AzureBlobOptions, AzureBlobSource};
pub use board::Board;
pub use claims::{Claim, ClaimReceiver, Claimed, Claims, claims};
pub use config::{SOURCES, SourceConfig, SourceKind};
pub use containerd::{ContainerdOptions, ContainerdSource};
pub use crowdstrike_streams::{CrowdstrikeStreamsOptions, CrowdstrikeStreamsSource};
pub use docker::{DockerOptions, DockerSource};
pub use emitter::{Emitter, EmitterReceiver, Envelope, Permit, emitter};
pub use error::{ConfigError, ErrorKind, SourceError};
pub use file::{FileOptions, FileSource, ReadMode};
pub use finished::{FinishedReceiver, FinishedSender, finished};
pub use framing::Format;
pub use gcs::{GcsOptions, GcsSource};
pub use http::{HttpOptions, HttpSource};
pub use kafka::{KafkaOptions, KafkaSource};
pub use kinesis::{KinesisOptions, KinesisSource};
pub use ledger::{Ledger, LedgerError};
pub use poll::{Connector, Connectors, PollOptions, PollSource};
pub use probe::{Finding, Findings};
pub use pubsub::{PubsubOptions, PubsubSource};
pub use source::{Resume, Shutdown, ShutdownSender, Source, SourceContext, Summary, shutdown};
pub use standing::{Stand, Standing};
pub use stdin::{StdinOptions, StdinSource};
pub use syslog::{SyslogOptions, SyslogSource};
