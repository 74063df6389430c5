//! A stretch of the past, by both kinds of cursor.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::drive::{Lake, builtin, open_with};
use super::vendors::{Api, Vendor};
use super::world::{DAY, HOUR, SECOND, START, events};
use crate::poll::allowance::Allowance;
use crate::poll::connector::CursorRule;
use crate::poll::past::of_past;
use crate::poll::session::Step;

/// All of it is got once, what is not asked for is not, and then it is at its end.
fn check(vendor: Vendor, connector: &str) {
    let connector = Arc::new(of_past(&builtin(connector, 50)));
    let is_window = matches!(connector.cursor, CursorRule::Window(_));
    let world = events(8, 60, vendor.lateness(), 7);
    let mut api = Api::new(vendor, world.clone(), 8);
    let allowance = Allowance::new(connector.limits.requests, connector.limits.per_ms);
    let (from, to, began) = (START + 6 * HOUR, START + 18 * HOUR, START + 12 * DAY);
    let (lake, allowance) = (Lake::default(), Arc::new(Mutex::new(allowance)));
    let mut session = open_with(&connector, vendor, &lake, 1 << 16, from, began, 9, allowance);
    session.end_at(to);
    let (mut now, mut found) = (began, BTreeMap::<String, usize>::new());
    while session.pollers().iter().any(|p| p.caught_up_ms().is_none_or(|at| at < began)) {
        assert!(now < began + DAY, "{vendor:?} finds no end");
        match session.next(now) {
            Step::Wait(until) => now = until.clamp(now + 1, now + HOUR),
            Step::Send(ticket, request) => {
                let reply = api.answer(&request, now);
                for emission in session.answered(ticket, now, Ok(reply)) {
                    let rejects = emission.rejects.into_iter().map(|(_, bytes)| bytes);
                    for record in emission.records.into_iter().chain(rejects) {
                        let text = String::from_utf8_lossy(&record).into_owned();
                        let at = text.find("e-0").expect("every record has its id");
                        *found.entry(text[at..at + 10].to_owned()).or_default() += 1;
                    }
                }
            }
        }
    }
    assert_eq!(api.over_limit, 0);
    if !is_window {
        let pages = world.len() as u64 / 50;
        let read = session.pollers()[0].stats.pages;
        assert!(read < pages * 3 / 4, "{read} of {pages} pages: it goes on far behind its end");
    }
    let slack = if is_window { 3 * SECOND } else { 0 };
    for event in &world {
        let times = found.get(&event.id()).copied().unwrap_or(0);
        if (from..to).contains(&event.time_ms) {
            assert_eq!(times, 1, "{vendor:?}: {} is to be found once", event.id());
        } else if !(from - slack..to + slack).contains(&event.time_ms) {
            assert_eq!(times, 0, "{vendor:?}: {} was not asked for", event.id());
        }
    }
}

#[test]
fn a_stretch_of_the_past_is_read_whole_and_nothing_else() {
    check(Vendor::Okta, "okta.system");
    check(Vendor::Entra, "entra.signin");
    check(Vendor::Slack, "slack.audit");
    // Whole days, and without an end.
    check(Vendor::Zoom, "zoom.operation");
    check(Vendor::DuoAdmin, "duo.admin");
}
