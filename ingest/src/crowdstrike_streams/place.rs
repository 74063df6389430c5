//! Where a stream stands: the offset of the last event. Pure.
//!
//! A stream is asked for its last event again. What comes then tells three things that asking for the next one could
//! not: that the vendor still has everything in between, that it counts as before, and whether it takes an offset as
//! the first or as the last of those that are known.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Lines without an offset that are remembered until one has an offset.
const ODD_MAX: usize = 100;

/// What of an event its source looks at.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    offset: u64,
    /// Milliseconds since 1970.
    #[serde(rename = "eventCreationTime", default)]
    created_ms: i64,
}

impl Event {
    /// `None`: it is no event of this vendor's.
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Milliseconds since 1970.
    pub fn created_ms(&self) -> i64 {
        self.metadata.created_ms
    }
}

/// What commits with the events of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Of the last event.
    offset: Option<u64>,
    /// The newest time at which an event was created, milliseconds since 1970.
    pub newest_ms: i64,
    /// Lines without an offset behind that event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    odd: Vec<String>,
    /// The next event is the first of a connection.
    #[serde(skip)]
    is_first: bool,
}

/// Why events may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// The vendor no longer has what comes after the first offset; the second is the oldest that it has.
    Forgotten(u64, u64),
    /// Offsets begin anew: after the first comes the second, of an event that was created later.
    Anew(u64, u64),
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forgotten(after, next) => write!(
                f,
                "events may be missing here: the vendor no longer has what came after offset {after}, and goes on at {next}"
            ),
            Self::Anew(after, next) => write!(
                f,
                "events may be missing here: the vendor counts anew, after offset {after} comes {next}"
            ),
        }
    }
}

impl Place {
    /// As it was committed; without a state, before everything. `None`: what was committed cannot be read.
    pub fn resume(state: Option<&str>) -> Option<Self> {
        state.map_or(Some(Self::default()), |state| serde_json::from_str(state).ok())
    }

    pub fn state(&self) -> Arc<str> {
        serde_json::to_string(self).unwrap_or_default().into()
    }

    /// A connection is to be opened: the offset to ask for.
    pub fn ask(&mut self) -> u64 {
        self.is_first = true;
        self.offset.unwrap_or(0)
    }

    /// Moves to a line: whether it is new, and what may be missing before it.
    pub fn take(&mut self, event: Option<&Event>, line: &[u8]) -> (bool, Option<Gap>) {
        let Some(Event { metadata }) = event else {
            let mark = blake3::hash(line).to_hex()[..16].to_owned();
            let is_new = !self.odd.contains(&mark);
            if is_new && self.odd.len() < ODD_MAX {
                self.odd.push(mark);
            }
            return (is_new, None);
        };
        let is_first = std::mem::take(&mut self.is_first);
        let next = metadata.offset;
        let gap = match self.offset {
            Some(last) if next <= last && metadata.created_ms > self.newest_ms => {
                Some(Gap::Anew(last, next))
            }
            Some(last) if next <= last => return (false, None),
            Some(last) if is_first && next > last + 1 => Some(Gap::Forgotten(last, next)),
            _ => None,
        };
        self.offset = Some(next);
        self.newest_ms = self.newest_ms.max(metadata.created_ms);
        self.odd.clear();
        (true, gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Through the state, as after a restart.
    fn take(place: &mut Place, is_first: bool, line: &str) -> (bool, Option<Gap>) {
        *place = Place::resume(Some(&place.state())).unwrap();
        if is_first {
            place.ask();
        }
        place.take(Event::read(line.as_bytes()).as_ref(), line.as_bytes())
    }

    fn line(offset: u64, created_ms: i64) -> String {
        format!(
            r#"{{"metadata":{{"offset":{offset},"eventCreationTime":{created_ms}}},"event":{{}}}}"#
        )
    }

    #[test]
    fn events_are_taken_once_and_what_is_missing_is_told() {
        let mut place = Place::resume(None).unwrap();
        assert_eq!(place.ask(), 0);
        // The oldest that there is.
        assert_eq!(take(&mut place, true, &line(7, 100)), (true, None));
        assert_eq!(take(&mut place, false, &line(8, 90)), (true, None));
        // A vendor may leave numbers out while one listens.
        assert_eq!(take(&mut place, false, &line(10, 110)), (true, None));
        assert_eq!(place.ask(), 10);
        // Whether it begins with the one that was asked for, with the next, or with some that it gave before.
        for first in [10, 9, 8] {
            let mut place = place.clone();
            assert_eq!(take(&mut place, true, &line(first, 100)), (false, None), "{first}");
            assert_eq!(take(&mut place, false, &line(11, 120)), (true, None));
        }
        assert_eq!(take(&mut place.clone(), true, &line(11, 120)), (true, None));
        let gap = take(&mut place.clone(), true, &line(12, 120));
        assert_eq!(gap, (true, Some(Gap::Forgotten(10, 12))));
        // Counted anew.
        assert_eq!(take(&mut place, true, &line(1, 200)), (true, Some(Gap::Anew(10, 1))));
        assert_eq!(take(&mut place, false, &line(2, 200)), (true, None));
        assert_eq!(place.ask(), 2);
    }

    #[test]
    fn lines_without_an_offset_are_known_by_their_bytes_until_one_has_an_offset() {
        let mut place = Place::resume(None).unwrap();
        assert_eq!(take(&mut place, true, &line(1, 1)), (true, None));
        assert_eq!(take(&mut place, false, "<html>"), (true, None));
        assert_eq!(take(&mut place, true, "<html>"), (false, None));
        assert_eq!(take(&mut place, true, &line(2, 1)), (true, None));
        assert_eq!(take(&mut place, false, "<html>"), (true, None));
        assert_eq!(Place::resume(Some("?")), None);
    }
}
