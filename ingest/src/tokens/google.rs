//! Google Cloud: a service account's key, the metadata server of the machine, or a federated identity.
//!
//! The credentials are the file that Google gives out for the purpose, as its own libraries read it; its
//! member `type` tells what it is (<https://cloud.google.com/docs/authentication/application-default-credentials>).

use std::collections::BTreeMap;
use std::path::PathBuf;

use event::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::ask;
use crate::poll::auth::Token;
use crate::poll::auth::jwt::Key;
use crate::poll::client::Client;
use crate::poll::request::{Request, Verb, encode};
use crate::poll::source::now_ms;

const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const METADATA_URL: &str = "http://metadata.google.internal";
/// What the token may be used for is limited by the roles of the account.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// How a source proves to Google Cloud who it is. Without anything the metadata server of the machine is
/// asked (Compute Engine, GKE with Workload Identity, Cloud Run).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GoogleAuth {
    /// The text of a service account's key file, or of a credential configuration for workload identity
    /// federation: `"${file:/run/secrets/google.json}"`.
    pub credentials: Option<Secret>,
    /// Where tokens are got; default: what the credentials say.
    pub token_url: Option<String>,
    /// Where the metadata server is.
    pub metadata_url: Option<String>,
    /// Send no token: for an emulator.
    pub anonymous: bool,
}

/// Gives tokens out.
#[derive(Debug)]
pub enum Issuer {
    Key { email: String, key_id: Option<String>, key: Box<Key>, token_url: String },
    Metadata { url: String },
    Federated(Box<Federated>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum File {
    ServiceAccount {
        client_email: String,
        private_key: Secret,
        private_key_id: Option<String>,
        token_uri: Option<String>,
    },
    ExternalAccount(Box<Federated>),
}

/// Workload identity federation (<https://google.aip.dev/auth/4117>).
#[derive(Debug, Deserialize)]
pub struct Federated {
    audience: String,
    subject_token_type: String,
    token_url: String,
    service_account_impersonation_url: Option<String>,
    credential_source: SubjectSource,
}

/// Where the token of the other identity is.
#[derive(Debug, Deserialize)]
struct SubjectSource {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    format: SubjectFormat,
}

#[derive(Debug, Default, Deserialize)]
struct SubjectFormat {
    /// The member of the JSON that holds the token; without it the text is the token.
    subject_token_field_name: Option<String>,
}

impl GoogleAuth {
    /// Reads the credentials; fails in words that hold no secret.
    pub fn issuer(&self) -> Result<super::Issuer, String> {
        if self.anonymous {
            return match self.credentials {
                Some(_) => Err("give `credentials` or `anonymous`, one of them".to_owned()),
                None => Ok(super::Issuer::Nobody),
            };
        }
        let Some(credentials) = &self.credentials else {
            let url = self.metadata_url.as_deref().unwrap_or(METADATA_URL);
            let url = url.trim_end_matches('/').to_owned();
            return Ok(super::Issuer::Google(Issuer::Metadata { url }));
        };
        let file: File = serde_json::from_str(credentials.expose()).map_err(|_| {
            "`credentials` is neither a service account's key file nor a credential configuration \
             (`external_account` with a file or a URL); give its text, as \
             \"${file:/run/secrets/google.json}\""
        })?;
        Ok(super::Issuer::Google(match file {
            File::ServiceAccount { client_email, private_key, private_key_id, token_uri } => {
                let token_url = self.token_url.clone().or(token_uri);
                Issuer::Key {
                    email: client_email,
                    key_id: private_key_id,
                    key: Box::new(Key::from_pem(private_key.expose())?),
                    token_url: token_url.unwrap_or_else(|| TOKEN_URL.to_owned()),
                }
            }
            File::ExternalAccount(mut federated) => {
                let source = &federated.credential_source;
                if source.file.is_some() == source.url.is_some() {
                    let told = "the `credential_source` of `credentials` must be a file or a URL; \
                                programs and AWS are not supported";
                    return Err(told.to_owned());
                }
                if let Some(url) = &self.token_url {
                    url.clone_into(&mut federated.token_url);
                }
                Issuer::Federated(federated)
            }
        }))
    }
}

impl Issuer {
    pub(super) async fn issue(&self, client: &Client) -> Result<Token, String> {
        match self {
            Self::Key { email, key_id, key, token_url } => {
                let request = assertion(email, key_id.as_deref(), key, token_url)?;
                ask(client, request, "the service account's token").await
            }
            Self::Metadata { url } => {
                const PATH: &str = "computeMetadata/v1/instance/service-accounts/default/token";
                let mut request = Request::new(Verb::Get, format!("{url}/{PATH}"));
                request.header("Metadata-Flavor", "Google");
                ask(client, request, "the metadata server's token").await
            }
            Self::Federated(federated) => federated.issue(client).await,
        }
    }
}

/// A key's own assertion (RFC 7523).
fn assertion(
    email: &str,
    key_id: Option<&str>,
    key: &Key,
    token_url: &str,
) -> Result<Request, String> {
    let now_s = now_ms().div_euclid(1_000);
    let claims = [
        ("iss", json!(email)),
        ("scope", json!(SCOPE)),
        ("aud", json!(token_url)),
        ("iat", json!(now_s)),
        ("exp", json!(now_s + 3_600)),
    ];
    let assertion = key.sign(key_id, &claims)?;
    const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let pairs = [("grant_type", GRANT), ("assertion", assertion.as_str())];
    Ok(Request::new(Verb::Post, token_url).form(&pairs))
}

impl Federated {
    async fn issue(&self, client: &Client) -> Result<Token, String> {
        let subject = self.subject(client).await?;
        let exchange = Request::new(Verb::Post, &self.token_url).form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", &self.audience),
            ("scope", SCOPE),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", &self.subject_token_type),
            ("subject_token", subject.expose()),
        ]);
        let federated = ask(client, exchange, "the federated token").await?;
        let Some(url) = &self.service_account_impersonation_url else { return Ok(federated) };
        let mut request = Request::new(Verb::Post, url);
        request.header("Authorization", format!("Bearer {}", federated.value.expose()));
        request.header("Content-Type", "application/json");
        request.body = Some(json!({"scope": [SCOPE]}).to_string());
        ask(client, request, "the service account that is acted for").await
    }

    /// The token of the other identity; it is written anew by whoever gives it out.
    async fn subject(&self, client: &Client) -> Result<Secret, String> {
        let source = &self.credential_source;
        let text = match (&source.file, &source.url) {
            (Some(file), _) => tokio::fs::read(file)
                .await
                .map_err(|e| format!("the token file {}: {e}", file.display()))?,
            (None, url) => {
                let (url, query) = url.as_deref().unwrap_or_default().split_once('?').unzip();
                let whole = source.url.as_deref().unwrap_or_default();
                let mut request = Request::new(Verb::Get, url.unwrap_or(whole));
                query.unwrap_or_default().clone_into(&mut request.query);
                for (name, value) in &source.headers {
                    request.header(name, value);
                }
                let told = |words: String| format!("the token of the other identity: {words}");
                let reply = client.send(request).await.map_err(|lost| told(lost.0))?;
                if reply.status != 200 {
                    return Err(told(format!("status {}", reply.status)));
                }
                reply.body
            }
        };
        let text = String::from_utf8_lossy(&text);
        let Some(member) = &source.format.subject_token_field_name else {
            return Ok(Secret::new(text.trim()));
        };
        let body: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let token = body[member].as_str().map(Secret::new);
        token.ok_or_else(|| format!("the token of the other identity has no member {member:?}"))
    }
}

/// A resource's name in a path, `projects/acme/subscriptions/audit`; what is no such character is encoded.
pub(crate) fn path_of(name: &str) -> String {
    name.split('/').map(encode).collect::<Vec<_>>().join("/")
}
