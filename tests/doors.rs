//! A stand-in for the made-up vendor of docs/add-a-poll-source.md.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::request;

/// A running vendor; it serves until the test process ends.
pub struct Doors {
    pub url: String,
    answers: Arc<AtomicUsize>,
}

/// Events of the last hours, newest first, as the vendor gives them.
fn events(count: i64) -> Vec<serde_json::Value> {
    let now = chrono::Utc::now();
    let event = |n: i64| {
        let opened_at = now - chrono::Duration::seconds(20 * (n + 1));
        let opened_at = opened_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        serde_json::json!({"id": format!("d{n}"), "opened_at": opened_at, "person": "ada", "door": "vault"})
    };
    (0..count).map(event).collect()
}

impl Doors {
    pub fn start(count: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let (events, answers) = (events(count), Arc::new(AtomicUsize::new(0)));
        let counting = Arc::clone(&answers);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let Some((head, _)) = request(&mut stream) else { continue };
                let n = counting.fetch_add(1, Ordering::Relaxed);
                say(&mut stream, n, answer(&head, &events));
            }
        });
        Self { url, answers }
    }

    /// How often it was asked.
    pub fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }
}

fn say(stream: &mut TcpStream, n: usize, (status, body): (&str, String)) {
    // Every seventh answer breaks off, every eleventh is a web page.
    let (len, body) = match n {
        _ if n % 7 == 6 => (body.len(), &body[..body.len() / 2]),
        _ if n % 11 == 10 => (19, "<html>Wait</html>\r\n"),
        _ => (body.len(), body.as_str()),
    };
    let head = "content-type: application/json\r\nconnection: close";
    let _ = write!(stream, "HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {len}\r\n\r\n{body}");
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
    let size = value("size").and_then(|size| size.parse::<usize>().ok());
    let (Some(after), Some(before), Some(size), "/v2/sites/7/events") =
        (value("after"), value("before"), size, path)
    else {
        return ("400 Bad Request", r#"{"error":"bad_request"}"#.to_owned());
    };
    let time = |text: &str| text.replace("%3a", ":").to_uppercase();
    let (after, before) = (time(after), time(before));
    let is_inside = |event: &&serde_json::Value| {
        let at = event["opened_at"].as_str().expect("a time");
        after.as_str() <= at && at <= before.as_str()
    };
    let found: Vec<_> = events.iter().filter(is_inside).collect();
    let offset: usize = value("page").and_then(|page| page.parse().ok()).unwrap_or(0);
    let some = &found[offset.min(found.len())..found.len().min(offset + size)];
    let next = (offset + size < found.len()).then(|| (offset + size).to_string());
    ("200 OK", serde_json::json!({"events": some, "paging": {"next": next}}).to_string())
}
