//! An HTTP server that misbehaves as told, one step for each request, then well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does with one request.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// 200 `ok`.
    Ok,
    /// This status, with further header lines; the body shows the path, as many servers do.
    Status(u16, &'static str),
    /// 200 with bytes that mean nothing.
    GarbageBody,
    /// 200 `ok`, a byte at a time.
    Slow,
    /// No answer; the client must lose patience.
    Hang,
    /// The connection ends within the status line.
    HalfHead,
    /// The connection ends within the body of this status.
    HalfBody(u16),
    /// What comes back is not HTTP.
    Garbage,
    /// The connection is reset while the request is read.
    Reset,
    /// The connection is closed before anything is read.
    Close,
}

#[derive(Clone, Debug)]
pub struct Request {
    /// Request line and headers.
    pub head: String,
    pub body: String,
    pub at: Instant,
    pub step: Step,
}

pub struct Server {
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(script: &[Step]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, script) = (requests.clone(), script.to_vec());
        let task = tokio::spawn(async move {
            let mut steps = script.into_iter();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let step = steps.next().unwrap_or(Step::Ok);
                tokio::spawn(serve(stream, step, log.clone()));
            }
        });
        Self { port, requests, task }
    }

    /// What came so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, step: Step, log: Arc<Mutex<Vec<Request>>>) {
    let at = Instant::now();
    if let Step::Close = step {
        log.lock().push(Request { head: String::new(), body: String::new(), at, step });
        return;
    }
    if let Step::Reset = step {
        // Closing a socket whose input is not read resets it.
        let _ = stream.read(&mut [0; 16]).await;
        log.lock().push(Request { head: String::new(), body: String::new(), at, step });
        return;
    }
    let Some((head, body)) = read(&mut stream).await else { return };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    log.lock().push(Request { head, body, at, step });
    match step {
        Step::Ok => answer(&mut stream, 200, "", b"ok").await,
        Step::Status(status, lines) => {
            let body = format!("cannot post to {path}");
            answer(&mut stream, status, lines, body.as_bytes()).await;
        }
        Step::GarbageBody => answer(&mut stream, 200, "", b"\x00\xff\xfe<html>\x1b[2J").await,
        Step::Slow => {
            for byte in response(200, "", b"ok") {
                write(&mut stream, &[byte]).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Step::Hang => tokio::time::sleep(Duration::from_secs(60)).await,
        Step::HalfHead => write(&mut stream, b"HTTP/1.1 20").await,
        Step::HalfBody(status) => {
            let whole = response(status, "", b"ok");
            write(&mut stream, &whole[..whole.len() - 1]).await;
        }
        Step::Garbage => write(&mut stream, b"\x16\x03\x01 what?\r\n\r\n").await,
        Step::Close | Step::Reset => {}
    }
}

fn response(status: u16, lines: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Said\r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

async fn answer(stream: &mut TcpStream, status: u16, lines: &str, body: &[u8]) {
    write(stream, &response(status, lines, body)).await;
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await; // the client may have gone
    let _ = stream.flush().await;
}

async fn read(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |n| n.parse().unwrap());
        if bytes.len() >= end + 4 + length {
            return Some((head, String::from_utf8(bytes[end + 4..].to_vec()).unwrap()));
        }
    }
}
