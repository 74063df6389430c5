//! What the commands about single rules are given: a rule by file or id, and how its fields are found in
//! events. Nothing is evaluated here.

use std::collections::HashSet;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use detect::{Engine, Group, Rule, RuleSet, Severity};
use event::{Doc, Fields, FieldsBuilder, LogSource, Parser, Tag};
use normalize::{Catalog, Mapper, Mapping};

use crate::cli::EventsAre;
use crate::{files, plan, report};

/// The rules of a file or folder, or the built-in one of that id, with the filters among them and in `with`
/// applied. What cannot be loaded is said.
pub fn rules(rule: &str, with: &[PathBuf]) -> anyhow::Result<Vec<Arc<Rule>>> {
    let path = Path::new(rule);
    let more = files::read(with, files::RULES)?;
    if !path.exists() {
        let all = load(files::builtin_rules(files::RULES).into_iter().chain(more).collect());
        let found = all.rules().iter().find(|known| known.info.id == *rule);
        if let Some(correlation) = all.correlations().iter().find(|c| c.info.id == *rule) {
            return Err(refers(correlation.info.title.as_str(), correlation));
        }
        let found = found.with_context(|| {
            format!("`{rule}` is neither a file nor the id of a rule that comes with the program")
        })?;
        return Ok(vec![Arc::clone(found)]);
    }
    let own = files::read(&[path.to_owned()], files::RULES)?;
    let names: HashSet<String> = own.iter().map(|(name, _)| name.clone()).collect();
    let all = load(own.into_iter().chain(more).collect());
    let rules: Vec<Arc<Rule>> =
        all.rules().iter().filter(|rule| names.contains(&*rule.file)).cloned().collect();
    if rules.is_empty() {
        if let Some(correlation) = all.correlations().first() {
            return Err(refers(correlation.info.title.as_str(), correlation));
        }
        bail!("{rule} holds no rule that can be used");
    }
    Ok(rules)
}

fn refers(title: &str, correlation: &detect::Correlation) -> anyhow::Error {
    let members: Vec<&str> = correlation.members.iter().map(|m| m.reference.as_str()).collect();
    let members = members.join(", ");
    anyhow::anyhow!("`{title}` is a correlation, not about single events; it refers to {members}")
}

/// Loads rules; what cannot be loaded is said.
pub fn load(files: Vec<files::TextFile>) -> RuleSet {
    let (all, problems) = RuleSet::load(files, &Default::default());
    for problem in problems.iter().filter(|p| p.severity == Severity::Error) {
        report::note(&format!("warning: {}\n", plan::note(problem)));
    }
    all
}

/// How the fields that a rule names are found.
pub struct View {
    /// Without one, fields are taken as they are.
    mapping: Option<Arc<Mapping>>,
    pub log_source: LogSource,
}

impl View {
    /// As the arguments say; else as the first log type has it that the rule applies to.
    pub fn of(catalog: &Catalog, args: &EventsAre, rule: &Rule) -> anyhow::Result<Self> {
        if let Some(view) = Self::named(catalog, args)? {
            return Ok(view);
        }
        Ok(first_of(catalog, rule)
            .map_or(Self { mapping: None, log_source: LogSource::default() }, Self::through))
    }

    /// As the arguments say; `None` when they say nothing.
    pub fn named(catalog: &Catalog, args: &EventsAre) -> anyhow::Result<Option<Self>> {
        if let Some(name) = &args.log_type {
            let mapping = catalog.get(name);
            let unknown = || anyhow::anyhow!("{}", plan::unknown_log_type(catalog, name));
            return Ok(Some(Self::through(mapping.ok_or_else(unknown)?)));
        }
        let tag = |value: &Option<String>| value.as_deref().map_or(Tag::Unknown, Tag::parse);
        let log_source = LogSource {
            product: tag(&args.product),
            category: tag(&args.category),
            service: tag(&args.service),
        };
        Ok(args.product.is_some().then_some(Self { mapping: None, log_source }))
    }

    fn through(mapping: Arc<Mapping>) -> Self {
        Self { log_source: mapping.log_source().clone(), mapping: Some(mapping) }
    }

    /// The log type, if there is one.
    pub fn log_type(&self) -> Option<&str> {
        self.mapping.as_ref().map(|mapping| mapping.log_type().as_str())
    }

    /// Whether the rule is evaluated on such events.
    pub fn admits(&self, rule: &Rule) -> bool {
        rule.log_source.applies_to(&self.log_source)
    }

    /// The path at which records have a field; its own name where that is not known.
    pub fn place(&self, field: &str) -> String {
        let Some(mapping) = &self.mapping else { return field.to_owned() };
        let paths = mapping.candidates(field);
        // Records as the vendor writes them, not as something wrapped them.
        let own = paths.iter().find(|path| *path == field && mapping.knows(path));
        let known = own.or_else(|| paths.iter().find(|path| mapping.knows(path)));
        known.cloned().unwrap_or_else(|| field.to_owned())
    }

    /// Compiles rules, whether they apply to the log source or not.
    pub fn bind(&self, rules: Vec<Arc<Rule>>, engine: Engine) -> Lens {
        let mut builder = FieldsBuilder::default();
        let mapper = self.mapping.as_ref().map(|mapping| mapping.bind(&mut builder));
        let candidates = |field: &str| match &self.mapping {
            Some(mapping) => mapping.candidates(field),
            None => vec![field.to_owned()],
        };
        let group = Arc::new(Group::new(rules, &candidates, &mut builder, engine));
        Lens { group, mapper, fields: builder.build() }
    }
}

fn first_of(catalog: &Catalog, rule: &Rule) -> Option<Arc<Mapping>> {
    // A rule for every product has no log type of its own.
    rule.log_source.product.as_ref()?;
    let all = catalog.names().filter_map(|name| catalog.get(name));
    all.into_iter().find(|mapping| rule.log_source.applies_to(mapping.log_source()))
}

/// Rules, and what reads the events that they look at.
pub struct Lens {
    pub group: Arc<Group>,
    mapper: Option<Mapper>,
    pub fields: Fields,
}

impl Lens {
    /// Reads one event as its log type is written; JSON where none is known.
    pub fn parse<'a>(&'a self, parser: &'a mut Parser, event: &'a [u8]) -> anyhow::Result<Doc<'a>> {
        match &self.mapper {
            Some(mapper) => mapper
                .parse(parser, event, None)
                .map_err(|reject| anyhow::anyhow!("the event is refused: {}", reject.reason)),
            None => parser.json(event).context("the event is not JSON"),
        }
    }
}

/// Shows every line of a file that is not blank, with its number from 0; `-` is standard input.
pub fn each_line(
    path: &Path,
    visit: &mut dyn FnMut(u64, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut lines = super::open(path)?;
    let mut line = Vec::new();
    for number in 0.. {
        line.clear();
        let read = lines.read_until(b'\n', &mut line);
        if read.with_context(|| format!("cannot read {}", path.display()))? == 0 {
            break;
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            visit(number, text)?;
        }
    }
    Ok(())
}
