//! The record of one epoch: which spans it finished, which files hold their rows, and what became of
//! every record. The lake *is* the chain of its manifests; a file that no manifest names is not in it.
//!
//! On disk a manifest is one line of JSON that proves itself,
//! `{"checksum":"<blake3 of the inner object's bytes>","manifest":{…}}`, so that any altered byte is
//! found even in the newest one; each names the hash of the whole previous line, so that none can be
//! exchanged or left out. This module does no I/O.

use event::{ColumnType, Uid};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use super::checksum::Checksum;
use super::hold::{Hold, Partition, Taken};

/// Format version of an epoch that only adds.
pub const VERSION: u32 = 1;
/// Format version of an epoch that replaces or removes files: who does not know of that would count rows twice. A
/// reader refuses a greater one.
pub const VERSION_REPLACING: u32 = 2;
/// Format version of an epoch in which partitions move between lanes: who does not know of that would go on with
/// what is another's.
pub const VERSION_MOVING: u32 = 3;

/// A manifest with at least this many epochs behind the last one carries every position
/// ([`Manifest::positions`]), so that recovery reads a bounded number of objects.
pub const POSITIONS_EVERY: u64 = 32;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// Rows of one log type.
    Events,
    /// The table `dead_letters`.
    DeadLetters,
    /// The table `alerts`.
    Alerts,
}

/// The type of a column as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Arrow `Utf8`.
    Text,
    /// Arrow `Int64`.
    Int,
    /// Arrow `Float64`.
    Float,
    /// Arrow `Boolean`.
    Bool,
    /// Arrow `Timestamp(Microsecond, "UTC")`.
    Time,
    /// Arrow `List<Utf8>`, its item field is called `element`.
    TextList,
    /// Arrow `Binary`.
    Binary,
}

impl From<ColumnType> for ColumnKind {
    fn from(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Text => Self::Text,
            ColumnType::Int => Self::Int,
            ColumnType::Float => Self::Float,
            ColumnType::Bool => Self::Bool,
            ColumnType::Time => Self::Time,
            ColumnType::TextList => Self::TextList,
        }
    }
}

/// A column of a file. Every column may be null.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ColumnSpec {
    pub name: String,
    pub kind: ColumnKind,
}

/// What one span of a source partition became. `received = stored + duplicates + dead + dropped`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanEntry {
    pub source: String,
    pub partition: String,
    pub after: u64,
    pub upto: u64,
    pub received: u64,
    pub stored: u64,
    pub duplicates: u64,
    pub dead: u64,
    /// Dropped by the policy of the source's owner.
    pub dropped: u64,
    /// What the source wants back at restart; see [`event::Span::state`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Where a source partition stands after an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub source: String,
    pub partition: String,
    pub upto: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Hold::is_own")]
    pub hold: Hold,
}

/// One Parquet file. Times are microseconds since 1970 in UTC and inclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// From the lake's root: `aws_cloudtrail/dt=2026-03-01/hr=09/main-…-000-3f9a1c20.parquet`.
    pub path: String,
    pub table: String,
    pub kind: FileKind,
    /// `2026-03-01`
    pub dt: String,
    pub hr: u8,
    pub rows: u64,
    pub bytes: u64,
    pub checksum: Checksum,
    /// Of `event_time` (dead letters: `received_at`). Late rows can lie far outside of `dt` and `hr`.
    pub min_time: i64,
    pub max_time: i64,
    /// Of `ingest_time` (dead letters: `received_at`, alerts: `detected_at`).
    pub min_ingest: i64,
    pub max_ingest: i64,
    /// Index into [`Manifest::schemas`].
    pub schema: usize,
    /// Compressed bytes of each column, in the order of the schema.
    pub column_bytes: Vec<u64>,
}

/// What a lane's process must know at its next start: an object beside the data. Only the newest
/// manifest's is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// From the lake's root: `_state/main/00000000000000000007-3f9a1c20`.
    pub path: String,
    pub bytes: u64,
    pub checksum: Checksum,
}

/// A sum over rows that does not depend on their order or on the files that they are in, written as 32
/// lower-case hexadecimal digits. Shows that rows were neither lost, doubled nor altered by mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub u128);

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        format!("{:032x}", digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits =
            text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let parsed = u128::from_str_radix(&text, 16).ok().filter(|_| digits);
        parsed.map(Self).ok_or("a digest is 32 lower-case hexadecimal digits")
    }
}

/// A file of this epoch holds the rows of files of earlier epochs, of any lane. From now on it is part
/// of the lake and they are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// Index into [`Manifest::files`].
    pub by: usize,
    /// How often its bytes were written anew, at most.
    pub rewrites: u8,
    /// Over the rows that were read from the replaced files, without what was erased of them.
    pub rows: Digest,
    /// Rows in which a person was erased.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub erased: u64,
    /// Paths from the lake's root.
    pub files: Vec<String>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Why a file was taken out of the lake with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its hour had been kept as long as the owner wanted.
    Age,
    /// The lake had become larger than the owner wanted.
    Size,
    /// It was missing or damaged, and nobody had another copy.
    Lost,
}

/// A file that is no part of the lake from this epoch on, nor are its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// From the lake's root.
    pub path: String,
    pub why: Why,
}

/// One epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub lane: String,
    /// From 1, without holes.
    pub epoch: u64,
    /// Hash of the previous manifest's bytes; none for epoch 1.
    pub previous: Option<Checksum>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Identity of the process that wrote it, `3f9a1c20`.
    pub writer: String,
    /// The program's version, for people.
    pub program: String,
    pub spans: Vec<SpanEntry>,
    pub files: Vec<DataFile>,
    /// The columns of the files, each list once.
    pub schemas: Vec<Vec<ColumnSpec>>,
    pub alert_ids: Vec<Uid>,
    /// Dead letters that were given to the pipeline again in this epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redriven: Vec<Uid>,
    /// The position of every partition of the lane after this epoch, in some manifests only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Vec<Position>>,
    /// The state after this epoch: its own, or that of an earlier one when nothing has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateFile>,
    /// In epochs of the lane [`super::layout::UPKEEP`] only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replacement>,
    /// Why a person was erased from the files that were replaced, as somebody wrote it down; see
    /// [`Replacement::erased`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure: Option<String>,
    /// In epochs of that lane only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Removed>,
    /// Partitions that this lane wants to read on from wherever other lanes have ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed: Vec<Partition>,
    /// Partitions that another lane has taken from this one. Such a manifest is written by that lane's process, and
    /// holds nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<Taken>,
}

/// Why bytes are not a manifest to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("it is not in the form of a manifest")]
    Form,
    #[error("its content does not have the checksum that it states")]
    Checksum,
    #[error("it was written in format {0}, which this program does not know")]
    Version(u32),
    #[error("its content does not fit together: {0}")]
    Content(String),
}

const OPEN: &[u8] = br#"{"checksum":""#;
const MIDDLE: &[u8] = br#"","manifest":"#;
const CLOSE: &[u8] = b"}\n";

impl Manifest {
    /// The bytes to store, and their hash, which the next manifest names.
    pub fn encode(&self) -> (Vec<u8>, Checksum) {
        let body = serde_json::to_vec(self).expect("a manifest has text keys and plain values");
        let mut out = Vec::with_capacity(body.len() + 100);
        out.extend_from_slice(OPEN);
        out.extend_from_slice(Checksum::of(&body).to_string().as_bytes());
        out.extend_from_slice(MIDDLE);
        out.extend_from_slice(&body);
        out.extend_from_slice(CLOSE);
        let hash = Checksum::of(&out);
        (out, hash)
    }

    /// Reads stored bytes back; every byte is checked.
    ///
    /// # Errors
    /// [`Damage`] when the bytes are not exactly what [`Manifest::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Checksum), Damage> {
        let stated = bytes.strip_prefix(OPEN).ok_or(Damage::Form)?;
        let (digits, rest) = stated.split_at_checked(64).ok_or(Damage::Form)?;
        let body =
            rest.strip_prefix(MIDDLE).and_then(|r| r.strip_suffix(CLOSE)).ok_or(Damage::Form)?;
        let stated =
            std::str::from_utf8(digits).ok().and_then(Checksum::parse).ok_or(Damage::Form)?;
        if Checksum::of(body) != stated {
            return Err(Damage::Checksum);
        }
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let raw: &RawValue = serde_json::from_slice(body).map_err(|_| Damage::Form)?;
        let content = |e: serde_json::Error| Damage::Content(e.to_string());
        let Version { version } = serde_json::from_str(raw.get()).map_err(content)?;
        if version > VERSION_MOVING {
            return Err(Damage::Version(version));
        }
        let manifest: Self = serde_json::from_str(raw.get()).map_err(content)?;
        manifest.check()?;
        Ok((manifest, Checksum::of(bytes)))
    }

    /// The columns of one of its files.
    pub fn columns(&self, file: &DataFile) -> &[ColumnSpec] {
        &self.schemas[file.schema]
    }

    /// Whether positions are due in the manifest of this epoch.
    pub fn carries_positions(epoch: u64) -> bool {
        epoch % POSITIONS_EVERY == 1
    }

    fn check(&self) -> Result<(), Damage> {
        let wrong = |what: String| Err(Damage::Content(what));
        if self.epoch == 0 || self.previous.is_none() != (self.epoch == 1) {
            return wrong(format!("epoch {} and its link to the previous one", self.epoch));
        }
        for file in &self.files {
            match self.schemas.get(file.schema) {
                Some(columns) if columns.len() == file.column_bytes.len() => {}
                _ => return wrong(format!("the columns of {}", file.path)),
            }
        }
        let takes_away = !self.replaced.is_empty() || !self.removed.is_empty();
        if takes_away && self.version < VERSION_REPLACING {
            return wrong("replaced files in a format without them".into());
        }
        let holds = self.positions.iter().flatten().any(|position| !position.hold.is_own());
        let moves = holds || !self.claimed.is_empty() || !self.taken.is_empty();
        if moves && self.version < VERSION_MOVING {
            return wrong("partitions that move in a format without them".into());
        }
        let mut by: Vec<usize> = self.replaced.iter().map(|r| r.by).collect();
        by.sort_unstable();
        by.dedup();
        if by.len() != self.replaced.len() || by.last().is_some_and(|by| *by >= self.files.len()) {
            return wrong("which file replaces which".into());
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn sample(epoch: u64, previous: Option<Checksum>) -> Manifest {
        Manifest {
            version: VERSION,
            lane: "main".into(),
            epoch,
            previous,
            created_at: 1_700_000_000_000_000,
            writer: "3f9a1c20".into(),
            program: "0.1.0".into(),
            spans: vec![SpanEntry {
                source: "files".into(),
                partition: "a.ndjson".into(),
                after: 0,
                upto: 123,
                received: 4,
                stored: 1,
                duplicates: 1,
                dead: 1,
                dropped: 1,
                state: Some("{\"cursor\":1}".into()),
            }],
            files: vec![DataFile {
                path: "aws_cloudtrail/dt=2026-03-01/hr=09/x.parquet".into(),
                table: "aws_cloudtrail".into(),
                kind: FileKind::Events,
                dt: "2026-03-01".into(),
                hr: 9,
                rows: 1,
                bytes: 10,
                checksum: Checksum::of(b"x"),
                min_time: 1,
                max_time: 1,
                min_ingest: 2,
                max_ingest: 2,
                schema: 0,
                column_bytes: vec![7],
            }],
            schemas: vec![vec![ColumnSpec { name: "event_time".into(), kind: ColumnKind::Time }]],
            alert_ids: vec![Uid::of("t", &[b"a"])],
            redriven: Vec::new(),
            positions: None,
            state: None,
            replaced: Vec::new(),
            erasure: None,
            removed: Vec::new(),
            claimed: Vec::new(),
            taken: Vec::new(),
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        let (bytes, hash) = sample(1, None).encode();
        assert_eq!(Manifest::decode(&bytes), Ok((sample(1, None), hash)));
        assert!(bytes.windows(9).any(|w| w == b"\"rows\":1,"), "compact keys");
    }

    #[test]
    fn any_altered_byte_is_found() {
        let (bytes, _) = sample(2, Some(Checksum::of(b"1"))).encode();
        for i in 0..bytes.len() {
            for flip in [1, 0x20, 0x80] {
                let mut altered = bytes.clone();
                altered[i] ^= flip;
                assert!(Manifest::decode(&altered).is_err(), "byte {i} ^ {flip}");
            }
            assert!(Manifest::decode(&bytes[..i]).is_err(), "cut at {i}");
        }
        let mut longer = bytes;
        longer.push(b'\n');
        assert!(Manifest::decode(&longer).is_err());
    }

    #[test]
    fn content_that_does_not_fit_is_refused() {
        let refuse = |m: Manifest| {
            assert!(matches!(Manifest::decode(&m.encode().0), Err(Damage::Content(_))), "{m:?}");
        };
        refuse(sample(0, None));
        refuse(sample(2, None));
        refuse(sample(1, Some(Checksum::of(b"1"))));
        let mut m = sample(1, None);
        m.files[0].schema = 1;
        refuse(m);
        let mut m = sample(1, None);
        m.files[0].column_bytes.clear();
        refuse(m);
        let mut m = sample(1, None);
        m.version = VERSION_MOVING + 1;
        let unknown = Err(Damage::Version(VERSION_MOVING + 1));
        assert_eq!(Manifest::decode(&m.encode().0), unknown);
    }

    #[test]
    fn what_replaces_is_one_of_its_files() {
        let replacement = |by| Replacement {
            by,
            rewrites: 1,
            rows: Digest(u128::MAX - 5),
            erased: 0,
            files: vec!["a".into(), "b".into()],
        };
        let with = |version, replaced| Manifest { version, replaced, ..sample(1, None) };
        let good = with(VERSION_REPLACING, vec![replacement(0)]);
        assert_eq!(Manifest::decode(&good.encode().0).unwrap().0, good);
        for (version, replaced) in [
            (VERSION, vec![replacement(0)]),
            (VERSION_REPLACING, vec![replacement(1)]),
            (VERSION_REPLACING, vec![replacement(0), replacement(0)]),
        ] {
            let bad = with(version, replaced);
            let decoded = Manifest::decode(&bad.encode().0);
            assert!(matches!(decoded, Err(Damage::Content(_))), "{bad:?}");
        }
        let removed = vec![Removed { path: "a".into(), why: Why::Size }];
        let removes = Manifest { removed, version: VERSION_REPLACING, ..sample(1, None) };
        assert_eq!(Manifest::decode(&removes.encode().0).unwrap().0, removes);
        let removes = Manifest { version: VERSION, ..removes };
        assert!(Manifest::decode(&removes.encode().0).is_err());
    }
}
