//! A stand-in for the made-up vendor of docs/add-a-poll-source.md.

use std::io::Write as _;
use std::net::TcpListener;

use crate::support::request;

/// Events of the last hours, newest first, as the vendor gives them.
fn events() -> Vec<serde_json::Value> {
    let now = chrono::Utc::now();
    let event = |n: i64| {
        let opened_at = now - chrono::Duration::minutes(7 * (n + 1));
        let opened_at = opened_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        serde_json::json!({"id": format!("d{n}"), "opened_at": opened_at, "person": "ada", "door": "vault"})
    };
    (0..5).map(event).collect()
}

/// Serves until the test process ends; its address.
pub fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it has an address"));
    let events = events();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let Some((head, _)) = request(&mut stream) else { continue };
            let (status, body) = answer(&head, &events);
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    url
}

/// The head is in lower case.
fn answer(head: &str, events: &[serde_json::Value]) -> (&'static str, String) {
    let line = head.lines().next().unwrap_or_default();
    let target = line.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !head.contains("authorization: bearer example") {
        return ("403 Forbidden", r#"{"error":"no_scope"}"#.to_owned());
    }
    let value =
        |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    let (Some(_), Some(_), Some("2"), "/v2/sites/7/events") =
        (value("after"), value("before"), value("size"), path)
    else {
        return ("400 Bad Request", r#"{"error":"bad_request"}"#.to_owned());
    };
    let offset: usize = value("page").and_then(|page| page.parse().ok()).unwrap_or(0);
    let some = &events[offset.min(events.len())..events.len().min(offset + 2)];
    let next = (offset + 2 < events.len()).then(|| (offset + 2).to_string());
    ("200 OK", serde_json::json!({"events": some, "paging": {"next": next}}).to_string())
}
