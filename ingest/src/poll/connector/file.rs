//! The file of a connector as it is written, read strictly. Meaning is given in [`super::check`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::poll::auth::AuthKind;
use crate::poll::request::Verb;
use crate::poll::when::Form;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectorFile {
    pub name: Spanned<String>,
    pub description: String,
    /// The vendor's page about this API.
    pub docs: String,
    /// What the credential must be allowed to do, in words.
    pub needs: String,
    pub log_type: String,
    #[serde(default)]
    pub settings: BTreeMap<String, SettingFile>,
    pub base_url: Spanned<String>,
    pub auth: AuthFile,
    /// Asked once at the start of every partition, such as to switch a feed on.
    #[serde(default)]
    pub prepare: Option<CallFile>,
    /// One partition for every value of this setting, which is a list.
    #[serde(default)]
    pub each: Option<Spanned<String>>,
    pub request: CallFile,
    /// The request before there is a token, when it is another one.
    #[serde(default)]
    pub first: Option<CallFile>,
    /// The most records of a page, for `{limit}`.
    #[serde(default = "hundred")]
    pub limit: u32,
    pub cursor: Spanned<CursorFile>,
    #[serde(default)]
    pub next: Option<Spanned<NextFile>>,
    pub records: RecordsFile,
    pub limits: Spanned<LimitsFile>,
    /// How often it is asked for news.
    #[serde(default = "minute")]
    pub every_s: Spanned<u32>,
    /// How far back the vendor keeps events.
    #[serde(default)]
    pub retention_h: Option<u32>,
    #[serde(default)]
    pub errors: ErrorsFile,
}

fn hundred() -> u32 {
    100
}

fn minute() -> Spanned<u32> {
    let nowhere = serde_saphyr::Location::UNKNOWN;
    Spanned { value: 60, referenced: nowhere, defined: nowhere }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SettingFile {
    pub doc: String,
    /// Without one the setting must be given. A list when `each` names the setting.
    #[serde(default)]
    pub default: Option<OneOrMany>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub fn all(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthFile {
    pub accepts: Spanned<Vec<AuthKind>>,
    #[serde(default)]
    pub token_url: Option<Spanned<String>>,
    #[serde(default)]
    pub scope: Option<Spanned<String>>,
    /// What else a token request says.
    #[serde(default)]
    pub form: BTreeMap<String, Spanned<String>>,
    /// Where a token request has the application's id and secret.
    #[serde(default)]
    pub secret: SecretPlace,
    /// The header of `header`.
    #[serde(default)]
    pub header: Option<String>,
}

/// Where a token request has the id and the secret of an application (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretPlace {
    /// Among what else it says.
    #[default]
    Form,
    /// In the header `Authorization`.
    Basic,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallFile {
    #[serde(default)]
    pub verb: Verb,
    pub path: Spanned<String>,
    #[serde(default)]
    pub query: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub headers: BTreeMap<String, Spanned<String>>,
    /// Members of a JSON object.
    #[serde(default)]
    pub body: BTreeMap<String, Spanned<BodyValue>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum BodyValue {
    Bool(bool),
    Number(i64),
    Text(String),
    /// Members of an object inside.
    Object(BTreeMap<String, Spanned<BodyValue>>),
}

/// Exactly one is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CursorFile {
    #[serde(default)]
    pub token: Option<TokenFile>,
    #[serde(default)]
    pub window: Option<WindowFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenFile {
    /// How `{since}` is written.
    pub form: Form,
    /// How far back a lost token begins again.
    #[serde(default = "hour")]
    pub overlap_s: u32,
}

fn hour() -> u32 {
    3_600
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowFile {
    /// How `{from}` and `{to}` are written.
    pub form: Form,
    pub settle_s: u32,
    pub overlap_s: u32,
    pub max_s: u32,
    /// At which ages a stretch of time is read again.
    #[serde(default)]
    pub rescan_s: Vec<u32>,
}

/// Where the next page is: exactly one of `link`, `url`, `header`, `token`, `last`, `statement`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextFile {
    /// The header `Link` with `rel="next"`.
    #[serde(default)]
    pub link: bool,
    /// The path of a URL in the answer.
    #[serde(default)]
    pub url: Option<String>,
    /// The name of a header that holds a URL.
    #[serde(default)]
    pub header: Option<String>,
    /// The path of a token in the answer, for `{token}`.
    #[serde(default)]
    pub token: Option<String>,
    /// The path of a time in a record: the next page begins with the last one's, for `{token}`.
    #[serde(default)]
    pub last: Option<String>,
    /// The request is an SQL statement whose rows hold a record each, as JSON in their first column.
    #[serde(default)]
    pub statement: bool,
    /// The path of a boolean: whether there is more now.
    #[serde(default)]
    pub more: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordsFile {
    /// The path of the array; empty: the answer is the array.
    #[serde(default)]
    pub at: String,
    /// The vendor leaves the array out when there is nothing; this path is in every page.
    #[serde(default)]
    pub proof: Option<String>,
    /// Paths whose values identify a record. None: its bytes do.
    #[serde(default)]
    pub identity: Vec<String>,
    /// The member of a record that holds several events: each becomes a record.
    #[serde(default)]
    pub split: Option<String>,
    /// When it happened.
    #[serde(default)]
    pub time: Option<TimeFile>,
    /// The records are only the list of what is to be fetched.
    #[serde(default)]
    pub fetch: Option<FetchFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FetchFile {
    /// The path of a URL whose answer is the records.
    pub url: String,
    /// How they are written.
    #[serde(default)]
    pub form: FetchForm,
    /// The path of the length in bytes, for what does not show that its end is missing.
    #[serde(default)]
    pub length: Option<String>,
    /// Parameters that are added to it.
    #[serde(default)]
    pub query: BTreeMap<String, Spanned<String>>,
}

/// How fetched records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchForm {
    /// An array of objects.
    #[default]
    Json,
    /// A table under a row of names.
    Csv,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeFile {
    pub from: String,
    pub form: Form,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsFile {
    pub requests: u32,
    pub per_s: u32,
    /// What the limit is for: all connectors of a credential together, or each by itself.
    #[serde(default)]
    pub of: LimitOf,
    /// Headers that tell how many requests are left and when there are more.
    #[serde(default)]
    pub remaining: Option<String>,
    #[serde(default)]
    pub reset: Option<String>,
    /// Whether `reset` is a point in time (seconds since 1970) or a number of seconds.
    #[serde(default)]
    pub reset_form: ResetForm,
    /// Requests that stay for the customer's other tools.
    #[serde(default)]
    pub keep: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitOf {
    #[default]
    Credential,
    Connector,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetForm {
    #[default]
    UnixS,
    Seconds,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorsFile {
    /// Where the vendor's code stands in an answer.
    #[serde(default)]
    pub codes: Vec<String>,
    #[serde(default)]
    pub rules: Vec<ErrorFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorFile {
    #[serde(default)]
    pub status: Option<u16>,
    /// One of these codes.
    #[serde(default)]
    pub code: Option<OneOrMany>,
    /// The answer contains this, in any case.
    #[serde(default)]
    pub contains: Option<String>,
    pub is: Meaning,
    /// What to tell people.
    #[serde(default)]
    pub say: Option<String>,
}

/// What an answer that is no page means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// Too many requests: wait, then ask the same again.
    Limited,
    /// For a person: a permission, a scope, a licence.
    Denied,
    /// The vendor's trouble: wait, then ask the same again.
    Failed,
    /// The token or page is no longer known: begin the window, or the token's time, again.
    Expired,
    /// What was to be fetched is not there any more.
    Gone,
    /// The feed is switched off: prepare it again.
    Unprepared,
    /// As good as done.
    Done,
}
