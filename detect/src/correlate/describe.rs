//! Putting what holds into words: for people as a [`Found`], for outer correlations as an [`Observation`].

use std::sync::Arc;

use event::{AlertId, Timestamp, Uid};

use crate::fold::folded;

use super::feed::{joined, number};
use super::group::{Entry, Group};
use super::plan::{Link, Place, Plan, Wanted};
use super::window::{Holds, bits};
use super::{Found, GroupValue, MEMBERS_SHOWN_MAX, MatchedEvent, Observation, Told, Values};

fn told(entry: &Entry, origins: &[(Arc<str>, Arc<str>)]) -> Told {
    let (source, log_type) = &origins[entry.origin as usize];
    Told {
        event_uid: entry.event_uid.clone(),
        source: Arc::clone(source),
        log_type: Arc::clone(log_type),
        hour: entry.hour,
    }
}

/// The alert of a window that holds.
pub(super) fn describe(
    plan: &Plan,
    group: &Group,
    origins: &[(Arc<str>, Arc<str>)],
    holds: Holds,
    alert_id: AlertId,
) -> Found {
    let correlation = &plan.correlation;
    let event = |entry: &Entry| MatchedEvent {
        uid: entry.uid,
        time: Timestamp(entry.time),
        rules: bits(entry.members).map(|m| correlation.members[m].id.clone()).collect(),
        alert: bits(entry.members)
            .any(|m| correlation.members[m].is_correlation)
            .then_some(AlertId(entry.uid)),
        told: told(entry, origins),
    };
    let shown = shown(group, holds);
    let names = correlation.group_by.iter().cloned();
    Found {
        correlation: Arc::clone(correlation),
        alert_id,
        group: names.zip(group.shown.iter().cloned()).collect(),
        at: event(&group.entries[holds.to - 1]),
        events: shown.into_iter().map(|at| event(&group.entries[at])).collect(),
        total: (holds.to - holds.from) as u64,
    }
}

/// The events of a window to name: the newest of each rule, then the newest of all.
fn shown(group: &Group, holds: Holds) -> Vec<usize> {
    let mut missing = group.present();
    let mut chosen = Vec::new();
    for at in (holds.from..holds.to).rev() {
        let new = group.entries[at].members & missing;
        missing &= !new;
        if new != 0 && chosen.len() < MEMBERS_SHOWN_MAX {
            chosen.push(at);
        }
        if missing == 0 {
            break;
        }
    }
    let newest = (holds.from..holds.to).rev();
    for at in newest {
        if chosen.len() >= MEMBERS_SHOWN_MAX {
            break;
        }
        if !chosen.contains(&at) {
            chosen.push(at);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// The alert of an inner correlation as an event of an outer one; `None` when it lacks a value that the
/// outer one groups by or looks at.
pub(super) fn observation(
    link: &Link,
    plan: Uid,
    wanted: Wanted,
    group: &Group,
    origins: &[(Arc<str>, Arc<str>)],
    holds: Holds,
    alert_id: AlertId,
) -> Option<Observation> {
    let entry = &group.entries[holds.to - 1];
    let value = |place: &Place| match place {
        Place::Group(at) => group.shown.get(*at).cloned(),
        Place::Carried(at) => entry.carried.get(*at).cloned().flatten(),
    };
    let all = |places: &[Place]| places.iter().map(value).collect::<Option<Vec<GroupValue>>>();
    let values = all(&link.values)?;
    let values = match wanted {
        Wanted::Nothing => Values::None,
        Wanted::Keys => {
            let texts: Vec<String> = values.iter().map(|value| folded(&value.text)).collect();
            Values::Keys(vec![joined(&texts)])
        }
        Wanted::Numbers => Values::Numbers(vec![number(&values.first()?.text)?]),
    };
    Some(Observation {
        plan,
        group: all(&link.group)?,
        time: Timestamp(holds.time),
        uid: alert_id.0,
        members: 1 << link.member,
        values,
        carried: link.carried.iter().map(value).collect(),
        told: told(entry, origins),
    })
}
