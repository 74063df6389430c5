//! Standard output: a block for people or one JSON line an alert.
//!
//! There is nobody to ask what arrived: an alert that was printed just before a crash is printed
//! again after it.

use std::io::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use event::shown;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Destination;
use crate::dispatch::lane::{Answer, Limits};
use crate::outbound::Outbound;
use crate::routing::ConfigError;

/// Options of a `stdout` destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StdoutOptions {
    /// How an alert is written.
    pub format: StdoutFormat,
}

/// How an alert is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StdoutFormat {
    /// A block that people read.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

struct Stdout {
    format: StdoutFormat,
}

pub(super) fn build(
    options: &StdoutOptions,
) -> Result<(Limits, Arc<dyn Destination>), ConfigError> {
    let limits = Limits { concurrency_max: 1, per_second_max: 1_000.0, batch_max: 64 };
    Ok((limits, Arc::new(Stdout { format: options.format })))
}

#[async_trait]
impl Destination for Stdout {
    async fn deliver(&self, batch: &[Outbound]) -> Answer {
        let mut text = String::new();
        for outbound in batch {
            match self.format {
                StdoutFormat::Text => text.push_str(&block(outbound)),
                StdoutFormat::Json => {
                    text.push_str(&outbound.json().to_string());
                    text.push('\n');
                }
            }
        }
        let written = tokio::task::spawn_blocking(move || {
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        });
        match written.await {
            Ok(Ok(())) => Answer::Accepted { reference: None },
            Ok(Err(error)) => failed(&error.to_string()),
            Err(_) => failed("the write was interrupted"),
        }
    }
}

fn failed(reason: &str) -> Answer {
    let reason = format!("cannot write to standard output: {reason}");
    Answer::Failed { retry_after: None, reason, maybe_sent: true }
}

/// The block that people read. Facts are one line each and hold no control characters; the title is
/// the rule author's.
fn block(outbound: &Outbound) -> String {
    let (alert, facts) = (outbound.alert(), &outbound.alert().facts);
    let level = alert.rule.level.as_str().to_uppercase();
    let mut text = format!("{level}  {}\n", shown::line(&alert.rule.title));
    for (label, fact) in [
        ("who", &facts.who),
        ("what", &facts.what),
        ("when", &facts.when),
        ("where", &facts.place),
        ("how", &facts.how),
        ("why", &facts.why),
    ] {
        if !fact.is_empty() {
            text.push_str(&format!("  {label:<6} {}\n", shown::line(fact)));
        }
    }
    if outbound.suppressed_before() > 0 {
        let n = outbound.suppressed_before();
        text.push_str(&format!("  {:<6} {n} like it were held back before\n", "note"));
    }
    if let Some(query) = outbound.query() {
        text.push_str(&format!("  {:<6} {}\n", "event", shown::line(&query)));
    }
    let uid = shown::line(&alert.event_uid);
    text.push_str(&format!("  {:<6} {uid} in {}\n", "lake", alert.lake_partition));
    text.push_str(&format!("  {:<6} {} from {}\n\n", "id", alert.alert_id, alert.source));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{alert, outlet};

    #[test]
    fn a_block_reads_from_top_to_bottom() {
        let mut it = alert(1);
        it.rule.title = "Root\u{1b}[2J login".into();
        it.event.insert("actor_name".into(), "alice".into());
        let text = block(&outlet().redact(&it, 3, false));
        let expected = format!(
            "MEDIUM  Root\\u{{1b}}[2J login\n  who    alice\n  note   3 like it were held back before\n  \
             event  {}\n  lake   {} in t_x/dt=1970-01-01/hr=00\n  id     {} from s\n\n",
            outlet().redact(&it, 3, false).query().unwrap(),
            it.event_uid,
            it.alert_id
        );
        assert_eq!(text, expected);
    }
}
