//! Health, metrics and the live tap of a running process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use super::{Site, WAIT, free_port};
use crate::support::{cloudtrail, mantissa, skipped};

const TOKEN: &str = "c0nsole-t0ken";

/// Metrics that dashboards and alarms build on.
const FAMILIES: [&str; 19] = [
    "mantissa_records_received_total",
    "mantissa_events_stored_total",
    "mantissa_duplicates_total",
    "mantissa_dead_letters_total",
    "mantissa_epochs_total",
    "mantissa_lake_bytes_total",
    "mantissa_commit_failures_total",
    "mantissa_alerts_total",
    "mantissa_deliveries_total",
    "mantissa_outbox_pending",
    "mantissa_source_records_total",
    "mantissa_rule_reloads_total",
    "mantissa_rules_loaded",
    "mantissa_rules_dead",
    "mantissa_rules_blind",
    "mantissa_health_ok",
    "mantissa_event_delay_seconds",
    "mantissa_source_lag_bytes",
    "mantissa_build_info",
];

/// `mantissa tap` and the lines that it prints.
fn tap(site: &Site, args: &[&str]) -> (Child, mpsc::Receiver<String>) {
    let mut child = mantissa()
        .args(["tap", "--url", &format!("http://127.0.0.1:{}", site.console), "--token", TOKEN])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    (child, lines)
}

/// What `promtool` objects to; nothing where it is not installed.
fn promtool(metrics: &str) -> String {
    let child = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        skipped("promtool is not installed; our own lint alone judges the metrics");
        return String::new();
    };
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => String::new(),
        false => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    }
}

#[test]
fn the_console_shows_health_metrics_and_the_tap() {
    let hook = super::Hook::start(free_port(), 200);
    let mut site = Site::new(&format!(
        "console:\n  listen: CONSOLE\n  token: {TOKEN}\ndestinations:\n  hook:\n    webhook:\n      \
         url: http://{}/\n",
        hook.address
    ));
    site.start();
    assert_eq!(site.get("/livez", "").0, 200);
    for name in ["lake", "rules"] {
        site.wait(name, |site| site.check(name).1 == "ok");
    }
    for path in ["/metrics", "/v1/tap/events", "/v1/tap/matches", "/v1/openapi.json", "/v1/rules"] {
        assert_eq!((site.get(path, "").0, site.get(path, "wrong").0), (401, 401), "{path}");
    }
    let url = format!("http://127.0.0.1:{}", site.console);
    let said = site.command(&["tap", "events", "--url", &url]);
    assert!(said.code != 0 && said.err.contains("401"), "{}", said.err);

    let (mut events, event_lines) = tap(&site, &["events"]);
    let (mut matches, match_lines) = tap(&site, &["matches"]);
    site.wait("two watchers", |site| {
        let (_, text) = site.get("/metrics", TOKEN);
        text.lines().any(|line| line == "mantissa_tap_watchers 2")
    });
    site.append(&[cloudtrail("tapped", "Watched")]);
    let event = event_lines.recv_timeout(WAIT).expect("the tap shows the event");
    let matched = match_lines.recv_timeout(WAIT).expect("the tap shows the match");
    for line in [&event, &matched] {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
    assert!(event.contains("Watched") && event.contains("aws.cloudtrail"), "{event}");
    assert!(matched.contains("Saw Watched"), "{matched}");
    for child in [&mut events, &mut matches] {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    site.wait("the delivery", |_| hook.accepted().len() == 1);
    let mut text = String::new();
    site.wait("every family of metrics", |site| {
        text = site.get("/metrics", TOKEN).1;
        FAMILIES.iter().all(|family| text.contains(&format!("# HELP {family} ")))
            && text.lines().any(|line| line == "mantissa_records_received_total 1")
    });
    assert_eq!(console::lint(&text), Vec::<String>::new(), "{text}");
    assert_eq!(promtool(&text), "");
    assert!(!text.contains(TOKEN) && !text.contains(&hook.address.to_string()), "{text}");
    site.stop();
}
