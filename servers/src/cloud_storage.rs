//! An emulator of Google Cloud Storage with one bucket of the name `bucket`.
//!
//! It speaks the JSON API whole, but of the XML API only what reads and deletes. A front turns a put of the XML API
//! with its precondition into one of the JSON API:
//!
//! ```text
//! PUT /bucket/NAME                        POST /upload/storage/v1/b/bucket/o
//! x-goog-if-generation-match: 0    ──►        ?uploadType=multipart&name=NAME&ifGenerationMatch=0
//! ```

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::http::{http, path_of};
use crate::passing::{ask, read_request};
use crate::process::{Process, free_port, installed};

/// A running emulator.
#[derive(Debug)]
pub struct CloudStorage {
    _process: Process,
    /// Of the emulator.
    address: String,
    /// Of the front before it.
    front: String,
}

impl CloudStorage {
    /// `None`, said loudly, when it is not installed.
    pub fn start() -> Option<Self> {
        let program = installed("fake-gcs-server")?;
        let port = free_port();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = listener.local_addr().unwrap().to_string();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(["-scheme", "http", "-host", "127.0.0.1", "-backend", "memory"]);
        command.args(["-port", &port.to_string(), "-public-host", &front]);
        let process = Process::start(&mut command, &address);
        let behind = address.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let behind = behind.clone();
                std::thread::spawn(move || serve(client, &behind));
            }
        });
        let server = Self { _process: process, address, front };
        server.ask("POST", "/storage/v1/b?project=p", br#"{"name":"bucket"}"#);
        Some(server)
    }

    /// The URL of its interface.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.front)
    }

    /// Writes an object, under any name.
    pub fn put(&self, name: &str, body: &[u8]) {
        let name = path_of(name).replace('/', "%2F");
        let path = format!("/upload/storage/v1/b/bucket/o?uploadType=media&name={name}");
        self.ask("POST", &path, body);
    }

    fn ask(&self, verb: &str, path: &str, body: &[u8]) {
        let headers = "content-type: application/json\r\n";
        let (status, answer) = http(&self.address, verb, path, headers, body);
        assert_eq!(status, 200, "{verb} {path}: {}", String::from_utf8_lossy(&answer));
    }
}

/// One request; its answer ends the connection.
fn serve(mut client: TcpStream, behind: &str) -> std::io::Result<()> {
    let request = read_request(&mut client)?;
    let end = request.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(request.len());
    let head = String::from_utf8_lossy(&request[..end]);
    let name = head.strip_prefix("PUT /bucket/").and_then(|rest| rest.split([' ', '?']).next());
    let Some(name) = name else { return client.write_all(&ask(behind, &request)?) };
    let condition = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case("x-goog-if-generation-match"))
        .map(|(_, value)| format!("&ifGenerationMatch={}", value.trim()))
        .unwrap_or_default();
    let path = format!("/upload/storage/v1/b/bucket/o?uploadType=multipart&name={name}{condition}");
    let kind = "content-type: multipart/related; boundary=PART\r\n";
    // Only an upload of this kind heeds the condition there.
    let before = b"--PART\r\ncontent-type: application/json\r\n\r\n{}\r\n\
                   --PART\r\ncontent-type: application/octet-stream\r\n\r\n";
    let body = [&before[..], &request[end + 4..], b"\r\n--PART--\r\n"].concat();
    let (status, answer) = http(behind, "POST", &path, kind, &body);
    let object: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
    let etag = object["etag"].as_str().unwrap_or_default().trim_matches('"');
    let length = if status == 200 { 0 } else { answer.len() };
    let head = format!(
        "HTTP/1.1 {status} -\r\netag: \"{etag}\"\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    client.write_all(&[head.as_bytes(), &answer[..length]].concat())
}
