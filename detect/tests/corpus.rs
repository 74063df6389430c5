//! Real rules on real events, where the folder named by `MANTISSA_CORPUS` has them under `sigma/`:
//! every rule loads, both engines match exactly what independent engines match, and every regression
//! sample's rule fires.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use detect::{Engine, Placeholders, RuleSet};
use event::log_source::{LogSource, Tag};
use event::{FieldsBuilder, Parser, Slots};
use support::files;

fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("MANTISSA_CORPUS").map(|f| PathBuf::from(f).join("sigma"));
    let there = folder.filter(|f| f.is_dir());
    if there.is_none() {
        // Past the capturing of test output.
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"SKIPPED: MANTISSA_CORPUS names no folder with sigma/ in it\n",
        );
    }
    there
}

fn rules(folder: &Path) -> RuleSet {
    let files = files(&folder.join("rules"), ".yml");
    let count = files.len();
    let (rules, diagnostics) = RuleSet::load(files, &Placeholders::new());
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    assert_eq!(rules.rules().len(), count);
    rules
}

fn log_source(line: &str) -> LogSource {
    let mut columns = line.split('\t').map(Tag::parse);
    let mut next = || columns.next().unwrap_or_default();
    LogSource { product: next(), category: next(), service: next() }
}

/// Line from 0 and rule id.
type Matches = BTreeSet<(usize, String)>;

fn run(rules: &RuleSet, lane: &Path, engine: Engine) -> Matches {
    let events = std::fs::read_to_string(lane.with_extension("ndjson")).unwrap();
    let table = std::fs::read_to_string(lane.with_extension("logsource.tsv")).unwrap();
    let mut streams = HashMap::new();
    let (mut parser, mut slots, mut hits) = (Parser::default(), Slots::default(), Vec::new());
    let mut out = Matches::new();
    for (line, (event, source)) in events.lines().zip(table.lines()).enumerate() {
        let (fields, group, matcher) = streams.entry(source).or_insert_with(|| {
            let mut builder = FieldsBuilder::default();
            let group = rules.bind(&log_source(source), &|_| Vec::new(), &mut builder, engine);
            let matcher = group.matcher();
            (builder.build(), group, matcher)
        });
        let doc = parser.json(event.as_bytes()).unwrap();
        slots.fill(fields, &doc);
        matcher.matches(&doc, &slots, &mut hits);
        out.extend(hits.iter().map(|hit| (line, group.rule(*hit).info.id.clone())));
    }
    out
}

fn table(path: &Path) -> Matches {
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let (number, rule) = line.split_once('\t').unwrap();
        (number.parse().unwrap(), rule.to_owned())
    };
    text.lines().filter(|line| !line.is_empty()).map(row).collect()
}

#[test]
fn both_engines_match_what_independent_engines_match() {
    let Some(folder) = corpus() else { return };
    let rules = rules(&folder);
    for lane in ["cloudtrail", "windows", "regression"] {
        let path = folder.join(lane);
        let fast = run(&rules, &path, Engine::Fast);
        let oracle = run(&rules, &path, Engine::Oracle);
        let differ: Vec<_> = fast.symmetric_difference(&oracle).collect();
        assert!(differ.is_empty(), "{lane}: the engines differ: {differ:?}");
        let expected = table(&path.with_extension("matches.tsv"));
        let missing: Vec<_> = expected.difference(&fast).collect();
        assert!(missing.is_empty(), "{lane}: missing {missing:?}");
        // The others do not know that registry_event holds registry_set; nothing else may differ.
        let wide = |id: &str| {
            let rule = rules.rules().iter().find(|rule| rule.info.id == id).unwrap();
            rule.log_source.category.as_deref() == Some("registry_event")
        };
        let extra: Vec<_> = fast.difference(&expected).filter(|(_, id)| !wide(id)).collect();
        assert!(extra.is_empty(), "{lane}: extra {extra:?}");
        assert!(!expected.is_empty());
    }
}

#[test]
fn every_regression_sample_fires_its_rule() {
    let Some(folder) = corpus() else { return };
    let lane = folder.join("regression");
    let fired = run(&rules(&folder), &lane, Engine::Fast);
    let mut samples: BTreeMap<String, bool> = BTreeMap::new();
    for (line, rule) in table(&lane.with_extension("samples.tsv")) {
        let hit = fired.contains(&(line, rule.clone()));
        *samples.entry(rule).or_default() |= hit;
    }
    let silent: Vec<_> = samples.iter().filter(|(_, fired)| !**fired).collect();
    assert!(!samples.is_empty() && silent.is_empty(), "{silent:?}");
}
