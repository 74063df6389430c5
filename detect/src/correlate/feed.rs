//! From the matches of one event to observations: the rules of one log source, with the fields that
//! correlations read of their events bound to slots.

use event::{Doc, FieldId, FieldsBuilder, Slots, Timestamp, Uid, Value};
use hashbrown::HashMap;

use crate::fold::folded;
use crate::ir::Quantity;
use crate::number::Number;
use crate::value::text_of;

use super::plan::{Plan, Plans, Wanted};
use super::{GroupValue, Observation, Told, Values, bounded};

/// An event takes part in this many groups of a correlation, and is counted with this many
/// combinations of values; what is beyond is left out.
const COMBINATIONS_MAX: usize = 32;

/// Which correlations the rules of a group feed, and with which fields.
#[derive(Debug, Default)]
pub struct Feeds {
    /// By rule, as matches name them.
    by_rule: HashMap<u32, Vec<Feed>>,
    /// Every plan that is fed, each once.
    plans: Vec<Uid>,
}

/// A rule's part in one correlation.
#[derive(Debug)]
struct Feed {
    plan: Uid,
    member: u32,
    wanted: Wanted,
    group_by: Vec<FieldId>,
    fields: Vec<FieldId>,
    carried: Vec<FieldId>,
}

/// The event of which observations are made.
pub struct Sighting<'a> {
    pub doc: &'a Doc<'a>,
    pub slots: &'a Slots,
    pub time: Timestamp,
    pub uid: Uid,
    /// Columns of the event's row that hold this text, one bit each.
    pub columns: &'a dyn Fn(&str) -> u64,
    pub told: Told,
}

impl Feeds {
    /// Binds what `plans` read of these rules' events. `rules` are ids in the order in which matches
    /// name them; `candidates` as for [`crate::RuleSet::bind`].
    pub fn bind<'r>(
        plans: &Plans,
        rules: impl Iterator<Item = &'r str>,
        candidates: &dyn Fn(&str) -> Vec<String>,
        builder: &mut FieldsBuilder,
    ) -> Self {
        let mut feeds = Self::default();
        let mut members: HashMap<&str, Vec<(&Plan, usize)>> = HashMap::new();
        for plan in &*plans.all {
            for (at, member) in plan.correlation.members.iter().enumerate() {
                if !member.is_correlation {
                    members.entry(&member.id).or_default().push((plan, at));
                }
            }
        }
        for (hit, rule) in (0_u32..).zip(rules) {
            for (plan, member) in members.get(rule).into_iter().flatten() {
                let feed = Feed::bind(plan, *member, candidates, builder);
                if !feeds.plans.contains(&feed.plan) {
                    feeds.plans.push(feed.plan);
                }
                feeds.by_rule.entry(hit).or_default().push(feed);
            }
        }
        feeds
    }

    /// Plans that events of this log source can take part in.
    pub fn plans(&self) -> &[Uid] {
        &self.plans
    }

    /// Whether any of these matches takes part in a correlation.
    pub fn concern(&self, hits: &[u32]) -> bool {
        !self.by_rule.is_empty() && hits.iter().any(|hit| self.by_rule.contains_key(hit))
    }

    /// Adds the observations that the event's matches make. An event that several rules of a
    /// correlation matched is one observation for each group, with the values of the first rule.
    pub fn observe(&self, hits: &[u32], seen: &Sighting<'_>, out: &mut Vec<Observation>) {
        let first = out.len();
        let feeds = hits.iter().filter_map(|hit| self.by_rule.get(hit)).flatten();
        let mut feeds: Vec<&Feed> = feeds.collect();
        feeds.sort_by_key(|feed| feed.member);
        for feed in feeds {
            let Some(values) = feed.values(seen) else { continue };
            let carried: Vec<_> =
                feed.carried.iter().map(|field| first_value(seen, *field)).collect();
            for group in feed.groups(seen) {
                let same = |o: &&mut Observation| {
                    let values = o.group.iter().zip(&group);
                    o.plan == feed.plan && values.into_iter().all(|(a, b)| same_text(a, b))
                };
                if let Some(known) = out[first..].iter_mut().find(same) {
                    known.members |= 1 << feed.member;
                    continue;
                }
                out.push(Observation {
                    plan: feed.plan,
                    group,
                    time: seen.time,
                    uid: seen.uid,
                    members: 1 << feed.member,
                    values: values.clone(),
                    carried: carried.clone(),
                    told: seen.told.clone(),
                });
            }
        }
    }
}

fn same_text(a: &GroupValue, b: &GroupValue) -> bool {
    folded(&a.text) == folded(&b.text)
}

impl Feed {
    fn bind(
        plan: &Plan,
        member: usize,
        candidates: &dyn Fn(&str) -> Vec<String>,
        builder: &mut FieldsBuilder,
    ) -> Self {
        let correlation = &plan.correlation;
        let mut field = |name: &String| {
            let name = correlation.field_of(name, member);
            let mut paths = candidates(name);
            if paths.is_empty() {
                paths.push(name.to_owned());
            }
            builder.field(&paths)
        };
        Self {
            plan: plan.key,
            member: member as u32,
            wanted: plan.wants(),
            group_by: correlation.group_by.iter().map(&mut field).collect(),
            fields: correlation.value_fields().iter().map(&mut field).collect(),
            carried: plan.carried.iter().map(&mut field).collect(),
        }
    }

    /// Every combination of the group's values; none when a field has no value.
    fn groups(&self, seen: &Sighting<'_>) -> Vec<Vec<GroupValue>> {
        let value =
            |text: String| GroupValue { columns: (seen.columns)(&text), text: bounded(&text) };
        let fields = self.group_by.iter().map(|field| {
            let mut values: Vec<GroupValue> = Vec::new();
            for text in texts(seen, *field) {
                let value = value(text);
                if !values.iter().any(|known| same_text(known, &value)) {
                    values.push(value);
                }
            }
            values
        });
        combinations(fields)
    }

    /// What is counted or added up; `None` when the event has nothing of it.
    fn values(&self, seen: &Sighting<'_>) -> Option<Values> {
        match self.wanted {
            Wanted::Nothing => Some(Values::None),
            Wanted::Keys => {
                let fields = self.fields.iter().map(|field| {
                    texts(seen, *field).map(|text| folded(&bounded(&text))).collect::<Vec<_>>()
                });
                let tuples = combinations(fields);
                let keys: Vec<Box<str>> = tuples.iter().map(|tuple| joined(tuple)).collect();
                (!keys.is_empty()).then_some(Values::Keys(keys))
            }
            Wanted::Numbers => {
                let fields = self.fields.iter().flat_map(|field| {
                    let values = seen.slots.values(seen.doc, *field);
                    values.filter_map(quantity).take(COMBINATIONS_MAX).collect::<Vec<_>>()
                });
                let numbers: Vec<Quantity> = fields.collect();
                (!numbers.is_empty()).then_some(Values::Numbers(numbers))
            }
        }
    }
}

fn texts(seen: &Sighting<'_>, field: FieldId) -> impl Iterator<Item = String> {
    seen.slots.values(seen.doc, field).filter_map(text_of)
}

fn first_value(seen: &Sighting<'_>, field: FieldId) -> Option<GroupValue> {
    let text = texts(seen, field).next()?;
    Some(GroupValue { columns: (seen.columns)(&text), text: bounded(&text) })
}

/// A number, or text that is one with blanks around it.
fn quantity(value: Value<'_>) -> Option<Quantity> {
    match value {
        Value::Str(text) => number(text),
        other => Quantity::of(&Number::of(other)?),
    }
}

/// The number that a text is, blanks around it or not.
pub(super) fn number(text: &str) -> Option<Quantity> {
    Quantity::of(&Number::parse(text.trim())?)
}

/// Values joined so that no two combinations look alike.
pub(super) fn joined<S: AsRef<str>>(values: &[S]) -> Box<str> {
    match values {
        [one] => one.as_ref().into(),
        _ => values.iter().map(|v| format!("{}:{}", v.as_ref().len(), v.as_ref())).collect(),
    }
}

/// One value of each field, in every way; none when a field has none.
fn combinations<T: Clone>(fields: impl Iterator<Item = Vec<T>>) -> Vec<Vec<T>> {
    let mut out = vec![Vec::new()];
    for values in fields {
        let longer = out.iter().flat_map(|start: &Vec<T>| {
            values.iter().map(|value| start.iter().chain([value]).cloned().collect())
        });
        out = longer.take(COMBINATIONS_MAX).collect();
    }
    out
}
