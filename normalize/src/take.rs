//! The closed set of named functions that a log type's file can apply to a value it reads.
//!
//! A function turns one value into at most one value. What a path, a condition or a table of values
//! can say does not belong here.

use event::{Doc, Value};
use serde::Deserialize;

use crate::address;

/// A named function with its arguments.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Take {
    /// The IP address in a text, without port, brackets and zone.
    Ip,
    /// The port beside an IP address in a text.
    Port,
    /// The text, unless it is an IP address.
    NotIp,
    /// The e-mail address in a text: alone, behind a colon or a slash, or in angle brackets.
    Email,
    /// The text in lower case.
    Lower,
    /// The value, if it is text.
    Text,
    /// What stands before the first occurrence of a text.
    Before(String),
    /// What stands after the first occurrence of a text.
    After(String),
    /// What stands after the last occurrence of a text.
    AfterLast(String),
    /// All values of all paths, joined by a text.
    Join(String),
    /// The number, multiplied and rounded.
    Times(f64),
    /// `failure` for an HTTP status from 400 on, else `success`.
    HttpOutcome,
    /// The value under a name in text of the form `{level=LOW, reasons=New IP}`.
    Entry(String),
    /// Of an array of objects, those whose member is one of these; of each, another member.
    Element(Element),
    /// One after the other, written as a list.
    #[serde(skip)]
    Chain(Vec<Take>),
}

impl Take {
    /// Whether it only chooses a part of what is there, and so may stand before the end of a chain.
    fn only_cuts(&self) -> bool {
        use Take::{After, AfterLast, Before, Element, Email, Entry, NotIp, Text};
        matches!(
            self,
            NotIp | Text | Email | Before(_) | After(_) | AfterLast(_) | Entry(_) | Element(_)
        )
    }
}

/// See [`Take::Element`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Element {
    /// The member that decides.
    #[serde(rename = "where")]
    pub member: String,
    pub is: Vec<String>,
    /// The member to take.
    pub take: String,
}

impl Take {
    /// Whether it makes a number, or a text where this is false.
    pub fn makes_number(&self) -> bool {
        match self {
            Take::Port | Take::Times(_) => true,
            Take::Chain(chain) => chain.last().is_some_and(Take::makes_number),
            _ => false,
        }
    }

    /// What is wrong with the arguments.
    pub fn fault(&self) -> Option<&'static str> {
        match self {
            Take::Before(text) | Take::After(text) | Take::AfterLast(text) | Take::Entry(text)
                if text.is_empty() =>
            {
                Some("the text to look for is empty")
            }
            Take::Element(e) if e.is.is_empty() => Some("`is` lists no value"),
            Take::Times(factor) if !factor.is_finite() => Some("the factor is not a number"),
            Take::Chain(chain) => match chain.split_last() {
                None => Some("a chain without a function"),
                Some((Take::Join(_), _)) => Some("`join` stands alone"),
                Some((_, cuts)) if !cuts.iter().all(Take::only_cuts) => {
                    Some("only functions that choose a part may stand before the last")
                }
                Some(_) => chain.iter().find_map(Take::fault),
            },
            _ => None,
        }
    }

    /// Applies the function; `scratch` holds text that has to be made. [`Take::Join`] works on
    /// several values and is the caller's.
    pub fn apply<'v>(
        &self,
        doc: &Doc<'v>,
        value: Value<'v>,
        scratch: &'v mut String,
    ) -> Option<Value<'v>> {
        match self {
            Take::Times(factor) => times(value, *factor),
            Take::HttpOutcome => http_outcome(value),
            Take::Ip => {
                let text = value.as_str()?;
                if text.parse::<std::net::Ipv4Addr>().is_ok() {
                    // The usual spelling is the one to write.
                    return Some(value);
                }
                address::write(address::parse(text)?.0, scratch);
                Some(Value::Str(scratch))
            }
            Take::Port => Some(Value::I64(address::parse(value.as_str()?)?.1?.into())),
            Take::Lower => {
                scratch.clear();
                scratch.extend(value.as_str()?.chars().flat_map(char::to_lowercase));
                Some(Value::Str(scratch))
            }
            Take::Chain(chain) => {
                let (last, cuts) = chain.split_last()?;
                let cut = cuts.iter().try_fold(value, |value, take| take.cut(doc, value))?;
                last.apply(doc, cut, scratch)
            }
            _ => self.cut(doc, value),
        }
    }

    /// Chooses a part of a value.
    fn cut<'v>(&self, doc: &Doc<'v>, value: Value<'v>) -> Option<Value<'v>> {
        if let Take::Element(element) = self {
            return element.of(doc, value);
        }
        let text = value.as_str()?;
        Some(match self {
            Take::NotIp => address::parse(text).is_none().then_some(value)?,
            Take::Email => Value::Str(email(text)?),
            Take::Before(mark) => Value::Str(text.split_once(mark.as_str())?.0),
            Take::After(mark) => Value::Str(text.split_once(mark.as_str())?.1),
            Take::AfterLast(mark) => Value::Str(text.rsplit_once(mark.as_str())?.1),
            Take::Entry(name) => Value::Str(entry(text, name)?),
            _ => value,
        })
    }
}

fn times<'v>(value: Value<'_>, factor: f64) -> Option<Value<'v>> {
    let n = number(value)? * factor;
    (n.abs() < 9e15).then(|| Value::I64(n.round() as i64))
}

fn http_outcome<'v>(value: Value<'_>) -> Option<Value<'v>> {
    let status = number(value)?;
    Some(Value::Str(if status >= 400.0 { "failure" } else { "success" }))
}

fn number(value: Value<'_>) -> Option<f64> {
    match value {
        Value::I64(n) => Some(n as f64),
        Value::U64(n) => Some(n as f64),
        Value::F64(n) => Some(n),
        Value::Str(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
        _ => None,
    }
}

/// The first part that has the form of an e-mail address: one `@` with something before it and a
/// host name with a dot behind it.
fn email(text: &str) -> Option<&str> {
    // Most texts have none, and a byte is found faster than parts are split.
    if !text.as_bytes().contains(&b'@') {
        return None;
    }
    let is_address = |part: &&str| {
        part.split_once('@').is_some_and(|(user, host)| {
            let dot = host.trim_matches('.').contains('.');
            !user.is_empty() && dot && host.trim_matches('.') == host && !host.contains('@')
        })
    };
    let apart = |c: char| c.is_whitespace() || c.is_control() || ":/<>()[],;\"'".contains(c);
    text.split(apart).find(is_address)
}

/// The value of `name=` at the start or after `, `. A part without `=` belongs to the value before
/// it: `reasons=New IP, New Device`.
fn entry<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let inner = text.trim();
    let inner = inner.strip_prefix('{').unwrap_or(inner);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let mut start = None;
    let mut at = 0;
    for part in inner.split(", ") {
        if let Some((key, _)) = part.split_once('=') {
            if let Some(start) = start {
                return Some(&inner[start..at - 2]);
            }
            if key == name {
                start = Some(at + key.len() + 1);
            }
        }
        at += part.len() + 2;
    }
    start.map(|start| &inner[start..])
}

impl Element {
    fn of<'v>(&self, doc: &Doc<'v>, value: Value<'v>) -> Option<Value<'v>> {
        let Value::Object(object) = value else { return None };
        let is_kind = match doc.value(doc.member(object, &self.member)?) {
            Value::Str(kind) => self.is.iter().any(|is| is == kind),
            Value::I64(kind) => self.is.iter().any(|is| is.parse() == Ok(kind)),
            _ => false,
        };
        if !is_kind {
            return None;
        }
        Some(doc.value(doc.member(object, &self.take)?))
    }
}

#[cfg(test)]
mod tests;
