//! Which store a lake lives in, and its options.

use std::fs::File;
use std::num::NonZeroU64;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::error::{Error, Kind};
use super::local::{self, LocalStore};
use super::upkeep::{CompactionOptions, RetentionOptions};

mod azure;
mod gcs;
mod s3;

pub use azure::AzureOptions;
pub use gcs::GcsOptions;
pub use s3::S3Options;

/// The lake: where it is, and how often it is written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LakeOptions {
    /// A folder (`./lake`, `file:///var/lib/mantissa`), or a bucket or container with a prefix: `s3://bucket/lake`,
    /// `gs://bucket/lake`, `az://container/lake`, `abfss://container@account.dfs.core.windows.net/lake`.
    pub url: String,
    /// How to reach the bucket, for `s3://` only.
    pub s3: S3Options,
    /// How to reach the bucket, for `gs://` only.
    pub gcs: GcsOptions,
    /// How to reach the container, for `az://` and `abfss://` only.
    pub azure: AzureOptions,
    /// The chain of epochs that this process writes: `a-z 0-9 _ -`. Two processes never share one.
    pub lane: String,
    /// The longest time a row waits for its epoch, in milliseconds.
    pub epoch_ms_max: u64,
    /// The most rows an epoch collects, in bytes of memory.
    pub epoch_bytes_max: u64,
    /// Events older than this on arrival are filed under the hour they arrived in, flagged `late`.
    pub late_after_hours: u32,
    /// How long an event's identity is remembered to remove the provider's duplicates, in hours.
    pub dedup_hours: u32,
    /// The most identities remembered; about 30 bytes of memory each.
    pub dedup_entries_max: usize,
    /// How often the process looks whether a checkpoint is due, in seconds. With one, questions need not read all
    /// manifests.
    pub checkpoint_s: NonZeroU64,
    /// Makes big files of small ones while the process runs. Without it the process does not.
    pub compaction: Option<CompactionOptions>,
    /// How long what is kept. Without it everything stays.
    pub retention: Option<RetentionOptions>,
}

impl Default for LakeOptions {
    fn default() -> Self {
        Self {
            url: "./lake".into(),
            s3: S3Options::default(),
            gcs: GcsOptions::default(),
            azure: AzureOptions::default(),
            lane: "main".into(),
            epoch_ms_max: 30_000,
            epoch_bytes_max: 24 << 20,
            late_after_hours: 7 * 24,
            dedup_hours: 24,
            dedup_entries_max: 2_000_000,
            checkpoint_s: const { NonZeroU64::new(300).unwrap() },
            compaction: None,
            retention: None,
        }
    }
}

/// An opened store and where in it the lake is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LakeStore {
    pub store: Arc<dyn ObjectStore>,
    pub root: Path,
    /// For people.
    pub url: String,
    /// Where it is when it is in a local folder.
    folder: Option<PathBuf>,
}

/// What a lake's URL names.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    S3 { bucket: String, prefix: Path },
    Gcs { bucket: String, prefix: Path },
    Azure { account: Option<String>, container: String, prefix: Path },
}

impl LakeStore {
    /// Opens the store of a lake that exists, to read it. No request is made yet.
    ///
    /// # Errors
    /// [`Kind::Options`] for a URL that names no store, or a folder that is not there.
    pub fn open(options: &LakeOptions) -> Result<Self, Error> {
        Self::at(options, false)
    }

    /// To read a lake in a store that is open.
    pub(super) fn of(store: &Arc<dyn ObjectStore>, root: &Path) -> Self {
        Self { store: store.clone(), root: root.clone(), url: root.to_string(), folder: None }
    }

    /// As [`LakeStore::open`], but makes a local folder that is not there.
    ///
    /// # Errors
    /// [`Kind::Options`]
    pub fn create(options: &LakeOptions) -> Result<Self, Error> {
        Self::at(options, true)
    }

    fn at(options: &LakeOptions, create: bool) -> Result<Self, Error> {
        let url = options.url.clone();
        let (store, root) = match place(&url)? {
            Place::Folder(folder) => {
                let (store, folder) = folder_store(&folder, create)?;
                return Ok(Self { store, root: Path::default(), url, folder: Some(folder) });
            }
            Place::S3 { bucket, prefix } => (s3::open(&bucket, &options.s3)?, prefix),
            Place::Gcs { bucket, prefix } => (gcs::open(&bucket, &options.gcs)?, prefix),
            Place::Azure { account, container, prefix } => {
                (azure::open(account.as_deref(), &container, &options.azure)?, prefix)
            }
        };
        Ok(Self { store, root, url, folder: None })
    }

    /// As [`LakeStore::open`], to change what is there.
    ///
    /// # Errors
    /// [`Kind::Options`]
    pub(super) fn open_to_change(options: &LakeOptions) -> Result<Self, Error> {
        Self::open(options)?;
        Self::create(options)
    }

    /// Makes what can be seen in a folder durable. A bucket only shows what is.
    pub(super) async fn sync(&self, folder: &str) -> object_store::Result<()> {
        match &self.folder {
            Some(root) => local::sync(root.join(folder)).await,
            None => Ok(()),
        }
    }

    /// Keeps other processes of this machine from opening the lane, as long as the file is held.
    pub(super) fn lock(&self, lane: &str) -> Result<Option<File>, Error> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let failed = |e| {
            Error::caused(
                Kind::Store,
                format!("the lane {lane} of {} cannot be locked", self.url),
                e,
            )
        };
        let locked = local::lock(folder, lane).map_err(failed)?;
        let what = format!(
            "another process is writing the lane {lane} of the lake {}: stop it, or use another lane",
            self.url
        );
        locked.map(Some).ok_or_else(|| Error::new(Kind::Fenced, what))
    }
}

fn place(text: &str) -> Result<Place, Error> {
    let wrong = |what: &str| Error::new(Kind::Options, format!("the lake's URL '{text}' {what}"));
    if text.is_empty() {
        return Err(wrong("is empty"));
    }
    if !text.contains("://") {
        return Ok(Place::Folder(text.into()));
    }
    let url = Url::parse(text).map_err(|e| {
        Error::caused(Kind::Options, format!("the lake's URL '{text}' is wrong"), e)
    })?;
    if url.scheme() == "file" {
        return url.to_file_path().map(Place::Folder).map_err(|()| wrong("names no local folder"));
    }
    let prefix = Path::from_url_path(url.path()).map_err(|_| wrong("has a wrong prefix"))?;
    let host = url.host_str().map(str::to_owned);
    match url.scheme() {
        "s3" => {
            let bucket = host.ok_or_else(|| wrong("names no bucket"))?;
            Ok(Place::S3 { bucket, prefix })
        }
        "gs" => {
            let bucket = host.ok_or_else(|| wrong("names no bucket"))?;
            Ok(Place::Gcs { bucket, prefix })
        }
        "az" => {
            let container = host.ok_or_else(|| wrong("names no container"))?;
            Ok(Place::Azure { account: None, container, prefix })
        }
        "abfss" => {
            let account = host.as_deref().and_then(|host| host.split_once('.'));
            let (Some((account, _)), false) = (account, url.username().is_empty()) else {
                return Err(wrong("is not abfss://container@account.dfs.core.windows.net/prefix"));
            };
            let (account, container) = (Some(account.to_owned()), url.username().to_owned());
            Ok(Place::Azure { account, container, prefix })
        }
        _ => Err(wrong("is neither a folder nor s3://, gs://, az:// or abfss://")),
    }
}

/// The store, and the folder as an absolute path.
fn folder_store(folder: &FsPath, create: bool) -> Result<(Arc<dyn ObjectStore>, PathBuf), Error> {
    let failed =
        |e| Error::caused(Kind::Options, format!("there is no lake at {}", folder.display()), e);
    if create {
        std::path::absolute(folder).and_then(|f| local::create_folders(&f)).map_err(|e| {
            Error::caused(Kind::Options, format!("cannot create {}", folder.display()), e)
        })?;
    }
    let store = LocalStore::new(folder, create).map_err(failed)?;
    if create {
        store.remove_old_temporary_files();
    }
    let folder = store.folder().to_owned();
    Ok((Arc::new(store), folder))
}

/// The committer decides what a failed request means: the client gives up soon.
fn retry() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() }
}

fn client(allow_http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(allow_http)
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(60))
}

fn wrong_options(what: &str, name: &str, error: object_store::Error) -> Error {
    Error::caused(Kind::Options, format!("the options for the {what} {name} are wrong"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_places() {
        let folder = |p: &str| Some(Place::Folder(p.into()));
        let s3 = |bucket: &str, prefix: &str| {
            Some(Place::S3 { bucket: bucket.into(), prefix: prefix.into() })
        };
        let azure = |account: Option<&str>, container: &str, prefix: &str| {
            Some(Place::Azure {
                account: account.map(str::to_owned),
                container: container.into(),
                prefix: prefix.into(),
            })
        };
        for (url, expected) in [
            ("lake", folder("lake")),
            ("/var/lake", folder("/var/lake")),
            ("file:///var/my%20lake", folder("/var/my lake")),
            ("s3://bucket", s3("bucket", "")),
            ("s3://bucket/team/lake/", s3("bucket", "team/lake")),
            ("", None),
            (
                "gs://bucket/lake",
                Some(Place::Gcs { bucket: "bucket".into(), prefix: "lake".into() }),
            ),
            ("az://logs/lake", azure(None, "logs", "lake")),
            ("abfss://logs@acme.dfs.core.windows.net/lake", azure(Some("acme"), "logs", "lake")),
            ("abfss://acme.dfs.core.windows.net/lake", None),
            ("ftp://x/y", None),
            ("s3://", None),
            ("gs:///lake", None),
        ] {
            assert_eq!(place(url).ok(), expected, "{url}");
        }
    }

    #[test]
    fn readers_need_a_lake_and_writers_make_one() {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("a/b").to_string_lossy().into_owned();
        let options = LakeOptions { url, ..LakeOptions::default() };
        assert_eq!(LakeStore::open(&options).unwrap_err().kind(), Kind::Options);
        LakeStore::create(&options).unwrap();
        LakeStore::open(&options).unwrap();
    }

    #[test]
    fn options_have_defaults_and_refuse_unknown_keys() {
        let options: LakeOptions = serde_json::from_str(r#"{"url":"x","epoch_ms_max":5}"#).unwrap();
        assert_eq!((options.epoch_ms_max, options.epoch_bytes_max), (5, 24 << 20));
        assert!(serde_json::from_str::<LakeOptions>(r#"{"epoch_ms":5}"#).is_err());
    }
}
