//! A local folder as an object store that keeps its word: what was put is on the disk, file and
//! folder, before the answer is given, and `PutMode::Create` never replaces anything.
//!
//! Reading is `object_store`'s `LocalFileSystem`; its writing never syncs and is not used.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::layout;

pub(super) mod disk;
mod upload;

pub(super) use disk::create_folders;
use disk::{Disk, Folder, RealDisk, TEMPORARY};
use upload::LocalUpload;

const STORE: &str = "local folder";
/// One file a lane, locked by its writer.
const LOCKS: &str = "_locks";
/// A temporary file this old belongs to no living writer.
const TEMPORARY_AGE_MAX: Duration = Duration::from_secs(3_600);

/// See the module.
#[derive(Debug)]
pub struct LocalStore {
    inner: LocalFileSystem,
    folder: Arc<Folder<RealDisk>>,
    /// What it reads decides what is acknowledged.
    is_writer: bool,
}

impl LocalStore {
    /// Of a folder that exists.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn new(folder: &FsPath, is_writer: bool) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        let inner = LocalFileSystem::new_with_prefix(&folder).map_err(io::Error::other)?;
        let nonce = RandomState::new().hash_one(std::process::id());
        Ok(Self { inner, folder: Arc::new(Folder::new(folder, RealDisk, nonce)), is_writer })
    }

    /// The folder, absolute.
    pub fn folder(&self) -> &FsPath {
        &self.folder.path
    }

    /// Removes what writers that died left half-written.
    pub fn remove_old_temporary_files(&self) {
        let Ok(entries) = fs::read_dir(self.folder.path.join(TEMPORARY)) else { return };
        for entry in entries.flatten() {
            let age = entry
                .metadata()
                .and_then(|m| m.modified())
                .map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            if age.is_ok_and(|age| age > TEMPORARY_AGE_MAX) {
                // Somebody else may have been faster.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// A manifest that a process put and did not live to sync could be lost with the power: a writer
    /// that goes on from it makes it durable first.
    async fn before_reading(&self, location: &Path) -> Result<()> {
        let is_manifest = location.parts().next().is_some_and(|p| p.as_ref() == layout::MANIFESTS);
        if !(self.is_writer && is_manifest) {
            return Ok(());
        }
        let path = self.inner.path_to_filesystem(location)?;
        let (folder, place) = (self.folder.clone(), location.clone());
        let work = move || path.parent().map_or(Ok(()), |parent| folder.before_reading(parent));
        tokio::task::spawn_blocking(work).await?.map_err(|e| failed(&place, e))
    }
}

/// Locks a lane of the lake in this folder until the file is dropped or the process dies; `None` when
/// another process has it locked. Manifests protect the lake without it: it spares the *other* process,
/// whose epoch would fail half-written. A file system without locks goes without.
pub(super) fn lock(folder: &FsPath, lane: &str) -> io::Result<Option<File>> {
    let locks = folder.join(LOCKS);
    create_folders(&locks)?;
    let file = File::options().create(true).truncate(false).write(true).open(locks.join(lane))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) if e.kind() != ErrorKind::Unsupported => Err(e),
        _ => Ok(Some(file)),
    }
}

/// Makes the names in a folder durable; one that is not there has none.
pub(super) async fn sync(folder: PathBuf) -> Result<()> {
    let place = Path::from(folder.to_string_lossy().as_ref());
    let work = move || if folder.is_dir() { RealDisk.sync_folder(&folder) } else { Ok(()) };
    tokio::task::spawn_blocking(work).await?.map_err(|e| failed(&place, e))
}

fn failed(location: &Path, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::AlreadyExists => {
            Error::AlreadyExists { path: location.to_string(), source: error.into() }
        }
        ErrorKind::PermissionDenied => {
            Error::PermissionDenied { path: location.to_string(), source: error.into() }
        }
        _ => Error::Generic { store: STORE, source: error.into() },
    }
}

fn not_offered(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.into(), implementer: STORE.into() }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "folder {}", self.folder.path.display())
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let replace = match options.mode {
            PutMode::Create => false,
            PutMode::Overwrite => true,
            PutMode::Update(_) => return Err(not_offered("update by version")),
        };
        let to = self.inner.path_to_filesystem(location)?;
        let (folder, place) = (self.folder.clone(), location.clone());
        tokio::task::spawn_blocking(move || folder.put(&to, &payload, replace))
            .await?
            .map_err(|e| failed(&place, e))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let to = self.inner.path_to_filesystem(location)?;
        let (folder, place) = (self.folder.clone(), location.clone());
        let upload =
            tokio::task::spawn_blocking(move || LocalUpload::new(folder, to, place)).await?;
        Ok(Box::new(upload.map_err(|e| failed(location, e))?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.before_reading(location).await?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(not_offered("copy"))
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    use super::*;

    async fn create(store: &LocalStore, path: &str, bytes: &'static [u8]) -> Result<PutResult> {
        store.put_opts(&path.into(), bytes.into(), PutMode::Create.into()).await
    }

    async fn get(store: &LocalStore, path: &str) -> Vec<u8> {
        store.get(&path.into()).await.unwrap().bytes().await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn puts_once_or_replaces_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path(), true).unwrap();
        create(&store, "a/dt=2026-03-01/hr=09/x.parquet", b"first").await.unwrap();
        let again = create(&store, "a/dt=2026-03-01/hr=09/x.parquet", b"second").await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(get(&store, "a/dt=2026-03-01/hr=09/x.parquet").await, b"first");
        assert!(folder.path().join("a/dt=2026-03-01/hr=09/x.parquet").is_file(), "as it is named");
        for bytes in [b"first", b"other"] {
            store.put(&"b".into(), bytes.as_slice().into()).await.unwrap();
        }
        assert_eq!(get(&store, "b").await, b"other");
        assert_eq!(fs::read_dir(folder.path().join(TEMPORARY)).unwrap().count(), 0);
        let all: Vec<_> =
            store.list(None).map_ok(|m| m.location.to_string()).try_collect().await.unwrap();
        assert_eq!(all.len(), 2, "{all:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_that_put_at_once_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = format!("m/{round}.json");
            let tasks: Vec<_> = (0..8)
                .map(|_| {
                    let store = LocalStore::new(folder.path(), true).unwrap();
                    let path = path.clone();
                    tokio::spawn(async move { create(&store, &path, b"x").await.is_ok() })
                })
                .collect();
            let mut won = 0;
            for task in tasks {
                won += usize::from(task.await.unwrap());
            }
            assert_eq!(won, 1);
        }
    }

    #[tokio::test]
    async fn only_old_temporary_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path(), true).unwrap();
        let temporary = folder.path().join(TEMPORARY);
        fs::create_dir(&temporary).unwrap();
        for (name, age) in [("old", 7_200), ("young", 60)] {
            let file = File::create(temporary.join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        store.remove_old_temporary_files();
        assert!(temporary.join("young").exists() && !temporary.join("old").exists());
    }

    #[tokio::test]
    async fn a_file_in_parts_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path(), true).unwrap();
        let temporary = || fs::read_dir(folder.path().join(TEMPORARY)).unwrap().count();
        let mut upload = store.put_multipart(&"t/x.parquet".into()).await.unwrap();
        for part in ["first ", "second"] {
            upload.put_part(part.into()).await.unwrap();
        }
        assert!(!folder.path().join("t/x.parquet").exists());
        upload.complete().await.unwrap();
        assert_eq!(get(&store, "t/x.parquet").await, b"first second");
        assert!(upload.put_part("third".into()).await.is_err() && upload.complete().await.is_err());

        let mut other = store.put_multipart(&"t/x.parquet".into()).await.unwrap();
        other.put_part("other".into()).await.unwrap();
        let taken = other.complete().await;
        assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "{taken:?}");
        for how in ["aborted", "dropped"] {
            let mut upload = store.put_multipart(&"t/y.parquet".into()).await.unwrap();
            upload.put_part("lost".into()).await.unwrap();
            assert_eq!(temporary(), 1);
            if how == "aborted" {
                upload.abort().await.unwrap();
            }
            drop(upload);
            assert_eq!(temporary(), 0, "{how}");
        }
        assert_eq!(get(&store, "t/x.parquet").await, b"first second");
        assert!(!folder.path().join("t/y.parquet").exists());
    }

    #[tokio::test]
    async fn what_cannot_be_written_says_why() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"").unwrap();
        let store = LocalStore::new(folder.path(), true).unwrap();
        assert!(create(&store, "file/x", b"x").await.is_err());
        assert_eq!(get(&store, "file").await, b"");
    }
}
