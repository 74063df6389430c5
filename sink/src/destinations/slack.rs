//! Slack channels by incoming webhook, as Block Kit.
//!
//! A webhook belongs to one channel, so a channel is a webhook URL with a name, and routing to
//! channels happens here by level and rule. Slack has no idempotency key for webhooks: an alert whose
//! answer was lost is sent once more and says that it may be a repetition; its id is in the message.
//! Rejections of Slack come as a status with a word of text (`channel_is_archived`); `200 ok` is the
//! only success.
//!
//! Everything that comes from an event is attacker-written: `& < >` are escaped, so that no mention
//! or link can be formed, bare `@here` is broken up, and text is marked `verbatim`, so that Slack
//! makes no links of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event::{Level, Secret, shown};
use reqwest::header::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Destination, http};
use crate::dispatch::lane::{Answer, Limits};
use crate::outbound::Outbound;
use crate::routing::{ConfigError, one_of};

/// Slack's limits, in characters.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3_000;
const FIELD_MAX: usize = 2_000;
/// An identity of somebody else's in a note.
const UID_MAX: usize = 200;
/// Room for the label and the fence around a text.
const LABEL_ROOM: usize = 40;
/// ATT&CK links shown.
const TECHNIQUES_MAX: usize = 10;

/// Options of a `slack` destination.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlackOptions {
    /// Incoming webhook of the channel that gets what no channel route takes. Kept secret.
    pub webhook_url: Secret,
    /// Incoming webhooks of further channels, by a name of your choice. Kept secret.
    #[serde(default)]
    pub channels: BTreeMap<String, Secret>,
    /// Read from the top; the first that holds names the channel.
    #[serde(default)]
    pub channel_routes: Vec<SlackChannelRoute>,
    /// Time for one whole request, 1 to 60000.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Messages in a second over all channels, at most. Slack allows about one per channel.
    #[serde(default = "per_second_max")]
    pub per_second_max: f64,
}

/// Which alerts go to a channel. What is left out holds for every alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlackChannelRoute {
    /// The rule's level is this or higher.
    pub level_min: Option<Level>,
    /// Id or title of the rule; `*` stands for any text, `?` for one character, case is ignored.
    pub rules: Vec<String>,
    /// A name in `channels`.
    pub channel: String,
}

fn timeout_ms() -> u64 {
    10_000
}

fn per_second_max() -> f64 {
    1.0
}

struct Slack {
    default: http::Endpoint,
    channels: BTreeMap<String, http::Endpoint>,
    routes: Vec<SlackChannelRoute>,
}

pub(super) fn build(options: &SlackOptions) -> Result<(Limits, Arc<dyn Destination>), ConfigError> {
    if !(1..=60_000).contains(&options.timeout_ms) {
        return Err(ConfigError::new("timeout_ms", "is not within 1 to 60000"));
    }
    if !(options.per_second_max >= 0.01 && options.per_second_max <= 1_000.0) {
        return Err(ConfigError::new("per_second_max", "is not within 0.01 to 1000"));
    }
    for (n, route) in options.channel_routes.iter().enumerate() {
        if !options.channels.contains_key(&route.channel) {
            let known: Vec<&str> = options.channels.keys().map(String::as_str).collect();
            let message = format!(
                "there is no channel \"{}\"; there are: {}",
                route.channel,
                known.join(", ")
            );
            return Err(ConfigError::new(format!("channel_routes[{n}].channel"), message));
        }
    }
    let timeout = Duration::from_millis(options.timeout_ms);
    let endpoint = |url: &Secret, place: &str| http::endpoint(url, place, timeout, false);
    let channels = options
        .channels
        .iter()
        .map(|(name, url)| Ok((name.clone(), endpoint(url, &format!("channels.{name}"))?)))
        .collect::<Result<_, ConfigError>>()?;
    let slack = Slack {
        default: endpoint(&options.webhook_url, "webhook_url")?,
        channels,
        routes: options.channel_routes.clone(),
    };
    let limits =
        Limits { concurrency_max: 1, per_second_max: options.per_second_max, batch_max: 1 };
    Ok((limits, Arc::new(slack)))
}

impl Slack {
    fn endpoint(&self, outbound: &Outbound) -> &http::Endpoint {
        let rule = &outbound.alert().rule;
        let takes = |route: &&SlackChannelRoute| {
            route.level_min.is_none_or(|min| rule.level >= min)
                && one_of(&route.rules, &[&rule.id, &rule.title])
        };
        let channel = self.routes.iter().find(takes).and_then(|r| self.channels.get(&r.channel));
        channel.unwrap_or(&self.default)
    }
}

#[async_trait]
impl Destination for Slack {
    async fn deliver(&self, batch: &[Outbound]) -> Answer {
        let [outbound] = batch else {
            unreachable!("batch_max is 1");
        };
        let body = message(outbound).to_string().into_bytes();
        match self.endpoint(outbound).post(HeaderMap::new(), body).await {
            Ok(reply) => read(&reply),
            Err(answer) => answer,
        }
    }
}

/// Success is a 200 whose text is `ok`. A 200 whose `ok` was cut off is one too: Slack had posted by
/// then. A 200 with any other text is not from Slack.
fn read(reply: &http::Reply) -> Answer {
    let body = reply.body.trim();
    let is_ok = body == "ok" || (!reply.whole && "ok".starts_with(body));
    match http::answer(reply) {
        Answer::Accepted { .. } if !is_ok => {
            let body = http::printable(body);
            let reason = format!("answered {} but not as Slack does: {body}", reply.status);
            Answer::Failed { retry_after: None, reason, maybe_sent: false }
        }
        answer => answer,
    }
}

/// A header, and an attachment in the level's colour with everything else.
fn message(outbound: &Outbound) -> Value {
    let alert = outbound.alert();
    let level = alert.rule.level;
    let (emoji, color) = look(level);
    let title = format!("{emoji} {}: {}", level.as_str().to_uppercase(), alert.rule.title);
    let mut blocks = Vec::new();
    if !alert.facts.why.is_empty() {
        blocks.push(section(&escaped(&alert.facts.why, SECTION_MAX)));
    }
    let facts = fields(outbound);
    if !facts.is_empty() {
        blocks.push(json!({"type": "section", "fields": facts}));
    }
    if let Some(techniques) = techniques(&alert.rule.tags) {
        blocks.push(section(&format!("*ATT&amp;CK* {techniques}")));
    }
    if let Some(query) = outbound.query() {
        let query = escaped(&query, SECTION_MAX - LABEL_ROOM);
        blocks.push(section(&format!("*Event*\n```{query}```")));
    }
    blocks.push(context(outbound));
    json!({
        "text": escaped(&title, SECTION_MAX),
        "blocks": [{
            "type": "header",
            "text": {"type": "plain_text", "text": cut(&broken_up(&title), HEADER_MAX), "emoji": false},
        }],
        "attachments": [{
            "color": color,
            "fallback": escaped(&title, SECTION_MAX),
            "blocks": blocks,
        }],
    })
}

fn look(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Critical => ("🔴", "#b3002d"),
        Level::High => ("🟠", "#e8590c"),
        Level::Medium => ("🟡", "#f0b400"),
        Level::Low => ("🔵", "#2f80ed"),
        Level::Informational => ("⚪", "#9aa0a6"),
    }
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}})
}

fn fields(outbound: &Outbound) -> Vec<Value> {
    let (alert, facts) = (outbound.alert(), &outbound.alert().facts);
    let rule = match alert.rule.id.is_empty() {
        true => String::new(),
        false => format!("{} ({})", alert.rule.id, alert.rule.level),
    };
    let source = format!("{} ({})", alert.source, alert.log_type);
    [
        ("Who", &facts.who),
        ("What", &facts.what),
        ("When", &facts.when),
        ("Where", &facts.place),
        ("How", &facts.how),
        ("Rule", &rule),
        ("Source", &source),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .map(|(label, text)| {
        let text = format!("*{label}*\n{}", escaped(text, FIELD_MAX - LABEL_ROOM));
        json!({"type": "mrkdwn", "text": text, "verbatim": true})
    })
    .collect()
}

fn context(outbound: &Outbound) -> Value {
    let alert = outbound.alert();
    let uid = escaped(&shown::line(&alert.event_uid), UID_MAX);
    let mut notes = vec![
        format!("Alert {}", alert.alert_id),
        format!("event {uid} in {}", escaped(&alert.lake_partition, UID_MAX)),
    ];
    if outbound.suppressed_before() > 0 {
        notes.push(format!("{} like it were held back before", outbound.suppressed_before()));
    }
    if outbound.maybe_repeat() {
        notes.push("may repeat an earlier message".to_owned());
    }
    let text = notes.join(" · ");
    json!({"type": "context", "elements": [{"type": "mrkdwn", "text": text, "verbatim": true}]})
}

/// Links to the techniques that the tags name. Only digits of a tag get into an address.
fn techniques(tags: &[String]) -> Option<String> {
    let link = |tag: &String| {
        let id = tag.to_ascii_lowercase().strip_prefix("attack.t")?.to_owned();
        let is_id = (4..=8).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && id.bytes().filter(|b| *b == b'.').count() <= 1;
        let path = id.replace('.', "/");
        is_id.then(|| format!("<https://attack.mitre.org/techniques/T{path}|T{id}>"))
    };
    let links: Vec<String> = tags.iter().filter_map(link).take(TECHNIQUES_MAX).collect();
    (!links.is_empty()).then(|| links.join(", "))
}

/// Slack's escaping, cut to `max` as Slack counts, never inside an escape.
fn escaped(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    let mut length = 0;
    for c in broken_up(text).chars() {
        let mut buffer = [0; 4];
        let piece: &str = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            c => c.encode_utf8(&mut buffer),
        };
        let piece_length: usize = piece.chars().map(char::len_utf16).sum();
        if length + piece_length > max - 1 {
            out.push('…');
            break;
        }
        length += piece_length;
        out.push_str(piece);
    }
    out
}

fn cut(text: &str, max: usize) -> String {
    let mut length = 0;
    let mut out = String::new();
    for c in text.chars() {
        length += c.len_utf16();
        if length > max - 1 {
            out.push('…');
            break;
        }
        out.push(c);
    }
    out
}

/// Puts a zero-width space into what calls people, where Slack links words by itself or a text is
/// not escaped.
fn broken_up(text: &str) -> String {
    let mut text = text.to_owned();
    for call in ["@here", "@channel", "@everyone", "<!", "<@", "<#"] {
        if text.contains(call) {
            text = text.replace(call, &format!("{}\u{200b}{}", &call[..1], &call[1..]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{alert, install_tls, outlet};

    fn lengths(value: &Value, path: &str, out: &mut Vec<(String, usize)>) {
        match value {
            Value::String(s) => out.push((path.to_owned(), s.encode_utf16().count())),
            Value::Array(items) => items.iter().for_each(|v| lengths(v, path, out)),
            Value::Object(map) => {
                map.iter().for_each(|(k, v)| lengths(v, &format!("{path}.{k}"), out));
            }
            _ => {}
        }
    }

    #[test]
    fn keeps_slack_s_limits_whatever_the_text() {
        for text in ["<&>".repeat(10_000), "🔥".repeat(10_000), "a".repeat(10_000)] {
            let mut it = alert(1);
            it.rule.title = text.clone();
            it.rule.description = text.clone();
            it.rule.tags = (1000..1100).map(|n| format!("attack.t{n}")).collect();
            it.event.insert("actor_name".into(), Value::from(text));
            let message = message(&outlet().redact(&it, 1, true));
            let mut found = Vec::new();
            lengths(&message, "", &mut found);
            for (path, length) in found {
                let max = match path.as_str() {
                    ".blocks.text.text" => HEADER_MAX,
                    ".attachments.blocks.fields.text" => FIELD_MAX,
                    _ => SECTION_MAX,
                };
                assert!(length <= max, "{path}: {length}");
            }
            let fields = message["attachments"][0]["blocks"][1]["fields"].as_array().unwrap();
            assert!(fields.len() <= 10);
        }
    }

    #[test]
    fn nothing_from_an_event_becomes_a_mention_or_a_link() {
        let mut it = alert(1);
        let evil = "<!channel> <@U1> <https://evil.example|click> @here & @channel";
        it.rule.title = evil.into();
        it.event.insert("actor_name".into(), Value::from(evil));
        it.rule.tags = vec!["attack.t1078|x>".into(), "attack.t1078.004".into()];
        let message = message(&outlet().redact(&it, 0, false));
        let (header, rest) = (&message["blocks"][0], &message["attachments"]);
        assert_eq!(header["text"]["type"], "plain_text", "in which Slack forms no links");
        assert!(!rest.to_string().contains("<https://evil"), "{rest}");
        let text = message.to_string();
        for bad in ["<!", "<@", "@here", "@channel"] {
            assert!(!text.contains(bad), "{bad} in {text}");
        }
        let link = "<https://attack.mitre.org/techniques/T1078/004|T1078.004>";
        assert!(text.contains(link) && text.matches("attack.mitre.org").count() == 1, "{text}");
    }

    #[test]
    fn escapes_are_never_cut() {
        for max in 2..20 {
            let text = escaped("a&b<c>d", max);
            let unescaped = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
            assert!(!unescaped.contains('&') && text.encode_utf16().count() <= max, "{text}");
        }
    }

    #[test]
    fn channels_are_chosen_by_level_and_rule() {
        install_tls();
        let url = |name: &str| Secret::new(format!("https://hooks.example/services/{name}"));
        let route = |level_min, rules: &[&str], channel: &str| SlackChannelRoute {
            level_min,
            rules: rules.iter().map(|r| (*r).into()).collect(),
            channel: channel.into(),
        };
        let mut options = SlackOptions {
            webhook_url: url("default"),
            channels: ["urgent", "iam"].map(|n| (n.to_owned(), url(n))).into(),
            channel_routes: vec![
                route(Some(Level::High), &[], "urgent"),
                route(None, &["iam *"], "iam"),
            ],
            timeout_ms: 1_000,
            per_second_max: 1.0,
        };
        let slack = Slack {
            default: http::endpoint(&url("default"), "", Duration::from_secs(1), false).unwrap(),
            channels: ["urgent", "iam"]
                .map(|n| {
                    let endpoint = http::endpoint(&url(n), "", Duration::from_secs(1), false);
                    (n.to_owned(), endpoint.unwrap())
                })
                .into(),
            routes: options.channel_routes.clone(),
        };
        for (level, title, expected) in [
            (Level::Critical, "IAM user", "urgent"),
            (Level::Low, "IAM user", "iam"),
            (Level::Low, "Other", "default"),
        ] {
            let mut it = alert(1);
            it.rule.level = level;
            it.rule.title = title.into();
            let endpoint = slack.endpoint(&outlet().redact(&it, 0, false));
            assert!(std::ptr::eq(endpoint, slack.channels.get(expected).unwrap_or(&slack.default)));
        }
        options.channel_routes[1].channel = "nowhere".into();
        assert_eq!(build(&options).err().unwrap().place, "channel_routes[1].channel");
    }
}
