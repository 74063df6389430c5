//! Against a stand-in for the vendor.

use std::collections::BTreeSet;

use servers::Falcon;
use servers::falcon::{CLIENT_ID, CLIENT_SECRET};

use super::*;
use crate::testing::{Lake, Running};

fn options(falcon: &Falcon) -> CrowdstrikeStreamsOptions {
    let _ = rustls::crypto::ring::default_provider().install_default();
    CrowdstrikeStreamsOptions {
        base_url: falcon.url.clone(),
        app_id: "mantissa".to_owned(),
        client_id: CLIENT_ID.to_owned(),
        client_secret: Secret::new(CLIENT_SECRET),
        ..CrowdstrikeStreamsOptions::default()
    }
}

fn start(lake: &Lake, options: CrowdstrikeStreamsOptions) -> Running {
    let source = CrowdstrikeStreamsSource::new("test", "crowdstrike.stream", options);
    lake.start(Box::new(source.unwrap()))
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not in time: {what}");
}

/// Waits until these came, each once.
async fn came(running: &Running, expected: &[String]) {
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(running.wait_for(expected.len()).await, expected);
}

fn reasons(lake: &Lake) -> Vec<String> {
    lake.rejects.lock().iter().map(|(reason, _)| reason.clone()).collect()
}

async fn tried_out(options: &CrowdstrikeStreamsOptions) -> Findings {
    probe::try_out(options).await.unwrap()
}

fn trouble(running: &Running) -> String {
    running.standing.take().trouble.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_once_however_connections_break_and_the_source_stops() {
    for (doubles, begins_behind) in [(false, false), (true, false), (false, true)] {
        let falcon = Falcon::start(2);
        falcon.weather(|w| (w.doubles, w.begins_behind) = (doubles, begins_behind));
        let lake = Lake::default();
        let mut expected = falcon.happen(0, 250);
        for _ in 0..2 {
            let running = start(&lake, options(&falcon));
            for partition in [0, 1] {
                expected.extend(falcon.happen(partition, 40));
                came(&running, &expected).await;
                falcon.cut();
            }
            running.stop().await.unwrap();
            // While nobody listens.
            expected.extend(falcon.happen(1, 20));
        }
        let running = start(&lake, options(&falcon));
        came(&running, &expected).await;
        running.stop().await.unwrap();
        assert_eq!(reasons(&lake), Vec::<String>::new(), "there was no gap");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_refreshed_before_it_ends_with_tokens_that_are_renewed() {
    let falcon = Falcon::start(1);
    falcon.weather(|w| (w.session_s, w.token_s) = (3, 2));
    let lake = Lake::default();
    let running = start(&lake, options(&falcon));
    let mut expected = Vec::new();
    until("refreshing", || {
        expected.extend(falcon.happen(0, 1));
        falcon.asked().refreshes >= 3
    })
    .await;
    came(&running, &expected).await;
    let asked = falcon.asked();
    // One that is not made to last is refreshed once at most.
    assert!(asked.refreshes > asked.listens, "a connection outlived its session: {asked:?}");
    assert!(asked.tokens >= 2, "{asked:?}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_be_refreshed_is_followed_by_another() {
    let falcon = Falcon::start(1);
    falcon.weather(|w| (w.session_s, w.refresh) = (2, Some(404)));
    let lake = Lake::default();
    let running = start(&lake, options(&falcon));
    let mut expected = Vec::new();
    until("connecting again", || {
        expected.extend(falcon.happen(0, 1));
        falcon.asked().listens >= 3
    })
    .await;
    came(&running, &expected).await;
    running.stop().await.unwrap();
    assert_eq!(reasons(&lake), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_vendor_has_forgotten_and_counting_anew_are_told() {
    let falcon = Falcon::start(1);
    let lake = Lake::default();
    let mut expected = falcon.happen(0, 10);
    let running = start(&lake, options(&falcon));
    came(&running, &expected).await;
    running.stop().await.unwrap();
    let lost = falcon.happen(0, 50);
    falcon.forget(20);
    expected.extend(lost[30..].iter().cloned());
    let running = start(&lake, options(&falcon));
    came(&running, &expected).await;
    let gaps = running.standing.take().gaps;
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let missing = "events may be missing here: the vendor";
    assert_eq!(
        reasons(&lake),
        [format!("{missing} no longer has what came after offset 10, and goes on at 41")]
    );
    // The vendor loses its count: lower offsets are new events all the same.
    falcon.renumber();
    expected.extend(falcon.happen(0, 10));
    came(&running, &expected).await;
    running.stop().await.unwrap();
    assert_eq!(reasons(&lake)[1..], [format!("{missing} counts anew, after offset 60 comes 1")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_no_event_stops_nothing_and_comes_once() {
    let falcon = Falcon::start(1);
    let lake = Lake::default();
    falcon.happen(0, 3);
    falcon.spoil(0);
    let running = start(&lake, options(&falcon));
    running.wait_for(4).await;
    falcon.cut();
    falcon.happen(0, 1);
    let records = running.wait_for(5).await;
    assert_eq!(records.iter().filter(|record| record.contains("<html>")).count(), 1);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_listen_is_told_why_in_words_without_secrets() {
    let falcon = Falcon::start(2);
    let lake = Lake::default();
    let first = start(&lake, options(&falcon));
    until("listening", || falcon.listeners() == 2).await;
    let says = |found: Findings| found.findings[0].trouble.clone().unwrap_or_default();
    // The name is taken.
    assert!(says(tried_out(&options(&falcon)).await).contains("no stream for app_id mantissa"));
    let second = Lake::default();
    let running = start(&second, options(&falcon));
    until("being told", || trouble(&running).contains("needs an app_id of its own")).await;
    // It is free as soon as the first one ends.
    first.stop().await.unwrap();
    until("listening", || falcon.listeners() == 2 && trouble(&running).is_empty()).await;
    running.stop().await.unwrap();
    let free = tried_out(&options(&falcon)).await;
    assert_eq!(free.findings[0].what, "2 partitions may be listened to");
    falcon.weather(|w| w.listen = Some(429));
    let running = start(&second, options(&falcon));
    until("being refused", || trouble(&running).contains("429: exceeded the number")).await;
    running.stop().await.unwrap();
    falcon.weather(|w| w.no_scope = true);
    assert!(says(tried_out(&options(&falcon)).await).contains("lacks the scope Event streams"));
    let wrong =
        CrowdstrikeStreamsOptions { client_secret: Secret::new("hunter3"), ..options(&falcon) };
    let said = says(tried_out(&wrong).await);
    assert_eq!(said, "no token: access denied, authorization failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_sign_of_life_is_opened_anew() {
    let falcon = Falcon::start(1);
    falcon.weather(|w| w.is_silent = true);
    let lake = Lake::default();
    let short = CrowdstrikeStreamsOptions { silence_ms_max: 1_000, ..options(&falcon) };
    let running = start(&lake, short);
    until("giving up", || falcon.asked().lists >= 2).await;
    falcon.cut();
    falcon.weather(|w| w.is_silent = false);
    let expected = falcon.happen(0, 5);
    came(&running, &expected).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_begins_is_decided_once() {
    let falcon = Falcon::start(1);
    let lake = Lake::default();
    falcon.happen(0, 10);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let latest = || CrowdstrikeStreamsOptions { from: "latest".to_owned(), ..options(&falcon) };
    let running = start(&lake, latest());
    until("listening", || falcon.listeners() == 1).await;
    running.stop().await.unwrap();
    // What happens before the next start is not older than the first.
    let expected = falcon.happen(0, 10);
    let running = start(&lake, latest());
    came(&running, &expected).await;
    running.stop().await.unwrap();
}

#[test]
fn options_that_cannot_be_used_are_told() {
    let good = || CrowdstrikeStreamsOptions {
        app_id: "mantissa1".to_owned(),
        client_id: "id".to_owned(),
        client_secret: Secret::new("hunter2"),
        ..CrowdstrikeStreamsOptions::default()
    };
    let fault = |change: fn(&mut CrowdstrikeStreamsOptions)| {
        let mut options = good();
        change(&mut options);
        let built = CrowdstrikeStreamsSource::new("s", "crowdstrike.stream", options);
        built.err().map(|e| e.message).unwrap_or_default()
    };
    assert_eq!(fault(|_| {}), "");
    let told: BTreeSet<String> = [
        fault(|o| o.app_id = "mantissa-log".to_owned()),
        fault(|o| o.app_id = "a".repeat(33)),
        fault(|o| o.app_id.clear()),
    ]
    .into();
    assert_eq!(told, ["`app_id` must be 1 to 32 letters and digits".to_owned()].into());
    assert!(fault(|o| o.base_url = "https://u:hunter2@x".to_owned()).starts_with("`base_url`"));
    assert!(fault(|o| o.client_secret = Secret::new(" ")).contains("must not be empty"));
    assert!(fault(|o| o.from = "now".to_owned()).contains("`from` is oldest"));
    assert!(fault(|o| o.silence_ms_max = 10).contains("at least 1000"));
}
