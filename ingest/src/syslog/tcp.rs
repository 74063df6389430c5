//! Connections: so many at once, each read only as fast as its messages are kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::split::{Framing, Splitter};
use super::{Entry, Keeper};
use crate::tls::Tls;

/// A client that takes longer for its handshake is let go.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
/// After a connection could not be accepted, which is mostly for want of file handles.
const PAUSE: Duration = Duration::from_millis(100);
/// A connection that is silent for this long is asked whether its other end is there.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 64 << 10;

pub(super) fn room(connections_max: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(connections_max.clamp(1, Semaphore::MAX_PERMITS)))
}

/// What the connections of a source have in common.
#[derive(Clone)]
pub(super) struct Server {
    pub tls: Option<Tls>,
    pub framing: Framing,
    pub max: usize,
    pub room: Arc<Semaphore>,
    pub keeper: Keeper,
}

impl Server {
    /// Until the shutdown, and then until every connection has kept what it read.
    pub async fn run(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        let mut shutdown = self.keeper.shutdown.clone();
        loop {
            let accepted = async {
                let permit = self.room.clone().acquire_owned().await.ok();
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accepted => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                () = shutdown.requested() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let server = self.clone();
                    connections.spawn(async move {
                        server.greet(stream, peer).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    self.keeper.meter.error();
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn greet(self, stream: TcpStream, peer: SocketAddr) {
        // A sender may be silent for days, and must not be told apart by that from one that is gone.
        let probe = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_AFTER);
        if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&probe) {
            tracing::debug!(%peer, %error, "a connection is not watched");
        }
        let Some(tls) = &self.tls else { return self.read(stream, peer).await };
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, tls.acceptor().accept(stream));
        match handshake.await {
            Ok(Ok(stream)) => self.read(stream, peer).await,
            Ok(Err(error)) => {
                self.keeper.meter.error();
                tracing::warn!(%peer, %error, "a client was refused before it said anything");
            }
            Err(_) => self.keeper.meter.error(),
        }
    }

    async fn read(mut self, mut stream: impl AsyncRead + Unpin, peer: SocketAddr) {
        let mut splitter = Splitter::new(self.framing, self.max);
        let mut entry = Entry::new(&peer.ip().to_canonical().to_string());
        let mut buffer = vec![0; READ_BYTES];
        let mut shutdown = self.keeper.shutdown.clone();
        loop {
            let read = tokio::select! {
                read = stream.read(&mut buffer) => read,
                () = shutdown.requested() => break,
            };
            match read {
                Ok(0) => break,
                Ok(count) => splitter.push(&buffer[..count], &mut entry),
                Err(error) => {
                    tracing::debug!(%peer, %error, "a connection has ended badly");
                    break;
                }
            }
            self.keeper.keep(&mut entry).await;
            if splitter.is_lost() {
                // Where the next message begins cannot be known; the sender makes another connection.
                self.keeper.meter.error();
                tracing::warn!(%peer, "what a sender sends cannot be told apart; it is disconnected");
                return;
            }
        }
        splitter.finish(&mut entry);
        self.keeper.keep(&mut entry).await;
    }
}
