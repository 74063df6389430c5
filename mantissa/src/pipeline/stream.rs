//! One log type in one worker: record in, row and matches out. The hot path, all synchronous; in the
//! steady state nothing in [`Stream::take`] allocates.

use std::sync::Arc;

use detect::Matcher;
use event::{Parser, Rows, Slots, Timestamp, Uid};
use normalize::{Mapped, Mapper, RecordMeta, Reject};

use super::detection::Compiled;

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
        Ok(Verdict::Stored(mapped))
    }

    /// Hands the rows over and starts anew.
    pub fn cut(&mut self) -> Option<Rows> {
        if self.rows.is_empty() {
            return None;
        }
        let fresh = Rows::new(Arc::clone(self.compiled.mapping.schema()));
        Some(std::mem::replace(&mut self.rows, fresh))
    }
}
