//! `mantissa rules check|test|eval`.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use detect::cases::{self, Case};
use detect::{Diagnostic, Engine, Group, Matcher, Rule, RuleSet, Severity};
use event::{
    Fields, FieldsBuilder, LogSource, LogType, Parser, PartitionKey, Slots, Tag, Timestamp,
};
use normalize::Catalog;

use crate::cli::{EngineName, ReportFormat, Rules, RulesEval};
use crate::config::RulesConfig;
use crate::pipeline::{Detection, Origin, Stream};
use crate::{files, plan, report};

pub fn run(command: Rules) -> anyhow::Result<ExitCode> {
    match command {
        Rules::Check { paths, format } => check(&paths, format),
        Rules::Test { paths, log_types } => test(&paths, &log_types),
        Rules::Eval(args) => eval(&args),
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
                "rules": rules.rules().len(), "files": files.len(), "errors": errors, "problems": problems,
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
            report::out(&format!(
                "{} in {}, {}, {}\n",
                report::plural(rules.rules().len() as u64, "rule", "rules"),
                report::plural(files.len() as u64, "file", "files"),
                report::plural(errors as u64, "error", "errors"),
                report::plural((problems.len() - errors) as u64, "warning", "warnings"),
            ))?;
        }
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every rule's cases through parsing, mapping and matching as the pipeline does.
fn test(paths: &[PathBuf], log_types: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let catalog = Arc::new(plan::catalog(log_types)?);
    let (rule_files, case_files) = match paths {
        [] => (files::builtin_rules(files::RULES), files::builtin_rules(files::CASES)),
        paths => {
            let rules = files::read(paths, files::RULES)?;
            (rules.clone(), cases_beside(&rules)?)
        }
    };
    let cases: HashMap<&str, &str> =
        case_files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let (mut passed, mut failures) = (0, Vec::new());
    for (name, text) in &rule_files {
        let beside = cases_name(name);
        let Some(case_text) = cases.get(beside.as_str()) else {
            failures.push(format!("{name}: has no cases ({beside})"));
            continue;
        };
        let (rules, problems) = RuleSet::load([(name.clone(), text.clone())], &Default::default());
        failures.extend(
            problems.iter().filter(|p| p.severity == Severity::Error).map(|p| p.render(text)),
        );
        let runner = CaseRunner { catalog: &catalog, rules: Arc::new(rules), file: &beside };
        runner.run(case_text, &mut passed, &mut failures);
    }
    for failure in &failures {
        report::out(&format!("FAILED {failure}\n"))?;
    }
    report::out(&format!(
        "{}: {passed} cases passed, {} failed\n",
        report::plural(rule_files.len() as u64, "rule", "rules"),
        failures.len()
    ))?;
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cases_name(rule: &str) -> String {
    let stem = rule.strip_suffix(".yml").or_else(|| rule.strip_suffix(".yaml")).unwrap_or(rule);
    format!("{stem}.cases.ndjson")
}

fn cases_beside(rules: &[files::TextFile]) -> anyhow::Result<Vec<files::TextFile>> {
    let beside = rules.iter().map(|(name, _)| PathBuf::from(cases_name(name)));
    let there: Vec<PathBuf> = beside.filter(|path| path.exists()).collect();
    files::read(&there, files::CASES)
}

struct CaseRunner<'a> {
    catalog: &'a Arc<Catalog>,
    rules: Arc<RuleSet>,
    file: &'a str,
}

impl CaseRunner<'_> {
    fn run(&self, text: &str, passed: &mut u64, failures: &mut Vec<String>) {
        let (cases, problems) = cases::read(self.file, text);
        failures.extend(problems.iter().map(|p| p.render(text)));
        for case in &cases {
            match self.verdict(case) {
                Ok(alerts) if alerts == case.alerts => *passed += 1,
                Ok(alerts) => failures.push(format!(
                    "{}: `{}` {}",
                    self.file,
                    case.name,
                    if alerts { "alerts but must not" } else { "does not alert but must" }
                )),
                Err(e) => failures.push(format!("{}: `{}`: {e:#}", self.file, case.name)),
            }
        }
    }

    fn verdict(&self, case: &Case) -> anyhow::Result<bool> {
        let log_type = self.log_type(case)?;
        let detection = Detection {
            catalog: Arc::clone(self.catalog),
            rules: Arc::clone(&self.rules),
            generation: 0,
        };
        let mut verdicts = [false; 2];
        for (verdict, engine) in verdicts.iter_mut().zip([Engine::Fast, Engine::Oracle]) {
            let compiled = detection
                .compile(&log_type, engine)
                .with_context(|| format!("there is no log type `{log_type}`"))?;
            let mut stream = Stream::new(compiled);
            let key = PartitionKey { source: "cases".into(), partition: self.file.into() };
            let now = Timestamp(0);
            let origin = Origin { key: &key, at: 0, index: 0, now, late_after_ns: i64::MAX };
            stream
                .take(&mut Parser::default(), case.event.bytes(), None, &origin, &mut |_| false)
                .map_err(|reject| anyhow::anyhow!("the event is refused: {}", reject.reason))?;
            *verdict = !stream.hits.is_empty();
        }
        anyhow::ensure!(verdicts[0] == verdicts[1], "the matcher and the oracle disagree");
        Ok(verdicts[0])
    }

    /// The case's own log type, else the first whose log source the rule names.
    fn log_type(&self, case: &Case) -> anyhow::Result<LogType> {
        if let Some(name) = &case.log_type {
            return Ok(LogType::from(name.as_str()));
        }
        let fits = |name: &&str| {
            self.catalog.get(name).is_some_and(|m| {
                self.rules.rules().iter().any(|r| r.log_source.applies_to(m.log_source()))
            })
        };
        let name =
            self.catalog.names().find(fits).context("no log type has the rule's log source")?;
        Ok(LogType::from(name))
    }
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
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn print_hits(out: &mut impl Write, line: u64, hits: &[u32], group: &Group) -> anyhow::Result<()> {
    for hit in hits {
        let rule = &group.rule(*hit).info;
        let row = serde_json::json!({"line": line, "rule": rule.id, "title": rule.title});
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
