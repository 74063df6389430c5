//! The one way out. Everything that a destination sees is an [`Outbound`], and the only thing that
//! makes one is [`Outlet::redact`]: a payload that skipped redaction does not compile.
//!
//! What survives redaction as it is are our own identities (`alert_id`, the rule's id, `event_uid`
//! when it is one of our hashes) and names from the configuration (source, log type, partition).
//! Everything else, rule texts included, goes through the redactor. The facts are filled again from
//! the redacted event: a sentence made from the full event may have cut a secret in half, and half
//! a secret looks like nothing.

use std::sync::Arc;

use event::{Alert, Correlated, Facts, LogType, Timestamp, Uid};
use normalize::redact::Redactor;
use serde_json::{Map, Value, json};

/// Longest text that leaves in one value, in characters.
const TEXT_CHARS_MAX: usize = 8_192;
/// Most items of one list or members of one object that leave.
const ITEMS_MAX: usize = 256;

/// Redacts alerts on their way out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outlet {
    redactor: Arc<Redactor>,
    facts: fn(&Alert) -> Facts,
    /// How a command names the lake; nothing for the default.
    lake: Arc<str>,
}

/// A redacted alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Outbound {
    alert: Alert,
    /// The event's identity is as the lake has it: nothing of it was taken out.
    uid_is_whole: bool,
    suppressed_before: u64,
    maybe_repeat: bool,
    lake: Arc<str>,
}

impl Outlet {
    /// `facts` fills the 5W1H from an alert's event and rule and from nothing else.
    pub fn new(redactor: Arc<Redactor>, facts: fn(&Alert) -> Facts) -> Self {
        Self { redactor, facts, lake: "".into() }
    }

    /// Commands that show an event name this lake, a folder or URL.
    pub fn with_lake(self, url: &str) -> Self {
        let is_default = matches!(url, "lake" | "./lake");
        let lake = if is_default { String::new() } else { format!(" --lake {}", quoted(url)) };
        Self { lake: lake.into(), ..self }
    }

    /// Takes out what must not leave and bounds what is left. `maybe_repeat` marks an alert that
    /// the destination may have got before.
    pub fn redact(&self, alert: &Alert, suppressed_before: u64, maybe_repeat: bool) -> Outbound {
        let mut alert = alert.clone();
        let text = |text: &mut String| *text = bounded(&self.redactor.text(text));
        let rule = &mut alert.rule;
        text(&mut rule.title);
        text(&mut rule.description);
        for list in [&mut rule.tags, &mut rule.falsepositives, &mut rule.references] {
            list.truncate(ITEMS_MAX);
            list.iter_mut().for_each(text);
        }
        text(&mut alert.dedup_key);
        // The redactor sees the event as a whole: names of columns are context for their values.
        let ours = Uid::parse(&alert.event_uid).is_some();
        let uid_column = alert.event.get("event_uid") == Some(&Value::from(&*alert.event_uid));
        let mut event = Value::Object(std::mem::take(&mut alert.event));
        self.redactor.json(&mut event);
        bound(&mut event);
        alert.event = match event {
            Value::Object(event) => event,
            _ => Map::new(),
        };
        let uid = alert.event_uid.clone();
        if !ours {
            text(&mut alert.event_uid);
        } else if uid_column {
            alert.event.insert("event_uid".into(), Value::from(&*alert.event_uid));
        }
        if let Some(correlated) = &mut alert.correlated {
            self.redact_correlated(correlated);
        }
        alert.facts = (self.facts)(&alert);
        let uid_is_whole = alert.event_uid == uid;
        let lake = Arc::clone(&self.lake);
        Outbound { alert, uid_is_whole, suppressed_before, maybe_repeat, lake }
    }

    /// Values of events, and titles of rules; the rest is ours.
    fn redact_correlated(&self, correlated: &mut Correlated) {
        let text = |text: &mut String| *text = bounded(&self.redactor.text(text));
        let mut group = Value::Object(std::mem::take(&mut correlated.group));
        self.redactor.json(&mut group);
        bound(&mut group);
        if let Value::Object(group) = group {
            correlated.group = group;
        }
        correlated.rules.truncate(ITEMS_MAX);
        correlated.rules.iter_mut().for_each(|rule| text(&mut rule.title));
        correlated.events.truncate(ITEMS_MAX);
        let foreign = correlated.events.iter_mut().filter(|e| Uid::parse(&e.event_uid).is_none());
        foreign.for_each(|event| text(&mut event.event_uid));
    }
}

impl Outbound {
    /// The alert as it may be shown.
    pub fn alert(&self) -> &Alert {
        &self.alert
    }

    /// Alerts with the same key that were held back before this one.
    pub fn suppressed_before(&self) -> u64 {
        self.suppressed_before
    }

    /// An earlier attempt's answer was lost: the destination may have this alert already.
    pub fn maybe_repeat(&self) -> bool {
        self.maybe_repeat
    }

    /// The command that shows the event, for a POSIX shell. Of what somebody else wrote only an
    /// identity of harmless characters stands in it; any other event is found by the alert's own
    /// identity, which is a hash. `None` when the log type has no table of a plain name.
    pub fn query(&self) -> Option<String> {
        let alert = &self.alert;
        let table = LogType::from(&*alert.log_type).table();
        if !table.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        // Whole seconds around the event let the lake skip everything else.
        const S: i64 = 1_000_000_000;
        let second = Timestamp(alert.event_time.0.div_euclid(S).saturating_mul(S));
        let next = Timestamp(second.0.saturating_add(S));
        let within =
            |time: &str| format!("{time} >= TIMESTAMP '{second}' AND {time} < TIMESTAMP '{next}'");
        let sql = if self.uid_is_whole && is_plain(&alert.event_uid) {
            let (uid, within) = (&alert.event_uid, within("event_time"));
            format!("SELECT * FROM {table} WHERE event_uid = '{uid}' AND {within}")
        } else {
            format!(
                "SELECT e.* FROM {table} e JOIN alerts a ON a.event_uid = e.event_uid WHERE \
                 a.alert_id = '{}' AND {} AND {}",
                alert.alert_id,
                within("a.event_time"),
                within("e.event_time"),
            )
        };
        Some(format!("mantissa query \"{sql}\"{}", self.lake))
    }

    /// The alert as the JSON that files and webhooks get. Times are RFC 3339 in UTC; columns of the
    /// event have their names from the lake; `suppressed_before` counts held back repetitions;
    /// `correlated` is there for correlations only, `replayed` for what a replay found.
    pub fn json(&self) -> Value {
        let alert = &self.alert;
        let mut shown = json!({
            "alert_id": alert.alert_id,
            "level": alert.rule.level,
            "title": alert.rule.title,
            "event_time": alert.event_time.to_string(),
            "detected_at": alert.detected_at.to_string(),
            "source": alert.source,
            "log_type": alert.log_type,
            "facts": alert.facts,
            "rule": alert.rule,
            "event_uid": alert.event_uid,
            "event": alert.event,
            "lake_partition": alert.lake_partition,
            "query": self.query(),
            "suppressed_before": self.suppressed_before,
        });
        if let Some(correlated) = &alert.correlated {
            shown["correlated"] = correlated.json();
        }
        if alert.replayed {
            shown["replayed"] = true.into();
        }
        shown
    }
}

/// Nothing that means something to SQL or to a shell, within quotes or without.
fn is_plain(uid: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/+=@-".contains(&b);
    (1..=200).contains(&uid.len()) && uid.bytes().all(plain)
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn bound(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > TEXT_CHARS_MAX => *text = bounded(text),
        Value::Array(items) => {
            items.truncate(ITEMS_MAX);
            items.iter_mut().for_each(bound);
        }
        Value::Object(members) => {
            if members.len() > ITEMS_MAX {
                *members = std::mem::take(members).into_iter().take(ITEMS_MAX).collect();
            }
            members.values_mut().for_each(bound);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
