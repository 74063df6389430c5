//! What a correlation rule means, with nothing left to interpret: its rules are resolved to ids, its
//! aliases to positions, its condition to comparisons or to a Boolean program over its rules.
//!
//! # Meaning
//! Every event that one of its rules matched takes part in the group of its `group-by` values. At an
//! event at time `t` the condition looks at the window `(t - timespan, t]` of the group's events (see
//! `docs/sigma.md`, "Correlations"). [`crate::correlate`] evaluates it on a stream and, slowly, on the
//! whole history.

use std::sync::Arc;

use event::Uid;
use event::alert::RuleInfo;

use super::quantity::Quantity;
use super::{Position, RuleMeta};

/// A temporal correlation may refer to this many rules: they are bits of a word.
pub const MEMBERS_MAX: usize = 64;

/// One correlation, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Correlation {
    pub info: RuleInfo,
    pub meta: RuleMeta,
    /// The rules it refers to, in the order written, each once. At most [`MEMBERS_MAX`].
    pub members: Vec<Member>,
    /// Fields or aliases whose values must be the same, in the order written. None: one group of all.
    pub group_by: Vec<String>,
    pub aliases: Vec<Alias>,
    /// Length of the window in nanoseconds, more than 0.
    pub timespan_ns: i64,
    pub kind: Kind,
    /// Whether the rules it refers to also alert on their own.
    pub generate: bool,
    /// The file as it was given to the loader.
    pub file: Arc<str>,
    /// Where its document begins.
    pub at: Position,
}

/// A rule or correlation that a correlation refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name or id, as written.
    pub reference: String,
    /// Its id.
    pub id: String,
    pub is_correlation: bool,
    /// Where it is named.
    pub at: Position,
}

/// One name for fields that are called differently in different rules' events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    pub name: String,
    /// By position in [`Correlation::members`].
    pub fields: Vec<String>,
    pub at: Position,
}

/// What is asked of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The number of events, each counted once however many of the rules it matched.
    EventCount(Threshold),
    /// The number of different values of a field, or of different combinations of several.
    ValueCount { fields: Vec<String>, threshold: Threshold },
    /// The sum of a numeric field.
    ValueSum { field: String, threshold: Threshold },
    /// The mean of a numeric field; windows without a number have none.
    ValueAvg { field: String, threshold: Threshold },
    /// The smallest value that at least `percentile` percent of the values do not exceed; windows
    /// without a number have none.
    ValuePercentile { field: String, percentile: Quantity, threshold: Threshold },
    /// Which of the rules have events, in any order or in the order of the rules.
    Temporal { ordered: bool, condition: Presence },
}

/// A conjunction of comparisons, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold(pub Vec<(Operator, Quantity)>);

/// How a number is compared to a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    Gt,
    Gte,
    Lt,
    Lte,
    Eq,
    Neq,
}

/// What a temporal correlation asks of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// How many of the rules have events (ordered: how many at most can be put in order).
    Count(Threshold),
    /// A Boolean program over the rules, and its normal form.
    Expr { expr: Names, terms: Vec<Term> },
}

/// A Boolean program over [`Correlation::members`] by position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    Member(usize),
    Not(Box<Names>),
    And(Vec<Names>),
    Or(Vec<Names>),
}

/// One way to satisfy a [`Names`]: bits by position in [`Correlation::members`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term {
    /// All of these have an event (ordered: in order).
    pub wanted: u64,
    /// None of these has one.
    pub barred: u64,
}

impl Operator {
    pub const ALL: [Self; 6] = [Self::Gt, Self::Gte, Self::Lt, Self::Lte, Self::Eq, Self::Neq];

    /// Sigma's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Eq => "eq",
            Self::Neq => "neq",
        }
    }

    /// Whether it holds of this order of a value relative to the limit.
    pub const fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Gt => order.is_gt(),
            Self::Gte => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
            Self::Eq => order.is_eq(),
            Self::Neq => order.is_ne(),
        }
    }
}

impl Threshold {
    /// Whether a value of `total` over `parts` meets every comparison. An average is a total over the
    /// number of its parts; everything else is over 1.
    pub fn holds(&self, total: Quantity, parts: u64) -> bool {
        self.0.iter().all(|(operator, limit)| {
            let limit = limit.millionths().saturating_mul(i128::from(parts));
            operator.holds(total.millionths().cmp(&limit))
        })
    }

    /// Of a count.
    pub fn holds_count(&self, count: u64) -> bool {
        self.holds(Quantity::whole(count), 1)
    }

    /// The least count that meets it, of one that keeps holding when the count grows.
    pub fn least(&self) -> u64 {
        let least = |(operator, limit): &(Operator, Quantity)| {
            let whole = u64::try_from(limit.millionths().div_euclid(1_000_000)).unwrap_or(0);
            if *operator == Operator::Gt { whole.saturating_add(1) } else { whole }
        };
        self.0.iter().map(least).max().unwrap_or(0)
    }

    /// Whether it keeps holding when a count grows.
    pub fn is_monotone(&self) -> bool {
        self.0.iter().all(|(operator, _)| matches!(operator, Operator::Gt | Operator::Gte))
    }
}

impl Correlation {
    /// Whether the condition, once it holds of a window, holds of it with more events as well. Only
    /// then can it be decided before every event of the window has come.
    pub fn is_monotone(&self) -> bool {
        match &self.kind {
            Kind::EventCount(threshold) | Kind::ValueCount { threshold, .. } => {
                threshold.is_monotone()
            }
            Kind::ValueSum { .. } | Kind::ValueAvg { .. } | Kind::ValuePercentile { .. } => false,
            Kind::Temporal { condition: Presence::Count(threshold), .. } => threshold.is_monotone(),
            Kind::Temporal { condition: Presence::Expr { terms, .. }, .. } => {
                terms.iter().all(|term| term.barred == 0)
            }
        }
    }

    /// Whether it refers to another correlation.
    pub fn is_chained(&self) -> bool {
        self.members.iter().any(|member| member.is_correlation)
    }

    /// Fields or aliases that it looks at beside the group's.
    pub fn value_fields(&self) -> &[String] {
        match &self.kind {
            Kind::EventCount(_) | Kind::Temporal { .. } => &[],
            Kind::ValueCount { fields, .. } => fields,
            Kind::ValueSum { field, .. }
            | Kind::ValueAvg { field, .. }
            | Kind::ValuePercentile { field, .. } => std::slice::from_ref(field),
        }
    }

    /// What a field or alias is called in the events of a member.
    pub fn field_of<'c>(&'c self, name: &'c str, member: usize) -> &'c str {
        let alias = self.aliases.iter().find(|alias| alias.name == name);
        alias.map_or(name, |alias| &alias.fields[member])
    }

    /// Identity of the definition: state that was collected under one is of no use to another.
    pub fn key(&self) -> Uid {
        let Self { info, members, group_by, aliases, timespan_ns, kind, .. } = self;
        let ids: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
        let aliases: Vec<_> = aliases.iter().map(|a| (&a.name, &a.fields)).collect();
        let text = format!("{ids:?} {group_by:?} {aliases:?} {timespan_ns} {kind:?}");
        Uid::of("correlation", &[info.id.as_bytes(), text.as_bytes()])
    }
}

impl Names {
    /// The program as alternatives; `None` when there are more than `max`. Terms that could never hold
    /// are left out, and so are terms that another one makes needless.
    pub fn terms(&self, max: usize) -> Option<Vec<Term>> {
        let mut terms = self.normal(false, max)?;
        terms.sort_unstable();
        terms.dedup();
        let covered = |term: &Term| {
            terms.iter().any(|other| {
                other != term
                    && other.wanted & !term.wanted == 0
                    && other.barred & !term.barred == 0
            })
        };
        let kept: Vec<Term> = terms.iter().filter(|term| !covered(term)).copied().collect();
        Some(kept)
    }

    fn normal(&self, negated: bool, max: usize) -> Option<Vec<Term>> {
        let both = |parts: &[Names]| {
            parts.iter().try_fold(vec![Term { wanted: 0, barred: 0 }], |sum, part| {
                let part = part.normal(negated, max)?;
                let pairs = sum.iter().flat_map(|a| {
                    part.iter()
                        .map(|b| Term { wanted: a.wanted | b.wanted, barred: a.barred | b.barred })
                });
                let mut all: Vec<Term> =
                    pairs.filter(|term| term.wanted & term.barred == 0).take(max + 1).collect();
                all.sort_unstable();
                all.dedup();
                (all.len() <= max).then_some(all)
            })
        };
        let either = |parts: &[Names]| {
            parts.iter().try_fold(Vec::new(), |mut sum, part| {
                sum.extend(part.normal(negated, max)?);
                (sum.len() <= max).then_some(sum)
            })
        };
        match self {
            Names::Member(at) if negated => Some(vec![Term { wanted: 0, barred: 1 << at }]),
            Names::Member(at) => Some(vec![Term { wanted: 1 << at, barred: 0 }]),
            Names::Not(inner) => inner.normal(!negated, max),
            Names::And(parts) if negated => either(parts),
            Names::Or(parts) if negated => both(parts),
            Names::And(parts) => both(parts),
            Names::Or(parts) => either(parts),
        }
    }

    /// The positions it names, in order, each once.
    pub fn members(&self) -> Vec<usize> {
        let mut found = match self {
            Names::Member(at) => vec![*at],
            Names::Not(inner) => inner.members(),
            Names::And(parts) | Names::Or(parts) => {
                parts.iter().flat_map(|part| part.members()).collect()
            }
        };
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bits: u64) -> Vec<Names> {
        (0..64).filter(|i| bits >> i & 1 == 1).map(Names::Member).collect()
    }

    #[test]
    fn normal_forms() {
        let not = |inner| Names::Not(Box::new(inner));
        let term = |wanted, barred| Term { wanted, barred };
        let a_and_b_or_c = Names::And(vec![Names::Member(0), Names::Or(names(0b110))]);
        for (program, expected) in [
            (Names::And(names(0b11)), vec![term(0b11, 0)]),
            (a_and_b_or_c.clone(), vec![term(0b011, 0), term(0b101, 0)]),
            (not(a_and_b_or_c), vec![term(0, 0b001), term(0, 0b110)]),
            (Names::Or(vec![Names::Member(0), Names::And(names(0b11))]), vec![term(0b1, 0)]),
            (Names::And(vec![Names::Member(0), not(Names::Member(0))]), vec![]),
        ] {
            assert_eq!(program.terms(100), Some(expected), "{program:?}");
        }
        let pairs = |i: usize| Names::Or(vec![Names::Member(2 * i), Names::Member(2 * i + 1)]);
        assert_eq!(Names::And((0..10).map(pairs).collect()).terms(1_000), None, "2^10 terms");
    }

    #[test]
    fn averages_are_compared_without_dividing() {
        let limit = Quantity::from_millionths(500_000);
        let threshold = Threshold(vec![(Operator::Gt, limit)]);
        assert!(threshold.holds(Quantity::whole(2), 3) && !threshold.holds(Quantity::whole(1), 2));
    }
}
