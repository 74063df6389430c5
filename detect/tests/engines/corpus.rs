//! Real events of every kind, each against all rules at once: no log source is given, so that every rule
//! applies, also to events it was never meant for. Needs `MANTISSA_CORPUS`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use detect::{Engine, Placeholders, RuleSet};
use event::{FieldsBuilder, LogSource, Parser, Slots};

/// Events taken from each file, spread over it.
const EVENTS_PER_FILE: usize = 12;

fn files(root: &Path, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn events(root: &Path) -> Vec<String> {
    let mut events = Vec::new();
    for path in files(root, "ndjson") {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
        let step = lines.len().div_ceil(EVENTS_PER_FILE).max(1);
        events.extend(lines.into_iter().step_by(step).map(str::to_owned));
    }
    events
}

#[test]
fn all_rules_on_events_of_every_kind() {
    let Some(root) = std::env::var_os("MANTISSA_CORPUS").map(PathBuf::from) else {
        // Past the capturing of test output.
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"SKIPPED: MANTISSA_CORPUS is not set\n",
        );
        return;
    };
    let read =
        |path: PathBuf| (path.display().to_string(), std::fs::read_to_string(&path).unwrap());
    let texts = files(&root.join("sigma/rules"), "yml").into_iter().map(read);
    let (rules, _) = RuleSet::load(texts, &Placeholders::new());
    let events = events(&root);
    let groups: Vec<_> = [Engine::Fast, Engine::Oracle]
        .into_iter()
        .map(|engine| {
            let mut builder = FieldsBuilder::default();
            let source = LogSource::default();
            let group = rules.bind(&source, &|_| Vec::new(), &mut builder, engine);
            assert_eq!(group.rules().len(), rules.rules().len(), "every rule applies");
            (builder.build(), Arc::clone(&group), group.matcher())
        })
        .collect();
    let (mut parser, mut slots, mut matches) = (Parser::default(), Slots::default(), 0);
    let [(fields, group, mut fast), (_, _, mut oracle)] =
        <[_; 2]>::try_from(groups).unwrap_or_else(|_| unreachable!("two engines"));
    let (mut have, mut expected) = (Vec::new(), Vec::new());
    for event in &events {
        let Ok(doc) = parser.json(event.as_bytes()) else { continue };
        slots.fill(&fields, &doc);
        fast.matches(&doc, &slots, &mut have);
        oracle.matches(&doc, &slots, &mut expected);
        let titles = |hits: &[u32]| {
            hits.iter().map(|hit| group.rule(*hit).info.title.clone()).collect::<Vec<_>>()
        };
        assert_eq!(titles(&have), titles(&expected), "{event}");
        matches += have.len();
    }
    assert!(!events.is_empty() && matches > 0, "{} events, {matches} matches", events.len());
}
