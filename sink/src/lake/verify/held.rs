//! Says of a damaged or missing file where its rows came from, so that a person knows what to fetch again. The
//! manifests are read anew for it, so that a lake which is whole pays nothing.

use std::collections::BTreeMap;

use super::super::layout;
use super::super::manifest::{DataFile, Manifest};
use super::super::store::LakeStore;
use super::report::{Held, Origin};
use super::{Report, read};

/// Files whose sources are looked up; more are named without.
const FILES_MAX: usize = 100;
/// Files that one file may have come from, through every compaction.
const ORIGINS_MAX: usize = 10_000;

/// Fills [`Held::from`] of the problems. What cannot be read is left out: `complete` says so.
pub async fn trace(at: &LakeStore, report: &mut Report) {
    let held = report.problems.iter_mut().filter_map(|p| Some((p.path.clone(), p.held.as_mut()?)));
    for (path, held) in held.take(FILES_MAX) {
        origins(at, path, held).await;
    }
}

/// Goes from a file to those it replaced, and on to the epochs that stored their rows.
async fn origins(at: &LakeStore, path: String, held: &mut Held) {
    let mut from: BTreeMap<(String, String), Origin> = BTreeMap::new();
    let (mut open, mut seen) = (vec![path], 0);
    held.complete = true;
    while let Some(path) = open.pop() {
        seen += 1;
        let manifest = if seen <= ORIGINS_MAX { manifest_of(at, &path).await } else { None };
        let Some((lane, manifest)) = manifest else {
            held.complete = false;
            continue;
        };
        let n = manifest.files.iter().position(|f| f.path == path);
        if let Some(replaced) = manifest.replaced.iter().find(|r| Some(r.by) == n) {
            open.extend(replaced.files.iter().cloned());
            continue;
        }
        for span in manifest.spans.iter().filter(|s| s.stored + s.dead > 0) {
            let key = (span.source.clone(), span.partition.clone());
            let entry = from.entry(key).or_insert_with(|| Origin {
                source: span.source.clone(),
                partition: span.partition.clone(),
                lane: lane.clone(),
                after: span.after,
                upto: span.upto,
            });
            entry.after = entry.after.min(span.after);
            entry.upto = entry.upto.max(span.upto);
        }
    }
    held.from = from.into_values().collect();
}

/// The manifest of the epoch that wrote a file, and its lane.
async fn manifest_of(at: &LakeStore, path: &str) -> Option<(String, Manifest)> {
    let (lane, epoch) = layout::parse_data(path)?;
    let bytes = read(at, layout::manifest(&lane, epoch)).await.ok()?;
    Some((lane, Manifest::decode(&bytes).ok()?.0))
}

impl Held {
    pub fn of(file: &DataFile) -> Self {
        Self {
            min_time: time(file.min_time),
            max_time: time(file.max_time),
            from: Vec::new(),
            complete: false,
        }
    }
}

/// RFC 3339 in UTC, of microseconds.
fn time(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros);
    time.map_or_else(
        || micros.to_string(),
        |t| t.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
    )
}
