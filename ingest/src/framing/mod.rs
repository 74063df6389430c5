//! Bytes to records: state machines that are pushed bytes and give back framed records.
//!
//! A [`Framer`] holds at most one unfinished record, so an object of a gigabyte needs no gigabyte.
//! How the bytes are cut into chunks never changes what comes out. Nothing in here reads, waits or
//! knows what a record means; whether a record is valid JSON is for the parser to say.
//!
//! Framing never fails. What cannot be framed becomes a [`Reject`] that carries its bytes:
//! - In line formats a line is the unit, always: a garbage line is one record (which the parser will
//!   refuse) and the stream goes on.
//! - In arrays and envelopes every element is one record; junk between elements is one reject.
//! - A record longer than [`Options::record_bytes_max`] becomes consecutive rejects, "part k".

mod cri;
mod document;
mod extent;
mod frames;
mod lines;
mod sniff;
mod spare;
mod table;
mod walker;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use frames::{Frames, Reject};

use cri::{Cri, Torn};
use document::Document;
use lines::Lines;
use sniff::{Decision, Sniffer};
use table::{Cut, Table};
use walker::{Unwrap, Walker};

/// The longest record that is kept whole, unless configured.
pub const RECORD_BYTES_MAX: usize = 32 << 20;

/// How the bytes of a source are cut into records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Found out from the first bytes: lines, arrays, the envelopes of AWS, Azure, Kubernetes and
    /// CloudWatch Logs, pretty-printed documents.
    #[default]
    Auto,
    /// One JSON document a line.
    Ndjson,
    /// `[{…},{…}]`, on one line or many; several arrays may follow each other.
    JsonArray,
    /// `{"Records":[{…},{…}]}`: an object whose named member is the array of records.
    Envelope {
        /// The name of the member, `Records`, `value`, `items`.
        member: String,
    },
    /// One record a line, whatever is on it.
    Lines,
    /// Comma-separated values under a row of names; quoted values may hold line breaks.
    Csv,
    /// Log files of containers as Kubernetes keeps them (`/var/log/pods`): the record is what the program
    /// wrote, joined where it was parted.
    Cri,
    /// AWS flow logs: one record a line; a line of field names describes the lines after it.
    FlowLog,
    /// CloudWatch Logs subscription: the message of every log event is a record.
    CloudwatchLogs,
}

/// What a [`Framer`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    pub format: Format,
    /// The log type is flow-log text: `auto` looks for header lines.
    pub flow_log: bool,
    /// The log type is exported as tables: `auto` takes text that is no JSON for CSV.
    pub table: bool,
    /// Longer records are cut into rejects of at most this many bytes.
    pub record_bytes_max: usize,
}

impl Options {
    /// The usual limits for a log type.
    pub fn new(format: Format, log_type: &str) -> Self {
        let table = log_type.starts_with("salesforce.") || log_type.starts_with("snowflake.");
        let flow_log = log_type == "aws.vpcflow";
        Self { format, flow_log, table, record_bytes_max: RECORD_BYTES_MAX }
    }

    /// Lines may be under a line of names, as in flow logs.
    pub fn has_headers(&self) -> bool {
        self.format == Format::FlowLog || (self.format == Format::Auto && self.flow_log)
    }
}

/// Whether a line would be taken for the names of a flow log's columns.
pub(crate) fn is_flow_log_header(line: &[u8]) -> bool {
    lines::flow_log_header(line).is_some()
}

/// Which machine reads the next byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Sniff,
    Lines,
    Document,
    Table,
    Cri,
}

/// What must be kept to go on at [`Framer::position`] after a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    mode: Mode,
    /// The flow-log header, or the names of columns, in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    /// Inside a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    walker: Option<Walker>,
    /// Inside a line that was longer than the limit: where it began and the parts cut so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cut: Option<(u64, u32)>,
    /// The same in a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row: Option<Cut>,
    /// The same in a container's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    torn: Option<Torn>,
}

/// Turns the bytes of one stream into records.
///
/// ```text
/// while let chunk = read() {
///     loop {
///         let used = framer.push(chunk, &mut frames);
///         chunk = &chunk[used..];
///         if frames.is_full() { hand over frames, which end at framer.position() }
///         else if chunk.is_empty() { break }
///     }
/// }
/// while !framer.finish(&mut frames, None) { hand over frames }
/// ```
#[derive(Debug)]
pub struct Framer {
    auto: bool,
    /// Text that is no JSON is a table.
    tables: bool,
    mode: Mode,
    sniffer: Sniffer,
    /// Bytes seen by the sniffer and not yet given to a machine.
    pending: Vec<u8>,
    /// How many of them the sniffer has seen.
    sniffed: usize,
    lines: Lines,
    document: Document,
    table: Table,
    cri: Cri,
    /// Where the next byte given to a machine stands in the stream.
    consumed: u64,
}

impl Framer {
    /// For a stream that is read from its beginning.
    pub fn new(options: &Options) -> Self {
        let max = options.record_bytes_max.max(1);
        let auto = options.format == Format::Auto;
        let (mode, unwrap) = match &options.format {
            Format::Auto => (Mode::Sniff, Unwrap::Auto),
            Format::Ndjson | Format::Lines | Format::FlowLog => (Mode::Lines, Unwrap::Auto),
            Format::Csv => (Mode::Table, Unwrap::Auto),
            Format::Cri => (Mode::Cri, Unwrap::Auto),
            Format::JsonArray => (Mode::Document, Unwrap::Array),
            Format::Envelope { member } => (Mode::Document, Unwrap::Member(member.clone())),
            Format::CloudwatchLogs => (Mode::Document, Unwrap::CloudwatchLogs),
        };
        let headers = options.has_headers();
        Self {
            auto,
            tables: auto && options.table,
            mode,
            sniffer: Sniffer::default(),
            pending: Vec::new(),
            sniffed: 0,
            lines: Lines::new(max, headers, auto),
            document: Document::new(unwrap, max),
            table: Table::new(max),
            cri: Cri::new(max),
            consumed: 0,
        }
    }

    /// For a stream that is read on from `position`, where `checkpoint` was taken.
    pub fn resume(options: &Options, position: u64, checkpoint: &Checkpoint) -> Self {
        let mut framer = Self::new(options);
        framer.mode = checkpoint.mode;
        framer.consumed = position;
        framer.lines.resume(position, checkpoint.header.as_deref(), checkpoint.cut);
        framer.document.resume(position, checkpoint.walker);
        framer.table.resume(position, checkpoint.header.as_deref(), checkpoint.row);
        framer.cri.resume(position, checkpoint.torn);
        framer
    }

    /// Everything before this position has been handed over as records or rejects.
    pub fn position(&self) -> u64 {
        match self.mode {
            Mode::Sniff => self.consumed,
            Mode::Lines => self.lines.safe(),
            Mode::Document => self.document.safe(),
            Mode::Table => self.table.safe(),
            Mode::Cri => self.cri.safe(),
        }
    }

    /// What to keep beside [`Framer::position`].
    pub fn checkpoint(&self) -> Checkpoint {
        let mode = self.mode;
        let header = if mode == Mode::Table { self.table.header() } else { self.lines.header() };
        Checkpoint {
            mode,
            header: header.map(str::to_owned),
            walker: (mode == Mode::Document).then(|| self.document.saved()),
            cut: self.lines.cut().filter(|_| matches!(mode, Mode::Lines | Mode::Sniff)),
            row: self.table.cut().filter(|_| mode == Mode::Table),
            torn: self.cri.torn().filter(|_| mode == Mode::Cri),
        }
    }

    /// Takes bytes and returns how many. It stops early when `out` is full: hand that over and call
    /// again with the rest (even when the rest is empty).
    pub fn push(&mut self, input: &[u8], out: &mut Frames) -> usize {
        let mut used = 0;
        while !out.is_full() && (used < input.len() || self.ready()) {
            used += self.step(&input[used..], out);
        }
        used
    }

    /// Whether bytes that were taken earlier can be worked on without more.
    fn ready(&self) -> bool {
        match self.mode {
            Mode::Sniff => self.sniffed < self.pending.len(),
            _ => !self.pending.is_empty(),
        }
    }

    fn step(&mut self, input: &[u8], out: &mut Frames) -> usize {
        if self.mode == Mode::Sniff {
            return self.sniff(input);
        }
        if self.pending.is_empty() {
            return self.run(input, out);
        }
        let mut pending = std::mem::take(&mut self.pending);
        let used = self.run(&pending, out);
        pending.drain(..used);
        self.pending = pending;
        0
    }

    fn sniff(&mut self, input: &[u8]) -> usize {
        let mut taken = 0;
        if self.sniffed == self.pending.len() {
            taken = input.len().min(sniff::BYTES_MAX.saturating_sub(self.pending.len()));
            self.pending.extend_from_slice(&input[..taken]);
        }
        let at_start = self.consumed == 0;
        if self.tables && at_start && self.is_table() {
            self.decide(Decision::Table);
            return taken;
        }
        let found = self.sniffer.push(&self.pending, self.sniffed, at_start);
        self.sniffed = self.pending.len();
        if let Some((decision, looked_at)) = found {
            // What was not looked at goes to the machine without a copy.
            let back = (self.pending.len() - looked_at).min(taken);
            self.pending.truncate(self.pending.len() - back);
            taken -= back;
            self.decide(decision);
        } else if self.pending.len() >= sniff::BYTES_MAX {
            let decision = self.sniffer.end(&self.pending, false);
            self.decide(decision);
        }
        taken
    }

    /// Whether what stands first is neither an object nor an array.
    fn is_table(&self) -> bool {
        let text = self.pending.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.pending);
        let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
        // The first bytes of a byte order mark tell nothing.
        first.is_some_and(|first| !matches!(first, b'{' | b'[' | 0xef | 0xbb | 0xbf))
    }

    fn decide(&mut self, decision: Decision) {
        self.sniffer = Sniffer::default();
        self.sniffed = 0;
        match decision {
            Decision::Lines => {
                self.mode = Mode::Lines;
                self.lines.start(self.consumed);
            }
            Decision::Table => {
                self.mode = Mode::Table;
                self.table.start(self.consumed);
            }
            Decision::Document => {
                self.mode = Mode::Document;
                self.document.start(self.consumed);
            }
        }
    }

    fn run(&mut self, input: &[u8], out: &mut Frames) -> usize {
        let used = match self.mode {
            Mode::Document => self.document.run(input, self.consumed, out),
            Mode::Table => self.table.run(input, self.consumed, out),
            Mode::Cri => self.cri.run(input, self.consumed, out),
            _ => self.lines.run(input, self.consumed, out),
        };
        self.consumed += used as u64;
        // What follows a document may be lines: look again.
        if self.auto && self.mode == Mode::Document && self.document.take_ended() {
            self.mode = Mode::Sniff;
        }
        used
    }

    /// The stream has ended: what is open becomes a record or a reject. Returns false when `out` got
    /// full before everything was out: hand it over and call again.
    ///
    /// With `broken` the stream did not end where it should have; what is open, if only the fact,
    /// becomes a reject with that reason.
    pub fn finish(&mut self, out: &mut Frames, broken: Option<&str>) -> bool {
        if self.mode == Mode::Sniff {
            let decision = self.sniffer.end(&self.pending, true);
            self.decide(decision);
        }
        self.push(&[], out);
        if self.mode == Mode::Sniff {
            // A document ended within what was pending; what follows it is looked at anew.
            return self.pending.is_empty() || self.finish(out, broken);
        }
        if !self.pending.is_empty() {
            return false;
        }
        match self.mode {
            Mode::Document => self.document.finish(self.consumed, out, broken),
            Mode::Table => self.table.finish(self.consumed, out, broken),
            Mode::Cri => self.cri.finish(self.consumed, out, broken),
            _ => self.lines.finish(self.consumed, out, broken),
        }
        true
    }
}

/// Frames a payload that is whole in memory, such as a message of a queue. Every record stands `at`.
pub fn frame_whole(options: &Options, payload: &[u8], at: u64, out: &mut Frames) {
    frame_part(options, payload, at, 0, out);
}

/// Frames one of several payloads that stand together `at`. Its records are counted from `first`; gives back where
/// the next one's begin.
pub fn frame_part(options: &Options, payload: &[u8], at: u64, first: u32, out: &mut Frames) -> u32 {
    let (records, rejects) = (out.records.len(), out.rejects.len());
    let full = std::mem::replace(&mut out.bytes_max, usize::MAX);
    let count = std::mem::replace(&mut out.records_max, usize::MAX);
    let mut framer = Framer::new(options);
    framer.push(payload, out);
    framer.finish(out, None);
    out.bytes_max = full;
    out.records_max = count;
    // Inside the payload positions count its bytes; outside, its records.
    let placed = out.records[records..].iter_mut().map(|r| (&mut r.at, &mut r.index));
    let refused = out.rejects[rejects..].iter_mut().map(|r| (&mut r.at, &mut r.index));
    let mut all: Vec<_> = placed.chain(refused).collect();
    all.sort_by_key(|(at, index)| (**at, **index));
    let mut next = first;
    for (place, index) in all {
        *place = at;
        *index = next;
        next += 1;
    }
    next
}

#[cfg(test)]
mod tests;
