//! `mantissa rules fields`: what each rule needs, which log type has it and where, and which rules cannot
//! see. What is dead or blind is decided by [`crate::sight`], as in a running process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use console::{RuleSight, RuleState};
use detect::{Correlation, Rule, RuleSet};
use normalize::{Catalog, Mapping};
use serde::Serialize;

use crate::cli::ReportFormat;
use crate::sight::{Reach, Reason, Silent};
use crate::{config, files, plan, report};

use super::given;

/// What is asked about.
pub struct Question<'a> {
    pub paths: &'a [PathBuf],
    pub config: Option<&'a Path>,
    pub log_type: &'a [String],
    pub log_types: &'a [PathBuf],
    pub only_faulty: bool,
    pub format: ReportFormat,
}

/// A rule, and how it sees.
#[derive(Serialize)]
struct Row {
    id: String,
    title: String,
    file: String,
    state: RuleState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// In the order of their first use in the rule.
    fields: Vec<FieldRow>,
}

/// A correlation, and what it reads of the events of its rules.
#[derive(Serialize)]
struct CorrelationRow {
    id: String,
    title: String,
    file: String,
    /// Events of some rule never take part for want of a field.
    is_blind: bool,
    fields: Vec<MemberField>,
}

/// A field that events are grouped by or that is looked at, of one rule.
#[derive(Serialize)]
struct MemberField {
    /// The rule, as the correlation refers to it.
    rule: String,
    #[serde(flatten)]
    field: FieldRow,
}

#[derive(Serialize)]
struct FieldRow {
    name: String,
    /// One for each log type that the rule applies to.
    offered: Vec<Offer>,
}

#[derive(Serialize)]
struct Offer {
    log_type: String,
    /// Where records may have the field, best first; none: never.
    paths: Vec<String>,
}

/// Exits with failure when a rule can never match.
pub fn fields(question: &Question<'_>) -> anyhow::Result<ExitCode> {
    let (catalog, rules, log_types) = look_up(question)?;
    let mappings: Vec<Arc<Mapping>> =
        log_types.iter().filter_map(|name| catalog.get(name)).collect();
    let sights = Reach::of(&catalog, &rules, &log_types).sights(&Silent::new());
    let rows: Vec<Row> =
        rules.rules().iter().zip(sights).map(|(rule, sight)| row(rule, sight, &mappings)).collect();
    let correlated: Vec<CorrelationRow> =
        rules.correlations().iter().map(|it| correlation(it, &rules, &mappings)).collect();
    let count = |state: RuleState| rows.iter().filter(|row| row.state == state).count();
    let (dead, blind) = (count(RuleState::Dead), count(RuleState::Blind));
    let is_shown = |row: &&Row| !question.only_faulty || row.state != RuleState::Ok;
    let shown: Vec<&Row> = rows.iter().filter(is_shown).collect();
    let is_shown = |row: &&CorrelationRow| !question.only_faulty || row.is_blind;
    let correlated: Vec<&CorrelationRow> = correlated.iter().filter(is_shown).collect();
    match question.format {
        ReportFormat::Json => {
            let document = serde_json::json!({
                "rules": shown, "correlations": correlated, "log_types": log_types,
                "dead": dead, "blind": blind,
            });
            report::data(&format!("{document}\n"))?;
        }
        ReportFormat::Text => {
            for row in shown {
                report::out(&text(row))?;
            }
            for row in correlated {
                report::out(&correlation_text(row))?;
            }
            report::out(&format!(
                "{} in {}: {} see everything they ask for, {blind} blind, {dead} dead\n",
                report::plural(rows.len() as u64, "rule", "rules"),
                report::plural(log_types.len() as u64, "log type", "log types"),
                rows.len() - dead - blind,
            ))?;
        }
    }
    Ok(if dead == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The log types, the rules, and in which of the log types to look.
fn look_up(question: &Question<'_>) -> anyhow::Result<(Catalog, RuleSet, BTreeSet<String>)> {
    let (mut extra, mut configured) = (question.log_types.to_vec(), None);
    let rules = match question.config {
        Some(path) => {
            let config = config::load(path)?;
            extra.extend(config.log_types.iter().cloned());
            let sources = config.sources.values().map(|source| source.log_type.clone());
            configured = Some(sources.collect::<BTreeSet<_>>());
            let loaded = plan::rules(&config.rules)?;
            for note in loaded.notes() {
                report::note(&format!("warning: {note}\n"));
            }
            loaded.rules
        }
        None => {
            let files = match question.paths {
                [] => files::builtin_rules(files::RULES),
                paths => files::read(paths, files::RULES)?,
            };
            given::load(files)
        }
    };
    let catalog = plan::catalog(&extra)?;
    for name in question.log_type {
        if catalog.get(name).is_none() {
            anyhow::bail!("{}", plan::unknown_log_type(&catalog, name));
        }
    }
    let all = || catalog.names().map(str::to_owned).collect();
    let log_types = match question.log_type {
        [] => configured.unwrap_or_else(all),
        some => some.iter().cloned().collect(),
    };
    Ok((catalog, rules, log_types))
}

/// Where each of the log types that the rule applies to has a field.
fn offers(rule: &Rule, name: &str, mappings: &[Arc<Mapping>]) -> Vec<Offer> {
    let applies = |mapping: &&Arc<Mapping>| rule.log_source.applies_to(mapping.log_source());
    let offer = |mapping: &Arc<Mapping>| {
        let paths = mapping.candidates(name).into_iter();
        Offer {
            log_type: mapping.log_type().as_str().to_owned(),
            paths: paths.filter(|path| mapping.knows(path)).collect(),
        }
    };
    mappings.iter().filter(applies).map(offer).collect()
}

fn row(rule: &Rule, sight: RuleSight, mappings: &[Arc<Mapping>]) -> Row {
    let field =
        |name: &str| FieldRow { name: name.to_owned(), offered: offers(rule, name, mappings) };
    let is_homeless = sight.reason == Some(Reason::NoSource.as_str());
    Row {
        id: sight.id,
        title: sight.title,
        file: rule.file.to_string(),
        state: sight.state,
        reason: sight.reason,
        detail: if is_homeless { homeless(rule) } else { sight.detail },
        fields: rule.field_names().into_iter().map(field).collect(),
    }
}

/// Inner correlations are left out: what they hand on are fields of their own rules.
fn correlation(it: &Correlation, rules: &RuleSet, mappings: &[Arc<Mapping>]) -> CorrelationRow {
    let (mut fields, mut is_blind) = (Vec::new(), false);
    for (at, member) in it.members.iter().enumerate() {
        let Some(rule) = rules.rules().iter().find(|rule| rule.info.id == member.id) else {
            continue;
        };
        for name in it.group_by.iter().chain(it.value_fields()) {
            let name = it.field_of(name, at);
            let offered = offers(rule, name, mappings);
            // A rule for every product is not blamed for what one product lacks.
            is_blind |= rule.log_source.product.is_some()
                && offered.iter().any(|offer| offer.paths.is_empty());
            let field = FieldRow { name: name.to_owned(), offered };
            fields.push(MemberField { rule: member.reference.clone(), field });
        }
    }
    let (id, title) = (it.info.id.clone(), it.info.title.clone());
    CorrelationRow { id, title, file: it.file.to_string(), is_blind, fields }
}

/// Says which log source none of the log types is.
fn homeless(rule: &Rule) -> String {
    let source = &rule.log_source;
    let parts = [
        ("product", &source.product),
        ("category", &source.category),
        ("service", &source.service),
    ];
    let parts = parts.iter().filter_map(|(key, part)| Some(format!("{key} {}", part.as_ref()?)));
    format!("none of the log types is of {}", parts.collect::<Vec<_>>().join(", "))
}

fn text(row: &Row) -> String {
    let Row { id, title, file, state, detail, .. } = row;
    let state = match state {
        RuleState::Ok => "sees everything it asks for",
        RuleState::Blind => "blind",
        RuleState::Dead => "dead",
    };
    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    let mut out = format!("{title} ({id}, {file})\n  {state}{detail}\n");
    let width = width(row.fields.iter());
    row.fields.iter().for_each(|field| field_text(field, width, &mut out));
    out
}

fn correlation_text(row: &CorrelationRow) -> String {
    let CorrelationRow { id, title, file, is_blind, fields } = row;
    let state = match is_blind {
        true => "blind: events without a field that it reads never take part",
        false => "sees everything it asks for",
    };
    let mut out = format!("{title} ({id}, {file})\n  {state}\n");
    let width = width(fields.iter().map(|member| &member.field));
    let mut last = "";
    for MemberField { rule, field } in fields {
        if rule != last {
            out.push_str(&format!("  of {rule}\n"));
            last = rule;
        }
        field_text(field, width, &mut out);
    }
    out
}

fn width<'f>(fields: impl Iterator<Item = &'f FieldRow>) -> usize {
    fields.map(|field| field.name.chars().count()).max().unwrap_or(0)
}

fn field_text(field: &FieldRow, width: usize, out: &mut String) {
    for offer in &field.offered {
        let paths = match offer.paths.as_slice() {
            [] => "never there".to_owned(),
            paths => paths.join(", "),
        };
        out.push_str(&format!("  {:width$}  {}  {paths}\n", field.name, offer.log_type));
    }
    if field.offered.is_empty() {
        out.push_str(&format!("  {}\n", field.name));
    }
}
