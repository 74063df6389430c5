//! `mantissa sources list|test`.

use std::process::ExitCode;

use ::ingest::poll::probe::{Probe, Probed};
use ::ingest::{Connectors, Findings, PollSource};
use anyhow::{Context as _, anyhow, bail};
use event::Timestamp;

use crate::cli::{ConfigFile, Sources};
use crate::{config, report};

/// Differences of the clocks up to this are of no concern.
const SKEW_S_MAX: i64 = 5;

pub fn run(command: &Sources) -> anyhow::Result<ExitCode> {
    match command {
        Sources::List => list(),
        Sources::Test { name, file } => test(name, file),
    }
}

/// The vendors' APIs that the program knows, with what they want to be told.
fn list() -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    for connector in Connectors::builtin().all() {
        let accepts: Vec<_> = connector.auth.accepts.iter().map(|a| a.as_str()).collect();
        text += &format!("{}\n  {}\n", connector.name, connector.description);
        text += &format!("  needs: {}\n  auth: {}\n", connector.needs, accepts.join(", "));
        for (name, setting) in &connector.settings {
            let default = setting.default.as_ref().map(|values| values.join(", "));
            let default = default.map(|d| format!(" (default: {d})")).unwrap_or_default();
            text += &format!("  settings.{name}: {}{default}\n", setting.doc);
        }
        text += &format!("  {}\n", connector.docs);
    }
    report::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn test(name: &str, file: &ConfigFile) -> anyhow::Result<ExitCode> {
    let config = config::load(&file.config)?;
    let Some(source) = config.sources.get(name) else {
        let names: Vec<_> = config.sources.keys().map(String::as_str).collect();
        bail!("there is no source `{name}`; configured: {}", names.join(", "));
    };
    let at = config.places.at(&format!("sources.{name}"));
    let Some(options) = &source.poll else {
        let built = source.build(name).with_context(|| format!("{at}source `{name}`"))?;
        let kind = source.kind(name)?.name;
        let found = super::block_on(async { Ok(built.probe().await) })?;
        let found =
            found.with_context(|| format!("source `{name}`: `{kind}` cannot be tried out"))?;
        let found = found.map_err(|words| anyhow!("{at}source `{name}`: {words}"))?;
        report::out(&told(name, &found))?;
        return Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    };
    let source = PollSource::new(name, &source.log_type, options.clone())
        .with_context(|| format!("{at}source `{name}`"))?;
    let probe = super::block_on(async { source.probe().await.map_err(|words| anyhow!(words)) })
        .with_context(|| format!("{at}source `{name}`"))?;
    report::out(&describe(name, &probe))?;
    let is_good = probe.partitions.iter().all(|partition| partition.trouble.is_none());
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told(name: &str, found: &Findings) -> String {
    let mut text = format!("source `{name}` reads {}\n", found.reads);
    for finding in &found.findings {
        text += &match &finding.trouble {
            None => format!("  {}\n", finding.what),
            Some(trouble) => format!("  {}: NOT WELL: {trouble}\n", finding.what),
        };
    }
    if !found.is_good() {
        text += &format!("  the credential needs: {}\n  see {}\n", found.needs, found.docs);
    }
    text
}

fn describe(name: &str, probe: &Probe) -> String {
    let mut text = format!("source `{name}` asks {}\n", probe.connector);
    for partition in &probe.partitions {
        text += &match &partition.trouble {
            Some(trouble) => format!("  {}: cannot be read: {trouble}\n", partition.partition),
            None => found(partition),
        };
    }
    text += &match probe.skew_ms.map(|ms| ms / 1_000) {
        None => String::new(),
        Some(s) if s.abs() <= SKEW_S_MAX => "  clock: as the vendor's\n".to_owned(),
        Some(s) => format!(
            "  clock: the vendor's is {} s {}; set this machine's, although reading goes by the vendor's\n",
            s.abs(),
            if s > 0 { "ahead" } else { "behind" }
        ),
    };
    if probe.partitions.iter().any(|partition| partition.trouble.is_some()) {
        text += &format!("  the credential needs: {}\n  see {}\n", probe.needs, probe.docs);
    }
    text
}

fn found(partition: &Probed) -> String {
    let mut text = format!("  {}: may be read", partition.partition);
    text += &match partition.records as u64 {
        0 => ", no event in the stretch of time that was asked for".to_owned(),
        n => format!(", {} on the first page", report::plural(n, "event", "events")),
    };
    if let Some(ms) = partition.newest_ms {
        text += &format!(", the newest of {}", Timestamp::from_millis(ms));
    }
    text.push('\n');
    if let Some(sample) = &partition.sample {
        let sample: String =
            String::from_utf8_lossy(sample).chars().take(SAMPLE_CHARS_MAX).collect();
        text += &format!("  {}: {}\n", "such as", sample.replace('\n', " "));
    }
    text
}

const SAMPLE_CHARS_MAX: usize = 400;
