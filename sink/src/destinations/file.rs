//! A file that gets one JSON line an alert, forced to disk before the alert counts as sent.
//!
//! **Once.** An alert whose earlier attempt was cut off by a crash is looked up in the last
//! [`TAIL_BYTES_MAX`] of the file and not written again; a line that the crash left half written is
//! removed first. What stays possible: a log rotation between the crash and the next start hides the
//! line, and the alert is written a second time with the same `alert_id`.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Destination;
use crate::dispatch::lane::{Answer, Limits};
use crate::outbound::Outbound;
use crate::routing::ConfigError;

/// How far back a repeated alert is looked for.
const TAIL_BYTES_MAX: u64 = 16 << 20;
/// How every line begins; our own torn line is known by it.
const LINE_START: &[u8] = b"{\"alert_id\":\"";

/// Options of a `file` destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOptions {
    /// The file; created when missing, its folder is not. May be rotated by renaming.
    pub path: PathBuf,
}

struct Lines {
    path: PathBuf,
}

pub(super) fn build(options: &FileOptions) -> Result<(Limits, Arc<dyn Destination>), ConfigError> {
    if options.path.as_os_str().is_empty() {
        return Err(ConfigError::new("path", "is empty; give the file to append to"));
    }
    let limits = Limits { concurrency_max: 1, per_second_max: 1_000.0, batch_max: 64 };
    Ok((limits, Arc::new(Lines { path: options.path.clone() })))
}

#[async_trait]
impl Destination for Lines {
    async fn deliver(&self, batch: &[Outbound]) -> Answer {
        let lines: Vec<Line> = batch.iter().map(Line::of).collect();
        let path = self.path.clone();
        let appended = tokio::task::spawn_blocking(move || append(&path, &lines));
        match appended.await {
            Ok(Ok(())) => Answer::Accepted { reference: None },
            Ok(Err(error)) => answer(&self.path, &error),
            Err(_) => answer(&self.path, &io::Error::other("the write was interrupted")),
        }
    }
}

fn answer(path: &Path, error: &io::Error) -> Answer {
    use io::ErrorKind::{
        IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
    };
    let reason = format!("cannot append to {}: {error}", path.display());
    match error.kind() {
        NotFound | PermissionDenied | IsADirectory | NotADirectory | ReadOnlyFilesystem => {
            Answer::Misconfigured { reason }
        }
        _ => Answer::Failed { retry_after: None, reason, maybe_sent: true },
    }
}

struct Line {
    alert_id: String,
    maybe_there: bool,
    text: String,
}

impl Line {
    fn of(outbound: &Outbound) -> Self {
        let alert_id = outbound.alert().alert_id.to_string();
        // `alert_id` is the first member, whether serde_json sorts them or keeps their order.
        let text = format!("{}\n", outbound.json());
        debug_assert!(text.as_bytes().starts_with(LINE_START));
        Self { alert_id, maybe_there: outbound.maybe_repeat(), text }
    }
}

/// Appends the lines that are not there yet, all or none, and forces them to disk.
fn append(path: &Path, lines: &[Line]) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let end = mend(&mut file)?;
    let there = match lines.iter().any(|line| line.maybe_there) {
        true => ids_in_tail(&mut file, end)?,
        false => HashSet::new(),
    };
    let missing = lines.iter().filter(|l| !(l.maybe_there && there.contains(l.alert_id.as_str())));
    let text: String = missing.map(|line| line.text.as_str()).collect();
    if let Err(error) = file.write_all(text.as_bytes()) {
        let _ = file.set_len(end); // best effort: what stays is mended before the next write
        return Err(error);
    }
    file.sync_data()?;
    if is_new && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Removes our own torn last line; ends anybody else's. Gives the length of the file.
fn mend(file: &mut File) -> io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    let tail = tail(file, end)?;
    let torn = match tail.iter().rposition(|b| *b == b'\n') {
        Some(newline) => &tail[newline + 1..],
        None => &tail[..],
    };
    if torn.is_empty() {
        return Ok(end);
    }
    let known = torn.len().min(LINE_START.len());
    if torn[..known] == LINE_START[..known] {
        let end = end - torn.len() as u64;
        file.set_len(end)?;
        return Ok(end);
    }
    file.write_all(b"\n")?;
    Ok(end + 1)
}

fn tail(file: &mut File, end: u64) -> io::Result<Vec<u8>> {
    // One byte tells that nothing is torn, which is nearly always so.
    for length in [1, TAIL_BYTES_MAX] {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(end.saturating_sub(length)))?;
        (&mut *file).take(length).read_to_end(&mut bytes)?;
        if bytes.is_empty() || bytes.ends_with(b"\n") || length == TAIL_BYTES_MAX {
            return Ok(bytes);
        }
    }
    Ok(Vec::new())
}

fn ids_in_tail(file: &mut File, end: u64) -> io::Result<HashSet<String>> {
    file.seek(SeekFrom::Start(end.saturating_sub(TAIL_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let id = |line: &[u8]| {
        let id = line.strip_prefix(LINE_START)?.get(..32)?;
        Some(String::from_utf8_lossy(id).into_owned())
    };
    Ok(bytes.split(|b| *b == b'\n').filter_map(id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{alert, outlet};

    fn line(n: u32, maybe_there: bool) -> Line {
        Line::of(&outlet().redact(&alert(n), 0, maybe_there))
    }

    fn ids(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let id = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["alert_id"].as_str().unwrap().to_owned()
        };
        text.lines().map(id).collect()
    }

    fn id(n: u32) -> String {
        alert(n).alert_id.to_string()
    }

    #[test]
    fn a_repeated_alert_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alerts.ndjson");
        append(&path, &[line(1, false), line(2, true)]).unwrap();
        append(&path, &[line(2, true), line(3, true)]).unwrap();
        assert_eq!(ids(&path), [id(1), id(2), id(3)]);
    }

    #[test]
    fn a_torn_line_is_replaced_wherever_it_was_torn() {
        let whole = line(2, true).text;
        for cut in [1, 5, LINE_START.len(), 40, whole.len() - 1] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("alerts.ndjson");
            append(&path, &[line(1, false)]).unwrap();
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(&whole.as_bytes()[..cut]).unwrap();
            append(&path, &[line(2, true)]).unwrap();
            assert_eq!(ids(&path), [id(1), id(2)], "cut at {cut}");
        }
    }

    #[test]
    fn foreign_text_is_ended_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alerts.ndjson");
        std::fs::write(&path, "not ours").unwrap();
        append(&path, &[line(1, false)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("not ours\n{\"alert_id\":"), "{text}");
    }

    #[tokio::test]
    async fn a_folder_that_is_missing_is_a_matter_of_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let options = FileOptions { path: dir.path().join("missing/alerts.ndjson") };
        let (_, destination) = build(&options).unwrap();
        let answer = destination.deliver(&[outlet().redact(&alert(1), 0, false)]).await;
        assert!(matches!(answer, Answer::Misconfigured { .. }), "{answer:?}");
    }
}
