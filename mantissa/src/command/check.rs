//! `mantissa check` and `mantissa schema`.

use std::process::ExitCode;

use detect::schema;

use crate::cli::{ConfigFile, SchemaOf};
use crate::config::{self, Config};
use crate::{plan, report};

/// Resolves and compiles everything, starts nothing.
pub fn check(args: &ConfigFile) -> anyhow::Result<ExitCode> {
    let plan = plan::plan(config::load(&args.config)?)?;
    for note in &plan.notes {
        report::note(&format!("warning: {note}\n"));
    }
    let correlations = match plan.rules.correlations().len() as u64 {
        0 => String::new(),
        n => format!(" and {}", report::plural(n, "correlation", "correlations")),
    };
    report::out(&format!(
        "{} is good: {}, {}{correlations}, {}, {}, lake {}\n",
        args.config.display(),
        report::plural(plan.sources.len() as u64, "source", "sources"),
        report::plural(plan.rules.rules().len() as u64, "rule", "rules"),
        report::plural(plan.destinations.len() as u64, "destination", "destinations"),
        report::plural(plan.notes.len() as u64, "warning", "warnings"),
        plan.lake.url,
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a JSON Schema.
pub fn schema(of: SchemaOf) -> anyhow::Result<ExitCode> {
    let schema = match of {
        SchemaOf::Config => serde_json::to_value(schemars::schema_for!(Config))?,
        SchemaOf::Rule => schema::schema(schema::What::Rule),
        SchemaOf::Filter => schema::schema(schema::What::Filter),
        SchemaOf::Case => schema::schema(schema::What::Case),
    };
    report::data(&format!("{}\n", serde_json::to_string_pretty(&schema)?))?;
    Ok(ExitCode::SUCCESS)
}
