//! Vendors that are asked: the program killed while it polls, tried out, and what its connectors promise.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use ingest::Connectors;
use normalize::Catalog;

use crate::doors::Doors;
use crate::support::{mantissa, number, ok, run, wait_until};

pub const CONNECTOR: &str = "
name: acme.doors
description: Doors that were opened, by Acme.
docs: https://doors.acme.example/api
needs: a token with events:read
log_type: acme.doors
settings:
  site: {doc: The number of the site}
base_url: https://api.doors.acme.example
auth: {accepts: [bearer]}
request:
  path: /v2/sites/{site}/events
  query: {after: '{from}', before: '{to}', size: '{limit}', page: '{token}'}
limit: 30
cursor:
  window: {form: rfc3339, settle_s: 1, overlap_s: 600, max_s: 7200, rescan_s: [60]}
next: {token: paging.next}
records: {at: events, identity: [id], time: {from: opened_at, form: rfc3339}}
limits: {requests: 20, per_s: 1}
every_s: 1
errors:
  codes: [error]
  rules:
    - {code: no_scope, is: denied, say: the token lacks events:read}
";

/// Without an id of the vendor's own in the lake, an event that is handed over twice is stored twice.
pub const LOG_TYPE: &str = "
name: acme.doors
description: Doors that were opened, by Acme.
logsource: {product: acme, service: doors}
decoder: {json: {}}
identity: {position: true}
time:
  - {from: opened_at, form: rfc3339}
columns:
  action: id
";

fn site(url: &str, token: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("connector.yml", CONNECTOR);
    write("log_type.yml", LOG_TYPE);
    write(
        "mantissa.yaml",
        &format!(
            "lake: {{url: ./lake, epoch_ms_max: 60}}\nlog_types: [log_type.yml]\n\
             rules: {{builtin: false}}\nsources:\n  doors:\n    log_type: acme.doors\n    poll:\n      \
             connector: acme.doors\n      connectors: [connector.yml]\n      settings: {{site: 7}}\n      \
             auth: {{bearer: {{token: {token}}}}}\n      base_url: {url}\n      until_end: true\n"
        ),
    );
    folder
}

fn start(folder: &Path) -> Child {
    let mut command = mantissa();
    command.args(["run", "--until-end"]).current_dir(folder);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

/// The log type knows events by their place only, so the lake would not notice an event that comes twice.
#[test]
fn what_a_vendor_has_is_stored_once_however_often_the_program_is_killed() {
    const EVENTS: i64 = 3_000;
    let doors = Doors::start(EVENTS);
    let folder = site(&doors.url, "example");
    let mut asked = 0;
    for life in 0..4 {
        let mut child = start(folder.path());
        wait_until("polling", Duration::from_secs(60), || doors.answers() > asked + 12 + life * 5);
        child.kill().unwrap();
        child.wait().unwrap();
        asked = doors.answers();
    }
    let whole = start(folder.path()).wait().unwrap();
    assert!(whole.success());
    let lake = folder.path().join("lake");
    let count = |what: &str| number(&lake, &format!("SELECT count({what}) AS n FROM acme_doors"));
    assert_eq!((count("DISTINCT action"), count("*")), (EVENTS, EVENTS));
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}

#[test]
fn a_source_is_tried_out_in_words() {
    let doors = Doors::start(5);
    for (token, code, expected) in [
        ("example", 0, "events: may be read, 5 events on the first page, the newest of 20"),
        ("hunter2", 1, "events: cannot be read: status 403 no_scope: the token lacks events:read"),
    ] {
        let folder = site(&doors.url, token);
        let config = folder.path().join("mantissa.yaml");
        let mut command = mantissa();
        command.args(["sources", "test", "doors"]).current_dir(folder.path());
        let said = crate::support::Said::from(command.output().unwrap());
        assert_eq!(said.code, code, "{}{}", said.out, said.err);
        assert!(said.out.contains(expected), "{}", said.out);
        assert!(!said.out.contains("hunter2") && !said.err.contains("hunter2"));
        assert!(!folder.path().join("lake").exists(), "nothing is stored");
        let said = run(&["sources", "test", "windows", "-c", config.to_str().unwrap()]);
        assert!(said.err.contains("no source `windows`; configured: doors"), "{}", said.err);
    }
}

#[test]
fn connectors_give_log_types_that_are_known() {
    let (catalog, connectors) = (Catalog::builtin(), Connectors::builtin());
    for connector in connectors.all() {
        let log_type = &connector.log_type;
        assert!(catalog.get(log_type).is_some(), "{}: there is no {log_type}", connector.name);
    }
    let listed = ok(&["sources", "list"]).out;
    assert!(connectors.all().all(|connector| listed.contains(&format!("{}\n", connector.name))));
}
