//! A rule set at work on events of a test.

use std::fmt::Write as _;

use event::{FieldsBuilder, LogSource, Parser, Slots};

use super::*;
use crate::correlate::oracle::Fact;
use crate::{Engine, Placeholders, RuleSet};

pub(super) const RULES: [&str; 4] = ["r0", "r1", "r2", "r3"];

/// An event of a test: which rules it matches, and its fields.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) time: i64,
    pub(super) uid: Uid,
    pub(super) source: &'static str,
    pub(super) rules: Vec<&'static str>,
    pub(super) fields: BTreeMap<String, Vec<String>>,
}

impl Event {
    pub(super) fn json(&self) -> String {
        let mut object = serde_json::Map::new();
        object.insert("r".into(), self.rules.clone().into());
        for (name, values) in &self.fields {
            let value = match values.as_slice() {
                [one] => one.clone().into(),
                several => several.to_vec().into(),
            };
            object.insert(name.clone(), value);
        }
        serde_json::Value::Object(object).to_string()
    }

    pub(super) fn facts(&self) -> impl Iterator<Item = Fact> + '_ {
        self.rules.iter().map(|rule| Fact {
            rule: (*rule).to_owned(),
            time: self.time,
            uid: self.uid,
            fields: self.fields.clone(),
        })
    }
}

/// A rule set at work on test events.
pub(super) struct Bench {
    pub(super) set: RuleSet,
    pub(super) plans: Plans,
    pub(super) group: Arc<crate::Group>,
    pub(super) fields: event::Fields,
}

impl Bench {
    /// `None` when a correlation is refused.
    pub(super) fn new(correlations: &str) -> Option<Self> {
        let mut text = String::new();
        for rule in RULES {
            let _ = writeln!(
                text,
                "title: {rule}\nid: {rule}\nname: {rule}\nlogsource: {{product: test}}\n\
                 detection: {{s: {{r: {rule}}}, condition: s}}\n---"
            );
        }
        text.push_str(correlations);
        let (set, problems) = RuleSet::load([("x".to_owned(), text.clone())], &Placeholders::new());
        if problems.iter().any(|p| p.severity == crate::Severity::Error) {
            return None;
        }
        let plans = set.plans().clone();
        let mut builder = FieldsBuilder::default();
        let as_it_is = |_: &str| Vec::new();
        let group = set.bind(&LogSource::default(), &as_it_is, &mut builder, Engine::Fast);
        Some(Self { fields: builder.build(), set, plans, group })
    }

    pub(super) fn observations(&self, events: &[Event]) -> Vec<Observation> {
        let (mut parser, mut slots) = (Parser::default(), Slots::default());
        let (mut matcher, mut hits, mut out) = (self.group.matcher(), Vec::new(), Vec::new());
        for event in events {
            let json = event.json();
            let doc = parser.json(json.as_bytes()).unwrap();
            slots.fill(&self.fields, &doc);
            matcher.matches(&doc, &slots, &mut hits);
            let sighting = Sighting {
                doc: &doc,
                slots: &slots,
                time: Timestamp(event.time),
                uid: event.uid,
                columns: &|text| u64::from(text == "x") << 3 | 1,
                told: Told {
                    event_uid: event.uid.to_string().into(),
                    source: event.source.into(),
                    log_type: "test".into(),
                    hour: 0,
                },
            };
            self.group.feeds().observe(&hits, &sighting, &mut out);
        }
        out
    }

    pub(super) fn correlator(&self) -> Correlator {
        Correlator::new(self.plans.clone(), OPTIONS)
    }

    /// One batch of each source in it.
    pub(super) fn give(&self, correlator: &mut Correlator, events: &[Event]) {
        self.observations(events).iter().for_each(|o| correlator.observe(o));
        for source in ["one", "two"] {
            let of_source = events.iter().filter(|event| event.source == source);
            let Some(newest) = of_source.map(|event| event.time).max() else { continue };
            correlator.arrived(&Arrival {
                source,
                partition: "p",
                newest: Timestamp(newest),
                now: NOW,
                lateness_ns: LATENESS,
                plans: self.group.feeds().plans(),
            });
        }
    }

    /// Ids of what the whole history alerts on, with the time at which each condition first held.
    pub(super) fn expected(&self, events: &[Event]) -> BTreeMap<AlertId, (String, i64)> {
        let facts: Vec<Fact> = events.iter().flat_map(Event::facts).collect();
        let all = oracle::verdicts(self.set.correlations(), &facts);
        all.into_iter()
            .filter(|verdict| self.set.alerts(&verdict.correlation))
            .map(|v| (AlertId::of_group(&v.correlation, &v.group, v.cell), (v.correlation, v.time)))
            .collect()
    }
}
