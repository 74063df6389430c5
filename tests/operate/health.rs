//! `/readyz` names the part that is in trouble, stays ready for intake, and is well again afterwards.

use std::net::TcpListener;
use std::process::Stdio;

use super::{Hook, Site, free_port};
use crate::support::{cloudtrail, mantissa, skipped, wait_until};

fn watched(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| cloudtrail(&format!("h-{n}"), "Watched")).collect()
}

fn well(site: &Site, check: &str) -> f64 {
    site.metric(&format!("mantissa_health_ok{{check=\"{check}\"}}"))
}

#[test]
fn a_destination_that_is_down_is_named_until_it_works_again() {
    let port = free_port();
    let mut site = Site::new(&format!(
        "destinations:\n  hook:\n    webhook:\n      url: http://127.0.0.1:{port}/s3cret-path\n      \
         per_second_max: 1000\n"
    ));
    site.start();
    for name in
        ["process", "lake", "outbox", "delivery", "rules", "source tail", "destination hook"]
    {
        site.wait(name, |site| site.check(name).1 == "ok" && well(site, name) == 1.0);
    }
    site.append(&watched(0..10));
    let name = "destination hook";
    site.wait("a degraded destination", |site| site.check(name).1 == "degraded");
    let (status, _, reason) = site.check(name);
    assert_eq!(status, 200, "a destination that is down does not stop intake");
    assert!(reason.contains("alerts wait") && !reason.contains("s3cret-path"), "{reason}");
    site.wait("the metric", |site| well(site, name) == 0.0);

    let hook = Hook::start(port, 200);
    site.wait("all alerts", |_| hook.accepted().len() == 10);
    site.wait("a destination that works", |site| site.check(name).1 == "ok");
    site.wait("the metric", |site| well(site, name) == 1.0);
    site.stop();
}

#[test]
fn a_source_that_has_stopped_is_named_and_the_others_go_on() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let push = format!(
        "  push:\n    log_type: okta.system\n    http:\n      listen: 127.0.0.1:{port}\n      \
         tokens: [t0ken]\n"
    );
    let mut site = Site::new(&push);
    site.start();
    site.wait("a degraded source", |site| site.check("source push").1 == "degraded");
    let (status, _, reason) = site.check("source push");
    assert!(status == 200 && reason.starts_with("has stopped: "), "{status} {reason}");
    site.append(&watched(0..3));
    site.wait("the other's events", |site| site.metric("mantissa_events_stored_total") >= 3.0);
    assert_eq!(site.check("source tail").1, "ok");
}

#[test]
fn a_process_that_is_stopping_is_not_ready() {
    // The hook never answers, so that the stop takes its time.
    let port = free_port();
    let silent = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut site = Site::new(&format!(
        "destinations:\n  hook:\n    webhook:\n      url: http://127.0.0.1:{port}/\n"
    ));
    site.start();
    site.append(&watched(0..1));
    site.wait("a pending alert", |site| site.deliveries().get("pending") == Some(&1));
    site.signal("-TERM");
    site.wait("503 of /readyz", |site| site.get("/readyz", "").0 == 503);
    let (_, condition, reason) = site.check("process");
    assert_eq!((condition.as_str(), reason.as_str()), ("failed", "is stopping"));
    drop(silent);
}

#[test]
fn a_terminal_shows_how_far_behind() {
    let mut site = Site::new("");
    // Of a day that is long gone on every clock.
    let old = |line: String| line.replace("2026-11-20", "2020-01-01");
    site.append(&watched(0..5).into_iter().map(old).collect::<Vec<_>>());
    let script = std::process::Command::new("script").arg("--version").output();
    if script.is_err() {
        skipped("no program `script` to make a terminal with");
        return;
    }
    let (program, screen) = (mantissa(), site.path("screen"));
    let program = program.get_program().to_str().unwrap();
    // Its own number, because the terminal's end alone would only be a SIGHUP.
    let command = format!("echo $$ > number; exec {program} run");
    let child = std::process::Command::new("script")
        .args(["-qfec", &command])
        .arg(&screen)
        .current_dir(site.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    site.child = Some(child);
    wait_until("a line with the delay", super::WAIT, || {
        let shown = std::fs::read(&screen).unwrap_or_default();
        let shown = String::from_utf8_lossy(&shown);
        let line = shown.split('\r').find(|line| line.contains(" behind")).unwrap_or_default();
        line.contains("5 records") && line.contains("5 alerts") && line.contains(" d behind")
    });
    let number = std::fs::read_to_string(site.path("number")).unwrap();
    let sent = std::process::Command::new("kill").arg(number.trim()).status().unwrap();
    assert!(sent.success());
    let mut terminal = site.child.take().expect("it was started");
    assert!(terminal.wait().unwrap().success());
}
