//! Who gets which alert, and what is held back: by level, rule, source, and by what repeats.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{BASE, Hook, Site, alerts_in, free_port, rule};
use crate::support::{cloudtrail, number, request};

/// A CloudTrail event of this name by this user.
fn by(id: &str, name: &str, user: &str) -> String {
    cloudtrail(id, name).replace("\"userName\":\"ada\"", &format!("\"userName\":\"{user}\""))
}

fn body(accepted: &(String, String)) -> Value {
    serde_json::from_str::<Value>(&accepted.1).unwrap()["data"].clone()
}

#[test]
fn repetitions_are_held_back_for_a_time_and_counted() {
    let hook = Hook::start(free_port(), 200);
    let mut site = Site::new(&format!(
        "destinations:\n  hook:\n    webhook:\n      url: http://{}/\n      per_second_max: 1000\n\
         routes:\n  - destinations: [hook]\n    suppress:\n      columns: [actor_name]\n      \
         window_s: 4\n",
        hook.address
    ));
    site.start();
    site.append(&[
        by("1", "Watched", "ada"),
        by("2", "Watched", "ada"),
        by("3", "Watched", "ada"),
        by("4", "Watched", "bob"),
    ]);
    site.wait("two that went out and two held back", |site| {
        let states = site.deliveries();
        states.get("sent") == Some(&2) && states.get("suppressed") == Some(&2)
    });
    let users: Vec<_> =
        hook.accepted().iter().map(|a| body(a)["event"]["actor_name"].clone()).collect();
    assert!(users.contains(&"ada".into()) && users.contains(&"bob".into()), "{users:?}");
    let suppressed = "mantissa_deliveries_total{destination=\"hook\",outcome=\"suppressed\"}";
    site.wait("the metric", |site| site.metric(suppressed) == 2.0);

    // After the window the next one goes out and says how many were held back.
    std::thread::sleep(std::time::Duration::from_secs(5));
    site.append(&[by("5", "Watched", "ada")]);
    site.wait("the next one", |_| hook.accepted().len() == 3);
    let last = body(&hook.accepted()[2]);
    assert_eq!(last["suppressed_before"], 2, "{last}");
    assert_eq!(last["event"]["actor_name"], "ada");
    site.stop();
    assert_eq!(number(&site.lake(), "select count(*) as n from alerts"), 5, "all are kept");
}

#[test]
fn routes_choose_by_level_rule_and_source() {
    let files = ["urgent", "special", "rest", "never"];
    let file = |name: &&str| format!("  {name}:\n    file:\n      path: ./{name}.ndjson\n");
    let destinations: String = files.iter().map(file).collect();
    let mut site = Site::new(&format!(
        "destinations:\n{destinations}routes:\n  - level_min: high\n    destinations: [urgent]\n  \
         - rules: [\"saw spec*\"]\n    continue: true\n    destinations: [special]\n  \
         - sources: [other]\n    destinations: [never]\n  \
         - default: true\n    destinations: [rest]\n"
    ));
    for name in ["Minor", "Special"] {
        let low = rule(name).replace("level: high", "level: low");
        std::fs::write(site.path(&format!("rules/{name}.yml")), low).unwrap();
    }
    site.start();
    let names = ["Watched", "Minor", "Special"];
    site.append(&names.map(|name| cloudtrail(name, name)));
    let expected = [("urgent", "Saw Watched"), ("special", "Saw Special"), ("rest", "Saw Minor")];
    for (name, title) in expected {
        site.wait(name, |site| !alerts_in(&site.path(&format!("{name}.ndjson"))).is_empty());
        let alerts = alerts_in(&site.path(&format!("{name}.ndjson")));
        assert_eq!((alerts.len(), &alerts[0]["title"]), (1, &title.into()), "{name}");
    }
    site.stop();
    assert!(!site.path("never.ndjson").exists());
}

/// A Slack channel's webhook: the header texts of what was posted to it.
fn channel() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let posted: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&posted);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                while let Some((_, body)) = request(&mut stream) {
                    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
                    let text = message["blocks"][0]["text"]["text"].as_str().unwrap_or_default();
                    log.lock().unwrap().push(text.to_owned());
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, posted)
}

#[test]
fn slack_channels_are_chosen_by_level_and_rule() {
    let [general, urgent, special] = [(); 3].map(|()| channel());
    let mut site = Site::with(&format!(
        "{BASE}destinations:\n  chat:\n    slack:\n      \
         webhook_url: http://127.0.0.1:{}/services/T0/B0/general\n      channels:\n        \
         urgent: http://127.0.0.1:{}/services/T0/B0/urgent\n        \
         special: http://127.0.0.1:{}/services/T0/B0/special\n      channel_routes:\n        \
         - {{level_min: high, channel: urgent}}\n        \
         - {{rules: [\"Saw Spec*\"], channel: special}}\n      per_second_max: 100\n",
        general.0, urgent.0, special.0
    ));
    for name in ["Minor", "Special"] {
        let low = rule(name).replace("level: high", "level: low");
        std::fs::write(site.path(&format!("rules/{name}.yml")), low).unwrap();
    }
    site.start();
    site.append(&["Watched", "Minor", "Special"].map(|name| cloudtrail(name, name)));
    let expected = [
        (general.1, "🔵 LOW: Saw Minor"),
        (urgent.1, "🟠 HIGH: Saw Watched"),
        (special.1, "🔵 LOW: Saw Special"),
    ];
    for (posted, title) in &expected {
        site.wait(title, |_| !posted.lock().unwrap().is_empty());
    }
    site.stop();
    for (posted, title) in &expected {
        assert_eq!(*posted.lock().unwrap(), [*title]);
    }
}
