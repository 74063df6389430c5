//! The vendors' ways to sign.

use std::borrow::Cow;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event::Secret;
use ring::hmac;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Doubt, is_same, text};

/// How a request shows that it comes from the vendor. Where there are several `secrets`, any of them will do:
/// one is the old one while it is being changed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Verify {
    /// `X-Hub-Signature-256`
    /// (<https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>).
    Github {
        /// The secret of the webhook.
        secrets: Vec<Secret>,
    },
    /// `X-Gitlab-Token` (<https://docs.gitlab.com/user/project/integrations/webhooks/>).
    Gitlab {
        /// The secret token of the webhook.
        secrets: Vec<Secret>,
    },
    /// `X-Slack-Signature`, and the answer to `url_verification`
    /// (<https://docs.slack.dev/authentication/verifying-requests-from-slack>).
    Slack {
        /// The signing secret of the app.
        secrets: Vec<Secret>,
    },
    /// `x-zm-signature`, and the answer to `endpoint.url_validation`
    /// (<https://developers.zoom.us/docs/api/webhooks/>).
    Zoom {
        /// The secret token of the app's feature page; the first answers the handshake.
        secrets: Vec<Secret>,
    },
    /// The `Authorization` that the event hook was registered with, and the answer to its one-time
    /// challenge (<https://developer.okta.com/docs/concepts/event-hooks/>). The records are `data.events`.
    Okta {
        /// The value of `Authorization`, as the hook was registered with.
        secrets: Vec<Secret>,
    },
    /// `webhook-signature` of Standard Webhooks; secrets may begin with `whsec_`
    /// (<https://github.com/standard-webhooks/standard-webhooks>).
    Standard {
        /// `whsec_` and base64, or the base64 alone.
        secrets: Vec<Secret>,
    },
    /// An HMAC of the body in a header.
    Hmac {
        /// The keys.
        secrets: Vec<Secret>,
        /// The header with the signature.
        header: String,
        /// What stands before the signature, `sha256=`.
        #[serde(default)]
        prefix: String,
        /// The hash of the HMAC.
        #[serde(default)]
        algorithm: Algorithm,
        /// How the signature is written.
        #[serde(default)]
        encoding: Encoding,
    },
    /// A user and a password, `Authorization: Basic`.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A header with a secret value, such as `Authorization: Bearer …` or `cf-webhook-auth`.
    Header {
        /// The name of the header.
        name: String,
        /// Its whole value.
        secrets: Vec<Secret>,
    },
    /// A token of Google's, as Pub/Sub pushes with: which service account sends, and for whom
    /// (<https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions>). The record is the message's
    /// data, wrapped or unwrapped.
    Google {
        /// The audience of the subscription's push authentication; the push endpoint, where none is set.
        audience: String,
        /// The service account that the subscription pushes as.
        email: String,
        /// Where Google's public keys are.
        #[serde(default)]
        keys_url: Option<String>,
    },
    /// Who may post is settled before: by TLS certificates or by the network.
    None,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Only for a vendor that has nothing better.
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}

impl Verify {
    fn secrets(&self) -> &[Secret] {
        match self {
            Self::Github { secrets }
            | Self::Gitlab { secrets }
            | Self::Slack { secrets }
            | Self::Zoom { secrets }
            | Self::Okta { secrets }
            | Self::Standard { secrets }
            | Self::Hmac { secrets, .. }
            | Self::Header { secrets, .. } => secrets,
            Self::Basic { password, .. } => std::slice::from_ref(password),
            Self::Google { .. } | Self::None => &[],
        }
    }

    /// Whether the proof depends on the body.
    pub(super) fn is_over_body(&self) -> bool {
        match self {
            Self::Github { .. }
            | Self::Slack { .. }
            | Self::Zoom { .. }
            | Self::Standard { .. }
            | Self::Hmac { .. } => true,
            Self::Gitlab { .. }
            | Self::Okta { .. }
            | Self::Header { .. }
            | Self::Basic { .. }
            | Self::Google { .. }
            | Self::None => false,
        }
    }

    pub(super) fn fault(&self) -> Option<&'static str> {
        let is_named = |name: &str| name.parse::<axum::http::HeaderName>().is_ok();
        match self {
            Self::None => return None,
            Self::Google { audience, email, .. } => {
                let is_whole = !audience.is_empty() && email.contains('@');
                return (!is_whole)
                    .then_some("`audience` and the `email` of a service account are needed");
            }
            Self::Hmac { header: name, .. } | Self::Header { name, .. } if !is_named(name) => {
                return Some("that is no name of a header");
            }
            Self::Standard { secrets } if secrets.iter().any(|s| standard_key(s).is_none()) => {
                return Some("a secret of Standard Webhooks is `whsec_` and base64");
            }
            _ => {}
        }
        let secrets = self.secrets();
        let is_empty = secrets.is_empty() || secrets.iter().any(|s| s.expose().is_empty());
        is_empty.then_some("a secret is missing or empty")
    }

    /// See [`super::WebhookOptions::check`].
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now_s: i64,
        replay_s_max: i64,
    ) -> Result<(), Doubt> {
        let is_signed = match self {
            Self::None => true,
            // By its keys, which have to be got: see `oidc`.
            Self::Google { .. } => return Err(Doubt::Unknown),
            Self::Github { secrets } => {
                let given = given(headers, "x-hub-signature-256", "sha256=", Encoding::Hex)?;
                verified(secrets, hmac::HMAC_SHA256, &[body], &given)
            }
            Self::Hmac { secrets, header, prefix, algorithm, encoding } => {
                let given = given(headers, header, prefix, *encoding)?;
                verified(secrets, algorithm.of_ring(), &[body], &given)
            }
            Self::Slack { secrets } => {
                let at = sent_at(headers, "x-slack-request-timestamp", now_s, replay_s_max)?;
                let given = given(headers, "x-slack-signature", "v0=", Encoding::Hex)?;
                verified(secrets, hmac::HMAC_SHA256, &[b"v0:", at, b":", body], &given)
            }
            Self::Zoom { secrets } => {
                let at = sent_at(headers, "x-zm-request-timestamp", now_s, replay_s_max)?;
                let given = given(headers, "x-zm-signature", "v0=", Encoding::Hex)?;
                verified(secrets, hmac::HMAC_SHA256, &[b"v0:", at, b":", body], &given)
            }
            Self::Standard { secrets } => standard(secrets, headers, body, now_s, replay_s_max)?,
            Self::Gitlab { secrets } => has(headers, "x-gitlab-token", secrets)?,
            Self::Okta { secrets } => has(headers, "authorization", secrets)?,
            Self::Header { name, secrets } => has(headers, name, secrets)?,
            Self::Basic { user, password } => {
                let expected = STANDARD.encode(format!("{user}:{}", password.expose()));
                has(headers, "authorization", &[Secret::new(format!("Basic {expected}"))])?
            }
        };
        if is_signed { Ok(()) } else { Err(Doubt::Forged) }
    }

    /// What a body asks to be answered with, if it is no event but a question.
    pub(super) fn handshake(&self, body: &[u8]) -> Option<String> {
        match self {
            Self::Slack { .. } => {
                let asked: SlackQuestion = serde_json::from_slice(body).ok()?;
                let is_asked = asked.kind == "url_verification";
                is_asked.then(|| serde_json::json!({"challenge": asked.challenge}).to_string())
            }
            Self::Zoom { secrets } => {
                let asked: ZoomQuestion = serde_json::from_slice(body).ok()?;
                let token = &asked.payload.plain_token;
                let key = hmac::Key::new(hmac::HMAC_SHA256, secrets.first()?.expose().as_bytes());
                let sealed = hex(hmac::sign(&key, token.as_bytes()).as_ref());
                let answer = serde_json::json!({"plainToken": token, "encryptedToken": sealed});
                (asked.event == "endpoint.url_validation").then(|| answer.to_string())
            }
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct SlackQuestion {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
}

#[derive(Deserialize)]
struct ZoomQuestion {
    event: String,
    payload: ZoomToken,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ZoomToken {
    plain_token: String,
}

impl Algorithm {
    fn of_ring(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// The bytes of the signature in a header.
fn given(
    headers: &HeaderMap,
    name: &str,
    prefix: &str,
    encoding: Encoding,
) -> Result<Vec<u8>, Doubt> {
    let signature = text(headers, name).and_then(|text| text.strip_prefix(prefix));
    let signature = signature.ok_or(Doubt::Unsigned)?;
    let bytes = match encoding {
        Encoding::Hex => unhex(signature),
        Encoding::Base64 => STANDARD.decode(signature).ok(),
    };
    bytes.ok_or(Doubt::Unsigned)
}

/// Whether one of the secrets signed these parts.
fn verified(secrets: &[Secret], algorithm: hmac::Algorithm, parts: &[&[u8]], given: &[u8]) -> bool {
    let keys = secrets.iter().map(|s| hmac::Key::new(algorithm, s.expose().as_bytes()));
    signed_by(keys, parts, given)
}

fn signed_by(keys: impl Iterator<Item = hmac::Key>, parts: &[&[u8]], given: &[u8]) -> bool {
    let signed = match parts {
        [body] => Cow::Borrowed(*body),
        parts => Cow::Owned(parts.concat()),
    };
    keys.fold(false, |found, key| hmac::verify(&key, &signed, given).is_ok() | found)
}

/// Whether a header has one of these values.
fn has(headers: &HeaderMap, name: &str, secrets: &[Secret]) -> Result<bool, Doubt> {
    let given = text(headers, name).ok_or(Doubt::Unsigned)?;
    Ok(secrets.iter().fold(false, |found, secret| is_same(given, secret) | found))
}

/// The signed time of sending, in the seconds' digits that were signed.
fn sent_at<'h>(
    headers: &'h HeaderMap,
    name: &str,
    now_s: i64,
    replay_s_max: i64,
) -> Result<&'h [u8], Doubt> {
    let digits = text(headers, name).ok_or(Doubt::Unsigned)?;
    let at: i64 = digits.parse().map_err(|_| Doubt::Unsigned)?;
    // Zoom has sent milliseconds.
    let at = if at > 100_000_000_000 { at / 1_000 } else { at };
    let is_fresh = now_s.abs_diff(at) <= replay_s_max.unsigned_abs();
    if is_fresh { Ok(digits.as_bytes()) } else { Err(Doubt::Stale) }
}

fn standard(
    secrets: &[Secret],
    headers: &HeaderMap,
    body: &[u8],
    now_s: i64,
    replay_s_max: i64,
) -> Result<bool, Doubt> {
    let id = text(headers, "webhook-id").ok_or(Doubt::Unsigned)?.as_bytes();
    let at = sent_at(headers, "webhook-timestamp", now_s, replay_s_max)?;
    let all = text(headers, "webhook-signature").ok_or(Doubt::Unsigned)?;
    let parts: [&[u8]; 5] = [id, b".", at, b".", body];
    let each = all.split(' ').filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    Ok(each.fold(false, |found, given| {
        let keys = secrets.iter().filter_map(standard_key);
        let keys = keys.map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key));
        signed_by(keys, &parts, &given) | found
    }))
}

fn standard_key(secret: &Secret) -> Option<Vec<u8>> {
    let text = secret.expose();
    STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| (byte as char).to_digit(16);
    let pairs = digits.chunks_exact(2);
    pairs.map(|two| Some((digit(two[0])? * 16 + digit(two[1])?) as u8)).collect()
}
