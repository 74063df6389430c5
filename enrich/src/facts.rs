//! Five Ws and one H, filled from an event's common columns by a fixed template.
//!
//! Every sentence stands alone and leaves out what the event does not say; it never guesses and
//! never shows a placeholder. What the event says was written by whoever caused it: control and
//! direction characters are shown escaped and every value is cut to [`VALUE_CHARS_MAX`]. It must not
//! be escaped here for any destination (that is the destination's own duty) and not be redacted here
//! (that is done at the outbound choke point).

use std::fmt::Write as _;

use event::alert::RuleInfo;
use event::{Alert, Correlated, Facts, Timestamp};
use serde_json::{Map, Value};

use crate::attack::Attack;

/// Longest text shown of one value, in characters.
pub const VALUE_CHARS_MAX: usize = 200;
/// Targets named one by one; further ones are counted.
const TARGETS_SHOWN_MAX: usize = 3;

const NO_ACTOR: &str = "The record does not name an actor.";
const NO_PLACE: &str = "The record does not name a place.";
const NO_MEANS: &str = "The record does not say by what means.";

/// What the template reads.
#[derive(Clone, Copy, Debug)]
pub struct FactsInput<'a> {
    pub rule: &'a RuleInfo,
    pub log_type: &'a str,
    pub event_time: Timestamp,
    /// When the rule matched.
    pub detected_at: Timestamp,
    /// The event's common columns that are not null; all are optional.
    pub event: &'a Map<String, Value>,
    /// What a correlation saw.
    pub correlated: Option<&'a Correlated>,
    /// It was found by a replay.
    pub replayed: bool,
}

/// The facts of an alert from its rule and event, for the outlet that fills them again after
/// redaction.
pub fn facts_of(alert: &Alert) -> Facts {
    facts(&FactsInput {
        rule: &alert.rule,
        log_type: &alert.log_type,
        event_time: alert.event_time,
        detected_at: alert.detected_at,
        event: &alert.event,
        correlated: alert.correlated.as_ref(),
        replayed: alert.replayed,
    })
}

/// Fills the template. Deterministic: the same input gives the same text.
pub fn facts(input: &FactsInput<'_>) -> Facts {
    let columns = Columns(input.event);
    if let Some(correlated) = input.correlated {
        return facts_together(input, &columns, correlated);
    }
    Facts {
        who: who(&columns),
        what: what(&columns, input.log_type),
        when: when(input.event_time, input.detected_at, input.replayed),
        place: place(&columns),
        why: why(input.rule),
        how: how(&columns),
    }
}

/// Of a correlation: the columns are what its events have in common, so little may be left of them.
fn facts_together(input: &FactsInput<'_>, columns: &Columns<'_>, correlated: &Correlated) -> Facts {
    let or = |said: String, unsaid: &str, instead: &str| {
        if said == unsaid { instead.to_owned() } else { said }
    };
    Facts {
        who: or(who(columns), NO_ACTOR, "The events name no actor in common."),
        what: what_together(correlated),
        when: when(input.event_time, input.detected_at, input.replayed),
        place: or(place(columns), NO_PLACE, "The events name no place in common."),
        why: why(input.rule),
        how: or(how(columns), NO_MEANS, "The events say no means in common."),
    }
}

struct Columns<'a>(&'a Map<String, Value>);

impl Columns<'_> {
    /// A column as bounded, printable text. `None` when absent, null, blank or not a scalar.
    fn text(&self, name: &str) -> Option<String> {
        scalar(self.0.get(name)?)
    }

    fn list(&self, name: &str) -> Vec<String> {
        match self.0.get(name) {
            Some(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
            Some(one) => scalar(one).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => printable(text, VALUE_CHARS_MAX),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Text on one line: trimmed, at most `chars_max` characters, with control characters and those that
/// hide text or turn its direction written as escapes. `None` when nothing is left.
pub fn printable(text: &str, chars_max: usize) -> Option<String> {
    let text = text.trim();
    let mut out = String::with_capacity(text.len().min(chars_max));
    for (n, c) in text.chars().enumerate() {
        if n == chars_max {
            out.push('…');
            break;
        }
        event::shown::push(&mut out, c);
    }
    (!out.is_empty()).then_some(out)
}

fn who(columns: &Columns<'_>) -> String {
    let (name, email) = (columns.text("actor_name"), columns.text("actor_email"));
    let id = columns.text("actor_id");
    let mut names: Vec<String> = Vec::new();
    for value in [name, email, id].into_iter().flatten() {
        if !names.contains(&value) {
            names.push(value);
        }
    }
    let mut sentence = match names.split_first() {
        None => String::new(),
        Some((first, [])) => first.clone(),
        Some((first, rest)) => format!("{first} ({})", rest.join(", ")),
    };
    if let Some(kind) = columns.text("actor_type") {
        if sentence.is_empty() {
            sentence = format!("An unnamed actor of type {kind}");
        } else {
            let _ = write!(sentence, ", actor type {kind}");
        }
    }
    if let Some(session) = columns.text("actor_session") {
        if sentence.is_empty() {
            sentence = "An unnamed actor".into();
        }
        let _ = write!(sentence, ", session {session}");
    }
    if sentence.is_empty() {
        return NO_ACTOR.into();
    }
    sentence + "."
}

/// `12 events of “Denied push”, “Login” within 10 minutes, actor.alternateId ada@example.com.`
fn what_together(correlated: &Correlated) -> String {
    let Correlated { total, timespan_s, rules, group, .. } = correlated;
    let noun = if *total == 1 { "event" } else { "events" };
    let mut sentence = format!("{total} {noun}");
    let titles = rules.iter().filter_map(|rule| printable(&rule.title, VALUE_CHARS_MAX));
    let titles: Vec<String> = titles.map(|title| format!("“{title}”")).collect();
    if !titles.is_empty() {
        let _ = write!(sentence, " of {}", titles.join(", "));
    }
    let (number, unit) = match timespan_s {
        s if s % 86_400 == 0 => (s / 86_400, "day"),
        s if s % 3_600 == 0 => (s / 3_600, "hour"),
        s if s % 60 == 0 => (s / 60, "minute"),
        s => (*s, "second"),
    };
    let plural = if number == 1 { "" } else { "s" };
    let _ = write!(sentence, " within {number} {unit}{plural}");
    for (field, value) in group {
        let (field, value) = (printable(field, VALUE_CHARS_MAX), scalar(value));
        if let (Some(field), Some(value)) = (field, value) {
            let _ = write!(sentence, ", {field} {value}");
        }
    }
    ended(sentence)
}

fn what(columns: &Columns<'_>, log_type: &str) -> String {
    let mut sentence = match columns.text("action") {
        Some(action) => action,
        None => match printable(log_type, VALUE_CHARS_MAX) {
            Some(log_type) => format!("An event of type {log_type}"),
            None => "An event".into(),
        },
    };
    if let Some(service) = columns.text("service") {
        let _ = write!(sentence, " in {service}");
    }
    if let Some(targets) = targets(columns) {
        let _ = write!(sentence, " on {targets}");
    }
    match columns.text("outcome").as_deref() {
        Some("success") => sentence.push_str("; it succeeded"),
        Some("failure") => sentence.push_str("; it failed"),
        Some("unknown") | None => {}
        Some(other) => {
            let _ = write!(sentence, "; outcome {other}");
        }
    }
    sentence + "."
}

/// The first target by type, name and id, then the others by what the list calls them.
fn targets(columns: &Columns<'_>) -> Option<String> {
    let (kind, name) = (columns.text("target_type"), columns.text("target_name"));
    let id = columns.text("target_id");
    let first = match (&name, &id) {
        (Some(name), Some(id)) if name != id => Some(format!("{name} ({id})")),
        (Some(one), _) | (None, Some(one)) => Some(one.clone()),
        (None, None) => None,
    };
    let mut others = columns.list("targets");
    others.retain(|other| Some(other) != name.as_ref() && Some(other) != id.as_ref());
    let mut shown: Vec<String> = first.into_iter().collect();
    let room = TARGETS_SHOWN_MAX.saturating_sub(shown.len());
    let left_out = others.len().saturating_sub(room);
    shown.extend(others.into_iter().take(room));
    let mut text = match (kind, shown.is_empty()) {
        (Some(kind), false) => format!("{kind} {}", shown.join(", ")),
        (Some(kind), true) => format!("a target of type {kind}"),
        (None, false) => shown.join(", "),
        (None, true) => return None,
    };
    if left_out > 0 {
        let _ = write!(text, " and {left_out} more");
    }
    Some(text)
}

fn when(event_time: Timestamp, detected_at: Timestamp, replayed: bool) -> String {
    let (y, mo, d, h, mi, s, _) = event_time.civil();
    let at = format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02} UTC");
    let delay_s = (i128::from(detected_at.0) - i128::from(event_time.0)).div_euclid(1_000_000_000);
    match delay_s {
        0.. if replayed => {
            let later = duration(delay_s.unsigned_abs());
            format!("{at}, found {later} later by a replay of the lake.")
        }
        0 => format!("{at}, detected within a second."),
        1.. => format!("{at}, detected {} later.", duration(delay_s.unsigned_abs())),
        _ => format!("{at}, a time {} ahead of our clock.", duration(delay_s.unsigned_abs())),
    }
}

/// The two largest units of a number of seconds: `3 h 12 min`.
fn duration(seconds: u128) -> String {
    const UNITS: [(u128, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let Some(first) = UNITS.iter().position(|(size, _)| seconds >= *size) else {
        return "0 s".into();
    };
    let (size, unit) = UNITS[first];
    let mut text = format!("{} {unit}", seconds / size);
    if let Some((next, next_unit)) = UNITS.get(first + 1) {
        let rest = seconds % size / next;
        if rest > 0 {
            let _ = write!(text, " {rest} {next_unit}");
        }
    }
    text
}

fn place(columns: &Columns<'_>) -> String {
    let mut parts = Vec::new();
    if let Some(from) = endpoint(columns, &["source_ip", "source_address"], "source_port") {
        let country = columns.text("country").map(|c| format!(" ({c})")).unwrap_or_default();
        parts.push(format!("from {from}{country}"));
    } else if let Some(country) = columns.text("country") {
        parts.push(format!("from country {country}"));
    }
    if let Some(to) = endpoint(columns, &["dest_ip", "dest_address"], "dest_port") {
        parts.push(format!("to {to}"));
    }
    if let Some(protocol) = columns.text("protocol") {
        parts.push(format!("over {protocol}"));
    }
    parts.extend(cloud(columns));
    if let Some(host) = columns.text("host_name").or_else(|| columns.text("host_id")) {
        parts.push(format!("on host {host}"));
    }
    if parts.is_empty() {
        return NO_PLACE.into();
    }
    capitalized(&parts.join(", ")) + "."
}

fn endpoint(columns: &Columns<'_>, names: &[&str], port: &str) -> Option<String> {
    let address = names.iter().find_map(|name| columns.text(name));
    match (address, columns.text(port)) {
        (Some(address), Some(port)) if address.contains(':') => Some(format!("[{address}]:{port}")),
        (Some(address), Some(port)) => Some(format!("{address}:{port}")),
        (Some(address), None) => Some(address),
        (None, Some(port)) => Some(format!("port {port}")),
        (None, None) => None,
    }
}

fn cloud(columns: &Columns<'_>) -> Option<String> {
    let mut words = Vec::new();
    words.extend(columns.text("cloud_provider"));
    words.extend(columns.text("cloud_account").map(|account| format!("account {account}")));
    words.extend(columns.text("cloud_region").map(|region| format!("region {region}")));
    (!words.is_empty()).then(|| format!("in {}", words.join(" ")))
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// The rule in its own words, longer than a value of an event may be, then ATT&CK.
fn why(rule: &RuleInfo) -> String {
    const DESCRIPTION_CHARS_MAX: usize = 1_000;
    let title = printable(&rule.title, VALUE_CHARS_MAX)
        .or_else(|| printable(&rule.id, VALUE_CHARS_MAX))
        .unwrap_or_else(|| "A rule without a title".into());
    // A description is often folded over lines; here it is one.
    let folded = rule.description.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = match printable(&folded, DESCRIPTION_CHARS_MAX) {
        Some(description) => format!("{}: {}", title.trim_end_matches('.'), ended(description)),
        None => ended(title),
    };
    let attack = Attack::of_tags(&rule.tags);
    let named = match (attack.techniques.is_empty(), attack.tactics.is_empty()) {
        (true, true) => return text,
        (false, true) => attack.techniques.join(", "),
        (true, false) => attack.tactics.join(", "),
        (false, false) => {
            format!("{}; {}", attack.techniques.join(", "), attack.tactics.join(", "))
        }
    };
    let _ = write!(text, " ATT&CK: {named}.");
    text
}

/// With a full stop, unless it already ends as a sentence does.
fn ended(mut text: String) -> String {
    if !text.ends_with(['.', '!', '?', '…']) {
        text.push('.');
    }
    text
}

fn how(columns: &Columns<'_>) -> String {
    let mut parts = Vec::new();
    match (columns.text("http_method"), columns.text("url")) {
        (Some(method), Some(url)) => parts.push(format!("by {method} {url}")),
        (Some(method), None) => parts.push(format!("by HTTP {method}")),
        (None, Some(url)) => parts.push(format!("at {url}")),
        (None, None) => {}
    }
    if let Some(status) = columns.text("http_status") {
        parts.push(format!("answered with status {status}"));
    }
    if let Some(agent) = columns.text("user_agent") {
        parts.push(format!("with user agent “{agent}”"));
    }
    if let Some(reason) = columns.text("outcome_reason") {
        parts.push(format!("reason given: {reason}"));
    }
    if parts.is_empty() {
        return NO_MEANS.into();
    }
    ended(capitalized(&parts.join(", ")))
}

#[cfg(test)]
mod tests;
