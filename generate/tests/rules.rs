//! The project's rules over generated days: exactly the truth, nothing else, with both engines.
//!
//! Fields are taken as the vendors name them; what `normalize` adds is tested by the program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use detect::{Engine, Matcher, Placeholders, RuleSet};
use event::log_source::{LogSource, Tag};
use event::{Fields, FieldsBuilder, Parser, Slots, Timestamp, Value};
use generate::{Company, Expected, FLOW_HEADER, Load, Log, Mix};

/// The rules of one log type, ready to match.
struct Stream {
    group: Arc<detect::Group>,
    matcher: Matcher,
    fields: Arc<Fields>,
}

/// All rules, and one stream per log type.
struct Bench {
    streams: BTreeMap<Log, Stream>,
    parser: Parser,
    slots: Slots,
    hits: Vec<u32>,
}

fn rules() -> RuleSet {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let mut files = Vec::new();
    for product in ["aws", "github", "kubernetes", "okta"] {
        for file in std::fs::read_dir(root.join(product)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == "yml") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path.display().to_string(), text));
            }
        }
    }
    let (rules, problems) = RuleSet::load(files, &Placeholders::new());
    assert!(problems.is_empty(), "{problems:?}");
    rules
}

impl Bench {
    fn new(engine: Engine) -> Self {
        let rules = rules();
        let stream = |log: Log| {
            let (product, service) = match log {
                Log::CloudTrail => ("aws", "cloudtrail"),
                Log::VpcFlow => ("aws", "vpcflow"),
                Log::GuardDuty => ("aws", "guardduty"),
                Log::Okta => ("okta", "okta"),
                Log::GitHub => ("github", "audit"),
                Log::Kubernetes => ("kubernetes", "audit"),
            };
            let tag = |word: &str| Tag::Is(word.into());
            let source =
                LogSource { product: tag(product), category: Tag::None, service: tag(service) };
            let mut fields = FieldsBuilder::default();
            let as_is = |field: &str| vec![field.to_owned()];
            let group = rules.bind(&source, &as_is, &mut fields, engine);
            let matcher = group.matcher();
            (log, Stream { group, matcher, fields: Arc::new(fields.build()) })
        };
        Self {
            streams: Log::ALL.into_iter().map(stream).collect(),
            parser: Parser::default(),
            slots: Slots::default(),
            hits: Vec::new(),
        }
    }

    /// Identities of the rules that hold on a line.
    fn alerts(&mut self, log: Log, line: &str) -> Vec<String> {
        let stream = self.streams.get_mut(&log).unwrap();
        let finding;
        let doc = match log {
            Log::VpcFlow => {
                let columns = FLOW_HEADER.split(' ').zip(line.split(' '));
                let columns = columns.filter(|(_, text)| *text != "-");
                self.parser.row(None, |row| {
                    for (name, text) in columns {
                        row.add(name, text.parse().map_or(Value::Str(text), Value::I64));
                    }
                })
            }
            Log::GuardDuty => {
                let envelope: serde_json::Value = serde_json::from_str(line).unwrap();
                finding = envelope["detail"].to_string();
                self.parser.json(finding.as_bytes()).unwrap()
            }
            _ => self.parser.json(line.as_bytes()).unwrap(),
        };
        self.slots.fill(&stream.fields, &doc);
        stream.matcher.matches(&doc, &self.slots, &mut self.hits);
        let alerts = self.hits.iter().filter(|hit| stream.group.alerts(**hit));
        alerts.map(|hit| stream.group.rule(*hit).info.id.clone()).collect()
    }
}

fn midnight() -> Timestamp {
    Timestamp::from_civil((2026, 11, 23), (0, 0, 0), 0).unwrap()
}

fn check(seed: u64, engine: Engine) {
    let company = Company::new(seed);
    let day = company.day(midnight());
    let truth = day.truth.clone();
    let key = |e: &Expected| (e.rule_id.clone(), e.event.log_type, e.event.line);
    let mut expected: BTreeSet<_> =
        truth.attacks.iter().flat_map(|a| &a.expected).map(key).collect();
    expected.extend(truth.accepted.iter().map(|accepted| key(&accepted.alert)));
    assert_eq!(expected.len(), 30);

    let mut bench = Bench::new(engine);
    let mut lines: BTreeMap<Log, u64> = BTreeMap::new();
    let mut raised = BTreeSet::new();
    for event in day {
        let line = lines.entry(event.log).or_default();
        for rule in bench.alerts(event.log, &event.line) {
            raised.insert((rule, event.log, *line));
        }
        *line += 1;
    }
    let missed: Vec<_> = expected.difference(&raised).collect();
    let falsely: Vec<_> = raised.difference(&expected).collect();
    assert!(missed.is_empty() && falsely.is_empty(), "missed {missed:?}\nfalse {falsely:?}");
}

#[test]
fn a_day_raises_exactly_what_its_truth_says() {
    check(7, Engine::Fast);
    check(7, Engine::Oracle);
    for seed in [0, 1, 424_242] {
        check(seed, Engine::Fast);
    }
}

#[test]
fn ordinary_load_raises_nothing() {
    let mut bench = Bench::new(Engine::Fast);
    let mut load = Load::new(5, midnight(), 1_000, Mix::default());
    let mut line = String::new();
    for _ in 0..60_000 {
        let log = load.next_into(&mut line);
        let alerts = bench.alerts(log, &line);
        assert!(alerts.is_empty(), "{alerts:?} {line}");
    }
}
