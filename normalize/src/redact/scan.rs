//! Finds what is to be replaced. Cheap triggers (literals in one automaton, `@`, digits, colons)
//! choose the places, exact matchers look there. Every matcher is bounded or starts only at the
//! head of a run, so the time is linear in the text.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex_automata::meta::Regex;

use super::address::{self, IpRules};
use super::number;
use super::options::{self, RedactError, RedactErrorKind, RedactOptions};
use super::pseudonym;
use super::token::{self, Trigger};

/// What a finding is. The order is the priority where findings overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Custom(u16),
    PrivateKey,
    Jwt,
    Token,
    UrlLogin,
    AwsSecret,
    AwsKey,
    Card,
    Ssn,
    Email,
    Ip,
    /// A pseudonym that was there already.
    Kept,
}

/// A finding: bytes `start..end` of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
}

const NAMES: [(Kind, &str); 10] = [
    (Kind::PrivateKey, "PRIVATE_KEY"),
    (Kind::Jwt, "JWT"),
    (Kind::Token, "TOKEN"),
    (Kind::UrlLogin, "URL_LOGIN"),
    (Kind::AwsSecret, "AWS_SECRET"),
    (Kind::AwsKey, "AWS_KEY"),
    (Kind::Card, "CARD"),
    (Kind::Ssn, "SSN"),
    (Kind::Email, "EMAIL"),
    (Kind::Ip, "IP"),
];

#[derive(Debug)]
pub(super) struct Scanner {
    literals: AhoCorasick,
    /// What the literal of the same index starts.
    triggers: Vec<Trigger>,
    custom: Vec<(String, Regex)>,
    emails: bool,
    ips: Option<IpRules>,
    cards: bool,
    ssns: bool,
    aws_keys: bool,
}

impl Scanner {
    pub(super) fn new(options: &RedactOptions) -> Result<Self, RedactError> {
        let custom = options::compile(&options.custom)?;
        let mut texts: Vec<String> = Vec::new();
        let mut triggers = Vec::new();
        for (text, trigger) in token::literals(options.aws_keys, options.tokens, options.emails) {
            texts.push(text.to_owned());
            triggers.push(trigger);
        }
        let custom_names = custom.iter().map(|(name, _)| name.as_str());
        for name in NAMES.iter().map(|(_, name)| *name).chain(custom_names) {
            texts.push(format!("[{name}:"));
            triggers.push(Trigger::Pseudonym);
        }
        let literals = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::DFA))
            .ascii_case_insensitive(true)
            .build(&texts)
            .map_err(|e| RedactError { kind: RedactErrorKind::Pattern, message: e.to_string() })?;
        Ok(Self {
            literals,
            triggers,
            custom,
            emails: options.emails,
            ips: IpRules::of(options.ips),
            cards: options.cards,
            ssns: options.ssns,
            aws_keys: options.aws_keys,
        })
    }

    /// The name shown in pseudonyms.
    pub(super) fn name(&self, kind: Kind) -> &str {
        match kind {
            Kind::Custom(index) => &self.custom[usize::from(index)].0,
            _ => NAMES.iter().find(|(k, _)| *k == kind).map_or("", |(_, name)| name),
        }
    }

    /// Whether there is anything to replace.
    pub(super) fn finds(&self, text: &str) -> bool {
        self.spans(text, None).iter().any(|s| s.kind != Kind::Kept)
    }

    /// All findings in no particular order, with the pseudonyms that are there already. `key` names
    /// the JSON member that holds the text.
    pub(super) fn spans(&self, text: &str, key: Option<&str>) -> Vec<Span> {
        let bytes = text.as_bytes();
        let mut found = Vec::new();
        if self.aws_keys && key.is_some_and(token::names_a_secret) {
            found.extend(token::whole_secret(bytes));
        }
        let kept = self.by_literals(bytes, &mut found);
        if self.emails {
            for at in memchr::memchr_iter(b'@', bytes) {
                let in_login = |s: &Span| s.kind == Kind::UrlLogin && s.start <= at && at <= s.end;
                if !found.iter().any(in_login) {
                    found.extend(address::email(text, at, 1));
                }
            }
        }
        self.by_characters(text, key, &mut found);
        if !kept.is_empty() {
            found.retain(|s| !kept.iter().any(|k| clings(bytes, *s, *k)));
        }
        for (index, (_, regex)) in self.custom.iter().enumerate() {
            let kind = Kind::Custom(index as u16);
            for m in regex.find_iter(text) {
                let inside = kept.iter().any(|k| k.start <= m.start() && m.end() <= k.end);
                if !inside && !m.is_empty() {
                    found.push(Span { start: m.start(), end: m.end(), kind });
                }
            }
        }
        found.extend(kept);
        found
    }

    /// Follows the literals; returns the pseudonyms that are there already.
    fn by_literals(&self, bytes: &[u8], found: &mut Vec<Span>) -> Vec<Span> {
        let mut kept = Vec::new();
        // A private key reaches to its end line or the end of the text: look inside it only once.
        let mut covered = 0;
        for m in self.literals.find_overlapping_iter(bytes) {
            if m.start() < covered {
                continue;
            }
            match self.triggers[m.pattern().as_usize()] {
                Trigger::Pseudonym => {
                    kept.extend(pseudonym::tail(&bytes[m.end()..]).map(|n| Span {
                        start: m.start(),
                        end: m.end() + n,
                        kind: Kind::Kept,
                    }))
                }
                Trigger::EncodedAt => {
                    if let Ok(text) = std::str::from_utf8(bytes) {
                        found.extend(address::email(text, m.start(), 3));
                    }
                }
                trigger => {
                    let before = found.len();
                    token::look(trigger, bytes, m.start(), m.end(), found);
                    if let Some(span) = found[before..].iter().find(|s| s.kind == Kind::PrivateKey)
                    {
                        covered = span.end;
                    }
                }
            }
        }
        kept
    }

    /// Follows digits and colons.
    fn by_characters(&self, text: &str, key: Option<&str>, found: &mut Vec<Span>) {
        let bytes = text.as_bytes();
        let ssn_named = key.is_some_and(number::names_an_ssn);
        let versioned = key.is_some_and(address::names_a_version);
        let mut i = 0;
        let mut v6_end = 0;
        while let Some(step) = bytes[i..].iter().position(|b| b.is_ascii_digit() || *b == b':') {
            i += step;
            if bytes[i] == b':' {
                if let Some(rules) = self.ips.filter(|_| i >= v6_end) {
                    let (span, end) = address::ipv6(text, i, rules);
                    found.extend(span);
                    v6_end = end;
                }
                i += 1;
                continue;
            }
            let run = bytes[i..].iter().take_while(|b| b.is_ascii_digit()).count();
            if let Some(rules) = self.ips.filter(|_| run <= 3 && !versioned) {
                found.extend(address::ipv4(text, i, rules));
            }
            if self.cards {
                found.extend(number::card(bytes, i));
            }
            if self.ssns && (run == 3 || run == 9) {
                found.extend(number::ssn(bytes, i, ssn_named));
            }
            i += run;
        }
    }
}

/// Whether a finding lies in a pseudonym or hangs on it by nothing or one joining character. Such
/// a finding was refused when the pseudonym was still the value it stands for; only a private key
/// never is, because it may stand behind anything.
fn clings(bytes: &[u8], span: Span, kept: Span) -> bool {
    let joined = |from: usize, to: usize| match to.checked_sub(from) {
        Some(0) => true,
        Some(1) => matches!(bytes[from], b'-' | b'.' | b'/' | b'_' | b'+' | b':' | b'@'),
        _ => false,
    };
    let inside = kept.start <= span.start && span.end <= kept.end;
    let hangs = joined(kept.end, span.start) || joined(span.end, kept.start);
    inside || (hangs && span.kind != Kind::PrivateKey)
}

/// The form of a value that its pseudonym is made from, so that spellings of one value agree.
pub(super) fn canonical(kind: Kind, text: &str) -> Cow<'_, str> {
    match kind {
        Kind::Email => text.replace("%40", "@").to_lowercase().into(),
        Kind::Card | Kind::Ssn => text.chars().filter(char::is_ascii_digit).collect(),
        Kind::Ip => address::canonical_ip(text).into(),
        _ => text.into(),
    }
}

/// Letters, digits and `_` in ASCII. Other scripts are written without spaces around numbers.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a value may start here: at the start, after a non-word, or after an escape (`%3D`, `\n`).
pub(super) fn opens(bytes: &[u8], at: usize) -> bool {
    let before = &bytes[..at];
    match before {
        [] => true,
        [.., b] if !is_word(*b) => true,
        [.., b'\\', b'n' | b't' | b'r'] => true,
        [.., b'%', a, b] => a.is_ascii_hexdigit() && b.is_ascii_hexdigit(),
        _ => false,
    }
}

/// Whether a value may end here.
pub(super) fn closes(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|b| !is_word(*b))
}
