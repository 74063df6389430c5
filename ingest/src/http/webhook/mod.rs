//! Events that a vendor pushes to a path of its own and signs: who may post, what the vendor wants to
//! see before it sends, and which part of a body is the records.
//!
//! A signature is checked over the bytes as they arrived, before anything in them is believed, and in the same
//! time for every wrong one. A vendor that signs the time of sending is held to it, so that a request
//! that was overheard cannot be sent again later.

mod oidc;
mod records;
mod verify;

use axum::http::HeaderMap;
use event::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use oidc::Google;
pub(super) use records::records;
pub use verify::Verify;

/// A path to which one vendor posts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookOptions {
    /// Where the vendor posts, `/hooks/github`.
    pub path: String,
    /// How a request shows that it comes from the vendor.
    pub verify: Verify,
    /// A request that was signed further from now than this is refused, where the vendor signs the time.
    #[serde(default = "replay_s_max")]
    pub replay_s_max: u32,
    /// The member in which the records stand, `data.events`. Default: where the vendor puts them, else the body
    /// is cut by `format`.
    pub records: Option<String>,
    /// Headers that say what the body does not, `X-GitHub-Event`. A record is then
    /// `{"headers":{"x-github-event":…},"body":…}`.
    #[serde(default)]
    pub keep_headers: Vec<String>,
}

fn replay_s_max() -> u32 {
    300
}

/// What a request turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proven {
    /// Events to be stored.
    Events,
    /// The vendor wants to see that we know the secret, or that we own the address; this is what it
    /// expects to read.
    Handshake(String),
}

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// No signature, or not in the vendor's form.
    Unsigned,
    /// By another key, or over another body.
    Forged,
    /// Too long ago, or in the future.
    Stale,
    /// The keys by which it could be judged cannot be had now.
    Unknown,
}

impl WebhookOptions {
    /// What is wrong with the options.
    pub(super) fn fault(&self) -> Option<String> {
        let Self { path, verify, records, keep_headers, .. } = self;
        if records.as_deref().is_some_and(|path| path.split('.').any(str::is_empty)) {
            return Some(format!("`records` of {path} is no path: names joined by dots"));
        }
        let is_name = |name: &String| name.parse::<axum::http::HeaderName>().is_ok();
        if let Some(name) = keep_headers.iter().find(|name| !is_name(name)) {
            return Some(format!("{name:?} of {path} is no name of a header"));
        }
        verify.fault().map(|fault| format!("`verify` of {path}: {fault}"))
    }

    /// The keys of a vendor that proves itself by tokens.
    pub(super) fn google(&self) -> Option<Google> {
        let Verify::Google { audience, email, keys_url } = &self.verify else { return None };
        Some(Google::new(audience, email, keys_url.as_deref()))
    }

    /// What can be refused by the headers alone, so that no memory is given to a body that is not believed
    /// whatever it says. `now_s` is seconds since the epoch.
    pub(super) fn check_headers(&self, headers: &HeaderMap, now_s: i64) -> Result<(), Doubt> {
        match self.verify.check(headers, &[], now_s, self.replay_s_max.into()) {
            Err(Doubt::Forged) if self.verify.is_over_body() => Ok(()),
            done => done,
        }
    }

    /// Whether to believe a request whose body is whole. `now_s` is seconds since the epoch.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now_s: i64,
    ) -> Result<Proven, Doubt> {
        self.verify.check(headers, body, now_s, self.replay_s_max.into())?;
        Ok(self.verify.handshake(body).map_or(Proven::Events, Proven::Handshake))
    }

    /// The answer to a question that is asked without a body, when the address is registered.
    pub(super) fn greet(&self, headers: &HeaderMap, now_s: i64) -> Result<Option<String>, Doubt> {
        let Verify::Okta { .. } = self.verify else { return Ok(None) };
        self.verify.check(headers, &[], now_s, 0)?;
        let challenge = text(headers, "x-okta-verification-challenge").ok_or(Doubt::Unsigned)?;
        Ok(Some(serde_json::json!({ "verification": challenge }).to_string()))
    }

    /// Whether bodies are messages of Pub/Sub, and their data is the record.
    fn is_pubsub(&self) -> bool {
        self.records.is_none() && matches!(self.verify, Verify::Google { .. })
    }

    /// The path to the records in a body, if they are not the body.
    pub(super) fn path_to_records(&self) -> Option<&str> {
        match (&self.records, &self.verify) {
            (Some(path), _) => Some(path),
            (None, Verify::Okta { .. }) => Some("data.events"),
            (None, _) => None,
        }
    }
}

/// A header's text.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Whether two texts are the same. Takes the same time for every wrong one.
fn is_same(given: &str, expected: &Secret) -> bool {
    blake3::hash(given.as_bytes()) == blake3::hash(expected.expose().as_bytes())
}

#[cfg(test)]
mod tests;
