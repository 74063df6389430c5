//! The cases of a rule: `<rule>.cases.ndjson`, one JSON object a line,
//! `{"name": …, "alerts": true, "log_type": "aws.cloudtrail", "event": {…} or "a line of text"}`. A case of a
//! correlation has several, in the order in which they come:
//! `{"name": …, "alerts": true or how many, "events": [{"log_type": …, "event": …}, …]}`.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::diagnostic::{Diagnostic, Severity};

/// An event and what the rule must say to it.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub alerts: Wanted,
    /// At least one.
    pub events: Vec<Given>,
    /// From 1.
    pub line: u32,
}

/// What the file of rules must say to the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    /// Whether there is any alert.
    Any(bool),
    /// How many alerts there are.
    Count(u64),
}

impl Wanted {
    /// Whether so many alerts are what is wanted.
    pub fn is_met(self, alerts: u64) -> bool {
        match self {
            Wanted::Any(wanted) => wanted == (alerts > 0),
            Wanted::Count(wanted) => wanted == alerts,
        }
    }
}

/// An event of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The log type whose decoding and aliases apply; else the first whose log source the rules name.
    pub log_type: Option<String>,
    pub event: CaseEvent,
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
    alerts: Wanted,
    #[serde(default)]
    log_type: Option<String>,
    #[serde(default)]
    event: Option<Box<RawValue>>,
    #[serde(default)]
    events: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
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
    let Line { name, alerts, log_type, event, events } = parsed;
    let given = match (event, events) {
        (Some(event), None) => vec![Entry { log_type: None, event }],
        (None, Some(events)) if !events.is_empty() => events,
        (Some(_), Some(_)) => return Err((1, "a case has `event` or `events`".to_owned())),
        _ => return Err((1, "missing field `event`, or `events` with at least one".to_owned())),
    };
    let each = given.iter().map(|entry| {
        let log_type = entry.log_type.clone().or_else(|| log_type.clone());
        Ok(Given { log_type, event: read_event(entry.event.get())? })
    });
    let events = each.collect::<Result<_, (u32, String)>>()?;
    if name.trim().is_empty() {
        return Err((1, "a case needs a `name` that says what it shows".to_owned()));
    }
    Ok(Case { name, alerts, events, line: number })
}

fn read_event(raw: &str) -> Result<CaseEvent, (u32, String)> {
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw)
            .map(CaseEvent::Text)
            .map_err(|e| (1, format!("`event` is not text: {e}"))),
        Some(b'{') => Ok(CaseEvent::Json(raw.to_owned())),
        _ => Err((1, "`event` must be an object or a line of text".to_owned())),
    }
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
        assert_eq!(cases[0].events[0].event, CaseEvent::Json(r#"{"x":1,"x":2}"#.into()));
        assert_eq!(cases[1].events[0].event, CaseEvent::Text("2 123 é".into()));
        assert_eq!(
            (cases[1].line, cases[1].events[0].log_type.as_deref()),
            (3, Some("aws.vpcflow"))
        );
        assert_eq!((cases[0].alerts, cases[1].alerts), (Wanted::Any(true), Wanted::Any(false)));
    }

    #[test]
    fn a_case_may_have_several_events() {
        let text = concat!(
            r#"{"name":"a","alerts":2,"log_type":"okta.system","events":[{"event":{"x":1}},"#,
            r#"{"log_type":"aws.vpcflow","event":"2 1"}]}"#
        );
        let (cases, problems) = read("x", text);
        assert!(problems.is_empty(), "{problems:?}");
        let types: Vec<_> = cases[0].events.iter().map(|e| e.log_type.as_deref()).collect();
        assert_eq!(types, [Some("okta.system"), Some("aws.vpcflow")]);
        assert!(cases[0].alerts.is_met(2) && !cases[0].alerts.is_met(1));
    }

    #[test]
    fn problems_have_line_and_column() {
        for (line, column, part) in [
            (r#"{"name":"a","alerts":true}"#, 1, "missing field `event`"),
            (r#"{"name":"a","alerts":true,"events":[]}"#, 1, "at least one"),
            (r#"{"name":"a","alert":true,"event":{}}"#, 19, "unknown field `alert`"),
            (r#"{"name":"a","alerts":"yes","event":{}}"#, 26, "did not match"),
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
