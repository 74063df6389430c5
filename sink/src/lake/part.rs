//! What one worker hands over for an epoch, and the check that an epoch is whole before any of it is
//! written: the spans of every partition touch, and every received record became something.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use event::{Alert, DeadLetter, PartitionKey, Rows, Span, Uid};

use super::error::{Error, Kind};
use super::hold::Hold;
use super::manifest::{Manifest, Position, SpanEntry};

/// A finished span and what its records became; `received = stored + duplicates + dead + dropped`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanOutcome {
    pub span: Span,
    pub received: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub dead: u64,
    /// Dropped by the policy of the source's owner.
    pub dropped: u64,
}

/// One worker's share of an epoch.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Rows of events, one or more per log type.
    pub tables: Vec<Rows>,
    pub spans: Vec<SpanOutcome>,
    pub dead_letters: Vec<DeadLetter>,
    /// Alerts raised by the events of this part, for the table `alerts`.
    pub alerts: Vec<Alert>,
    /// Identities of dead letters that these spans gave to the pipeline again.
    pub redriven: Vec<Uid>,
}

impl Part {
    /// About how much memory the rows and dead letters take, to compare with
    /// [`super::LakeOptions::epoch_bytes_max`].
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(Rows::bytes).sum::<usize>()
            + self.dead_letters.iter().map(|d| d.bytes.len() + d.reason.len() + 100).sum::<usize>()
    }

    /// Whether committing it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
            && self.dead_letters.is_empty()
            && self.alerts.is_empty()
            && self.redriven.is_empty()
            && self.tables.iter().all(Rows::is_empty)
    }
}

/// The positions of a lane's partitions.
pub type Positions = HashMap<PartitionKey, Resume>;

/// Where a source partition continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    pub upto: u64,
    /// What the source gave with its newest span that had a state.
    pub state: Option<Arc<str>>,
    /// Whether the lane may.
    pub hold: Hold,
}

/// All parts of an epoch together.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub tables: Vec<Rows>,
    pub spans: Vec<SpanEntry>,
    pub dead_letters: Vec<DeadLetter>,
    pub alerts: Vec<Alert>,
    pub redriven: Vec<Uid>,
}

/// Puts the parts of an epoch together; spans of a partition become one entry.
///
/// # Errors
/// [`Kind::Spans`] when spans overlap or leave a gap (also to `positions`), or when counts differ from
/// the rows and dead letters given. [`Kind::Fenced`] when a partition is another lane's, or was meanwhile.
pub(super) fn merge(parts: Vec<Part>, positions: &Positions) -> Result<Merged, Error> {
    let mut merged = Merged::default();
    let mut spans: BTreeMap<PartitionKey, Vec<SpanOutcome>> = BTreeMap::new();
    for part in parts {
        merged.tables.extend(part.tables.into_iter().filter(|rows| !rows.is_empty()));
        merged.dead_letters.extend(part.dead_letters);
        merged.alerts.extend(part.alerts);
        merged.redriven.extend(part.redriven);
        for outcome in part.spans {
            spans.entry(outcome.span.key.clone()).or_default().push(outcome);
        }
    }
    for (key, mut outcomes) in spans {
        outcomes.sort_by_key(|o| (o.span.after, o.span.upto));
        let known = positions.get(&key);
        if let Some(resume) = known {
            may(&key, resume, outcomes[0].span.after)?;
        }
        merged.spans.push(join(&key, &outcomes, known.map(|resume| resume.upto))?);
    }
    let stored: u64 = merged.spans.iter().map(|s| s.stored).sum();
    let dead: u64 = merged.spans.iter().map(|s| s.dead).sum();
    let (rows, letters) =
        (merged.tables.iter().map(|t| t.len() as u64).sum(), merged.dead_letters.len() as u64);
    if (stored, dead) != (rows, letters) {
        let what = format!(
            "the spans speak of {stored} stored and {dead} dead records, given were {rows} and {letters}"
        );
        return Err(Error::new(Kind::Spans, what));
    }
    Ok(merged)
}

/// Refuses what was read before another lane had the partition.
fn may(key: &PartitionKey, resume: &Resume, after: u64) -> Result<(), Error> {
    let was_elsewhere = match resume.hold {
        Hold::Own => false,
        Hold::Claimed => after < resume.upto,
        Hold::Taken => true,
    };
    if was_elsewhere { Err(taken_over(key)) } else { Ok(()) }
}

/// What a process hears that has read of a partition which is another lane's.
pub(super) fn taken_over(key: &PartitionKey) -> Error {
    let what = format!(
        "another process has taken over {} / {}: what was read of it here is read there",
        key.source, key.partition
    );
    Error::new(Kind::Fenced, what)
}

/// One entry of sorted spans that must touch.
fn join(
    key: &PartitionKey,
    outcomes: &[SpanOutcome],
    known: Option<u64>,
) -> Result<SpanEntry, Error> {
    let start = known.unwrap_or(outcomes[0].span.after);
    let mut entry = SpanEntry {
        source: key.source.to_string(),
        partition: key.partition.to_string(),
        after: start,
        upto: start,
        received: 0,
        stored: 0,
        duplicates: 0,
        dead: 0,
        dropped: 0,
        state: None,
    };
    let bug =
        |what: &str| Error::new(Kind::Spans, format!("{} / {}: {what}", key.source, key.partition));
    for outcome in outcomes {
        let Span { after, upto, state, .. } = &outcome.span;
        if *after != entry.upto || upto < after {
            let word = if *after > entry.upto { "a gap" } else { "an overlap" };
            return Err(bug(&format!(
                "{word}: the span ({after}, {upto}] was given where {} is finished",
                entry.upto
            )));
        }
        let o = outcome;
        if o.received != o.stored + o.duplicates + o.dead + o.dropped {
            return Err(bug(&format!(
                "of {} received records of ({after}, {upto}] {} are stored, {} duplicates, {} dead, {} dropped",
                o.received, o.stored, o.duplicates, o.dead, o.dropped
            )));
        }
        entry.upto = *upto;
        entry.received += o.received;
        entry.stored += o.stored;
        entry.duplicates += o.duplicates;
        entry.dead += o.dead;
        entry.dropped += o.dropped;
        if let Some(state) = state {
            entry.state = Some(state.to_string());
        }
    }
    Ok(entry)
}

/// Moves positions past an epoch.
pub(super) fn follow(positions: &mut Positions, epoch: &Manifest) {
    let mut hold = |key, hold| match positions.get_mut(&key) {
        Some(resume) => resume.hold = hold,
        None => drop(positions.insert(key, Resume { upto: 0, state: None, hold })),
    };
    epoch.claimed.iter().for_each(|partition| hold(partition.key(), Hold::Claimed));
    epoch.taken.iter().for_each(|taken| hold(taken.partition.key(), Hold::Taken));
    for span in &epoch.spans {
        let key = PartitionKey {
            source: span.source.as_str().into(),
            partition: span.partition.as_str().into(),
        };
        let new = Resume { upto: span.upto, state: None, hold: Hold::Own };
        let resume = positions.entry(key).or_insert(new);
        (resume.upto, resume.hold) = (span.upto, Hold::Own);
        if let Some(state) = &span.state {
            resume.state = Some(state.as_str().into());
        }
    }
}

/// Positions as a manifest lists them, sorted.
pub(super) fn list(positions: &Positions) -> Vec<Position> {
    let mut list: Vec<Position> = positions
        .iter()
        .map(|(key, resume)| Position {
            source: key.source.to_string(),
            partition: key.partition.to_string(),
            upto: resume.upto,
            state: resume.state.as_ref().map(ToString::to_string),
            hold: resume.hold,
        })
        .collect();
    list.sort_by(|a, b| (&a.source, &a.partition).cmp(&(&b.source, &b.partition)));
    list
}

/// The inverse of [`list`].
pub(super) fn unlist(list: &[Position]) -> Positions {
    list.iter()
        .map(|p| {
            let key = PartitionKey {
                source: p.source.as_str().into(),
                partition: p.partition.as_str().into(),
            };
            let state = p.state.as_deref().map(Into::into);
            (key, Resume { upto: p.upto, state, hold: p.hold })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PartitionKey {
        PartitionKey { source: "s".into(), partition: "p".into() }
    }

    fn own(upto: u64, state: Option<&str>) -> Resume {
        Resume { upto, state: state.map(Into::into), hold: Hold::Own }
    }

    fn epoch(spans: Vec<SpanEntry>) -> Manifest {
        Manifest { spans, ..super::super::manifest::tests::sample(1, None) }
    }

    fn outcome(after: u64, upto: u64, state: Option<&str>) -> SpanOutcome {
        let span = Span { key: key(), after, upto, state: state.map(Into::into) };
        let received = upto.saturating_sub(after);
        SpanOutcome { span, received, stored: 0, duplicates: received, dead: 0, dropped: 0 }
    }

    /// Spans of several workers → the joined span, or a word of the error.
    fn check(
        known: Option<u64>,
        workers: &[&[(u64, u64, Option<&str>)]],
        expected: Result<(u64, u64, Option<&str>), &str>,
    ) {
        let parts = workers
            .iter()
            .map(|spans| Part {
                spans: spans.iter().map(|&(a, u, s)| outcome(a, u, s)).collect(),
                ..Part::default()
            })
            .collect();
        let positions: Positions = known.map(|upto| (key(), own(upto, None))).into_iter().collect();
        match (merge(parts, &positions), expected) {
            (Ok(merged), Ok((after, upto, state))) => {
                let [span] = merged.spans.as_slice() else { panic!("{merged:?}") };
                assert_eq!((span.after, span.upto, span.state.as_deref()), (after, upto, state));
                assert_eq!(span.received, upto - after);
            }
            (Err(error), Err(word)) => {
                assert_eq!(error.kind(), Kind::Spans);
                assert!(error.to_string().contains(word), "{error}");
            }
            (got, expected) => panic!("{workers:?}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn spans_must_touch() {
        check(None, &[&[(0, 5, None), (5, 9, None)]], Ok((0, 9, None)));
        check(None, &[&[(7, 9, None)], &[(3, 7, None)]], Ok((3, 9, None)));
        check(Some(3), &[&[(3, 7, Some("a"))], &[(7, 9, Some("b"))]], Ok((3, 9, Some("b"))));
        check(Some(3), &[&[(3, 7, Some("a"))], &[(7, 7, Some("b"))]], Ok((3, 7, Some("b"))));
        check(Some(3), &[&[(3, 3, Some("a")), (3, 4, None)]], Ok((3, 4, Some("a"))));
        check(None, &[&[(0, 5, None), (6, 9, None)]], Err("gap"));
        check(None, &[&[(0, 5, None), (4, 9, None)]], Err("overlap"));
        check(None, &[&[(0, 5, None)], &[(0, 5, None)]], Err("overlap"));
        check(Some(3), &[&[(4, 5, None)]], Err("gap"));
        check(Some(3), &[&[(2, 5, None)]], Err("overlap"));
        check(None, &[&[(5, 4, None)]], Err("overlap"));
    }

    #[test]
    fn every_record_became_something() {
        let part = |change: &dyn Fn(&mut SpanOutcome)| {
            let mut o = outcome(0, 5, None);
            change(&mut o);
            vec![Part { spans: vec![o], ..Part::default() }]
        };
        let none = Positions::new();
        assert!(merge(part(&|_| {}), &none).is_ok());
        assert!(merge(part(&|o| (o.duplicates, o.dropped) = (2, 3)), &none).is_ok());
        for change in [
            (|o| o.duplicates = 4) as fn(&mut SpanOutcome),
            |o| o.dropped = 1,
            |o| (o.duplicates, o.stored) = (4, 1),
            |o| (o.duplicates, o.dead) = (4, 1),
        ] {
            let error = merge(part(&change), &none).unwrap_err();
            assert_eq!(error.kind(), Kind::Spans);
        }
    }

    #[test]
    fn positions_come_back_and_advance() {
        let mut positions = Positions::new();
        let merged = merge(
            vec![Part { spans: vec![outcome(0, 5, Some("x"))], ..Part::default() }],
            &positions,
        );
        follow(&mut positions, &epoch(merged.unwrap().spans));
        assert_eq!(positions[&key()], own(5, Some("x")));
        assert_eq!(unlist(&list(&positions)), positions);
        let merged =
            merge(vec![Part { spans: vec![outcome(5, 6, None)], ..Part::default() }], &positions);
        follow(&mut positions, &epoch(merged.unwrap().spans));
        assert_eq!(positions[&key()], own(6, Some("x")), "state stays");
    }

    #[test]
    fn what_is_another_lanes_is_refused() {
        let with = |hold| Positions::from([(key(), Resume { hold, ..own(5, None) })]);
        let give = |after, positions| {
            let spans = vec![outcome(after, 9, None)];
            merge(vec![Part { spans, ..Part::default() }], &positions).map_err(|e| e.kind())
        };
        assert!(give(5, with(Hold::Claimed)).is_ok());
        assert_eq!(give(4, with(Hold::Claimed)).unwrap_err(), Kind::Fenced);
        assert_eq!(give(6, with(Hold::Claimed)).unwrap_err(), Kind::Spans);
        assert_eq!(give(5, with(Hold::Taken)).unwrap_err(), Kind::Fenced);
        let mut positions = with(Hold::Taken);
        let partition = super::super::hold::Partition::from(&key());
        follow(&mut positions, &Manifest { claimed: vec![partition], ..epoch(Vec::new()) });
        assert_eq!((positions[&key()].upto, positions[&key()].hold), (5, Hold::Claimed));
        let spans =
            merge(vec![Part { spans: vec![outcome(5, 9, None)], ..Part::default() }], &positions);
        follow(&mut positions, &epoch(spans.unwrap().spans));
        assert_eq!((positions[&key()].upto, positions[&key()].hold), (9, Hold::Own));
        assert_eq!(unlist(&list(&with(Hold::Taken))), with(Hold::Taken));
    }
}
