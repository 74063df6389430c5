//! The buckets: reading an object and listing.

use std::collections::HashMap;
use std::sync::Arc;

use aws_config::SdkConfig;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectMeta, ObjectStore};
use parking_lot::Mutex;

use crate::aws::{StoreCredentials, words};

/// Why an object cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It never will be: removed, archived, or under a name that cannot be asked for.
    Gone(String),
    /// For want of permission, or at present.
    Refused(String),
}

/// What a bucket holds, as it is listed.
pub(super) type Listed = BoxStream<'static, Result<ObjectMeta, Trouble>>;

/// Reads buckets, each with a client of its own.
#[derive(Debug)]
pub(super) struct Stores {
    credentials: Option<Arc<StoreCredentials>>,
    region: Option<String>,
    endpoint: Option<String>,
    by_bucket: Mutex<HashMap<String, Arc<AmazonS3>>>,
}

impl Stores {
    pub fn new(config: &SdkConfig, endpoint: Option<&str>) -> Self {
        Self {
            credentials: StoreCredentials::new(config).map(Arc::new),
            region: config.region().map(|region| region.to_string()),
            endpoint: endpoint.map(str::to_owned),
            by_bucket: Mutex::default(),
        }
    }

    /// The client of a bucket. `region`, where somebody said so, is the bucket's.
    fn bucket(&self, name: &str, region: Option<&str>) -> Result<Arc<AmazonS3>, Trouble> {
        let mut by_bucket = self.by_bucket.lock();
        if let Some(store) = by_bucket.get(name) {
            return Ok(store.clone());
        }
        let mut builder = AmazonS3Builder::new().with_bucket_name(name);
        if let Some(region) = region.or(self.region.as_deref()) {
            builder = builder.with_region(region);
        }
        if let Some(credentials) = &self.credentials {
            builder = builder.with_credentials(credentials.clone());
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(true)
                .with_virtual_hosted_style_request(false);
        }
        let built = builder.build().map_err(|e| Trouble::Refused(words(&e)))?;
        let store = Arc::new(built);
        by_bucket.insert(name.to_owned(), store.clone());
        Ok(store)
    }

    /// The object as it is now, with its body.
    pub async fn get(
        &self,
        bucket: &str,
        key: &str,
        region: Option<&str>,
    ) -> Result<GetResult, Trouble> {
        let path = Path::parse(key)
            .map_err(|e| Trouble::Gone(format!("its name cannot be asked for: {e}")))?;
        let store = self.bucket(bucket, region)?;
        store.get_opts(&path, GetOptions::default()).await.map_err(|e| judge(bucket, &e))
    }

    /// Everything whose key begins so, in the store's order.
    pub fn list(&self, bucket: &str, prefix: &str) -> Result<Listed, Trouble> {
        let store = self.bucket(bucket, None)?;
        // A prefix of the store's is whole names; the last, unfinished one is compared here.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = Path::parse(folder)
            .map_err(|e| Trouble::Gone(format!("`{prefix}` cannot be listed: {e}")))?;
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        let found = store.list((!folder.is_empty()).then_some(&path));
        let is_wanted = move |meta: &ObjectMeta| meta.location.as_ref().starts_with(&prefix);
        let judged = found.map(move |meta| meta.map_err(|e| judge(&bucket, &e)));
        Ok(judged
            .filter(move |meta| futures::future::ready(meta.as_ref().map_or(true, &is_wanted)))
            .boxed())
    }
}

fn judge(bucket: &str, error: &object_store::Error) -> Trouble {
    use object_store::Error as E;
    let said = words(error);
    match error {
        _ if said.contains("NoSuchBucket") => {
            Trouble::Refused(format!("there is no bucket {bucket}"))
        }
        E::NotFound { .. } => Trouble::Gone("it is not there any more".to_owned()),
        _ if said.contains("InvalidObjectState") => {
            Trouble::Gone("it is archived, and must be restored before it can be read".to_owned())
        }
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Trouble::Refused(format!(
            "the credential lacks s3:GetObject (or s3:ListBucket, or kms:Decrypt) on {bucket}: {said}"
        )),
        _ => Trouble::Refused(said),
    }
}
