//! The stream against the oracle on random histories of random correlations: with events that come out of
//! order inside the lateness, twice, and after restarts from snapshots that are older or newer than what
//! is given again. `MANTISSA_HISTORIES` sets how many (default 300; the long form is 10,000).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use event::{AlertId, FieldsBuilder, LogSource, Parser, Slots, Timestamp, Uid};

use super::oracle::{self, Fact};
use super::*;
use crate::{Engine, Placeholders, RuleSet};

const SECOND: i64 = 1_000_000_000;
const LATENESS: i64 = 20 * SECOND;
/// The wall clock of tests: after every event.
const NOW: Timestamp = Timestamp(1_000_000 * SECOND);
const OPTIONS: Options = Options { bytes_max: 64 << 20, rule_bytes_max: 16 << 20 };

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn percent(&mut self, p: usize) -> bool {
        self.below(100) < p
    }

    fn of<'t, T: ?Sized>(&mut self, list: &[&'t T]) -> &'t T {
        list[self.below(list.len())]
    }
}

const RULES: [&str; 4] = ["r0", "r1", "r2", "r3"];

/// An event of a test: which rules it matches, and its fields.
#[derive(Clone, Debug)]
struct Event {
    time: i64,
    uid: Uid,
    source: &'static str,
    rules: Vec<&'static str>,
    fields: BTreeMap<String, Vec<String>>,
}

impl Event {
    fn json(&self) -> String {
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

    fn facts(&self) -> impl Iterator<Item = Fact> + '_ {
        self.rules.iter().map(|rule| Fact {
            rule: (*rule).to_owned(),
            time: self.time,
            uid: self.uid,
            fields: self.fields.clone(),
        })
    }
}

/// A rule set at work on test events.
struct Bench {
    set: RuleSet,
    plans: Plans,
    group: Arc<crate::Group>,
    fields: event::Fields,
}

impl Bench {
    /// `None` when a correlation is refused.
    fn new(correlations: &str) -> Option<Self> {
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

    fn observations(&self, events: &[Event]) -> Vec<Observation> {
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

    fn correlator(&self) -> Correlator {
        Correlator::new(self.plans.clone(), OPTIONS)
    }

    /// One batch of each source in it.
    fn give(&self, correlator: &mut Correlator, events: &[Event]) {
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
    fn expected(&self, events: &[Event]) -> BTreeMap<AlertId, (String, i64)> {
        let facts: Vec<Fact> = events.iter().flat_map(Event::facts).collect();
        let all = oracle::verdicts(self.set.correlations(), &facts);
        all.into_iter()
            .filter(|verdict| self.set.alerts(&verdict.correlation))
            .map(|v| (AlertId::of_group(&v.correlation, &v.group, v.cell), (v.correlation, v.time)))
            .collect()
    }
}

fn random_condition(random: &mut Random, max: usize) -> String {
    let n = 1 + random.below(max);
    match random.below(8) {
        0 => format!("lte: {n}"),
        1 => format!("eq: {n}"),
        2 => format!("neq: {n}"),
        3 => format!("gte: {n}, lte: {}", n + 1),
        4 => format!("gt: {}", n - 1),
        _ => format!("gte: {n}"),
    }
}

/// A correlation over `known`, of any type.
fn random_correlation(random: &mut Random, name: &str, known: &[&str]) -> String {
    let mut rules: Vec<&str> = known.to_vec();
    while rules.len() > 1 + random.below(3) {
        rules.remove(random.below(rules.len()));
    }
    if random.percent(50) {
        rules.reverse();
    }
    let kind = random.of(&[
        "event_count",
        "value_count",
        "value_sum",
        "value_avg",
        "value_percentile",
        "temporal",
        "temporal_ordered",
    ]);
    let list = rules.join(", ");
    let condition = match kind {
        "event_count" => format!("{{{}}}", random_condition(random, 5)),
        "value_count" => {
            let field = random.of(&["v", "g", "[g, v]"]);
            format!("{{field: {field}, {}}}", random_condition(random, 4))
        }
        "value_percentile" => {
            let p = random.of(&["1", "50", "90.5", "100"]);
            format!("{{field: v, percentile: {p}, {}}}", random_condition(random, 6))
        }
        "value_sum" | "value_avg" => {
            let limit = random.of(&["gt: 0", "gte: 3.5", "lt: -1", "eq: 2", "gt: 1, lt: 6"]);
            format!("{{field: v, {limit}}}")
        }
        _ => match random.below(4) {
            0 => format!("{{{}}}", random_condition(random, rules.len())),
            1 => rules.join(" or "),
            2 if rules.len() == 3 => {
                let form = random.of(&["a and (b or c)", "a and not b or c", "not (a or b) and c"]);
                let [a, b, c] = rules[..] else { unreachable!("three") };
                form.replace("or ", "OR ")
                    .replace("and ", "AND ")
                    .replace('a', a)
                    .replace('b', b)
                    .replace('c', c)
                    .to_lowercase()
            }
            _ => rules.join(" and "),
        },
    };
    let group_by = random.of(&["[]", "[g]", "[g, h]", "[who]"]);
    let who = |rule: &&str| format!("{rule}: {}", if rule.ends_with('1') { "h" } else { "g" });
    let aliases: Vec<String> = rules.iter().map(who).collect();
    let aliases = match group_by {
        "[who]" => format!("\n  aliases: {{who: {{{}}}}}", aliases.join(", ")),
        _ => String::new(),
    };
    let (span, generate) = (random.of(&["5s", "10s", "60s"]), random.percent(50));
    format!(
        "title: {name}\nid: {name}\nname: {name}\ngenerate: {generate}\ncorrelation:\n  type: {kind}\n  \
         rules: [{list}]\n  group-by: {group_by}\n  timespan: {span}\n  condition: {condition}{aliases}\n"
    )
}

fn random_event(random: &mut Random, number: usize) -> Event {
    let mut rules: Vec<&str> = RULES.into_iter().filter(|_| random.percent(30)).collect();
    if rules.is_empty() {
        rules.push(random.of(&RULES));
    }
    let mut fields = BTreeMap::new();
    let mut field = |name: &str, values: &[&str], random: &mut Random| {
        let mut chosen = vec![random.of(values).to_owned()];
        if random.percent(10) {
            chosen.push(random.of(values).to_owned());
        }
        if random.percent(95) {
            fields.insert(name.to_owned(), chosen);
        }
    };
    field("g", &["x", "X", "y"], random);
    field("h", &["x", "z"], random);
    field("v", &["1", "2", "-3", "0.5", "7", "none"], random);
    Event {
        time: (1_000 + random.below(150) as i64) * SECOND,
        uid: Uid::of("test", &[&number.to_be_bytes()]),
        source: random.of(&["one", "two"]),
        rules,
        fields,
    }
}

/// The order of arrival: by time, each up to the lateness later, so that no event is late.
fn arrival(random: &mut Random, events: &[Event]) -> Vec<Event> {
    let mut keyed: Vec<(i64, Event)> = events
        .iter()
        .map(|e| (e.time + random.below((LATENESS / SECOND) as usize) as i64 * SECOND, e.clone()))
        .collect();
    keyed.sort_by_key(|(at, _)| *at);
    keyed.into_iter().map(|(_, event)| event).collect()
}

/// Gives everything once, or with duplicates and restarts.
fn stream(bench: &Bench, random: &mut Random, order: &[Event], is_rough: bool) -> Vec<Found> {
    let (mut correlator, mut found) = (bench.correlator(), Vec::new());
    let (mut at, mut snapshot, mut restarts) = (0, (0, correlator.snapshot()), 0);
    while at < order.len() {
        let end = (at + 1 + random.below(6)).min(order.len());
        let mut batch = order[at..end].to_vec();
        if is_rough && random.percent(20) {
            batch.push(order[random.below(end)].clone());
        }
        bench.give(&mut correlator, &batch);
        found.append(&mut correlator.take_found());
        at = end;
        if is_rough && random.percent(20) {
            // The snapshot may be ahead of what is given again.
            snapshot = (at.saturating_sub(random.below(8)), correlator.snapshot());
        }
        if is_rough && restarts < 5 && random.percent(10) {
            restarts += 1;
            correlator = bench.correlator();
            correlator.restore(&snapshot.1, NOW).unwrap();
            at = snapshot.0;
        }
    }
    correlator.finish();
    found.append(&mut correlator.take_found());
    assert!(correlator.stats().all(|(_, s)| (s.groups_evicted, s.events_dropped) == (0, 0)));
    found
}

/// How many alerts there were; `None` when the correlations were such that they are refused.
fn check(seed: u64) -> Option<usize> {
    let mut random = Random(seed);
    let mut text = random_correlation(&mut random, "c0", &RULES);
    if random.percent(50) {
        let outer = random_correlation(&mut random, "c1", &["r0", "r1", "c0"]);
        text = format!("{text}---\n{outer}");
    }
    if random.percent(20) {
        let outer = random_correlation(&mut random, "c2", &["c0", "r2"]);
        text = format!("{text}---\n{outer}");
    }
    let bench = Bench::new(&text)?;
    let count = 1 + random.below(60);
    let events: Vec<Event> = (0..count).map(|n| random_event(&mut random, n)).collect();
    let expected = bench.expected(&events);
    for is_rough in [false, true] {
        let order = arrival(&mut random, &events);
        let found = stream(&bench, &mut random, &order, is_rough);
        let ids: BTreeSet<AlertId> = found.iter().map(|f| f.alert_id).collect();
        let wanted: BTreeSet<AlertId> = expected.keys().copied().collect();
        let name = |id: &AlertId| expected.get(id).cloned();
        let missed: Vec<_> = wanted.difference(&ids).map(name).collect();
        let falsely: Vec<_> = found.iter().filter(|f| !wanted.contains(&f.alert_id)).collect();
        assert!(
            missed.is_empty() && falsely.is_empty(),
            "seed {seed}, rough {is_rough}\n{text}\nmissed {missed:?}\nfalsely {falsely:#?}"
        );
        assert!(is_rough || ids.len() == found.len(), "seed {seed}: said twice");
        for found in found.iter().filter(|f| !f.correlation.is_monotone() && !is_rough) {
            assert_eq!(found.at.time.0, expected[&found.alert_id].1, "seed {seed}: {found:?}");
        }
    }
    Some(expected.len())
}

#[test]
fn the_stream_says_what_the_whole_history_says() {
    let count = std::env::var("MANTISSA_HISTORIES").ok().and_then(|n| n.parse().ok());
    let first = std::env::var("MANTISSA_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let count: u64 = count.unwrap_or(300);
    let alerts: Vec<usize> = (first..first + count).filter_map(check).collect();
    let (checked, alerts) = (alerts.len() as u64, alerts.iter().sum::<usize>() as u64);
    let enough = checked > count * 3 / 4 && alerts > count;
    assert!(count < 100 || enough, "{alerts} alerts in {checked} of {count} histories");
}

/// An event of the rule `r0` with the values of `g`, `h` and `v`.
fn simple(number: usize, seconds: i64, [g, h, v]: [&str; 3]) -> Event {
    let fields = [("g", g), ("h", h), ("v", v)].into_iter();
    Event {
        time: seconds * SECOND,
        uid: Uid::of("test", &[&number.to_be_bytes()]),
        source: "one",
        rules: vec!["r0"],
        fields: fields.map(|(name, value)| (name.into(), vec![value.into()])).collect(),
    }
}

fn bench(kind: &str, condition: &str) -> Bench {
    let text = format!(
        "title: c\nid: c\ncorrelation:\n  type: {kind}\n  rules: [r0]\n  group-by: [g]\n  timespan: 60s\n  \
         condition: {condition}\n"
    );
    Bench::new(&text).unwrap()
}

fn stats(correlator: &Correlator) -> Stats {
    correlator.stats().next().unwrap().1
}

#[test]
fn late_events_count_while_their_windows_are_remembered_and_are_counted_after_that() {
    let bench = bench("event_count", "{gte: 3}");
    let mut correlator = bench.correlator();
    let give = |correlator: &mut Correlator, number, seconds, group| {
        bench.give(correlator, &[simple(number, seconds, [group, "h", "1"])]);
        correlator.take_found().len()
    };
    assert_eq!(give(&mut correlator, 1, 1_000, "x"), 0);
    assert_eq!(give(&mut correlator, 2, 1_010, "x"), 0);
    assert_eq!(give(&mut correlator, 3, 1_075, "y"), 0);
    // Later than the lateness, but its windows are there: it makes three.
    assert_eq!(give(&mut correlator, 4, 1_005, "x"), 1);
    assert_eq!(give(&mut correlator, 5, 2_000, "y"), 0);
    assert_eq!((stats(&correlator).late, stats(&correlator).groups), (0, 1), "x is forgotten");
    assert_eq!(give(&mut correlator, 6, 1_006, "x"), 0);
    assert_eq!(stats(&correlator).late, 1);
}

#[test]
fn a_late_event_settles_what_time_has_passed() {
    let bench = bench("value_sum", "{field: v, gte: 7}");
    let mut correlator = bench.correlator();
    bench.give(&mut correlator, &[simple(1, 1_000, ["x", "h", "4"])]);
    bench.give(&mut correlator, &[simple(2, 1_060, ["y", "h", "1"])]);
    assert_eq!(correlator.take_found().len(), 0);
    bench.give(&mut correlator, &[simple(3, 1_001, ["x", "h", "3"])]);
    let found = correlator.take_found();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].at.time.0 / SECOND, found[0].total), (1_001, 2));
}

#[test]
fn memory_is_bounded_and_what_is_forgotten_is_counted() {
    let bench = bench("event_count", "{gte: 1000000}");
    let options = Options { bytes_max: 200_000, rule_bytes_max: 100_000 };
    let mut correlator = Correlator::new(bench.plans.clone(), options);
    for n in 0..3_000 {
        let group = format!("group {n}");
        bench.give(&mut correlator, &[simple(n, 1_000, [&group, "h", "1"])]);
        assert!(stats(&correlator).bytes <= 100_000);
    }
    let after = stats(&correlator);
    assert!(after.groups > 50 && after.groups + after.groups_evicted == 3_000, "{after:?}");
    // The one added to again and again stays, without its oldest events.
    for n in 0..3_000 {
        bench.give(&mut correlator, &[simple(n, 1_000, ["group 2999", "h", "1"])]);
    }
    let after = stats(&correlator);
    assert!(after.events_dropped > 1_000 && after.bytes <= 100_000, "{after:?}");
    // What it says of its size is what it holds.
    let mut again = Correlator::new(bench.plans.clone(), options);
    again.restore(&correlator.snapshot(), NOW).unwrap();
    assert_eq!(stats(&again).bytes, after.bytes);
}

#[test]
fn everything_is_forgotten_in_the_end() {
    for (kind, condition) in
        [("value_count", "{field: v, gte: 9}"), ("value_avg", "{field: v, lt: 0}")]
    {
        let bench = bench(kind, condition);
        let mut correlator = bench.correlator();
        for n in 0..500 {
            let value = (n % 7).to_string();
            let group = if n % 2 == 0 { "x" } else { "y" };
            bench.give(&mut correlator, &[simple(n, 1_000 + n as i64, [group, "h", &value])]);
        }
        assert!(stats(&correlator).groups == 2 && !correlator.is_empty());
        // Another source does not hold it up for ever, nor does silence.
        let mut far = simple(1_000, 9_000, ["z", "h", "1"]);
        bench.give(&mut correlator, &[far.clone()]);
        assert_eq!(stats(&correlator).groups, 1);
        far.time = 20_000 * SECOND;
        far.rules = vec!["r1"];
        bench.give(&mut correlator, &[far]);
        let end = stats(&correlator);
        assert_eq!((end.groups, end.bytes, correlator.is_empty()), (0, 0, true));
    }
}

#[test]
fn an_event_has_the_values_of_the_first_rule_and_the_columns_of_the_group() {
    let text = "title: c\nid: c\ncorrelation:\n  type: value_count\n  rules: [r1, r0]\n  group-by: [g]\n  \
                timespan: 60s\n  condition: {field: it, gte: 1}\n  \
                aliases: {it: {r0: h, r1: v}}\n";
    let bench = Bench::new(text).unwrap();
    let mut event = simple(1, 1_000, ["x", "of r0", "of r1"]);
    event.rules = vec!["r0", "r1"];
    let observed = bench.observations(&[event]);
    let [one] = observed.as_slice() else { panic!("{observed:?}") };
    assert_eq!(one.values, Values::Keys(vec!["of r1".into()]));
    assert_eq!((one.members, one.group[0].columns), (0b11, 0b1001));
}

#[test]
fn a_snapshot_that_is_none_is_refused_wherever_it_breaks() {
    let bench = bench("value_count", "{field: v, gte: 2}");
    let mut correlator = bench.correlator();
    bench.give(&mut correlator, &[simple(1, 1_000, ["x", "h", "1"])]);
    bench.give(&mut correlator, &[simple(2, 1_001, ["x", "h", "2"])]);
    let bytes = correlator.snapshot();
    for end in 0..bytes.len() {
        assert_eq!(bench.correlator().restore(&bytes[..end], NOW), Err(Unreadable), "cut at {end}");
    }
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 0x55;
        // Whatever it makes of it, it ends.
        let _ = bench.correlator().restore(&altered, NOW);
    }
    // Of a rule set that does not know the correlation nothing is taken.
    let mut other = self::bench("event_count", "{gte: 2}").correlator();
    other.restore(&bytes, NOW).unwrap();
    assert!(other.is_empty());
}

/// What one event costs is bounded, however the events before it were chosen: here, as many as a group
/// may have, of which none makes the condition hold, and one in the middle of them.
#[test]
fn hostile_histories_cost_no_more_than_a_look_at_each_event() {
    for (kind, condition) in [
        ("value_count", "{field: v, gte: 3}"),
        ("value_percentile", "{field: v, percentile: 50, gt: 1000}"),
        ("value_sum", "{field: v, gt: 1000000000}"),
    ] {
        let bench = bench(kind, condition);
        let mut correlator = bench.correlator();
        // Few different values in any window, more in all that is remembered.
        let events: Vec<Event> = (0..20_000)
            .map(|n| {
                let value = if n < 10_000 { "1" } else { "2" };
                simple(n, 1_000 + (n as i64) / 1_000, ["x", "h", value])
            })
            .collect();
        for batch in events.chunks(500) {
            bench.give(&mut correlator, batch);
        }
        let observed = bench.observations(&[simple(99_999, 1_010, ["x", "h", "2"])]);
        let began = std::time::Instant::now();
        correlator.observe(&observed[0]);
        assert!(began.elapsed().as_millis() < 1_000, "{kind}: {:?}", began.elapsed());
        assert!(correlator.take_found().is_empty(), "{kind}");
    }
}

#[test]
fn what_another_rule_set_takes_over_wants_to_be_written() {
    let bench = bench("event_count", "{gte: 3}");
    let mut before = bench.correlator();
    bench
        .give(&mut before, &[simple(1, 1_000, ["x", "h", "1"]), simple(2, 1_001, ["x", "h", "1"])]);
    let mut after = bench.correlator();
    assert!(!after.take_changed());
    after.take_over(&before, NOW).unwrap();
    // Else an epoch without events of its own would keep the state of the epoch before.
    assert!(after.take_changed() && !after.take_changed());
    assert_eq!(stats(&after).observed, 2);
    bench.give(&mut after, &[simple(3, 1_002, ["x", "h", "1"])]);
    assert_eq!(after.take_found().len(), 1);
}
