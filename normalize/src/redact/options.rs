//! What to redact, as people write it in the configuration.

use event::Secret;
use regex_automata::meta::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

/// What is replaced by pseudonyms before anything leaves.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedactOptions {
    /// Key of the pseudonyms, at least 16 bytes. The same key gives the same pseudonym for the same
    /// value everywhere; a new key makes all old pseudonyms unlinkable.
    pub key: Secret,
    /// Replace e-mail addresses.
    pub emails: bool,
    /// Replace IPv4 and IPv6 addresses.
    pub ips: IpPolicy,
    /// Replace payment card numbers (issuer range and check digit must be right).
    pub cards: bool,
    /// Replace US social security numbers.
    pub ssns: bool,
    /// Replace AWS access key ids, and secret access keys beside a name or key id.
    pub aws_keys: bool,
    /// Replace private keys, JWTs, bearer tokens, passwords in URLs, and the tokens of GitHub,
    /// GitLab, Slack, Google, OpenAI, Anthropic and Azure.
    pub tokens: bool,
    /// Patterns of your own. They win over all others.
    pub custom: Vec<CustomPattern>,
}

impl Default for RedactOptions {
    fn default() -> Self {
        Self {
            key: Secret::default(),
            emails: true,
            ips: IpPolicy::All,
            cards: true,
            ssns: true,
            aws_keys: true,
            tokens: true,
            custom: Vec::new(),
        }
    }
}

/// Which IP addresses are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IpPolicy {
    /// None.
    Off,
    /// All.
    #[default]
    All,
    /// All but private, loopback, link-local and unspecified ones.
    KeepPrivate,
}

/// A pattern of the owner's own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomPattern {
    /// Shown in the pseudonym, `EMPLOYEE` in `[EMPLOYEE:7K3QX2]`: capital letters, digits and `_`,
    /// a letter first, at most 32.
    pub name: String,
    /// Regular expression in the syntax of Rust's `regex`: linear time, no look-around and no
    /// back-references. At most 1,000 characters.
    pub pattern: String,
}

/// Why options cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RedactError {
    pub kind: RedactErrorKind,
    pub message: String,
}

/// What of the options is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedactErrorKind {
    /// The key is missing or too short.
    Key,
    /// A custom pattern's name.
    Name,
    /// A custom pattern itself.
    Pattern,
}

const KEY_BYTES_MIN: usize = 16;
const CUSTOM_MAX: usize = 64;
const NAME_CHARS_MAX: usize = 32;
const PATTERN_CHARS_MAX: usize = 1_000;
const NFA_BYTES_MAX: usize = 1 << 20;
const CACHE_BYTES_MAX: usize = 2 << 20;

/// A key that can be guessed would make the pseudonyms of short values reversible.
pub(super) fn check_key(key: &Secret) -> Result<(), RedactError> {
    if key.expose().len() >= KEY_BYTES_MIN {
        return Ok(());
    }
    let message = format!("the redaction key needs at least {KEY_BYTES_MIN} bytes");
    Err(RedactError { kind: RedactErrorKind::Key, message })
}

/// Compiles the custom patterns, in order.
pub(super) fn compile(custom: &[CustomPattern]) -> Result<Vec<(String, Regex)>, RedactError> {
    if custom.len() > CUSTOM_MAX {
        let message = format!("{} custom patterns, at most {CUSTOM_MAX}", custom.len());
        return Err(RedactError { kind: RedactErrorKind::Pattern, message });
    }
    custom.iter().map(compile_one).collect()
}

fn compile_one(custom: &CustomPattern) -> Result<(String, Regex), RedactError> {
    let CustomPattern { name, pattern } = custom;
    let named = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.len() <= NAME_CHARS_MAX
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !named {
        let message = format!("custom pattern name {name:?}: use capital letters, digits and _");
        return Err(RedactError { kind: RedactErrorKind::Name, message });
    }
    let fail = |why: String| RedactError {
        kind: RedactErrorKind::Pattern,
        message: format!("custom pattern {name}: {why}"),
    };
    if pattern.chars().count() > PATTERN_CHARS_MAX {
        return Err(fail(format!("longer than {PATTERN_CHARS_MAX} characters")));
    }
    let limits = Regex::config()
        .nfa_size_limit(Some(NFA_BYTES_MAX))
        .hybrid_cache_capacity(CACHE_BYTES_MAX)
        .onepass_size_limit(Some(NFA_BYTES_MAX));
    let regex = Regex::builder().configure(limits).build(pattern).map_err(|e| fail(reason(&e)))?;
    if regex.is_match("") {
        return Err(fail("matches the empty text".into()));
    }
    Ok((name.clone(), regex))
}

fn reason(error: &regex_automata::meta::BuildError) -> String {
    if let Some(bytes) = error.size_limit() {
        return format!("needs more than the {bytes} bytes it is allowed (size limit)");
    }
    let Some(syntax) = error.syntax_error() else { return error.to_string() };
    let text = syntax.to_string();
    // The parser draws the pattern with a caret over several lines; its last line says it in words.
    let last = text.lines().last().unwrap_or("does not parse");
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
