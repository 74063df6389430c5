//! `mantissa rules test`: the cases beside the rules, through parsing, mapping, matching and correlating as
//! the pipeline does it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use detect::cases::{self, Case, Given};
use detect::correlate::Correlator;
use detect::{Engine, RuleSet, Severity};
use event::{LogType, Parser, PartitionKey, Timestamp};
use normalize::Catalog;

use crate::pipeline::{Detection, Origin, Stream};
use crate::{files, plan, report};

use super::together::OPTIONS;

/// Runs the cases of every file.
pub fn test(paths: &[PathBuf], log_types: &[PathBuf]) -> anyhow::Result<ExitCode> {
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
    let (all, problems) = RuleSet::load(rule_files.clone(), &Default::default());
    let (mut passed, mut failures) = (0, Vec::new());
    for (name, text) in &rule_files {
        let errors = problems.iter().filter(|p| p.severity == Severity::Error && p.file == *name);
        failures.extend(errors.map(|p| p.render(text)));
        let own = own_ids(&all, name);
        let beside = cases_name(name);
        match cases.get(beside.as_str()) {
            Some(text) => {
                let rules = Arc::new(needed(&all, &own));
                let runner = Runner { catalog: &catalog, rules, own, file: &beside };
                runner.run(text, &mut passed, &mut failures);
            }
            // A filter is tested by the cases of the rules that it changes.
            None if own.is_empty() && !problems.iter().any(|p| p.file == *name) => {}
            None => failures.push(format!("{name}: has no cases ({beside})")),
        }
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

/// Ids of the rules and correlations of a file.
fn own_ids<'r>(all: &'r RuleSet, file: &str) -> HashSet<&'r str> {
    let rules = all.rules().iter().filter(|rule| *rule.file == *file).map(|rule| &rule.info);
    let correlations = all.correlations().iter().filter(|c| *c.file == *file).map(|c| &c.info);
    rules.chain(correlations).map(|info| info.id.as_str()).collect()
}

/// The rules of these ids and those that their correlations refer to.
fn needed(all: &RuleSet, own: &HashSet<&str>) -> RuleSet {
    let mut kept = own.clone();
    for correlation in all.correlations().iter().rev() {
        if kept.contains(correlation.info.id.as_str()) {
            kept.extend(correlation.members.iter().map(|member| member.id.as_str()));
        }
    }
    let ids = all.rules().iter().map(|rule| rule.info.id.as_str());
    let ids = ids.chain(all.correlations().iter().map(|c| c.info.id.as_str()));
    all.without(&ids.filter(|id| !kept.contains(id)).collect()).0
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

struct Runner<'a> {
    catalog: &'a Arc<Catalog>,
    /// Those of the file, and what they refer to.
    rules: Arc<RuleSet>,
    /// Ids of the file's own: only their alerts count.
    own: HashSet<&'a str>,
    file: &'a str,
}

impl Runner<'_> {
    fn run(&self, text: &str, passed: &mut u64, failures: &mut Vec<String>) {
        let (cases, problems) = cases::read(self.file, text);
        failures.extend(problems.iter().map(|p| p.render(text)));
        for case in &cases {
            match self.alerts(case) {
                Ok(alerts) if case.alerts.is_met(alerts) => *passed += 1,
                Ok(alerts) => failures.push(format!(
                    "{}: `{}` {}",
                    self.file,
                    case.name,
                    match case.alerts {
                        cases::Wanted::Any(false) => "alerts but must not".to_owned(),
                        cases::Wanted::Any(true) => "does not alert but must".to_owned(),
                        cases::Wanted::Count(n) => format!("alerts {alerts} times instead of {n}"),
                    }
                )),
                Err(e) => failures.push(format!("{}: `{}`: {e:#}", self.file, case.name)),
            }
        }
    }

    /// How many alerts of the file's own there are.
    fn alerts(&self, case: &Case) -> anyhow::Result<u64> {
        let (fast, oracle) = (self.count(case, Engine::Fast)?, self.count(case, Engine::Oracle)?);
        anyhow::ensure!(fast == oracle, "the matcher and the oracle disagree");
        Ok(fast)
    }

    fn count(&self, case: &Case, engine: Engine) -> anyhow::Result<u64> {
        let detection = Detection {
            catalog: Arc::clone(self.catalog),
            rules: Arc::clone(&self.rules),
            generation: 0,
        };
        let mut streams: HashMap<LogType, Stream> = HashMap::new();
        let mut correlator = Correlator::new(self.rules.plans().clone(), OPTIONS);
        let mut alerts = 0;
        for (at, given) in case.events.iter().enumerate() {
            let log_type = self.log_type(given)?;
            if !streams.contains_key(&log_type) {
                let compiled = detection
                    .compile(&log_type, engine)
                    .with_context(|| format!("there is no log type `{log_type}`"))?;
                streams.insert(log_type.clone(), Stream::new(compiled));
            }
            let Some(stream) = streams.get_mut(&log_type) else { unreachable!("inserted above") };
            let key = PartitionKey { source: "cases".into(), partition: self.file.into() };
            let now = Timestamp(0);
            let origin = Origin {
                key: &key,
                at: at as u64,
                index: 0,
                name: None,
                now,
                late_after_ns: i64::MAX,
            };
            stream
                .take(&mut Parser::default(), given.event.bytes(), None, &origin, &mut |_| false)
                .map_err(|reject| anyhow::anyhow!("the event is refused: {}", reject.reason))?;
            let group = &stream.compiled.group;
            let own = |hit: &&u32| {
                group.alerts(**hit) && self.own.contains(group.rule(**hit).info.id.as_str())
            };
            alerts += stream.hits.iter().filter(own).count() as u64;
            stream.observations.drain(..).for_each(|o| correlator.observe(&o));
        }
        // The events are given at once: nothing is late.
        correlator.finish();
        let found = correlator.take_found();
        let own = found.iter().filter(|f| self.own.contains(f.correlation.info.id.as_str()));
        Ok(alerts + own.count() as u64)
    }

    /// The event's own log type, else the first whose log source the rules name.
    fn log_type(&self, given: &Given) -> anyhow::Result<LogType> {
        if let Some(name) = &given.log_type {
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
