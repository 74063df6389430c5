//! One simulated day: planned first, written on demand.

use std::collections::BTreeMap;

use event::Timestamp;

use crate::company::{Company, Person};
use crate::flow::Flow;
use crate::habits;
use crate::log::Log;
use crate::rng::{self, Rng};
use crate::rules::Rule;
use crate::shot::{Filler, Shot, address};
use crate::story::{self, STORIES};
use crate::template::Var;
use crate::truth::{Accepted, Attack, EventRef, Expected, LookAlike, Truth};

/// What an event is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Shot(Shot),
    Flow(Flow),
}

/// What the truth says of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    Ordinary,
    Attack { attack: u8, rules: &'static [Rule] },
    LookAlike { near: Rule, why: &'static str },
    Accepted { rule: Rule, why: &'static str },
}

/// An event that is decided on: a few dozen bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub at: Timestamp,
    /// Number in the plan: the seed of its identity.
    pub n: u64,
    pub what: What,
    pub mark: Mark,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub log: Log,
    pub time: Timestamp,
    /// Without a line break.
    pub line: String,
}

/// A day of the company's logs in order of time, all log types together, and what is hidden in it.
/// Lines are written one by one as they are asked for; only the plan is held.
pub struct Day<'a> {
    company: &'a Company,
    plan: Vec<Planned>,
    next: usize,
    seed: u64,
    pub truth: Truth,
}

const DAY_NS: i64 = 24 * 3_600 * 1_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;

/// How many ordinary events a day has. GuardDuty is quiet in a healthy company.
const USUAL: [(Log, u64); 6] = [
    (Log::CloudTrail, 6_200),
    (Log::VpcFlow, 8_600),
    (Log::GuardDuty, 9),
    (Log::Okta, 950),
    (Log::GitHub, 1_450),
    (Log::Kubernetes, 5_200),
];

impl Company {
    /// The 24 hours from `start`, which is meant to be midnight UTC: working hours count from it.
    pub fn day(&self, start: Timestamp) -> Day<'_> {
        let seed = rng::mix(self.seed ^ rng::mix(start.0 as u64));
        let mut plan = Vec::new();
        let mut rng = Rng::new(seed, 2);
        for (log, usual) in USUAL {
            for _ in 0..usual {
                plan.push(self.ordinary(log, start, &mut rng));
            }
        }
        habits::all(self, start, &mut rng, &mut plan);
        story::tell_all(self, start, seed, &mut plan);
        for (n, planned) in plan.iter_mut().enumerate() {
            planned.n = n as u64;
        }
        plan.sort_unstable_by_key(|planned| (planned.at, planned.n));
        let truth = truth_of(self, start, seed, &plan);
        Day { company: self, plan, next: 0, seed, truth }
    }

    fn ordinary(&self, log: Log, start: Timestamp, rng: &mut Rng) -> Planned {
        let (what, at) = if log == Log::VpcFlow {
            let at = rng.below(DAY_NS as u64) as i64;
            // records begin at whole seconds
            (What::Flow(Flow::ordinary(self, rng)), at / 1_000_000_000 * 1_000_000_000)
        } else {
            let shot = Shot::ordinary(self, self.templates.benign(log, rng), rng);
            let person = &self.people[usize::from(shot.person)];
            let at = if shot.is_human() {
                at_work(person, rng)
            } else {
                rng.below(DAY_NS as u64) as i64
            };
            (What::Shot(shot), at)
        };
        Planned { at: Timestamp(start.0 + at), n: 0, what, mark: Mark::Ordinary }
    }

    /// Appends the line of an event.
    pub(crate) fn write(&self, seed: u64, planned: &Planned, out: &mut String) -> Log {
        let shot = match &planned.what {
            What::Flow(flow) => {
                flow.write(self, planned.at, out);
                return Log::VpcFlow;
            }
            What::Shot(shot) => shot,
        };
        let kind = self.templates.get(shot.kind);
        let id = rng::event_id(seed, planned.n);
        let rng = Rng::new(seed, id as u64);
        let mut filler = Filler { company: self, shot, at: planned.at, id, rng };
        kind.template.fill(out, |var, out| filler.put(var, out));
        kind.log
    }

    pub(crate) fn log_of(&self, what: &What) -> Log {
        match what {
            What::Flow(_) => Log::VpcFlow,
            What::Shot(shot) => self.templates.get(shot.kind).log,
        }
    }
}

/// Nanoseconds after midnight UTC at which a person does something: in the working hours, less at
/// noon, and now and then in the evening.
fn at_work(person: &Person, rng: &mut Rng) -> i64 {
    let noon = 12 * 60 + 30;
    let minute = loop {
        let minute = if rng.chance(4) {
            rng.between(person.ends_min, 23 * 60)
        } else {
            rng.between(person.begins_min, person.ends_min)
        };
        if !(noon..noon + 45).contains(&minute) || rng.chance(25) {
            break minute;
        }
    };
    let utc = minute as i64 - person.place.offset_h * 60;
    utc * MINUTE_NS + rng.below(MINUTE_NS as u64) as i64
}

impl Day<'_> {
    /// How many lines are left.
    pub fn len(&self) -> usize {
        self.plan.len() - self.next
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces `line` by the next one; `None` at the end of the day.
    pub fn next_into(&mut self, line: &mut String) -> Option<(Log, Timestamp)> {
        let planned = self.plan.get(self.next)?;
        self.next += 1;
        line.clear();
        let log = self.company.write(self.seed, planned, line);
        Some((log, planned.at))
    }
}

impl Iterator for Day<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let mut line = String::new();
        let (log, time) = self.next_into(&mut line)?;
        Some(Event { log, time, line })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

fn truth_of(company: &Company, start: Timestamp, seed: u64, plan: &[Planned]) -> Truth {
    let mut counts: BTreeMap<Log, u64> = BTreeMap::new();
    let mut truth = Truth { seed: company.seed, start, ..Truth::default() };
    truth.attacks.extend(STORIES.iter().map(|story| Attack {
        id: story.id.into(),
        name: story.name.into(),
        description: story.description.into(),
        techniques: story.techniques.iter().map(|t| (*t).into()).collect(),
        begins: Timestamp(i64::MAX),
        ends: start,
        expected: Vec::new(),
    }));
    for planned in plan {
        let count = counts.entry(company.log_of(&planned.what)).or_default();
        let line = *count;
        *count += 1;
        let event = || event_ref(company, seed, planned, line);
        let alert = |rule: Rule| Expected {
            rule_id: rule.id.into(),
            rule: rule.name.into(),
            event: event(),
        };
        match planned.mark {
            Mark::Ordinary => {}
            Mark::Attack { attack, rules } => {
                let attack = &mut truth.attacks[usize::from(attack)];
                attack.begins = attack.begins.min(planned.at);
                attack.ends = attack.ends.max(planned.at);
                attack.expected.extend(rules.iter().map(|rule| alert(*rule)));
            }
            Mark::LookAlike { near, why } => {
                let (near, why) = (near.name.into(), why.into());
                truth.look_alikes.push(LookAlike { near, why, event: event() });
            }
            Mark::Accepted { rule, why } => {
                truth.accepted.push(Accepted { alert: alert(rule), why: why.into() });
            }
        }
    }
    truth.events = counts;
    truth
}

fn event_ref(company: &Company, seed: u64, planned: &Planned, line: u64) -> EventRef {
    let log_type = company.log_of(&planned.what);
    let (mut provider_id, mut connection) = (None, None);
    match &planned.what {
        What::Shot(shot) => {
            let id = rng::event_id(seed, planned.n);
            let mut filler =
                Filler { company, shot, at: planned.at, id, rng: Rng::new(seed, id as u64) };
            let form = match log_type {
                Log::GuardDuty => Var::Hex32,
                Log::GitHub => Var::Doc,
                _ => Var::Uuid,
            };
            filler.put(form, provider_id.insert(String::new()));
        }
        What::Flow(flow) => {
            let text: &mut String = connection.insert(String::new());
            address(flow.source, text);
            text.push_str(&format!(":{} > ", flow.source_port));
            address(flow.target, text);
            text.push_str(&format!(":{}", flow.target_port));
        }
    }
    EventRef { log_type, time: planned.at, line, provider_id, connection }
}
