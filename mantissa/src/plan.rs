//! *config → plan*: everything resolved and compiled, nothing started. No network, no thread, no file is
//! written here; files that the configuration names are read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use detect::{Correlation, Diagnostic, Rule, RuleSet, Severity};
use event::Secret;
use event::spelling::distance;
use ingest::{HttpOptions, SourceConfig};
use normalize::Catalog;
use normalize::redact::{RedactOptions, Redactor};
use sink::destinations::DestinationConfig;
use sink::lake::LakeOptions;
use sink::routing::RouteConfig;

use crate::config::{Config, CorrelationConfig, RulesConfig};
use crate::files;

/// What will run.
pub struct Plan {
    pub lake: LakeOptions,
    pub state_dir: PathBuf,
    pub workers: usize,
    pub catalog: Arc<Catalog>,
    pub rules: Arc<RuleSet>,
    pub rules_config: RulesConfig,
    /// Whether the process tells of rules that cannot see, as events of its own.
    pub tells_health: bool,
    /// The sources whose past can be asked for while the process runs; none where nobody is there to ask.
    pub backfills: Option<BTreeMap<String, SourceConfig>>,
    pub correlation: CorrelationConfig,
    /// Without a key; [`crate::run`] takes the state folder's own then.
    pub redaction: RedactOptions,
    pub sources: BTreeMap<String, SourceConfig>,
    pub destinations: BTreeMap<String, DestinationConfig>,
    pub routes: Vec<RouteConfig>,
    pub console: Option<console::Options>,
    /// What is worth knowing but stops nothing: refused rules, rules that can never fire.
    pub notes: Vec<String>,
}

/// Resolves a configuration. Fails on what cannot run; reports the rest in [`Plan::notes`].
pub fn plan(mut config: Config) -> anyhow::Result<Plan> {
    let mut notes = Vec::new();
    let catalog = catalog(&config.log_types)?;
    let loaded = rules(&config.rules)?;
    notes.extend(loaded.notes());
    let rules = loaded.rules;
    for (name, source) in &config.sources {
        let at = |key: &str| config.places.at(&format!("sources.{name}{key}"));
        if name.starts_with('_') {
            bail!("{}source `{name}`: names that begin with `_` are the program's own", at(""));
        }
        if catalog.get(&source.log_type).is_none() {
            bail!(
                "{}source `{name}`: {}",
                at(".log_type"),
                unknown_log_type(&catalog, &source.log_type)
            );
        }
        source.build(name).with_context(|| format!("{}source `{name}`", at("")))?;
    }
    check_correlation(&config)?;
    if let Some(retention) = &config.lake.retention {
        let at = config.places.at("lake.retention");
        retention.check().map_err(|e| anyhow::anyhow!("{at}{e}"))?;
    }
    if let Some(compaction) = &config.lake.compaction {
        let at = config.places.at("lake.compaction");
        compaction.check().map_err(|e| anyhow::anyhow!("{at}{e}"))?;
    }
    sink::dispatch::check(&config.routes, &config.destinations)
        .map_err(|e| anyhow::anyhow!("{}{e}", config.places.at(&e.place)))?;
    let log_types = config.sources.values().map(|s| s.log_type.as_str());
    notes.extend(dead_fields(&catalog, &rules, log_types).iter().map(note));
    let state_dir = state_dir(config.state_dir, &config.lake.url);
    for source in config.sources.values_mut() {
        if let Some(http) = &mut source.http
            && http.wal_folder == HttpOptions::default().wal_folder
        {
            http.wal_folder = state_dir.join("wal");
        }
    }
    let workers = match config.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        n => n,
    };
    Ok(Plan {
        state_dir,
        lake: config.lake,
        workers,
        catalog: Arc::new(catalog),
        rules: Arc::new(rules),
        rules_config: config.rules,
        tells_health: false,
        backfills: None,
        correlation: config.correlation,
        redaction: check_redaction(config.redaction)?,
        sources: config.sources,
        destinations: config.destinations,
        routes: config.routes,
        console: config.console,
        notes,
    })
}

/// What would keep correlations from working at all.
fn check_correlation(config: &Config) -> anyhow::Result<()> {
    const STATE_BYTES_MIN: usize = 1 << 16;
    let CorrelationConfig { bytes_max, rule_bytes_max, .. } = config.correlation;
    for (name, bytes) in [("bytes_max", bytes_max), ("rule_bytes_max", rule_bytes_max)] {
        if bytes < STATE_BYTES_MIN {
            let at = config.places.at(&format!("correlation.{name}"));
            bail!("{at}correlations cannot work with less than {STATE_BYTES_MIN} bytes");
        }
    }
    for name in config.correlation.lateness_ms_by_source.keys() {
        if !config.sources.contains_key(name) {
            let at = config.places.at(&format!("correlation.lateness_ms_by_source.{name}"));
            bail!("{at}there is no source `{name}`");
        }
    }
    Ok(())
}

/// What to say about a log type that is not there.
pub fn unknown_log_type(catalog: &Catalog, unknown: &str) -> String {
    let names: Vec<&str> = catalog.names().collect();
    let nearest = names.iter().min_by_key(|name| distance(unknown, name));
    let hint = nearest.filter(|name| distance(unknown, name) <= name.len().div_ceil(3));
    let hint = hint.map_or(String::new(), |name| format!("\nhint: did you mean `{name}`?"));
    format!("there is no log type `{unknown}`; known: {}{hint}", names.join(", "))
}

/// Checks the options; a key that is not given is found or made when the plan runs.
fn check_redaction(options: RedactOptions) -> anyhow::Result<RedactOptions> {
    let mut probe = options.clone();
    if probe.key.expose().is_empty() {
        probe.key = Secret::new("only to check the other options");
    }
    Redactor::new(&probe).context("redaction")?;
    Ok(options)
}

/// Where the outbox and write-ahead logs go: beside the data in a local lake, else here.
pub fn state_dir(configured: Option<PathBuf>, lake_url: &str) -> PathBuf {
    configured.unwrap_or_else(|| match lake_url.split_once("://") {
        None => Path::new(lake_url).join("_state"),
        Some(("file", path)) => Path::new(path).join("_state"),
        Some(_) => PathBuf::from("mantissa-state"),
    })
}

/// The built-in log types and those in `paths`.
pub fn catalog(paths: &[PathBuf]) -> anyhow::Result<Catalog> {
    let files = files::read(paths, &[".yml", ".yaml"])?;
    Catalog::builtin().with_files(files).map_err(|problems| {
        let lines = problems.iter().map(|p| match &p.hint {
            Some(hint) => format!("{p}\n  hint: {hint}"),
            None => p.to_string(),
        });
        anyhow::anyhow!("{}", lines.collect::<Vec<_>>().join("\n"))
    })
}

/// Rules, and what was refused on the way to them.
pub struct LoadedRules {
    pub rules: RuleSet,
    /// Why documents were left out.
    pub refused: Vec<Diagnostic>,
    /// Ids that are to stay off and that no rule has.
    unknown: Vec<String>,
    /// Correlations that are off because they need a rule that is to stay off.
    lost: Vec<Arc<Correlation>>,
}

impl LoadedRules {
    /// Each of it as a line for people.
    pub fn notes(&self) -> Vec<String> {
        let unknown =
            self.unknown.iter().map(|id| format!("rules.disable: no rule has the id `{id}`"));
        let lost = self.lost.iter().map(|correlation| {
            let (file, at, title) = (&correlation.file, correlation.at, &correlation.info.title);
            let line = at.line;
            format!(
                "{file}:{line}: `{title}` is off as well: it needs a rule that `rules.disable` names"
            )
        });
        self.refused.iter().map(note).chain(unknown).chain(lost).collect()
    }
}

/// Loads rules; each refused document costs nothing but itself.
pub fn rules(config: &RulesConfig) -> anyhow::Result<LoadedRules> {
    let mut files = rule_files(config)?;
    if !config.builtin {
        // That rules cannot see is told whatever rules run.
        let own = files::builtin_rules(files::RULES);
        files.extend(own.into_iter().filter(|(name, _)| name.starts_with(HEALTH_RULES)));
    }
    let (all, problems) = RuleSet::load(files, &config.placeholders);
    let refused = problems.into_iter().filter(|p| p.severity == Severity::Error).collect();
    let is_known = |id: &str| {
        all.rules().iter().any(|rule| rule.info.id == *id)
            || all.correlations().iter().any(|correlation| correlation.info.id == *id)
    };
    let unknown = config.disable.iter().filter(|id| !is_known(id)).cloned().collect();
    let (rules, lost) = all.without(&config.disable.iter().map(String::as_str).collect());
    Ok(LoadedRules { rules, refused, unknown, lost })
}

/// The rules on what the program finds about its own detection.
const HEALTH_RULES: &str = "rules/mantissa/";

/// The rule files of a configuration, the program's own first.
pub fn rule_files(config: &RulesConfig) -> anyhow::Result<Vec<files::TextFile>> {
    let mut all = if config.builtin { files::builtin_rules(files::RULES) } else { Vec::new() };
    all.extend(files::read(&config.paths, files::RULES)?);
    Ok(all)
}

/// A problem in one line.
pub fn note(problem: &Diagnostic) -> String {
    let Diagnostic { file, line, column, message, hint, .. } = problem;
    let hint = hint.as_ref().map_or(String::new(), |hint| match hint.split_once('\n') {
        Some((first, _)) => format!(" (hint: {first}; `mantissa rules check` writes it out)"),
        None => format!(" (hint: {hint})"),
    });
    format!("{file}:{line}:{column}: {message}{hint}")
}

/// Fields that rules read and that records of these log types never have: a rule that needs one is dead.
/// Rules that name no product apply everywhere and are not blamed for what one product lacks.
pub fn dead_fields<'a>(
    catalog: &Catalog,
    rules: &RuleSet,
    log_types: impl Iterator<Item = &'a str>,
) -> Vec<Diagnostic> {
    let correlations = rules.correlations();
    let named = rules.rules().iter().filter(|rule| rule.log_source.product.is_some());
    let rules = RuleSet::new(named.cloned().collect());
    let mut found = Vec::new();
    for log_type in log_types.collect::<BTreeSet<_>>() {
        let Some(mapping) = catalog.get(log_type) else { continue };
        let mut fields = event::FieldsBuilder::default();
        let candidates = |field: &str| mapping.candidates(field);
        let group =
            rules.bind(mapping.log_source(), &candidates, &mut fields, detect::Engine::Oracle);
        let dead = group.unresolved(&|field| mapping.knows(field));
        found.extend(dead.iter().map(|dead| dead.diagnostic(log_type, std::iter::empty())));
        for correlation in correlations {
            found.extend(unknown_fields(correlation, &rules, &mapping));
        }
    }
    found
}

/// Fields that a correlation groups by or looks at and that records of the log type never have, for rules
/// of its product: their events never take part.
fn unknown_fields(
    correlation: &Correlation,
    rules: &RuleSet,
    mapping: &normalize::Mapping,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (at, member) in correlation.members.iter().enumerate() {
        let is_it = |rule: &&Arc<Rule>| rule.info.id == member.id;
        let Some(rule) = rules.rules().iter().find(is_it) else { continue };
        if !rule.log_source.applies_to(mapping.log_source()) {
            continue;
        }
        for name in correlation.group_by.iter().chain(correlation.value_fields()) {
            let field = correlation.field_of(name, at);
            if mapping.candidates(field).iter().any(|path| mapping.knows(path)) {
                continue;
            }
            found.push(Diagnostic {
                severity: Severity::Warning,
                file: correlation.file.to_string(),
                line: member.at.line,
                column: member.at.column,
                span: member.reference.clone(),
                message: format!(
                    "`{}` has no field `{field}`: events of `{}` never take part in `{}`",
                    mapping.log_type().as_str(),
                    rule.info.title,
                    correlation.info.title
                ),
                hint: None,
            });
        }
    }
    found
}
