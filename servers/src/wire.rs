//! A wire to a server that can be cut and mended, so that the server is away without forgetting anything.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What goes through the wire; `None` while it is cut.
type Streams = Arc<Mutex<Option<Vec<TcpStream>>>>;

/// A port of the loopback address behind which a server stands.
#[derive(Debug)]
pub struct Wire {
    streams: Streams,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Wire {
    /// Listens on a port and passes on to `behind`.
    pub fn start(port: u16, behind: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let streams: Streams = Arc::new(Mutex::new(Some(Vec::new())));
        let (open, behind) = (streams.clone(), behind.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that cannot be served finds its connection closed.
                let _ = connect(&open, client, &behind);
            }
        });
        Self { streams }
    }

    /// Ends everything that goes through it; what comes is closed at once.
    pub fn cut(&self) {
        for stream in self.streams.lock().unwrap().take().into_iter().flatten() {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.streams.lock().unwrap().get_or_insert_default();
    }
}

fn connect(open: &Streams, client: TcpStream, behind: &str) -> std::io::Result<()> {
    let mut open = open.lock().unwrap();
    let Some(open) = &mut *open else { return Ok(()) };
    let server = TcpStream::connect(behind)?;
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        open.push(from.try_clone()?);
        std::thread::spawn(move || {
            // However it ends, both ends learn of it.
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}
