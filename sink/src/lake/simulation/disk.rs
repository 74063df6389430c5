//! A file system that loses what was not synced when the power goes, in the worst way that POSIX
//! allows: every name and every content by itself, and contents torn.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;

use super::super::local::disk::Disk;
use super::Random;

/// The folder of the lake.
pub(super) const ROOT: &str = "/lake";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

#[derive(Debug, Default)]
struct Inode {
    content: Bytes,
    synced: Bytes,
}

/// What becomes of the steps of a put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Plug {
    #[default]
    Works,
    /// The step after so many fails, those after it work.
    FailsOnce(u32),
    /// The process dies after so many steps.
    Pulled(u32),
}

#[derive(Debug, Default)]
struct Inner {
    inodes: Vec<Inode>,
    /// As processes see it.
    names: BTreeMap<PathBuf, Entry>,
    /// As it is on the disk, at the least.
    durable: BTreeMap<PathBuf, Entry>,
    plug: Plug,
}

/// All processes of one machine share it.
#[derive(Clone, Debug)]
pub(super) struct SimDisk(Rc<RefCell<Inner>>);

impl SimDisk {
    pub(super) fn new() -> Self {
        let root = BTreeMap::from([(PathBuf::from(ROOT), Entry::Folder)]);
        Self(Rc::new(RefCell::new(Inner {
            names: root.clone(),
            durable: root,
            ..Inner::default()
        })))
    }

    pub(super) fn plug(&self, plug: Plug) {
        self.0.borrow_mut().plug = plug;
    }

    pub(super) fn read(&self, path: &str) -> Option<Bytes> {
        let inner = self.0.borrow();
        match inner.names.get(&Path::new(ROOT).join(path)) {
            Some(Entry::File(inode)) => Some(inner.inodes[*inode].content.clone()),
            _ => None,
        }
    }

    /// Paths from the lake's root, temporary files left out.
    pub(super) fn files(&self) -> BTreeMap<String, Bytes> {
        let inner = self.0.borrow();
        let file = |(path, entry): (&PathBuf, &Entry)| match entry {
            Entry::File(inode) => {
                let path = path.strip_prefix(ROOT).ok()?.to_str()?.to_owned();
                let content = inner.inodes[*inode].content.clone();
                (!path.starts_with("_tmp/")).then_some((path, content))
            }
            Entry::Folder => None,
        };
        inner.names.iter().filter_map(file).collect()
    }

    pub(super) fn lose_power(&self, random: &mut Random) {
        let inner = &mut *self.0.borrow_mut();
        let paths: BTreeSet<&PathBuf> = inner.names.keys().chain(inner.durable.keys()).collect();
        let mut left = BTreeMap::new();
        for path in paths {
            let of = if random.percent(50) { &inner.names } else { &inner.durable };
            let kept = |path: &Path| left.get(path) == Some(&Entry::Folder);
            let is_there = path == Path::new(ROOT) || path.parent().is_some_and(kept);
            if let (Some(entry), true) = (of.get(path), is_there) {
                left.insert(path.clone(), *entry);
            }
        }
        for inode in &mut inner.inodes {
            if inode.content != inode.synced {
                inode.content.truncate(random.below(inode.content.len() + 1));
                inode.synced = inode.content.clone();
            }
        }
        (inner.durable, inner.names, inner.plug) = (left.clone(), left, Plug::Works);
    }

    /// One step, if the process and the disk still do one.
    fn step(&self) -> io::Result<RefMut<'_, Inner>> {
        let mut inner = self.0.borrow_mut();
        let (plug, works) = match inner.plug {
            Plug::Works => (Plug::Works, true),
            Plug::FailsOnce(0) => (Plug::Works, false),
            Plug::FailsOnce(n) => (Plug::FailsOnce(n - 1), true),
            Plug::Pulled(0) => (Plug::Pulled(0), false),
            Plug::Pulled(n) => (Plug::Pulled(n - 1), true),
        };
        inner.plug = plug;
        works.then_some(inner).ok_or_else(|| io::Error::other("the disk or the process failed"))
    }
}

impl Inner {
    fn parent_is_there(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().and_then(|parent| self.names.get(parent));
        if parent == Some(&Entry::Folder) { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }

    fn add(&mut self, path: &Path, entry: Entry) -> io::Result<()> {
        self.parent_is_there(path)?;
        if self.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.names.insert(path.to_owned(), entry);
        Ok(())
    }
}

impl Disk for SimDisk {
    type File = usize;

    fn is_folder(&self, path: &Path) -> bool {
        self.0.borrow().names.get(path) == Some(&Entry::Folder)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?.add(path, Entry::Folder)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let inner = &mut *self.step()?;
        let is_in = |of: &PathBuf| of.parent() == Some(path);
        inner.durable.retain(|of, _| !is_in(of));
        let seen = inner.names.iter().filter(|(of, _)| is_in(of));
        inner.durable.extend(seen.map(|(of, entry)| (of.clone(), *entry)));
        Ok(())
    }

    fn create_file(&self, path: &Path) -> io::Result<usize> {
        let mut inner = self.step()?;
        let inode = inner.inodes.len();
        inner.add(path, Entry::File(inode))?;
        inner.inodes.push(Inode::default());
        Ok(inode)
    }

    fn append(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        let content = &mut self.step()?.inodes[*file].content;
        *content = [content, bytes].concat().into();
        Ok(())
    }

    fn sync_file(&self, file: &mut usize) -> io::Result<()> {
        let inode = &mut self.step()?.inodes[*file];
        inode.synced = inode.content.clone();
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.step()?;
        inner.parent_is_there(to)?;
        let entry = inner.names.remove(from).ok_or(ErrorKind::NotFound)?;
        inner.names.insert(to.to_owned(), entry);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.step()?;
        let entry = *inner.names.get(from).ok_or(ErrorKind::NotFound)?;
        inner.add(to, entry)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?.names.remove(path).map(drop).ok_or(ErrorKind::NotFound.into())
    }
}
