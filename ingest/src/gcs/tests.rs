use std::time::Duration;

use servers::{CloudStorage, Pubsub};

use super::*;
use crate::decode::tests::gzip;
use crate::testing::front::{Fate, front};
use crate::testing::{Lake, NAMES};

fn options(server: &CloudStorage) -> GcsOptions {
    GcsOptions {
        bucket: "bucket".to_owned(),
        auth: GoogleAuth { anonymous: true, ..GoogleAuth::default() },
        every_s: 1,
        lease_s: 10,
        endpoint: Some(server.endpoint()),
        ..GcsOptions::default()
    }
}

fn source(options: GcsOptions) -> Box<dyn Source> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Box::new(GcsSource::new("test", "gcp.audit", options).unwrap())
}

fn records(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!(r#"{{"insertId":"{n:05}"}}"#)).collect()
}

fn lines(numbers: std::ops::Range<usize>) -> Vec<u8> {
    records(numbers).iter().flat_map(|r| format!("{r}\n").into_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_found_by_listing_and_read_once_over_restarts() {
    let Some(server) = CloudStorage::start() else { return };
    const HOUR: &str = "cloudaudit.googleapis.com/activity/2099/01/02/03:00:00_03:59:59";
    server.put(&format!("{HOUR}_S0.json"), &lines(0..2_000));
    server.put("cloudaudit.googleapis.com/activity/2020/01/02/old.json", &lines(0..1));
    let lake = Lake::default();
    let running = lake.start(source(options(&server)));
    assert_eq!(running.wait_for(2_000).await, records(0..2_000));
    // A late shard of the same hour.
    server.put(&format!("{HOUR}_A1:17.json"), &gzip(&lines(2_000..2_010)));
    assert_eq!(running.wait_for(2_010).await, records(0..2_010));
    running.stop().await.unwrap();
    server.put("other.json", &lines(2_010..2_020));
    let running = lake.start(source(options(&server)));
    assert_eq!(running.wait_for(2_020).await, records(0..2_020));
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(running.stop().await.unwrap().records, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_lead_to_objects_and_are_acknowledged() {
    let (Some(server), Some(pubsub)) = (CloudStorage::start(), Pubsub::start()) else { return };
    let options = GcsOptions {
        subscription: Some(pubsub.subscription("news")),
        pubsub_endpoint: Some(pubsub.endpoint()),
        ..options(&server)
    };
    server.put("a.json", &lines(0..10));
    let tell = |kind: &str, object: &str| {
        let pairs = [("eventType", kind), ("bucketId", "bucket"), ("objectId", object)];
        pubsub.publish_with("news", &pairs);
    };
    tell("OBJECT_FINALIZE", "a.json");
    tell("OBJECT_FINALIZE", "a.json");
    tell("OBJECT_DELETE", "b.json");
    tell("OBJECT_FINALIZE", "gone.json");
    let found = source(options.clone()).probe().await.unwrap().unwrap();
    assert!(found.is_good() && format!("{found:?}").contains("objects may be read"), "{found:?}");
    let lake = Lake { delay: Duration::from_secs(4), ..Lake::default() };
    let running = lake.start(source(options));
    assert_eq!(running.wait_for(10).await, records(0..10));
    for _ in 0..500 {
        if !lake.rejects.lock().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (reason, _) = lake.rejects.lock()[0].clone();
    assert!(reason.contains("gone.json: it is not there"), "{reason}");
    running.stop().await.unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!((pubsub.waiting("news"), lake.rejects.lock().len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_name_holds_its_object_is_read_under_that_name() {
    let (Some(server), Some(pubsub)) = (CloudStorage::start(), Pubsub::start()) else { return };
    for (n, name) in NAMES.iter().enumerate() {
        server.put(name, &lines(n..n + 1));
    }
    server.put("folder/", b"");
    let lake = Lake::default();
    let running = lake.start(source(options(&server)));
    assert_eq!(running.wait_for(NAMES.len()).await, records(0..NAMES.len()));
    let summary = running.stop().await.unwrap();
    assert_eq!((summary.opened, summary.rejects), (NAMES.len() as u64, 0));
    let of_folder = GcsOptions { prefix: Some("a".to_owned()), ..options(&server) };
    let lake = Lake::default();
    let running = lake.start(source(of_folder));
    let is_below = |n: &usize| NAMES[*n].starts_with("a/");
    let below: Vec<_> = (0..NAMES.len()).filter(is_below).map(|n| records(n..n + 1)).collect();
    assert_eq!(running.wait_for(below.len()).await, below.concat());
    running.stop().await.unwrap();
    // The same, told of.
    let subscription = Some(pubsub.subscription("news"));
    for name in NAMES {
        let pairs = [("eventType", "OBJECT_FINALIZE"), ("bucketId", "bucket"), ("objectId", name)];
        pubsub.publish_with("news", &pairs);
    }
    let told =
        GcsOptions { subscription, pubsub_endpoint: Some(pubsub.endpoint()), ..options(&server) };
    let lake = Lake::default();
    let running = lake.start(source(told));
    assert_eq!(running.wait_for(NAMES.len()).await, records(0..NAMES.len()));
    assert_eq!(running.stop().await.unwrap().rejects, 0, "{:?}", lake.rejects.lock());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_and_authorities_of_the_settings_are_those_that_are_used() {
    let list = "<ListBucketResult><Contents><Key>a.json</Key><LastModified>2099-01-01T00:00:00Z\
                </LastModified><ETag>\"e\"</ETag><Size>20</Size></Contents></ListBucketResult>";
    let proxy = front("http://127.0.0.1:1", move |asked| match asked.path.contains("list-type") {
        true => Fate::Answer(200, list.to_owned()),
        false => Fate::Answer(200, records(0..1).concat()),
    });
    let options = GcsOptions {
        bucket: "bucket".to_owned(),
        auth: GoogleAuth { anonymous: true, ..GoogleAuth::default() },
        endpoint: Some("http://storage.invalid".to_owned()),
        proxy: Some(Secret::new(proxy)),
        ..GcsOptions::default()
    };
    let lake = Lake::default();
    let running = lake.start(source(options.clone()));
    assert_eq!(running.wait_for(1).await, records(0..1));
    running.stop().await.unwrap();
    let ca = Some(PathBuf::from("/nowhere/ca.pem"));
    let error = lake.start(source(GcsOptions { ca, ..options })).end().await.unwrap_err();
    assert!(error.message.contains("`ca` /nowhere/ca.pem"), "{error}");
}
