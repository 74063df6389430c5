//! A file that is written in parts into a local lake: it gets its name when it is whole and on the disk.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use parking_lot::Mutex;

use super::disk::{Disk, Folder, RealDisk};
use super::failed;

/// Parts are written in the order in which they are polled: await one before the next.
#[derive(Debug)]
pub(super) struct LocalUpload {
    folder: Arc<Folder<RealDisk>>,
    from: PathBuf,
    to: PathBuf,
    place: Path,
    /// Gone when it is complete or aborted.
    file: Arc<Mutex<Option<File>>>,
}

impl LocalUpload {
    pub(super) fn new(folder: Arc<Folder<RealDisk>>, to: PathBuf, place: Path) -> io::Result<Self> {
        let (from, file) = folder.begin()?;
        Ok(Self { folder, from, to, place, file: Arc::new(Mutex::new(Some(file))) })
    }
}

fn is_over() -> io::Error {
    io::Error::other("the file is complete or was given up")
}

#[async_trait]
impl MultipartUpload for LocalUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (file, place) = (self.file.clone(), self.place.clone());
        let work = move || {
            let mut file = file.lock();
            let file = file.as_mut().ok_or_else(is_over)?;
            data.iter().try_for_each(|chunk| RealDisk.append(file, chunk))
        };
        async move { tokio::task::spawn_blocking(work).await?.map_err(|e| failed(&place, e)) }
            .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let file = self.file.lock().take().ok_or_else(|| failed(&self.place, is_over()))?;
        let (folder, from, to) = (self.folder.clone(), self.from.clone(), self.to.clone());
        tokio::task::spawn_blocking(move || folder.finish(&from, file, &to, false))
            .await?
            .map_err(|e| failed(&self.place, e))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        if self.file.lock().take().is_some() {
            self.folder.discard(&self.from);
        }
        Ok(())
    }
}

impl Drop for LocalUpload {
    /// Not to hold the disk's room for one that nobody finishes.
    fn drop(&mut self) {
        if self.file.lock().take().is_some() {
            self.folder.discard(&self.from);
        }
    }
}
