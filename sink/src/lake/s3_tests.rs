//! The lake in a bucket: the same promises against a real S3 emulator with conditional puts.
//!
//! `scripts/test-deps.sh` installs it. Without it the tests say that they were skipped.

use std::net::TcpListener;

use event::Secret;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use servers::Bucket;

use super::lake::tests::part;
use super::snapshot::Snapshot;
use super::store::{LakeOptions, LakeStore, S3Options};
use super::verify::verify;
use super::{Kind, Lake};

fn options(bucket: &Bucket) -> LakeOptions {
    LakeOptions {
        url: "s3://bucket/team/lake".into(),
        s3: S3Options {
            region: Some("us-east-1".into()),
            endpoint: Some(bucket.endpoint()),
            allow_http: true,
            access_key_id: Some("test".into()),
            secret_access_key: Some(Secret::new("test")),
            ..S3Options::default()
        },
        ..LakeOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_in_a_bucket_keeps_the_same_promises() {
    let Some(bucket) = Bucket::start() else { return };
    let options = options(&bucket);
    let (mut lake, recovered) = Lake::open(&options).await.unwrap();
    assert_eq!(recovered.next_epoch, 1);
    for n in 0..3 {
        lake.commit(vec![part("p", n * 20, n * 20 + 20)]).await.unwrap();
    }
    let (mut second, recovered) = Lake::open(&options).await.unwrap();
    assert_eq!((recovered.next_epoch, recovered.window.len()), (4, 54));
    second.commit(vec![part("p", 60, 80)]).await.unwrap();
    let error = lake.commit(vec![part("p", 60, 90)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{error}");
    let at = LakeStore::open(&options).unwrap();
    let snapshot = Snapshot::read(&at.store, &at.root).await.unwrap();
    assert_eq!(snapshot.files.iter().map(|f| f.file.rows).sum::<u64>(), 80);
    let report = verify(&at, true).await.unwrap();
    assert!(report.ok && report.notes.is_empty(), "{report}");
    let path = super::layout::under(&at.root, &snapshot.files[0].file.path);
    at.store.delete(&path).await.unwrap();
    let report = verify(&at, false).await.unwrap();
    assert!(report.problems[0].path == snapshot.files[0].file.path, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_if_absent_that_lost_says_so() {
    let Some(bucket) = Bucket::start() else { return };
    let at = LakeStore::open(&options(&bucket)).unwrap();
    let create = || PutOptions::from(PutMode::Create);
    at.store.put_opts(&"x".into(), "first".into(), create()).await.unwrap();
    let again = at.store.put_opts(&"x".into(), "second".into(), create()).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
    let kept = at.store.get(&"x".into()).await.unwrap().bytes().await.unwrap();
    assert_eq!(&kept[..], b"first");
}

#[tokio::test]
async fn a_bucket_that_does_not_answer_is_an_error_of_the_store() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = Some(format!("http://{free}"));
    let mut options = LakeOptions { url: "s3://bucket".into(), ..LakeOptions::default() };
    options.s3 = S3Options {
        region: Some("us-east-1".into()),
        endpoint,
        allow_http: true,
        access_key_id: Some("test".into()),
        secret_access_key: Some(Secret::new("test")),
        ..S3Options::default()
    };
    let at = LakeStore::open(&options).unwrap();
    assert_eq!(Snapshot::read(&at.store, &at.root).await.unwrap_err().kind(), Kind::Store);
}
