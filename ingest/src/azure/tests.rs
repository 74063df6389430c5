use event::Secret;
use servers::Azure;

use super::*;
use crate::decode::flows::tests as parquet;
use crate::decode::tests::gzip;
use crate::testing::front::{Fate, front};
use crate::testing::{Lake, NAMES};

const HOUR: &str = "resourceId=/SUBSCRIPTIONS/1/y=2099/m=01/d=02/h=03/m=00/PT1H.json";

fn options(server: &Azure) -> AzureBlobOptions {
    let auth = AzureAuth { account_key: Some(Secret::new(Azure::KEY)), ..AzureAuth::default() };
    AzureBlobOptions {
        account: Azure::ACCOUNT.to_owned(),
        container: "logs".to_owned(),
        auth,
        every_s: 1,
        lease_s: 10,
        endpoint: Some(server.blob_endpoint()),
        queue_endpoint: Some(server.queue_endpoint()),
        ..AzureBlobOptions::default()
    }
}

fn source(options: AzureBlobOptions) -> Box<dyn Source> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Box::new(AzureBlobSource::new("test", "azure.activity", options).unwrap())
}

fn records(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!(r#"{{"n":"{n:05}","list":[{{"a":[1]}}]}}"#)).collect()
}

fn lines(numbers: std::ops::Range<usize>) -> Vec<u8> {
    records(numbers).iter().flat_map(|r| format!("{r}\r\n").into_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_grows_is_read_on_from_its_last_byte_over_restarts() {
    let Some(server) = Azure::start() else { return };
    server.container("logs");
    server.append("logs", HOUR, &lines(0..3_000));
    let lake = Lake::default();
    let running = lake.start(source(options(&server)));
    assert_eq!(running.wait_for(3_000).await, records(0..3_000));
    // Half of a record, and later the rest.
    let more = lines(3_000..3_010);
    server.append("logs", HOUR, &more[..60]);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    server.append("logs", HOUR, &more[60..]);
    assert_eq!(running.wait_for(3_010).await, records(0..3_010));
    running.stop().await.unwrap();
    server.append("logs", HOUR, &lines(3_010..3_020));
    server.put("logs", "y=2099/other.json.gz", &gzip(&lines(3_020..3_030)));
    server.put("logs", "y=2020/m=01/d=01/old.json", &lines(0..1));
    let running = lake.start(source(options(&server)));
    assert_eq!(running.wait_for(3_030).await, records(0..3_030));
    // Written anew is another object; what is there still is not read again.
    server.put("logs", "y=2099/other.json.gz", &gzip(&lines(3_030..3_035)));
    assert_eq!(running.wait_for(3_035).await, records(0..3_035));
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let summary = running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (25, 0));
}

/// Network flow logs: the end of the list is written anew every time.
#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_that_grows_gives_each_record_once() {
    let Some(server) = Azure::start() else { return };
    server.container("logs");
    let lake = Lake::default();
    let running = lake.start(source(options(&server)));
    for upto in [1, 2, 40, 41] {
        let list = records(0..upto).join(",\r\n");
        server.put("logs", HOUR, format!("{{\"records\":[{list}\r\n]}}").as_bytes());
        assert_eq!(running.wait_for(upto).await, records(0..upto));
    }
    let summary = running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (41, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_no_longer_grows_is_closed_and_one_written_anew_is_told_apart() {
    let Some(server) = Azure::start() else { return };
    server.container("logs");
    let mut open = lines(0..3);
    open.truncate(open.len() - 2);
    server.append("logs", HOUR, &open);
    let lake = Lake::default();
    let mut options = options(&server);
    options.settle_minutes = 0;
    let running = lake.start(source(options));
    assert_eq!(running.wait_for(3).await, records(0..3), "the last line has no end");
    server.append("logs", HOUR, &[b"\r\n".to_vec(), lines(3..5)].concat());
    assert_eq!(running.wait_for(5).await, records(0..5));
    let other: Vec<u8> = lines(5..205);
    server.put("logs", HOUR, &other);
    assert_eq!(running.wait_for(205).await, records(0..205));
    let summary = running.stop().await.unwrap();
    assert_eq!(summary.rejects, 0, "{:?}", lake.rejects.lock());
}

fn created(blob: &str) -> String {
    let subject = format!("/blobServices/default/containers/logs/blobs/{blob}");
    serde_json::json!({"eventType": "Microsoft.Storage.BlobCreated", "subject": subject})
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_deleted_when_their_blobs_are_in_the_lake_and_not_before() {
    let Some(server) = Azure::start() else { return };
    server.container("logs");
    server.queue("news");
    server.put("logs", "a.json", &lines(0..10));
    server.append("logs", HOUR, &lines(10..20));
    for text in
        [&created("a.json"), &created("a.json"), &created(HOUR), "hello", &created("gone.json")]
    {
        server.send("news", text);
    }
    // Longer than messages are kept from others.
    let lake = Lake { delay: Duration::from_secs(4), ..Lake::default() };
    let options = AzureBlobOptions { queue: Some("news".to_owned()), ..options(&server) };
    let running = lake.start(source(options));
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.append("logs", HOUR, &lines(20..22));
    assert_eq!(running.wait_for(22).await, records(0..22));
    let rejects = lake.rejects.clone();
    for _ in 0..500 {
        if rejects.lock().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut told: Vec<_> = rejects.lock().iter().map(|(reason, _)| reason.clone()).collect();
    told.sort();
    assert!(
        told[0].contains("gone.json: it is not there") && told[1].contains("it is no JSON"),
        "{told:?}"
    );
    running.stop().await.unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(server.messages("news"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_read_on_and_nothing_comes_twice() {
    let Some(server) = Azure::start() else { return };
    server.container("logs");
    server.put("logs", "big.json.gz", &gzip(&lines(0..5_000)));
    server.append("logs", HOUR, &lines(5_000..9_000));
    let behind = server.blob_endpoint();
    let behind = behind.strip_suffix(&format!("/{}", Azure::ACCOUNT)).unwrap();
    let url = front(behind, |asked| match asked.path.contains("json") {
        true if asked.before % 3 == 0 => Fate::Cut,
        true if asked.before % 3 == 1 => Fate::Answer(503, String::new()),
        _ => Fate::Pass,
    });
    let lake = Lake::default();
    let endpoint = Some(format!("{url}/{}", Azure::ACCOUNT));
    let running = lake.start(source(AzureBlobOptions { endpoint, ..options(&server) }));
    assert_eq!(running.wait_for(9_000).await, records(0..9_000));
    let summary = running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (9_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_out_says_which_role_is_missing() {
    let Some(server) = Azure::start() else { return };
    server.container("logs");
    server.queue("news");
    server.put("logs", "a.json", b"{}");
    let good = || AzureBlobOptions { queue: Some("news".to_owned()), ..options(&server) };
    let found = source(good()).probe().await.unwrap().unwrap();
    assert!(found.is_good() && found.findings.len() == 3, "{found:?}");
    let wrong =
        AzureAuth { account_key: Some(Secret::new("aHVudGVyMg==")), ..AzureAuth::default() };
    let found = source(AzureBlobOptions { auth: wrong, ..good() }).probe().await.unwrap().unwrap();
    let told = format!("{found:?}");
    for expected in ["Storage Blob Data Reader", "Storage Queue Data Message Processor (Auth"] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    assert!(!found.is_good() && !told.contains("aHVudGVyMg"), "{told}");
    let ca = Some(PathBuf::from("/nowhere/ca.pem"));
    let told = source(AzureBlobOptions { ca, ..good() }).probe().await.unwrap().unwrap_err();
    assert!(told.contains("`ca` /nowhere/ca.pem"), "{told}");
    let error =
        AzureBlobSource::new("s", "azure.activity", AzureBlobOptions::default()).unwrap_err();
    assert!(error.message.contains("`account`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_may_not_be_read_does_not_hold_up_the_others() {
    let Some(server) = Azure::start() else { return };
    server.container("logs");
    server.put("logs", "a-secret.json", &lines(0..1));
    server.put("logs", "b.json", &lines(1..10));
    let behind = server.blob_endpoint();
    let behind = behind.strip_suffix(&format!("/{}", Azure::ACCOUNT)).unwrap();
    let url = front(behind, |asked| match asked.path.contains("secret") {
        true => Fate::Answer(403, String::new()),
        false => Fate::Pass,
    });
    let lake = Lake::default();
    let endpoint = Some(format!("{url}/{}", Azure::ACCOUNT));
    let running = lake.start(source(AzureBlobOptions { endpoint, ..options(&server) }));
    assert_eq!(running.wait_for(9).await, records(1..10));
    for n in 10..13 {
        server.put("logs", &format!("c-{n}.json"), &lines(n..n + 1));
        let soon = tokio::time::timeout(Duration::from_secs(5), running.wait_for(n)).await;
        assert_eq!(soon.expect("no pause grows"), records(1..n + 1));
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_name_holds_its_blob_is_read_under_that_name() {
    let Some(server) = Azure::start() else { return };
    server.container("logs");
    server.queue("news");
    for (n, name) in NAMES.iter().enumerate() {
        server.put("logs", name, &lines(n..n + 1));
    }
    let lake = Lake::default();
    let running = lake.start(source(options(&server)));
    assert_eq!(running.wait_for(NAMES.len()).await, records(0..NAMES.len()));
    let summary = running.stop().await.unwrap();
    assert_eq!((summary.opened, summary.rejects), (NAMES.len() as u64, 0));
    // The same, told of.
    NAMES.iter().for_each(|name| server.send("news", &created(name)));
    let told = AzureBlobOptions { queue: Some("news".to_owned()), ..options(&server) };
    let lake = Lake::default();
    let running = lake.start(source(told));
    assert_eq!(running.wait_for(NAMES.len()).await, records(0..NAMES.len()));
    assert_eq!(running.stop().await.unwrap().rejects, 0, "{:?}", lake.rejects.lock());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_access_signature_reads_blobs_and_queues_and_is_shown_to_nobody() {
    let Some(server) = Azure::start() else { return };
    server.container("logs");
    server.queue("news");
    for (n, name) in NAMES.iter().enumerate() {
        server.put("logs", name, &lines(n..n + 1));
        server.send("news", &created(name));
    }
    let with = |sas: &str, queue: Option<&str>| {
        let auth = AzureAuth { sas: Some(Secret::new(sas)), ..AzureAuth::default() };
        source(AzureBlobOptions { auth, queue: queue.map(str::to_owned), ..options(&server) })
    };
    let sas = Azure::shared_access();
    for queue in [None, Some("news")] {
        // As the portal shows it.
        let running = Lake::default().start(with(&format!("?{sas}"), queue));
        assert_eq!(running.wait_for(NAMES.len()).await, records(0..NAMES.len()));
        assert_eq!(running.stop().await.unwrap().rejects, 0);
    }
    let wrong = sas.replace("sp=rlup", "sp=rlu");
    let found = with(&wrong, Some("news")).probe().await.unwrap().unwrap();
    let (told, signature) = (format!("{found:?}"), sas.split("sig=").nth(1).unwrap());
    assert!(!found.is_good() && told.contains("lacks the role Storage Blob Data Reader"), "{told}");
    assert!(!told.contains(&signature[..10]), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_flow_logs_in_parquet_is_read() {
    let Some(server) = Azure::start() else { return };
    server.container("logs");
    server.put("logs", "flows", &parquet::file(2_000, 700));
    let lake = Lake::default();
    let flows = AzureBlobSource::new("test", "aws.vpcflow", options(&server)).unwrap();
    let running = lake.start(Box::new(flows));
    assert_eq!(running.wait_for(2_000).await, (0..2_000).map(parquet::flow).collect::<Vec<_>>());
    running.stop().await.unwrap();
    // Any other log that is Parquet is one dead letter.
    let lake = Lake::default();
    let running = lake.start(source(options(&server)));
    for _ in 0..3_000 {
        if !lake.rejects.lock().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let summary = running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (0, 1));
    assert!(lake.rejects.lock()[0].0.contains("flow logs alone"), "{:?}", lake.rejects.lock());
}
