//! The bytes of an object as they come, decompressed: bounded, and decoded on a thread of its own.

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::mpsc;

use crate::decode::{Broken, Decoder, ReadError};
use crate::stores::{Chunks, reader};

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
        let (body, failed) = (reader(stream), sender.clone());
        let work = tokio::task::spawn_blocking(move || {
            let decoded = Decoder::of_object(body, is_flows);
            let decoded = decoded.map_err(ReadError::Io);
            if let Err(error) = decoded.and_then(|decoder| decode(decoder, from, &sender)) {
                // Nobody may listen any more.
                let _ = sender.blocking_send(Err(ended(error)));
            }
        });
        tokio::spawn(async move {
            // Without this word the end of a thread would be taken for the end of the object.
            if let Err(error) = work.await {
                let _ = failed.send(Err(Ended::Away(error.to_string()))).await;
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
) -> Result<(), ReadError> {
    if decoder.skip(from)? < from {
        let reason = "shorter than what was read of it before".to_owned();
        return Err(ReadError::Broken(Broken { reason, decoded: from }));
    }
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let n = decoder.read(&mut chunk)?;
        chunk.truncate(n);
        if n == 0 || sender.blocking_send(Ok(chunk.into())).is_err() {
            return Ok(());
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
