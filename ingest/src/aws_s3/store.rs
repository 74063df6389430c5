//! The buckets, each of which may be in a region of its own.

use std::sync::Arc;

use aws_config::SdkConfig;

use crate::aws::sign::{Held, Signer};
use crate::poll::client::Client;
use crate::poll::request::encode;
use crate::stores::{self, Chunks, Dialect, Entry, Extent, Store, Trouble};

/// Where buckets are when nobody says so.
const REGION: &str = "us-east-1";

/// Reads buckets.
#[derive(Debug)]
pub(super) struct Stores {
    client: Client,
    held: Arc<Held>,
    region: String,
    endpoint: Option<String>,
}

impl Stores {
    /// Fails in words.
    pub fn new(config: &SdkConfig, endpoint: Option<&str>) -> Result<Self, String> {
        Ok(Self {
            client: stores::client(None, None)?,
            held: Arc::new(Held::new(config)),
            region: config.region().map_or(REGION, AsRef::as_ref).to_owned(),
            endpoint: endpoint.map(|url| url.trim_end_matches('/').to_owned()),
        })
    }

    /// A bucket. `region`, where somebody said so, is the bucket's.
    pub fn bucket(&self, name: &str, region: Option<&str>) -> Arc<Store> {
        let region = region.unwrap_or(&self.region);
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("https://s3.{region}.amazonaws.com"),
        };
        let url = format!("{endpoint}/{}", encode(name));
        let signer = Arc::new(Signer::new(self.held.clone(), region));
        Arc::new(Store::new(self.client.clone(), Dialect::S3, url, signer))
    }

    /// The object as it is now, with its body.
    pub async fn get(
        &self,
        bucket: &str,
        key: &str,
        region: Option<&str>,
    ) -> Result<(Entry, Chunks), Trouble> {
        self.bucket(bucket, region).get(key, Extent::default()).await
    }
}
