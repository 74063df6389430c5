//! What an entry of the write-ahead log holds: messages of one sender, and what of its bytes are none.

use bytes::Bytes;

use event::syslog::Message;

use crate::framing::Frames;

const MESSAGE: u8 = 0;
const REFUSED: u8 = 1;

/// Messages on their way to the log.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    bytes: Vec<u8>,
    head: usize,
    /// How many there are.
    pub count: usize,
}

impl Entry {
    /// Of messages that came from `peer`.
    pub fn new(peer: &str) -> Self {
        let mut entry = Self { bytes: Vec::new(), head: 0, count: 0 };
        entry.piece(peer.as_bytes());
        entry.head = entry.bytes.len();
        entry
    }

    fn piece(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    pub fn message(&mut self, bytes: &[u8]) {
        self.count += 1;
        self.bytes.push(MESSAGE);
        self.piece(bytes);
    }

    /// Bytes that are no message.
    pub fn refuse(&mut self, reason: &str, bytes: &[u8]) {
        self.count += 1;
        self.bytes.push(REFUSED);
        self.piece(reason.as_bytes());
        self.piece(bytes);
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The payload, and an entry of the same sender with nothing in it.
    pub fn take(&mut self) -> Option<Bytes> {
        if self.count == 0 {
            return None;
        }
        self.count = 0;
        let empty = self.bytes[..self.head].to_vec();
        Some(std::mem::replace(&mut self.bytes, empty).into())
    }

    /// For tests: messages, and refusals after a `!`.
    #[cfg(test)]
    pub fn shown(&self) -> Vec<String> {
        let mut rest = Pieces(&self.bytes[self.head..]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let each = std::iter::from_fn(|| match rest.tag()? {
            MESSAGE => rest.piece().map(text),
            _ => Some(format!("!{}: {}", text(rest.piece()?), text(rest.piece()?))),
        });
        each.collect()
    }
}

struct Pieces<'p>(&'p [u8]);

impl<'p> Pieces<'p> {
    fn tag(&mut self) -> Option<u8> {
        let (tag, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*tag)
    }

    fn piece(&mut self) -> Option<&'p [u8]> {
        let (len, rest) = self.0.split_first_chunk::<4>()?;
        let (piece, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        self.0 = rest;
        Some(piece)
    }
}

/// What becomes of a message.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// The record is the whole message; its reader is told where it came from and, maybe, the zone of times
    /// without one.
    Whole { zone: Option<String> },
    /// The record is what follows the header.
    Text,
}

/// The records of an entry that stands `at`.
pub(super) fn frame(part: &Part, payload: &[u8], at: u64, out: &mut Frames) {
    let mut rest = Pieces(payload);
    let peer = rest.piece().unwrap_or_default();
    let mut header = Vec::new();
    if let Part::Whole { zone } = part {
        header.extend_from_slice(b"peer=");
        header.extend_from_slice(peer);
        if let Some(zone) = zone {
            header.extend_from_slice(b" zone=");
            header.extend_from_slice(zone.as_bytes());
        }
    }
    let mut index = 0;
    while let Some(tag) = rest.tag() {
        let Some(bytes) = rest.piece() else { break };
        match (tag, part) {
            (REFUSED, _) => {
                let reason = String::from_utf8_lossy(bytes).into_owned();
                out.reject(at, index, reason, rest.piece().unwrap_or_default().to_vec());
            }
            (_, Part::Whole { .. }) => out.record_under(&header, at, index, bytes),
            (_, Part::Text) => match text(bytes) {
                Ok(text) => out.record(at, index, text),
                Err(reason) => out.reject(at, index, reason, bytes.to_vec()),
            },
        }
        index += 1;
    }
}

/// What follows the header of a message.
fn text(bytes: &[u8]) -> Result<&[u8], String> {
    let text =
        std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
    let message = Message::parse(text).map_err(|e| format!("not syslog: {e}"))?;
    match message.text {
        "" => Err("nothing follows the header".to_owned()),
        text => Ok(text.as_bytes()),
    }
}
