//! An HTTP endpoint of the user's own, after the Standard Webhooks specification.
//!
//! `POST` of `{"type": "alert.created", "timestamp": RFC 3339, "data": {…}}`, where `data` is
//! [`Outbound::json`] and `timestamp` the time of detection. Headers: `webhook-id` and
//! `Idempotency-Key` are the `alert_id`, the same on every attempt, so that the receiver can tell a
//! repetition; `webhook-timestamp` is the time of the attempt in seconds; with a secret
//! `webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. Any 2xx
//! means taken; the body of the answer is not read for meaning.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use event::Secret;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Destination, http};
use crate::dispatch::lane::{Answer, Limits};
use crate::outbound::Outbound;
use crate::routing::ConfigError;

/// Options of a `webhook` destination.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookOptions {
    /// Where to post; https, or http within your own network. Kept secret.
    pub url: Secret,
    /// The signing secret, `whsec_` and base64 of 24 to 64 bytes. Without it nothing is signed.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Headers to add, `Authorization`. Values are kept secret.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Time for one whole request, 1 to 60000.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Requests at a time, at most.
    #[serde(default = "concurrency_max")]
    pub concurrency_max: usize,
    /// Requests begun in a second, at most.
    #[serde(default = "per_second_max")]
    pub per_second_max: f64,
    /// Connect to link-local and metadata addresses as well. They hand out credentials to whoever
    /// asks: leave it off.
    #[serde(default)]
    pub allow_link_local: bool,
}

fn timeout_ms() -> u64 {
    10_000
}

fn concurrency_max() -> usize {
    4
}

fn per_second_max() -> f64 {
    20.0
}

struct Webhook {
    endpoint: http::Endpoint,
    key: Option<hmac::Key>,
    headers: HeaderMap,
}

pub(super) fn build(
    options: &WebhookOptions,
) -> Result<(Limits, Arc<dyn Destination>), ConfigError> {
    if !(1..=60_000).contains(&options.timeout_ms) {
        return Err(ConfigError::new("timeout_ms", "is not within 1 to 60000"));
    }
    if !(1..=64).contains(&options.concurrency_max) {
        return Err(ConfigError::new("concurrency_max", "is not within 1 to 64"));
    }
    if !(options.per_second_max >= 0.01 && options.per_second_max <= 10_000.0) {
        return Err(ConfigError::new("per_second_max", "is not within 0.01 to 10000"));
    }
    let timeout = Duration::from_millis(options.timeout_ms);
    let endpoint = http::endpoint(&options.url, "url", timeout, options.allow_link_local)?;
    let webhook = Webhook {
        endpoint,
        key: options.secret.as_ref().map(key).transpose()?,
        headers: headers(&options.headers)?,
    };
    let limits = Limits {
        concurrency_max: options.concurrency_max,
        per_second_max: options.per_second_max,
        batch_max: 1,
    };
    Ok((limits, Arc::new(webhook)))
}

fn key(secret: &Secret) -> Result<hmac::Key, ConfigError> {
    let wrong = || ConfigError::new("secret", "must be whsec_ and base64 of 24 to 64 bytes");
    let text = secret.expose().strip_prefix("whsec_").ok_or_else(wrong)?;
    let bytes = BASE64.decode(text).map_err(|_| wrong())?;
    if !(24..=64).contains(&bytes.len()) {
        return Err(wrong());
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn headers(options: &BTreeMap<String, Secret>) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    for (name, value) in options {
        let wrong = |what: &str| ConfigError::new(format!("headers.{name}"), what);
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong("is not the name of a header"))?;
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| wrong("has a value that a header cannot have"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

#[async_trait]
impl Destination for Webhook {
    async fn deliver(&self, batch: &[Outbound]) -> Answer {
        let [outbound] = batch else {
            unreachable!("batch_max is 1");
        };
        let id = outbound.alert().alert_id.to_string();
        let body = body(outbound);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = since_epoch.as_secs().to_string();
        let mut headers = self.headers.clone();
        let mut set = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).expect("hex, digits and base64 are legal");
            headers.insert(HeaderName::from_static(name), value);
        };
        set("webhook-id", &id);
        set("idempotency-key", &id);
        set("webhook-timestamp", &timestamp);
        if let Some(key) = &self.key {
            set("webhook-signature", &signature(key, &id, &timestamp, &body));
        }
        match self.endpoint.post(headers, body).await {
            Ok(reply) => http::answer(&reply),
            Err(answer) => answer,
        }
    }
}

fn body(outbound: &Outbound) -> Vec<u8> {
    let timestamp = outbound.alert().detected_at.to_string();
    let data = outbound.json();
    json!({"type": "alert.created", "timestamp": timestamp, "data": data}).to_string().into_bytes()
}

fn signature(key: &hmac::Key, id: &str, timestamp: &str, body: &[u8]) -> String {
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    format!("v1,{}", BASE64.encode(hmac::sign(key, &signed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_specification_says() {
        // The example of the Standard Webhooks libraries.
        let key = key(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn impossible_options_are_named_without_their_secret() {
        let base = || WebhookOptions {
            url: Secret::new("https://example.com/hook"),
            secret: None,
            headers: BTreeMap::new(),
            timeout_ms: 1_000,
            concurrency_max: 1,
            per_second_max: 1.0,
            allow_link_local: false,
        };
        let place = |options: WebhookOptions| match build(&options) {
            Ok(_) => "fine".to_owned(),
            Err(error) => {
                assert!(!error.to_string().contains("hunter2"), "{error}");
                error.place
            }
        };
        crate::testing::install_tls();
        let header = |name: &str, value: &str| {
            BTreeMap::from([(name.to_owned(), Secret::new(value.to_owned()))])
        };
        let url = |url: &str| WebhookOptions { url: Secret::new(url), ..base() };
        for (options, expected) in [
            (base(), "fine"),
            (url("hunter2"), "url"),
            (url("ftp://hunter2"), "url"),
            (url("http://169.254.169.254/hunter2"), "url"),
            (url("http://[::ffff:169.254.169.254]/hunter2"), "url"),
            (url("http://2852039166/hunter2"), "url"),
            (WebhookOptions { allow_link_local: true, ..url("http://169.254.169.254/") }, "fine"),
            (WebhookOptions { secret: Some(Secret::new("hunter2")), ..base() }, "secret"),
            (WebhookOptions { secret: Some(Secret::new("whsec_aGk=")), ..base() }, "secret"),
            (WebhookOptions { headers: header("X", "hunter2\n"), ..base() }, "headers.X"),
            (WebhookOptions { headers: header("a b", "x"), ..base() }, "headers.a b"),
            (WebhookOptions { timeout_ms: 0, ..base() }, "timeout_ms"),
            (WebhookOptions { concurrency_max: 0, ..base() }, "concurrency_max"),
            (WebhookOptions { per_second_max: f64::NAN, ..base() }, "per_second_max"),
        ] {
            assert_eq!(place(options), expected);
        }
    }
}
