//! The correlations of a rule set, connected: which one feeds which, and what an inner one must remember
//! of its events because an outer one groups or counts by it.

use std::sync::Arc;

use event::Uid;

use crate::ir::{Correlation, Kind};

/// One correlation and its connections.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub correlation: Arc<Correlation>,
    /// Identity of the definition and of what it must remember.
    pub key: Uid,
    /// Whether it alerts on its own; else it only serves outer ones.
    pub alerts: bool,
    /// Whether its alerts can be said before the events of the window are all there.
    pub eager: bool,
    /// Fields, in its own naming, that outer correlations look at and that are not in its group.
    pub carried: Vec<String>,
    pub outers: Vec<Link>,
    /// Plans that feed it.
    pub inners: Vec<usize>,
}

/// How an alert of an inner correlation becomes an observation of an outer one.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub outer: usize,
    /// Position of the inner one in the outer one.
    pub member: usize,
    pub group: Vec<Place>,
    pub values: Vec<Place>,
    pub carried: Vec<Place>,
}

/// Where in an inner correlation's alert a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In its group.
    Group(usize),
    /// Carried by the event at which it held.
    Carried(usize),
}

/// All correlations of a rule set. Inner ones come before outer ones. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Plans {
    pub(super) all: Arc<[Plan]>,
}

impl Plans {
    /// Connects the correlations, inner ones first. `alerts` tells which ids alert on their own.
    pub fn new(correlations: &[Arc<Correlation>], alerts: &dyn Fn(&str) -> bool) -> Self {
        let mut all: Vec<Plan> = correlations.iter().map(|c| unconnected(c, alerts)).collect();
        // From the outermost to the innermost, so that what an outer one carries is known.
        for outer in (0..all.len()).rev() {
            let correlation = Arc::clone(&all[outer].correlation);
            let carried = all[outer].carried.clone();
            for (member, reference) in correlation.members.iter().enumerate() {
                let is_it = |plan: &Plan| plan.correlation.info.id == reference.id;
                let Some(inner) = all[..outer].iter().position(is_it) else { continue };
                let from = &mut all[inner];
                let mut place = |name: &String| from.place(correlation.field_of(name, member));
                let link = Link {
                    outer,
                    member,
                    group: correlation.group_by.iter().map(&mut place).collect(),
                    values: correlation.value_fields().iter().map(&mut place).collect(),
                    carried: carried.iter().map(&mut place).collect(),
                };
                from.outers.push(link);
                all[outer].inners.push(inner);
            }
        }
        for plan in &mut all {
            let own = plan.correlation.key();
            let carried = plan.carried.join("\n");
            plan.key = Uid::of("correlation plan", &[&own.0, carried.as_bytes()]);
        }
        Self { all: all.into() }
    }

    /// Those that events matched by any of these rules can take part in.
    pub fn fed_by(&self, rules: &std::collections::HashSet<&str>) -> Vec<Uid> {
        let fed = |plan: &&Plan| {
            plan.correlation.members.iter().any(|member| rules.contains(member.id.as_str()))
        };
        self.all.iter().filter(fed).map(|plan| plan.key).collect()
    }

    /// Whether there is no correlation.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

fn unconnected(correlation: &Arc<Correlation>, alerts: &dyn Fn(&str) -> bool) -> Plan {
    Plan {
        key: Uid([0; 16]),
        alerts: alerts(&correlation.info.id),
        eager: correlation.is_monotone() && !correlation.is_chained(),
        carried: Vec::new(),
        outers: Vec::new(),
        inners: Vec::new(),
        correlation: Arc::clone(correlation),
    }
}

impl Plan {
    /// Where the value of a field is; carries it from now on if it is nowhere yet.
    fn place(&mut self, name: &str) -> Place {
        if let Some(at) = self.correlation.group_by.iter().position(|field| field == name) {
            return Place::Group(at);
        }
        let known = self.carried.iter().position(|field| field == name);
        Place::Carried(known.unwrap_or_else(|| {
            self.carried.push(name.to_owned());
            self.carried.len() - 1
        }))
    }

    /// Whether its alerts must be decided in order of time.
    pub(super) fn settles(&self) -> bool {
        !self.eager || !self.outers.is_empty()
    }

    /// Whether it adds up numbers (or else counts texts) of a field.
    pub(super) fn wants(&self) -> Wanted {
        match self.correlation.kind {
            Kind::EventCount(_) | Kind::Temporal { .. } => Wanted::Nothing,
            Kind::ValueCount { .. } => Wanted::Keys,
            Kind::ValueSum { .. } | Kind::ValueAvg { .. } | Kind::ValuePercentile { .. } => {
                Wanted::Numbers
            }
        }
    }

    /// The number of a cell of time.
    pub(super) fn cell(&self, time: i64) -> i64 {
        time.div_euclid(self.correlation.timespan_ns)
    }
}

/// What a correlation reads of the fields that it looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    Keys,
    Numbers,
}
