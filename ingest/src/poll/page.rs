//! What an answer means: a page of records, or which kind of trouble.
//!
//! Decides by the connector's rules first, then by the status. A page counts only when it is whole; nothing
//! of a page that fails is used.

pub mod statement;

use super::connector::{Connector, FetchForm, Meaning, NextRule, ResetForm};
use super::request::Reply;
use super::scan::{self, Broken};
use super::seen::{Id, id_of};
use super::table;
use super::when;

/// One record of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub bytes: Vec<u8>,
    pub id: Id,
    pub time_ms: Option<i64>,
    /// The record is only the address of what is to be fetched.
    pub fetch: Option<String>,
    /// So many bytes are there to be fetched, if the vendor says.
    pub length: Option<usize>,
    /// It is no record at all, and why.
    pub reject: Option<String>,
}

/// A whole page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<Record>,
    /// Elements before they were split.
    pub count: usize,
    /// The answer's length in bytes.
    pub bytes: usize,
    /// URL or token of the next page.
    pub next: Option<String>,
    /// Whether the vendor says that there is more now.
    pub more: Option<bool>,
    /// There are no records yet: the same is asked for again, at `next`.
    pub is_running: bool,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Prepare,
    Page,
    Fetch,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Page(Page),
    /// Wait so long, if the vendor says how long.
    Limited(Option<i64>),
    Unauthorized(String),
    Denied(String),
    Failed(String),
    /// The request itself is what is wrong, or the token in it.
    Refused(String),
    Expired(String),
    Gone(String),
    Unprepared(String),
    Done,
}

/// No wait that a vendor asks for is longer.
const WAIT_MS_MAX: i64 = 86_400_000;
const WORDS_MAX: usize = 300;

/// Reads an answer. `now_ms` is the vendor's clock.
pub fn verdict(connector: &Connector, reply: &Reply, asked: Asked, now_ms: i64) -> Verdict {
    let document = scan::document(&reply.body);
    let code = document.ok().and_then(|document| code(connector, document));
    let is_good = (200..300).contains(&reply.status);
    if let Some(rule) = connector.errors.iter().find(|rule| {
        let by_status = rule.status.is_none_or(|status| status == reply.status);
        let by_code = rule.codes.is_empty()
            || code.as_ref().is_some_and(|code| rule.codes.iter().any(|c| is_code(c, code)));
        let may_contain = !is_good || rule.status == Some(reply.status);
        let by_text = rule.contains.as_ref().is_none_or(|text| {
            may_contain && String::from_utf8_lossy(&reply.body).to_lowercase().contains(text)
        });
        // On a good answer a status alone says nothing, except for one like 204.
        let is_about_good = !rule.codes.is_empty() || rule.contains.is_some();
        let is_meant = !is_good || is_about_good || (rule.status.is_some() && reply.status != 200);
        by_status && by_code && by_text && is_meant
    }) {
        let words = words(reply, code.as_deref(), rule.say.as_deref());
        return match rule.is {
            Meaning::Limited => Verdict::Limited(wait_ms(connector, reply, now_ms)),
            // Another token may be all that is needed.
            Meaning::Denied if reply.status == 401 => Verdict::Unauthorized(words),
            Meaning::Denied => Verdict::Denied(words),
            Meaning::Failed => Verdict::Failed(words),
            Meaning::Expired => Verdict::Expired(words),
            Meaning::Gone => Verdict::Gone(words),
            Meaning::Unprepared => Verdict::Unprepared(words),
            Meaning::Done => Verdict::Done,
        };
    }
    if !is_good {
        return by_status(connector, reply, code.as_deref(), now_ms);
    }
    if asked == Asked::Prepare {
        return Verdict::Done;
    }
    if asked == Asked::Fetch && connector.records.fetch_form == FetchForm::Csv {
        return table(&reply.body);
    }
    match document.and_then(|document| page(connector, reply, document, asked)) {
        Ok(Some(page)) => Verdict::Page(page),
        Ok(None) => {
            let say = format!("the answer holds no records at {:?}", connector.records.at);
            Verdict::Failed(words(reply, code.as_deref(), Some(&say)))
        }
        Err(broken) => Verdict::Failed(what_instead(&reply.body, broken)),
    }
}

/// The rows of a table that was fetched.
fn table(body: &[u8]) -> Verdict {
    let record = |(bytes, reject): table::Row| {
        let id = id_of([bytes.as_slice()]);
        Record { bytes, id, time_ms: None, fetch: None, length: None, reject }
    };
    match table::rows(body) {
        Ok(rows) => {
            let records: Vec<Record> = rows.into_iter().map(record).collect();
            let (count, bytes) = (records.len(), body.len());
            Verdict::Page(Page { count, bytes, records, ..Page::default() })
        }
        Err(words) => Verdict::Failed(words),
    }
}

fn by_status(connector: &Connector, reply: &Reply, code: Option<&str>, now_ms: i64) -> Verdict {
    let wait_ms = wait_ms(connector, reply, now_ms);
    let none_left = connector.limits.remaining.as_deref().and_then(|name| reply.header(name));
    let is_limit = reply.header("retry-after").is_some() || none_left == Some("0");
    let say = |text: &str| words(reply, code, Some(text));
    match reply.status {
        401 => Verdict::Unauthorized(say("the credential is not accepted")),
        429 => Verdict::Limited(wait_ms),
        403 | 503 if is_limit => Verdict::Limited(wait_ms),
        402 | 403 => Verdict::Denied(say(&format!("the credential needs: {}", connector.needs))),
        404 => Verdict::Denied(say("nothing is at this address: check the settings")),
        410 => Verdict::Expired(say("what was asked for is no longer there")),
        300..=399 => Verdict::Failed(say(
            "redirects are not followed, because the credential would go along: check `base_url`",
        )),
        408 | 425 | 500.. => Verdict::Failed(say("the vendor has trouble")),
        _ => Verdict::Refused(say("the vendor refuses the request")),
    }
}

/// `status 403 missing_scope: …`, in one bounded line.
fn words(reply: &Reply, code: Option<&str>, say: Option<&str>) -> String {
    let code = code.map(|code| format!(" {}", event::shown::line(code))).unwrap_or_default();
    let say = say.map(|say| format!(": {say}")).unwrap_or_default();
    format!("status {}{code}{say}", reply.status).chars().take(WORDS_MAX).collect()
}

fn what_instead(body: &[u8], broken: Broken) -> String {
    let start = body.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(body.len());
    match body.get(start) {
        None => "the answer is empty".to_owned(),
        Some(b'<') => {
            "the answer is a web page, not JSON: a proxy or a login in between?".to_owned()
        }
        Some(_) => broken.to_string(),
    }
}

fn code(connector: &Connector, document: &[u8]) -> Option<String> {
    connector.codes.iter().find_map(|path| scan::text(scan::find(document, path).ok()??))
}

/// A rule's code may end in `*`.
fn is_code(rule: &str, code: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(start) => code.starts_with(start),
        None => rule == code,
    }
}

/// How long the vendor wants to be left alone.
fn wait_ms(connector: &Connector, reply: &Reply, now_ms: i64) -> Option<i64> {
    let limits = &connector.limits;
    let after = reply.header("x-ms-retry-after-ms").and_then(|ms| ms.trim().parse().ok());
    let after = after.or_else(|| {
        let after = reply.header("retry-after")?;
        let seconds = after.trim().parse::<f64>().ok().filter(|s| s.is_finite());
        seconds
            .map(|seconds| (seconds * 1_000.0).ceil() as i64)
            .or_else(|| Some(when::read_http_date(after)? - now_ms))
    });
    let after =
        after.or_else(|| reset_ms(limits.reset.as_deref(), limits.reset_form, reply, now_ms));
    after.map(|ms: i64| ms.clamp(0, WAIT_MS_MAX))
}

fn reset_ms(name: Option<&str>, form: ResetForm, reply: &Reply, now_ms: i64) -> Option<i64> {
    let seconds: i64 = reply.header(name?)?.trim().parse().ok()?;
    let ms = seconds.checked_mul(1_000)?;
    Some(match form {
        // The whole second counts, and one for clocks that are not quite the same.
        ResetForm::UnixS => ms - now_ms + 1_000,
        ResetForm::Seconds => ms,
    })
}

/// How long to wait after a good answer, because what is left is for others.
pub fn spared_ms(connector: &Connector, reply: &Reply, now_ms: i64) -> Option<i64> {
    let limits = &connector.limits;
    let left: u64 = reply.header(limits.remaining.as_deref()?)?.trim().parse().ok()?;
    if left > u64::from(limits.keep) {
        return None;
    }
    let ms = reset_ms(limits.reset.as_deref(), limits.reset_form, reply, now_ms)?;
    Some(ms.clamp(0, WAIT_MS_MAX))
}

fn page(
    connector: &Connector,
    reply: &Reply,
    document: &[u8],
    asked: Asked,
) -> Result<Option<Page>, Broken> {
    let rule = &connector.records;
    let is_statement = connector.next == NextRule::Statement && asked == Asked::Page;
    if is_statement && reply.status == 202 {
        return statement::running(document, reply.body.len());
    }
    let array = match asked {
        Asked::Fetch => Some(document),
        _ => scan::find(document, &rule.at)?,
    };
    let elements = match array {
        // Some vendors leave the member out when there is nothing. Then another one proves the page.
        None | Some(b"null") if is_proven(connector, document)? => Vec::new(),
        Some(array) if array.starts_with(b"[") => scan::elements(array)?,
        _ => return Ok(None),
    };
    let (count, bytes) = (elements.len(), reply.body.len());
    let mut page = Page { count, bytes, ..Page::default() };
    for element in elements {
        if is_statement {
            let one = statement::cell(element).map(|one| record(connector, &one, None, asked));
            page.records.push(one.unwrap_or_else(|reject| reject));
        } else if !element.starts_with(b"{") {
            let (bytes, id) = (element.to_vec(), id_of([element]));
            let reject = Some("a record is no JSON object".to_owned());
            let (time_ms, fetch, length) = (None, None, None);
            page.records.push(Record { bytes, id, time_ms, fetch, length, reject });
        } else if let (Some(member), Asked::Page) = (&rule.split, asked) {
            split(connector, element, member, &mut page)?;
        } else {
            page.records.push(record(connector, element, None, asked));
        }
    }
    if asked == Asked::Page {
        page.next = next(connector, reply, document, &page.records)?;
        if let Some(path) = &connector.more {
            page.more = Some(scan::find(document, path)?.is_some_and(|more| more == b"true"));
        }
    }
    Ok(Some(page))
}

fn is_proven(connector: &Connector, document: &[u8]) -> Result<bool, Broken> {
    match &connector.records.proof {
        Some(path) => Ok(scan::find(document, path)?.is_some()),
        None => Ok(false),
    }
}

/// Each event of a record becomes the record with that event alone. Events that are equal to the last byte
/// stay together: apart, nothing would tell that there were two.
fn split(
    connector: &Connector,
    element: &[u8],
    member: &str,
    page: &mut Page,
) -> Result<(), Broken> {
    let found = scan::find(element, &scan::Path::key(member))?;
    let mut events = match found {
        Some(array) if array.starts_with(b"[") => scan::elements(array)?,
        _ => Vec::new(),
    };
    let Some(array) = found.filter(|_| events.len() > 1) else {
        page.records.push(record(connector, element, events.first().copied(), Asked::Page));
        return Ok(());
    };
    let start = array.as_ptr() as usize - element.as_ptr() as usize;
    let (before, after) = (&element[..start], &element[start + array.len()..]);
    // Their order is the vendor's to change.
    events.sort_unstable();
    for equal in events.chunk_by(|a, b| a == b) {
        let equal = equal.join(&b","[..]);
        let one = [before, b"[", &equal, b"]", after].concat();
        page.records.push(record(connector, &one, Some(&equal), Asked::Page));
    }
    Ok(())
}

/// A record, and which of its events it is, if it is one of several.
fn record(connector: &Connector, bytes: &[u8], event: Option<&[u8]>, asked: Asked) -> Record {
    let rule = &connector.records;
    let text = |path| scan::text(scan::find(bytes, path).ok()??);
    let paths = if asked == Asked::Fetch { &[][..] } else { &rule.identity };
    let values: Option<Vec<String>> = paths.iter().map(text).collect();
    let event = event.unwrap_or(b"0");
    let id = match values.filter(|values| !values.is_empty()) {
        Some(values) => id_of(values.iter().map(String::as_bytes).chain([event])),
        None => id_of([bytes, event]),
    };
    let time = rule.time.as_ref().and_then(|(path, form)| form.read(&text(path)?));
    let fetch = rule
        .fetch
        .as_ref()
        .filter(|_| asked == Asked::Page)
        .map(|path| text(path).unwrap_or_default());
    // Some vendors write numbers with a fraction.
    let length = rule.fetch_length.as_ref().filter(|_| fetch.is_some());
    let length = length.and_then(|path| text(path)?.parse::<f64>().ok()).map(|n| n as usize);
    Record { bytes: bytes.to_vec(), id, time_ms: time, fetch, length, reject: None }
}

fn next(
    connector: &Connector,
    reply: &Reply,
    document: &[u8],
    records: &[Record],
) -> Result<Option<String>, Broken> {
    let found = match &connector.next {
        NextRule::None => None,
        NextRule::Statement => statement::second(document)?,
        NextRule::Link => {
            reply.headers.iter().filter(|(name, _)| name == "link").find_map(|(_, v)| next_link(v))
        }
        NextRule::Header(name) => reply.header(name).map(str::to_owned),
        NextRule::Url(path) => scan::find(document, path)?.and_then(scan::text),
        NextRule::Token(path) => match scan::find(document, path)? {
            Some(array) if array.starts_with(b"[") => {
                let parts: Vec<String> =
                    scan::elements(array)?.into_iter().filter_map(scan::text).collect();
                Some(parts.join(","))
            }
            found => found.and_then(scan::text),
        },
        NextRule::Last(path) => {
            let time = |record: &Record| scan::text(scan::find(&record.bytes, path).ok()??);
            records.iter().rev().find_map(time)
        }
    };
    Ok(found.map(|next| next.trim().to_owned()).filter(|next| !next.is_empty()))
}

/// The target with `rel="next"` of a `Link` header (RFC 8288), which may hold several.
fn next_link(value: &str) -> Option<String> {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, parameters) = after.split_once('>')?;
        let end =
            parameters.find(",<").or_else(|| parameters.find(", <")).unwrap_or(parameters.len());
        let is_next = parameters[..end].split(';').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let relations = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel") && relations.split(' ').any(|r| r == "next")
        });
        if is_next {
            return Some(target.to_owned());
        }
        rest = &parameters[end..];
    }
    None
}

#[cfg(test)]
mod tests;
