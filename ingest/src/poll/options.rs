//! The options of the `poll` source, and what they mean for a connector.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use super::auth::{Auth, AuthOptions, Defaults};
use super::client::Reach;
use super::connector::{Connector, Connectors, CursorRule, LimitOf, Template, Values};
use super::seen::{Id, id_of};
use super::setup::Setup;
use crate::framing::RECORD_BYTES_MAX;

/// One value of a setting, or several for one that lists.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SettingValue {
    One(String),
    Number(i64),
    Several(Vec<String>),
}

/// Options of the `poll` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PollOptions {
    /// Which vendor's API, such as `okta.system`; `mantissa sources list` names them.
    pub connector: String,
    /// Connectors of your own: files or folders (docs/add-a-poll-source.md).
    pub connectors: Vec<PathBuf>,
    /// What the connector has to know, such as the organisation.
    pub settings: BTreeMap<String, SettingValue>,
    /// How the source proves who it is.
    pub auth: AuthOptions,
    /// Another address than the connector's: a proxy of yours, a server of your own.
    pub base_url: Option<String>,
    /// How far back the first start reads.
    pub backfill_hours: u32,
    /// Ask for news this often instead of as the connector says.
    pub every_s: Option<u32>,
    /// Stop when everything that there was at the start is read.
    pub until_end: bool,
    /// `http://proxy:3128`. Without it the environment's proxy applies.
    pub proxy: Option<Secret>,
    /// A PEM file with authorities that are trusted beside the system's.
    pub ca: Option<PathBuf>,
    /// A request must be answered after this time.
    pub request_ms_max: u64,
    /// Longer answers fail.
    pub answer_bytes_max: usize,
    /// Longer records become dead letters.
    pub record_bytes_max: usize,
    /// Requests under way at the same time, of different partitions.
    pub requests_at_once_max: usize,
    /// Events that are remembered so as not to be handed over twice, for each partition. Of 16 bytes each.
    pub seen_max: usize,
}

impl Default for PollOptions {
    fn default() -> Self {
        Self {
            connector: String::new(),
            connectors: Vec::new(),
            settings: BTreeMap::new(),
            auth: AuthOptions::default(),
            base_url: None,
            backfill_hours: 24,
            every_s: None,
            until_end: false,
            proxy: None,
            ca: None,
            request_ms_max: 60_000,
            answer_bytes_max: 64 << 20,
            record_bytes_max: RECORD_BYTES_MAX,
            requests_at_once_max: 4,
            seen_max: 1_000_000,
        }
    }
}

/// Options that fit their connector.
#[derive(Debug)]
pub struct Resolved {
    pub connector: Arc<Connector>,
    base_url: String,
    settings: Values,
    /// Names of partitions with their value of the setting `each`.
    pub(super) partitions: Vec<(String, Option<String>)>,
    defaults: Defaults,
}

impl PollOptions {
    /// Joins options and connector; fails in words.
    pub fn resolve(&self) -> Result<Resolved, String> {
        let mut connector = (*self.find()?).clone();
        if let Some(every_s) = self.every_s {
            connector.every_ms = i64::from(every_s.max(1)) * 1_000;
        }
        let (settings, each) = self.settings(&connector)?;
        let fill = |template: &Template| template.fill(&settings).unwrap_or_default();
        let base_url = match &self.base_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => fill(&connector.base_url),
        };
        if !is_base_url(&base_url) {
            // Not shown: it may hold a password.
            return Err("`base_url` is no address like https://api.example.com".to_owned());
        }
        let kind = self.auth.kind().map_err(|words| format!("`auth` {words}"))?;
        if !connector.auth.accepts.contains(&kind) {
            let accepts: Vec<_> = connector.auth.accepts.iter().map(|a| a.as_str()).collect();
            let accepts = accepts.join(", ");
            return Err(format!(
                "the vendor does not take `auth.{}`; give one of {accepts}",
                kind.as_str()
            ));
        }
        let defaults = Defaults {
            base_url: base_url.clone(),
            token_url: connector.auth.token_url.as_ref().map(fill),
            scope: connector.auth.scope.as_ref().map(fill),
            secret: connector.auth.secret,
            form: connector
                .auth
                .form
                .iter()
                .map(|(name, value)| (name.clone(), fill(value)))
                .collect(),
            header: connector.auth.header.clone(),
        };
        let partitions = match each {
            None => vec![("events".to_owned(), None)],
            Some(values) => values.into_iter().map(|value| (value.clone(), Some(value))).collect(),
        };
        let resolved =
            Resolved { connector: connector.into(), base_url, settings, partitions, defaults };
        self.auth(&resolved)?;
        Ok(resolved)
    }

    /// Proof of identity, newly made.
    pub fn auth(&self, resolved: &Resolved) -> Result<Auth, String> {
        Auth::new(&self.auth, &resolved.defaults).map_err(|words| format!("`auth`: {words}"))
    }

    pub fn reach(&self) -> Reach {
        Reach {
            proxy: self.proxy.as_ref().map(|proxy| proxy.expose().to_owned()),
            ca: self.ca.clone(),
            request_ms_max: self.request_ms_max,
            answer_bytes_max: self.answer_bytes_max.max(1 << 20),
        }
    }

    fn find(&self) -> Result<Arc<Connector>, String> {
        let files = connector_files(&self.connectors)?;
        let connectors = Connectors::builtin().with_files(files).map_err(|errors| {
            let lines = errors.iter().map(|e| match &e.hint {
                Some(hint) => format!("{e}\nhint: {hint}"),
                None => e.to_string(),
            });
            lines.collect::<Vec<_>>().join("\n")
        })?;
        connectors.get(&self.connector).ok_or_else(|| {
            let names: Vec<_> = connectors.all().map(|c| c.name.as_str()).collect();
            format!("there is no connector {:?}; known: {}", self.connector, names.join(", "))
        })
    }

    /// Given or default values; those of the setting `each` apart.
    fn settings(&self, connector: &Connector) -> Result<(Values, Option<Vec<String>>), String> {
        if let Some(unknown) =
            self.settings.keys().find(|name| !connector.settings.contains_key(*name))
        {
            let known: Vec<_> = connector.settings.keys().map(String::as_str).collect();
            return Err(format!("there is no setting `{unknown}`; known: {}", known.join(", ")));
        }
        let (mut one, mut each) = (Values::new(), None);
        for (name, setting) in &connector.settings {
            let given = self.settings.get(name).map(|value| match value {
                SettingValue::One(text) => vec![text.clone()],
                SettingValue::Number(number) => vec![number.to_string()],
                SettingValue::Several(texts) => texts.clone(),
            });
            let Some(mut values) = given.or_else(|| setting.default.clone()) else {
                return Err(format!("the setting `{name}` is missing: {}", setting.doc));
            };
            values.dedup();
            // A connector says by an empty default that the setting may be left out.
            let is_left_out = !self.settings.contains_key(name) && values == [""];
            if values.is_empty() || !is_left_out && values.iter().any(|value| !is_value(value)) {
                return Err(format!(
                    "the setting `{name}` is empty or has characters that no address has"
                ));
            }
            if connector.each.as_deref() == Some(name) {
                let is_doubled = (1..values.len()).any(|i| values[..i].contains(&values[i]));
                if is_doubled || values.iter().any(|value| value.contains('/')) {
                    return Err(format!(
                        "the setting `{name}` names something twice, or holds a `/`"
                    ));
                }
                each = Some(values);
            } else if let [value] = &values[..] {
                one.insert(name.clone(), value.clone());
            } else {
                return Err(format!("the setting `{name}` takes one value"));
            }
        }
        Ok((one, each))
    }
}

impl Resolved {
    /// How far back the first start reads.
    pub fn backfill_ms(&self, options: &PollOptions) -> i64 {
        i64::from(options.backfill_hours) * 3_600_000
    }

    /// How far back the newest events are got by one request.
    pub fn newest_ms(&self, options: &PollOptions) -> i64 {
        let backfill_ms = self.backfill_ms(options);
        match &self.connector.cursor {
            CursorRule::Window(rule) => backfill_ms.min(rule.max_ms - rule.overlap_ms),
            CursorRule::Token { .. } => backfill_ms,
        }
    }

    /// What each partition's poller needs to know.
    pub fn setups(&self, options: &PollOptions, now_ms: i64, back_ms: i64) -> Vec<(String, Setup)> {
        let keeps_ms = self.connector.retention_ms.unwrap_or(i64::MAX);
        let setup = |each: &Option<String>| Setup {
            connector: Arc::clone(&self.connector),
            base_url: self.base_url.clone(),
            settings: self.settings.clone(),
            each: each.clone(),
            start_ms: now_ms - back_ms.min(keeps_ms),
            record_bytes_max: options.record_bytes_max.max(1_024),
            seen_max: options.seen_max,
        };
        self.partitions.iter().map(|(name, each)| (name.clone(), setup(each))).collect()
    }

    /// What shares one allowance: a credential at one vendor, or one connector of it.
    pub fn limited_as(&self, options: &PollOptions) -> Id {
        let connector = match self.connector.limits.of {
            LimitOf::Credential => "",
            LimitOf::Connector => &self.connector.name,
        };
        id_of([
            options.auth.fingerprint().as_slice(),
            self.base_url.as_bytes(),
            connector.as_bytes(),
        ])
    }
}

fn is_value(value: &str) -> bool {
    !value.is_empty() && !value.contains(|c: char| c.is_control() || " \"<>\\^`{}|?#".contains(c))
}

fn is_base_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| is_value(rest) && !rest.starts_with('/') && !rest.contains('@'))
}

/// Name and text of the files and of those in folders.
fn connector_files(paths: &[PathBuf]) -> Result<Vec<(String, String)>, String> {
    let told = |path: &Path, e: std::io::Error| format!("`connectors` {}: {e}", path.display());
    let mut files = Vec::new();
    for path in paths {
        let mut found = vec![path.clone()];
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|e| told(path, e))?;
            let is_yaml = |p: &PathBuf| p.extension().is_some_and(|e| e == "yml" || e == "yaml");
            found = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_yaml).collect();
            found.sort();
        }
        for file in found {
            let text = std::fs::read_to_string(&file).map_err(|e| told(&file, e))?;
            files.push((file.display().to_string(), text));
        }
    }
    Ok(files)
}
