//! Decompression by magic bytes, streamed: gzip (also several members in a row), zstd, or as it is. Objects may be
//! Parquet as well, which gives text.
//!
//! What was read before a stream breaks is kept; where and why it broke is told.

pub(crate) mod flows;

use std::borrow::Cow;
use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use flows::Flows;

const BUFFER: usize = 64 << 10;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    /// Of objects only.
    Parquet,
}

impl Compression {
    /// From the first bytes.
    pub fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Why a compressed stream ended early, for the dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (after {decoded} decompressed bytes)")]
pub struct Broken {
    pub reason: String,
    pub decoded: u64,
}

type Input = BufReader<io::Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>>;

enum Inner {
    Plain(Input),
    Gzip(Box<MultiGzDecoder<Input>>),
    Zstd(zstd::stream::read::Decoder<'static, Input>),
    Flows(Box<Flows>),
}

/// A reader of the decompressed bytes.
pub struct Decoder {
    inner: Inner,
    compression: Compression,
    decoded: u64,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoder({:?} at {})", self.compression, self.decoded)
    }
}

/// Why a stream could not be read on from where it comes, which says nothing about what is in it. As the cause of
/// an error of the system's kind.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Away(pub String);

/// A read that failed: the stream is broken, or the system refused.
#[derive(Debug)]
pub enum ReadError {
    Broken(Broken),
    Io(io::Error),
}

impl Decoder {
    /// Reads the magic bytes and decides.
    pub fn new(reader: Box<dyn Read + Send>) -> io::Result<Self> {
        let (head, input) = begun(reader)?;
        Self::of(Compression::of(&head), input, false)
    }

    /// As [`Decoder::new`], of something that is whole, and so may be Parquet: flow logs become text, other logs
    /// are refused.
    pub fn of_object(reader: Box<dyn Read + Send>, is_flows: bool) -> io::Result<Self> {
        let (head, input) = begun(reader)?;
        let is_parquet = head == *b"PAR1";
        let compression = if is_parquet { Compression::Parquet } else { Compression::of(&head) };
        Self::of(compression, input, is_flows)
    }

    fn of(compression: Compression, input: Input, is_flows: bool) -> io::Result<Self> {
        let inner = match compression {
            Compression::Parquet => {
                let file = is_flows.then(|| Box::new(input) as Box<dyn Read + Send>);
                Inner::Flows(Box::new(Flows::new(file)))
            }
            Compression::None => Inner::Plain(input),
            Compression::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Zstd => Inner::Zstd(zstd::stream::read::Decoder::with_buffer(input)?),
        };
        Ok(Self { inner, compression, decoded: 0 })
    }

    /// Of bytes that are known not to be compressed, such as the rest of a file.
    pub fn plain(reader: Box<dyn Read + Send>) -> Self {
        let input = BufReader::with_capacity(BUFFER, Cursor::new(Vec::new()).chain(reader));
        Self { inner: Inner::Plain(input), compression: Compression::None, decoded: 0 }
    }

    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Fills some of `buffer`; 0 at the end of the stream (a plain file may have grown later).
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let result = loop {
            let result = match &mut self.inner {
                Inner::Plain(reader) => reader.read(buffer),
                Inner::Gzip(reader) => reader.read(buffer),
                Inner::Zstd(reader) => reader.read(buffer),
                Inner::Flows(reader) => reader.read(buffer),
            };
            if !matches!(&result, Err(e) if e.kind() == io::ErrorKind::Interrupted) {
                break result;
            }
        };
        match result {
            Ok(n) => {
                self.decoded += n as u64;
                Ok(n)
            }
            Err(error) if self.compression == Compression::None || is_system(&error) => {
                Err(ReadError::Io(error))
            }
            Err(error) => Err(ReadError::Broken(self.broken(&error))),
        }
    }

    /// Reads and drops this many bytes; fewer when the stream ends.
    pub fn skip(&mut self, mut count: u64) -> Result<u64, ReadError> {
        let mut buffer = vec![0; BUFFER];
        let wanted = count;
        while count > 0 {
            let room = buffer.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            let n = self.read(&mut buffer[..room])?;
            if n == 0 {
                break;
            }
            count -= n as u64;
        }
        Ok(wanted - count)
    }

    fn broken(&self, error: &io::Error) -> Broken {
        let name = match self.compression {
            Compression::Gzip => "gzip",
            Compression::Parquet => {
                return Broken { reason: error.to_string(), decoded: self.decoded };
            }
            _ => "zstd",
        };
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => "ends early".to_owned(),
            _ => format!("is damaged: {error}"),
        };
        Broken { reason: format!("the {name} stream {what}"), decoded: self.decoded }
    }
}

/// The first bytes, and a reader that begins with them again.
fn begun(mut reader: Box<dyn Read + Send>) -> io::Result<(Vec<u8>, Input)> {
    let mut head = Vec::with_capacity(4);
    reader.by_ref().take(4).read_to_end(&mut head)?;
    let input = Cursor::new(head.clone()).chain(reader);
    Ok((head, BufReader::with_capacity(BUFFER, input)))
}

/// What bytes that are whole in memory become, decompressed if they are compressed; in words why they cannot.
pub fn expanded(bytes: &[u8], bytes_max: usize) -> Result<Cow<'_, [u8]>, String> {
    let reader: Box<dyn Read> = match Compression::of(bytes) {
        Compression::None | Compression::Parquet => return Ok(bytes.into()),
        Compression::Gzip => Box::new(MultiGzDecoder::new(bytes)),
        Compression::Zstd => Box::new(
            zstd::stream::read::Decoder::with_buffer(bytes).map_err(|e| format!("zstd: {e}"))?,
        ),
    };
    let mut out = Vec::new();
    let read = reader.take(bytes_max as u64 + 1).read_to_end(&mut out);
    match read {
        Ok(_) if out.len() > bytes_max => Err(format!("more than {bytes_max} bytes, decompressed")),
        Ok(_) => Ok(out.into()),
        Err(error) => Err(format!("compressed, and cannot be read to its end: {error}")),
    }
}

/// Errors of the system carry its number, those of where a stream comes from say so; those of decoders do neither.
fn is_system(error: &io::Error) -> bool {
    error.raw_os_error().is_some() || error.get_ref().is_some_and(|cause| cause.is::<Away>())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Write;

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn all(input: Vec<u8>) -> (Vec<u8>, Option<Broken>) {
        let mut decoder = Decoder::new(Box::new(Cursor::new(input))).unwrap();
        let (mut out, mut buffer) = (Vec::new(), [0; 1000]);
        loop {
            match decoder.read(&mut buffer) {
                Ok(0) => return (out, None),
                Ok(n) => out.extend_from_slice(&buffer[..n]),
                Err(ReadError::Broken(broken)) => return (out, Some(broken)),
                Err(ReadError::Io(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn members_follow_each_other() {
        let two = [gzip(b"first\n"), gzip(b"second\n")].concat();
        assert_eq!(all(two), (b"first\nsecond\n".to_vec(), None));
        let zstd =
            [zstd::encode_all(&b"a"[..], 1).unwrap(), zstd::encode_all(&b"b"[..], 1).unwrap()];
        assert_eq!(all(zstd.concat()), (b"ab".to_vec(), None));
        assert_eq!(all(b"plain".to_vec()), (b"plain".to_vec(), None));
        assert_eq!(all(Vec::new()), (Vec::new(), None));
    }

    #[test]
    fn what_was_read_before_the_break_is_kept() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|i| format!("{i}\n").into_bytes()).collect();
        for whole in [gzip(&text), zstd::encode_all(&text[..], 1).unwrap()] {
            for cut in [whole.len() - 1, whole.len() - 5, whole.len() * 3 / 4] {
                let (out, broken) = all(whole[..cut].to_vec());
                assert!(text.starts_with(&out));
                if cut == whole.len() - 1 {
                    assert!(out.len() > text.len() / 2, "{} of {}", out.len(), text.len());
                }
                let broken = broken.expect("a cut stream is broken");
                assert_eq!(broken.decoded, out.len() as u64);
                assert!(broken.reason.contains("ends early"), "{broken}");
            }
        }
    }
}
