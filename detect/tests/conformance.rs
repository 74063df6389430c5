//! The conformance table of `docs/sigma.md`: every item of the Sigma specification with the cases that show it.
//! Cases run in `cases.rs` and `histories.rs`; the table is made from their files, so it cannot say more
//! than they do. `UPDATE=1` writes it; without, it must be what is there.

#[path = "conformance/table.rs"]
mod items;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use detect::parse::words;
use detect::yaml::{self, Kind, Node};
use items::Item::{Cases, Not};
use items::TABLE;

/// What the cases of one title ask for.
#[derive(Default)]
struct Shown {
    /// Records, or events of histories.
    alerts: usize,
    quiet: usize,
    said: usize,
    /// Documents that must load without a word.
    loads: usize,
}

impl Shown {
    fn is_empty(&self) -> bool {
        self.alerts + self.quiet + self.said + self.loads == 0
    }
}

fn shown() -> BTreeMap<String, Shown> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let files = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).collect::<Vec<_>>()
    };
    let mut found: BTreeMap<String, Shown> = BTreeMap::new();
    for path in files(&folder).into_iter().chain(files(&folder.join("histories"))) {
        let text = std::fs::read_to_string(path).unwrap();
        for (_, document) in yaml::documents(&text) {
            match document {
                Ok(node) => add(&node, found.entry(title(&node)).or_default()),
                // `cases.rs` knows what is wrong with it, and that it is reported.
                Err(_) => found.entry("a key that occurs twice".to_owned()).or_default().said += 1,
            }
        }
    }
    found
}

fn title(node: &Node) -> String {
    node.get("title").map_or("(no title)", |title| title.text()).to_owned()
}

fn add(node: &Node, to: &mut Shown) {
    let count = |key: &str| match node.get(key).map(|list| &list.kind) {
        Some(Kind::Sequence(list)) => list.len(),
        _ => 0,
    };
    if node.get("history").is_some() {
        to.alerts += count("alerts");
        to.quiet += count("history") - count("alerts").min(count("history"));
        return;
    }
    to.alerts += count("alerts");
    to.quiet += count("quiet");
    to.said += count("diagnostics");
    to.loads += usize::from(node.get("correlation").is_some() && count("diagnostics") == 0);
}

fn table() -> String {
    let shown = shown();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut out = String::from("| item | cases | alert | quiet | said |\n|---|---|--:|--:|--:|\n");
    for (section, items) in TABLE {
        let _ = writeln!(out, "| **{section}** | | | | |");
        for item in *items {
            let (name, titles) = match item {
                Not(name, why) => {
                    let _ = writeln!(out, "| {name} | *not supported: {why}* | | | |");
                    continue;
                }
                Cases(name, titles) => (name, titles),
            };
            let mut sum = Shown::default();
            for title in *titles {
                let case = shown.get(*title).unwrap_or_else(|| panic!("no case `{title}`"));
                assert!(used.insert(title), "`{title}` is in the table twice");
                assert!(!case.is_empty(), "`{title}` shows nothing");
                sum.alerts += case.alerts;
                sum.quiet += case.quiet;
                sum.said += case.said;
            }
            let Shown { alerts, quiet, said, .. } = sum;
            let cases = titles.join("; ");
            let _ = writeln!(out, "| {name} | {cases} | {alerts} | {quiet} | {said} |");
        }
    }
    out
}

const BEGIN: &str =
    "<!-- conformance: made by `UPDATE=1 cargo test -p detect --test conformance` -->\n";
const END: &str = "<!-- conformance: end -->\n";

#[test]
fn the_table_is_what_the_cases_show() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sigma.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has a place for the table");
    let (have, after) = rest.split_once(END).expect("the table has an end");
    let expected = table();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&page, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    assert!(
        have == expected,
        "docs/sigma.md is stale: UPDATE=1 cargo test -p detect --test conformance"
    );
}

/// Modifiers are the parser's own list: none may be without a case that uses it on records.
#[test]
fn every_modifier_has_a_case() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/modifiers.yml"));
    let more =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/text.yml"));
    let (text, more) = (text.unwrap(), more.unwrap());
    let mut used = BTreeSet::new();
    for (_, document) in yaml::documents(&text).into_iter().chain(yaml::documents(&more)) {
        let document = document.unwrap();
        if document.get("alerts").is_some() {
            document.get("detection").into_iter().for_each(|node| modifiers(node, &mut used));
        }
    }
    let missing: Vec<&str> = words::modifiers().filter(|name| !used.contains(*name)).collect();
    assert!(missing.is_empty(), "no case uses {missing:?}");
}

fn modifiers(node: &Node, used: &mut BTreeSet<String>) {
    match &node.kind {
        Kind::Sequence(list) => list.iter().for_each(|inner| modifiers(inner, used)),
        Kind::Mapping(pairs) => {
            for (key, value) in pairs {
                used.extend(key.text().split('|').skip(1).map(str::to_owned));
                modifiers(value, used);
            }
        }
        Kind::Scalar(_) => {}
    }
}

/// A case that is in no row shows something that the table does not tell.
#[test]
fn every_case_is_in_the_table() {
    let in_table: BTreeSet<&str> = TABLE
        .iter()
        .flat_map(|(_, items)| *items)
        .flat_map(|item| match item {
            Cases(_, titles) => *titles,
            Not(..) => &[],
        })
        .copied()
        .collect();
    // Documents that only serve the case before or after them.
    let serve = [
        "one",
        "two",
        "again",
        "many",
        "bursts",
        "bursts of bursts, counted by the cell",
        "a filter by id",
        "a filter by name",
        "another filter by name",
        "same name",
        "same name again",
        "the later one",
    ];
    let loose: Vec<String> = shown()
        .into_iter()
        .filter(|(title, case)| {
            !in_table.contains(title.as_str())
                && !serve.contains(&title.as_str())
                && !case.is_empty()
        })
        .map(|(title, _)| title)
        .collect();
    assert!(loose.is_empty(), "{loose:#?}");
}
