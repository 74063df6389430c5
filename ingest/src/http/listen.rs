//! A listener with bounds: so many connections at once, none of them silent for ever, with TLS when it
//! is configured. The handshake is part of a connection's first read, so that a client that takes its
//! time holds up nobody else.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use crate::tls::Tls;

/// A connection on which nothing moves for this long is closed. Senders that keep one open make
/// another.
const SILENCE_MAX: Duration = Duration::from_secs(120);

pub(super) struct Limited {
    inner: TcpListener,
    room: Arc<Semaphore>,
    tls: Option<Tls>,
    silence_max: Duration,
}

impl Limited {
    pub fn new(inner: TcpListener, connections_max: usize, tls: Option<Tls>) -> Self {
        let room = Arc::new(Semaphore::new(connections_max.max(1)));
        Self { inner, room, tls, silence_max: SILENCE_MAX }
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permit = self.room.clone().acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.inner).await;
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => Stream::Handshake(Box::new(tls.acceptor().accept(stream))),
        };
        let silence_max = self.silence_max;
        let silence = Box::pin(tokio::time::sleep(silence_max));
        (Connection { stream, silence, silence_max, _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

enum Stream {
    Plain(TcpStream),
    Handshake(Box<tokio_rustls::Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The handshake, to its end.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Stream::Handshake(accept) = self {
            match ready!(pin!(accept).poll(cx)) {
                Ok(stream) => *self = Stream::Tls(Box::new(stream)),
                Err(error) => {
                    tracing::debug!(%error, "a client was refused before it said anything");
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A connection and its place among those that are allowed.
pub(super) struct Connection {
    stream: Stream,
    silence: Pin<Box<Sleep>>,
    silence_max: Duration,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Whatever moves ends the silence; when nothing moves for too long that is an error.
    fn heard<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.silence.as_mut().reset(Instant::now() + self.silence_max);
            return polled;
        }
        ready!(self.silence.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Does something with the open stream.
    fn with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut act: impl FnMut(&mut Stream, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let polled = match self.stream.poll_open(cx) {
            Poll::Ready(Ok(())) => act(&mut self.stream, cx),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        self.heard(cx, polled)
    }
}

/// Calls a method of the stream that is open.
macro_rules! on {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream {
            Stream::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Tls(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Handshake(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(cx, |stream, cx| on!(stream, poll_read(cx, buffer)))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(cx, |stream, cx| on!(stream, poll_write(cx, bytes)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Handshake(_) => Poll::Ready(Ok(())),
            stream => on!(stream, poll_flush(cx)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Handshake(_) => Poll::Ready(Ok(())),
            stream => on!(stream, poll_shutdown(cx)),
        }
    }
}
