//! `mantissa rules witness`: events made from a rule.

use std::process::ExitCode;
use std::sync::Arc;

use detect::{Engine, witness};
use serde_json::value::RawValue;

use crate::cli::{ReportFormat, RulesWitness};
use crate::{plan, report};

use super::given::{self, View};

/// Exits with failure when a rule has no event that it matches.
pub fn witness(args: &RulesWitness) -> anyhow::Result<ExitCode> {
    let catalog = plan::catalog(&args.events.log_types)?;
    let mut is_complete = true;
    for rule in given::rules(&args.rule, &args.with)? {
        let view = View::of(&catalog, &args.events, &rule)?;
        let lens = view.bind(vec![Arc::clone(&rule)], Engine::Oracle);
        let place = |field: &str| view.place(field);
        let found = witness::witness(&rule, lens.group.bound(), &place);
        is_complete &= found.is_some();
        match args.format {
            ReportFormat::Json => {
                let raw = |text: &String| RawValue::from_string(text.clone());
                let fires = found.as_ref().map(|found| raw(&found.fires)).transpose()?;
                let near = found.as_ref().and_then(|found| found.nearly.as_ref());
                let event = near.map(|near| raw(&near.event)).transpose()?;
                let document = serde_json::json!({
                    "rule": rule.info.id, "title": rule.info.title, "log_type": view.log_type(),
                    "fires": fires, "nearly": event,
                    "asks": near.map(|near| &near.asks), "must_hold": near.map(|near| near.must_hold),
                });
                report::data(&format!("{document}\n"))?;
            }
            ReportFormat::Text => report::out(&text(&rule, view.log_type(), found.as_ref()))?,
        }
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(rule: &detect::Rule, log_type: Option<&str>, found: Option<&witness::Witness>) -> String {
    let log_type = log_type.map_or(String::new(), |name| format!(", {name}"));
    let head = format!("{} ({}){log_type}\n", rule.info.title, rule.info.id);
    let Some(found) = found else {
        return format!("{head}no event was found that it matches\n");
    };
    let nearly = match &found.nearly {
        Some(near) => {
            let verdict = if near.must_hold { "does not hold" } else { "holds" };
            format!("nearly, but `{}` {verdict}:\n{}\n", near.asks, near.event)
        }
        None => "no event was found that it nearly matches\n".to_owned(),
    };
    format!("{head}matches:\n{}\n{nearly}", found.fires)
}
