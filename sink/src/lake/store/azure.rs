//! A lake in a container of Azure Blob Storage.

use std::sync::Arc;

use event::Secret;
use object_store::ObjectStore;
use object_store::azure::MicrosoftAzureBuilder;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::error::Error;
use super::{client, retry, wrong_options};

/// How to reach a container of Azure Blob Storage. What is not given comes from the environment
/// (`AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_CLIENT_ID`, `AZURE_TENANT_ID`,
/// `AZURE_CLIENT_SECRET`, `AZURE_FEDERATED_TOKEN_FILE` of a workload identity); without credentials there it is the
/// managed identity of the machine.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AzureOptions {
    /// The storage account, where neither the URL nor the environment names it.
    pub account: Option<String>,
    /// The account's key. It may do everything, so prefer an identity.
    pub account_key: Option<Secret>,
    /// The tenant of an application of Entra ID.
    pub tenant_id: Option<String>,
    /// The application, or the managed identity where a machine has several.
    pub client_id: Option<String>,
    /// The application's secret.
    pub client_secret: Option<Secret>,
    /// URL of the account's blobs where it is not `https://<account>.blob.core.windows.net`.
    pub endpoint: Option<String>,
    /// Allow an `http://` endpoint.
    pub allow_http: bool,
}

/// `account` as the URL names it.
pub(super) fn open(
    account: Option<&str>,
    container: &str,
    options: &AzureOptions,
) -> Result<Arc<dyn ObjectStore>, Error> {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_client_options(client(options.allow_http))
        .with_retry(retry());
    if let Some(account) = account.or(options.account.as_deref()) {
        builder = builder.with_account(account);
    }
    if let Some(key) = &options.account_key {
        builder = builder.with_access_key(key.expose().trim());
    }
    if let Some(tenant) = &options.tenant_id {
        builder = builder.with_tenant_id(tenant);
    }
    if let Some(client) = &options.client_id {
        builder = builder.with_client_id(client);
    }
    if let Some(secret) = &options.client_secret {
        builder = builder.with_client_secret(secret.expose());
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    Ok(Arc::new(builder.build().map_err(|e| wrong_options("container", container, e))?))
}
