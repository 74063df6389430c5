//! The lake's store as questions see it: it is read, never listed and never written, and its requests
//! run on the runtime that opened the engine. A question's own threads may be busy or given up at any
//! time; connections that were driven by them would die with them, and they are shared.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::runtime::Handle;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Reading {
    lake: Arc<dyn ObjectStore>,
    runtime: Handle,
}

impl Reading {
    pub(crate) fn new(lake: Arc<dyn ObjectStore>, runtime: Handle) -> Self {
        Self { lake, runtime }
    }

    async fn there<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.runtime.spawn(work).await.map_err(|source| Error::JoinError { source })?
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lake.fmt(f)
    }
}

fn refused(what: &str) -> Error {
    Error::NotSupported { source: format!("a question does not {what}").into() }
}

#[async_trait]
impl ObjectStore for Reading {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (lake, location) = (Arc::clone(&self.lake), location.clone());
        self.there(async move { lake.get_opts(&location, options).await }).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (lake, location, ranges) = (Arc::clone(&self.lake), location.clone(), ranges.to_vec());
        self.there(async move { lake.get_ranges(&location, &ranges).await }).await
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(refused("write"))
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(refused("write"))
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::once(async { Err(refused("delete")) }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::once(async { Err(refused("list")) }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(refused("list"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(refused("copy"))
    }
}
