//! docs/sources.md: every source has a log type and a way in, and every way on the page exists. `UPDATE=1`
//! rewrites the table of connectors.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ingest::{Connectors, SOURCES};
use normalize::Catalog;

/// What the product promises; the page may have more.
const PROMISED: [&str; 21] = [
    "AWS CloudTrail",
    "AWS VPC Flow Logs",
    "AWS GuardDuty",
    "GCP Audit",
    "Azure Activity",
    "Okta System Log",
    "Google Workspace",
    "Microsoft 365",
    "Microsoft Teams",
    "Entra ID",
    "Duo",
    "CrowdStrike Falcon",
    "Jamf Pro and Protect",
    "Slack Audit Logs",
    "Snowflake",
    "Salesforce",
    "GitHub Enterprise",
    "GitLab",
    "Kubernetes audit",
    "Docker",
    "containerd",
];

const HEAD: &str =
    "| connector | what the credential needs | lag | requests | kept |\n|---|---|--:|--:|--:|\n";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/sources.md")
}

fn page() -> String {
    std::fs::read_to_string(path()).expect("the page is there")
}

/// The words of a cell that stand as code.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Name, log types and ways in.
fn rows(page: &str) -> Vec<(String, String, String)> {
    let table = page.split_once("|---|---|---|\n").expect("a table").1;
    let lines = table.lines().take_while(|line| line.starts_with('|'));
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, log_types, ways] = cells[..] else { panic!("three cells: {line}") };
        (name.to_owned(), log_types.to_owned(), ways.to_owned())
    });
    rows.collect()
}

#[test]
fn every_promised_source_has_a_log_type_and_a_way_in() {
    let (rows, catalog, connectors) = (rows(&page()), Catalog::builtin(), Connectors::builtin());
    for promised in PROMISED {
        assert!(rows.iter().any(|(name, ..)| name == promised), "{promised} is not on the page");
    }
    let kinds: BTreeSet<&str> = SOURCES.iter().map(|kind| kind.name).collect();
    let mut polled = BTreeSet::new();
    for (name, log_types, ways) in &rows {
        let log_types: BTreeSet<&str> = code(log_types).collect();
        let ways: Vec<&str> = code(ways).collect();
        assert!(!log_types.is_empty() && !ways.is_empty(), "{name} has no log type or no way in");
        for log_type in &log_types {
            assert!(
                catalog.by_name().any(|m| m.log_type().as_str() == *log_type),
                "{name}: {log_type}"
            );
        }
        assert!(ways.iter().any(|way| kinds.contains(way)), "{name}: {ways:?}");
        for way in ways.into_iter().filter(|way| !kinds.contains(way) && !way.starts_with("Audit."))
        {
            let connector =
                connectors.get(way).unwrap_or_else(|| panic!("{name}: {way} is no way in"));
            assert!(log_types.contains(connector.log_type.as_str()), "{name}: {way}");
            polled.insert(way.to_owned());
        }
    }
    let all: BTreeSet<String> = connectors.all().map(|c| c.name.clone()).collect();
    assert_eq!(polled, all, "every connector is the way of a source");
}

fn duration(ms: i64) -> String {
    match ms / 1_000 {
        s if s < 600 => format!("{s} s"),
        s if s < 2 * 86_400 => format!("{} min", s / 60),
        s => format!("{} d", s / 86_400),
    }
}

#[test]
fn the_page_says_what_every_connector_needs_and_takes() {
    let page = page();
    let (before, rest) = page.split_once(HEAD).expect("the table of connectors");
    let (have, after) = rest.split_once("\n## ").expect("what follows it");
    let row = |c: &std::sync::Arc<ingest::Connector>| {
        let kept = c.retention_ms.map(duration).unwrap_or_default();
        let (lag, requests) = (duration(c.lag_ms()), c.idle_requests_a_day());
        format!("| [`{}`]({}) | {} | {lag} | {requests} | {kept} |\n", c.name, c.docs, c.needs)
    };
    let wanted: String = Connectors::builtin().all().map(row).collect();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path(), format!("{before}{HEAD}{wanted}\n## {after}")).expect("written");
        return;
    }
    assert_eq!(have, wanted, "UPDATE=1 rewrites it");
}
