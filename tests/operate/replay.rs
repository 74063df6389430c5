//! What a rule that came too late finds in the lake is sent once, beside the running process and without it.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::{Hook, Site, free_port, rule};
use crate::support::{cloudtrail, mantissa, number, query, wait_until};

const MISSED: usize = 350;

fn args<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let times = ["replay", "--from", "2026-11-20", "--to", "2026-11-21", "--json", "--out", out];
    [&times[..], more].concat()
}

/// The process runs and has one rule; the lake has events that another one would match.
fn site() -> (Site, Hook) {
    let hook = Hook::start(free_port(), 200);
    let mut site = Site::new(&format!(
        "destinations:\n  hook:\n    webhook:\n      url: http://{}/\n      per_second_max: 1000\n",
        hook.address
    ));
    site.start();
    let names = [("Watched", 3), ("Missed", MISSED), ("Other", 5)];
    let events = names
        .into_iter()
        .flat_map(|(name, n)| (0..n).map(move |at| cloudtrail(&format!("{name}-{at}"), name)));
    site.append(&events.collect::<Vec<_>>());
    let all = (MISSED + 8) as i64;
    site.wait("the lake and what was found at once", |site| {
        let is_there = site.lake().join("_manifests").exists();
        is_there
            && hook.accepted().len() == 3
            && number(&site.lake(), "select count(*) as n from aws_cloudtrail") == all
    });
    (site, hook)
}

fn found(site: &Site, out: &str, more: &[&str]) -> Value {
    serde_json::from_str(&site.ok(&args(out, more)).out).unwrap()
}

/// Ids that the destination got; each once.
fn told(hook: &Hook) -> BTreeSet<String> {
    let accepted = hook.accepted();
    let ids: BTreeSet<_> = accepted.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids.len(), accepted.len(), "somebody was told twice");
    ids
}

/// Ids in the lake's table; each once.
fn listed(site: &Site) -> BTreeSet<String> {
    let rows = query(&site.lake(), "select alert_id from alerts");
    let ids: BTreeSet<_> =
        rows.iter().map(|row| row["alert_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), rows.len(), "an alert is in the table twice");
    ids
}

#[test]
fn what_a_late_rule_finds_is_sent_once_however_often_the_replay_is_killed() {
    let (mut site, hook) = site();
    std::fs::write(site.path("rules/missed.yml"), rule("Missed")).unwrap();

    // Looking sends nothing, and says where everything would go.
    let report = found(&site, "look", &["--dry-run"]);
    assert_eq!((&report["new"], &report["known"]), (&MISSED.into(), &3.into()), "{report}");
    let to = report["rules"].as_object().unwrap().values().find(|rule| rule["new"] != 0);
    assert_eq!(to.unwrap()["destinations"]["hook"], MISSED, "{report}");
    // So does a storm.
    let refused = site.command(&args("look", &["--send"]));
    assert!(refused.code != 0 && refused.err.contains("more than --max 100"), "{}", refused.err);
    let count = "select count(*) as n from alerts";
    assert_eq!((told(&hook).len(), number(&site.lake(), count)), (3, 3));

    let manifests = site.lake().join("_manifests/replay");
    for delay in [30, 120, 250, 0] {
        let all = args("sent", &["--send", "--max", "1000"]);
        let mut command = mantissa();
        command.args(all).current_dir(site.folder.path()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        match delay {
            // Some are sent and some are not.
            0 => wait_until("a part of it", Duration::from_secs(60), || {
                manifests.read_dir().is_ok_and(|mut listed| listed.next().is_some())
            }),
            ms => std::thread::sleep(Duration::from_millis(ms)),
        }
        let _ = child.kill(); // it may have been faster
        child.wait().unwrap();
    }
    let report = found(&site, "sent", &["--send", "--max", "1000"]);
    assert_eq!(report["sent"]["by_running"], true, "{report}");
    site.wait("everything", |_| hook.accepted().len() >= MISSED + 3);
    assert_eq!(told(&hook).len(), MISSED + 3);
    assert_eq!(listed(&site).len(), MISSED + 3);
    let late = "select count(*) as n from alerts where replayed and when_text like '%by a replay%'";
    assert_eq!(number(&site.lake(), late), MISSED as i64);
    let last: Value = serde_json::from_str(&hook.accepted().last().unwrap().1).unwrap();
    let data = &last["data"];
    assert_eq!(
        (&data["replayed"], &data["event_time"]),
        (&true.into(), &"2026-11-20T10:15:00Z".into())
    );
    assert!(data["facts"]["when"].as_str().unwrap().contains("later by a replay of the lake"));

    // The running process is killed as well, and reads everything again.
    site.signal("-KILL");
    site.child.take().unwrap().wait().unwrap();
    site.start();
    let report = found(&site, "again", &["--send"]);
    let known = MISSED + 3;
    assert_eq!((&report["new"], &report["known"]), (&0.into(), &known.into()), "{report}");
    site.stop();
    assert_eq!((told(&hook).len(), listed(&site).len()), (known, known));
    site.ok(&["lake", "verify", "--deep", "--lake", "lake"]);
}

#[test]
fn without_a_running_process_the_replay_delivers_itself() {
    let (mut site, hook) = site();
    site.stop();
    std::fs::write(site.path("other.yml"), rule("Other")).unwrap();
    let report = found(&site, "one", &["--rules", "other.yml", "--send"]);
    assert_eq!((&report["new"], &report["sent"]["alerts"]), (&5.into(), &5.into()), "{report}");
    assert_eq!(
        (&report["sent"]["by_running"], &report["sent"]["pending"]),
        (&false.into(), &0.into())
    );
    assert_eq!((told(&hook).len(), listed(&site).len()), (8, 8));
    let report = found(&site, "two", &["--rules", "other.yml", "--send"]);
    assert_eq!((&report["new"], &report["known"]), (&0.into(), &5.into()), "{report}");
    assert_eq!(told(&hook).len(), 8);
}
