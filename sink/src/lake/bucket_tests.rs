//! The lake in a bucket or container: the same promises against emulators of S3, Google Cloud Storage and Azure
//! Blob Storage, all of which have conditional puts.
//!
//! `scripts/test-deps.sh` installs them. Without one its tests say that they were skipped.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use event::Secret;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use servers::{Azure, Bucket, CloudStorage};

use super::lake::tests::part;
use super::snapshot::Snapshot;
use super::store::{AzureOptions, GcsOptions, LakeOptions, LakeStore, S3Options};
use super::verify::{Scope, verify};
use super::{Kind, Lake};

fn s3(endpoint: String) -> S3Options {
    S3Options {
        region: Some("us-east-1".into()),
        endpoint: Some(endpoint),
        allow_http: true,
        access_key_id: Some("test".into()),
        secret_access_key: Some(Secret::new("test")),
        ..S3Options::default()
    }
}

fn in_s3(bucket: &Bucket) -> LakeOptions {
    LakeOptions {
        url: "s3://bucket/team/lake".into(),
        s3: s3(bucket.endpoint()),
        ..LakeOptions::default()
    }
}

fn in_google_cloud(storage: &CloudStorage) -> LakeOptions {
    LakeOptions {
        url: "gs://bucket/team/lake".into(),
        gcs: GcsOptions {
            endpoint: Some(storage.endpoint()),
            allow_http: true,
            anonymous: true,
            ..GcsOptions::default()
        },
        ..LakeOptions::default()
    }
}

fn in_azure(azure: &Azure) -> LakeOptions {
    azure.container("container");
    LakeOptions {
        url: "az://container/team/lake".into(),
        azure: AzureOptions {
            account: Some(Azure::ACCOUNT.into()),
            account_key: Some(Secret::new(Azure::KEY)),
            endpoint: Some(azure.blob_endpoint()),
            allow_http: true,
            ..AzureOptions::default()
        },
        ..LakeOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_in_s3_keeps_the_same_promises() {
    let Some(bucket) = Bucket::start() else { return };
    keeps_the_same_promises(&in_s3(&bucket)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_in_google_cloud_keeps_the_same_promises() {
    let Some(storage) = CloudStorage::start() else { return };
    keeps_the_same_promises(&in_google_cloud(&storage)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_in_azure_keeps_the_same_promises() {
    let Some(azure) = Azure::start() else { return };
    keeps_the_same_promises(&in_azure(&azure)).await;
}

async fn keeps_the_same_promises(options: &LakeOptions) {
    let (mut lake, recovered) = Lake::open(options).await.unwrap();
    assert_eq!(recovered.next_epoch, 1);
    for n in 0..3 {
        lake.commit(vec![part("p", n * 20, n * 20 + 20)]).await.unwrap();
    }
    let (mut second, recovered) = Lake::open(options).await.unwrap();
    assert_eq!((recovered.next_epoch, recovered.window.len()), (4, 54));
    second.commit(vec![part("p", 60, 80)]).await.unwrap();
    let error = lake.commit(vec![part("p", 60, 90)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{error}");
    let at = LakeStore::open(options).unwrap();
    let snapshot = Snapshot::read(&at.store, &at.root).await.unwrap();
    assert_eq!(snapshot.files.iter().map(|f| f.file.rows).sum::<u64>(), 80);
    let report = verify(&at, Scope::full(true)).await.unwrap();
    assert!(report.ok && report.notes.is_empty(), "{report}");
    let path = super::layout::under(&at.root, &snapshot.files[0].file.path);
    at.store.delete(&path).await.unwrap();
    let report = verify(&at, Scope::full(false)).await.unwrap();
    assert!(report.problems[0].path == snapshot.files[0].file.path, "{report}");
    a_put_if_absent_that_lost_says_so(&at).await;
}

async fn a_put_if_absent_that_lost_says_so(at: &LakeStore) {
    let create = || PutOptions::from(PutMode::Create);
    at.store.put_opts(&"x".into(), "first".into(), create()).await.unwrap();
    let again = at.store.put_opts(&"x".into(), "second".into(), create()).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
    let kept = at.store.get(&"x".into()).await.unwrap().bytes().await.unwrap();
    assert_eq!(&kept[..], b"first");
}

/// The head of the first request that a program sends to `listener`, which is refused.
fn refused(listener: TcpListener) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
        let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        (&stream).write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").unwrap();
        head.join("\n").to_lowercase()
    })
}

#[tokio::test]
async fn a_kms_key_is_asked_for_with_every_object() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let mut options = LakeOptions { url: "s3://bucket/lake".into(), ..LakeOptions::default() };
    options.s3 = S3Options { kms_key: Some("alias/lake".into()), ..s3(endpoint) };
    let head = refused(listener);
    let at = LakeStore::open(&options).unwrap();
    at.store.put(&"lake/x".into(), "y".into()).await.unwrap_err();
    let head = head.join().unwrap();
    for header in [
        "x-amz-server-side-encryption: aws:kms\n",
        "x-amz-server-side-encryption-aws-kms-key-id: alias/lake\n",
        "x-amz-server-side-encryption-bucket-key-enabled: true\n",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_answer_is_an_error_of_the_store() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let s3 = s3(format!("http://{free}"));
    let options = LakeOptions { url: "s3://bucket".into(), s3, ..LakeOptions::default() };
    let at = LakeStore::open(&options).unwrap();
    assert_eq!(Snapshot::read(&at.store, &at.root).await.unwrap_err().kind(), Kind::Store);
}
