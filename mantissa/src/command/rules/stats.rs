//! `mantissa rules stats`: what each rule costs and yields on the events of a file.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use detect::{Engine, Rule, Step};
use event::{Parser, Slots};
use serde::Serialize;

use crate::cli::{ReportFormat, RulesStats};
use crate::{files, plan, report};

use super::given::{self, View};

/// What a rule did.
#[derive(Clone, Debug, Serialize)]
struct Row {
    id: String,
    title: String,
    hits: u64,
    /// How often it had to be looked at.
    candidates: u64,
    cost_ns: u64,
    /// Of the time that rules took one by one, from 0 to 1.
    cost_share: f64,
}

/// All events together.
#[derive(Debug, Default, Serialize)]
struct Total {
    events: u64,
    refused: u64,
    /// For looking at each event once for all rules.
    shared_ns: u64,
    /// For looking at single rules.
    rules_ns: u64,
}

pub fn stats(args: &RulesStats) -> anyhow::Result<ExitCode> {
    let catalog = plan::catalog(&args.events.log_types)?;
    let view = View::named(&catalog, &args.events)?
        .context("say what the events are: --log-type, or --product")?;
    let files = match args.paths.as_slice() {
        [] => files::builtin_rules(files::RULES),
        paths => files::read(paths, files::RULES)?,
    };
    let rules: Vec<Arc<Rule>> =
        given::load(files).rules().iter().filter(|rule| view.admits(rule)).cloned().collect();
    let mut rows: Vec<Row> = rules.iter().map(|rule| Row::new(rule)).collect();
    let mut total = measure(args, &view, rules, &mut rows)?;
    total.rules_ns = rows.iter().map(|row| row.cost_ns).sum();
    for row in &mut rows {
        row.cost_share = row.cost_ns as f64 / total.rules_ns.max(1) as f64;
    }
    rows.sort_by(|a, b| b.cost_ns.cmp(&a.cost_ns).then_with(|| a.id.cmp(&b.id)));
    match args.format {
        ReportFormat::Json => {
            let document = serde_json::json!({"total": total, "rules": rows});
            report::data(&format!("{document}\n"))?;
        }
        ReportFormat::Text => report::out(&text(&total, &rows))?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Row {
    fn new(rule: &Rule) -> Self {
        let (id, title) = (rule.info.id.clone(), rule.info.title.clone());
        Self { id, title, hits: 0, candidates: 0, cost_ns: 0, cost_share: 0.0 }
    }
}

/// Work that several rules share is counted for the first of them that asks for it in an event.
fn measure(
    args: &RulesStats,
    view: &View,
    rules: Vec<Arc<Rule>>,
    rows: &mut [Row],
) -> anyhow::Result<Total> {
    let lens = view.bind(rules, Engine::Fast);
    let (mut matcher, mut slots) = (lens.group.matcher(), Slots::default());
    let (mut parser, mut hits) = (Parser::default(), Vec::new());
    let mut total = Total::default();
    given::each_line(&args.file, &mut |number, line| {
        let doc = match lens.parse(&mut parser, line) {
            Ok(doc) => doc,
            Err(e) => {
                total.refused += 1;
                report::note(&format!("line {number}: {e:#}\n"));
                return Ok(());
            }
        };
        slots.fill(&lens.fields, &doc);
        total.events += 1;
        let mut last = Instant::now();
        matcher.matches_in_steps(&doc, &slots, &mut hits, &mut |step| {
            let now = Instant::now();
            let took = u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX);
            match step {
                Step::Begun => {}
                Step::Read => total.shared_ns += took,
                Step::Tried { rule, holds } => {
                    let row = &mut rows[rule as usize];
                    row.candidates += 1;
                    row.hits += u64::from(holds);
                    row.cost_ns += took;
                }
            }
            last = Instant::now();
        });
        Ok(())
    })?;
    Ok(total)
}

fn text(total: &Total, rows: &[Row]) -> String {
    let per_event = |ns: u64| ns as f64 / total.events.max(1) as f64 / 1_000.0;
    let mut out = format!("{:>10} {:>11} {:>7}  rule\n", "hits", "candidates", "cost");
    for row in rows {
        let (hits, candidates) = (report::count(row.hits), report::count(row.candidates));
        let share = row.cost_share * 100.0;
        let (title, id) = (&row.title, &row.id);
        out.push_str(&format!("{hits:>10} {candidates:>11} {share:>5.1} %  {title} ({id})\n"));
    }
    out.push_str(&format!(
        "{}, {}; an event took {:.2} µs for all rules together and {:.2} µs for single ones\n",
        report::plural(total.events, "event", "events"),
        report::plural(rows.len() as u64, "rule that applies", "rules that apply"),
        per_event(total.shared_ns),
        per_event(total.rules_ns),
    ));
    out
}
