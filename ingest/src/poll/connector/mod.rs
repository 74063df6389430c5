//! Connectors: what is particular to one vendor's API, as data (`connectors/<name>.yml`).
//!
//! A file says how a page is asked for, where its records, their identity and the next page are, which of
//! the two kinds of cursor fits, how much may be asked, and what the vendor's errors mean. Files are
//! checked at start, with line and column. A file cannot do more than ask one host by GET or POST and read
//! JSON: what needs more is Rust.

mod check;
mod file;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;

use include_dir::{Dir, include_dir};

pub use check::compile;
pub use file::{FetchForm, LimitOf, Meaning, ResetForm, SecretPlace};
pub use template::{Template, Values};

use super::auth::AuthKind;
use super::cursor::step_again;
use super::request::Verb;
use super::scan::Path;
use super::when::Form;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/connectors");

/// A fault in a connector's file, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {reason}")]
pub struct ConnectorError {
    pub file: String,
    /// From 1; 0 when the fault has no place.
    pub line: u64,
    pub column: u64,
    pub reason: String,
    pub hint: Option<String>,
}

/// One vendor's API.
#[derive(Clone, Debug)]
pub struct Connector {
    pub name: String,
    pub description: String,
    pub docs: String,
    /// What the credential must be allowed to do, in words.
    pub needs: String,
    pub log_type: String,
    pub settings: BTreeMap<String, Setting>,
    pub base_url: Template,
    pub auth: AuthRule,
    pub prepare: Option<Call>,
    /// The setting with one partition for each of its values.
    pub each: Option<String>,
    pub request: Call,
    /// The request before there is a token, when it is another one.
    pub first: Option<Call>,
    /// What is added to the address of what a listing names.
    pub fetch_query: Vec<(String, Template)>,
    pub limit: u32,
    pub cursor: CursorRule,
    pub next: NextRule,
    /// The path of a boolean: whether there is more now.
    pub more: Option<Path>,
    pub records: RecordsRule,
    pub limits: LimitsRule,
    pub every_ms: i64,
    pub retention_ms: Option<i64>,
    /// Where the vendor's code stands in an answer.
    pub codes: Vec<Path>,
    pub errors: Vec<ErrorRule>,
}

impl Connector {
    /// The time until an event is handed over that the vendor shows at once.
    pub fn lag_ms(&self) -> i64 {
        match &self.cursor {
            CursorRule::Token { .. } => self.every_ms,
            CursorRule::Window(rule) => self.every_ms + rule.settle_ms,
        }
    }

    /// How many requests a partition takes in a day without events.
    pub fn idle_requests_a_day(&self) -> i64 {
        const DAY_MS: i64 = 86_400_000;
        let again = match &self.cursor {
            CursorRule::Token { .. } => 0,
            CursorRule::Window(rule) => {
                rule.rescan_ms.iter().map(|age| DAY_MS / step_again(*age)).sum()
            }
        };
        DAY_MS / self.every_ms + again
    }
}

/// What a user may or must say.
#[derive(Clone, Debug)]
pub struct Setting {
    pub doc: String,
    pub default: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
pub struct AuthRule {
    pub accepts: Vec<AuthKind>,
    pub token_url: Option<Template>,
    pub scope: Option<Template>,
    /// What else a token request says.
    pub form: Vec<(String, Template)>,
    /// Where it has the application's id and secret.
    pub secret: SecretPlace,
    pub header: Option<String>,
}

/// A request with places. A parameter, header or member whose value is missing is left out.
#[derive(Clone, Debug)]
pub struct Call {
    pub verb: Verb,
    pub path: Template,
    /// In the order of their names, which signatures need.
    pub query: Vec<(String, Template)>,
    pub headers: Vec<(String, Template)>,
    pub body: Vec<(String, Member)>,
}

/// A member of a JSON body.
#[derive(Clone, Debug)]
pub enum Member {
    Text(Template),
    Literal(serde_json::Value),
    Object(Vec<(String, Member)>),
}

impl Member {
    /// Its value, or `None` when a text has a place that has nothing.
    pub fn fill(&self, values: &Values) -> Option<serde_json::Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Text(text) => text.fill(values).map(Into::into),
            Self::Object(members) => Some(object(members, values)),
        }
    }

    fn uses(&self, place: &str) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Text(text) => text.names().any(|name| name == place),
            Self::Object(members) => members.iter().any(|(_, member)| member.uses(place)),
        }
    }
}

/// A JSON object of the members that have a value.
pub fn object(members: &[(String, Member)], values: &Values) -> serde_json::Value {
    let filled = members.iter().filter_map(|(name, m)| Some((name.clone(), m.fill(values)?)));
    serde_json::Value::Object(filled.collect())
}

/// The two kinds of cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorRule {
    /// The vendor's own token, in the order of arrival. `{since}` begins without one.
    Token { form: Form, overlap_ms: i64 },
    /// Windows of event time.
    Window(WindowRule),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRule {
    pub form: Form,
    /// Nothing younger is asked for.
    pub settle_ms: i64,
    /// So much before the cursor is asked for again every time.
    pub overlap_ms: i64,
    /// The longest window of one request.
    pub max_ms: i64,
    /// At which ages a stretch of time is read again, ascending.
    pub rescan_ms: Vec<i64>,
}

/// Where the next page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextRule {
    None,
    Link,
    Url(Path),
    Header(String),
    Token(Path),
    /// The last record's time is where the next page begins.
    Last(Path),
    /// A statement runs, and its rows come in partitions.
    Statement,
}

#[derive(Clone, Debug)]
pub struct RecordsRule {
    pub at: Path,
    /// With this member but without the array there are no records.
    pub proof: Option<Path>,
    pub identity: Vec<Path>,
    pub split: Option<String>,
    pub time: Option<(Path, Form)>,
    pub fetch: Option<Path>,
    pub fetch_form: FetchForm,
    /// Where a listing says how long what is fetched is.
    pub fetch_length: Option<Path>,
}

#[derive(Clone, Debug)]
pub struct LimitsRule {
    pub requests: usize,
    pub per_ms: i64,
    pub of: LimitOf,
    pub remaining: Option<String>,
    pub reset: Option<String>,
    pub reset_form: ResetForm,
    pub keep: u32,
}

#[derive(Clone, Debug)]
pub struct ErrorRule {
    pub status: Option<u16>,
    pub codes: Vec<String>,
    pub contains: Option<String>,
    pub is: Meaning,
    pub say: Option<String>,
}

/// Connectors by name.
#[derive(Clone, Debug, Default)]
pub struct Connectors(BTreeMap<String, Arc<Connector>>);

impl Connectors {
    /// Those that come with the program.
    ///
    /// # Panics
    /// When one of their files is wrong, which the tests of this crate exclude.
    pub fn builtin() -> Self {
        Self::default()
            .with_files(builtin_files())
            .unwrap_or_else(|errors| panic!("a built-in connector is wrong: {}", errors[0]))
    }

    /// Adds connectors from the text of their files; one that exists already is replaced.
    ///
    /// # Errors
    /// Everything that is wrong with any of the files.
    pub fn with_files<N: AsRef<str>, T: AsRef<str>>(
        mut self,
        files: impl IntoIterator<Item = (N, T)>,
    ) -> Result<Self, Vec<ConnectorError>> {
        let mut errors = Vec::new();
        for (name, text) in files {
            match compile(name.as_ref(), text.as_ref()) {
                Ok(connector) => {
                    self.0.insert(connector.name.clone(), Arc::new(connector));
                }
                Err(found) => errors.extend(found),
            }
        }
        if errors.is_empty() { Ok(self) } else { Err(errors) }
    }

    pub fn get(&self, name: &str) -> Option<Arc<Connector>> {
        self.0.get(name).cloned()
    }

    /// In alphabetical order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Connector>> {
        self.0.values()
    }
}

/// Name and text of the built-in files.
fn builtin_files() -> impl Iterator<Item = (String, &'static str)> {
    let files = FILES.files().filter(|f| f.path().extension().is_some_and(|e| e == "yml"));
    files.map(|file| {
        let text = file.contents_utf8().expect("a connector's file is UTF-8");
        (file.path().display().to_string(), text)
    })
}

#[cfg(test)]
mod tests;
