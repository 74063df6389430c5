//! Every line of what the specification says of correlations, and every decision where it is silent, as a
//! history with the alerts that it must give (`cases/histories/*.yml`): by the oracle, and by the stream
//! with the events in order and in reverse.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use detect::correlate::oracle::{self, Fact};
use detect::correlate::{Arrival, Correlator, Found, Options, Sighting, Told};
use detect::{Correlation, Engine, Placeholders, RuleSet, Severity, yaml};
use event::{AlertId, FieldsBuilder, LogSource, Parser, Slots, Timestamp, Uid};

/// An event of a history.
struct Event {
    time: i64,
    uid: Uid,
    rules: Vec<String>,
    fields: BTreeMap<String, Vec<String>>,
}

/// Nanoseconds of decimal seconds; histories begin on a border of cells.
fn time(seconds: &str) -> i64 {
    let millis = (seconds.parse::<f64>().unwrap() * 1_000.0).round() as i64;
    (1_800_000_000_000 + millis) * 1_000_000
}

fn event(line: &str, number: usize) -> Event {
    let mut words = line.split_whitespace();
    let (at, rules) = (words.next().unwrap(), words.next().unwrap());
    let texts = |list: &str, by: char| list.split(by).map(str::to_owned).collect::<Vec<_>>();
    let field = |word: &str| {
        let (name, values) = word.split_once('=').unwrap();
        (name.to_owned(), texts(values, ';'))
    };
    Event {
        time: time(at),
        uid: Uid::of("history", &[&number.to_be_bytes()]),
        rules: texts(rules, ','),
        fields: words.map(field).collect(),
    }
}

fn load(documents: &str, history: &[Event]) -> RuleSet {
    let names: BTreeSet<&String> = history.iter().flat_map(|event| &event.rules).collect();
    // Rules that a correlation names and no event of the history matches are there as well.
    let named = ["a", "b", "c", "d"].map(str::to_owned);
    let rules = names.into_iter().chain(named.iter()).collect::<BTreeSet<_>>();
    let rule = |name: &&String| {
        format!(
            "\n---\ntitle: {name}\nid: {name}\nname: {name}\nlogsource: {{product: test}}\n\
             detection: {{s: {{rules: {name}}}, condition: s}}\n"
        )
    };
    let text = documents.to_owned() + &rules.iter().map(rule).collect::<String>();
    let (set, problems) = RuleSet::load([("x.yml".to_owned(), text)], &Placeholders::new());
    let errors: Vec<_> = problems.iter().filter(|p| p.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    set
}

fn facts(history: &[Event]) -> Vec<Fact> {
    let of = |event: &Event| {
        let Event { time, uid, fields, .. } = event;
        let fact = |rule: &String| Fact {
            rule: rule.clone(),
            time: *time,
            uid: *uid,
            fields: fields.clone(),
        };
        event.rules.iter().map(fact).collect::<Vec<_>>()
    };
    history.iter().flat_map(of).collect()
}

/// What the stream finds, all events in one order, none of them late.
fn stream<'e>(set: &RuleSet, history: impl Iterator<Item = &'e Event>) -> Vec<Found> {
    let mut builder = FieldsBuilder::default();
    let group = set.bind(&LogSource::default(), &|_| Vec::new(), &mut builder, Engine::Fast);
    let fields = builder.build();
    let options = Options { bytes_max: 1 << 24, rule_bytes_max: 1 << 24 };
    let mut correlator = Correlator::new(set.plans().clone(), options);
    let (mut parser, mut slots, mut hits, mut observed) =
        (Parser::default(), Slots::default(), Vec::new(), Vec::new());
    for event in history {
        let mut json = serde_json::json!({"rules": event.rules});
        for (name, values) in &event.fields {
            json[name] = values.clone().into();
        }
        let json = json.to_string();
        let doc = parser.json(json.as_bytes()).unwrap();
        slots.fill(&fields, &doc);
        group.matcher().matches(&doc, &slots, &mut hits);
        let told = Told {
            event_uid: event.uid.to_string().into(),
            source: "s".into(),
            log_type: "test".into(),
            hour: 0,
        };
        let (time, uid) = (Timestamp(event.time), event.uid);
        let sighting = Sighting { doc: &doc, slots: &slots, time, uid, columns: &|_| 0, told };
        group.feeds().observe(&hits, &sighting, &mut observed);
        observed.drain(..).for_each(|observation| correlator.observe(&observation));
        correlator.arrived(&Arrival {
            source: "s",
            partition: "p",
            newest: time,
            now: Timestamp(i64::MAX / 2),
            lateness_ns: 3_600_000_000_000,
            plans: group.feeds().plans(),
        });
    }
    correlator.finish();
    correlator.take_found()
}

fn texts(node: &yaml::Node, key: &str) -> Vec<String> {
    match node.get(key).map(|list| &list.kind) {
        Some(yaml::Kind::Sequence(list)) => list.iter().map(|e| e.text().to_owned()).collect(),
        _ => Vec::new(),
    }
}

fn check(title: &str, documents: &str, last: &yaml::Node, faults: &mut Vec<String>) {
    let history: Vec<Event> =
        texts(last, "history").iter().enumerate().map(|(n, line)| event(line, n)).collect();
    let set = load(documents, &history);
    let asked: &Correlation =
        set.correlations().iter().find(|c| c.info.title == title).expect("the last one is loaded");
    let id = &asked.info.id;
    let span = asked.timespan_ns;
    let wanted: BTreeMap<AlertId, i64> = texts(last, "alerts")
        .iter()
        .map(|line| {
            let mut words = line.split_whitespace();
            let at = time(words.next().unwrap());
            let group: Vec<&str> = words.collect();
            (AlertId::of_group(id, &group, at.div_euclid(span)), at)
        })
        .collect();
    let verdicts = oracle::verdicts(set.correlations(), &facts(&history));
    let by_oracle: BTreeMap<AlertId, i64> = verdicts
        .iter()
        .filter(|verdict| verdict.correlation == *id)
        .map(|v| (AlertId::of_group(id, &v.group, v.cell), v.time))
        .collect();
    if by_oracle != wanted {
        faults.push(format!("{title}: the oracle says {verdicts:?}"));
    }
    let own = |found: Vec<Found>| found.into_iter().filter(|f| f.correlation.info.id == *id);
    let in_order: BTreeMap<AlertId, i64> =
        own(stream(&set, history.iter())).map(|f| (f.alert_id, f.at.time.0)).collect();
    if in_order != wanted {
        faults.push(format!("{title}: the stream says {in_order:?} instead of {wanted:?}"));
    }
    let reversed: Vec<AlertId> =
        own(stream(&set, history.iter().rev())).map(|found| found.alert_id).collect();
    let ids: BTreeSet<AlertId> = reversed.iter().copied().collect();
    if ids != wanted.keys().copied().collect() || ids.len() != reversed.len() {
        faults.push(format!("{title}: in reverse the stream says {reversed:?}"));
    }
}

#[test]
fn every_history_of_every_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/histories");
    let (mut faults, mut checked) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut waiting = String::new();
        for document in text.split("\n---\n") {
            let node = yaml::documents(document).remove(0).1.unwrap();
            waiting.push_str(document);
            if node.get("history").is_some() {
                let title = node.get("title").unwrap().text();
                check(title, &std::mem::take(&mut waiting), &node, &mut faults);
                checked += 1;
            } else {
                waiting.push_str("\n---\n");
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(checked > 40, "only {checked} histories");
}
