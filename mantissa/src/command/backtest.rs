//! `mantissa backtest`.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use detect::{RuleSet, Severity};
use event::Uid;
use event::shown::line;
use sink::lake::LakeStore;

use crate::backtest::{OfRule, PassedOver, Question, Report};
use crate::cli::Backtest;
use crate::config::{self, Config};
use crate::pipeline::Detection;
use crate::report::{self, count, plural};
use crate::{files, plan};

/// Runs rules over the past and shows what they would have found.
pub fn run(args: &Backtest) -> anyhow::Result<ExitCode> {
    let question = question(args)?;
    let (found, was_finished) = super::block_on(async { question.run().await })?;
    if was_finished {
        let folder = args.out.display();
        report::note(&format!("this run was finished before; {folder} has what it found\n"));
    }
    match args.json {
        true => report::data(&format!("{}\n", serde_json::to_string(&found)?))?,
        false => report::out(&shown(args, &found))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn question(args: &Backtest) -> anyhow::Result<Question> {
    let mut config = match &args.lake.config {
        Some(path) => config::load(path)?,
        None => Config::default(),
    };
    if args.lake.config.is_none() {
        config.lake.url.clone_from(&args.lake.lake);
    }
    config.log_types.extend(args.log_types.iter().cloned());
    let (from, to) = (super::time("--from", &args.from)?, super::time("--to", &args.to)?);
    if from >= to {
        bail!("--from must be before --to");
    }
    let catalog = plan::catalog(&config.log_types)?;
    if let Some(unknown) = args.log_type.iter().find(|name| catalog.get(name).is_none()) {
        bail!("{}", plan::unknown_log_type(&catalog, unknown));
    }
    let texts = files::read(&args.rules, files::RULES)?;
    let rules = load(&texts, &config)?;
    let mut parts = vec![args.from.as_bytes(), args.to.as_bytes(), config.lake.url.as_bytes()];
    parts.extend(texts.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]));
    parts.extend(args.log_type.iter().map(String::as_bytes));
    let identity = Uid::of("backtest", &parts).to_string();
    let workers = match args.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        n => n,
    };
    Ok(Question {
        store: LakeStore::open(&config.lake)?,
        detection: Detection { catalog: Arc::new(catalog), rules: Arc::new(rules), generation: 0 },
        correlation: config.correlation,
        from,
        to,
        log_types: args.log_type.clone(),
        workers,
        glances: !args.no_prune,
        folder: args.out.clone(),
        identity,
    })
}

/// The rules; what is wrong with some is said as `mantissa rules check` says it, and costs only those.
fn load(texts: &[files::TextFile], config: &Config) -> anyhow::Result<RuleSet> {
    let (rules, problems) = RuleSet::load(texts.to_vec(), &config.rules.placeholders);
    let by_name: HashMap<&str, &str> =
        texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    for problem in problems.iter().filter(|p| p.severity == Severity::Error) {
        let text = by_name.get(problem.file.as_str()).copied().unwrap_or("");
        report::note(&format!("{}\n", problem.render(text)));
    }
    if rules.rules().is_empty() {
        bail!("there is no rule to run");
    }
    Ok(rules)
}

fn shown(args: &Backtest, found: &Report) -> String {
    let mut text = String::new();
    for of in found.rules.values() {
        rule(&mut text, of);
    }
    for (log_type, n) in &found.unreadable {
        text.push_str(&format!(
            "{log_type}: {} cannot be read again\n",
            plural(*n, "event", "events")
        ));
    }
    for (log_type, n) in &found.without_record {
        text.push_str(&format!(
            "{log_type}: {} without the vendor's record, not matched\n",
            plural(*n, "event", "events")
        ));
    }
    let PassedOver { files, rows, bytes } = found.passed_over;
    if files > 0 {
        text.push_str(&format!(
            "{} not read, of other times or of no interest to any rule ({}, {})\n",
            plural(files, "file", "files"),
            plural(rows, "event", "events"),
            report::bytes(bytes),
        ));
    }
    text.push_str(&format!(
        "{} in {}: {} of {}, in {}\n",
        plural(found.events, "event", "events"),
        plural(found.files, "file", "files"),
        plural(found.alerts, "alert", "alerts"),
        plural(found.rules.len() as u64, "rule", "rules"),
        args.out.join("alerts").display(),
    ));
    text
}

/// Cells of the longest bar.
const BAR_MAX: u64 = 40;

fn rule(text: &mut String, of: &OfRule) {
    let alerts = plural(of.alerts, "alert", "alerts");
    text.push_str(&format!("{} ({}): {alerts}\n", line(&of.title), of.level));
    let most = of.hours.values().copied().max().unwrap_or(1);
    for (hour, n) in &of.hours {
        let bar = "#".repeat((n * BAR_MAX).div_ceil(most) as usize);
        text.push_str(&format!("  {hour} {:>8} {bar}\n", count(*n)));
    }
    for uid in &of.samples {
        text.push_str(&format!("  event {}\n", line(uid)));
    }
}
