//! From messages to batches: each message is one position of the partition, and the ids of the messages of a
//! batch commit with it.

use std::collections::HashMap;
use std::sync::Arc;

use event::{Batch, LogType, PartitionKey, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::api::Message;
use crate::assembler::now;
use crate::framing::{Frames, Options, frame_whole};
use crate::ledger::{Ledger, LedgerError};
use crate::poll::kept::Kept;
use crate::poll::seen::{ChunkText, Id, Seen, id_of};
use crate::source::Resume;

/// The name of the partition that messages are positions of.
pub(super) const PARTITION: &str = "messages";
/// A chunk of ids is closed at this age.
const CHUNK_MS: i64 = 3_600_000;

#[derive(Debug, Serialize, Deserialize)]
struct State {
    seen: ChunkText,
}

/// Gathers messages.
#[derive(Debug)]
pub(super) struct Feed {
    source: Arc<str>,
    partition: Arc<str>,
    log_type: LogType,
    framing: Options,
    /// Attributes that a record keeps; see [`wrapped`].
    keeps_attributes: bool,
    seen: Kept,
    seen_ms: i64,
    ledger: Ledger,
    /// Of the ids' own partitions.
    frames: Frames,
    /// Taken up to here.
    upto: u64,
}

impl Feed {
    /// As the lake has it. A state that cannot be read is an error in words.
    pub fn open(
        source: &Arc<str>,
        log_type: &LogType,
        framing: Options,
        keeps_attributes: bool,
        (seen_max, seen_ms): (usize, i64),
        resume: &HashMap<Arc<str>, Resume>,
    ) -> Result<Self, String> {
        let own = resume.get(PARTITION);
        let text = own.and_then(|resume| resume.state.as_deref());
        let state: Option<State> = text
            .map(serde_json::from_str)
            .transpose()
            .map_err(|e| format!("the state of {PARTITION} cannot be read ({e})"))?;
        let upto = own.map_or(0, |resume| resume.upto);
        let set = Seen::new(seen_max, CHUNK_MS.min(seen_ms / 4));
        Ok(Self {
            source: source.clone(),
            partition: PARTITION.into(),
            log_type: log_type.clone(),
            framing,
            keeps_attributes,
            seen: Kept::open(PARTITION, set, state.map(|state| state.seen), resume),
            seen_ms,
            ledger: Ledger::new(upto),
            frames: Frames::default(),
            upto,
        })
    }

    /// Messages that are remembered.
    pub fn remembered(&self) -> usize {
        self.seen.set().len()
    }

    pub fn is_known(&self, id: &Id) -> bool {
        self.seen.set().contains(id)
    }

    /// Takes a message that is not known; its position.
    pub fn take(&mut self, id: Id, message: Message, now_ms: i64) -> u64 {
        let at = self.upto;
        self.upto += 1;
        self.seen.insert(id, now_ms);
        self.seen.forget_before(now_ms - self.seen_ms);
        // After a crash it may come behind others: its position is then one of theirs.
        self.frames.name(format!("message:{}", message.id).into());
        if self.keeps_attributes {
            let record = wrapped(&message.attributes, &message.payload);
            frame_whole(&self.framing, &record, at, &mut self.frames);
        } else if message.payload.trim_ascii().is_empty() {
            let bytes = Value::Object(message.attributes).to_string().into_bytes();
            let reason = "a message without data; these are its attributes".to_owned();
            self.frames.reject(at, 0, reason, bytes);
        } else {
            frame_whole(&self.framing, &message.payload, at, &mut self.frames);
        }
        self.upto
    }

    pub fn is_full(&self) -> bool {
        self.frames.is_full()
    }

    pub fn is_empty(&self) -> bool {
        self.upto == self.ledger.emitted()
    }

    /// What was taken, in the order in which it is to be sent.
    pub fn batches(&mut self) -> Result<Vec<Batch>, LedgerError> {
        let mut out = Vec::new();
        for (partition, after, upto, state) in self.seen.closed() {
            let span = self.span(partition, after, upto, state);
            out.push(Frames::default().take(span, &self.log_type, now()));
        }
        let state = State { seen: self.seen.open_text() };
        let state = serde_json::to_string(&state).unwrap_or_default();
        let span = self.span(self.partition.clone(), self.ledger.emitted(), self.upto, state);
        self.ledger.emit(&span)?;
        out.push(self.frames.take(span, &self.log_type, now()));
        Ok(out)
    }

    fn span(&self, partition: Arc<str>, after: u64, upto: u64, state: String) -> Span {
        let key = PartitionKey { source: self.source.clone(), partition };
        Span { key, after, upto, state: Some(state.into()) }
    }

    /// Notes finished spans; up to which position everything is in the lake.
    pub fn finish(&mut self, spans: &[Span]) -> u64 {
        for span in spans.iter().filter(|span| span.key.partition == self.partition) {
            if let Err(error) = self.ledger.finish(span) {
                tracing::error!(%error, "a finished span does not fit");
            }
        }
        self.ledger.position()
    }
}

/// The identity of a message.
pub(super) fn identity(message: &Message) -> Id {
    id_of([message.id.as_bytes()])
}

/// A record that has the attributes beside the data: `{"attributes":{…},"data":…}`. Data that is no JSON is
/// text.
pub(crate) fn wrapped(attributes: &Map<String, Value>, payload: &[u8]) -> Vec<u8> {
    let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(payload).is_ok();
    let data = match (is_json, payload.is_empty()) {
        (true, _) => String::from_utf8_lossy(payload).into_owned(),
        (false, true) => "null".to_owned(),
        (false, false) => Value::from(String::from_utf8_lossy(payload)).to_string(),
    };
    let attributes = Value::Object(attributes.clone());
    format!(r#"{{"attributes":{attributes},"data":{data}}}"#).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Format;

    fn message(id: &str, payload: &str) -> Message {
        Message { id: id.into(), payload: payload.into(), ..Message::default() }
    }

    fn open(keeps_attributes: bool, resume: &HashMap<Arc<str>, Resume>) -> Feed {
        let framing = Options::new(Format::Auto, "gcp.audit");
        let log_type = LogType::from("gcp.audit");
        Feed::open(&"s".into(), &log_type, framing, keeps_attributes, (1 << 16, 1_000_000), resume)
            .unwrap()
    }

    #[test]
    fn what_is_in_the_lake_is_known_after_a_restart_and_nothing_else() {
        let mut feed = open(false, &HashMap::new());
        let mut resume = HashMap::new();
        for n in 0..5_000 {
            let message = message(&n.to_string(), r#"{"insertId":"x"}"#);
            assert_eq!(feed.take(identity(&message), message, 1_000), n + 1);
            if !feed.is_full() && n != 4_999 {
                continue;
            }
            // The last batch is not committed.
            for batch in feed.batches().unwrap().into_iter().filter(|_| n != 4_999) {
                let Span { key, upto, state, .. } = batch.span;
                resume.insert(key.partition, Resume { upto, state });
            }
        }
        let upto = resume[PARTITION].upto;
        assert!((4_000..5_000).contains(&upto) && resume.len() > 1, "{upto}");
        let feed = open(false, &resume);
        let known = |n: u64| feed.is_known(&identity(&message(&n.to_string(), "")));
        assert!((0..upto).all(known) && !(upto..5_000).any(known));
    }

    /// Every moment at which an epoch may end before a crash.
    #[test]
    fn nothing_is_known_before_it_is_in_the_lake() {
        let (mut feed, mut resume) = (open(false, &HashMap::new()), HashMap::new());
        for n in 0..6_000u64 {
            let taken = message(&n.to_string(), if n % 3 == 0 { "[]" } else { "{}" });
            feed.take(identity(&taken), taken, 1_000);
            if !feed.is_full() {
                continue;
            }
            for batch in feed.batches().unwrap() {
                let Span { key, upto, state, .. } = batch.span;
                resume.insert(key.partition, Resume { upto, state });
                let upto = resume.get(PARTITION).map_or(0, |resume| resume.upto);
                let feed = open(false, &resume);
                let known = |n: u64| feed.is_known(&identity(&message(&n.to_string(), "")));
                assert!((0..upto).all(known) && !(upto..=n).any(known), "{n}");
            }
        }
        assert!(resume.len() > 2, "several chunks were closed");
    }

    #[test]
    fn what_is_no_record_is_told_of() {
        let mut feed = open(false, &HashMap::new());
        let mut empty = message("1", "");
        empty.attributes.insert("k".into(), "v".into());
        feed.take(identity(&empty), empty, 0);
        let two = message("2", r#"[{"a":1},{"a":2}]"#);
        feed.take(identity(&two), two, 0);
        let batch = feed.batches().unwrap().pop().unwrap();
        assert_eq!((batch.span.after, batch.span.upto), (0, 2));
        assert_eq!(&batch.rejects[0].bytes[..], br#"{"k":"v"}"#);
        let places: Vec<_> = batch.records.iter().map(|r| (r.at, r.index)).collect();
        assert_eq!(places, [(1, 0), (1, 1)], "both are of the second message");
        let place = |n: usize| batch.place(&batch.records[n]).0.partition;
        assert_eq!((&*place(0), &*place(1)), ("message:2", "message:2"));
        assert_eq!((&*batch.rejects[0].key.partition, batch.rejects[0].at), ("message:1", 0));
        assert_eq!(feed.finish(&[batch.span]), 2);
    }

    #[test]
    fn attributes_stand_beside_the_data() {
        let mut feed = open(true, &HashMap::new());
        for (n, (payload, expected)) in [
            (r#"{"a":1.50}"#, r#"{"attributes":{"k":"v"},"data":{"a":1.50}}"#),
            ("text", r#"{"attributes":{"k":"v"},"data":"text"}"#),
            ("", r#"{"attributes":{"k":"v"},"data":null}"#),
        ]
        .into_iter()
        .enumerate()
        {
            let mut message = message(&n.to_string(), payload);
            message.attributes.insert("k".into(), "v".into());
            feed.take(identity(&message), message, 0);
            let batch = feed.batches().unwrap().pop().unwrap();
            assert_eq!(&batch.record(&batch.records[0])[..], expected.as_bytes());
        }
    }
}
