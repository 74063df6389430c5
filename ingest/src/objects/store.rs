//! Trying a store out.

use std::sync::Arc;

use futures::StreamExt as _;

use crate::probe::Findings;
use crate::stores::{Extent, Store};

/// Lists one object and asks for it; its body is not read.
pub(crate) async fn try_out(store: &Arc<Store>, prefix: Option<&str>, found: &mut Findings) {
    let prefix = prefix.map(super::folder).unwrap_or_default();
    match store.clone().entries(prefix).next().await {
        None => found.good("objects may be listed; there is none"),
        Some(Err(trouble)) => found.bad("listing", trouble.words()),
        Some(Ok(entry)) => {
            let shown = event::shown::line(&entry.key);
            found.good(format!("objects may be listed, such as {shown}"));
            match store.get(&entry.key, Extent::default()).await {
                Ok(_) => found.good("objects may be read"),
                Err(trouble) => found.bad("reading", trouble.words()),
            }
        }
    }
}
