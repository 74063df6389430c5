//! How a source proves who it is, as it is configured, and the token requests that follow from it.

use event::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::duo::DuoOptions;
use super::jwt::Key;
use crate::poll::connector::SecretPlace;
use crate::poll::request::{Request, Verb};
use crate::poll::seen::{Id, id_of};

/// The ways; a connector says which ones its vendor takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    Bearer,
    Ssws,
    Header,
    Basic,
    ClientCredentials,
    Google,
    GithubApp,
    Snowflake,
    Duo,
}

impl AuthKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Ssws => "ssws",
            Self::Header => "header",
            Self::Basic => "basic",
            Self::ClientCredentials => "client_credentials",
            Self::Google => "google",
            Self::GithubApp => "github_app",
            Self::Snowflake => "snowflake",
            Self::Duo => "duo",
        }
    }
}

/// A token as it was given out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenOptions {
    /// The token itself, without the word before it.
    pub token: Secret,
}

/// A user and a password.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicOptions {
    /// The name of the user.
    pub user: String,
    /// Its password, or what the vendor gives in its place.
    pub password: Secret,
}

/// An application that gets tokens for itself (OAuth 2.0 client credentials).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientOptions {
    /// By which name the vendor knows the application.
    pub client_id: String,
    /// Give this or `private_key`.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// A private RSA key as PEM, for vendors that take `private_key_jwt`.
    #[serde(default)]
    pub private_key: Option<Secret>,
    /// By which name the vendor knows the key.
    #[serde(default)]
    pub key_id: Option<String>,
    /// Where tokens are got; default: the connector's.
    #[serde(default)]
    pub token_url: Option<String>,
    /// Default: the connector's.
    #[serde(default)]
    pub scope: Option<String>,
}

/// A Google service account with domain-wide delegation.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoogleOptions {
    /// The text of the account's key file.
    pub key_file: Secret,
    /// The administrator on whose behalf the logs are read.
    pub subject: String,
    /// Where tokens are got; default: what the key file says.
    #[serde(default)]
    pub token_url: Option<String>,
    /// Default: the connector's.
    #[serde(default)]
    pub scope: Option<String>,
}

/// An installed GitHub App.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GithubAppOptions {
    /// The app's number, or its client id.
    pub app_id: String,
    /// The number of its installation in the organisation or enterprise.
    pub installation_id: String,
    /// PEM.
    pub private_key: Secret,
}

/// A Snowflake user with a key pair.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnowflakeOptions {
    /// The account identifier, `organisation-account`.
    pub account: String,
    /// The name of the user.
    pub user: String,
    /// PEM.
    pub private_key: Secret,
}

/// How the source proves who it is: exactly one of these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthOptions {
    /// `Authorization: Bearer …`
    pub bearer: Option<TokenOptions>,
    /// `Authorization: SSWS …`, an API token of Okta.
    pub ssws: Option<TokenOptions>,
    /// A token in a header of the vendor's own.
    pub header: Option<TokenOptions>,
    /// A user and a password.
    pub basic: Option<BasicOptions>,
    /// An application that gets tokens for itself.
    pub client_credentials: Option<ClientOptions>,
    /// A Google service account.
    pub google: Option<GoogleOptions>,
    /// An installed GitHub App.
    pub github_app: Option<GithubAppOptions>,
    /// A Snowflake user with a key pair.
    pub snowflake: Option<SnowflakeOptions>,
    /// An application of Duo's Admin API.
    pub duo: Option<DuoOptions>,
}

/// What the connector knows.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    pub base_url: String,
    pub token_url: Option<String>,
    pub scope: Option<String>,
    /// What else a token request says.
    pub form: Vec<(String, String)>,
    /// Where it has the application's id and secret.
    pub secret: SecretPlace,
    /// The name of the header that takes the token.
    pub header: Option<String>,
}

impl AuthOptions {
    /// The one that is given.
    pub fn kind(&self) -> Result<AuthKind, String> {
        let given = [
            (self.bearer.is_some(), AuthKind::Bearer),
            (self.ssws.is_some(), AuthKind::Ssws),
            (self.header.is_some(), AuthKind::Header),
            (self.basic.is_some(), AuthKind::Basic),
            (self.client_credentials.is_some(), AuthKind::ClientCredentials),
            (self.google.is_some(), AuthKind::Google),
            (self.github_app.is_some(), AuthKind::GithubApp),
            (self.snowflake.is_some(), AuthKind::Snowflake),
            (self.duo.is_some(), AuthKind::Duo),
        ];
        let mut given = given.iter().filter(|(is, _)| *is).map(|(_, kind)| *kind);
        match (given.next(), given.next()) {
            (Some(kind), None) => self.not_empty(kind),
            (Some(one), Some(two)) => {
                Err(format!("has both `{}` and `{}`; give one", one.as_str(), two.as_str()))
            }
            _ => Err("says not how to prove who it is".to_owned()),
        }
    }

    /// What tells credentials apart, without telling them.
    pub fn fingerprint(&self) -> Id {
        let (user, password) = self.basic();
        let client = self.client_credentials.clone().unwrap_or_default();
        let google = self.google.clone().unwrap_or_default();
        let app = self.github_app.clone().unwrap_or_default();
        let snowflake = self.snowflake.clone().unwrap_or_default();
        let duo = self.duo.clone().unwrap_or_default();
        let tokens = [self.bearer(), self.ssws(), self.header()];
        let texts = [
            user.as_str(),
            password.expose(),
            &client.client_id,
            google.key_file.expose(),
            &google.subject,
            &app.app_id,
            &app.installation_id,
            &snowflake.account,
            &snowflake.user,
            &duo.integration_key,
        ];
        id_of(tokens.iter().map(Secret::expose).chain(texts).map(str::as_bytes))
    }

    /// An empty secret is an environment variable that was forgotten.
    fn not_empty(&self, kind: AuthKind) -> Result<AuthKind, String> {
        let secret = match kind {
            AuthKind::Bearer => self.bearer(),
            AuthKind::Ssws => self.ssws(),
            AuthKind::Header => self.header(),
            AuthKind::Basic => self.basic().1,
            AuthKind::Duo => self.duo.as_ref().map(|d| d.secret_key.clone()).unwrap_or_default(),
            // Read as what they are later.
            _ => return Ok(kind),
        };
        match secret.expose().trim().is_empty() {
            true => Err(format!("`{}` is given, but its secret is empty", kind.as_str())),
            false => Ok(kind),
        }
    }

    pub(super) fn bearer(&self) -> Secret {
        self.bearer.as_ref().map(|b| b.token.clone()).unwrap_or_default()
    }

    pub(super) fn ssws(&self) -> Secret {
        self.ssws.as_ref().map(|s| s.token.clone()).unwrap_or_default()
    }

    pub(super) fn header(&self) -> Secret {
        self.header.as_ref().map(|h| h.token.clone()).unwrap_or_default()
    }

    pub(super) fn basic(&self) -> (String, Secret) {
        self.basic.as_ref().map(|b| (b.user.clone(), b.password.clone())).unwrap_or_default()
    }

    pub(super) fn client(
        &self,
        defaults: &Defaults,
    ) -> Result<(ClientCredentials, Option<Key>), String> {
        let given = self.client_credentials.clone().unwrap_or_default();
        let token_url = given.token_url.or_else(|| defaults.token_url.clone());
        let token_url = token_url.ok_or("`token_url` is not given")?;
        let key = given.private_key.as_ref().map(|pem| Key::from_pem(pem.expose())).transpose()?;
        if key.is_some() == given.client_secret.is_some() {
            return Err("give `client_secret` or `private_key`, one of them".to_owned());
        }
        let client = ClientCredentials {
            client_id: given.client_id,
            client_secret: given.client_secret,
            key_id: given.key_id,
            token_url,
            scope: given.scope.or_else(|| defaults.scope.clone()),
            form: defaults.form.clone(),
            secret: defaults.secret,
        };
        Ok((client, key))
    }

    pub(super) fn google(&self, defaults: &Defaults) -> Result<(Google, Key), String> {
        #[derive(Deserialize)]
        struct KeyFile {
            client_email: String,
            private_key: Secret,
            private_key_id: Option<String>,
            token_uri: Option<String>,
        }
        let given = self.google.clone().unwrap_or_default();
        let file: KeyFile = serde_json::from_str(given.key_file.expose()).map_err(|_| {
            "`key_file` is not the JSON of a service account's key file; give its text, as \
             \"${file:/path/key.json}\""
        })?;
        let scope = given.scope.or_else(|| defaults.scope.clone());
        let google = Google {
            email: file.client_email,
            key_id: file.private_key_id,
            subject: given.subject,
            token_url: given
                .token_url
                .or(file.token_uri)
                .unwrap_or_else(|| "https://oauth2.googleapis.com/token".to_owned()),
            scope: scope.ok_or("`scope` is not given")?,
        };
        Ok((google, Key::from_pem(file.private_key.expose())?))
    }
}

/// Resolved options of an application.
#[derive(Debug)]
pub(super) struct ClientCredentials {
    client_id: String,
    client_secret: Option<Secret>,
    key_id: Option<String>,
    token_url: String,
    scope: Option<String>,
    form: Vec<(String, String)>,
    secret: SecretPlace,
}

impl ClientCredentials {
    pub fn request(&self, key: Option<&Key>, now_ms: i64) -> Result<Request, String> {
        let form = || self.form.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut pairs = Vec::new();
        // Some vendors have a grant of their own.
        if !form().any(|(name, _)| name == "grant_type") {
            pairs.push(("grant_type", "client_credentials"));
        }
        pairs.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let basic = self.client_secret.as_ref().filter(|_| self.secret == SecretPlace::Basic);
        if basic.is_none() {
            pairs.push(("client_id", &self.client_id));
        }
        pairs.extend(form());
        let assertion;
        if let Some(key) = key {
            assertion = self.assertion(key, now_ms)?;
            const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            pairs.extend([("client_assertion_type", KIND), ("client_assertion", &assertion)]);
        }
        if basic.is_none() {
            pairs.extend(self.client_secret.as_ref().map(|s| ("client_secret", s.expose())));
        }
        let mut request = Request::new(Verb::Post, &self.token_url).form(&pairs);
        if let Some(secret) = basic {
            request.header("Authorization", super::basic(&self.client_id, secret).expose());
        }
        request.header("Accept", "application/json");
        Ok(request)
    }

    fn assertion(&self, key: &Key, now_ms: i64) -> Result<String, String> {
        let now_s = now_ms.div_euclid(1_000);
        let unique = id_of([self.client_id.as_bytes(), &now_ms.to_le_bytes()]);
        let claims = [
            ("iss", json!(self.client_id)),
            ("sub", json!(self.client_id)),
            ("aud", json!(self.token_url)),
            ("iat", json!(now_s)),
            ("exp", json!(now_s + 300)),
            ("jti", json!(super::hex(&unique))),
        ];
        key.sign(self.key_id.as_deref(), &claims)
    }
}

/// Resolved options of a service account.
#[derive(Debug)]
pub(super) struct Google {
    email: String,
    key_id: Option<String>,
    subject: String,
    token_url: String,
    scope: String,
}

impl Google {
    pub fn request(&self, key: &Key, now_s: i64) -> Result<Request, String> {
        let claims = [
            ("iss", json!(self.email)),
            ("sub", json!(self.subject)),
            ("scope", json!(self.scope)),
            ("aud", json!(self.token_url)),
            ("iat", json!(now_s)),
            ("exp", json!(now_s + 3_600)),
        ];
        let assertion = key.sign(self.key_id.as_deref(), &claims)?;
        const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let pairs = [("grant_type", GRANT), ("assertion", assertion.as_str())];
        Ok(Request::new(Verb::Post, &self.token_url).form(&pairs))
    }
}
