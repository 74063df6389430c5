use event::{AlertId, Level, Timestamp, Uid};

use super::*;
use crate::testing::alert;

const S: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * S;

fn open() -> (tempfile::TempDir, Outbox) {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&dir.path().join("outbox.redb")).unwrap();
    (dir, outbox)
}

fn to(destinations: &[&str]) -> Vec<Routed> {
    let routed = |name: &&str| Routed { destination: (*name).into(), suppress: None };
    destinations.iter().map(routed).collect()
}

fn states(outbox: &Outbox, n: u32) -> Vec<(String, StateName)> {
    let entry = outbox.get(alert(n).alert_id).unwrap().unwrap();
    entry.deliveries.into_iter().map(|(name, d)| (name, d.state.name())).collect()
}

fn sent(claim: Claim, at: i64) -> (String, AlertId, Delivery) {
    let state = State::Sent { at: Timestamp(at), reference: None };
    ("a".into(), claim.alert.alert_id, Delivery { state, ..claim.delivery })
}

#[test]
fn inserts_once_within_and_across_batches() {
    let (_dir, outbox) = open();
    assert_eq!(outbox.insert(&[]).unwrap(), Vec::<bool>::new());
    assert_eq!(outbox.insert(&[alert(1), alert(2), alert(1)]).unwrap(), [true, true, false]);
    assert_eq!(outbox.insert(&[alert(2), alert(3)]).unwrap(), [false, true]);
    assert_eq!(outbox.unrouted().unwrap(), 3);
    let mut again = alert(1);
    again.detected_at = Timestamp(77 * S);
    assert_eq!(outbox.insert(std::slice::from_ref(&again)).unwrap(), [false]);
    assert_eq!(outbox.get(again.alert_id).unwrap().unwrap().alert, alert(1), "the first stays");
}

#[test]
fn routes_in_order_and_once() {
    let (_dir, outbox) = open();
    outbox.insert(&[alert(3), alert(1), alert(2)]).unwrap();
    let mut seen = Vec::new();
    for max in [2, 2] {
        let routed = outbox.route(Timestamp(0), max, |a| {
            seen.push(a.detected_at.0 / S);
            to(&["a", "b"])
        });
        assert!(routed.unwrap().len() <= max);
    }
    assert_eq!(seen, [3, 1, 2]);
    assert_eq!(outbox.route(Timestamp(0), 9, |_| to(&["a"])).unwrap(), []);
    let both = [("a".to_owned(), StateName::Pending), ("b".to_owned(), StateName::Pending)];
    assert_eq!(states(&outbox, 1), both);
    assert_eq!((outbox.pending("a").unwrap(), outbox.pending("b").unwrap()), (3, 3));
    assert_eq!(outbox.destinations_pending().unwrap(), ["a", "b"]);
}

/// A crash after every step: the file is closed and opened again between all of them.
#[test]
fn survives_a_crash_at_each_step() {
    let dir = tempfile::tempdir().unwrap();
    let reopen = || Outbox::open(&dir.path().join("outbox.redb")).unwrap();

    assert_eq!(reopen().insert(&[alert(1), alert(2)]).unwrap(), [true, true]);
    assert_eq!(reopen().insert(&[alert(1), alert(2)]).unwrap(), [false, false], "redo");
    reopen().route(Timestamp(5), 9, |_| to(&["a"])).unwrap();
    assert_eq!(reopen().unrouted().unwrap(), 0);

    let claims = reopen().claim("a", Timestamp(5), 9).unwrap();
    assert_eq!(claims.len(), 2);
    assert!(claims.iter().all(|c| !c.delivery.maybe_sent && c.delivery.attempts == 1));
    assert_eq!(reopen().claim("a", Timestamp(5), 9).unwrap(), [], "claimed is claimed");
    assert_eq!(reopen().pending("a").unwrap(), 2, "still open");

    // The process died before it could record an answer.
    assert_eq!(reopen().recover().unwrap(), 2);
    assert_eq!(reopen().recover().unwrap(), 0);
    let again = reopen().claim("a", Timestamp(5), 9).unwrap();
    assert!(again.iter().all(|c| c.delivery.maybe_sent && c.delivery.attempts == 2));

    let ended: Vec<_> = again.into_iter().map(|claim| sent(claim, 6)).collect();
    reopen().record(&ended).unwrap();
    assert_eq!((reopen().recover().unwrap(), reopen().pending("a").unwrap()), (0, 0));
    assert_eq!(states(&reopen(), 1), [("a".to_owned(), StateName::Sent)]);
    assert_eq!(reopen().insert(&[alert(1)]).unwrap(), [false], "redo after delivery");
    assert_eq!(reopen().route(Timestamp(9), 9, |_| to(&["a"])).unwrap(), []);
}

#[test]
fn a_retry_is_due_at_its_time_and_not_before() {
    let (_dir, outbox) = open();
    outbox.insert(&[alert(1)]).unwrap();
    outbox.route(Timestamp(0), 9, |_| to(&["a"])).unwrap();
    let Claim { alert, mut delivery } = outbox.claim("a", Timestamp(0), 1).unwrap().remove(0);
    delivery.next_attempt_at = Timestamp(10);
    outbox.record(&[("a".into(), alert.alert_id, delivery)]).unwrap();
    assert_eq!(outbox.next_due("a").unwrap(), Some(Timestamp(10)));
    assert_eq!(outbox.claim("a", Timestamp(9), 1).unwrap(), []);
    assert_eq!(outbox.claim("b", Timestamp(99), 1).unwrap(), []);
    assert_eq!(outbox.claim("a", Timestamp(10), 1).unwrap().len(), 1);
}

#[test]
fn parked_is_kept_until_retried() {
    let (_dir, outbox) = open();
    outbox.insert(&[alert(1), alert(2)]).unwrap();
    outbox.route(Timestamp(0), 9, |_| to(&["a"])).unwrap();
    assert_eq!(outbox.park_all("a", Timestamp(1), "gone").unwrap(), 2);
    assert_eq!(outbox.pending("a").unwrap(), 0);
    let parked = Filter { state: Some(StateName::Parked), ..Filter::default() };
    assert_eq!(outbox.list(&parked).unwrap().len(), 2);
    assert_eq!(outbox.retry(Some(&[alert(1).alert_id]), Timestamp(3)).unwrap(), 1);
    assert_eq!(outbox.retry(None, Timestamp(3)).unwrap(), 1);
    assert_eq!(outbox.retry(None, Timestamp(3)).unwrap(), 0);
    let claims = outbox.claim("a", Timestamp(3), 9).unwrap();
    assert!(claims.len() == 2 && claims.iter().all(|c| c.delivery.attempts == 1));
}

#[test]
fn lists_newest_first_and_filters() {
    let (_dir, outbox) = open();
    let mut high = alert(5);
    high.rule.level = Level::High;
    high.rule.title = "Root Login".into();
    outbox.insert(&[alert(1), high, alert(3)]).unwrap();
    let check = |filter: Filter, expected: &[i64]| {
        let found = outbox.list(&filter).unwrap();
        let found: Vec<i64> = found.iter().map(|e| e.alert.detected_at.0 / S).collect();
        assert_eq!(found, expected, "{filter:?}");
    };
    let all = Filter::default;
    check(all(), &[5, 3, 1]);
    check(Filter { limit: 2, ..all() }, &[5, 3]);
    check(Filter { level_min: Some(Level::High), ..all() }, &[5]);
    check(Filter { rule: Some("root l".into()), ..all() }, &[5]);
    check(Filter { since: Some(Timestamp(3 * S)), ..all() }, &[5, 3]);
    check(Filter { state: Some(StateName::Pending), ..all() }, &[]);
    outbox.route(Timestamp(0), 1, |_| to(&["a"])).unwrap();
    check(Filter { state: Some(StateName::Pending), ..all() }, &[1]);
    check(Filter { destination: Some("b".into()), ..all() }, &[]);
}

#[test]
fn the_first_of_a_window_goes_out_and_the_next_one_tells_how_many() {
    let (_dir, outbox) = open();
    let key = Uid::of("k", &[]);
    let mut decided = Vec::new();
    for n in [10, 11, 9, 19, 20, 21, 40] {
        outbox.insert(&[alert(n)]).unwrap();
        let suppress = Some(Suppress { key, window_ns: 10 * S });
        let target = Routed { destination: "a".into(), suppress };
        let routed = outbox.route(Timestamp(0), 9, |_| vec![target.clone()]).unwrap();
        let (_, delivery) = routed[0].deliveries[0].clone();
        decided.push((n, delivery.state, delivery.suppressed_before));
    }
    let held = |n, by: u32| (n, State::Suppressed { by: alert(by).alert_id }, 0);
    let expected = [
        (10, State::Pending, 0),
        held(11, 10),
        held(9, 10),
        held(19, 10),
        (20, State::Pending, 3),
        held(21, 20),
        (40, State::Pending, 1),
    ];
    assert_eq!(decided, expected);
}

#[test]
fn forgets_bodies_before_ids_and_nothing_that_is_open() {
    let (_dir, outbox) = open();
    let keep = Retention { alerts_days: 1, ids_days: 10 };
    outbox.insert(&[alert(1), alert(2), alert(3)]).unwrap();
    assert_eq!(outbox.purge(Timestamp(DAY * 99), keep).unwrap(), 0, "nothing before it is routed");
    outbox.route(Timestamp(0), 9, |_| to(&["a"])).unwrap();
    let mut claims = outbox.claim("a", Timestamp(0), 2).unwrap();
    let Claim { alert: two, delivery } = claims.pop().unwrap();
    let state = State::Parked { at: Timestamp(0), reason: "no".into() };
    outbox.record(&[("a".into(), two.alert_id, Delivery { state, ..delivery })]).unwrap();
    outbox.record(&[sent(claims.pop().unwrap(), 0)]).unwrap();

    assert_eq!(outbox.purge(Timestamp(DAY), keep).unwrap(), 0);
    assert_eq!(outbox.purge(Timestamp(DAY + 9 * S), keep).unwrap(), 1);
    assert_eq!(outbox.purge(Timestamp(DAY + 9 * S), keep).unwrap(), 0);
    assert_eq!(outbox.list(&Filter::default()).unwrap().len(), 2);
    assert_eq!(outbox.insert(&[alert(1)]).unwrap(), [false], "the id is remembered");

    let late = Timestamp(11 * DAY);
    assert_eq!(outbox.purge(late, keep).unwrap(), 3, "the id of 1, body and id of the parked one");
    assert_eq!(outbox.insert(&[alert(1)]).unwrap(), [true]);
    assert_eq!(outbox.pending("a").unwrap(), 1, "what is open stays");
}

/// A seeded run of every call in any order, with the file closed and opened in between. Whatever
/// happens, every alert is recorded as sent exactly once by the end.
#[test]
fn any_order_of_calls_loses_and_repeats_nothing() {
    for seed in 1..=3_u64 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox.redb");
        let mut outbox = Outbox::open(&path).unwrap();
        let mut random = seed;
        let mut next = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % n
        };
        let mut in_hand: Vec<Claim> = Vec::new();
        let mut sent_times = std::collections::BTreeMap::new();
        let mut clock = 0;
        for step in 0..400 {
            clock += 1;
            let is_ending = step >= 250;
            match next(if is_ending { 6 } else { 8 }) {
                0 => drop(outbox.route(Timestamp(clock), 3, |_| to(&["a"])).unwrap()),
                1 => in_hand.extend(outbox.claim("a", Timestamp(clock), 4).unwrap()),
                2 | 3 => {
                    let mut ended = Vec::new();
                    for claim in in_hand.drain(..) {
                        let id = claim.alert.alert_id;
                        ended.push(match next(if is_ending { 1 } else { 3 }) {
                            0 => {
                                *sent_times.entry(id).or_insert(0) += 1;
                                sent(claim, clock)
                            }
                            1 => {
                                let at = Timestamp(clock + 5);
                                let delivery = claim.delivery;
                                ("a".into(), id, Delivery { next_attempt_at: at, ..delivery })
                            }
                            _ => {
                                let reason = String::new();
                                let state = State::Parked { at: Timestamp(clock), reason };
                                ("a".into(), id, Delivery { state, ..claim.delivery })
                            }
                        });
                    }
                    outbox.record(&ended).unwrap();
                }
                4 => drop(outbox.retry(None, Timestamp(clock)).unwrap()),
                5 => {
                    drop(outbox);
                    in_hand.clear();
                    outbox = Outbox::open(&path).unwrap();
                    outbox.recover().unwrap();
                }
                _ => {
                    let some: Vec<_> = (0..3).map(|_| alert(next(60) as u32)).collect();
                    outbox.insert(&some).unwrap();
                }
            }
        }
        let all = outbox.list(&Filter::default()).unwrap();
        let open = all
            .iter()
            .filter(|e| e.deliveries.iter().any(|(_, d)| d.state.name() != StateName::Sent));
        assert_eq!((open.count(), outbox.unrouted().unwrap()), (0, 0), "seed {seed}");
        assert!(all.len() > 30 && all.len() == sent_times.len(), "seed {seed}");
        assert!(sent_times.values().all(|n| *n == 1), "seed {seed}: {sent_times:?}");
    }
}

#[test]
fn one_process_dispatches_and_others_may_look() {
    let (dir, outbox) = open();
    let lock = outbox.lock_dispatch().unwrap();
    assert_eq!(outbox.lock_dispatch().unwrap_err().kind, ErrorKind::Locked);
    drop(lock);
    outbox.lock_dispatch().unwrap();
    let error = Outbox::open(dir.path()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Open);
    assert!(std::error::Error::source(&error).is_some());
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, outbox) = open();
    let mode = std::fs::metadata(outbox.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
