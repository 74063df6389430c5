//! The past of a vendor that is asked, filled in beside the live collection and without it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::doors::Doors;
use crate::poll::{CONNECTOR, LOG_TYPE};
use crate::support::{Said, column_counts, mantissa, number, ok, query, wait_until};

/// One door opened every 20 seconds.
const EVENTS: i64 = 3_000;

struct Site {
    folder: tempfile::TempDir,
    doors: Doors,
}

impl Site {
    /// The live collection begins an hour back. `more` are options of the source.
    fn new(log_type: &str, more: &str) -> Self {
        let doors = Doors::start(EVENTS);
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("connector.yml", CONNECTOR);
        write("log_type.yml", log_type);
        let url = &doors.url;
        write(
            "mantissa.yaml",
            &format!(
                "lake: {{url: ./lake, epoch_ms_max: 60}}\nlog_types: [log_type.yml]\nrules: {{builtin: \
                 false}}\nsources:\n  doors:\n    log_type: acme.doors\n    poll:\n      connector: \
                 acme.doors\n      connectors: [connector.yml]\n      settings: {{site: 7}}\n      auth: \
                 {{bearer: {{token: example}}}}\n      base_url: {url}\n      backfill_hours: 1\n{more}"
            ),
        );
        Self { folder, doors }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn lake(&self) -> PathBuf {
        self.path().join("lake")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = mantissa();
        command.args(args).current_dir(self.path());
        command
    }

    fn start(&self, args: &[&str]) -> Child {
        let log = std::fs::File::create(self.path().join("log")).unwrap();
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(log).spawn().expect("the program starts")
    }

    fn said(&self, args: &[&str]) -> Said {
        self.command(args).output().unwrap().into()
    }

    fn count(&self, what: &str) -> i64 {
        number(&self.lake(), &format!("SELECT count({what}) AS n FROM acme_doors"))
    }

    fn epochs(&self) -> usize {
        let listed = std::fs::read_dir(self.lake().join("_manifests/main"));
        listed.map_or(0, Iterator::count)
    }

    /// The ids of events that are not there.
    fn missing(&self) -> Vec<String> {
        let have = column_counts(&self.lake(), "acme_doors", "action");
        let all = (0..EVENTS).map(|n| format!("d{n}"));
        all.filter(|id| !have.contains_key(id)).collect()
    }

    /// Where events came from, how many, and of which time.
    fn parts(&self) -> Vec<serde_json::Value> {
        let sql = "SELECT source_partition, count(*) AS n, min(event_time) AS first, \
                   max(event_time) AS last FROM acme_doors GROUP BY source_partition";
        query(&self.lake(), sql)
    }

    fn dead(&self) -> Vec<serde_json::Value> {
        query(&self.lake(), "SELECT reason, count(*) AS n FROM dead_letters GROUP BY reason")
    }

    /// Every event is there, and once.
    fn is_whole(&self) {
        let missing = self.missing();
        assert!(missing.is_empty(), "{missing:?} of {:?}, dead: {:?}", self.parts(), self.dead());
        assert_eq!((self.count("DISTINCT action"), self.count("*")), (EVENTS, EVENTS));
        ok(&["lake", "verify", "--deep", "--lake", self.lake().to_str().unwrap()]);
    }
}

fn hours_ago(hours: i64) -> String {
    (chrono::Utc::now() - chrono::Duration::hours(hours)).to_rfc3339()
}

/// The log type knows events by their place only, so that the lake itself would notice no event that comes
/// twice.
#[test]
fn the_past_is_filled_in_beside_the_live_collection_however_often_that_is_killed() {
    let site = Site::new(LOG_TYPE, "");
    let mut live = site.start(&["run"]);
    let is_live = || site.epochs() > 0 && site.count("*") >= 180;
    wait_until("the last hour", Duration::from_secs(60), is_live);
    let from = hours_ago(20);
    let ask = ["backfill", "doors", "--from", &from, "--json"];
    let mut asking = site.start(&ask);
    for _ in 0..2 {
        let before = site.doors.answers();
        let is_under_way = || site.doors.answers() > before + 30;
        wait_until("a backfill under way", Duration::from_secs(60), is_under_way);
        live.kill().unwrap();
        live.wait().unwrap();
        assert!(site.count("*") < EVENTS, "it was at its end before it was killed");
        live = site.start(&["run"]);
    }
    // It has waited all the time, and leaves the lake to the live collection.
    assert!(asking.wait().unwrap().success());
    let said = site.said(&ask);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let counts = |said: Said| -> [i64; 4] {
        let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        ["found", "new", "here", "refused"].map(|what| told["counts"][what].as_i64().unwrap())
    };
    let [found, new, here, refused] = counts(said);
    assert!(new > 2_700 && (new + here, refused) == (found, 0), "{found} {new} {here}");
    // Of this hour the lake has everything, although its events have no identity of their own.
    let (from, to) = (hours_ago(3), hours_ago(2));
    let [found, new, here, _] =
        counts(site.said(&["backfill", "doors", "--from", &from, "--to", &to, "--json"]));
    assert!((179..=181).contains(&found) && (new, here) == (0, found), "{found} {new} {here}");
    live.kill().unwrap();
    live.wait().unwrap();
    site.is_whole();
    let sources =
        "SELECT count(DISTINCT source) AS n FROM acme_doors WHERE source = 'doors' AND NOT late";
    assert_eq!(number(&site.lake(), sources), 1);
}

#[test]
fn where_the_live_collection_begins_is_in_the_lake_before_the_vendor_answers() {
    let site = Site::new(LOG_TYPE, "");
    let config = site.path().join("mantissa.yaml");
    let right = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, right.replace("token: example", "token: wrong")).unwrap();
    let mut live = site.start(&["run"]);
    wait_until("a beginning", Duration::from_secs(60), || site.epochs() > 0);
    live.kill().unwrap();
    live.wait().unwrap();
    // By these options alone it would begin now.
    std::fs::write(&config, right.replace("backfill_hours: 1", "backfill_hours: 0")).unwrap();
    let mut live = site.start(&["run"]);
    let is_live = || site.epochs() > 1 && site.count("*") >= 175;
    wait_until("the last hour", Duration::from_secs(60), is_live);
    live.kill().unwrap();
    live.wait().unwrap();
}

#[test]
fn without_a_live_collection_the_command_writes_the_lake_and_repeats_nothing() {
    let keyed = LOG_TYPE.replace("{position: true}", "{any: [id]}");
    let site = Site::new(&keyed, "      until_end: true\n");
    assert_eq!(site.said(&["run", "--until-end"]).code, 0);
    let live = site.count("*");
    assert!((180..220).contains(&live), "{live}");
    let (from, to) = (hours_ago(9), hours_ago(4));
    let ask = ["backfill", "doors", "--from", &from, "--to", &to];
    let mut first = site.start(&ask);
    let epochs = site.epochs();
    wait_until("something stored", Duration::from_secs(60), || site.epochs() > epochs + 1);
    first.kill().unwrap();
    first.wait().unwrap();
    let said = site.said(&ask);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.err.contains("how long the vendor keeps events is not known"), "{}", said.err);
    assert!(said.err.contains("this process writes the lake meanwhile"), "{}", said.err);
    let stored = site.count("*") - live;
    assert!((899..=902).contains(&stored), "five hours are {stored} events");
    let again = site.said(&ask);
    assert!(again.err.contains("filled in before") && again.out == said.out, "{}", again.err);

    // More of the past: what is there already is recognised.
    let from = hours_ago(20);
    let said = site.said(&["backfill", "doors", "--from", &from]);
    assert!(said.out.contains(" already here, 0 refused"), "{}{}", said.out, said.err);
    assert!(!said.out.contains(" 0 already here"), "{}", said.out);
    site.is_whole();
}

#[test]
fn what_cannot_be_filled_in_is_refused_in_words() {
    let site = Site::new(LOG_TYPE, "");
    let check = |args: &[&str], expected: &str| {
        let said = site.said(&[&["backfill"], args].concat());
        assert!(said.code != 0 && said.err.contains(expected), "{}{}", said.out, said.err);
    };
    let (hour, day) = (hours_ago(-1), hours_ago(24));
    check(&["windows", "--from", &day], "no source `windows`; configured: doors");
    check(&["doors", "--from", "yesterday"], "a date, or a time like");
    check(&["doors", "--from", &day, "--to", &hours_ago(48)], "--from must be before --to");
    check(&["doors", "--from", &hour], "in the past");
    let recent = (chrono::Utc::now() - chrono::Duration::minutes(30)).to_rfc3339();
    check(&["doors", "--from", &recent], "read by the live collection itself");
    let connector = format!("{CONNECTOR}\nretention_h: 48\n");
    std::fs::write(site.path().join("connector.yml"), connector).unwrap();
    let (from, to) = (hours_ago(90), hours_ago(70));
    check(&["doors", "--from", &from, "--to", &to], "the vendor keeps events for 2 d: nothing");
}
