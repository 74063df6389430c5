//! `mantissa rules`: each command that is more than a few lines has a file of its own.

mod cases;
mod diff;
mod explain;
mod fields;
mod given;
mod stats;
mod together;
mod witness;

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use detect::{Diagnostic, Engine, Group, Matcher, Rule, RuleSet, Severity};
use event::{Fields, FieldsBuilder, LogSource, Parser, Slots, Tag};

use crate::cli::{EngineName, ReportFormat, Rules, RulesEval};
use crate::config::RulesConfig;
use crate::{files, plan, report};

pub fn run(command: Rules) -> anyhow::Result<ExitCode> {
    match command {
        Rules::Check { paths, format } => check(&paths, format),
        Rules::Test { paths, log_types } => cases::test(&paths, &log_types),
        Rules::Eval(args) => eval(&args),
        Rules::Explain(args) => explain::explain(&args),
        Rules::Witness(args) => witness::witness(&args),
        Rules::Stats(args) => stats::stats(&args),
        Rules::Diff(args) => diff::diff(&args),
        Rules::Fields { paths, config, log_type, log_types, only_faulty, format } => {
            let config = config.as_deref();
            let (paths, log_type, log_types) = (&paths, &log_type, &log_types);
            fields::fields(&fields::Question {
                paths,
                config,
                log_type,
                log_types,
                only_faulty,
                format,
            })
        }
    }
}

/// Reports every problem of every file.
fn check(paths: &[PathBuf], format: ReportFormat) -> anyhow::Result<ExitCode> {
    let files = match paths {
        [] => files::builtin_rules(files::RULES),
        paths => files::read(paths, files::RULES)?,
    };
    let (rules, mut problems) = RuleSet::load(files.clone(), &Default::default());
    let catalog = plan::catalog(&[])?;
    problems.extend(plan::dead_fields(&catalog, &rules, catalog.names()));
    let errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
    match format {
        ReportFormat::Json => {
            let document = serde_json::json!({
                "rules": rules.rules().len(), "correlations": rules.correlations().len(),
                "files": files.len(), "errors": errors, "problems": problems,
            });
            report::data(&format!("{document}\n"))?;
        }
        ReportFormat::Text => {
            let texts: HashMap<&str, &str> =
                files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            let render =
                |p: &Diagnostic| p.render(texts.get(p.file.as_str()).copied().unwrap_or(""));
            for problem in &problems {
                report::out(&format!("{}\n", render(problem)))?;
            }
            let correlations = match rules.correlations().len() as u64 {
                0 => String::new(),
                n => format!(" and {}", report::plural(n, "correlation", "correlations")),
            };
            report::out(&format!(
                "{}{correlations} in {}, {}, {}\n",
                report::plural(rules.rules().len() as u64, "rule", "rules"),
                report::plural(files.len() as u64, "file", "files"),
                report::plural(errors as u64, "error", "errors"),
                report::plural((problems.len() - errors) as u64, "warning", "warnings"),
            ))?;
        }
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One log source's rules, compiled, with the buffers to evaluate them.
struct Lane {
    group: Arc<Group>,
    matcher: Matcher,
    fields: Fields,
    slots: Slots,
}

struct Lanes<'a> {
    rules: &'a RuleSet,
    /// Take the category as it is, not also as part of wider ones.
    literal: bool,
    engine: Engine,
    candidates: &'a dyn Fn(&str) -> Vec<String>,
    by_source: HashMap<LogSource, Lane>,
}

impl Lanes<'_> {
    fn lane(&mut self, source: &LogSource) -> &mut Lane {
        if !self.by_source.contains_key(source) {
            let mut builder = FieldsBuilder::default();
            let rules = match self.literal {
                true => literally(self.rules, source),
                false => self.rules.clone(),
            };
            let group = rules.bind(source, self.candidates, &mut builder, self.engine);
            let lane = Lane {
                matcher: group.matcher(),
                fields: builder.build(),
                slots: Slots::default(),
                group,
            };
            self.by_source.insert(source.clone(), lane);
        }
        self.by_source.get_mut(source).unwrap_or_else(|| unreachable!("inserted above"))
    }
}

/// Without the rules that would apply only because their category holds that of the events.
fn literally(rules: &RuleSet, source: &LogSource) -> RuleSet {
    let admits = |rule: &&Arc<Rule>| source.category.admits(rule.log_source.category.as_deref());
    RuleSet::new(rules.rules().iter().filter(admits).cloned().collect())
}

/// Prints one line a match, in input order.
fn eval(args: &RulesEval) -> anyhow::Result<ExitCode> {
    let config = RulesConfig { builtin: false, paths: args.rules.clone(), ..Default::default() };
    let loaded = plan::rules(&config)?;
    let refused = loaded.notes();
    let rules = loaded.rules;
    for note in refused {
        report::note(&format!("warning: {note}\n"));
    }
    let mapping = match &args.log_type {
        Some(name) => {
            Some(plan::catalog(&[])?.get(name).with_context(|| format!("no log type `{name}`"))?)
        }
        None => None,
    };
    let candidates = |field: &str| match &mapping {
        Some(mapping) if !args.no_aliases => mapping.candidates(field),
        _ => vec![field.to_owned()],
    };
    let mut sources = LogSources::open(args, mapping.as_ref().map(|m| m.log_source().clone()))?;
    let engine = match args.engine {
        EngineName::Fast => Engine::Fast,
        EngineName::Oracle => Engine::Oracle,
    };
    let literal = args.logsource_tsv.is_some() && !args.category_hierarchy;
    let by_source = HashMap::new();
    let mut lanes = Lanes { rules: &rules, literal, engine, candidates: &candidates, by_source };
    let mut together = together::Together::new(&rules, mapping.as_ref(), engine)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut events = open(&args.events)?;
    let (mut parser, mut hits, mut line) = (Parser::default(), Vec::new(), Vec::new());
    for number in 0.. {
        line.clear();
        if events.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let source = sources.next()?;
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        match parser.json(text) {
            Ok(doc) => {
                let lane = lanes.lane(&source);
                lane.slots.fill(&lane.fields, &doc);
                hits.clear();
                lane.matcher.matches(&doc, &lane.slots, &mut hits);
                print_hits(&mut out, number, &hits, &lane.group)?;
            }
            Err(e) => report::note(&format!("line {number}: {e}\n")),
        }
        if let Some(together) = &mut together {
            together.take(&mut parser, text, number);
            together.print(&mut out)?;
        }
    }
    if let Some(mut together) = together {
        together.finish();
        together.print(&mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn print_hits(out: &mut impl Write, line: u64, hits: &[u32], group: &Group) -> anyhow::Result<()> {
    for hit in hits {
        let rule = &group.rule(*hit).info;
        let mut row = serde_json::json!({"line": line, "rule": rule.id, "title": rule.title});
        if !group.alerts(*hit) {
            // Only correlations hear of it.
            row["alerts"] = false.into();
        }
        writeln!(out, "{row}")?;
    }
    Ok(())
}

/// The log source of each line: one for all, or a table with one line each.
enum LogSources {
    Same(LogSource),
    Table(Box<dyn io::BufRead>),
}

impl LogSources {
    fn open(args: &RulesEval, of_log_type: Option<LogSource>) -> anyhow::Result<Self> {
        if let Some(path) = &args.logsource_tsv {
            return Ok(Self::Table(open(path)?));
        }
        let tag = |value: &Option<String>| value.as_deref().map_or(Tag::Unknown, Tag::parse);
        Ok(Self::Same(of_log_type.unwrap_or_else(|| LogSource {
            product: tag(&args.product),
            category: tag(&args.category),
            service: tag(&args.service),
        })))
    }

    fn next(&mut self) -> anyhow::Result<LogSource> {
        match self {
            Self::Same(source) => Ok(source.clone()),
            Self::Table(lines) => {
                let mut line = String::new();
                lines.read_line(&mut line).context("cannot read the log source table")?;
                let mut columns = line.trim_end_matches(['\r', '\n']).split('\t').map(Tag::parse);
                let mut next = || columns.next().unwrap_or_default();
                Ok(LogSource { product: next(), category: next(), service: next() })
            }
        }
    }
}

fn open(path: &Path) -> anyhow::Result<Box<dyn io::BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file =
        std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 20, file)))
}
