//! Requests on their way from the command to the process that writes the lake, and its answers.
//!
//! ```text
//! <id>.request.json    as long as it is not at its end; also after a crash
//! <id>.progress.json   replaced whole about once a second
//! ```

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Progress, Request, folder};

const REQUEST: &str = ".request.json";
const PROGRESS: &str = ".progress.json";

/// The folder of requests.
#[derive(Clone, Debug)]
pub struct Inbox(PathBuf);

impl Inbox {
    /// Makes the folder when it is not there.
    pub fn open(state_dir: &Path) -> anyhow::Result<Self> {
        let at = folder(state_dir);
        crate::run::create_private(state_dir)
            .and_then(|()| crate::run::create_private(&at))
            .with_context(|| format!("cannot make the folder {}", at.display()))?;
        Ok(Self(at))
    }

    /// Every request that is not at its end.
    pub fn requests(&self) -> anyhow::Result<Vec<Request>> {
        let told = || format!("cannot read the folder {}", self.0.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0).with_context(told)? {
            let name = entry.with_context(told)?.file_name();
            if name.to_string_lossy().ends_with(REQUEST) {
                found.extend(self.read(&name.to_string_lossy())?);
            }
        }
        found.sort_by_key(|request: &Request| (request.from_s, request.source.clone()));
        Ok(found)
    }

    pub fn request(&self, id: &str) -> anyhow::Result<Option<Request>> {
        self.read(&format!("{id}{REQUEST}"))
    }

    pub fn ask(&self, request: &Request) -> anyhow::Result<()> {
        self.replace(&format!("{}{REQUEST}", request.id()), request)
    }

    pub fn progress(&self, id: &str) -> anyhow::Result<Option<Progress>> {
        self.read(&format!("{id}{PROGRESS}"))
    }

    pub fn tell(&self, id: &str, progress: &Progress) -> anyhow::Result<()> {
        self.replace(&format!("{id}{PROGRESS}"), progress)
    }

    /// Nothing is left to be done for the request.
    pub fn end(&self, id: &str) -> anyhow::Result<()> {
        self.remove(&format!("{id}{REQUEST}"))
    }

    /// Forgets what an earlier request of the same wish has come to.
    pub fn forget(&self, id: &str) -> anyhow::Result<()> {
        self.remove(&format!("{id}{PROGRESS}"))
    }

    fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(e).context(format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let path = self.0.join(name);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).context(format!("cannot read {}", path.display())),
        };
        let read = serde_json::from_slice(&text);
        Ok(Some(read.with_context(|| format!("{} is damaged", path.display()))?))
    }

    /// Whole or not at all, also when the power fails.
    fn replace(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let (new, path) = (self.0.join(format!("{name}.new")), self.0.join(name));
        let bytes = serde_json::to_vec(value)?;
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.0)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}
