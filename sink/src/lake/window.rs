//! Loads the identities of the last hours back from the lake, newest epochs first, until the window's
//! time or size is reached. Reads the column `dedup_key` (and the time of arrival) only.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use event::{Timestamp, Uid};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;

use super::dedup::Window;
use super::error::{Error, Kind};
use super::layout;
use super::manifest::{DataFile, FileKind, Manifest};
use super::reader::FileReader;
use super::store::{LakeOptions, LakeStore};

const MANIFESTS_AT_ONCE: u64 = 32;
const FILES_AT_ONCE: usize = 8;
const KEY: &str = "dedup_key";
const ARRIVAL: &str = "ingest_time";

/// The window as the lane's epochs up to `head` leave it at `now` (microseconds).
pub(super) async fn load(
    at: &LakeStore,
    lane: &str,
    head: u64,
    options: &LakeOptions,
    now: i64,
) -> Result<Window, Error> {
    let window = Window::new(options.dedup_hours, options.dedup_entries_max);
    let since = now.saturating_sub(i64::from(options.dedup_hours) * 3_600_000_000);
    let files = recent_files(at, lane, head, since, options.dedup_entries_max as u64).await?;
    let mut keys = futures::stream::iter(files)
        .map(|file| async move { read_keys(at, &file).await.or_else(|e| unreadable(&file, e)) })
        .buffered(FILES_AT_ONCE);
    while let Some(keys) = keys.try_next().await? {
        for (uid, arrived) in keys {
            if arrived >= since {
                window.seen(uid, Timestamp::from_micros(arrived));
            }
        }
    }
    Ok(window)
}

/// Files of events that arrived since, oldest first.
async fn recent_files(
    at: &LakeStore,
    lane: &str,
    head: u64,
    since: i64,
    entries_max: u64,
) -> Result<Vec<DataFile>, Error> {
    let (mut files, mut rows, mut upto) = (Vec::new(), 0, head);
    while upto > 0 && rows < entries_max {
        let from = upto.saturating_sub(MANIFESTS_AT_ONCE - 1).max(1);
        let newest_first = (from..=upto).rev().map(|epoch| manifest(at, lane, epoch));
        let manifests: Vec<Manifest> = futures::stream::iter(newest_first)
            .buffered(MANIFESTS_AT_ONCE as usize)
            .try_collect()
            .await?;
        for manifest in manifests {
            if manifest.created_at < since {
                upto = 0;
                break;
            }
            let schemas = &manifest.schemas;
            let keyed = |f: &DataFile| {
                f.kind == FileKind::Events
                    && f.max_ingest >= since
                    && schemas[f.schema].iter().any(|c| c.name == KEY)
            };
            for file in manifest.files.into_iter().filter(keyed) {
                rows += file.rows;
                files.push(file);
            }
        }
        upto = upto.min(from - 1);
    }
    files.reverse();
    Ok(files)
}

async fn manifest(at: &LakeStore, lane: &str, epoch: u64) -> Result<Manifest, Error> {
    let path = layout::manifest(lane, epoch);
    let read = async {
        let got = at.store.get(&layout::under(&at.root, &path)).await?;
        got.bytes().await
    };
    let bytes = read.await.map_err(|e| {
        Error::caused(Kind::Store, format!("the manifest {path} cannot be read"), e)
    })?;
    let decoded = Manifest::decode(&bytes)
        .map_err(|e| Error::caused(Kind::Damaged, format!("the manifest {path} is damaged"), e))?;
    Ok(decoded.0)
}

async fn read_keys(at: &LakeStore, file: &DataFile) -> Result<Vec<(Uid, i64)>, ParquetError> {
    let path = layout::under(&at.root, &file.path);
    let reader = FileReader::new(at.store.clone(), path, file.bytes);
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), [KEY, ARRIVAL]);
    let mut batches = builder.with_projection(mask).build()?;
    let mut keys = Vec::with_capacity(file.rows as usize);
    while let Some(batch) = batches.try_next().await? {
        collect(&batch, file.max_ingest, &mut keys);
    }
    Ok(keys)
}

fn collect(batch: &RecordBatch, arrival: i64, keys: &mut Vec<(Uid, i64)>) {
    let Some(texts) = batch.column_by_name(KEY).and_then(|c| c.as_string_opt::<i32>()) else {
        return;
    };
    let times = batch
        .column_by_name(ARRIVAL)
        .and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    for (i, text) in texts.iter().enumerate() {
        let arrived = times.filter(|t| t.is_valid(i)).map_or(arrival, |t| t.value(i));
        keys.extend(text.and_then(Uid::parse).map(|uid| (uid, arrived)));
    }
}

/// A file that is damaged or gone must not keep the lake from going on; it can only let a duplicate
/// through. A store that does not answer must.
fn unreadable(file: &DataFile, error: ParquetError) -> Result<Vec<(Uid, i64)>, Error> {
    let lost = match &error {
        ParquetError::External(e) => matches!(
            e.downcast_ref::<object_store::Error>(),
            Some(object_store::Error::NotFound { .. })
        ),
        _ => true,
    };
    if lost {
        tracing::error!(file = file.path, %error, "a file of the lake cannot be read: run `lake verify`");
        return Ok(Vec::new());
    }
    Err(Error::caused(Kind::Store, format!("{} cannot be read", file.path), error))
}
