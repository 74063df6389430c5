//! The conformance of the engine and of every connector: each against its vendor's documented behaviour,
//! under every fault, with a virtual clock. `MANTISSA_POLL_DAYS` makes the days more.

mod configured;
mod credentials;
mod documented;
mod drive;
mod edges;
mod faults;
mod past;
mod vendors;
mod wire;
mod world;

use parking_lot::Mutex;

use super::Connectors;
use drive::{Outcome, Run};
use faults::{FAULTS, Fault, MISTAKES, Mistake, Scenario};
use vendors::Vendor;

const DAYS: i64 = 1;

fn days() -> i64 {
    std::env::var("MANTISSA_POLL_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(DAYS)
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
    let connector = vendor.connector();
    let mut row = format!("| `{connector}` |");
    for (n, fault) in FAULTS.into_iter().enumerate() {
        let (mut arrived, mut due, mut crashes) = (0, 0, 0);
        let seeds = if fault == Fault::All { 3 } else { 1 };
        for seed in n as u64..n as u64 + seeds {
            // Who dies every few minutes for long falls behind what the vendor keeps.
            let days = if fault == Fault::CrashOften { DAYS } else { days() };
            // Of Zoom whole days are read, every time.
            let per_hour = if vendor == Vendor::Zoom { 15 } else { 60 };
            let scenario = Scenario { vendor, connector, fault, days, per_hour, seed };
            let outcome = judge(scenario);
            (arrived, due) = (arrived + outcome.arrived, due + outcome.due);
            crashes += outcome.crashes;
        }
        let is_fatal = matches!(fault, Fault::Crash | Fault::CrashOften);
        assert!(!is_fatal || crashes > 0, "nothing crashed");
        row += &format!(" {arrived} of {due} |");
    }
    if days() == DAYS {
        record(&row);
    }
}

/// Compares a row with the published table; `UPDATE=1` writes it there.
fn record(row: &str) {
    static FILE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = FILE.lock();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/poll-conformance.md");
    let text = std::fs::read_to_string(path).expect("the table is there");
    let (head, table) = text.split_once("\n| connector |").expect("it has a table");
    let titles: String = FAULTS.iter().map(|fault| format!(" {} |", fault.title())).collect();
    let lines = format!("|---|{}", "--:|".repeat(FAULTS.len()));
    let key = |row: &str| row.split('|').nth(1).map(str::to_owned);
    let mut rows: Vec<&str> = table.lines().skip(2).collect();
    rows.retain(|other| key(other) != key(row));
    rows.push(row);
    rows.sort_unstable();
    let now = format!("{head}\n| connector |{titles}\n{lines}\n{}\n", rows.join("\n"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, now).expect("the table can be written");
    } else {
        assert!(text == now, "{path} is not what the tests show; UPDATE=1 writes it: {row}");
    }
}

/// The same engine, made to err as other collectors do: were a mistake not caught here, the oracle above would
/// prove nothing.
#[test]
fn classic_mistakes_are_caught() {
    let (vendor, connector) = (Vendor::Slack, "slack.audit");
    let scenario =
        |fault, seed, per_hour| Scenario { vendor, connector, fault, days: 1, per_hour, seed };
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

/// Those that differ from another connector of their vendor by a path and by names.
#[test]
fn sibling_connectors_are_read_exactly_once() {
    for (vendor, connector) in [
        (Vendor::Entra, "entra.audit"),
        (Vendor::OnePassword, "onepassword.itemusage"),
        (Vendor::OnePassword, "onepassword.audit"),
        (Vendor::Duo, "duo.activity"),
        (Vendor::Duo, "duo.telephony"),
        (Vendor::Salesforce, "salesforce.login_history"),
        (Vendor::Zoom, "zoom.activity"),
        (Vendor::Snowflake, "snowflake.query_history"),
        (Vendor::Snowflake, "snowflake.access_history"),
        (Vendor::Snowflake, "snowflake.sessions"),
        (Vendor::JamfProtect, "jamf.protect_audit"),
    ] {
        for seed in 0..2 {
            let fault = Fault::All;
            judge(Scenario { vendor, connector, fault, days: days(), per_hour: 40, seed });
        }
    }
}

#[test]
fn every_connector_is_tested() {
    let text = include_str!("tests.rs");
    let vendors = include_str!("tests/vendors.rs");
    for connector in Connectors::builtin().all() {
        let name = format!("\"{}\"", connector.name);
        assert!(text.contains(&name) || vendors.contains(&name), "{name} is not simulated");
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
fn onelogin_is_read_exactly_once() {
    every_fault(Vendor::OneLogin);
}

#[test]
fn zoom_is_read_exactly_once() {
    every_fault(Vendor::Zoom);
}

#[test]
fn the_duo_administrator_log_is_read_exactly_once() {
    every_fault(Vendor::DuoAdmin);
}

#[test]
fn m365_is_read_exactly_once() {
    every_fault(Vendor::M365);
}

#[test]
fn box_is_read_exactly_once() {
    every_fault(Vendor::Box);
}

#[test]
fn auth0_is_read_exactly_once() {
    every_fault(Vendor::Auth0);
}

#[test]
fn atlassian_is_read_exactly_once() {
    every_fault(Vendor::Atlassian);
}

#[test]
fn crowdstrike_is_read_exactly_once() {
    every_fault(Vendor::CrowdStrike);
}

#[test]
fn cloudflare_is_read_exactly_once() {
    every_fault(Vendor::Cloudflare);
}

#[test]
fn snowflake_is_read_exactly_once() {
    every_fault(Vendor::Snowflake);
}

#[test]
fn jamf_protect_is_read_exactly_once() {
    every_fault(Vendor::JamfProtect);
}

#[test]
fn salesforce_is_read_exactly_once() {
    every_fault(Vendor::Salesforce);
}

#[test]
fn salesforce_files_are_read_exactly_once() {
    every_fault(Vendor::SalesforceFiles);
}
