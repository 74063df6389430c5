//! One log type, compiled from its file and shared by all workers.

use std::sync::Arc;

use event::{Beside, FieldsBuilder, LogSource, LogType, TableSchema};
use hashbrown::HashMap;

use crate::decode::Decoder;
use crate::mapper::{Mapper, Plan};
use crate::plan::{Identity, Path, Target, Tell};
use crate::steps::Steps;
use crate::timestamp::Form;

/// What records of one log type mean: their columns, identity, time, and the names under which
/// rules may speak of their fields.
#[derive(Debug)]
pub struct Mapping {
    pub(crate) log_type: LogType,
    pub(crate) description: String,
    pub(crate) log_source: LogSource,
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) raw: Option<usize>,
    pub(crate) decoder: Decoder,
    pub(crate) spelling: Spelling,
    pub(crate) beside: Option<Arc<Beside>>,
    pub(crate) tells: Vec<Tell<Path>>,
    pub(crate) identity: Identity<Path>,
    pub(crate) times: Vec<(Path, Form)>,
    pub(crate) targets: Vec<Target<Path>>,
    pub(crate) aliases: HashMap<String, Vec<String>>,
    pub(crate) known: Known,
}

/// How the same path is written in the forms in which the vendor delivers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spelling {
    /// Members that may wrap the record, such as EventBridge's `detail`.
    pub envelopes: Vec<String>,
    /// `service.count` is also written `Service.Count`.
    pub capitals: bool,
}

impl Spelling {
    /// Every spelling. Wrapped ones come first, because the wrapper's own members have names such
    /// as `id` too.
    pub fn all(&self, path: &str) -> Path {
        let mut spellings = Vec::new();
        let mut add = |path: &str| {
            let wrapped = self.envelopes.iter().map(|e| format!("{e}.{path}"));
            for spelling in wrapped.chain([path.to_owned()]) {
                if !spellings.contains(&spelling) {
                    spellings.push(spelling);
                }
            }
        };
        add(path);
        if self.capitals {
            add(&capital(path));
        }
        spellings
    }

    /// How the vendor writes a member below a path of [`Spelling::all`]: with a capital where the path
    /// has them.
    pub fn member_below(&self, spelled: &str, path: &str, member: &str) -> String {
        let is_capital = self.capitals && !spelled.ends_with(path);
        if is_capital { capital(member) } else { member.to_owned() }
    }

    /// As [`Spelling::all`], for a path that a rule writes: it may name the wrapper of records that come
    /// bare, or have capitals where the log type's file has none.
    fn wanted(&self, path: &str) -> Path {
        let mut spellings = self.all(path);
        let mut add = |path: &str| {
            let all = self.all(path).into_iter();
            let new: Vec<_> = all.filter(|s| !spellings.contains(s)).collect();
            spellings.extend(new);
        };
        if self.capitals {
            add(&small(path));
        }
        for envelope in &self.envelopes {
            if let Some(inner) = path.strip_prefix(envelope).and_then(|p| p.strip_prefix('.')) {
                add(inner);
            }
        }
        spellings
    }
}

fn capital(path: &str) -> String {
    initials(path, |c| c.to_ascii_uppercase())
}

fn small(path: &str) -> String {
    initials(path, |c| c.to_ascii_lowercase())
}

fn initials(path: &str, change: impl Fn(char) -> char) -> String {
    let mut start = true;
    let letter = |c: char| {
        let c = if start { change(c) } else { c };
        start = c == '.';
        c
    };
    path.chars().map(letter).collect()
}

/// The fields that records of this log type are known to have.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Sorted paths.
    pub paths: Vec<String>,
    /// Sorted paths below which anything may stand, `requestParameters`.
    pub free: Vec<String>,
}

impl Known {
    fn has(&self, field: &str) -> bool {
        let has = |paths: &[String], path: &str| {
            paths.binary_search_by(|known| known.as_str().cmp(path)).is_ok()
        };
        let parent_of_known = |paths: &[String]| {
            let below = format!("{field}.");
            let at = paths.partition_point(|known| known.as_str() < below.as_str());
            paths.get(at).is_some_and(|known| known.starts_with(&below))
        };
        let parents = field.match_indices('.').map(|(at, _)| &field[..at]);
        has(&self.paths, field)
            || has(&self.free, field)
            || parents.into_iter().any(|parent| has(&self.free, parent))
            || parent_of_known(&self.paths)
            || parent_of_known(&self.free)
    }
}

impl Mapping {
    /// Its name.
    pub fn log_type(&self) -> &LogType {
        &self.log_type
    }

    /// What it is, in a sentence.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The log source that rules name.
    pub fn log_source(&self) -> &LogSource {
        &self.log_source
    }

    /// Its table: the common columns, the vendor's, and `raw` where it is kept.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Where to look for a field that a rule names, best first. Never empty.
    pub fn candidates(&self, field: &str) -> Vec<String> {
        let mut found = self.spelling.wanted(field);
        for path in self.aliases.get(field).into_iter().flatten() {
            for spelling in self.spelling.all(path) {
                if !found.contains(&spelling) {
                    found.push(spelling);
                }
            }
        }
        found
    }

    /// Whether records can have the field: it is documented, an alias, an object that holds
    /// documented fields, or below one whose members are free. A rule that needs another one is
    /// dead. Case counts.
    pub fn knows(&self, field: &str) -> bool {
        let in_envelope = |e: &String| {
            let inner = field.strip_prefix(e.as_str()).and_then(|rest| rest.strip_prefix('.'));
            inner.is_some_and(|inner| self.known.has(inner))
        };
        self.known.has(field)
            || self.aliases.contains_key(field)
            || self.spelling.envelopes.iter().any(in_envelope)
            || (self.spelling.capitals && self.known.has(&small(field)))
    }

    /// Registers every path it reads and returns the mapper that reads them.
    pub fn bind(&self, fields: &mut FieldsBuilder) -> Mapper {
        let mut field = |path: &Path| fields.field(path);
        let targets: Vec<_> = self.targets.iter().map(|t| t.bind(&mut field)).collect();
        let plan = Plan {
            log_type: Arc::clone(&self.log_type.0),
            decoder: self.decoder.clone(),
            beside: self.beside.clone(),
            schema: Arc::clone(&self.schema),
            identity: self.identity.bind(&mut field),
            times: self.times.iter().map(|(path, form)| (field(path), *form)).collect(),
            steps: Steps::new(&targets),
            targets,
            raw: self.raw,
        };
        Mapper::new(Arc::new(plan))
    }
}

#[cfg(test)]
mod tests;
