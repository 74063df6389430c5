//! Where the stream of events stands: the time of the last event, and what was seen of that very nanosecond.
//! Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What of an event its source looks at.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "Type", default)]
    pub kind: String,
    #[serde(rename = "Action", default)]
    pub action: String,
    #[serde(rename = "Actor", default)]
    pub actor: Actor,
    #[serde(rename = "timeNano", default)]
    pub time_ns: i64,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Actor {
    #[serde(rename = "ID", default)]
    pub id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    since_ns: i64,
    /// Of the events of that nanosecond.
    seen: Vec<String>,
}

impl Cursor {
    /// As it was committed; without a state, before everything.
    pub fn resume(state: Option<&str>) -> Self {
        state.and_then(|state| serde_json::from_str(state).ok()).unwrap_or_default()
    }

    pub fn state(&self) -> Arc<str> {
        serde_json::to_string(self).unwrap_or_default().into()
    }

    /// As the engine takes it: seconds and nanoseconds. It gives what is of that very time again.
    pub fn since(&self) -> Option<String> {
        let (seconds, nanos) =
            (self.since_ns.div_euclid(1_000_000_000), self.since_ns.rem_euclid(1_000_000_000));
        (self.since_ns > 0).then(|| format!("{seconds}.{nanos:09}"))
    }

    /// Whether these are the bytes of (one of) the last.
    pub fn is_known(&self, line: &[u8]) -> bool {
        self.seen.contains(&mark(line))
    }

    /// Moves to an event; whether it is new.
    pub fn take(&mut self, event: Option<&Event>, line: &[u8]) -> bool {
        let time_ns = event.map_or(0, |event| event.time_ns);
        if time_ns < self.since_ns || time_ns == 0 {
            // Not in order, or without a time: it does not come again.
            return true;
        }
        if time_ns > self.since_ns {
            (self.since_ns, self.seen) = (time_ns, Vec::new());
        }
        let is_new = !self.is_known(line);
        if is_new {
            self.seen.push(mark(line));
        }
        is_new
    }
}

fn mark(line: &[u8]) -> String {
    blake3::hash(line).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_the_last_nanosecond_is_known_by_its_bytes() {
        let mut cursor = Cursor::resume(None);
        assert_eq!(cursor.since(), None);
        let mut take = |line: &str| {
            let event = serde_json::from_str::<Event>(line).ok();
            let is_new = cursor.take(event.as_ref(), line.as_bytes());
            cursor = Cursor::resume(Some(&cursor.state()));
            (is_new, cursor.since())
        };
        let at = |since: &str| Some(since.to_owned());
        let (a, b) =
            (r#"{"Action":"a","timeNano":1000000001}"#, r#"{"Action":"b","timeNano":1000000001}"#);
        assert_eq!(take(a), (true, at("1.000000001")));
        assert_eq!(take(b), (true, at("1.000000001")));
        assert_eq!(take(a), (false, at("1.000000001")));
        assert_eq!(take(b), (false, at("1.000000001")));
        assert_eq!(take(r#"{"timeNano":2000000000}"#), (true, at("2.000000000")));
        // Out of order, without a time, no JSON: handed over, and the place stays.
        for odd in [a, "{}", "{"] {
            assert_eq!(take(odd), (true, at("2.000000000")), "{odd}");
        }
    }
}
