//! Alias tables: rules that use every modifier, on fields that may stand in several places. Both engines
//! agree whatever the table says, be it circles, empty names or paths that contain each other. (How a log
//! type's file spells its table is the business of `normalize`.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use detect::{Placeholders, RuleSet};
use event::{FieldsBuilder, LogSource};

use super::engines;

const CANDIDATES_MAX: usize = 6;
const EVENTS_MAX: usize = 8;

/// Lines `field=path path` are the table, all others events.
pub fn check(data: &[u8]) {
    let mut table: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut events = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        let at = line.iter().position(|byte| *byte == b'=');
        match at.filter(|_| !matches!(line.first(), Some(b'{' | b'['))) {
            Some(at) => {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                let paths = text(&line[at + 1..]);
                let paths = paths.split(' ').take(CANDIDATES_MAX).map(str::to_owned);
                table.insert(text(&line[..at]), paths.collect());
            }
            None => events.push(line),
        }
    }
    events.truncate(EVENTS_MAX);
    let candidates = |field: &str| table.get(field).cloned().unwrap_or_default();
    engines::agree(rules(), &candidates, events.iter().copied());
    check_dead(&candidates, &table);
}

/// A field is dead exactly when none of its places is known.
fn check_dead(candidates: &dyn Fn(&str) -> Vec<String>, table: &BTreeMap<String, Vec<String>>) {
    let mut builder = FieldsBuilder::default();
    let source = LogSource::default();
    let group = rules().bind(&source, candidates, &mut builder, detect::Engine::Fast);
    let known: BTreeSet<&str> = table.values().flatten().map(String::as_str).collect();
    let dead = group.unresolved(&|path| known.contains(path));
    for (rule, field) in
        group.rules().iter().flat_map(|r| r.field_names().into_iter().map(move |f| (r, f)))
    {
        let mut places = candidates(field);
        if places.is_empty() {
            places.push(field.to_owned());
        }
        let seen = places.iter().any(|place| known.contains(place.as_str()));
        let is_dead = dead.iter().any(|d| d.rule.info.id == rule.info.id && d.field == field);
        assert_eq!(is_dead, !seen, "{field}: {table:?}");
    }
    for field in &dead {
        assert!(!field.diagnostic("test.type", known.iter().copied()).message.is_empty());
    }
}

fn rules() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(|| {
        let (rules, problems) = RuleSet::load(
            [("aliases.yml".to_owned(), include_str!("aliases.yml").to_owned())],
            &Placeholders::new(),
        );
        assert!(problems.is_empty(), "{problems:?}");
        rules
    })
}
