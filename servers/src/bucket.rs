//! Moto, an S3 emulator with conditional puts, with one bucket of the name `bucket`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use crate::process::{Process, free_port, installed};

/// A running emulator.
#[derive(Debug)]
pub struct Bucket {
    _process: Process,
    /// Where it listens, `host:port`.
    pub address: String,
}

impl Bucket {
    /// `None`, said loudly, when it is not installed.
    pub fn start() -> Option<Self> {
        let program = installed("moto_server")?;
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = Process::start(&mut command, &address);
        let bucket = Self { _process: process, address };
        bucket.create();
        Some(bucket)
    }

    /// The URL of its S3 interface.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn create(&self) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "PUT /bucket HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
