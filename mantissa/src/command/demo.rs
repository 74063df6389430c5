//! `mantissa demo`: a generated day through the real pipeline, and what was found of the truth.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use ::generate::{EventRef, Expected, Log, Truth};
use ::query::{Engine, Format, Limits};
use anyhow::{Context as _, bail};
use event::Timestamp;
use event::shown::line;
use serde::Deserialize;
use sink::lake::{LakeStore, Scope};

use crate::cli::Demo;
use crate::config::Config;
use crate::run::{self, Stop};
use crate::{plan, report};

use super::{generate as generator, ingest};

/// Midnight of the demo's day: always the same, so that the demo always shows the same.
const START: Timestamp = Timestamp(1_773_705_600 * 1_000_000_000); // 2026-03-17
/// Marks a folder that a demo made and may empty.
const MARK: &str = ".mantissa-demo";

/// Exit code 1 when an attack was missed or something was raised falsely.
pub fn run(args: &Demo) -> anyhow::Result<ExitCode> {
    fresh_folder(&args.dir)?;
    let logs = args.dir.join("logs");
    let truth = generator::day(&logs, args.seed, START)?;
    let total: u64 = truth.events.values().sum();
    report::out(&format!(
        "A day of a small company: {} in six log types, {} hidden in them ({}).\n\n",
        report::plural(total, "event", "events"),
        report::plural(truth.attacks.len() as u64, "attack", "attacks"),
        logs.display()
    ))?;
    let lake = args.dir.join("lake");
    let plan = plan::plan(config(&args.dir, &logs, &lake, &truth)?)?;
    let began = std::time::Instant::now();
    let (outcome, raised, top, verified) = super::block_on(async {
        let outcome = run::run(plan, Stop::Signals).await?;
        let options = sink::lake::LakeOptions { url: path_text(&lake)?, ..Default::default() };
        let engine = super::engine(&options).await?;
        let raised: Vec<Raised> = serde_json::from_str(&ask(&engine, RAISED, Format::Json).await?)?;
        let top = ask(&engine, TOP, Format::Table).await?;
        let verified = sink::lake::verify(&LakeStore::open(&options)?, Scope::full(true)).await?;
        Ok((outcome, raised, top, verified))
    })?;
    let took = began.elapsed().as_secs_f64();
    show_alerts(&raised)?;
    report::out(&format!("What became of the records ({took:.1} s)\n"))?;
    for line in ingest::summary(&outcome).lines().take(2) {
        report::out(&format!("  {line}\n"))?;
    }
    report::out(&format!("  {verified}\n\nSQL: {TOP}\n{top}\n"))?;
    let met = compare(&truth, &raised)?;
    next_commands(&lake)?;
    Ok(if met && verified.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Empties the folder of an earlier demo; refuses to touch anybody else's.
fn fresh_folder(dir: &Path) -> anyhow::Result<()> {
    let ours = dir.join(MARK).exists();
    let empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if !ours && !empty {
        bail!("{} is not empty and no demo made it; choose another with --dir", dir.display());
    }
    if ours {
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    std::fs::write(dir.join(MARK), "made by `mantissa demo`; emptied by the next one\n")?;
    Ok(())
}

fn path_text(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("the folder's name is not UTF-8")?.to_owned())
}

fn config(dir: &Path, logs: &Path, lake: &Path, truth: &Truth) -> anyhow::Result<Config> {
    let mut config = Config::default();
    for log in truth.events.keys() {
        let file = path_text(&logs.join(generator::file_name(*log)))?;
        let source = ingest::files_source(log.as_str(), vec![file]);
        config.sources.insert(log.as_str().replace('.', "-"), source);
    }
    let alerts = ingest::alerts_file(dir.join("alerts.ndjson"));
    config.destinations.insert("alerts".to_owned(), alerts);
    config.lake.url = path_text(lake)?;
    // The day is in the past; its rows belong to their own hours.
    config.lake.late_after_hours = ingest::HISTORY_HOURS;
    Ok(config)
}

const RAISED: &str = "select rule_id, rule_title, level, log_type, event_uid, event_time, who, what, \
                      where_text, event from alerts order by event_time, rule_title";
const TOP: &str = "select log_type, count(*) as events, count(distinct actor_name) as actors, \
                   count(distinct source_ip) as addresses from events group by log_type order by events desc";

async fn ask(engine: &Engine, sql: &str, format: Format) -> anyhow::Result<String> {
    let rows = engine.sql(sql, Limits::default()).await?;
    let mut out = Vec::new();
    ::query::write(rows, format, &mut out).await?;
    Ok(String::from_utf8(out)?)
}

/// An alert as the lake has it.
#[derive(Debug, Deserialize)]
struct Raised {
    rule_id: String,
    rule_title: String,
    level: String,
    log_type: String,
    event_uid: String,
    event_time: String,
    who: Option<String>,
    what: Option<String>,
    where_text: Option<String>,
    /// The event's common columns as JSON text.
    event: String,
}

impl Raised {
    /// Whether this is the alert of that rule on that event.
    fn is(&self, expected: &Expected) -> bool {
        self.rule_id == expected.rule_id && self.is_of(&expected.event)
    }

    fn is_of(&self, event: &EventRef) -> bool {
        if self.log_type != event.log_type.as_str() {
            return false;
        }
        match (&event.provider_id, &event.connection) {
            // Some log types join more to the provider's id: its stage, its revision.
            (Some(id), _) => self.event_uid.contains(id.as_str()),
            (None, Some(connection)) => self.connection().as_deref() == Some(connection),
            (None, None) => false,
        }
    }

    /// `source:port > target:port` of a flow.
    fn connection(&self) -> Option<String> {
        let event: serde_json::Value = serde_json::from_str(&self.event).ok()?;
        Some(format!(
            "{}:{} > {}:{}",
            event["source_ip"].as_str()?,
            event["source_port"].as_i64()?,
            event["dest_ip"].as_str()?,
            event["dest_port"].as_i64()?
        ))
    }
}

fn show_alerts(raised: &[Raised]) -> anyhow::Result<()> {
    report::out(&format!("Alerts ({})\n", raised.len()))?;
    for alert in raised {
        let time = alert.event_time.get(11..19).unwrap_or(&alert.event_time);
        report::out(&format!("  {time}  {:<8}  {}\n", alert.level, line(&alert.rule_title)))?;
        for (label, text) in
            [("who", &alert.who), ("what", &alert.what), ("where", &alert.where_text)]
        {
            if let Some(text) = text {
                report::out(&format!("            {label:<5} {}\n", line(text)))?;
            }
        }
    }
    report::out("\n")
}

/// Says which attacks were found and missed and what was raised falsely. True when all is as it must
/// be: every expected alert, and none beyond the expected and the accepted.
fn compare(truth: &Truth, raised: &[Raised]) -> anyhow::Result<bool> {
    report::out("Attacks\n")?;
    let mut met = true;
    let mut explained = vec![false; raised.len()];
    for attack in &truth.attacks {
        let mut missed = Vec::new();
        for expected in &attack.expected {
            match raised.iter().position(|r| r.is(expected)) {
                Some(at) => explained[at] = true,
                None => missed.push(expected),
            }
        }
        let found = attack.expected.len() - missed.len();
        let verdict = if missed.is_empty() { "found " } else { "MISSED" };
        report::out(&format!(
            "  {verdict}  {} ({found} of {} alerts)\n",
            attack.name,
            attack.expected.len()
        ))?;
        for expected in &missed {
            report::out(&format!(
                "          no alert: {} at {}\n",
                expected.rule, expected.event.time
            ))?;
        }
        met &= missed.is_empty();
    }
    for accepted in &truth.accepted {
        if let Some(at) = raised.iter().position(|r| r.is(&accepted.alert)) {
            explained[at] = true;
        }
    }
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    for (alert, _) in raised.iter().zip(&explained).filter(|(_, explained)| !**explained) {
        *by_rule.entry(&alert.rule_title).or_default() += 1;
    }
    met &= by_rule.is_empty();
    let quiet = truth
        .look_alikes
        .iter()
        .filter(|l| !raised.iter().any(|r| r.rule_id == l.near && r.is_of(&l.event)))
        .count();
    report::out(&format!(
        "Raised falsely: {}. Kept quiet on {quiet} of {} look-alikes; {} accepted.\n",
        by_rule.values().sum::<usize>(),
        truth.look_alikes.len(),
        report::plural(
            truth.accepted.len() as u64,
            "known harmless alert",
            "known harmless alerts"
        ),
    ))?;
    for (rule, n) in by_rule {
        report::out(&format!("  {n} × {rule}\n"))?;
    }
    Ok(met)
}

fn next_commands(lake: &Path) -> anyhow::Result<()> {
    let (lake, log) = (lake.display(), Log::CloudTrail);
    let program = std::env::current_exe().map_or("mantissa".into(), |p| p.display().to_string());
    report::out(&format!(
        "\nNext:\n  {program} query \"select event_time, actor_name, action, source_ip from events \
         where log_type = '{log}' and outcome = 'failure' limit 10\" --lake {lake}\n  \
         {program} query \"select level, rule_title, count(*) as n from alerts group by all order by n desc\" \
         --lake {lake}\n  {program} lake verify --deep --lake {lake}\n"
    ))
}
