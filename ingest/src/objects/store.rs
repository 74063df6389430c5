//! What all stores have in common: how they try again, and trying them out.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt as _, RetryConfig};

use super::body::shown;
use crate::probe::Findings;

/// Short: what fails is tried again by the source, which says so.
pub(crate) fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: 3,
        retry_timeout: Duration::from_secs(30),
        backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
    }
}

/// Lists one object and asks for it; its body is not read.
pub(crate) async fn try_out(
    store: &Arc<dyn ObjectStore>,
    prefix: Option<&Path>,
    found: &mut Findings,
) {
    match store.list(prefix).next().await {
        None => found.good("objects may be listed; there is none"),
        Some(Err(error)) => found.bad("listing", shown(&error)),
        Some(Ok(object)) => {
            found.good(format!("objects may be listed, such as {}", object.location));
            match store.get(&object.location).await {
                Ok(_) => found.good("objects may be read"),
                Err(error) => found.bad("reading", shown(&error)),
            }
        }
    }
}
