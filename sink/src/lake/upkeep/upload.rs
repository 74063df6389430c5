//! A file that goes into the store while it is written, in parts, with its checksum. It appears whole or
//! not at all.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode};
use parquet::arrow::async_writer::AsyncFileWriter;
use parquet::errors::{ParquetError, Result};

use super::super::manifest::Checksum;

/// Parts are of one size but the last, as some stores want it; what is smaller goes in one put.
const PART_BYTES: usize = 8 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    buffer: BytesMut,
    parts: Option<Box<dyn MultipartUpload>>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Upload {
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path) -> Self {
        let (buffer, hasher) = (BytesMut::new(), blake3::Hasher::new());
        Self { store, path, buffer, parts: None, hasher, bytes: 0 }
    }

    /// Bytes written, and their checksum.
    pub(super) fn written(&self) -> (u64, Checksum) {
        (self.bytes, Checksum(*self.hasher.finalize().as_bytes()))
    }

    /// Lets go of parts that are stored.
    pub(super) async fn abort(mut self) {
        if let Some(mut parts) = self.parts.take() {
            // A store that keeps them has a rule that removes them (docs/lake.md).
            let _ = parts.abort().await;
        }
    }

    async fn put_part(&mut self, part: Bytes) -> object_store::Result<()> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => self.parts.insert(self.store.put_multipart(&self.path).await?),
        };
        parts.put_part(part.into()).await
    }

    async fn append(&mut self, bytes: Bytes) -> object_store::Result<()> {
        self.hasher.update(&bytes);
        self.bytes += bytes.len() as u64;
        self.buffer.extend_from_slice(&bytes);
        while self.buffer.len() >= PART_BYTES {
            let part = self.buffer.split_to(PART_BYTES).freeze();
            self.put_part(part).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> object_store::Result<()> {
        let rest = self.buffer.split().freeze();
        if self.parts.is_none() {
            let mode = PutMode::Create.into();
            return self.store.put_opts(&self.path, rest.into(), mode).await.map(drop);
        }
        if !rest.is_empty() {
            self.put_part(rest).await?;
        }
        match &mut self.parts {
            Some(parts) => parts.complete().await.map(drop),
            None => Ok(()),
        }
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(error.into())
}

impl AsyncFileWriter for Upload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        async move { self.append(bytes).await.map_err(external) }.boxed()
    }

    fn complete(&mut self) -> BoxFuture<'_, Result<()>> {
        async move { self.finish().await.map_err(external) }.boxed()
    }
}
