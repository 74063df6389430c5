//! The place in a document, and which arrays of it hold records.

use serde::{Deserialize, Serialize};

use super::extent::Extent;

/// Which arrays hold records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unwrap {
    /// Arrays of objects, and the envelopes that [`auto_member`] knows.
    Auto,
    /// Arrays at the top.
    Array,
    /// This member of an object.
    Member(String),
    /// The messages of a CloudWatch Logs subscription.
    CloudwatchLogs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Before a document.
    Between,
    /// In something that is no document, up to the end of its line.
    Line,
    /// In the object, before a member's name.
    Member,
    Name,
    Colon,
    Value,
    /// In the text of `messageType`.
    MessageType,
    /// After the bracket of what may be the array: the first element decides.
    Peek,
    Skip,
    SkipScalar,
    /// In an object that holds no array of records: a record itself.
    Whole,
    /// In the array, before an element.
    Next,
    Element,
    Scalar,
    Junk,
}

/// The place in a document, small enough to be kept with every position.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Walker {
    pub state: State,
    pub extent: Extent,
    /// Where the document begins, and how many records it has given.
    pub at: u64,
    pub index: u32,
    /// The top of the document is an array.
    pub top_array: bool,
    /// Records have been found: what stands outside the array is not kept.
    pub found: bool,
    pub in_array: bool,
    /// Elements are log events of CloudWatch.
    pub cloudwatch: bool,
    /// A control message: nothing in it is a record.
    pub control: bool,
    pub parts: u32,
    #[serde(skip)]
    pub name: [u8; 24],
    /// Length of the name, also where it is longer than what is kept of it.
    #[serde(skip)]
    pub name_len: usize,
    #[serde(skip)]
    pub escaped: bool,
}

impl Walker {
    pub fn new(at: u64) -> Self {
        Self {
            state: State::Between,
            extent: Extent::default(),
            at,
            index: 0,
            top_array: false,
            found: false,
            in_array: false,
            cloudwatch: false,
            control: false,
            parts: 0,
            name: [0; 24],
            name_len: 0,
            escaped: false,
        }
    }

    pub fn name(&self) -> &[u8] {
        if self.name_len > self.name.len() { b"" } else { &self.name[..self.name_len] }
    }

    /// Takes a byte of a string; true at its end.
    pub fn name_byte(&mut self, byte: u8) -> bool {
        match byte {
            b'"' if !self.escaped => return true,
            b'\\' => self.escaped = !self.escaped,
            _ => self.escaped = false,
        }
        if let Some(slot) = self.name.get_mut(self.name_len) {
            *slot = byte;
        }
        self.name_len += 1;
        false
    }

    pub fn start_name(&mut self, state: State) {
        self.state = state;
        self.name_len = 0;
        self.escaped = false;
    }

    /// Whether the bytes being walked belong to an open record.
    pub fn collects(&self) -> bool {
        match self.state {
            State::Line | State::Whole | State::Element | State::Scalar | State::Junk => true,
            State::Between | State::Next => false,
            _ => !self.found,
        }
    }
}

/// What a member of an object means in `auto`.
pub(super) enum Meaning {
    Records,
    Metadata,
    Other,
}

/// The envelopes that are known by name. Anything else is an event.
pub(super) fn auto_member(name: &[u8]) -> Meaning {
    match name {
        b"Records" | b"records" | b"value" | b"Items" | b"items" | b"logEvents" => Meaning::Records,
        b"kind"
        | b"apiVersion"
        | b"metadata"
        | b"messageType"
        | b"owner"
        | b"logGroup"
        | b"logStream"
        | b"subscriptionFilters"
        | b"Count"
        | b"ScannedCount"
        | b"nextLink"
        | b"NextToken"
        | b"nextToken" => Meaning::Metadata,
        _ if name.starts_with(b"@odata.") => Meaning::Metadata,
        _ => Meaning::Other,
    }
}
