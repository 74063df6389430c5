//! `mantissa.yaml` as written: typed, strict, and without any side effect. What it means is decided in
//! [`crate::plan`].

mod environment;
mod places;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use event::spelling::distance;
use ingest::SourceConfig;
use normalize::redact::RedactOptions;
use schemars::JsonSchema;
use serde::Deserialize;
use sink::destinations::DestinationConfig;
use sink::lake::LakeOptions;
use sink::routing::RouteConfig;

pub use crate::pipeline::CorrelationConfig;
pub use places::Places;

/// The whole configuration. Every part has a default, so an empty file is a valid one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where events are kept.
    pub lake: LakeOptions,
    /// Folder for what belongs to this process alone: the alert outbox and the write-ahead logs.
    /// Default: `_state` inside a local lake, else `mantissa-state` in the working folder.
    pub state_dir: Option<PathBuf>,
    /// Worker threads that parse, match and build columns. 0 = one for each processor.
    pub workers: usize,
    /// Folders or files with log types of your own (docs/add-a-log-type.md).
    pub log_types: Vec<PathBuf>,
    /// Which rules run.
    pub rules: RulesConfig,
    /// How correlation rules are evaluated.
    pub correlation: CorrelationConfig,
    /// What must not leave for a destination.
    pub redaction: RedactOptions,
    /// By name: where logs come from.
    pub sources: BTreeMap<String, SourceConfig>,
    /// By name: where alerts go.
    pub destinations: BTreeMap<String, DestinationConfig>,
    /// Which alerts go to which destinations. Without any route every alert goes to all of them.
    pub routes: Vec<RouteConfig>,
    /// The HTTP endpoint for metrics, health and `mantissa tap`. Without it there is none.
    pub console: Option<console::Options>,
    /// Where each key stands in the file.
    #[serde(skip)]
    #[schemars(skip)]
    pub places: Places,
}

impl Config {
    /// Everything but the sources and the console, for a command that does what the process does with
    /// records of its own.
    pub fn without_intake(self) -> Self {
        Self { sources: BTreeMap::new(), console: None, ..self }
    }
}

/// Which rules run.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// Also load the rules that come with the program.
    pub builtin: bool,
    /// Folders or files of Sigma rules; folders are read with everything below them.
    pub paths: Vec<PathBuf>,
    /// Ids of rules that stay off.
    pub disable: Vec<String>,
    /// Rules count as blind, and that is an alert, when no event of their log type arrived for this
    /// many seconds. 0: silence is not looked for.
    pub blind_after_s: u64,
    /// Values for `%name%` placeholders of rules that use the `expand` modifier.
    pub placeholders: BTreeMap<String, Vec<String>>,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            builtin: true,
            paths: Vec::new(),
            disable: Vec::new(),
            blind_after_s: 86_400,
            placeholders: BTreeMap::new(),
        }
    }
}

/// Reads a configuration file. `${NAME}` and `${file:PATH}` are replaced first.
pub fn load(path: &Path) -> anyhow::Result<Config> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    parse(&path.display().to_string(), &text, &|reference| environment::look_up(reference))
}

/// Reads a configuration from text; `look_up` resolves what stands inside `${…}`.
pub fn parse(
    name: &str,
    text: &str,
    look_up: &dyn Fn(&str) -> Result<String, String>,
) -> anyhow::Result<Config> {
    let text = match environment::expand(text, look_up) {
        Ok(text) => text,
        Err(e) => bail!("{name}:{}:{}: {}", e.line, e.column, e.message),
    };
    if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        return Ok(Config::default());
    }
    let config: Config = serde_saphyr::from_str(&text).map_err(|e| describe(name, &text, &e))?;
    Ok(Config { places: Places::find(name, &text), ..config })
}

/// `file:line:column: what is wrong`, with the nearest known key where a key is unknown.
fn describe(name: &str, text: &str, error: &serde_saphyr::Error) -> anyhow::Error {
    let message = error.without_snippet().to_string();
    let place =
        error.location().map_or(String::new(), |at| format!(":{}:{}", at.line(), at.column()));
    let line = error
        .location()
        .and_then(|at| text.lines().nth(usize::try_from(at.line()).ok()?.checked_sub(1)?))
        // The offending line helps, but it may hold a secret: only its key is shown.
        .and_then(|line| line.split_once(':').map(|(key, _)| format!("\n  in `{}`", key.trim())))
        .unwrap_or_default();
    anyhow::anyhow!("{name}{place}: {message}{line}{}", nearest(&message))
}

/// serde lists the keys it expected; the one most like the unknown key is the likely intention.
fn nearest(message: &str) -> String {
    let Some(rest) = message.split("unknown field `").nth(1) else { return String::new() };
    let Some((unknown, rest)) = rest.split_once('`') else { return String::new() };
    let list = rest.split_once("expected ").map_or("", |(_, list)| list);
    let list = list.split(" at line").next().unwrap_or(list);
    let known =
        list.split([',', ' ', '`']).filter(|w| !w.is_empty() && !["one", "of", "or"].contains(w));
    match known.min_by_key(|known| distance(unknown, known)) {
        Some(best) if distance(unknown, best) <= best.len().div_ceil(2) => {
            format!("\nhint: did you mean `{best}`?")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
