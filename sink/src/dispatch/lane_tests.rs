use std::time::Duration;

use event::Timestamp;

use super::lane::{Answer, Lane, Limits, Policy};
use crate::outbox::{Delivery, State, StateName};

const S: i64 = 1_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * S)
}

fn failed(retry_after_s: Option<u64>) -> Answer {
    let retry_after = retry_after_s.map(Duration::from_secs);
    Answer::Failed { retry_after, reason: "down".into(), maybe_sent: true }
}

fn busy(retry_after_s: Option<u64>) -> Answer {
    Answer::Busy { retry_after: retry_after_s.map(Duration::from_secs), reason: "slow".into() }
}

fn tried(attempts: u32, first_s: i64) -> Delivery {
    Delivery { attempts, first_attempt_at: Some(at(first_s)), ..Delivery::pending(at(0)) }
}

#[test]
fn backoff_doubles_to_its_cap_within_its_jitter() {
    let policy = Policy::default();
    for (n, all_s) in [(1, 1), (2, 2), (5, 16), (10, 512), (11, 900), (40, 900), (u32::MAX, 900)] {
        assert_eq!(policy.backoff(n, 1.0), Duration::from_secs(all_s), "{n}");
        assert_eq!(policy.backoff(n, 0.0), Duration::from_secs(all_s) / 2, "{n}");
    }
}

#[test]
fn an_answer_decides_how_a_delivery_goes_on() {
    let day = 86_400;
    let accepted = Answer::Accepted { reference: Some("m1".into()) };
    let refused = Answer::Refused { reason: "bad".into() };
    let misconfigured = Answer::Misconfigured { reason: "401".into() };
    // attempts, first attempt, answer, now -> state, next attempt while pending
    for (attempts, first, answer, now, state, next) in [
        (1, 0, accepted, 5, StateName::Sent, None),
        (1, 0, refused, 5, StateName::Parked, None),
        (1, 5, failed(None), 5, StateName::Pending, Some(6)),
        (3, 5, failed(None), 9, StateName::Pending, Some(13)),
        (1, 5, failed(Some(60)), 5, StateName::Pending, Some(65)),
        (12, 5, failed(Some(60)), 5, StateName::Pending, Some(905)),
        (9, 0, failed(None), day - 1, StateName::Pending, Some(day + 255)),
        (9, 0, failed(None), day, StateName::Parked, None),
        (1, 5, busy(Some(30)), 5, StateName::Pending, Some(35)),
        (1, 5, busy(Some(10_000_000)), 5, StateName::Pending, Some(5 + day)),
        (2, 5, busy(None), 5, StateName::Pending, Some(7)),
        (9, 0, busy(Some(1)), day, StateName::Parked, None),
        (1, 0, misconfigured.clone(), day, StateName::Pending, Some(day + 1)),
        (1, 0, misconfigured, 7 * day, StateName::Parked, None),
    ] {
        let after = Policy::default().after(tried(attempts, first), &answer, at(now), 1.0);
        assert_eq!(after.state.name(), state, "{answer:?} at {now}");
        if let Some(next) = next {
            assert_eq!(after.next_attempt_at, at(next), "{answer:?} at {now}");
        }
    }
}

#[test]
fn what_may_have_arrived_stays_so_until_it_is_known() {
    let policy = Policy::default();
    let doubtful = policy.after(tried(1, 0), &failed(None), at(0), 0.0);
    assert!(doubtful.maybe_sent);
    assert!(policy.after(doubtful.clone(), &busy(None), at(1), 0.0).maybe_sent);
    let sent = policy.after(doubtful, &Answer::Accepted { reference: None }, at(1), 0.0);
    assert_eq!((sent.maybe_sent, sent.last_error), (false, None));
    let parked = policy.after(tried(7, 0), &failed(None), at(90_000), 0.0);
    let reason = "given up after 7 attempts: down".to_owned();
    assert_eq!(parked.state, State::Parked { at: at(90_000), reason });
}

fn lane(concurrency_max: usize, per_second_max: f64) -> Lane {
    let limits = Limits { concurrency_max, per_second_max, batch_max: 1 };
    Lane::new(limits, Policy::default(), at(0))
}

const OK: Answer = Answer::Accepted { reference: None };

#[test]
fn concurrency_and_rate_bound_what_begins() {
    let mut lane = lane(3, 10.0);
    assert_eq!(lane.room(at(0)), 3);
    lane.begin(3);
    assert_eq!(lane.room(at(9)), 0, "three under way");
    lane.end(&OK, at(9), 0.0);
    assert_eq!(lane.room(at(9)), 1);

    let mut slow = self::lane(8, 0.5);
    assert_eq!(slow.room(at(0)), 1);
    slow.begin(1);
    slow.end(&OK, at(0), 0.0);
    assert_eq!((slow.room(at(1)), slow.wake_at(at(1))), (0, at(2)));
    assert_eq!(slow.room(at(2)), 1);
    assert_eq!(slow.room(at(1_000)), 1, "no savings beyond a second's worth");
    assert_eq!(slow.room(at(5)), 1, "a clock that goes back gives nothing");
}

#[test]
fn a_busy_destination_is_left_alone() {
    let mut lane = lane(4, 100.0);
    lane.begin(2);
    lane.end(&busy(Some(30)), at(0), 0.0);
    assert_eq!((lane.room(at(29)), lane.wake_at(at(29))), (0, at(30)));
    assert!(!lane.is_willing(at(29)) && lane.is_willing(at(30)));
    assert_eq!(lane.room(at(30)), 3, "not a failure");
}

#[test]
fn the_breaker_opens_probes_and_closes() {
    let mut lane = lane(4, 100.0);
    for n in 0..4 {
        lane.begin(1);
        lane.end(&failed(None), at(n), 1.0);
        assert_eq!(lane.room(at(n)), 4);
    }
    lane.begin(1);
    lane.end(&failed(None), at(10), 1.0);
    assert!(lane.is_broken() && !lane.is_willing(at(100)));
    assert_eq!((lane.room(at(10)), lane.room(at(11))), (0, 1), "half open: one probe");
    lane.begin(1);
    assert_eq!(lane.room(at(20)), 0);
    lane.end(&failed(None), at(20), 1.0);
    assert_eq!((lane.room(at(21)), lane.room(at(22))), (0, 1), "it waits longer each time");
    lane.begin(1);
    lane.end(&OK, at(22), 0.0);
    assert_eq!((lane.is_broken(), lane.room(at(22))), (false, 4));
}

#[test]
fn a_misconfigured_destination_is_probed_slowly() {
    let mut lane = lane(4, 100.0);
    lane.begin(1);
    lane.end(&Answer::Misconfigured { reason: "401".into() }, at(0), 0.0);
    assert!(lane.is_broken());
    assert_eq!((lane.room(at(899)), lane.room(at(900))), (0, 1));
}

/// A destination that is down for an hour and then works, second by second.
#[test]
fn an_hour_of_silence_parks_nothing_and_is_not_answered_with_a_storm() {
    let (policy, back) = (Policy::default(), 3_600);
    let mut lane = lane(4, 100.0);
    let mut waiting: Vec<Delivery> = (0..200).map(|_| Delivery::pending(at(0))).collect();
    let (mut probes, mut now) = (0, 0);
    while !waiting.is_empty() {
        let mut due: Vec<usize> = (0..waiting.len()).collect();
        due.retain(|i| waiting[*i].next_attempt_at <= at(now));
        due.truncate(lane.room(at(now)));
        lane.begin(due.len());
        for i in due {
            let answer = if now < back { failed(None) } else { OK };
            probes += usize::from(now < back);
            let mut delivery = waiting[i].clone();
            delivery.attempts += 1;
            delivery.first_attempt_at.get_or_insert(at(now));
            lane.end(&answer, at(now), 0.5);
            waiting[i] = policy.after(delivery, &answer, at(now), 0.5);
            assert_ne!(waiting[i].state.name(), StateName::Parked, "at {now}");
        }
        waiting.retain(|delivery| delivery.state.name() == StateName::Pending);
        now += 1;
        assert!(now <= back + 15 * 60, "{} still wait", waiting.len());
    }
    assert!((10..60).contains(&probes), "{probes} requests in an hour");
}
