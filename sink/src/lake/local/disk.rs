//! The steps by which a put into a folder becomes durable. Every call is one step, so that a test can
//! stop a process or pull the plug between any two; nothing here knows what an object store is.
//!
//! ```text
//! folders ──► temporary file: create, write, sync ──► name it (link, or rename over) ──► sync the folder
//! ```
//!
//! A name that can be *seen* need not be on the disk: whoever made it may have died before the last
//! step. So nothing is believed to be durable that this process has not synced itself.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

/// Files on their way in. Not data: begins with `_`.
pub(super) const TEMPORARY: &str = "_tmp";
/// Folders remembered as durable; beyond it they are synced once more.
const FOLDERS_MAX: usize = 10_000;

/// What is asked of a file system.
pub(in crate::lake) trait Disk {
    type File;
    fn is_folder(&self, path: &Path) -> bool;
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    fn create_file(&self, path: &Path) -> io::Result<Self::File>;
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Makes the content of a file durable.
    fn sync_file(&self, file: &mut Self::File) -> io::Result<()>;
    /// Replaces what has the name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Fails with [`ErrorKind::AlreadyExists`] when the name is taken.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug)]
pub(in crate::lake) struct RealDisk;

impl Disk for RealDisk {
    type File = File;

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    /// Windows cannot open folders for syncing; its file system journals names itself.
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if cfg!(windows) { Ok(()) } else { File::open(path)?.sync_all() }
    }

    fn create_file(&self, path: &Path) -> io::Result<File> {
        File::create_new(path)
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync_file(&self, file: &mut File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// A folder into which one process puts files.
pub(in crate::lake) struct Folder<D> {
    pub(super) path: PathBuf,
    pub(in crate::lake) disk: D,
    /// Sets apart the temporary files of processes, also of those in other containers.
    nonce: u64,
    next: AtomicU64,
    durable: Mutex<Durable>,
}

/// What this process knows to be on the disk.
#[derive(Debug, Default)]
struct Durable {
    /// Folders whose own name is.
    folders: HashSet<PathBuf>,
    /// Folders all of whose names were when this process began to read there.
    names: HashSet<PathBuf>,
}

impl<D> fmt::Debug for Folder<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<D: Disk> Folder<D> {
    pub(in crate::lake) fn new(path: PathBuf, disk: D, nonce: u64) -> Self {
        Self { path, disk, nonce, next: AtomicU64::new(0), durable: Mutex::default() }
    }

    /// Puts a file; without `replace` only where none is. The answer, also the one that it exists, is
    /// given when that is on the disk.
    pub(in crate::lake) fn put<'a>(
        &self,
        to: &Path,
        chunks: impl IntoIterator<Item = &'a Bytes>,
        replace: bool,
    ) -> io::Result<()> {
        let (from, mut file) = self.begin()?;
        let written = chunks.into_iter().try_for_each(|chunk| self.disk.append(&mut file, chunk));
        match written {
            Ok(()) => self.finish(&from, file, to, replace),
            Err(error) => {
                self.discard(&from);
                Err(error)
            }
        }
    }

    /// Begins a temporary file under a name that nobody has: that one is taken says nothing of the name that the
    /// file is for.
    pub(in crate::lake) fn begin(&self) -> io::Result<(PathBuf, D::File)> {
        let temporary = self.path.join(TEMPORARY);
        self.create_folders(&temporary)?;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let from = temporary.join(format!("{:016x}-{number}", self.nonce));
            match self.disk.create_file(&from) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                file => return Ok((from, file?)),
            }
        }
    }

    /// Gives a temporary file its name. Whatever comes of it, the temporary name is gone.
    pub(in crate::lake) fn finish(
        &self,
        from: &Path,
        mut file: D::File,
        to: &Path,
        replace: bool,
    ) -> io::Result<()> {
        let Some(parent) = to.parent() else { return Err(ErrorKind::InvalidInput.into()) };
        let synced = if planted!(NoFileSync) { Ok(()) } else { self.disk.sync_file(&mut file) };
        drop(file);
        let replace = replace || planted!(LinkReplaces);
        let named = synced.and_then(|()| self.create_folders(parent)).and_then(|()| {
            if replace { self.disk.rename(from, to) } else { self.disk.hard_link(from, to) }
        });
        if !(replace && named.is_ok()) {
            // The link, if it was made, keeps the content.
            self.discard(from);
        }
        match &named {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return named,
            Err(_) if planted!(ExistsIsDurable) => return named,
            _ => {}
        }
        // Also of a name that was there: who made it may have died before this step.
        if !planted!(NoFolderSync) {
            self.sync_names(parent)?;
        }
        named
    }

    pub(in crate::lake) fn discard(&self, temporary: &Path) {
        // What is left of it is removed by a later process.
        let _ = self.disk.remove(temporary);
    }

    /// Before a decision is based on what is in this folder: it must not be lost with the power.
    pub(in crate::lake) fn before_reading(&self, folder: &Path) -> io::Result<()> {
        let is_new = !self.durable.lock().names.contains(folder);
        if is_new && !planted!(ReadIsDurable) && self.disk.is_folder(folder) {
            self.create_folders(folder)?;
            self.sync_names(folder)?;
        }
        Ok(())
    }

    fn sync_names(&self, folder: &Path) -> io::Result<()> {
        let synced = self.disk.sync_folder(folder);
        let names = &mut self.durable.lock().names;
        match synced {
            Ok(()) => drop(names.insert(folder.to_owned())),
            Err(_) => drop(names.remove(folder)),
        }
        synced
    }

    /// Creates a folder and those above it, as far as this lake's; each name is durable then.
    fn create_folders(&self, folder: &Path) -> io::Result<()> {
        if folder == self.path || self.durable.lock().folders.contains(folder) {
            return Ok(());
        }
        let Some(parent) = folder.parent() else { return Ok(()) };
        self.create_folders(parent)?;
        create_folder(&self.disk, folder)?;
        if !planted!(NewFolderUnsynced) {
            self.disk.sync_folder(parent)?;
        }
        let folders = &mut self.durable.lock().folders;
        if folders.len() >= FOLDERS_MAX {
            folders.clear();
        }
        folders.insert(folder.to_owned());
        Ok(())
    }
}

fn create_folder(disk: &impl Disk, folder: &Path) -> io::Result<()> {
    if disk.is_folder(folder) {
        return Ok(());
    }
    match disk.create_folder(folder) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && disk.is_folder(folder) => Ok(()),
        other => other,
    }
}

/// Creates a folder and those above it that are missing; each new name is synced.
pub(in crate::lake) fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(parent) = folder.parent() else { return Ok(()) };
    create_folders(parent)?;
    create_folder(&RealDisk, folder)?;
    RealDisk.sync_folder(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_that_is_taken_is_not_the_file_being_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = || Folder::new(dir.path().to_owned(), RealDisk, 7);
        let (one, other) = (folder(), folder());
        let (from, file) = one.begin().unwrap();
        let put = |folder: &Folder<_>, name: &str| {
            folder.put(&dir.path().join(name), [&Bytes::from_static(b"x")], false)
        };
        put(&other, "a").unwrap();
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"x");
        one.finish(&from, file, &dir.path().join("b"), false).unwrap();
        let again = put(&other, "b").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    }
}
