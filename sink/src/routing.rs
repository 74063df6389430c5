//! Which alert goes to which destinations, and what of it is held back.
//!
//! A table of routes is read from the top. A route whose conditions all hold sends the alert to its
//! destinations and ends the search unless it says `continue`. Routes marked `default` apply only
//! when no other did. An empty table sends everything to every destination. An alert that no route
//! takes stays in the outbox and in the lake without a delivery; that is counted, never silent.
//!
//! Pure: it decides, the outbox keeps what must be remembered (suppression windows).

use event::{Alert, Level, Uid};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::outbox::{Routed, Suppress};

/// A route. Conditions that are left out hold for every alert; within a list one match is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteConfig {
    /// The rule's level is this or higher: informational, low, medium, high, critical.
    pub level_min: Option<Level>,
    /// Id or title of the rule; `*` stands for any text, `?` for one character, case is ignored.
    pub rules: Vec<String>,
    /// Log types, `aws.*`; `*` and `?` as above.
    pub log_types: Vec<String>,
    /// Names of configured sources; `*` and `?` as above.
    pub sources: Vec<String>,
    /// Names of configured destinations; at least one.
    pub destinations: Vec<String>,
    /// Look at the routes below as well after this one took an alert.
    #[serde(rename = "continue")]
    pub goes_on: bool,
    /// Apply only when no route without this mark took the alert.
    pub default: bool,
    /// Hold back repetitions.
    pub suppress: Option<SuppressConfig>,
}

/// Of the alerts of one rule with the same values only the first in a time goes out; the next one
/// after that time says how many were held back. All of them stay listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SuppressConfig {
    /// Common columns whose values make alerts the same, `actor_id`, `source_ip`. None: the rule
    /// alone, and the dedup key that the rule itself gives.
    pub columns: Vec<String>,
    /// Seconds that start with the alert that goes out, 1 to 2592000 (30 days).
    pub window_s: u64,
}

/// Longest window of suppression, in seconds.
const WINDOW_S_MAX: u64 = 30 * 86_400;

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ConfigError {
    /// Path of the option, `routes[2].destinations`, `destinations.soc.webhook.url`.
    pub place: String,
    /// For people: what is wrong and what would be right.
    pub message: String,
}

impl ConfigError {
    pub(crate) fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

/// The compiled table.
#[derive(Clone, Debug)]
pub struct Router {
    routes: Vec<RouteConfig>,
    /// Where everything goes when the table is empty.
    destinations: Vec<String>,
}

impl Router {
    /// Checks the table against the names of the configured destinations.
    pub fn new(routes: &[RouteConfig], destinations: &[String]) -> Result<Self, ConfigError> {
        for (n, route) in routes.iter().enumerate() {
            let place = |option: &str| format!("routes[{n}].{option}");
            if route.destinations.is_empty() {
                return Err(ConfigError::new(place("destinations"), "names no destination"));
            }
            for name in &route.destinations {
                if !destinations.contains(name) {
                    let known = destinations.join(", ");
                    let message = format!("there is no destination \"{name}\"; there are: {known}");
                    return Err(ConfigError::new(place("destinations"), message));
                }
            }
            if let Some(suppress) = &route.suppress
                && !(1..=WINDOW_S_MAX).contains(&suppress.window_s)
            {
                let message = format!("{} is not within 1 to {WINDOW_S_MAX}", suppress.window_s);
                return Err(ConfigError::new(place("suppress.window_s"), message));
            }
        }
        Ok(Self { routes: routes.to_vec(), destinations: destinations.to_vec() })
    }

    /// Where an alert goes; each destination at most once, the first route that names it decides
    /// about suppression.
    pub fn route(&self, alert: &Alert) -> Vec<Routed> {
        if self.routes.is_empty() {
            let routed = |name: &String| Routed { destination: name.clone(), suppress: None };
            return self.destinations.iter().map(routed).collect();
        }
        let named = self.take(alert, false);
        if named.is_empty() { self.take(alert, true) } else { named }
    }

    fn take(&self, alert: &Alert, default: bool) -> Vec<Routed> {
        let mut routed: Vec<Routed> = Vec::new();
        for route in self.routes.iter().filter(|r| r.default == default && r.takes(alert)) {
            for name in &route.destinations {
                if routed.iter().all(|r| r.destination != *name) {
                    let suppress = route.suppress.as_ref().map(|s| s.of(alert, name));
                    routed.push(Routed { destination: name.clone(), suppress });
                }
            }
            if !route.goes_on {
                break;
            }
        }
        routed
    }
}

impl RouteConfig {
    fn takes(&self, alert: &Alert) -> bool {
        self.level_min.is_none_or(|min| alert.rule.level >= min)
            && one_of(&self.rules, &[&alert.rule.id, &alert.rule.title])
            && one_of(&self.log_types, &[&alert.log_type])
            && one_of(&self.sources, &[&alert.source])
    }
}

impl SuppressConfig {
    fn of(&self, alert: &Alert, destination: &str) -> Suppress {
        let mut parts =
            vec![destination.to_owned(), alert.rule.id.clone(), alert.dedup_key.clone()];
        // A value and its absence must differ, as must 1 and "1": JSON text tells them apart.
        let value = |name| alert.event.get(name).unwrap_or(&Value::Null).to_string();
        parts.extend(self.columns.iter().map(value));
        if alert.replayed {
            // What was long ago must not hold back what happens now.
            parts.push("replayed".to_owned());
        }
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        let window_ns = i64::try_from(self.window_s.min(WINDOW_S_MAX)).unwrap_or(i64::MAX);
        Suppress {
            key: Uid::of("suppress", &parts),
            window_ns: window_ns.saturating_mul(1_000_000_000),
        }
    }
}

/// Whether a condition holds: it is empty, or one of its globs matches one of the texts.
pub(crate) fn one_of(globs: &[String], texts: &[&str]) -> bool {
    globs.is_empty() || globs.iter().any(|g| texts.iter().any(|text| glob(g, text)))
}

/// `*` for any text, `?` for one character, ignoring case. Linear in the text for every star.
fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().flat_map(char::to_lowercase).collect();
    let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                // Give the last star one more character.
                let Some((star_p, star_t)) = star else { return false };
                star = Some((star_p, star_t + 1));
                p = star_p + 1;
                t = star_t + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests;
