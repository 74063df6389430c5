//! Documents to rows, for one worker thread. Nothing here allocates per event once buffers have
//! grown.

use std::cell::Cell;
use std::sync::Arc;

use event::{
    Beside, ColumnType, Doc, FieldId, Parser, PartitionKey, Rows, Slots, TableSchema, Timestamp,
    Uid, Value, time,
};

use crate::cell::{add_item, set_text};
use crate::columns::at;
use crate::decode::Decoder;
use crate::error::Reject;
use crate::plan::{Identity, Step, Target};
use crate::printer::{Printer, boolean, float, integer, is_scalar};
use crate::steps::Steps;
use crate::take::Take;
use crate::timestamp::{self, Form};

/// An event later than its arrival by more than this is filed under its arrival.
const AHEAD_NS_MAX: i64 = time::HOUR_NS;

/// A longer identity is told by its hash.
const IDENTITY_BYTES_MAX: usize = 512;

/// Where a record stood and when it arrived.
#[derive(Clone, Copy, Debug)]
pub struct RecordMeta<'r> {
    /// Exactly the bytes that arrived.
    pub raw: &'r [u8],
    pub key: &'r PartitionKey,
    /// Position of its container in the partition.
    pub at: u64,
    /// Which record of the container, from 0.
    pub index: u32,
    /// The container's own name; a record without an identity goes by it instead of by partition and position.
    pub name: Option<&'r str>,
    pub now: Timestamp,
    /// An event older than this at its arrival is filed under its arrival.
    pub late_after_ns: i64,
}

/// What the pipeline must know of a mapped record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Records with the same identity are the same event.
    pub uid: Uid,
    /// `now` where the record does not say.
    pub event_time: Timestamp,
    /// The row is filed under its arrival.
    pub late: bool,
}

/// The plan of a mapping with its paths bound to fields.
#[derive(Debug)]
pub(crate) struct Plan {
    pub log_type: Arc<str>,
    pub decoder: Decoder,
    pub beside: Option<Arc<Beside>>,
    pub schema: Arc<TableSchema>,
    pub identity: Identity<FieldId>,
    pub times: Vec<(FieldId, Form)>,
    pub targets: Vec<Target<FieldId>>,
    pub steps: Steps,
    pub raw: Option<usize>,
}

/// Maps the records of one log type. Cheap to clone: a clone has its own buffers.
pub struct Mapper {
    plan: Arc<Plan>,
    scratch: Cell<Scratch>,
}

impl std::fmt::Debug for Mapper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Mapper").field(&self.plan.log_type).finish()
    }
}

impl Clone for Mapper {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.plan))
    }
}

/// Text that has to be made, kept from record to record.
#[derive(Debug, Default)]
struct Scratch {
    made: String,
    printed: Printer,
    set: Vec<u64>,
}

/// So much of the hash tells the events of one id apart, for people.
const PART_DIGITS: usize = 12;

/// Larger buffers than this are given back.
const KEEP_BYTES_MAX: usize = 1 << 20;

impl RecordMeta<'_> {
    /// Partition and position of a record that goes by its place.
    fn place(&self) -> (&str, u64) {
        self.name.map_or((&self.key.partition, self.at), |name| (name, 0))
    }

    /// The identity of a record that has none of its own: where it stood.
    pub fn uid(&self) -> Uid {
        let (partition, at) = self.place();
        let (at, index) = (at.to_le_bytes(), self.index.to_le_bytes());
        Uid::of("position", &[self.key.source.as_bytes(), partition.as_bytes(), &at, &index])
    }
}

impl Mapper {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        Self { plan, scratch: Cell::default() }
    }

    /// The table whose rows it fills.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.plan.schema
    }

    /// Reads one record. `header` is what its source keeps beside it: the line of column names of text that
    /// has one; of a syslog message, `peer=192.0.2.1 zone=+02:00`.
    ///
    /// # Errors
    /// When the record is not what the log type's decoder reads, or not an object.
    pub fn parse<'a>(
        &'a self,
        parser: &'a mut Parser,
        record: &'a [u8],
        header: Option<&'a [u8]>,
    ) -> Result<Doc<'a>, Reject> {
        self.plan.decoder.parse(parser, record, header, self.plan.beside.as_deref())
    }

    /// Fills the open row of `rows` and leaves it open. `slots` must have been filled from `doc`
    /// with the fields that this mapper was bound to.
    ///
    /// A record without a readable time is stored under its arrival, marked `late`, and says so in
    /// `parse_error`.
    ///
    /// # Errors
    /// When the record's bytes cannot be kept as text. The row is left open, to be abandoned.
    pub fn map(
        &self,
        doc: &Doc<'_>,
        slots: &Slots,
        meta: &RecordMeta<'_>,
        rows: &mut Rows,
    ) -> Result<Mapped, Reject> {
        let plan = &*self.plan;
        if let Some(column) = plan.raw {
            rows.text(column, raw_text(doc, meta.raw)?);
        }
        let mut scratch = self.scratch.take();
        let mapped = plan.fill(doc, slots, meta, rows, &mut scratch);
        if scratch.made.capacity() + scratch.printed.json.capacity() > KEEP_BYTES_MAX {
            scratch = Scratch::default();
        }
        self.scratch.set(scratch);
        Ok(mapped)
    }
}

/// The record's bytes as text. Those of a JSON document were looked at when it was parsed.
fn raw_text<'r>(doc: &Doc<'r>, raw: &'r [u8]) -> Result<&'r str, Reject> {
    let source = doc.source();
    if std::ptr::eq(source.as_bytes(), raw) {
        return Ok(source);
    }
    std::str::from_utf8(raw)
        .map_err(|e| Reject::map(format!("not UTF-8 at byte {}", e.valid_up_to())))
}

impl Plan {
    fn fill(
        &self,
        doc: &Doc<'_>,
        slots: &Slots,
        meta: &RecordMeta<'_>,
        rows: &mut Rows,
        scratch: &mut Scratch,
    ) -> Mapped {
        let (uid, known) = self.identify(doc, slots, meta, rows, scratch);
        let (partition, position) =
            if known { (&*meta.key.partition, meta.at) } else { meta.place() };
        let (event_time, late) = self.date(doc, slots, meta, rows);
        rows.time(const { at("ingest_time") }, meta.now);
        rows.text(const { at("source") }, &meta.key.source);
        rows.text(const { at("log_type") }, &self.log_type);
        rows.text(const { at("source_partition") }, partition);
        rows.int(const { at("source_position") }, i64::try_from(position).unwrap_or(i64::MAX));
        rows.int(const { at("source_index") }, meta.index.into());
        let mut set = std::mem::take(&mut scratch.set);
        let mut filled = None;
        self.steps.each(slots, &mut set, |at, step| {
            let target = &self.targets[at];
            if filled != Some(at) && target.fill(step, doc, slots, rows, scratch) {
                filled = (!target.gathers).then_some(at);
            }
        });
        scratch.set = set;
        Mapped { uid, event_time, late }
    }

    /// Writes `event_uid` and `dedup_key`; the identity, and whether it is the record's own.
    fn identify(
        &self,
        doc: &Doc<'_>,
        slots: &Slots,
        meta: &RecordMeta<'_>,
        rows: &mut Rows,
        scratch: &mut Scratch,
    ) -> (Uid, bool) {
        let Scratch { made, printed, .. } = scratch;
        made.clear();
        let mut add = |made: &mut String, field: &FieldId, count: usize| {
            let before = made.len();
            for value in slots.values(doc, *field).filter(is_scalar).take(count) {
                let Some(text) = printed.text(doc, value) else { continue };
                if !made.is_empty() {
                    made.push('/');
                }
                made.push_str(text);
            }
            made.len() > before
        };
        let Identity { any, all, parts } = &self.identity;
        let is_any = any.iter().any(|field| add(made, field, 1));
        let known = is_any || all.first().is_some_and(|field| add(made, field, usize::MAX));
        for field in all.iter().skip(1).filter(|_| known && !is_any) {
            add(made, field, usize::MAX);
        }
        let shown = made.len();
        for field in parts.iter().filter(|_| known && !is_any) {
            add(made, field, usize::MAX);
        }
        let uid = if known {
            Uid::of("event", &[self.log_type.as_bytes(), made.as_bytes()])
        } else {
            meta.uid()
        };
        let hex = uid.hex();
        let hex = std::str::from_utf8(&hex).expect("hexadecimal digits are ASCII");
        if made.len() > shown {
            made.truncate(shown);
            made.push('#');
            made.push_str(&hex[..PART_DIGITS]);
        }
        let is_short = made.len() <= IDENTITY_BYTES_MAX;
        rows.text(const { at("event_uid") }, if known && is_short { made } else { hex });
        rows.text(const { at("dedup_key") }, hex);
        (uid, known)
    }

    /// Writes the event's time and whether that is far from its arrival.
    fn date(
        &self,
        doc: &Doc<'_>,
        slots: &Slots,
        meta: &RecordMeta<'_>,
        rows: &mut Rows,
    ) -> (Timestamp, bool) {
        let mut times = self.times.iter();
        let read = times.find_map(|(field, form)| {
            slots.values(doc, *field).find_map(|value| {
                timestamp::read(value, *form).or_else(|| timestamp::near(value, *form, meta.now))
            })
        });
        let time = read.unwrap_or(meta.now);
        let ahead = time.0.saturating_sub(meta.now.0);
        let late = read.is_none() || ahead > AHEAD_NS_MAX || ahead < -meta.late_after_ns;
        if read.is_none() {
            let some = self.times.iter().any(|(field, _)| slots.first(doc, *field).is_some());
            let what = if some { "the event time is unreadable" } else { "no event time" };
            rows.text(const { at("parse_error") }, what);
        }
        rows.time(const { at("event_time") }, time);
        rows.int(const { at("event_time_ns") }, time.0);
        rows.bool(const { at("late") }, late);
        (time, late)
    }
}

impl Target<FieldId> {
    /// Applies one of its steps; whether anything was set.
    fn fill(
        &self,
        step: usize,
        doc: &Doc<'_>,
        slots: &Slots,
        rows: &mut Rows,
        scratch: &mut Scratch,
    ) -> bool {
        let step = &self.steps[step];
        let printed = &mut scratch.printed;
        let holds = step.when.iter().all(|(field, words)| {
            slots.nodes(*field).any(|node| {
                let value = doc.text(node).or_else(|| printed.text(doc, doc.value(node)));
                let is = |word: &String, value: &str| {
                    word == value || (word == "*" && !value.is_empty())
                };
                value.is_some_and(|value| words.iter().any(|word| is(word, value)))
            })
        });
        holds && self.step(step, doc, slots, rows, scratch)
    }

    /// Whether anything was set.
    fn step(
        &self,
        step: &Step<FieldId>,
        doc: &Doc<'_>,
        slots: &Slots,
        rows: &mut Rows,
        scratch: &mut Scratch,
    ) -> bool {
        let Scratch { made, printed, .. } = scratch;
        for text in &step.constant {
            self.put_text(text, doc, rows, printed);
        }
        if let Some(Take::Join(with)) = &step.take {
            join(step, with, doc, slots, made, printed);
            return self.put_mapped(step, made, doc, rows, printed);
        }
        let mut any = !step.constant.is_empty();
        for field in &step.from {
            for node in slots.nodes(*field) {
                any |= match (&step.take, doc.text(node)) {
                    (None, Some(text)) => self.put_mapped(step, text, doc, rows, printed),
                    (None, None) => self.put_value(step, doc, doc.value(node), rows, printed),
                    (Some(take), _) => match take.apply(doc, doc.value(node), made) {
                        Some(value) => self.put_value(step, doc, value, rows, printed),
                        None => false,
                    },
                };
                if any && self.column_type != ColumnType::TextList {
                    return true;
                }
            }
            if any && !self.gathers {
                return true;
            }
        }
        any
    }

    /// Sets the column to what the step makes of a value.
    fn put_value(
        &self,
        step: &Step<FieldId>,
        doc: &Doc<'_>,
        value: Value<'_>,
        rows: &mut Rows,
        printed: &mut Printer,
    ) -> bool {
        if let Value::Str(text) = value {
            return self.put_mapped(step, text, doc, rows, printed);
        }
        if !step.except.is_empty() {
            let text = printed.text(doc, value);
            if text.is_some_and(|text| step.except.iter().any(|e| e == text)) {
                return false;
            }
        }
        let Some(table) = &step.table else {
            return self.put(doc, value, rows, printed);
        };
        match printed.text(doc, value).and_then(|text| table.get(text)) {
            Some(found) => self.put_all(found, doc, rows, printed),
            None => false,
        }
    }

    /// Sets the column to what the step makes of a text.
    fn put_mapped(
        &self,
        step: &Step<FieldId>,
        text: &str,
        doc: &Doc<'_>,
        rows: &mut Rows,
        printed: &mut Printer,
    ) -> bool {
        match &step.table {
            _ if step.except.iter().any(|e| e == text) => false,
            None => self.put_text(text, doc, rows, printed),
            Some(_) if text.is_empty() => false,
            Some(table) => match table.get(text) {
                Some(found) => self.put_all(found, doc, rows, printed),
                None => false,
            },
        }
    }

    fn put_all(
        &self,
        texts: &[String],
        doc: &Doc<'_>,
        rows: &mut Rows,
        printed: &mut Printer,
    ) -> bool {
        let mut any = false;
        for text in texts {
            any |= self.put_text(text, doc, rows, printed);
        }
        any
    }

    /// As [`Self::put`], for a text; the usual case.
    #[inline]
    fn put_text(&self, text: &str, doc: &Doc<'_>, rows: &mut Rows, printed: &mut Printer) -> bool {
        match self.column_type {
            ColumnType::Text | ColumnType::TextList => !text.is_empty() && self.add(text, rows),
            _ => self.put(doc, Value::Str(text), rows, printed),
        }
    }

    /// Sets the column if the value is of its type; a value of another type stays in `raw`.
    fn put(&self, doc: &Doc<'_>, value: Value<'_>, rows: &mut Rows, printed: &mut Printer) -> bool {
        let column = self.column;
        match self.column_type {
            ColumnType::Text | ColumnType::TextList => match printed.text(doc, value) {
                Some(text) => self.add(text, rows),
                None => false,
            },
            ColumnType::Int => integer(value).map(|n| rows.int(column, n)).is_some(),
            ColumnType::Float => float(value).map(|n| rows.float(column, n)).is_some(),
            ColumnType::Bool => boolean(value).map(|b| rows.bool(column, b)).is_some(),
            ColumnType::Time => {
                timestamp::read(value, Form::Auto).map(|t| rows.time(column, t)).is_some()
            }
        }
    }

    /// Sets or extends a column of text.
    fn add(&self, text: &str, rows: &mut Rows) -> bool {
        if self.column_type == ColumnType::TextList {
            add_item(rows, self.column, text);
        } else {
            set_text(rows, self.column, text);
        }
        if let Some(list) = self.also_in {
            add_item(rows, list, text);
        }
        true
    }
}

fn join(
    step: &Step<FieldId>,
    with: &str,
    doc: &Doc<'_>,
    slots: &Slots,
    made: &mut String,
    printed: &mut Printer,
) {
    made.clear();
    for field in &step.from {
        for value in slots.values(doc, *field) {
            let Some(text) = printed.text(doc, value) else { continue };
            if !made.is_empty() {
                made.push_str(with);
            }
            made.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests;
