//! The stream against the oracle on random histories of random correlations: with events that come out of
//! order inside the lateness, twice, and after restarts from snapshots that are older or newer than what
//! is given again. `MANTISSA_HISTORIES` sets how many (default 300; the long form is 10,000).

use std::collections::BTreeSet;

use super::bench::{Bench, Event, RULES};
use super::*;

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
