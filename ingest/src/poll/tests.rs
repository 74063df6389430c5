//! The conformance of the engine and of every connector: each against its vendor's documented behaviour,
//! under every fault, with a virtual clock. `MANTISSA_POLL_DAYS` makes the days more.

mod drive;
mod edges;
mod vendors;
mod wire;
mod world;

use drive::{FAULTS, Fault, MISTAKES, Mistake, Outcome, Run, Scenario};
use vendors::Vendor;

fn days() -> i64 {
    std::env::var("MANTISSA_POLL_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(1)
}

fn judge(scenario: Scenario) -> Outcome {
    let outcome = Run::new(scenario, None).run();
    let missing: Vec<_> = outcome.missing.iter().take(5).collect();
    assert!(
        outcome.missing.is_empty(),
        "{scenario:?}: {} missing: {missing:?}",
        outcome.missing.len()
    );
    assert_eq!(outcome.twice, 0, "{scenario:?}: handed over twice");
    assert_eq!(outcome.over_limit, 0, "{scenario:?}: more requests than the vendor allows");
    assert!(outcome.arrived > 100, "{scenario:?}: only {} arrived", outcome.arrived);
    outcome
}

fn every_fault(vendor: Vendor) {
    for (n, fault) in FAULTS.into_iter().enumerate() {
        let seeds = if fault == Fault::All { 3 } else { 1 };
        for seed in n as u64..n as u64 + seeds {
            let outcome = judge(Scenario { vendor, fault, days: days(), per_hour: 60, seed });
            let is_fatal = matches!(fault, Fault::Crash | Fault::CrashOften);
            assert!(!is_fatal || outcome.crashes > 0, "nothing crashed");
        }
    }
}

/// The same engine, made to err as other collectors do: were a mistake not caught here, the oracle above would
/// prove nothing.
#[test]
fn classic_mistakes_are_caught() {
    let scenario =
        |fault, seed, per_hour| Scenario { vendor: Vendor::Slack, fault, days: 1, per_hour, seed };
    for mistake in MISTAKES {
        let per_hour = if mistake == Mistake::SmallMemory { 400 } else { 60 };
        let caught = (0..4).find(|seed| {
            let scenario = scenario(mistake.fault(), *seed, per_hour);
            let outcome = Run::new(scenario, Some(mistake)).run();
            !outcome.missing.is_empty() || outcome.twice > 0 || outcome.over_limit > 0
        });
        let seed = caught.unwrap_or_else(|| panic!("{mistake:?} was not caught"));
        judge(scenario(mistake.fault(), seed, per_hour));
    }
}

#[test]
fn okta_is_read_exactly_once() {
    every_fault(Vendor::Okta);
}

#[test]
fn github_is_read_exactly_once() {
    every_fault(Vendor::GitHub);
}

#[test]
fn slack_is_read_exactly_once() {
    every_fault(Vendor::Slack);
}

#[test]
fn duo_is_read_exactly_once() {
    every_fault(Vendor::Duo);
}

#[test]
fn google_workspace_is_read_exactly_once() {
    every_fault(Vendor::Google);
}

#[test]
fn entra_is_read_exactly_once() {
    every_fault(Vendor::Entra);
}

#[test]
fn gitlab_is_read_exactly_once() {
    every_fault(Vendor::GitLab);
}

#[test]
fn onepassword_is_read_exactly_once() {
    every_fault(Vendor::OnePassword);
}

#[test]
fn m365_is_read_exactly_once() {
    every_fault(Vendor::M365);
}
