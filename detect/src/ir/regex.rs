//! Regular expressions, linear in time: the only ones that rules may have. Look-around and back-references
//! cannot be had in linear time and do not exist here.
//!
//! What a rule's author writes decides how much time and memory an expression takes, so both are bounded: the
//! length of what is read and the size of what is compiled.

use std::fmt;
use std::sync::Arc;

use regex_automata::{meta, util::syntax};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RegexFlags {
    pub ignore_case: bool,
    pub multi_line: bool,
    pub dot_matches_line_break: bool,
}

/// A regular expression, searched anywhere in the text, linear in time. Cheap to clone.
#[derive(Clone)]
pub struct Regex {
    pub pattern: Box<str>,
    pub flags: RegexFlags,
    compiled: Arc<meta::Regex>,
}

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegexFault {
    /// A sentence for people.
    Syntax(String),
    /// Has more than [`REGEX_LENGTH_MAX`] bytes.
    TooLong,
    /// Needs more than [`REGEX_BYTES_MAX`] bytes when compiled.
    TooLarge,
}

/// Longest expression, in bytes. Two bytes (`\w`) are six thousand before it is known how large the whole will be.
pub const REGEX_LENGTH_MAX: usize = 8 << 10;
/// Largest compiled size of one expression.
pub const REGEX_BYTES_MAX: usize = 4 << 20;

impl Regex {
    /// Reads and compiles.
    pub fn new(pattern: &str, flags: RegexFlags) -> Result<Self, RegexFault> {
        if pattern.len() > REGEX_LENGTH_MAX {
            return Err(RegexFault::TooLong);
        }
        let compiled = meta::Builder::new()
            .configure(
                meta::Config::new()
                    .nfa_size_limit(Some(REGEX_BYTES_MAX))
                    .onepass(false)
                    .hybrid_cache_capacity(1 << 20),
            )
            .syntax(
                syntax::Config::new()
                    .case_insensitive(flags.ignore_case)
                    .multi_line(flags.multi_line)
                    .dot_matches_new_line(flags.dot_matches_line_break),
            )
            .build(pattern)
            .map_err(|e| match e.syntax_error() {
                Some(syntax) => RegexFault::Syntax(last_line(&syntax.to_string())),
                None => RegexFault::TooLarge,
            })?;
        Ok(Self { pattern: pattern.into(), flags, compiled: Arc::new(compiled) })
    }

    /// The compiled form, shared by every clone.
    pub fn compiled(&self) -> &Arc<meta::Regex> {
        &self.compiled
    }

    pub fn matches(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }
}

/// The parser's message ends with `error: what is wrong`.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or(message).trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern && self.flags == other.flags
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?}, {:?})", self.pattern, self.flags)
    }
}
