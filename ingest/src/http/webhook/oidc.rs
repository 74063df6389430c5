//! Requests that carry a token of Google's: which service account sent them, and for whom (OpenID Connect;
//! <https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions>).
//!
//! The keys are the issuer's own, got when they are first needed and when a token names one that is not here.
//! Whoever sends tokens with invented keys makes them be got no more often than every [`AGAIN_MS`].

use std::collections::HashMap;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::{Doubt, text};
use crate::poll::client::{Client, Reach};
use crate::poll::request::{Request, Verb};

/// Google's keys (<https://accounts.google.com/.well-known/openid-configuration>).
const KEYS_URL: &str = "https://www.googleapis.com/oauth2/v3/certs";
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
/// Keys are got again no sooner than this.
const AGAIN_MS: i64 = 10_000;
/// Keys that are older are got again: one that was withdrawn must not be believed for ever.
const AGE_MS_MAX: i64 = 6 * 3_600_000;
/// Clocks may differ by this.
const LEEWAY_S: i64 = 60;

/// Modulus and exponent, big-endian.
type PublicKey = (Vec<u8>, Vec<u8>);

#[derive(Debug, Default)]
struct Held {
    keys: HashMap<String, PublicKey>,
    got_ms: Option<i64>,
    asked_ms: Option<i64>,
}

/// What a token must say, and the keys by which it is proven.
#[derive(Debug)]
pub(in crate::http) struct Google {
    audience: String,
    email: String,
    url: String,
    client: Option<Client>,
    held: Mutex<Held>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    exp: i64,
    iat: i64,
    #[serde(default)]
    email: String,
    #[serde(default)]
    email_verified: bool,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<WireKey>,
}

#[derive(Deserialize)]
struct WireKey {
    kid: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

fn decoded<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&BASE64_URL.decode(part).ok()?).ok()
}

impl Google {
    pub fn new(audience: &str, email: &str, keys_url: Option<&str>) -> Self {
        let reach =
            Reach { proxy: None, ca: None, request_ms_max: 10_000, answer_bytes_max: 1 << 20 };
        Self {
            audience: audience.to_owned(),
            email: email.to_owned(),
            url: keys_url.unwrap_or(KEYS_URL).to_owned(),
            // Without a client there are no keys, and every request is answered that it be sent again.
            client: Client::new(&reach).ok(),
            held: Mutex::default(),
        }
    }

    /// Whether to believe a request. `now_ms` is milliseconds since the epoch.
    pub async fn check(&self, headers: &HeaderMap, now_ms: i64) -> Result<(), Doubt> {
        let token = text(headers, "authorization").and_then(|text| text.strip_prefix("Bearer "));
        let token = token.ok_or(Doubt::Unsigned)?.trim();
        let (signed, signature) = token.rsplit_once('.').ok_or(Doubt::Unsigned)?;
        let (header, claims) = signed.split_once('.').ok_or(Doubt::Unsigned)?;
        let header: Header = decoded(header).ok_or(Doubt::Unsigned)?;
        let claims: Claims = decoded(claims).ok_or(Doubt::Unsigned)?;
        let signature = BASE64_URL.decode(signature).map_err(|_| Doubt::Unsigned)?;
        if header.alg != "RS256" {
            return Err(Doubt::Forged);
        }
        let (n, e) = self.key(&header.kid, now_ms).await?;
        RsaPublicKeyComponents { n, e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
            .map_err(|_| Doubt::Forged)?;
        self.judge(&claims, now_ms.div_euclid(1_000))
    }

    fn judge(&self, claims: &Claims, now_s: i64) -> Result<(), Doubt> {
        let is_ours = ISSUERS.contains(&claims.iss.as_str())
            && claims.aud == self.audience
            && claims.email == self.email
            && claims.email_verified;
        let is_in_force = claims.iat - LEEWAY_S <= now_s && now_s <= claims.exp + LEEWAY_S;
        match (is_ours, is_in_force) {
            (true, true) => Ok(()),
            (true, false) => Err(Doubt::Stale),
            (false, _) => Err(Doubt::Forged),
        }
    }

    /// The issuer's key of this name. Held while keys are got, so that requests share what is got.
    async fn key(&self, kid: &str, now_ms: i64) -> Result<PublicKey, Doubt> {
        let mut held = self.held.lock().await;
        let since = |ms: Option<i64>| ms.map_or(i64::MAX, |ms| now_ms.saturating_sub(ms));
        let is_wanting = !held.keys.contains_key(kid) || since(held.got_ms) > AGE_MS_MAX;
        if is_wanting && since(held.asked_ms) >= AGAIN_MS {
            held.asked_ms = Some(now_ms);
            match self.fetch().await {
                Ok(keys) => (held.keys, held.got_ms) = (keys, Some(now_ms)),
                Err(words) => tracing::warn!("the keys of Google's tokens: {words}"),
            }
        }
        let is_old = since(held.got_ms) > 4 * AGE_MS_MAX;
        match held.keys.get(kid).filter(|_| !is_old) {
            Some(key) => Ok(key.clone()),
            None if is_old => Err(Doubt::Unknown),
            None => Err(Doubt::Forged),
        }
    }

    async fn fetch(&self) -> Result<HashMap<String, PublicKey>, String> {
        let client = self.client.as_ref().ok_or("there is no HTTP client")?;
        let reply = client.send(Request::new(Verb::Get, &self.url)).await.map_err(|lost| lost.0)?;
        if reply.status != 200 {
            return Err(format!("status {}", reply.status));
        }
        let set: KeySet =
            serde_json::from_slice(&reply.body).map_err(|e| format!("no set of keys: {e}"))?;
        let key = |key: WireKey| {
            Some((key.kid, (BASE64_URL.decode(key.n).ok()?, BASE64_URL.decode(key.e).ok()?)))
        };
        Ok(set.keys.into_iter().filter_map(key).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::poll::auth::jwt::Key;
    use crate::testing::front::{Fate, front};

    const NOW_MS: i64 = 1_800_000_000_000;

    fn key() -> Key {
        let vectors = include_str!("../../poll/auth/vectors/golden.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        Key::from_pem(vectors["jwt"]["private_key_pem"].as_str().unwrap()).unwrap()
    }

    /// Keys of Google's, the tester's among them as `k1`; how often they were got.
    fn keys() -> (String, Arc<AtomicUsize>) {
        let (n, e) = key().public_parts();
        let (n, e) = (BASE64_URL.encode(n), BASE64_URL.encode(e));
        let set = json!({"keys": [{"kid": "k1", "alg": "RS256", "kty": "RSA", "n": n, "e": e}]});
        let got = Arc::new(AtomicUsize::new(0));
        let counted = got.clone();
        let url = front("http://127.0.0.1:1", move |asked| {
            counted.fetch_add(1, Ordering::Relaxed);
            match asked.path {
                "/away" => Fate::Answer(503, String::new()),
                _ => Fate::Answer(200, set.to_string()),
            }
        });
        (url, got)
    }

    fn token(kid: &str, change: (&str, Value)) -> HeaderMap {
        let mut claims = vec![
            ("iss", json!("https://accounts.google.com")),
            ("aud", json!("https://mantissa.acme.example/push")),
            ("email", json!("push@acme.iam.gserviceaccount.com")),
            ("email_verified", json!(true)),
            ("iat", json!(NOW_MS / 1_000 - 10)),
            ("exp", json!(NOW_MS / 1_000 + 3_590)),
        ];
        claims.retain(|(name, _)| *name != change.0);
        claims.push(change);
        let token = key().sign(Some(kid), &claims).unwrap();
        [("authorization".parse().unwrap(), format!("Bearer {token}").parse().unwrap())]
            .into_iter()
            .collect()
    }

    fn google(url: &str) -> Google {
        const AUDIENCE: &str = "https://mantissa.acme.example/push";
        Google::new(AUDIENCE, "push@acme.iam.gserviceaccount.com", Some(url))
    }

    #[tokio::test]
    async fn only_the_configured_account_for_the_configured_audience_is_believed() {
        let (url, got) = keys();
        let google = google(&url);
        for (claim, value, expected) in [
            ("x", json!(1), Ok(())),
            ("iss", json!("https://evil.example"), Err(Doubt::Forged)),
            ("aud", json!("https://other.example"), Err(Doubt::Forged)),
            ("email", json!("other@acme.iam.gserviceaccount.com"), Err(Doubt::Forged)),
            ("email_verified", json!(false), Err(Doubt::Forged)),
            ("exp", json!(NOW_MS / 1_000 - 61), Err(Doubt::Stale)),
            ("iat", json!(NOW_MS / 1_000 + 61), Err(Doubt::Stale)),
        ] {
            let headers = token("k1", (claim, value));
            assert_eq!(google.check(&headers, NOW_MS).await, expected, "{claim}");
        }
        assert_eq!(got.load(Ordering::Relaxed), 1, "keys are kept");
        assert_eq!(google.check(&HeaderMap::new(), NOW_MS).await, Err(Doubt::Unsigned));
    }

    #[tokio::test]
    async fn a_signature_is_by_the_key_that_it_names_over_what_it_says() {
        let (url, _) = keys();
        let google = google(&url);
        let good = token("k1", ("x", json!(1)));
        let good = good["authorization"].to_str().unwrap().to_owned();
        let parts: Vec<_> = good.split('.').collect();
        let said = |claims: Value| BASE64_URL.encode(claims.to_string());
        let none = BASE64_URL.encode(r#"Bearer {"alg":"none","kid":"k1"}"#);
        let none_header = BASE64_URL.encode(r#"{"alg":"none","kid":"k1"}"#);
        for (what, forged, expected) in [
            (
                "claims",
                format!(
                    "{}.{}.{}",
                    parts[0],
                    said(json!({"iss":"https://accounts.google.com","aud":"a","exp":1,"iat":1})),
                    parts[2]
                ),
                Doubt::Forged,
            ),
            ("algorithm", format!("Bearer {none_header}.{}.", parts[1]), Doubt::Forged),
            ("no signature", format!("{}.{}.", parts[0], parts[1]), Doubt::Forged),
            ("no token", none, Doubt::Unsigned),
        ] {
            let headers: HeaderMap =
                [("authorization".parse().unwrap(), forged.parse().unwrap())].into_iter().collect();
            assert_eq!(google.check(&headers, NOW_MS).await, Err(expected), "{what}");
        }
    }

    #[tokio::test]
    async fn keys_are_got_when_they_are_needed_and_not_for_every_stranger() {
        let (url, got) = keys();
        let google = google(&url);
        for _ in 0..50 {
            let invented = token("other", ("x", json!(1)));
            assert_eq!(google.check(&invented, NOW_MS).await, Err(Doubt::Forged));
        }
        assert_eq!(got.load(Ordering::Relaxed), 1);
        assert!(google.check(&token("other", ("x", json!(1))), NOW_MS + AGAIN_MS).await.is_err());
        assert_eq!(got.load(Ordering::Relaxed), 2, "it may be new");
        let away = self::google(&format!("{url}/away"));
        let sent_again = away.check(&token("k1", ("x", json!(1))), NOW_MS).await;
        assert_eq!(sent_again, Err(Doubt::Unknown), "nobody is called a forger for want of keys");
    }
}
