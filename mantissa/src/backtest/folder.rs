//! The folder of a run: alerts hour by hour, the state of its correlations, and how far it is.
//!
//! ```text
//! run.json                what was found so far, replaced whole after every hour
//! state-<hour>            of the correlations behind that hour
//! alerts/2026-03-17T09.ndjson
//! alerts.parquet          all of them as a table, when it is finished
//! ```
//! For its owner only, as the lake is: nothing in it is redacted.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use event::Alert;
use sink::lake::AlertFile;
use sink::lake::layout::Hour;

use super::Report;

/// A run's folder.
pub(super) struct Folder {
    at: PathBuf,
}

impl Folder {
    /// Makes the folder when it is not there.
    pub(super) fn open(at: &Path) -> anyhow::Result<Self> {
        crate::run::create_private(&at.join("alerts"))
            .with_context(|| format!("cannot make the folder {}", at.display()))?;
        Ok(Self { at: at.to_owned() })
    }

    /// How far the run of this identity is.
    pub(super) fn report(&self, identity: &str) -> anyhow::Result<Report> {
        let path = self.at.join("run.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Ok(Report { identity: identity.to_owned(), ..Report::default() });
            }
            Err(e) => return Err(e).context(format!("cannot read {}", path.display())),
        };
        let report: Report = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged", path.display()))?;
        if report.identity != identity {
            bail!(
                "{} holds a run over other rules, times or another lake; give this one a folder of its own \
                 with --out",
                self.at.display()
            );
        }
        Ok(report)
    }

    pub(super) fn keep_report(&self, report: &Report) -> anyhow::Result<()> {
        self.replace("run.json", &serde_json::to_vec_pretty(report)?)
    }

    pub(super) fn state(&self, hour: i64) -> anyhow::Result<Vec<u8>> {
        let path = self.at.join(format!("state-{hour}"));
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    pub(super) fn keep_state(&self, hour: i64, state: &[u8]) -> anyhow::Result<()> {
        self.replace(&format!("state-{hour}"), state)
    }

    /// Removes a state that nobody needs any more; one that stays takes room and nothing else.
    pub(super) fn drop_state(&self, hour: i64) {
        let _ = fs::remove_file(self.at.join(format!("state-{hour}")));
    }

    /// The alerts of an hour, empty: what an interrupted run has left there comes again.
    pub(super) fn hour(&self, hour: Hour) -> anyhow::Result<HourFile> {
        let (dt, hr) = hour.dt_hr();
        let path = self.at.join(format!("alerts/{dt}T{hr:02}.ndjson"));
        let file = File::create(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(HourFile { file: BufWriter::new(file) })
    }

    /// All alerts once more as one table. Done again it is the same.
    pub(super) fn keep_table(&self) -> anyhow::Result<()> {
        let path = self.at.join("alerts.parquet");
        let failed = || format!("cannot write {}", path.display());
        let mut table = AlertFile::create(&path).with_context(failed)?;
        alerts(&self.at, |alert| table.write(alert).with_context(failed))?;
        table.finish().with_context(failed)
    }

    /// Whole or not at all, also when the power fails.
    fn replace(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let (new, path) = (self.at.join(format!("{name}.new")), self.at.join(name));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.at)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The alerts of one hour, one JSON object a line.
pub(super) struct HourFile {
    file: BufWriter<File>,
}

impl HourFile {
    pub(super) fn write(&mut self, alert: &Alert) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.file, alert)?;
        self.file.write_all(b"\n").context("cannot write alerts")
    }

    /// Returns when they are on the disk.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let file = self.file.into_inner().context("cannot write alerts")?;
        file.sync_all().context("cannot write alerts")
    }
}

/// Calls `each` for every alert of a finished run, hour by hour.
///
/// # Errors
/// When the folder cannot be read or is damaged, and those of `each`.
pub fn alerts(
    folder: &Path,
    mut each: impl FnMut(Alert) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let folder = folder.join("alerts");
    let told = || format!("cannot read the folder {}", folder.display());
    let listed = fs::read_dir(&folder).with_context(told)?;
    let mut paths: Vec<PathBuf> =
        listed.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>().with_context(told)?;
    paths.sort();
    for path in paths {
        let told = || format!("cannot read {}", path.display());
        for line in BufReader::new(File::open(&path).with_context(told)?).lines() {
            let line = line.with_context(told)?;
            let alert = serde_json::from_str(&line);
            each(alert.with_context(|| format!("{} is damaged", path.display()))?)?;
        }
    }
    Ok(())
}
