//! The cases of a rule: `<rule>.cases.ndjson`, one JSON object a line,
//! `{"name": …, "alerts": true, "log_type": "aws.cloudtrail", "event": {…} or "a line of text"}`.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::diagnostic::{Diagnostic, Severity};

/// An event and what the rule must say to it.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// Whether the rule matches.
    pub alerts: bool,
    /// The log type whose decoding and aliases apply; without one the event is matched as it is.
    pub log_type: Option<String>,
    pub event: CaseEvent,
    /// From 1.
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseEvent {
    /// JSON text as written, duplicate keys and number forms kept.
    Json(String),
    /// A record that is not JSON.
    Text(String),
}

impl CaseEvent {
    /// The record's bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            CaseEvent::Json(text) | CaseEvent::Text(text) => text.as_bytes(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    alerts: bool,
    #[serde(default)]
    log_type: Option<String>,
    event: Box<RawValue>,
}

/// Reads all cases of a file. Lines that are none are reported and left out; blank lines are skipped.
pub fn read(path: &str, text: &str) -> (Vec<Case>, Vec<Diagnostic>) {
    let mut cases: Vec<Case> = Vec::new();
    let mut diagnostics = Vec::new();
    for (number, line) in (1_u32..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let problem = |column: u32, message: String| Diagnostic {
            severity: Severity::Error,
            file: path.to_owned(),
            line: number,
            column,
            span: String::new(),
            message,
            hint: None,
        };
        match case(line, number) {
            Ok(case) if cases.iter().any(|known| known.name == case.name) => {
                let message = format!("a case named `{}` is there already", case.name);
                diagnostics.push(problem(1, message));
            }
            Ok(case) => cases.push(case),
            Err((column, message)) => diagnostics.push(problem(column, message)),
        }
    }
    (cases, diagnostics)
}

fn case(text: &str, number: u32) -> Result<Case, (u32, String)> {
    let parsed: Line = serde_json::from_str(text).map_err(|e| {
        // The parser's own message ends with its place, which we give ourselves.
        let message = e.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        let before = text.get(..e.column().saturating_sub(1)).map_or(0, |t| t.chars().count());
        (before as u32 + 1, message)
    })?;
    let raw = parsed.event.get();
    let event = match raw.as_bytes().first() {
        Some(b'"') => CaseEvent::Text(
            serde_json::from_str(raw).map_err(|e| (1, format!("`event` is not text: {e}")))?,
        ),
        Some(b'{') => CaseEvent::Json(raw.to_owned()),
        _ => return Err((1, "`event` must be an object or a line of text".to_owned())),
    };
    if parsed.name.trim().is_empty() {
        return Err((1, "a case needs a `name` that says what it shows".to_owned()));
    }
    let Line { name, alerts, log_type, .. } = parsed;
    Ok(Case { name, alerts, log_type, event, line: number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_objects_and_text() {
        let text = concat!(
            r#"{"name":"a","alerts":true,"event":{"x":1,"x":2}}"#,
            "\n\n",
            r#"{"name":"b","alerts":false,"log_type":"aws.vpcflow","event":"2 123 \u00e9"}"#,
        );
        let (cases, problems) = read("x", text);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(cases[0].event, CaseEvent::Json(r#"{"x":1,"x":2}"#.into()));
        assert_eq!(cases[1].event, CaseEvent::Text("2 123 é".into()));
        assert_eq!((cases[1].line, cases[1].log_type.as_deref()), (3, Some("aws.vpcflow")));
        assert!(cases[0].alerts && !cases[1].alerts);
    }

    #[test]
    fn problems_have_line_and_column() {
        for (line, column, part) in [
            (r#"{"name":"a","alerts":true}"#, 26, "missing field `event`"),
            (r#"{"name":"a","alert":true,"event":{}}"#, 19, "unknown field `alert`"),
            (r#"{"name":"a","alerts":"yes","event":{}}"#, 26, "invalid type"),
            (r#"{"name":"a","alerts":true,"event":7}"#, 1, "an object or a line of text"),
            (r#"{"name":" ","alerts":true,"event":{}}"#, 1, "a case needs a `name`"),
            ("not json", 2, "expected ident"),
        ] {
            let (cases, problems) = read("x", &format!("\n{line}\n"));
            assert!(cases.is_empty());
            let p = &problems[0];
            assert_eq!((p.line, p.column), (2, column), "{line} {p:?}");
            assert!(p.message.contains(part), "{p:?}");
        }
        let twice = r#"{"name":"a","alerts":true,"event":{}}"#;
        let (cases, problems) = read("x", &format!("{twice}\n{twice}\n"));
        assert_eq!((cases.len(), problems.len(), problems[0].line), (1, 1, 2));
    }
}
