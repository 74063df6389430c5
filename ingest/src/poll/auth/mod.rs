//! How a source proves who it is: fixed headers, signatures, and tokens that are fetched and renewed.
//!
//! A pure state machine: it says which token request to send, takes the answer, and signs requests. Time is
//! an argument, by the vendor's clock. A token is renewed before it expires, and once when the vendor
//! refuses it; a second refusal is for a person. Secrets are in headers and bodies only, which are never
//! shown.

pub mod duo;
pub mod jwt;
pub mod options;
mod token;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use event::Secret;
use serde_json::json;

use super::request::{Reply, Request, Verb};
use jwt::Key;
pub use options::{AuthKind, AuthOptions, Defaults};
use options::{ClientCredentials, Google};
pub use token::Token;

const SECOND_MS: i64 = 1_000;

#[derive(Debug)]
enum Method {
    /// Headers that never change.
    Fixed(Vec<(String, Secret)>),
    Duo(duo::DuoOptions),
    Client(ClientCredentials, Option<Key>),
    Google(Google, Key),
    GithubApp {
        app_id: String,
        token_url: String,
        key: Key,
    },
    Snowflake {
        user: String,
        key: Key,
    },
}

/// Proof of identity, with the token that is in force.
#[derive(Debug)]
pub struct Auth {
    method: Method,
    token: Option<Token>,
    /// Counts tokens, so that a late refusal of an old one does not cost the new one.
    generation: u64,
    /// A refusal has been answered with another attempt, and nothing was accepted since.
    is_retried: bool,
}

impl Auth {
    /// Checks the options; fails in words that hold no secret.
    pub fn new(options: &AuthOptions, defaults: &Defaults) -> Result<Self, String> {
        let method = match options.kind()? {
            AuthKind::Bearer => fixed("Authorization", "Bearer ", &options.bearer()),
            AuthKind::Ssws => fixed("Authorization", "SSWS ", &options.ssws()),
            AuthKind::Header => {
                let name = defaults.header.as_deref().unwrap_or("Authorization");
                fixed(name, "", &options.header())
            }
            AuthKind::Basic => {
                let (user, password) = options.basic();
                fixed("Authorization", "", &basic(&user, &password))
            }
            AuthKind::Duo => Method::Duo(options.duo.clone().unwrap_or_default()),
            AuthKind::ClientCredentials => {
                let (client, key) = options.client(defaults)?;
                Method::Client(client, key)
            }
            AuthKind::Google => {
                let (google, key) = options.google(defaults)?;
                Method::Google(google, key)
            }
            AuthKind::GithubApp => {
                let app = options.github_app.clone().unwrap_or_default();
                let key = Key::from_pem(app.private_key.expose())?;
                let base = &defaults.base_url;
                let token_url =
                    format!("{base}/app/installations/{}/access_tokens", app.installation_id);
                Method::GithubApp { app_id: app.app_id, token_url, key }
            }
            AuthKind::Snowflake => {
                let snowflake = options.snowflake.clone().unwrap_or_default();
                let key = Key::from_pem(snowflake.private_key.expose())?;
                // Snowflake knows both in capitals, and the account without its region.
                let account = snowflake.account.split('.').next().unwrap_or_default();
                let user = format!("{account}.{}", snowflake.user).to_uppercase();
                Method::Snowflake { user, key }
            }
        };
        Ok(Self { method, token: None, generation: 0, is_retried: false })
    }

    /// The token request that has to be answered before anything can be signed.
    pub fn token_request(&mut self, now_ms: i64) -> Result<Option<Request>, String> {
        if self.token.as_ref().is_some_and(|token| now_ms < token.renew_ms) {
            return Ok(None);
        }
        let now_s = now_ms.div_euclid(SECOND_MS);
        let request = match &self.method {
            Method::Fixed(_) | Method::Duo(_) | Method::Snowflake { .. } => return Ok(None),
            Method::Client(client, key) => client.request(key.as_ref(), now_ms)?,
            Method::Google(google, key) => google.request(key, now_s)?,
            Method::GithubApp { app_id, token_url, key } => {
                // A minute back: GitHub refuses what is issued in its future.
                let claims = [
                    ("iss", json!(app_id)),
                    ("iat", json!(now_s - 60)),
                    ("exp", json!(now_s + 540)),
                ];
                let mut request = Request::new(Verb::Post, token_url);
                let token = key.sign(None, &claims)?;
                request.header("Authorization", format!("Bearer {token}"));
                request.header("Accept", "application/vnd.github+json");
                request
            }
        };
        Ok(Some(request))
    }

    /// The answer to a token request; fails in the vendor's own words.
    pub fn answered(&mut self, reply: &Reply, now_ms: i64) -> Result<(), String> {
        self.token = Some(Token::read(reply, now_ms)?);
        self.generation += 1;
        Ok(())
    }

    /// Proves a request whose URL, query and body are final. Returns by which token.
    pub fn sign(&mut self, request: &mut Request, now_ms: i64) -> Result<u64, String> {
        match &self.method {
            Method::Fixed(headers) => {
                for (name, value) in headers {
                    request.header(name, value.expose());
                }
            }
            Method::Duo(options) => duo::sign(request, options, now_ms),
            Method::Snowflake { user, key } => {
                let iat = now_ms.div_euclid(SECOND_MS);
                let claims = [
                    ("iss", json!(format!("{user}.{}", key.fingerprint()))),
                    ("sub", json!(user)),
                    ("iat", json!(iat)),
                    ("exp", json!(iat + 3_540)),
                ];
                request.header("Authorization", format!("Bearer {}", key.sign(None, &claims)?));
                request.header("X-Snowflake-Authorization-Token-Type", "KEYPAIR_JWT");
            }
            Method::Client(..) | Method::Google(..) | Method::GithubApp { .. } => {
                let Some(token) = &self.token else {
                    return Err("there is no token yet".to_owned());
                };
                request.header("Authorization", format!("Bearer {}", token.value.expose()));
            }
        }
        Ok(self.generation)
    }

    /// The vendor has refused this proof. Whether another attempt makes sense: with a new token, or with a
    /// signature by the clock that its answer has shown.
    pub fn refused(&mut self, generation: u64) -> bool {
        if generation != self.generation {
            return true;
        }
        let can_change = !matches!(self.method, Method::Fixed(_));
        let again = can_change && !self.is_retried;
        self.token = None;
        self.is_retried = true;
        again
    }

    /// The vendor has accepted the proof.
    pub fn accepted(&mut self) {
        self.is_retried = false;
    }
}

fn fixed(name: &str, scheme: &str, secret: &Secret) -> Method {
    let value = Secret::new(format!("{scheme}{}", secret.expose()));
    Method::Fixed(vec![(name.to_owned(), value)])
}

/// The header of HTTP's own authentication.
fn basic(user: &str, password: &Secret) -> Secret {
    let pair = BASE64.encode(format!("{user}:{}", password.expose()));
    Secret::new(format!("Basic {pair}"))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests;
