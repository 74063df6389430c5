//! Every rule has an event that it matches and one that it nearly matches, and both engines agree about
//! both: on the rules of `cases/`, which use every modifier, on our own, and on all of `MANTISSA_CORPUS`.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use detect::{Engine, Group, Placeholders, Rule, RuleSet, explain, witness};
use event::{FieldsBuilder, Parser, Slots};
use support::{files, placeholders};

fn matches(group: &Arc<Group>, fields: &event::Fields, event: &str) -> bool {
    let (mut parser, mut slots, mut hits) = (Parser::default(), Slots::default(), Vec::new());
    let doc = parser.json(event.as_bytes()).unwrap_or_else(|e| panic!("{event}: {e}"));
    slots.fill(fields, &doc);
    group.matcher().matches(&doc, &slots, &mut hits);
    !hits.is_empty()
}

#[derive(Debug, Default)]
struct Count {
    rules: usize,
    both: usize,
    /// Titles of rules without an event that they match.
    silent: Vec<String>,
    /// Of rules that have one, but none that they nearly match.
    always: Vec<String>,
    /// How many of the near ones need one item only.
    by_one: usize,
}

fn check(rules: &[Arc<Rule>]) -> Count {
    let mut count = Count { rules: rules.len(), ..Count::default() };
    for rule in rules {
        let bind = |engine| {
            let mut builder = FieldsBuilder::default();
            let group = Group::new(vec![Arc::clone(rule)], &|_| Vec::new(), &mut builder, engine);
            (Arc::new(group), builder.build())
        };
        let engines = [Engine::Oracle, Engine::Fast].map(bind);
        let title = &rule.info.title;
        let Some(found) = witness::witness(rule, engines[0].0.bound(), &str::to_owned) else {
            count.silent.push(format!("{title} ({})", rule.file));
            continue;
        };
        for (group, fields) in &engines {
            assert!(matches(group, fields, &found.fires), "{title}: {}", found.fires);
        }
        let Some(near) = found.nearly else {
            count.always.push(title.clone());
            continue;
        };
        count.both += 1;
        for (group, fields) in &engines {
            assert!(!matches(group, fields, &near.event), "{title}: {}", near.event);
        }
        let mut parser = Parser::default();
        let doc = parser.json(near.event.as_bytes()).unwrap();
        let change = explain::explain(rule, engines[0].0.bound(), &doc).change.unwrap();
        count.by_one += usize::from(change.items.len() == 1);
    }
    count
}

#[test]
fn rules_that_use_every_modifier() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let files = files(&root, ".yml").into_iter().filter(|(name, _)| !name.contains("histories"));
    let (mut rules, mut count) = (0, Count::default());
    for file in files {
        let (set, _) = RuleSet::load([file], &placeholders());
        rules += set.rules().len();
        let Count { both, silent, always, .. } = check(set.rules());
        count.both += both;
        count.silent.extend(silent);
        count.always.extend(always);
    }
    assert!(count.silent.is_empty(), "{count:#?}");
    assert!(count.always.is_empty(), "{count:#?}");
    assert!(rules > 80 && count.both == rules, "{count:#?}");
}

#[test]
fn our_own_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let (set, problems) = RuleSet::load(files(&root, ".yml"), &Placeholders::new());
    assert!(problems.is_empty(), "{problems:?}");
    let count = check(set.rules());
    assert!(count.rules > 50 && count.both == count.rules, "{count:#?}");
    assert_eq!(count.by_one, count.both, "{count:#?}");
}

#[test]
fn all_rules_of_the_corpus() {
    let root = std::env::var_os("MANTISSA_CORPUS").map(|f| PathBuf::from(f).join("sigma/rules"));
    let Some(root) = root.filter(|root| root.is_dir()) else {
        // Past the capturing of test output.
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"SKIPPED: MANTISSA_CORPUS names no folder with sigma/rules/ in it\n",
        );
        return;
    };
    let (set, _) = RuleSet::load(files(&root, ".yml"), &Placeholders::new());
    let count = check(set.rules());
    let told = format!(
        "{} rules, {} with both, {} near by one item\n",
        count.rules, count.both, count.by_one
    );
    let _ = std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes());
    assert!(count.rules > 3_000 && count.both == count.rules, "{count:#?}");
}
