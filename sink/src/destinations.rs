//! Where alerts go: one file for each kind of destination, one row for each in [`KINDS`].
//!
//! A destination gets redacted alerts and gives an [`Answer`]; it must not retry, sleep, remember or
//! decide anything else, and nothing it returns or logs may hold a secret. Retry, rate and order are
//! the dispatcher's.

mod file;
mod http;
mod slack;
mod stdout;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::dispatch::lane::{Answer, Limits};
use crate::outbound::Outbound;
use crate::routing::ConfigError;

pub use file::FileOptions;
pub use slack::{SlackChannelRoute, SlackOptions};
pub use stdout::{StdoutFormat, StdoutOptions};
pub use webhook::WebhookOptions;

/// Where alerts go. Exactly one of the kinds is given.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DestinationConfig {
    /// Standard output, for people or as NDJSON.
    pub stdout: Option<StdoutOptions>,
    /// A file that NDJSON is appended to.
    pub file: Option<FileOptions>,
    /// An HTTP endpoint of your own (Standard Webhooks).
    pub webhook: Option<WebhookOptions>,
    /// Slack channels by incoming webhook.
    pub slack: Option<SlackOptions>,
}

/// One attempt at a time, nothing more.
#[async_trait]
pub(crate) trait Destination: Send + Sync {
    /// Sends up to [`Limits::batch_max`] alerts in one request: all or none of them are accepted.
    async fn deliver(&self, batch: &[Outbound]) -> Answer;
}

/// A destination that is ready to be sent to.
#[derive(Clone)]
pub(crate) struct Built {
    pub name: String,
    pub limits: Limits,
    pub destination: Arc<dyn Destination>,
}

type Build = fn(&DestinationConfig) -> Option<Result<(Limits, Arc<dyn Destination>), ConfigError>>;

/// A kind of destination: the key in the configuration and how it is built. `None` when the
/// configuration does not choose this kind. Building has no side effects.
struct Kind {
    name: &'static str,
    build: Build,
}

static KINDS: &[Kind] = &[
    Kind { name: "stdout", build: |config| config.stdout.as_ref().map(stdout::build) },
    Kind { name: "file", build: |config| config.file.as_ref().map(file::build) },
    Kind { name: "webhook", build: |config| config.webhook.as_ref().map(webhook::build) },
    Kind { name: "slack", build: |config| config.slack.as_ref().map(slack::build) },
];

/// Builds every configured destination or says what is wrong with the first that cannot be.
pub(crate) fn build(
    configs: &BTreeMap<String, DestinationConfig>,
) -> Result<Vec<Built>, ConfigError> {
    configs.iter().map(|(name, config)| build_one(name, config)).collect()
}

fn build_one(name: &str, config: &DestinationConfig) -> Result<Built, ConfigError> {
    let mut built = KINDS.iter().filter_map(|kind| Some((kind.name, (kind.build)(config)?)));
    match (built.next(), built.next()) {
        (Some((kind, result)), None) => {
            let (limits, destination) = result.map_err(|error| ConfigError {
                place: format!("destinations.{name}.{kind}.{}", error.place),
                ..error
            })?;
            Ok(Built { name: name.to_owned(), limits, destination })
        }
        (first, second) => {
            let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            let message = match (first, second) {
                (Some((a, _)), Some((b, _))) => format!("gives both {a} and {b}; give one"),
                _ => format!("gives no kind of destination; give one of {}", kinds.join(", ")),
            };
            Err(ConfigError::new(format!("destinations.{name}"), message))
        }
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
