//! What a random run does not meet: long absences, permissions that come later, content that is broken for good,
//! two sources of one credential.

use std::sync::Arc;

use parking_lot::Mutex;

use super::drive::{Lake, Run, builtin, open_with};
use super::faults::{Fault, Scenario};
use super::vendors::{Api, Vendor};
use super::world::{DAY, HOUR, MINUTE, SECOND, START, events};
use crate::poll::allowance::Allowance;
use crate::poll::session::Step;

fn run(vendor: Vendor, days: i64) -> Run {
    let connector = vendor.connector();
    Run::new(Scenario { vendor, connector, fault: Fault::None, days, per_hour: 20, seed: 3 }, None)
}

/// Also by a clock that is three hours behind the vendor's, which has deleted more than that clock says.
#[test]
fn an_absence_that_is_longer_than_the_vendor_keeps_is_told_and_the_rest_is_read() {
    let (vendor, connector) = (Vendor::M365, "m365.audit");
    for (fault, seed, behind_h) in [(Fault::None, 3, 0), (Fault::Skew, 4, 3)] {
        let scenario = Scenario { vendor, connector, fault, days: 10, per_hour: 20, seed };
        let mut run = Run::new(scenario, None);
        run.run_until(START + DAY, true);
        run.pause(8 * DAY);
        run.run_until(START + 9 * DAY + HOUR, true);
        assert_eq!(run.stats().gap_ms / HOUR, 24 + behind_h, "eight days, of which seven are kept");
        let lost = START + DAY - (2 + behind_h) * HOUR..START + 2 * DAY + 12 * MINUTE;
        let outcome = run.finish();
        let other = |missing: &&String| {
            let at: i64 = missing.split(' ').nth(2).unwrap().parse().unwrap();
            !lost.contains(&at)
        };
        assert_eq!(outcome.missing.iter().find(other), None);
        assert!(!outcome.missing.is_empty() && outcome.twice == 0);
    }
}

#[test]
fn a_first_start_at_the_edge_of_what_is_kept_loses_nothing() {
    let mut run = run(Vendor::M365, 1);
    run.now_ms += 9 * DAY;
    run.run_until(START + 9 * DAY + 4 * HOUR, true);
    assert_eq!(run.stats().gap_ms, 0);
    assert!(run.stats().pages > 0, "{:?}", run.stats().trouble);
}

#[test]
fn a_collection_that_dies_before_its_first_answer_does_not_begin_later() {
    for vendor in [Vendor::Okta, Vendor::Entra] {
        let mut run = run(vendor, 1);
        run.denied = Some((503, "{}"));
        run.run_until(START + 5 * HOUR, true);
        run.pause(5 * HOUR);
        run.denied = None;
        let outcome = run.finish();
        let all = events(1, 20, vendor.lateness(), 3).len();
        assert_eq!((outcome.due, &outcome.missing[..]), (all, &[][..]), "{vendor:?}");
    }
}

#[test]
fn what_is_denied_is_told_and_read_when_it_is_granted() {
    let premium = r#"{"error":{"code":"Authentication_RequestFromNonPremiumTenantOrB2CTenant"}}"#;
    let mut run = run(Vendor::Entra, 1);
    run.run_until(START + 5 * HOUR, true);
    run.denied = Some((403, premium));
    let asked = run.stats().requests;
    run.run_until(START + 11 * HOUR, true);
    let trouble = run.stats().trouble.clone().unwrap();
    assert!(trouble.contains("P1 or P2"), "{trouble}");
    let asked = run.stats().requests - asked;
    assert!((70..360).contains(&asked), "every few minutes, not {asked} times in six hours");
    run.denied = None;
    let outcome = run.finish();
    assert!(outcome.missing.is_empty() && outcome.twice == 0, "{:?}", outcome.missing);
}

#[test]
fn what_may_not_be_read_again_does_not_hold_up_what_is_new() {
    let mut run = run(Vendor::Entra, 1);
    run.api.kept_ms = 5 * HOUR;
    run.run_until(START + DAY, true);
    let lag_ms = run.now_ms - run.done_ms();
    assert!(lag_ms < 30 * MINUTE, "the cursor waits for {lag_ms} ms");
}

#[test]
fn a_page_token_that_is_no_longer_good_costs_its_window_and_nothing_else() {
    for vendor in [Vendor::Slack, Vendor::Google, Vendor::Entra] {
        let mut run = run(vendor, 1);
        while run.now_ms < START + DAY {
            run.run_until(run.now_ms + 10 * MINUTE, true);
            run.api.forget_tokens();
        }
        let outcome = run.finish();
        assert!(
            outcome.missing.is_empty() && outcome.twice == 0,
            "{vendor:?} {:?}",
            outcome.missing
        );
    }
}

/// The rest goes on at once; what is broken is tried again for as long as the vendor lists it.
#[test]
fn broken_content_holds_nothing_up_and_becomes_a_dead_letter() {
    for (status, heals) in [(500, true), (500, false)] {
        let mut run = run(Vendor::M365, 1);
        let noon = run.api.events.iter().find(|event| event.shown_ms > START + 6 * HOUR);
        let blob = noon.expect("something happens").shown_ms / (5 * MINUTE);
        run.api.broken_blob = Some((blob, status));
        run.run_until(START + 8 * HOUR, true);
        let lag_ms = run.now_ms - run.done_ms();
        assert!(lag_ms < 10 * MINUTE, "the cursor waits for {lag_ms} ms");
        if heals {
            run.api.broken_blob = None;
        }
        let of_blob = |event: &super::world::Event| event.shown_ms / (5 * MINUTE) == blob;
        let ids: Vec<_> = run.api.events.iter().filter(|e| of_blob(e)).map(|e| e.id()).collect();
        assert!(!ids.is_empty());
        let outcome = run.finish();
        assert_eq!(outcome.missing.len(), if heals { 0 } else { ids.len() });
        assert_eq!(outcome.dead, usize::from(!heals));
    }
}

#[test]
fn two_sources_of_one_credential_share_its_limit() {
    let connector = Arc::new(builtin("entra.signin", 20));
    let lateness = Vendor::Entra.lateness();
    let mut api = Api::new(Vendor::Entra, events(1, 60, lateness, 5), 6);
    let limits = &connector.limits;
    let allowance = Arc::new(Mutex::new(Allowance::new(limits.requests, limits.per_ms)));
    let mut now_ms = START + 4 * HOUR;
    let lake = Lake::default();
    let mut sessions = [1, 2].map(|seed| {
        open_with(&connector, Vendor::Entra, &lake, 1 << 16, START, now_ms, seed, allowance.clone())
    });
    let mut answered = [0, 0];
    while now_ms < START + 5 * HOUR {
        now_ms += 50;
        for (i, session) in sessions.iter_mut().enumerate() {
            if let Step::Send(ticket, request) = session.next(now_ms) {
                let reply = api.answer(&request, now_ms);
                session.answered(ticket, now_ms, Ok(reply));
                answered[i] += 1;
            }
        }
    }
    assert_eq!(api.over_limit, 0);
    assert!(answered.iter().all(|n| *n > 30), "{answered:?}");
    assert!(now_ms % SECOND == 0);
}
