//! A proxy before an HTTP server that does to requests what networks and busy object stores do.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::passing::{ask, read_request};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// 503 with the code `SlowDown`; the server never hears of the request.
    SlowDown,
    /// The connection is reset before the request is read to its end.
    HalfRequest,
    /// The server does it, and the answer is 500.
    Failed,
    /// The server does it, and the connection is reset before the answer.
    AnswerLost,
    /// Half of the answer arrives.
    HalfAnswer,
    /// It takes long, so that what was asked later may be done before.
    Late,
    /// The connection is reset, and the server does it later all the same.
    AfterAll,
}

const ALL: [Fault; 7] = [
    Fault::SlowDown,
    Fault::HalfRequest,
    Fault::Failed,
    Fault::AnswerLost,
    Fault::HalfAnswer,
    Fault::Late,
    Fault::AfterAll,
];

#[derive(Debug)]
struct State {
    behind: String,
    /// Of a thousand requests.
    per_mille: AtomicU32,
    random: AtomicU64,
    done: Mutex<BTreeMap<Fault, u64>>,
    requests: AtomicU64,
}

/// A port of the loopback address behind which a server stands.
#[derive(Clone, Debug)]
pub struct Faults(Arc<State>);

impl Faults {
    /// Listens on a port and passes on to `behind`, at first without faults.
    pub fn start(port: u16, behind: &str, seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let state = Arc::new(State {
            behind: behind.to_owned(),
            per_mille: AtomicU32::new(0),
            random: AtomicU64::new(seed),
            done: Mutex::default(),
            requests: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&of_thread);
                // A request that fails by itself is one more fault.
                std::thread::spawn(move || state.serve(client));
            }
        });
        Self(state)
    }

    /// So many of a thousand requests meet a fault from now on.
    pub fn set(&self, per_mille: u32) {
        self.0.per_mille.store(per_mille, Ordering::Relaxed);
    }

    /// How often each fault happened.
    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        self.0.done.lock().unwrap().clone()
    }

    /// All requests so far, with those that met a fault.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }
}

impl State {
    fn below(&self, n: u64) -> u64 {
        let step = |x: u64| {
            x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
        };
        let before =
            self.random.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(step(x)));
        (step(before.unwrap_or_default()) >> 33) % n
    }

    fn fault(&self) -> Option<Fault> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let hit = self.below(1_000) < u64::from(self.per_mille.load(Ordering::Relaxed));
        let fault = hit.then(|| ALL[self.below(ALL.len() as u64) as usize])?;
        *self.done.lock().unwrap().entry(fault).or_default() += 1;
        Some(fault)
    }

    /// One request; the server's answer ends the connection.
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let fault = self.fault();
        if fault == Some(Fault::HalfRequest) {
            let mut some = [0; 700];
            let _ = client.read(&mut some)?;
            return reset(&client);
        }
        let request = read_request(&mut client)?;
        match fault {
            None | Some(Fault::HalfRequest) => client.write_all(&ask(&self.behind, &request)?),
            Some(Fault::SlowDown) => {
                let body = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code>\
                            <Message>Please reduce your request rate.</Message></Error>";
                refuse(&mut client, "503 Slow Down", body)
            }
            Some(Fault::Failed) => {
                ask(&self.behind, &request)?;
                let body = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code>\
                            <Message>We encountered an internal error.</Message></Error>";
                refuse(&mut client, "500 Internal Server Error", body)
            }
            Some(Fault::AnswerLost) => {
                ask(&self.behind, &request)?;
                reset(&client)
            }
            Some(Fault::HalfAnswer) => {
                let answer = ask(&self.behind, &request)?;
                client.write_all(&answer[..answer.len() / 2])?;
                client.shutdown(Shutdown::Both)
            }
            Some(Fault::Late) => {
                std::thread::sleep(Duration::from_millis(200 + self.below(1_800)));
                client.write_all(&ask(&self.behind, &request)?)
            }
            Some(Fault::AfterAll) => {
                reset(&client)?;
                std::thread::sleep(Duration::from_millis(200 + self.below(2_800)));
                ask(&self.behind, &request).map(drop)
            }
        }
    }
}

fn refuse(client: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    client.write_all((head + body).as_bytes())
}

/// Both directions at once, whatever was under way.
fn reset(client: &TcpStream) -> std::io::Result<()> {
    client.shutdown(Shutdown::Both)
}
