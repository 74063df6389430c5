//! Parquet files of the lake read by byte ranges, so that one column costs one column; or whole, compared
//! with their checksum before a row is believed. However large a file is, memory stays small.

use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{
    AsyncFileReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::error::{Error, Kind};
use super::layout;
use super::manifest::{Checksum, DataFile};
use super::store::LakeStore;

type Parquet<T> = Result<T, ParquetError>;

/// The end of a file fetched at first; footers of our files are smaller.
const FOOTER_BYTES: usize = 64 << 10;

/// A file whose size the manifest told.
#[derive(Clone, Debug)]
pub(super) struct FileReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
}

impl FileReader {
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path, bytes: u64) -> Self {
        Self { store, path, bytes }
    }
}

pub(super) type Batches = ParquetRecordBatchStream<Box<dyn AsyncFileReader>>;

/// A file whose every byte was compared with its manifest.
pub(super) enum Checked {
    /// Its rows, and how many its footer tells.
    Batches(Batches, u64),
    /// What is wrong with it, to be put behind its path.
    Wrong(String),
}

/// Up to this size a file is read once, and kept meanwhile.
const WHOLE_BYTES_MAX: u64 = 16 << 20;
/// Rows read at once, and about how many bytes of them.
const ROWS_MAX: usize = 1_024;
const ROWS_BYTES_MAX: usize = 8 << 20;

/// Opens a file after its bytes were compared with its checksum; all columns, or those that are named.
///
/// # Errors
/// [`Kind::Store`]. Damage is an answer.
pub(super) async fn open_checked(
    at: &LakeStore,
    file: &DataFile,
    columns: Option<&[&str]>,
) -> Result<Checked, Error> {
    let path = layout::under(&at.root, &file.path);
    let failed = |e: object_store::Error| {
        Error::caused(Kind::Store, format!("{} cannot be read", file.path), e)
    };
    let got = match at.store.get(&path).await {
        Err(object_store::Error::NotFound { .. }) => {
            return Ok(Checked::Wrong("is missing".into()));
        }
        got => got.map_err(failed)?,
    };
    let (checksum, reader): (_, Box<dyn AsyncFileReader>) = if file.bytes <= WHOLE_BYTES_MAX {
        let bytes = got.bytes().await.map_err(failed)?;
        (Checksum::of(&bytes), Box::new(Cursor::new(bytes)))
    } else {
        let (mut hasher, mut stream) = (blake3::Hasher::new(), got.into_stream());
        while let Some(bytes) = stream.try_next().await.map_err(failed)? {
            hasher.update(&bytes);
        }
        let reader = FileReader::new(at.store.clone(), path, file.bytes);
        (Checksum(*hasher.finalize().as_bytes()), Box::new(reader))
    };
    if checksum != file.checksum {
        let what = "is damaged: its bytes do not have the checksum of its manifest";
        return Ok(Checked::Wrong(what.into()));
    }
    let opened = ParquetRecordBatchStreamBuilder::new(reader).await.and_then(|builder| {
        let rows = builder.metadata().file_metadata().num_rows().try_into().unwrap_or(0);
        let mask = match columns {
            Some(names) => ProjectionMask::columns(builder.parquet_schema(), names.iter().copied()),
            None => ProjectionMask::all(),
        };
        let at_once = rows_at_once(builder.metadata());
        Ok((builder.with_projection(mask).with_batch_size(at_once).build()?, rows))
    });
    match opened {
        Ok((batches, rows)) => Ok(Checked::Batches(batches, rows)),
        Err(ParquetError::External(error)) => {
            let what = format!("{} cannot be read", file.path);
            Err(Error::caused(Kind::Store, what, error))
        }
        Err(error) => Ok(Checked::Wrong(unreadable(&error))),
    }
}

/// For [`Checked::Wrong`].
pub(super) fn unreadable(error: &ParquetError) -> String {
    format!("cannot be read as Parquet ({error})")
}

/// Few where they are large.
fn rows_at_once(meta: &ParquetMetaData) -> usize {
    let sizes = meta.row_groups().iter().map(|g| g.total_byte_size() / g.num_rows().max(1));
    let largest = usize::try_from(sizes.max().unwrap_or(0)).unwrap_or(usize::MAX);
    (ROWS_BYTES_MAX / largest.max(1)).clamp(1, ROWS_MAX)
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(error.into())
}

impl AsyncFileReader for FileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Parquet<Bytes>> {
        async move { self.store.get_range(&self.path, range).map_err(external).await }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Parquet<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).map_err(external).await }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Parquet<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.bytes;
            let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_BYTES));
            reader.load_and_finish(self, bytes).await.map(Arc::new)
        }
        .boxed()
    }
}
