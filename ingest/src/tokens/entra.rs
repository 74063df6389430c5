//! Microsoft Entra ID: an application's secret, a federated token in a file (AKS, GitHub), or the managed
//! identity of the machine.

use std::path::PathBuf;

use event::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ask;
use crate::poll::auth::Token;
use crate::poll::client::Client;
use crate::poll::request::{Request, Verb, encode};

const AUTHORITY: &str = "https://login.microsoftonline.com";
/// Of a virtual machine; App Service and Container Apps have one of their own.
const MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

/// How a source proves to Microsoft Entra ID who it is: by `client_secret`, by `federated_token_file`, or, with
/// neither, by the managed identity of the machine.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EntraAuth {
    /// The directory's id or domain. Not needed for a managed identity.
    pub tenant: Option<String>,
    /// The application's id; for a managed identity, which one, where a machine has several.
    pub client_id: Option<String>,
    /// A secret of the application.
    pub client_secret: Option<Secret>,
    /// A file with a token that the application trusts: `"${AZURE_FEDERATED_TOKEN_FILE}"` in AKS.
    pub federated_token_file: Option<PathBuf>,
    /// Where tokens are got; other clouds have their own.
    pub authority: Option<String>,
    /// Where a managed identity's tokens are got: `"${IDENTITY_ENDPOINT}"` in App Service and Container Apps.
    pub identity_endpoint: Option<String>,
    /// What proves there that the request is the machine's own: `"${IDENTITY_HEADER}"`.
    pub identity_header: Option<Secret>,
}

/// Gives out tokens for one resource.
#[derive(Debug)]
pub struct Issuer {
    auth: EntraAuth,
    /// `https://storage.azure.com`
    resource: String,
}

impl EntraAuth {
    /// For a resource, `https://storage.azure.com`. Checks the options.
    pub fn issuer(&self, resource: &str) -> Result<super::Issuer, String> {
        let is_application = self.client_secret.is_some() || self.federated_token_file.is_some();
        if self.client_secret.is_some() && self.federated_token_file.is_some() {
            return Err("give `client_secret` or `federated_token_file`, one of them".to_owned());
        }
        if is_application && (self.tenant.is_none() || self.client_id.is_none()) {
            return Err("`tenant` and `client_id` are needed for an application".to_owned());
        }
        if self.client_secret.as_ref().is_some_and(|secret| secret.expose().trim().is_empty()) {
            return Err("`client_secret` is empty".to_owned());
        }
        if self.identity_header.is_some() && self.identity_endpoint.is_none() {
            return Err("`identity_header` goes with `identity_endpoint`".to_owned());
        }
        let resource = resource.trim_end_matches('/').to_owned();
        Ok(super::Issuer::Entra(Issuer { auth: self.clone(), resource }))
    }
}

impl Issuer {
    pub(super) async fn issue(&self, client: &Client) -> Result<Token, String> {
        let auth = &self.auth;
        let secret = match (&auth.client_secret, &auth.federated_token_file) {
            (Some(secret), _) => ("client_secret", secret.clone()),
            (None, Some(file)) => {
                let text = tokio::fs::read_to_string(file).await;
                let text = text.map_err(|e| format!("the token file {}: {e}", file.display()))?;
                ("client_assertion", Secret::new(text.trim()))
            }
            (None, None) => {
                return ask(client, self.machine(), "the managed identity's token").await;
            }
        };
        ask(client, self.application(secret), "the application's token").await
    }

    fn application(&self, (name, secret): (&str, Secret)) -> Request {
        let scope = format!("{}/.default", self.resource);
        let mut pairs = vec![
            ("grant_type", "client_credentials"),
            ("client_id", self.auth.client_id.as_deref().unwrap_or_default()),
            ("scope", &scope),
            (name, secret.expose()),
        ];
        if name == "client_assertion" {
            const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            pairs.push(("client_assertion_type", KIND));
        }
        let authority = self.auth.authority.as_deref().unwrap_or(AUTHORITY).trim_end_matches('/');
        let tenant = encode(self.auth.tenant.as_deref().unwrap_or_default());
        Request::new(Verb::Post, format!("{authority}/{tenant}/oauth2/v2.0/token")).form(&pairs)
    }

    /// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>,
    /// <https://learn.microsoft.com/azure/app-service/overview-managed-identity>
    fn machine(&self) -> Request {
        let (url, version) = match &self.auth.identity_endpoint {
            Some(url) => (url.as_str(), "2019-08-01"),
            None => (MACHINE, "2018-02-01"),
        };
        let mut request = Request::new(Verb::Get, url);
        request.query = format!("api-version={version}&resource={}", encode(&self.resource));
        if let Some(client_id) = &self.auth.client_id {
            request.query += &format!("&client_id={}", encode(client_id));
        }
        match &self.auth.identity_header {
            Some(secret) => request.header("X-IDENTITY-HEADER", secret.expose()),
            None => request.header("Metadata", "true"),
        }
        request
    }
}
