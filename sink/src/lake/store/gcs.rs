//! A lake in a bucket of Google Cloud Storage.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{ObjectStore, StaticCredentialProvider};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::error::Error;
use super::{client, retry, wrong_options};

/// How to reach a bucket of Google Cloud Storage. What is not given comes from the environment as for any program of
/// Google's: the key file in `GOOGLE_APPLICATION_CREDENTIALS`, else the account of the machine or, with Workload
/// Identity, of the pod.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GcsOptions {
    /// The key file of a service account, JSON.
    pub service_account: Option<PathBuf>,
    /// URL of another service that speaks the protocol.
    pub endpoint: Option<String>,
    /// Allow an `http://` endpoint.
    pub allow_http: bool,
    /// Send no credentials: for an emulator.
    pub anonymous: bool,
}

pub(super) fn open(bucket: &str, options: &GcsOptions) -> Result<Arc<dyn ObjectStore>, Error> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(client(options.allow_http))
        .with_retry(retry());
    if let Some(path) = &options.service_account {
        builder = builder.with_service_account_path(path.to_string_lossy());
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    if options.anonymous {
        // Without credentials the client would still ask the machine for a token to put an object.
        let none = GcpCredential { bearer: String::new() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(none)));
    }
    Ok(Arc::new(builder.build().map_err(|e| wrong_options("bucket", bucket, e))?))
}
