//! The bytes of an object as they come, decompressed: bounded, and decoded on a thread of its own.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::decode::{Decoder, ReadError};
use crate::stores::Chunks;

const CHUNK_BYTES: usize = 256 << 10;

/// Why a body ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The store broke off: to be read again.
    Away(String),
    /// The object itself is damaged: reading it again will not help.
    Broken(String),
}

/// A body on its way.
pub(super) struct Body {
    /// Comes before the chunks.
    first: Option<Bytes>,
    chunks: mpsc::Receiver<Result<Bytes, Ended>>,
}

type Lost = Arc<Mutex<Option<String>>>;

/// Reads from the store's stream on a thread that may block.
struct Raw {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}

impl Body {
    /// As it is, without a look at its first bytes: the rest of an object that grows.
    pub fn plain(stream: Chunks) -> Self {
        let (sender, chunks) = mpsc::channel(2);
        tokio::spawn(async move {
            let mut stream = stream;
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.map_err(Ended::Away);
                let is_end = chunk.is_err();
                if sender.send(chunk).await.is_err() || is_end {
                    break;
                }
            }
        });
        Self { first: None, chunks }
    }

    /// Decompressed, from the decompressed position `from`. Flow logs may be Parquet.
    pub fn decoded(stream: Chunks, from: u64, is_flows: bool) -> Self {
        let (sender, chunks) = mpsc::channel(2);
        let (raw, received) = mpsc::channel(2);
        let lost = Lost::default();
        let losing = lost.clone();
        tokio::spawn(async move {
            let mut stream = stream;
            while let Some(chunk) = stream.next().await {
                match chunk {
                    Ok(chunk) => {
                        if raw.send(chunk).await.is_err() {
                            break;
                        }
                    }
                    Err(words) => {
                        *losing.lock() = Some(words);
                        break;
                    }
                }
            }
        });
        tokio::task::spawn_blocking(move || {
            let raw = Raw { chunks: received, current: Bytes::new() };
            let ended = Decoder::of_object(Box::new(raw), is_flows).map_or_else(
                |e| Some(ended(ReadError::Io(e))),
                |decoder| decode(decoder, from, &sender),
            );
            // A stream that the store broke off looks like a damaged object to the decoder.
            let lost = lost.lock().take().map(Ended::Away);
            if let Some(ended) = lost.or(ended) {
                // Nobody may listen any more.
                let _ = sender.blocking_send(Err(ended));
            }
        });
        Self { first: None, chunks }
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Ended>> {
        match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => self.chunks.recv().await,
        }
    }

    /// Gives back what was read too far.
    pub fn put_back(&mut self, bytes: Vec<u8>) {
        self.first = (!bytes.is_empty()).then(|| bytes.into());
    }
}

fn ended(error: ReadError) -> Ended {
    match error {
        ReadError::Broken(broken) => Ended::Broken(broken.to_string()),
        ReadError::Io(error) => Ended::Away(error.to_string()),
    }
}

fn decode(
    mut decoder: Decoder,
    from: u64,
    sender: &mpsc::Sender<Result<Bytes, Ended>>,
) -> Option<Ended> {
    match decoder.skip(from) {
        Ok(skipped) if skipped == from => {}
        Ok(_) => return Some(Ended::Broken("shorter than what was read of it before".to_owned())),
        Err(error) => return Some(ended(error)),
    }
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        match decoder.read(&mut chunk) {
            Ok(0) => return None,
            Ok(n) => {
                chunk.truncate(n);
                if sender.blocking_send(Ok(chunk.into())).is_err() {
                    return None;
                }
            }
            Err(error) => return Some(ended(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::gzip;

    async fn all(mut body: Body) -> (Vec<u8>, Option<Ended>) {
        let mut out = Vec::new();
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => out.extend_from_slice(&chunk),
                Err(ended) => return (out, Some(ended)),
            }
        }
        (out, None)
    }

    fn pieces(bytes: &[u8], cut: bool) -> Chunks {
        let mut pieces: Vec<Result<Bytes, String>> =
            bytes.chunks(100).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        if cut {
            pieces.truncate(pieces.len() / 2);
            pieces.push(Err("connection reset".to_owned()));
        }
        futures::stream::iter(pieces).boxed()
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_damaged_object() {
        let text: Vec<u8> = (0..20_000).flat_map(|n: u32| n.to_string().into_bytes()).collect();
        let zipped = gzip(&text);
        assert_eq!(
            all(Body::decoded(pieces(&zipped, false), 0, false)).await,
            (text.clone(), None)
        );
        let (rest, ended) = all(Body::decoded(pieces(&zipped, false), 60_000, false)).await;
        assert_eq!((rest.as_slice(), ended), (&text[60_000..], None));
        for body in
            [Body::decoded(pieces(&zipped, true), 0, false), Body::plain(pieces(&text, true))]
        {
            let (some, ended) = all(body).await;
            assert!(text.starts_with(&some));
            assert_eq!(ended, Some(Ended::Away("connection reset".to_owned())));
        }
        let broken =
            all(Body::decoded(pieces(&zipped[..zipped.len() / 2], false), 0, false)).await.1;
        assert!(matches!(broken, Some(Ended::Broken(_))), "{broken:?}");
    }
}
