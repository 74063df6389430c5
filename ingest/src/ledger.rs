//! Which positions of a partition are finished without a hole.
//!
//! A pure state machine. Spans are emitted in order and touch; they are finished in any order, alone
//! or joined. What the source may acknowledge is [`Ledger::position`]: everything before it is
//! durable. A span that was never emitted, or is finished twice, is refused: it would mean that
//! something was stored twice or not at all.

use std::collections::BTreeMap;

use event::Span;

/// Why a span was refused. Positions are of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("span ({after}, {upto}] does not begin where the last one ended, at {emitted}")]
    NotNext { after: u64, upto: u64, emitted: u64 },
    #[error("span ({after}, {upto}] was not emitted; emitted is up to {emitted}")]
    NeverEmitted { after: u64, upto: u64, emitted: u64 },
    #[error("span ({after}, {upto}] was finished before")]
    FinishedBefore { after: u64, upto: u64 },
}

/// The spans of one partition between emission and finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Everything up to here is finished.
    finished: u64,
    /// Everything up to here was emitted.
    emitted: u64,
    /// Finished spans beyond the first hole, `after` to `upto`; they do not touch.
    islands: BTreeMap<u64, u64>,
}

impl Ledger {
    /// Of a partition that is finished up to `position`.
    pub fn new(position: u64) -> Self {
        Self { finished: position, emitted: position, islands: BTreeMap::new() }
    }

    /// Everything before this is durable.
    pub fn position(&self) -> u64 {
        self.finished
    }

    /// Everything before this was handed over.
    pub fn emitted(&self) -> u64 {
        self.emitted
    }

    /// Whether all that was emitted is finished.
    pub fn is_settled(&self) -> bool {
        self.finished == self.emitted
    }

    /// Notes a span on its way out. A span may be empty, when it carries state only.
    pub fn emit(&mut self, span: &Span) -> Result<(), LedgerError> {
        let (after, upto, emitted) = (span.after, span.upto, self.emitted);
        if after != emitted || upto < after {
            return Err(LedgerError::NotNext { after, upto, emitted });
        }
        self.emitted = upto;
        Ok(())
    }

    /// Notes that a span is durable; returns the position up to which all is.
    pub fn finish(&mut self, span: &Span) -> Result<u64, LedgerError> {
        let (after, upto) = (span.after, span.upto);
        if upto > self.emitted || upto < after {
            return Err(LedgerError::NeverEmitted { after, upto, emitted: self.emitted });
        }
        if after == upto {
            return Ok(self.finished);
        }
        let overlaps = self.islands.range(..upto).next_back().is_some_and(|(_, end)| *end > after);
        if after < self.finished || overlaps {
            return Err(LedgerError::FinishedBefore { after, upto });
        }
        self.join(after, upto);
        if let Some(end) = self.islands.remove(&self.finished) {
            self.finished = end;
        }
        Ok(self.finished)
    }

    fn join(&mut self, mut after: u64, mut upto: u64) {
        if let Some((&start, &end)) = self.islands.range(..after).next_back()
            && end == after
        {
            self.islands.remove(&start);
            after = start;
        }
        if let Some(end) = self.islands.remove(&upto) {
            upto = end;
        }
        self.islands.insert(after, upto);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::PartitionKey;
    use proptest::prelude::*;

    fn span(after: u64, upto: u64) -> Span {
        let key = PartitionKey { source: "s".into(), partition: "p".into() };
        Span { key, after, upto, state: None }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut ledger = Ledger::new(10);
        ledger.emit(&span(10, 20)).unwrap();
        for (after, upto) in [(10, 30), (25, 30), (19, 21), (20, 19)] {
            assert!(matches!(ledger.emit(&span(after, upto)), Err(LedgerError::NotNext { .. })));
        }
        assert!(matches!(ledger.finish(&span(20, 30)), Err(LedgerError::NeverEmitted { .. })));
        ledger.emit(&span(20, 30)).unwrap();
        assert_eq!(ledger.finish(&span(20, 30)), Ok(10));
        for (after, upto) in [(20, 30), (25, 27), (0, 10), (15, 30)] {
            assert!(matches!(
                ledger.finish(&span(after, upto)),
                Err(LedgerError::FinishedBefore { .. })
            ));
        }
        assert_eq!(ledger.finish(&span(10, 20)), Ok(30));
        assert!(ledger.is_settled());
        assert_eq!(ledger.finish(&span(30, 30)), Ok(30), "state only");
    }

    proptest! {
        #[test]
        fn the_position_is_the_first_hole(
            lengths in prop::collection::vec(1u64..5, 1..30),
            seed in any::<u64>(),
        ) {
            let mut ledger = Ledger::new(3);
            let mut spans = Vec::new();
            for length in lengths {
                let next = span(ledger.emitted(), ledger.emitted() + length);
                ledger.emit(&next).unwrap();
                spans.push((next, false));
            }
            let mut random = seed;
            let mut order: Vec<usize> = (0..spans.len()).collect();
            order.sort_by_cached_key(|i| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(*i as u64 + 1);
                random >> 33
            });
            for i in order {
                spans[i].1 = true;
                let position = ledger.finish(&spans[i].0).unwrap();
                let hole = spans.iter().find(|(_, done)| !done);
                let expected = hole.map_or(ledger.emitted(), |(span, _)| span.after);
                prop_assert_eq!(position, expected);
                prop_assert!(ledger.finish(&spans[i].0).is_err());
            }
            prop_assert!(ledger.is_settled() && ledger.islands.is_empty());
        }
    }
}
