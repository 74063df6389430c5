//! The project's own cases (`detect/cases`) given to every engine: a rule beside records that it must and must
//! not match, as we read the specification. Says where another engine reads it differently.
//!
//! Left out are documents that need more than a rule and a record: filters, correlations, placeholders,
//! alias tables, and what must be refused.

use std::path::Path;

use anyhow::{Context as _, ensure};
use detect::yaml;
use event::LogSource;
use event::log_source::Tag;

use crate::engines::{self, Running};

struct Case {
    title: String,
    id: String,
    /// The rule, made to apply to a log source of its own.
    rule: String,
    /// Whether it must match, and the record.
    records: Vec<(bool, String)>,
}

/// Of filters, because their documents change the rules beside them.
const FILE_NEEDS_MORE: &str = "\nfilter:";
const NEEDS_MORE: [&str; 2] = ["|expand", "\naliases:"];

pub fn run(folder: &Path) -> anyhow::Result<()> {
    let cases = read(folder)?;
    ensure!(!cases.is_empty(), "there is no case in {}", folder.display());
    let records: usize = cases.iter().map(|case| case.records.len()).sum();
    println!("{} cases, {records} records", cases.len());
    let named = cases.iter().map(|case| (case.title.clone(), case.rule.clone()));
    let files: Vec<_> = named.collect();
    let sources: Vec<_> = (0..cases.len()).map(source).collect();
    for mut running in engines::load(&files, &sources, false) {
        report(&cases, &mut running);
    }
    Ok(())
}

fn product(case: usize) -> String {
    format!("case{case}")
}

fn source(case: usize) -> LogSource {
    LogSource { product: Tag::Is(product(case).into()), ..LogSource::default() }
}

fn report(cases: &[Case], running: &mut Running) {
    let name = running.engine.name();
    let (mut wrong, mut lines) = (0, Vec::new());
    for (at, case) in cases.iter().enumerate() {
        let mut differs = Vec::new();
        for (expected, record) in &case.records {
            let found = running.engine.found(at, record.as_bytes());
            let have = found.is_some_and(|ids| ids.contains(&case.id));
            if have != *expected {
                differs.push(format!("{} {record}", if *expected { "misses" } else { "matches" }));
            }
        }
        if !differs.is_empty() {
            wrong += 1;
            lines.push(format!("  {}: {}", case.title, differs.join("; ")));
        }
    }
    println!("\n{name}: {wrong} of {} cases differ", cases.len());
    lines.iter().for_each(|line| println!("{line}"));
}

fn read(folder: &Path) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "yml")) {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        if text.contains(FILE_NEEDS_MORE) {
            continue;
        }
        let documents = yaml::documents(&text);
        for (index, (at, node)) in documents.iter().enumerate() {
            let end = documents.get(index + 1).map_or(u32::MAX, |next| next.0.line);
            if let Ok(node) = node {
                let lines = (1..).zip(text.lines()).filter(|(n, _)| (at.line..end).contains(n));
                let own: Vec<&str> = lines.map(|(_, l)| l).filter(|l| *l != "---").collect();
                cases.extend(case(cases.len(), node, &own.join("\n")));
            }
        }
    }
    Ok(cases)
}

fn case(number: usize, node: &yaml::Node, text: &str) -> Option<Case> {
    if NEEDS_MORE.iter().any(|part| text.contains(part)) || !text.contains("product: test") {
        return None;
    }
    let records = [("alerts", true), ("quiet", false)].into_iter().flat_map(|(key, expected)| {
        let list = node.get(key).map(|list| &list.kind);
        let entries = match list {
            Some(yaml::Kind::Sequence(entries)) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(move |entry| (expected, entry.text().to_owned()))
    });
    let records: Vec<_> = records.collect();
    let given = node.get("id").map(|id| id.text().to_owned());
    let id = given.clone().unwrap_or(format!("00000000-0000-4000-8000-{number:012}"));
    let head = if given.is_none() { format!("id: {id}\n") } else { String::new() };
    let rule = text.replacen("product: test", &format!("product: {}", product(number)), 1);
    (!records.is_empty()).then(|| Case {
        title: node.get("title").map_or("", yaml::Node::text).to_owned(),
        id,
        rule: head + &rule + "\n",
        records,
    })
}
