//! An access token as it was given out: read from the answer to a token request.

use event::Secret;
use serde_json::Value;

use crate::poll::request::Reply;
use crate::poll::when::Form;

/// A token whose lifetime is not told is renewed after this.
const LIFETIME_MS: i64 = 1_800_000;
/// A token is renewed so long before its end, or a tenth of its lifetime if that is less.
const MARGIN_MS_MAX: i64 = 60_000;

/// A token, and when the next one is to be got.
#[derive(Debug)]
pub struct Token {
    pub value: Secret,
    /// Milliseconds since 1970, by the clock that the token was read with.
    pub renew_ms: i64,
}

impl Token {
    /// From an answer in any of the forms that are in use: lifetimes as numbers or text, ends as seconds
    /// since 1970 or as a date. Fails in the vendor's own words.
    pub fn read(reply: &Reply, now_ms: i64) -> Result<Self, String> {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let names = ["access_token", "token", "accessToken"];
        let token = names.iter().find_map(|name| body[*name].as_str());
        let (200..300, Some(token)) = (reply.status, token) else {
            return Err(refusal(reply.status, &body));
        };
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
        let date = |value: &Value| value.as_str().and_then(|at| Form::Rfc3339.read(at));
        let until = date(&body["expires_at"])
            .or_else(|| date(&body["expireTime"]))
            .or_else(|| Some(number(&body["expires_on"])?.saturating_mul(1_000)));
        let lifetime_ms = number(&body["expires_in"])
            .map(|s| s.saturating_mul(1_000))
            .or(until.map(|until| until - now_ms))
            .unwrap_or(LIFETIME_MS)
            .max(0);
        let renew_ms = now_ms.saturating_add(lifetime_ms - MARGIN_MS_MAX.min(lifetime_ms / 10));
        Ok(Self { value: Secret::new(token), renew_ms })
    }
}

fn refusal(status: u16, body: &Value) -> String {
    // `error` is a word in OAuth, an object in Google's own APIs, a list in CrowdStrike's.
    let own = [&body["error"]["message"], &body["errors"][0]["message"]];
    let own = own.into_iter().filter_map(Value::as_str);
    let words = ["error", "error_description", "message", "errorSummary"];
    let said: Vec<&str> = words.iter().filter_map(|w| body[*w].as_str()).chain(own).collect();
    match said.is_empty() {
        true => format!("no token, but status {status}"),
        false => format!("no token: {}", event::shown::line(&said.join(": "))),
    }
}
