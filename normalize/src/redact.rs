//! Takes personal data and secrets out of text and JSON on its way out.
//!
//! Every finding is replaced by a keyed pseudonym, `[EMAIL:7K3QX2]`: the same value gives the same
//! token under the same key, so that people can still correlate, and nobody without the key can
//! test a guess. The detectors prefer structure over looks (Luhn and issuer ranges for cards, the
//! standard library's parser for addresses), because logs are full of numbers that mean nothing.
//!
//! One pass: output is never scanned again, and pseudonyms that are already in the input are left
//! as they are, so redacting twice changes nothing. This module is pure and must never print, log
//! or return its key.

mod address;
mod number;
mod options;
mod pseudonym;
mod scan;
mod token;

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub use options::{CustomPattern, IpPolicy, RedactError, RedactErrorKind, RedactOptions};
use pseudonym::Pseudonyms;
use scan::{Kind, Scanner, Span};

/// Compiled options. Shared by threads; holds no state between calls.
#[derive(Debug)]
pub struct Redactor {
    scanner: Scanner,
    pseudonyms: Pseudonyms,
}

/// JSON inside strings inside JSON is looked into this many times; deeper it is plain text.
const EMBEDDED_DEPTH_MAX: u32 = 4;
/// Longer strings are not tried as embedded JSON.
const EMBEDDED_BYTES_MAX: usize = 1 << 20;

impl Redactor {
    /// Compiles the options. Fails on a key that is too short to protect anything and on custom
    /// patterns that do not compile, naming the pattern.
    pub fn new(options: &RedactOptions) -> Result<Self, RedactError> {
        options::check_key(&options.key)?;
        let scanner = Scanner::new(options)?;
        Ok(Self { scanner, pseudonyms: Pseudonyms::new(&options.key) })
    }

    /// The text with every finding replaced; borrowed when there is none.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.replace(text, None).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// What stands in the text whose pseudonym is one of these, `[EMAIL:7K3QX2]`.
    pub fn named_by<'t>(&self, text: &'t str, pseudonyms: &BTreeSet<String>) -> Vec<&'t str> {
        let spans = self.scanner.spans(text, None).into_iter();
        let found = spans.filter(|span| span.kind != Kind::Kept);
        let is_named = |span: &Span| {
            let value = scan::canonical(span.kind, &text[span.start..span.end]);
            let mut pseudonym = String::new();
            self.pseudonyms.write(self.scanner.name(span.kind), &value, &mut pseudonym);
            pseudonyms.contains(&pseudonym)
        };
        found.filter(is_named).map(|span| &text[span.start..span.end]).collect()
    }

    /// Redacts a JSON value in place: strings, numbers, the keys of objects, and JSON text inside
    /// strings. A number that is a finding becomes text. A key's name counts as context for its
    /// value (`ssn`, `secretAccessKey`).
    pub fn json(&self, value: &mut Value) {
        self.value(value, None, 0);
    }

    /// Returns whether anything changed.
    fn value(&self, value: &mut Value, key: Option<&str>, depth: u32) -> bool {
        match value {
            Value::Null | Value::Bool(_) => false,
            Value::Number(number) => match self.replace(&number.to_string(), key) {
                Some(text) => {
                    *value = Value::String(text);
                    true
                }
                None => false,
            },
            Value::String(text) => match self.string(text, key, depth) {
                Some(redacted) => {
                    *text = redacted;
                    true
                }
                None => false,
            },
            Value::Array(items) => {
                items.iter_mut().fold(false, |any, item| self.value(item, key, depth) | any)
            }
            Value::Object(members) => self.object(members, depth),
        }
    }

    fn object(&self, members: &mut Map<String, Value>, depth: u32) -> bool {
        let mut changed = false;
        let mut keys_found = false;
        for (key, value) in members.iter_mut() {
            changed |= self.value(value, Some(key), depth);
            keys_found |= self.scanner.finds(key);
        }
        if keys_found {
            for (key, value) in std::mem::take(members) {
                let mut name = self.text(&key).into_owned();
                // Two spellings of one value share a token; neither member may be lost.
                while members.contains_key(&name) {
                    name.push('\'');
                }
                members.insert(name, value);
            }
        }
        changed | keys_found
    }

    fn string(&self, text: &str, key: Option<&str>, depth: u32) -> Option<String> {
        if depth < EMBEDDED_DEPTH_MAX
            && looks_like_json(text)
            && let Ok(mut inner) = serde_json::from_str::<Value>(text)
            && self.value(&mut inner, key, depth + 1)
        {
            // What spans several values (a custom pattern) is found in the text itself.
            let text = inner.to_string();
            return Some(self.replace(&text, key).unwrap_or(text));
        }
        self.replace(text, key)
    }

    fn replace(&self, text: &str, key: Option<&str>) -> Option<String> {
        let mut spans = self.scanner.spans(text, key);
        if spans.iter().all(|s| s.kind == Kind::Kept) {
            return None;
        }
        spans.sort_unstable_by_key(|s| (s.start, s.end));
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        let mut rest = spans.as_slice();
        while let Some(first) = rest.first() {
            let (mut best, mut end, mut taken) = (*first, first.end, 1);
            // Overlapping findings go as one: the best names it, the union is what disappears.
            while let Some(next) = rest.get(taken).filter(|s| s.start < end) {
                best = better(best, *next);
                end = end.max(next.end);
                taken += 1;
            }
            out.push_str(&text[copied..first.start]);
            match best.kind {
                Kind::Kept => out.push_str(&text[first.start..end]),
                kind => {
                    let name = self.scanner.name(kind);
                    let value = scan::canonical(kind, &text[best.start..best.end]);
                    self.pseudonyms.write(name, &value, &mut out);
                }
            }
            copied = end;
            rest = &rest[taken..];
        }
        out.push_str(&text[copied..]);
        Some(out)
    }
}

/// By kind, then by length, then the first.
fn better(a: Span, b: Span) -> Span {
    let longer = b.end - b.start > a.end - a.start;
    if b.kind < a.kind || (b.kind == a.kind && longer) { b } else { a }
}

fn looks_like_json(text: &str) -> bool {
    let bytes = text.trim().as_bytes();
    bytes.len() <= EMBEDDED_BYTES_MAX
        && matches!(
            (bytes.first(), bytes.last()),
            (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) | (Some(b'"'), Some(b'"'))
        )
        && bytes.len() > 2
}

#[cfg(test)]
mod tests;
