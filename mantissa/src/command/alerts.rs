//! `mantissa alerts list|retry`: what the outbox holds.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use event::shown::line;
use event::{AlertId, Uid};
use sink::outbox::{Delivery, Entry, Filter, Outbox, State, StateName};

use crate::cli::{Alerts, ReportFormat, StateArgs};
use crate::pipeline::now;
use crate::{config, plan, report};

pub fn run(command: Alerts) -> anyhow::Result<ExitCode> {
    match command {
        Alerts::List { state, status, limit, format } => {
            list(&open(&state)?, status.as_deref(), limit, format)
        }
        Alerts::Retry { state, ids } => retry(&open(&state)?, &ids),
    }
}

fn open(args: &StateArgs) -> anyhow::Result<Outbox> {
    let dir: PathBuf = match (&args.config, &args.state_dir) {
        (Some(path), _) => {
            let config = config::load(path)?;
            plan::state_dir(config.state_dir, &config.lake.url)
        }
        (None, Some(dir)) => dir.clone(),
        (None, None) => plan::state_dir(None, "lake"),
    };
    if !dir.join("outbox.redb").exists() {
        bail!("there is no outbox in {}; name it with --state-dir or --config", dir.display());
    }
    crate::run::open_outbox(&dir)
}

fn list(
    outbox: &Outbox,
    status: Option<&str>,
    limit: usize,
    format: ReportFormat,
) -> anyhow::Result<ExitCode> {
    let filter = Filter { state: status.and_then(StateName::parse), limit, ..Filter::default() };
    let entries = outbox.list(&filter)?;
    for entry in &entries {
        match format {
            ReportFormat::Json => report::data(&format!("{}\n", serde_json::to_string(entry)?))?,
            ReportFormat::Text => report::out(&text(entry))?,
        }
    }
    if format == ReportFormat::Text && entries.is_empty() {
        report::out("no alerts\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(entry: &Entry) -> String {
    let alert = &entry.alert;
    let mut text = format!(
        "{}  {}  {:<13}  {}\n    {}\n",
        alert.event_time,
        alert.alert_id,
        alert.rule.level,
        line(&alert.rule.title),
        line(&alert.facts.what)
    );
    for (destination, delivery) in &entry.deliveries {
        text.push_str(&format!("    {destination}: {}\n", line(&standing(delivery))));
    }
    text
}

fn standing(delivery: &Delivery) -> String {
    match &delivery.state {
        State::Pending if delivery.attempts == 0 => "pending".to_owned(),
        State::Pending => format!(
            "pending after {}, next at {}: {}",
            report::plural(u64::from(delivery.attempts), "attempt", "attempts"),
            delivery.next_attempt_at,
            delivery.last_error.as_deref().unwrap_or("no answer"),
        ),
        State::Sent { at, reference: None } => format!("sent {at}"),
        State::Sent { at, reference: Some(reference) } => format!("sent {at} ({reference})"),
        State::Parked { at, reason } => format!("parked {at}: {reason}"),
        other => other.name().as_str().to_owned(),
    }
}

fn retry(outbox: &Outbox, ids: &[String]) -> anyhow::Result<ExitCode> {
    let ids = ids
        .iter()
        .map(|id| Uid::parse(id).map(AlertId).with_context(|| format!("`{id}` is no alert id")))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let again = outbox.retry((!ids.is_empty()).then_some(&ids[..]), now())?;
    report::out(&format!(
        "{} will be tried again by the running process, or at its next start\n",
        report::plural(again as u64, "delivery", "deliveries")
    ))?;
    Ok(ExitCode::SUCCESS)
}
