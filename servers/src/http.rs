//! One HTTP request of a test to a server that it started.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// Status and body. HTTP/1.0, so that the answer comes in one piece.
pub fn http(address: &str, verb: &str, path: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "{verb} {path} HTTP/1.0\r\nhost: {address}\r\nconnection: close\r\n\
         content-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = BufReader::new(stream);
    let (mut status, mut length, mut line) = (None, None, String::new());
    while answer.read_line(&mut line).unwrap() > 0 && !line.trim().is_empty() {
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
        status = status.or_else(|| line.split(' ').nth(1)?.parse().ok());
        line.clear();
    }
    let mut body = Vec::new();
    // Some servers keep the connection whatever they are asked.
    answer.take(length.unwrap_or(u64::MAX)).read_to_end(&mut body).unwrap();
    (status.expect("an answer has a status"), body)
}

/// A name of an object as a path: percent-encoded, but for slashes, which stay wherever they are.
pub(crate) fn path_of(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}
