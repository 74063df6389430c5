//! After a failure: which file was it? Readers of Parquet do not name the file that they choked on,
//! the manifests know what every file should be.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sink::lake::manifest::Checksum;
use sink::lake::{LiveFile, layout};

/// Bytes that are read to find the file.
const BYTES_MAX: u64 = 1 << 30;

/// The first of the files that is not as its manifest says, with what is wrong.
pub(crate) async fn find(
    store: &Arc<dyn ObjectStore>,
    root: &Path,
    files: &[Arc<LiveFile>],
) -> Option<String> {
    for file in files.iter().map(|live| &live.file) {
        let path = &file.path;
        match store.head(&layout::under(root, path)).await {
            Err(object_store::Error::NotFound { .. }) => return Some(format!("{path} is missing")),
            Ok(meta) if meta.size != file.bytes => {
                let sizes = format!("{} bytes instead of {}", meta.size, file.bytes);
                return Some(format!("{path} is damaged: it has {sizes}"));
            }
            _ => {}
        }
    }
    let mut budget = BYTES_MAX;
    for file in files.iter().map(|live| &live.file) {
        budget = budget.checked_sub(file.bytes)?;
        let got = store.get(&layout::under(root, &file.path)).await.ok()?;
        if Checksum::of(&got.bytes().await.ok()?) != file.checksum {
            let what = "its content does not have the checksum in its manifest";
            return Some(format!("{} is damaged: {what}", file.path));
        }
    }
    None
}
