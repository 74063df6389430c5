use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::destinations::FileOptions;
use crate::outbox::Filter;
use crate::routing::SuppressConfig;
use crate::testing::{alert, outlet};

fn files(dir: &Path, names: &[&str]) -> BTreeMap<String, DestinationConfig> {
    let config = |name: &&str| {
        let file = FileOptions { path: dir.join(format!("{name}.ndjson")) };
        ((*name).to_owned(), DestinationConfig { file: Some(file), ..Default::default() })
    };
    names.iter().map(config).collect()
}

fn ids(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let id = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["alert_id"].as_str().unwrap().to_owned()
    };
    text.lines().map(id).collect()
}

fn id(n: u32) -> String {
    alert(n).alert_id.to_string()
}

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn everything_inserted_is_delivered_by_the_time_of_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&dir.path().join("outbox.redb")).unwrap();
    let configs = files(dir.path(), &["a", "b"]);
    let dispatcher = Dispatcher::start(outbox.clone(), &[], &configs, outlet()).unwrap();
    let alerts: Vec<_> = (0..700).map(alert).collect();
    for batch in alerts.chunks(100) {
        outbox.insert(batch).unwrap();
        dispatcher.notify();
    }
    assert_eq!(dispatcher.shutdown(DEADLINE).await, Summary::default());
    let mut expected: Vec<String> = (0..700).map(id).collect();
    expected.sort();
    for name in ["a", "b"] {
        let mut found = ids(&dir.path().join(format!("{name}.ndjson")));
        found.sort();
        assert_eq!(found, expected);
    }
}

/// What a process leaves that dies between sending and recording.
#[tokio::test]
async fn a_crash_between_send_and_record_repeats_nothing_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&dir.path().join("outbox.redb")).unwrap();
    let configs = files(dir.path(), &["a"]);
    outbox.insert(&[alert(1), alert(2)]).unwrap();
    let router = Router::new(&[], &["a".to_owned()]).unwrap();
    outbox.route(now(), 9, |alert| router.route(alert)).unwrap();
    let claims = outbox.claim("a", now(), 9).unwrap();
    let built = destinations::build(&configs).unwrap().remove(0);
    let sent = outlet().redact(&claims[0].alert, 0, false);
    assert_eq!(
        built.destination.deliver(std::slice::from_ref(&sent)).await,
        Answer::Accepted { reference: None }
    );
    drop((claims, built));

    let dispatcher = Dispatcher::start(outbox.clone(), &[], &configs, outlet()).unwrap();
    assert_eq!(dispatcher.shutdown(DEADLINE).await, Summary::default());
    let mut found = ids(&dir.path().join("a.ndjson"));
    found.sort();
    let mut expected = [id(1), id(2)];
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_dead_destination_does_not_block_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&dir.path().join("outbox.redb")).unwrap();
    let mut configs = files(dir.path(), &["good"]);
    configs.extend(files(&dir.path().join("missing"), &["dead"]));
    let dispatcher = Dispatcher::start(outbox.clone(), &[], &configs, outlet()).unwrap();
    outbox.insert(&(0..50).map(alert).collect::<Vec<_>>()).unwrap();
    let summary = dispatcher.shutdown(DEADLINE).await;
    assert_eq!(summary, Summary { unrouted: 0, pending: 50 }, "kept, not dropped");
    assert_eq!(ids(&dir.path().join("good.ndjson")).len(), 50);

    // The operator makes the folder and starts again.
    std::fs::create_dir(dir.path().join("missing")).unwrap();
    let dispatcher = Dispatcher::start(outbox.clone(), &[], &configs, outlet()).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await; // the first wait is one second at most
    assert_eq!(dispatcher.shutdown(DEADLINE).await, Summary::default());
    assert_eq!(ids(&dir.path().join("missing/dead.ndjson")).len(), 50);
    assert_eq!(ids(&dir.path().join("good.ndjson")).len(), 50, "not again");
}

#[tokio::test]
async fn suppression_is_told_by_the_next_alert() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&dir.path().join("outbox.redb")).unwrap();
    let route = RouteConfig {
        destinations: vec!["a".into()],
        suppress: Some(SuppressConfig { columns: vec![], window_s: 10 }),
        ..RouteConfig::default()
    };
    outbox.insert(&[alert(0), alert(3), alert(9), alert(10)]).unwrap();
    let configs = files(dir.path(), &["a"]);
    let dispatcher = Dispatcher::start(outbox.clone(), &[route], &configs, outlet()).unwrap();
    assert_eq!(dispatcher.shutdown(DEADLINE).await, Summary::default());
    let text = std::fs::read_to_string(dir.path().join("a.ndjson")).unwrap();
    let counts: BTreeMap<String, u64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|v| (v["alert_id"].as_str().unwrap().into(), v["suppressed_before"].as_u64().unwrap()))
        .collect();
    assert_eq!(counts, BTreeMap::from([(id(0), 0), (id(10), 2)]));
    let held = Filter { state: Some(StateName::Suppressed), ..Filter::default() };
    assert_eq!(outbox.list(&held).unwrap().len(), 2);
}

#[tokio::test]
async fn a_destination_that_is_gone_parks_what_it_had_and_may_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&dir.path().join("outbox.redb")).unwrap();
    let both = files(dir.path(), &["a", "b"]);
    outbox.insert(&[alert(1)]).unwrap();
    let router = Router::new(&[], &["a".to_owned(), "b".to_owned()]).unwrap();
    outbox.route(now(), 9, |alert| router.route(alert)).unwrap();

    let configs = files(dir.path(), &["a"]);
    let dispatcher = Dispatcher::start(outbox.clone(), &[], &configs, outlet()).unwrap();
    assert_eq!(dispatcher.shutdown(DEADLINE).await, Summary::default());
    let parked = Filter { state: Some(StateName::Parked), ..Filter::default() };
    assert_eq!(outbox.list(&parked).unwrap().len(), 1);

    assert_eq!(outbox.retry(None, now()).unwrap(), 1);
    let dispatcher = Dispatcher::start(outbox.clone(), &[], &both, outlet()).unwrap();
    assert_eq!(dispatcher.shutdown(DEADLINE).await, Summary::default());
    assert_eq!(ids(&dir.path().join("b.ndjson")), [id(1)]);
}

#[tokio::test]
async fn one_dispatcher_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&dir.path().join("outbox.redb")).unwrap();
    let configs = files(dir.path(), &["a"]);
    let first = Dispatcher::start(outbox.clone(), &[], &configs, outlet()).unwrap();
    let second = Dispatcher::start(outbox.clone(), &[], &configs, outlet());
    assert!(matches!(second, Err(StartError::Outbox(_))));
    first.shutdown(DEADLINE).await;
    Dispatcher::start(outbox, &[], &configs, outlet()).unwrap();
}

#[tokio::test]
async fn notifies_from_any_thread() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&dir.path().join("outbox.redb")).unwrap();
    let configs = files(dir.path(), &["a"]);
    let dispatcher = Dispatcher::start(outbox.clone(), &[], &configs, outlet()).unwrap();
    let notifier: Arc<Notify> = dispatcher.notifier();
    let insert = std::thread::spawn(move || {
        outbox.insert(&[alert(1)]).unwrap();
        notifier.notify_one();
    });
    insert.join().unwrap();
    let path = dir.path().join("a.ndjson");
    for _ in 0..2_000 {
        if ids(&path).len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ids(&path), [id(1)]);
    dispatcher.shutdown(DEADLINE).await;
}
