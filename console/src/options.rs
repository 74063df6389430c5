//! What a person may say about the console in the configuration file.

use event::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// Health, metrics and the live tap over HTTP.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Address and port to listen on. Port 0 takes a free one.
    pub listen: String,
    /// Bearer token that everything but `/livez` and `/readyz` asks for. Without it `/metrics` is
    /// open and the tap answers only to callers on this machine.
    pub token: Option<Secret>,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9600".into(), token: None }
    }
}
