//! One log type in one worker: record in, row and matches out. The hot path, all synchronous; in the
//! steady state nothing in [`Stream::take`] allocates.

use std::sync::Arc;

use detect::Matcher;
use detect::correlate::{Observation, Sighting, Told};
use event::columns::Cell;
use event::{Parser, Rows, Slots, Timestamp, Uid};
use normalize::{Mapped, Mapper, RecordMeta, Reject};

use super::detection::Compiled;
use super::spare::Spare;

/// Buffers and compiled parts of one log type.
pub struct Stream {
    pub compiled: Compiled,
    mapper: Mapper,
    matcher: Matcher,
    slots: Slots,
    /// Rows since the last cut.
    pub rows: Rows,
    /// Rules that matched the last stored record, as indexes into the group.
    pub hits: Vec<u32>,
    /// What correlations are to know of the records taken since they were last told.
    pub observations: Vec<Observation>,
    /// Names of the last source and of the log type, shared by the observations.
    names: (Arc<str>, Arc<str>),
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The last row of [`Stream::rows`] is it, and [`Stream::hits`] are its matches.
    Stored(Mapped),
    Duplicate,
}

/// Where a record came from and when.
pub struct Origin<'a> {
    pub key: &'a event::PartitionKey,
    pub at: u64,
    pub index: u32,
    pub name: Option<&'a str>,
    pub now: Timestamp,
    pub late_after_ns: i64,
}

impl Stream {
    pub fn new(compiled: Compiled) -> Self {
        let rows = Rows::new(Arc::clone(compiled.mapping.schema()));
        Self {
            mapper: compiled.mapper.clone(),
            matcher: compiled.group.matcher(),
            slots: Slots::default(),
            rows,
            hits: Vec::new(),
            observations: Vec::new(),
            names: ("".into(), compiled.mapping.log_type().as_str().into()),
            compiled,
        }
    }

    /// Parses, maps, tests for duplicates and matches one record.
    pub fn take(
        &mut self,
        parser: &mut Parser,
        record: &[u8],
        header: Option<&[u8]>,
        origin: &Origin<'_>,
        seen: &mut dyn FnMut(Uid) -> bool,
    ) -> Result<Verdict, Reject> {
        let doc = self.mapper.parse(parser, record, header)?;
        self.slots.fill(&self.compiled.fields, &doc);
        let meta = RecordMeta {
            raw: record,
            key: origin.key,
            at: origin.at,
            index: origin.index,
            name: origin.name,
            now: origin.now,
            late_after_ns: origin.late_after_ns,
        };
        let mapped = match self.mapper.map(&doc, &self.slots, &meta, &mut self.rows) {
            Ok(mapped) => mapped,
            Err(reject) => {
                self.rows.abandon_row();
                return Err(reject);
            }
        };
        if seen(mapped.uid) {
            self.rows.abandon_row();
            return Ok(Verdict::Duplicate);
        }
        self.rows.end_row();
        self.hits.clear();
        self.matcher.matches(&doc, &self.slots, &mut self.hits);
        if self.compiled.group.feeds().concern(&self.hits) {
            if *self.names.0 != *origin.key.source {
                self.names.0 = Arc::clone(&origin.key.source);
            }
            let row = self.rows.len() - 1;
            let sighting = Sighting {
                doc: &doc,
                slots: &self.slots,
                time: mapped.event_time,
                uid: mapped.uid,
                columns: &|text| columns_with(&self.rows, row, text),
                told: told(&self.rows, row, mapped, origin, &self.names),
            };
            self.compiled.group.feeds().observe(&self.hits, &sighting, &mut self.observations);
        }
        Ok(Verdict::Stored(mapped))
    }

    /// Hands the rows over and goes on with spare ones.
    pub fn cut(&mut self, spare: &Spare) -> Option<Rows> {
        if self.rows.is_empty() {
            return None;
        }
        Some(std::mem::replace(&mut self.rows, spare.take(self.compiled.mapping.schema())))
    }
}

/// The common columns of a row that hold this very text, one bit each in the order of
/// [`normalize::columns::COMMON`]. Those that the mapper fills say nothing about a group.
fn columns_with(rows: &Rows, row: usize, text: &str) -> u64 {
    let common = normalize::columns::COMMON.iter().enumerate();
    let told = common.filter(|(_, column)| column.filled != normalize::columns::Filled::ByMapper);
    let same = told.filter(|(at, _)| rows.cell(row, *at) == Cell::Text(text));
    same.fold(0, |bits, (at, _)| bits | 1 << at)
}

/// The name of a common column by its bit.
pub fn column_names(bits: u64) -> impl Iterator<Item = &'static str> {
    let common = normalize::columns::COMMON.iter().enumerate();
    common.filter(move |(at, _)| bits >> at & 1 == 1).map(|(_, column)| column.name)
}

fn told(
    rows: &Rows,
    row: usize,
    mapped: Mapped,
    origin: &Origin<'_>,
    (source, log_type): &(Arc<str>, Arc<str>),
) -> Told {
    let event_uid = normalize::columns::index_of("event_uid").map(|at| rows.cell(row, at));
    let event_uid = match event_uid {
        Some(Cell::Text(uid)) => shortened(uid).into(),
        _ => mapped.uid.to_string().into(),
    };
    let filed = if mapped.late { origin.now } else { mapped.event_time };
    Told {
        event_uid,
        source: Arc::clone(source),
        log_type: Arc::clone(log_type),
        hour: i32::try_from(filed.hour()).unwrap_or(i32::MAX),
    }
}

/// A provider's id is short; what is not is cut, as it is kept for hours.
fn shortened(uid: &str) -> &str {
    const BYTES_MAX: usize = 256;
    let end = (0..=uid.len().min(BYTES_MAX)).rev().find(|at| uid.is_char_boundary(*at));
    &uid[..end.unwrap_or(0)]
}
