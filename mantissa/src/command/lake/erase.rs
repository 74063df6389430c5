//! `mantissa lake erase`.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use sink::lake::{Erased, LakeOptions, LakeStore, Person, Upkeep};

use crate::cli::{LakeArgs, ReportFormat};
use crate::{config, plan, report};

use super::say;

/// Whom to erase, and why.
pub(super) struct Wish {
    pub values: Vec<String>,
    pub values_file: Option<PathBuf>,
    pub pseudonyms: Vec<String>,
    pub reason: String,
}

pub(super) fn run(
    lake: &LakeArgs,
    wish: Wish,
    dry_run: bool,
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let options = super::super::lake_options(lake)?;
    let Wish { mut values, values_file, pseudonyms, reason } = wish;
    if reason.trim().is_empty() {
        bail!("`--reason` says why, for the record: the number of a request");
    }
    if let Some(path) = values_file {
        let text = read(&path)?;
        values.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    if let Some(path) = lake.config.as_deref().filter(|_| !pseudonyms.is_empty()) {
        values.extend(named_by(path, &options, pseudonyms.into_iter().collect())?);
    }
    let person = Person::new(values)?;
    let retention = options.retention.as_ref();
    let erased = super::super::block_on(async {
        Ok(match dry_run {
            true => sink::lake::erasable(&LakeStore::open(&options)?, &person, retention).await?,
            false => Upkeep::open(&options).await?.erase(&person, &reason, retention).await?,
        })
    })?;
    say(format, &erased, || text(&erased, dry_run))?;
    Ok(if erased.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read the standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The values of the lake that these pseudonyms stand for; each stands for one at least.
fn named_by(
    path: &Path,
    options: &LakeOptions,
    pseudonyms: BTreeSet<String>,
) -> anyhow::Result<BTreeSet<String>> {
    let config = config::load(path)?;
    let state_dir = plan::state_dir(config.state_dir, &config.lake.url);
    let redactor = crate::run::redactor(&config.redaction, &state_dir)?;
    let mut values = BTreeSet::new();
    super::super::block_on(async {
        let at = LakeStore::open(options)?;
        sink::lake::texts(&at, |text| {
            values.extend(redactor.named_by(text, &pseudonyms).into_iter().map(str::to_owned));
        })
        .await?;
        Ok(())
    })?;
    for pseudonym in &pseudonyms {
        let alone = BTreeSet::from([pseudonym.clone()]);
        if !values.iter().any(|value| !redactor.named_by(value, &alone).is_empty()) {
            bail!(
                "nothing in the lake has the pseudonym {pseudonym} under the key of this configuration"
            );
        }
    }
    Ok(values)
}

fn text(erased: &Erased, dry_run: bool) -> String {
    let mut text = String::new();
    for (table, of) in &erased.tables {
        let columns = of.columns.iter().map(|(c, rows)| format!("{c} {}", report::count(*rows)));
        let columns: Vec<String> = columns.collect();
        text.push_str(&format!(
            "{table:<24} {:>10} rows: {}\n",
            report::count(of.rows),
            columns.join(", ")
        ));
    }
    text.push_str(&format!(
        "{} {} in {}{}\n",
        if dry_run { "would erase them from" } else { "erased them from" },
        report::plural(erased.rows, "row", "rows"),
        report::plural(erased.files, "file", "files"),
        if dry_run { "" } else { "; `mantissa lake collect` removes the files as they were" }
    ));
    if erased.held_files > 0 {
        text.push_str(&format!(
            "{} in {} name them and stay, because of `lake.retention.hold`\n",
            report::plural(erased.held_rows, "row", "rows"),
            report::plural(erased.held_files, "file", "files"),
        ));
    }
    for path in &erased.damaged {
        text.push_str(&format!(
            "{path} is damaged and may name them: see `mantissa lake verify --deep`\n"
        ));
    }
    text
}
