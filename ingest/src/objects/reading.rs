//! One object between its body and batches: framing, the end of envelopes that grow, and the card.

use event::{Batch, LogType, PartitionKey, Span};

use super::shelf::Card;
use crate::assembler::now;
use crate::file::identity::Tail;
use crate::framing::{Format, Framer, Frames, Options};

/// The end of an envelope that grows is not longer than this.
const END_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Reading {
    pub card: Card,
    options: Options,
    framer: Framer,
    frames: Frames,
    /// Bytes of the object before this were given to the framer, or are held.
    at: u64,
    /// Of an envelope that grows: its last bytes, which may be its end.
    held: Vec<u8>,
    grows: bool,
    /// The first bytes were seen.
    is_begun: bool,
}

impl Reading {
    /// Of an object of which `read` bytes were handed over.
    pub fn new(card: Card, read: u64, options: &Options, grows: bool) -> Self {
        let options = match card.is_envelope {
            true => with_member(options.clone()),
            false => options.clone(),
        };
        let framer = match &card.framing {
            Some(checkpoint) => Framer::resume(&options, read, checkpoint),
            None => Framer::new(&options),
        };
        Self {
            card,
            options,
            framer,
            frames: Frames::default(),
            at: read,
            held: Vec::new(),
            grows,
            is_begun: read > 0,
        }
    }

    /// How many bytes of the object can be handed over.
    pub fn position(&self) -> u64 {
        self.framer.position()
    }

    /// Takes bytes as they come; those that are to be framed now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if !std::mem::replace(&mut self.is_begun, true) && self.grows {
            self.card.is_envelope = is_envelope(bytes);
            if self.card.is_envelope {
                self.framer = Framer::new(&with_member(self.options.clone()));
            }
        }
        if !(self.grows && self.card.is_envelope) {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let keep = self.held.len().saturating_sub(END_MAX);
        self.held.drain(..keep).collect()
    }

    /// The bytes before the end of an envelope; the end itself is not read, because it moves.
    pub fn before_end(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        let kept = before_closing(&held).unwrap_or(held.len());
        held[..kept].to_vec()
    }

    /// Frames bytes that stand next in the object; how many were used before a batch was full.
    pub fn frame(&mut self, bytes: &[u8]) -> usize {
        let used = self.framer.push(bytes, &mut self.frames);
        if let Some(tail) = Tail::before(self.framer.position(), &bytes[..used], self.at) {
            self.card.tail = Some(tail);
        }
        self.at += used as u64;
        used
    }

    pub fn is_full(&self) -> bool {
        self.frames.is_full()
    }

    /// The object is at its end. False: take the batch and call again.
    pub fn finish(&mut self, broken: Option<&str>) -> bool {
        self.framer.finish(&mut self.frames, broken)
    }

    /// The card as it is after what was framed.
    pub fn card(&self) -> Card {
        let framing = Some(self.framer.checkpoint());
        let position = self.framer.position();
        let tail = self.card.tail.filter(|tail| self.grows && tail.upto <= position);
        Card { framing, tail, ..self.card.clone() }
    }

    /// What was framed, as a batch of the slot. Records stand at positions of their object, which do not depend
    /// on the slot that it was given.
    pub fn take(&mut self, span: Span, log_type: &LogType) -> Batch {
        let Card { key, version, .. } = &self.card;
        let partition = match self.grows {
            true => key.clone(),
            false => format!("{key}#{}", version.trim_matches('"')),
        };
        let origin = PartitionKey { source: span.key.source.clone(), partition: partition.into() };
        let mut batch = self.frames.take(span, log_type, now());
        batch.rejects.iter_mut().for_each(|reject| reject.key = origin.clone());
        batch.origin = Some(Box::new(origin));
        batch
    }
}

/// What is known of an envelope needs not be found out, which would take more of it than there may be.
fn with_member(options: Options) -> Options {
    match options.format {
        Format::Auto => {
            Options { format: Format::Envelope { member: "records".into() }, ..options }
        }
        _ => options,
    }
}

/// `{"records":[`
fn is_envelope(head: &[u8]) -> bool {
    let mut rest = head.trim_ascii_start();
    for token in [&b"{"[..], b"\"records\"", b":", b"["] {
        match rest.strip_prefix(token) {
            Some(after) => rest = after.trim_ascii_start(),
            None => return false,
        }
    }
    true
}

/// Where `]}` at the end begins, with the space before it.
fn before_closing(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.trim_ascii_end().strip_suffix(b"}")?;
    let rest = rest.trim_ascii_end().strip_suffix(b"]")?;
    Some(rest.trim_ascii_end().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_envelope_is_told_from_records() {
        assert!(is_envelope(b"{\"records\":[{\"a\":1}"));
        assert!(is_envelope(b" {\r\n \"records\" : [ "));
        assert!(!is_envelope(b"{\"records\":1}") && !is_envelope(b"[{}]") && !is_envelope(b"{"));
        assert_eq!(before_closing(b"{\"a\":1}\r\n]}\r\n"), Some(7));
        assert_eq!(before_closing(b"{\"a\":[1]}"), Some(7), "only asked of envelopes");
        assert_eq!(before_closing(b"{\"a\":1}"), None);
    }
}
