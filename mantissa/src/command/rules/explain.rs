//! `mantissa rules explain`: one event, and why a rule matches it or does not.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use detect::{Engine, explain};
use event::Parser;

use crate::cli::{ReportFormat, RulesExplain};
use crate::{plan, report};

use super::given::{self, View};

pub fn explain(args: &RulesExplain) -> anyhow::Result<ExitCode> {
    let rules = given::rules(&args.rule, &args.with)?;
    let event = event(&args.event, args.line)?;
    let catalog = plan::catalog(&args.events.log_types)?;
    for rule in rules {
        let view = View::of(&catalog, &args.events, &rule)?;
        let applies = view.admits(&rule);
        let lens = view.bind(vec![Arc::clone(&rule)], Engine::Oracle);
        let mut parser = Parser::default();
        let doc = lens.parse(&mut parser, &event)?;
        let explanation = explain::explain(&rule, lens.group.bound(), &doc);
        match args.format {
            ReportFormat::Json => {
                let mut document = serde_json::to_value(&explanation)?;
                document["log_type"] = view.log_type().into();
                document["applies"] = applies.into();
                report::data(&format!("{document}\n"))?;
            }
            ReportFormat::Text => {
                report::out(&format!("{explanation}"))?;
                if let Some(log_type) = view.log_type() {
                    report::out(&format!("the event was read as {log_type}\n"))?;
                }
                if !applies {
                    report::out(
                        "the rule is not evaluated on such events: it asks for another log source\n",
                    )?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The bytes of the event: the whole file, or one line of it.
fn event(path: &Path, line: Option<usize>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    super::open(path)?
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let Some(line) = line else { return Ok(bytes.trim_ascii().to_vec()) };
    let found = bytes.split(|byte| *byte == b'\n').nth(line).map(<[u8]>::trim_ascii);
    let found = found.filter(|text| !text.is_empty());
    found.map(<[u8]>::to_vec).with_context(|| format!("{} has no line {line}", path.display()))
}
