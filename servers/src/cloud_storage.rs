//! An emulator of Google Cloud Storage with one bucket of the name `bucket`.

use std::process::Command;

use crate::http::http;
use crate::process::{Process, free_port, installed};

/// A running emulator.
#[derive(Debug)]
pub struct CloudStorage {
    _process: Process,
    address: String,
}

impl CloudStorage {
    /// `None`, said loudly, when it is not installed.
    pub fn start() -> Option<Self> {
        let program = installed("fake-gcs-server")?;
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(["-scheme", "http", "-host", "127.0.0.1", "-backend", "memory"]);
        command.args(["-port", &port.to_string(), "-public-host", &address]);
        let process = Process::start(&mut command, &address);
        let server = Self { _process: process, address };
        server.ask("POST", "/storage/v1/b?project=p", br#"{"name":"bucket"}"#);
        Some(server)
    }

    /// The URL of its interface.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Writes an object.
    pub fn put(&self, name: &str, body: &[u8]) {
        let name = name.replace('/', "%2F").replace(':', "%3A");
        let path = format!("/upload/storage/v1/b/bucket/o?uploadType=media&name={name}");
        self.ask("POST", &path, body);
    }

    fn ask(&self, verb: &str, path: &str, body: &[u8]) {
        let headers = "content-type: application/json\r\n";
        let (status, answer) = http(&self.address, verb, path, headers, body);
        assert_eq!(status, 200, "{verb} {path}: {}", String::from_utf8_lossy(&answer));
    }
}
