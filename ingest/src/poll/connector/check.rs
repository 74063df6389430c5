//! From a connector's file to a [`Connector`]: everything that can be wrong with it is found here, at
//! start, with its line, column and a hint.

use std::collections::BTreeMap;
use std::fmt::Display;

use event::spelling::distance;
use serde_saphyr::{Location, Spanned};

use super::file::{
    BodyValue, CallFile, ConnectorFile, CursorFile, ErrorFile, LimitsFile, NextFile, RecordsFile,
};
use super::{
    AuthRule, Call, Connector, ConnectorError, CursorRule, ErrorRule, LimitsRule, Member, NextRule,
    RecordsRule, Setting, Template, WindowRule,
};
use crate::poll::auth::AuthKind;
use crate::poll::scan::Path;

const SECOND_MS: i64 = 1_000;

/// Places that the engine fills.
const OF_WINDOW: &[&str] = &["from", "to"];
const OF_TOKEN: &[&str] = &["since"];
const OF_REQUEST: &[&str] = &["token", "limit", "each"];

/// Compiles the text of a file. `name` is what errors call the file.
pub fn compile(name: &str, text: &str) -> Result<Connector, Vec<ConnectorError>> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let file: ConnectorFile = serde_saphyr::from_str_with_options(text, options)
        .map_err(|e| vec![unreadable(name, &e)])?;
    let mut check = Check { name, settings: Vec::new(), errors: Vec::new() };
    let connector = check.connector(file);
    if check.errors.is_empty() { Ok(connector) } else { Err(check.errors) }
}

fn unreadable(file: &str, error: &serde_saphyr::Error) -> ConnectorError {
    let location = error.location();
    let text = error.without_snippet().to_string();
    let reason = text.lines().next().unwrap_or_default();
    let reason = reason.split(" at line ").next().unwrap_or(reason);
    let (reason, expected) = reason.split_once(", expected ").unwrap_or((reason, ""));
    let word = reason.split('`').nth(1).unwrap_or_default();
    let known = expected.strip_prefix("one of ").unwrap_or_default().split(", ");
    let hint = nearest(word, known).map(|meant| format!("did you mean `{meant}`?"));
    ConnectorError {
        file: file.into(),
        line: location.map_or(0, |l| l.line()),
        column: location.map_or(0, |l| l.column()),
        reason: reason.into(),
        hint: hint.or_else(|| (!expected.is_empty()).then(|| format!("expected {expected}"))),
    }
}

fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let known = known.map(|k| k.trim_matches(['`', ' ']));
    let limit = word.chars().count() / 3 + 1;
    let all = known.map(|k| (distance(word, k), k)).filter(|(d, _)| *d <= limit);
    if word.is_empty() { None } else { all.min().map(|(_, k)| k) }
}

struct Check<'f> {
    name: &'f str,
    settings: Vec<String>,
    errors: Vec<ConnectorError>,
}

impl Check<'_> {
    fn fault(&mut self, place: Location, reason: impl Display, hint: impl Into<Option<String>>) {
        self.errors.push(ConnectorError {
            file: self.name.into(),
            line: place.line(),
            column: place.column(),
            reason: reason.to_string(),
            hint: hint.into(),
        });
    }

    fn connector(&mut self, file: ConnectorFile) -> Connector {
        self.settings = file.settings.keys().cloned().collect();
        let cursor = self.cursor(&file.cursor);
        let of_cursor = match &cursor {
            CursorRule::Window(_) => OF_WINDOW,
            CursorRule::Token { .. } => OF_TOKEN,
        };
        let (next, more) = self.next(file.next.as_ref(), &cursor, file.cursor.referenced);
        let given = |name: &str| file.settings.contains_key(name);
        if let Some(each) = &file.each
            && !given(&each.value)
        {
            self.fault(each.referenced, format!("`{}` is no setting", each.value), None);
        }
        let request = self.call(&file.request, &[of_cursor, OF_REQUEST].concat());
        let first =
            file.first.as_ref().map(|call| self.call(call, &[of_cursor, OF_REQUEST].concat()));
        let fetch_query = match &file.records.fetch {
            Some(fetch) => self.texts(&fetch.query, OF_REQUEST),
            None => Vec::new(),
        };
        self.places(&file, &request, first.as_ref(), &cursor, &next);
        if file.every_s.value == 0 {
            self.fault(file.every_s.referenced, "`every_s` is 0", None);
        }
        let auth = self.auth(&file.auth);
        let base_url = self.base_url(&file.base_url);
        Connector {
            name: file.name.value.clone(),
            description: file.description,
            docs: file.docs,
            needs: file.needs,
            log_type: file.log_type,
            settings: settings(file.settings),
            base_url,
            auth,
            prepare: file.prepare.as_ref().map(|call| self.call(call, OF_REQUEST)),
            each: file.each.map(|each| each.value),
            request,
            first,
            fetch_query,
            limit: file.limit.max(1),
            cursor,
            next,
            more,
            records: records(file.records),
            limits: self.limits(&file.limits),
            every_ms: i64::from(file.every_s.value) * SECOND_MS,
            retention_ms: file.retention_h.map(|hours| i64::from(hours) * 3_600 * SECOND_MS),
            codes: file.errors.codes.iter().map(|path| Path::new(path)).collect(),
            errors: file.errors.rules.into_iter().map(error_rule).collect(),
        }
    }

    /// What goes into requests must fit how pages follow each other.
    fn places(
        &mut self,
        file: &ConnectorFile,
        request: &Call,
        first: Option<&Call>,
        cursor: &CursorRule,
        next: &NextRule,
    ) {
        let place = file.request.path.referenced;
        if matches!(next, NextRule::Token(_) | NextRule::Last(_)) != request.uses("token") {
            let hint =
                "`next.token` or `next.last` says where the token is, `{token}` where it goes"
                    .to_owned();
            self.fault(place, "the token of the next page is half declared", hint);
        }
        let begins = |name: &str| first.unwrap_or(request).uses(name);
        match cursor {
            CursorRule::Token { .. } if matches!(next, NextRule::Last(_)) => {
                self.fault(place, "`next.last` is a time, which is no token cursor", None);
            }
            CursorRule::Token { .. } if *next == NextRule::Statement => {
                self.fault(place, "`next.statement` has an end, which is no token cursor", None);
            }
            CursorRule::Window(_) if !begins("from") => {
                self.fault(place, "the request does not use `{from}`", None);
            }
            // A first request of its own may begin where the vendor's log does.
            CursorRule::Token { .. } if first.is_none() && !begins("since") => {
                self.fault(place, "the first request does not use `{since}`", None);
            }
            _ => {}
        }
    }

    fn base_url(&mut self, text: &Spanned<String>) -> Template {
        if !text.value.starts_with("https://") {
            let hint = "a setting may be the host: https://{host}".to_owned();
            self.fault(text.referenced, "the address does not begin with https://", hint);
        }
        self.template(text, &[])
    }

    fn cursor(&mut self, file: &Spanned<CursorFile>) -> CursorRule {
        let place = file.referenced;
        let ms = |seconds: u32| i64::from(seconds) * SECOND_MS;
        match (&file.value.token, &file.value.window) {
            (Some(token), None) => {
                CursorRule::Token { form: token.form, overlap_ms: ms(token.overlap_s) }
            }
            (None, Some(window)) => {
                if ms(window.overlap_s) < 2 * SECOND_MS {
                    let hint = "events of one second may come in several answers".to_owned();
                    self.fault(place, "`overlap_s` must be 2 or more", hint);
                }
                if window.max_s <= window.overlap_s {
                    let hint = "a window must reach further than what it reads again".to_owned();
                    self.fault(place, "`max_s` must be more than `overlap_s`", hint);
                }
                let mut rescan_ms: Vec<i64> = window.rescan_s.iter().copied().map(ms).collect();
                rescan_ms.sort_unstable();
                if rescan_ms.first().is_some_and(|first| *first <= ms(window.settle_s)) {
                    self.fault(place, "a rescan must be later than `settle_s`", None);
                }
                CursorRule::Window(WindowRule {
                    form: window.form,
                    settle_ms: ms(window.settle_s),
                    overlap_ms: ms(window.overlap_s),
                    max_ms: ms(window.max_s),
                    rescan_ms,
                })
            }
            _ => {
                self.fault(place, "give `token` or `window`, one of them", None);
                CursorRule::Token { form: Default::default(), overlap_ms: 0 }
            }
        }
    }

    fn next(
        &mut self,
        file: Option<&Spanned<NextFile>>,
        cursor: &CursorRule,
        cursor_place: Location,
    ) -> (NextRule, Option<Path>) {
        let Some(file) = file else {
            if matches!(cursor, CursorRule::Token { .. }) {
                self.fault(cursor_place, "a token cursor needs `next`", None);
            }
            return (NextRule::None, None);
        };
        let (mut rules, next) = (Vec::new(), &file.value);
        rules.extend(next.link.then_some(NextRule::Link));
        rules.extend(next.url.as_deref().map(|path| NextRule::Url(Path::new(path))));
        rules.extend(next.header.as_deref().map(|name| NextRule::Header(name.to_lowercase())));
        rules.extend(next.token.as_deref().map(|path| NextRule::Token(Path::new(path))));
        rules.extend(next.last.as_deref().map(|path| NextRule::Last(Path::new(path))));
        rules.extend(next.statement.then_some(NextRule::Statement));
        if rules.len() != 1 {
            let hint = "the next page is at one place".to_owned();
            self.fault(
                file.referenced,
                "give one of `link`, `url`, `header`, `token`, `last`, `statement`",
                hint,
            );
        }
        (rules.pop().unwrap_or(NextRule::None), next.more.as_deref().map(Path::new))
    }

    fn auth(&mut self, file: &super::file::AuthFile) -> AuthRule {
        if file.accepts.value.is_empty() {
            self.fault(file.accepts.referenced, "`accepts` is empty", None);
        }
        if file.accepts.value.contains(&AuthKind::Header) && file.header.is_none() {
            self.fault(file.accepts.referenced, "`header` needs the name of the header", None);
        }
        AuthRule {
            accepts: file.accepts.value.clone(),
            token_url: file.token_url.as_ref().map(|url| self.template(url, &[])),
            scope: file.scope.as_ref().map(|scope| self.template(scope, &[])),
            form: file
                .form
                .iter()
                .map(|(name, value)| (name.clone(), self.template(value, &[])))
                .collect(),
            secret: file.secret,
            header: file.header.clone(),
        }
    }

    fn limits(&mut self, file: &Spanned<LimitsFile>) -> LimitsRule {
        let limits = &file.value;
        if limits.requests == 0 || limits.per_s == 0 {
            self.fault(file.referenced, "`requests` and `per_s` must be 1 or more", None);
        }
        LimitsRule {
            requests: limits.requests as usize,
            per_ms: i64::from(limits.per_s) * SECOND_MS,
            of: limits.of,
            remaining: limits.remaining.as_deref().map(str::to_lowercase),
            reset: limits.reset.as_deref().map(str::to_lowercase),
            reset_form: limits.reset_form,
            keep: limits.keep,
        }
    }

    fn call(&mut self, file: &CallFile, places: &[&str]) -> Call {
        let path = self.template(&file.path, places);
        if !file.path.value.starts_with('/') {
            self.fault(file.path.referenced, "the path does not begin with `/`", None);
        }
        let (query, headers) = (self.texts(&file.query, places), self.texts(&file.headers, places));
        let body = self.members(&file.body, places);
        Call { verb: file.verb, path, query, headers, body }
    }

    fn members(
        &mut self,
        file: &BTreeMap<String, Spanned<BodyValue>>,
        places: &[&str],
    ) -> Vec<(String, Member)> {
        let members = file.iter().map(|(name, value)| {
            let member = match &value.value {
                BodyValue::Bool(value) => Member::Literal((*value).into()),
                BodyValue::Number(value) => Member::Literal((*value).into()),
                BodyValue::Object(members) => Member::Object(self.members(members, places)),
                BodyValue::Text(text) => {
                    let text = Spanned {
                        value: text.clone(),
                        referenced: value.referenced,
                        defined: value.defined,
                    };
                    Member::Text(self.template(&text, places))
                }
            };
            (name.clone(), member)
        });
        members.collect()
    }

    fn texts(
        &mut self,
        map: &BTreeMap<String, Spanned<String>>,
        places: &[&str],
    ) -> Vec<(String, Template)> {
        map.iter().map(|(name, text)| (name.clone(), self.template(text, places))).collect()
    }

    fn template(&mut self, text: &Spanned<String>, places: &[&str]) -> Template {
        let template = Template::new(&text.value).unwrap_or_else(|reason| {
            self.fault(text.referenced, reason, None);
            Template::default()
        });
        for name in template.names() {
            let known = || places.iter().copied().chain(self.settings.iter().map(String::as_str));
            if !known().any(|known| known == name) {
                let hint = nearest(name, known()).map(|meant| format!("did you mean `{meant}`?"));
                let reason = format!("`{{{name}}}` is no setting and nothing that is filled here");
                self.errors.push(ConnectorError {
                    file: self.name.into(),
                    line: text.referenced.line(),
                    column: text.referenced.column(),
                    reason,
                    hint,
                });
            }
        }
        template
    }
}

impl Call {
    /// Whether anything of it has this place.
    pub fn uses(&self, place: &str) -> bool {
        let pairs = self.query.iter().chain(&self.headers).map(|(_, template)| template);
        let mut all = pairs.chain([&self.path]);
        all.any(|template| template.names().any(|name| name == place))
            || self.body.iter().any(|(_, member)| member.uses(place))
    }
}

fn settings(file: BTreeMap<String, super::file::SettingFile>) -> BTreeMap<String, Setting> {
    let all = file.into_iter();
    all.map(|(name, s)| (name, Setting { doc: s.doc, default: s.default.map(|d| d.all()) }))
        .collect()
}

fn records(file: RecordsFile) -> RecordsRule {
    RecordsRule {
        at: Path::new(&file.at),
        proof: file.proof.as_deref().map(Path::new),
        identity: file.identity.iter().map(|path| Path::new(path)).collect(),
        split: file.split,
        time: file.time.map(|time| (Path::new(&time.from), time.form)),
        fetch_length: file.fetch.as_ref().and_then(|fetch| Some(Path::new(fetch.length.as_ref()?))),
        fetch_form: file.fetch.as_ref().map(|fetch| fetch.form).unwrap_or_default(),
        fetch: file.fetch.map(|fetch| Path::new(&fetch.url)),
    }
}

fn error_rule(file: ErrorFile) -> ErrorRule {
    ErrorRule {
        status: file.status,
        codes: file.code.map(|code| code.all()).unwrap_or_default(),
        contains: file.contains.map(|text| text.to_lowercase()),
        is: file.is,
        say: file.say,
    }
}
