//! A lake in a bucket of Amazon S3, or of what speaks its protocol.

use std::sync::Arc;

use event::Secret;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::error::Error;
use super::{client, retry, wrong_options};

/// How to reach an S3 bucket. What is not given comes from the environment as for any AWS program
/// (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, web identity, container and instance roles).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct S3Options {
    /// `eu-central-1`
    pub region: Option<String>,
    /// URL of another service that speaks S3. It must support `If-None-Match` on puts.
    pub endpoint: Option<String>,
    /// Put the bucket into the path instead of the host name. Default: when there is an `endpoint`.
    pub path_style: Option<bool>,
    /// Allow an `http://` endpoint.
    pub allow_http: bool,
    /// The key id, where the environment does not give one.
    pub access_key_id: Option<String>,
    /// The secret that belongs to `access_key_id`.
    pub secret_access_key: Option<Secret>,
    /// The session of temporary credentials.
    pub session_token: Option<Secret>,
    /// The KMS key (ARN, id or alias) that encrypts every object, SSE-KMS. Default: what the bucket says.
    pub kms_key: Option<String>,
    /// With `kms_key`: ask KMS once for many objects (an S3 Bucket Key), which costs a fraction.
    pub bucket_key: Option<bool>,
}

pub(super) fn open(bucket: &str, options: &S3Options) -> Result<Arc<dyn ObjectStore>, Error> {
    let path_style = options.path_style.unwrap_or(options.endpoint.is_some());
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(client(options.allow_http))
        .with_retry(retry())
        .with_virtual_hosted_style_request(!path_style);
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(key) = &options.access_key_id {
        builder = builder.with_access_key_id(key);
    }
    if let Some(secret) = &options.secret_access_key {
        builder = builder.with_secret_access_key(secret.expose());
    }
    if let Some(token) = &options.session_token {
        builder = builder.with_token(token.expose());
    }
    if let Some(key) = &options.kms_key {
        builder = builder.with_sse_kms_encryption(key);
        builder = builder.with_bucket_key(options.bucket_key.unwrap_or(true));
    }
    Ok(Arc::new(builder.build().map_err(|e| wrong_options("bucket", bucket, e))?))
}
