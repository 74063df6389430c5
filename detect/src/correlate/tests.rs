//! Single behaviours by hand; [`histories`] compares the stream with the oracle.

mod bench;
mod histories;

use std::collections::BTreeMap;
use std::sync::Arc;

use event::{AlertId, Timestamp, Uid};

use self::bench::{Bench, Event};
use super::oracle;
use super::*;

const SECOND: i64 = 1_000_000_000;
const LATENESS: i64 = 20 * SECOND;
/// The wall clock of tests: after every event.
const NOW: Timestamp = Timestamp(1_000_000 * SECOND);
const OPTIONS: Options = Options { bytes_max: 64 << 20, rule_bytes_max: 16 << 20 };

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
