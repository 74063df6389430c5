//! A disk that fills up: intake waits, `/readyz` says why, and nothing is lost.

use std::collections::BTreeSet;

use super::{Hook, Site, free_port};
use crate::support::{Small, cloudtrail, fill, number, ok};

fn events(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| cloudtrail(&format!("e-{n}"), "ListUsers")).collect()
}

#[test]
fn a_full_disk_stops_the_stream_and_loses_nothing() {
    let config = super::BASE.replace("url: ./lake", "url: ./small/lake");
    let mut site = Site::with(&format!("state_dir: ./state\n{config}"));
    let Some(small) = Small::mount(&site.path("small"), "2m") else { return };
    let (lake, filler) = (small.0.join("lake"), small.0.join("filler"));
    site.start();
    site.append(&events(0..20));
    site.wait("the first commit", |site| site.metric("mantissa_events_stored_total") == 20.0);

    fill(&filler);
    site.append(&events(20..300));
    site.wait("a degraded lake", |site| site.check("lake").1 == "degraded");
    let (status, _, reason) = site.check("lake");
    assert_eq!(status, 200, "what arrives is still taken");
    site.wait("the metric", |site| site.metric("mantissa_health_ok{check=\"lake\"}") == 0.0);
    assert!(reason.to_lowercase().contains("space"), "says why: {reason}");
    assert_eq!(site.get("/livez", "").0, 200, "a restart would not help");
    site.append(&events(300..400));
    site.wait("a second attempt", |site| site.metric("mantissa_commit_failures_total") >= 2.0);
    assert_eq!(site.metric("mantissa_events_stored_total"), 20.0);

    std::fs::remove_file(&filler).unwrap();
    site.wait("all commits", |site| site.metric("mantissa_events_stored_total") == 400.0);
    site.wait("a lake that is well", |site| site.check("lake").1 == "ok");
    site.wait("the metric", |site| site.metric("mantissa_health_ok{check=\"lake\"}") == 1.0);
    site.stop();
    assert_eq!(number(&lake, "select count(distinct event_uid) as n from events"), 400);
    assert_eq!(number(&lake, "select count(*) as n from events"), 400);
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}

/// The lake, and the outbox in it as by default, on a disk of 8 MB; alerts go to `hook`.
pub fn site_on_small_disk(hook: &Hook) -> Option<(Site, Small)> {
    let config = super::BASE.replace("url: ./lake", "url: ./small/lake");
    let site = Site::with(&format!(
        "{config}destinations:\n  hook:\n    webhook:\n      url: http://{}/\n      \
         per_second_max: 5000\n",
        hook.address
    ));
    let small = Small::mount(&site.path("small"), "8m")?;
    Some((site, small))
}

#[test]
fn a_full_disk_holds_alerts_back_and_loses_none() {
    let hook = Hook::start(free_port(), 200);
    let Some((mut site, small)) = site_on_small_disk(&hook) else { return };
    let (lake, filler) = (small.0.join("lake"), small.0.join("filler"));
    let watched = |range: std::ops::Range<usize>| -> Vec<String> {
        range.map(|n| cloudtrail(&format!("w-{n}"), "Watched")).collect()
    };
    site.start();
    site.append(&watched(0..10));
    site.wait("the first alerts", |_| hook.accepted().len() == 10);
    site.wait("their commit", |site| site.metric("mantissa_events_stored_total") == 10.0);

    fill(&filler);
    let mut next = 10;
    // The outbox has some room of its own: more alerts until that is gone too.
    site.wait("a degraded outbox", |site| {
        if next < 4_000 {
            site.append(&watched(next..next + 100));
            next += 100;
        }
        let (status, condition, reason) = site.check("outbox");
        status == 200 && condition == "degraded" && reason.to_lowercase().contains("space")
    });

    std::fs::remove_file(&filler).unwrap();
    site.wait("all commits", |site| site.metric("mantissa_events_stored_total") == next as f64);
    site.wait("an outbox that is well", |site| site.check("outbox").1 == "ok");
    site.wait("every alert", |_| hook.accepted().len() >= next);
    site.stop();
    let ids: BTreeSet<String> = hook.accepted().into_iter().map(|(id, _)| id).collect();
    assert_eq!((ids.len(), hook.accepted().len()), (next, next));
    assert_eq!(number(&lake, "select count(*) as n from events"), next as i64);
    assert_eq!(number(&lake, "select count(distinct alert_id) as n from alerts"), next as i64);
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}
