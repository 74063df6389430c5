//! Which store a lake lives in, and its options.

use std::fs::File;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use event::Secret;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::error::{Error, Kind};
use super::local::{self, LocalStore};
use super::upkeep::{CompactionOptions, RetentionOptions};

/// The lake: where it is, and how often it is written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LakeOptions {
    /// A folder (`./lake`, `file:///var/lib/mantissa`) or a bucket with a prefix (`s3://bucket/lake`).
    pub url: String,
    /// How to reach the bucket, for `s3://` only.
    pub s3: S3Options,
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
            lane: "main".into(),
            epoch_ms_max: 30_000,
            epoch_bytes_max: 24 << 20,
            late_after_hours: 7 * 24,
            dedup_hours: 24,
            dedup_entries_max: 2_000_000,
            compaction: None,
            retention: None,
        }
    }
}

/// How to reach an S3 bucket. What is not given comes from the environment as for any AWS program
/// (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, web identity, container and instance roles).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct S3Options {
    /// `eu-central-1`
    pub region: Option<String>,
    /// URL of another service that speaks S3. It must support `If-None-Match` on puts.
    pub endpoint: Option<String>,
    /// Put the bucket into the path instead of the host name. Default: when there is an `endpoint`.
    pub path_style: Option<bool>,
    /// Allow an `http://` endpoint.
    pub allow_http: bool,
    /// The key id, where the environment does not give one.
    pub access_key_id: Option<String>,
    /// The secret that belongs to `access_key_id`.
    pub secret_access_key: Option<Secret>,
    /// The session of temporary credentials.
    pub session_token: Option<Secret>,
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
        match place(&url)? {
            Place::Folder(folder) => {
                let (store, folder) = folder_store(&folder, create)?;
                Ok(Self { store, root: Path::default(), url, folder: Some(folder) })
            }
            Place::S3 { bucket, prefix } => {
                let store = s3(&bucket, &options.s3)?;
                Ok(Self { store, root: prefix, url, folder: None })
            }
        }
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
    match url.scheme() {
        "file" => {
            url.to_file_path().map(Place::Folder).map_err(|()| wrong("names no local folder"))
        }
        "s3" => {
            let bucket = url.host_str().ok_or_else(|| wrong("names no bucket"))?.to_owned();
            let prefix =
                Path::from_url_path(url.path()).map_err(|_| wrong("has a wrong prefix"))?;
            Ok(Place::S3 { bucket, prefix })
        }
        _ => Err(wrong("is neither a folder nor s3://bucket/prefix")),
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

fn s3(bucket: &str, options: &S3Options) -> Result<Arc<dyn ObjectStore>, Error> {
    // The committer decides what a failed request means: the client gives up soon.
    let retry = RetryConfig {
        max_retries: 3,
        retry_timeout: Duration::from_secs(30),
        ..RetryConfig::default()
    };
    let client = ClientOptions::new()
        .with_allow_http(options.allow_http)
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(60));
    let path_style = options.path_style.unwrap_or(options.endpoint.is_some());
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(client)
        .with_retry(retry)
        .with_virtual_hosted_style_request(!path_style);
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(key) = &options.access_key_id {
        builder = builder.with_access_key_id(key);
    }
    if let Some(secret) = &options.secret_access_key {
        builder = builder.with_secret_access_key(secret.expose());
    }
    if let Some(token) = &options.session_token {
        builder = builder.with_token(token.expose());
    }
    let store = builder.build().map_err(|e| {
        Error::caused(Kind::Options, format!("the options for the bucket {bucket} are wrong"), e)
    })?;
    Ok(Arc::new(store))
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
        for (url, expected) in [
            ("lake", folder("lake")),
            ("/var/lake", folder("/var/lake")),
            ("file:///var/my%20lake", folder("/var/my lake")),
            ("s3://bucket", s3("bucket", "")),
            ("s3://bucket/team/lake/", s3("bucket", "team/lake")),
            ("", None),
            ("ftp://x/y", None),
            ("s3://", None),
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
