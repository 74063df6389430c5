//! Passing single HTTP requests on, for what stands between a client and a server.

use std::io::{Error, Read as _, Write as _};
use std::net::TcpStream;

/// The server's whole answer, of a request that [`read_request`] gave.
pub(crate) fn ask(server: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(server)?;
    server.write_all(request)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}

/// A whole request, as one that asks for the connection to be closed after it.
pub(crate) fn read_request(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        more(client, &mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let value = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
    };
    assert!(value("transfer-encoding").is_none(), "bodies of unknown length are not passed on");
    let length: usize = value("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while bytes.len() < head_end + length {
        more(client, &mut bytes)?;
    }
    let kept =
        head.trim_end().lines().filter(|line| !line.to_lowercase().starts_with("connection:"));
    let mut request: Vec<&str> = kept.collect();
    request.extend(["connection: close", "", ""]);
    let mut request = request.join("\r\n").into_bytes();
    request.extend_from_slice(&bytes[head_end..]);
    Ok(request)
}

fn more(client: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    let mut chunk = [0; 16_384];
    match client.read(&mut chunk)? {
        0 => Err(Error::other("the client went away")),
        n => {
            bytes.extend_from_slice(&chunk[..n]);
            Ok(())
        }
    }
}
