//! Correlations on a stream of events: from the matches of rules to alerts over several events.
//!
//! ```text
//! hits of rules --Feeds--> Observation --Correlator: groups of entries, sorted by event time--> Found
//!                                            └── inner correlation's alert = one observation of the outer
//! ```
//! [`Feeds`] says, for the rules of one log source, which correlations an event takes part in and in
//! which group. The [`Correlator`] keeps the events of each group for as long as a window can reach them
//! and says which alerts there are. What it says depends on the history of events only, not on the order
//! in which they came, as long as none is later than its source's lateness; inserting an event again
//! changes nothing. So a state that is restored and then given the same events again ends where it was.
//! [`oracle`] says the same from the whole sorted history, slowly; the two share nothing but the IR.
//!
//! Invariant: pure. Times, also the wall clock's, are arguments; a snapshot is bytes.

mod clock;
mod correlator;
mod describe;
mod feed;
mod group;
pub mod oracle;
mod plan;
mod snapshot;
mod window;

use std::sync::Arc;

use event::{Timestamp, Uid};

use crate::ir::{Correlation, Quantity};

pub use clock::Arrival;
pub use correlator::{Correlator, Options, Stats};
pub use feed::{Feeds, Sighting};
pub use plan::Plans;
pub use snapshot::Unreadable;

/// A match names this many of its events, no more.
pub const MEMBERS_SHOWN_MAX: usize = 50;

/// A value of a `group-by` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupValue {
    /// As the event has it, bounded in length.
    pub text: Box<str>,
    /// Columns of the event's row that hold this very value, one bit each; the caller's numbering.
    pub columns: u64,
}

/// What a correlation counts or adds up of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Its type looks at no field.
    None,
    /// Different values, folded.
    Keys(Vec<Box<str>>),
    Numbers(Vec<Quantity>),
}

/// Where an event came from: what an alert says of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The `event_uid` of its row.
    pub event_uid: Box<str>,
    pub source: Arc<str>,
    pub log_type: Arc<str>,
    /// The hour since 1970 under which the lake files it.
    pub hour: i32,
}

/// An event that takes part in a group of a correlation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Identity of the correlation's plan.
    pub plan: Uid,
    /// One value for each `group-by` field.
    pub group: Vec<GroupValue>,
    pub time: Timestamp,
    /// Identity of the event.
    pub uid: Uid,
    /// The rules that the event matched, by position in the correlation, one bit each.
    pub members: u64,
    pub values: Values,
    /// What outer correlations want to know of the event.
    pub carried: Vec<Option<GroupValue>>,
    pub told: Told,
}

/// An event of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchedEvent {
    pub uid: Uid,
    pub time: Timestamp,
    /// Ids of the correlation's rules that it matched.
    pub rules: Vec<String>,
    /// When it is an alert of an inner correlation: its identity. The rest is then that of the event with
    /// which that held.
    pub alert: Option<event::AlertId>,
    pub told: Told,
}

/// A correlation holds for a group in a cell of time.
#[derive(Clone, Debug)]
pub struct Found {
    pub correlation: Arc<Correlation>,
    pub alert_id: event::AlertId,
    /// The `group-by` fields with the values as last seen.
    pub group: Vec<(String, GroupValue)>,
    /// The event at which the condition held: the end of the window.
    pub at: MatchedEvent,
    /// Events of the window in order of time, at most [`MEMBERS_SHOWN_MAX`]; with the newest of each
    /// rule among them.
    pub events: Vec<MatchedEvent>,
    /// How many events the window has.
    pub total: u64,
}

/// Longer values are kept by their beginning and a hash: an event must not choose how large a state is.
const VALUE_BYTES_MAX: usize = 512;

/// The text, or its beginning and its hash where it is too long.
fn bounded(text: &str) -> Box<str> {
    if text.len() <= VALUE_BYTES_MAX {
        return text.into();
    }
    let cut = (0..=VALUE_BYTES_MAX - 40).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…{}", &text[..cut], Uid::of("long value", &[text.as_bytes()])).into()
}

#[cfg(test)]
mod tests;
