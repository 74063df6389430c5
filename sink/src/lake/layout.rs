//! Where everything is in a lake, seen from its root. Folders that begin with `_` are not data.
//!
//! ```text
//! _manifests/<lane>/<epoch:020>.json              the chain of a lane
//! _intents/<lane>/<epoch:020>-<writer>.json       the files an unfinished epoch is about to write
//! _state/<lane>/<epoch:020>-<writer>              what the lane's process must know at its next start
//! _boards/<name>/<n:020>.json                     what processes that share the lake tell each other
//! _checkpoints/roots/<epochs:020>.json            what the chains say up to so many epochs
//! _checkpoints/runs/<blake3>.json                 files that roots name
//! _verified/<epochs:020>-<deep|chain>.json         where a proof of so many epochs ended
//! <table>/dt=YYYY-MM-DD/hr=HH/<lane>-<epoch:020>-<n:03>-<writer>.parquet
//! ```

use event::Timestamp;
use object_store::path::Path;

use super::manifest::Checksum;

/// Folder of the manifests.
pub const MANIFESTS: &str = "_manifests";
/// Folder of the intents.
pub const INTENTS: &str = "_intents";
/// Folder of the states.
pub const STATES: &str = "_state";
/// Folder of the boards.
pub const BOARDS: &str = "_boards";
/// Folder of the checkpoints' roots.
pub const CHECKPOINTS: &str = "_checkpoints/roots";
/// Folder of the runs that they name.
pub const RUNS: &str = "_checkpoints/runs";
/// Folder of what `verify` has proved.
pub const VERIFIED: &str = "_verified";
/// The lane of whoever keeps the lake in order. Its epochs replace files of all lanes; it is read after
/// them, and no process may take its name for events.
pub const UPKEEP: &str = "upkeep";
/// Table of records that could not be stored.
pub const DEAD_LETTERS: &str = "dead_letters";
/// Table of alerts.
pub const ALERTS: &str = "alerts";

/// The path of something in the lake that is rooted at `root`.
pub fn under(root: &Path, relative: &str) -> Path {
    Path::from_iter(root.parts().chain(Path::from(relative).parts()))
}

/// `path` seen from the root; `None` when it is not below it.
pub fn relative(root: &Path, path: &Path) -> Option<String> {
    let parts: Vec<_> = path.prefix_match(root)?.collect();
    Some(Path::from_iter(parts).to_string())
}

/// A lane's name is part of paths: 1 to 40 of `a-z 0-9 _ -`, and not [`UPKEEP`].
pub fn lane_is_valid(lane: &str) -> bool {
    (1..=40).contains(&lane.len())
        && lane != UPKEEP
        && lane.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
}

/// The manifest of an epoch.
pub fn manifest(lane: &str, epoch: u64) -> String {
    format!("{MANIFESTS}/{lane}/{epoch:020}.json")
}

/// The folder of a board. A name that is not made of `a-z A-Z 0-9 _ -` is known by its hash.
pub fn board(name: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    match !name.is_empty() && name.len() <= 80 && name.bytes().all(is_plain) {
        true => format!("{BOARDS}/{name}"),
        false => format!("{BOARDS}/{}", blake3::hash(name.as_bytes()).to_hex()),
    }
}

/// A sheet of a board.
pub fn sheet(name: &str, number: u64) -> String {
    format!("{}/{number:020}.json", board(name))
}

/// The number of a sheet's path.
pub fn parse_sheet(path: &str) -> Option<u64> {
    epoch(path.rsplit('/').next()?.strip_suffix(".json")?)
}

/// The checkpoint of so many epochs of all lanes.
pub fn checkpoint(epochs: u64) -> String {
    format!("{CHECKPOINTS}/{epochs:020}.json")
}

/// Where a proof of so many epochs of all lanes ended, and whether it had read every byte.
pub fn verified(epochs: u64, deep: bool) -> String {
    format!("{VERIFIED}/{epochs:020}-{}.json", if deep { "deep" } else { "chain" })
}

/// A run of a checkpoint.
pub fn run(hash: Checksum) -> String {
    format!("{RUNS}/{hash}.json")
}

/// The intent of a writer for an epoch.
pub fn intent(lane: &str, epoch: u64, writer: &str) -> String {
    format!("{INTENTS}/{lane}/{epoch:020}-{writer}.json")
}

/// The state that an epoch of a writer leaves behind.
pub fn state(lane: &str, epoch: u64, writer: &str) -> String {
    format!("{STATES}/{lane}/{epoch:020}-{writer}")
}

/// Lane, epoch and writer of a state's path.
pub fn parse_state(path: &str) -> Option<(String, u64, String)> {
    let rest = path.strip_prefix(STATES)?.strip_prefix('/')?;
    let (lane, name) = rest.split_once('/')?;
    let (digits, writer) = name.split_once('-')?;
    let whole = !writer.is_empty() && writer.bytes().all(|b| b.is_ascii_alphanumeric());
    whole.then_some((lane.to_owned(), epoch(digits)?, writer.to_owned()))
}

/// Lane and epoch of a manifest's path.
pub fn parse_manifest(path: &str) -> Option<(String, u64)> {
    let mut parts = path.split('/');
    let (folder, lane, name) = (parts.next()?, parts.next()?, parts.next()?);
    if folder != MANIFESTS || parts.next().is_some() {
        return None;
    }
    Some((lane.to_owned(), epoch(name.strip_suffix(".json")?)?))
}

/// Epoch and writer of an intent's path.
pub fn parse_intent(path: &str) -> Option<(u64, String)> {
    let name = path.rsplit('/').next()?.strip_suffix(".json")?;
    let (digits, writer) = name.split_once('-')?;
    Some((epoch(digits)?, writer.to_owned()))
}

fn epoch(digits: &str) -> Option<u64> {
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

/// Lane and epoch of a data file's path; `None` for a name that this program does not give.
pub fn parse_data(path: &str) -> Option<(String, u64)> {
    let name = path.rsplit('/').next()?.strip_suffix(".parquet")?;
    let mut parts = name.rsplitn(4, '-');
    let (_writer, number) = (parts.next()?, parts.next()?);
    number.parse::<u32>().ok()?;
    let epoch = epoch(parts.next()?)?;
    Some((parts.next()?.to_owned(), epoch))
}

/// One hour of one table, the folder of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hour(pub i64);

impl Hour {
    /// The hour of a time in microseconds.
    pub fn of_micros(us: i64) -> Self {
        Self(us.div_euclid(3_600_000_000))
    }

    /// Of `2026-03-01` and 9.
    pub fn parse(dt: &str, hr: u8) -> Option<Self> {
        let mut parts = dt.splitn(3, '-');
        let (year, month) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let date = (year, month, parts.next()?.parse().ok()?);
        Timestamp::from_civil(date, (hr.into(), 0, 0), 0).map(|at| Self::of_micros(at.micros()))
    }

    /// `2026-03-01` and 9.
    pub fn dt_hr(self) -> (String, u8) {
        let (y, m, d, h, ..) = Timestamp::from_micros(self.0 * 3_600_000_000).civil();
        (format!("{y:04}-{m:02}-{d:02}"), h as u8)
    }

    /// `aws_cloudtrail/dt=2026-03-01/hr=09`
    pub fn folder(self, table: &str) -> String {
        let (dt, hr) = self.dt_hr();
        format!("{table}/dt={dt}/hr={hr:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        assert_eq!(parse_manifest(&manifest("a-b", 7)), Some(("a-b".into(), 7)));
        assert_eq!(parse_intent(&intent("a-b", 7, "w")), Some((7, "w".into())));
        assert_eq!(parse_state(&state("a-b", 7, "w")), Some(("a-b".into(), 7, "w".into())));
        for foreign in ["_state/redaction.key", "_state/a/x-w", "_state/outbox.redb", "t/a/7-w"] {
            assert_eq!(parse_state(foreign), None, "{foreign}");
        }
        let data = |path| parse_data(path);
        let name = "t/dt=2026-03-01/hr=09/a-b-00000000000000000007-000-3f9a1c20.parquet";
        assert_eq!(data(name), Some(("a-b".into(), 7)));
        for foreign in ["t/x.parquet", &name.replace(".parquet", "-extra.parquet"), "t/x.json"] {
            assert_eq!(data(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn hours_are_folders() {
        assert_eq!(Hour::of_micros(0).folder("t"), "t/dt=1970-01-01/hr=00");
        assert_eq!(Hour::of_micros(-1).folder("t"), "t/dt=1969-12-31/hr=23");
        assert_eq!(Hour(494_121).folder("t"), "t/dt=2026-05-15/hr=09");
        for hour in [-700_000, -1, 0, 494_121, 2_500_000] {
            let (dt, hr) = Hour(hour).dt_hr();
            assert_eq!(Hour::parse(&dt, hr), Some(Hour(hour)), "{dt} {hr}");
        }
        assert_eq!((Hour::parse("2026-02-30", 1), Hour::parse("x", 1)), (None, None));
    }

    #[test]
    fn lanes_are_plain_names() {
        for (lane, valid) in
            [("main", true), ("pod-3_a", true), ("", false), ("A", false), (UPKEEP, false)]
        {
            assert_eq!(lane_is_valid(lane), valid, "{lane}");
        }
        assert!(!lane_is_valid("a/b") && !lane_is_valid("..") && !lane_is_valid(&"a".repeat(41)));
    }

    #[test]
    fn roots_are_added_and_taken_away() {
        let root = Path::from("team/lake");
        let path = under(&root, "t/dt=2026-03-01/hr=09/x.parquet");
        assert_eq!(path.as_ref(), "team/lake/t/dt=2026-03-01/hr=09/x.parquet");
        assert_eq!(relative(&root, &path).as_deref(), Some("t/dt=2026-03-01/hr=09/x.parquet"));
        assert_eq!(relative(&Path::from("other"), &path), None);
        assert_eq!(under(&Path::from(""), "a/b").as_ref(), "a/b");
    }
}
