//! The conformance table of `docs/sigma.md`: every item of the Sigma specification with the cases that show it.
//! Cases run in `cases.rs` and `histories.rs`; the table is made from their files, so it cannot say more
//! than they do. `UPDATE=1` writes it; without, it must be what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use detect::parse::words;
use detect::yaml::{self, Kind, Node};

/// An item of the specification, and the titles of the cases that show it. None: not supported, and why.
enum Item {
    Cases(&'static str, &'static [&'static str]),
    Not(&'static str, &'static str),
}

use Item::{Cases, Not};

const TABLE: &[(&str, &[Item])] = &[
    (
        "Values",
        &[
            Cases(
                "Text: whole value, any case",
                &[
                    "equality ignores case and spans the whole value",
                    "case folding knows letters beyond ASCII",
                    "text and numbers and truth have text",
                    "whitespace and NUL in values are characters",
                    "en dash and hyphen are different without windash",
                ],
            ),
            Cases(
                "Numbers",
                &[
                    "a number in the rule and text in the record, and the other way round",
                    "numbers are exact beyond 64 bits",
                    "negative numbers and fractions",
                    "plain numbers in other notations match as number and as written",
                ],
            ),
            Cases(
                "Truth values",
                &["truth matches truth and its word in any case", "yes and no are text"],
            ),
            Cases(
                "`null`",
                &[
                    "null is absent or null, not empty",
                    "success is the absence of an error code",
                    "null beside values",
                    "not over an absent field is true",
                ],
            ),
            Cases("`''`", &["empty text is present and empty"]),
            Cases(
                "`*` and `?`",
                &[
                    "a star is any text and a question mark one character",
                    "a lone star is any value that has text",
                    "wildcards inside of contains stay live",
                    "a hostile wildcard value takes no exponential time",
                ],
            ),
            Cases(
                "Escapes",
                &[
                    "escaped wildcards are characters",
                    "two backslashes before a wildcard are one and leave it live",
                    "three backslashes before a wildcard are both characters",
                    "backslashes before other characters",
                    "a value that ends in a backslash does not escape the star of endswith or startswith",
                ],
            ),
        ],
    ),
    (
        "Fields and selections",
        &[
            Cases(
                "Maps are and, lists are or",
                &[
                    "a map is and, a list of values is or",
                    "a list of maps is or of ands",
                    "keywords and maps in one list",
                ],
            ),
            Cases(
                "Keywords",
                &[
                    "keywords are searched in every value at any depth",
                    "keywords are found however JSON writes them",
                    "keywords do not see truth, null and keys",
                    "a single keyword",
                    "keywords with all",
                    "keywords with other modifiers",
                    "keywords with not",
                ],
            ),
            Cases(
                "Nested fields",
                &[
                    "names with dots are found nested, flat and half flat",
                    "every occurrence of a repeated key counts",
                    "aliases try candidates in order and the first with a value wins",
                ],
            ),
            Cases(
                "Arrays, implicitly",
                &[
                    "any member of an array, at any depth",
                    "fields of objects in arrays",
                    "different members of an array may satisfy all",
                    "any member of an array may compare",
                ],
            ),
            Cases("Objects", &["objects have no text"]),
            Not("Arrays, explicitly: `[any]`, `[all]`, `[0]`", "a draft for version 3"),
        ],
    ),
    (
        "Modifiers",
        &[
            Cases(
                "`contains`, `startswith`, `endswith`",
                &[
                    "contains, startswith and endswith",
                    "startswith and endswith together are contains",
                ],
            ),
            Cases("`all`", &["all asks for every value", "all on a single value"]),
            Cases("`cased`", &["cased compares letters as they are"]),
            Cases("`exists`", &["exists looks at presence only"]),
            Cases(
                "`neq`",
                &[
                    "neq is none of the values and true when absent",
                    "neq goes with other modifiers",
                    "fieldref with neq is true when a field is absent",
                ],
            ),
            Cases(
                "`windash`",
                &[
                    "windash tries every dash before a flag",
                    "windash permutes every flag on its own and leaves hyphens inside of words",
                    "too many dashes",
                ],
            ),
            Cases(
                "`re` with `i`, `m`, `s`",
                &[
                    "re searches anywhere, minds case and needs no anchors",
                    "re flags",
                    "re flags by their long names",
                    "re with all, and backslashes are those of the expression",
                    "re sees numbers as decimal text",
                    "look-around is not part of the expressions",
                    "an expression that compiles to something huge",
                ],
            ),
            Cases(
                "`base64`, `base64offset`",
                &[
                    "base64 encodes the value",
                    "base64offset finds the value at any offset",
                    "base64offset of text beyond ASCII works on its UTF-8 bytes",
                ],
            ),
            Cases(
                "`wide`, `utf16le`, `utf16be`, `utf16`",
                &["wide, utf16le, utf16be and utf16 come before base64"],
            ),
            Cases(
                "`lt`, `lte`, `gt`, `gte`",
                &["lt, lte, gt and gte compare numbers", "comparisons are exact beyond 64 bits"],
            ),
            Cases(
                "`minute`, `hour`, `day`, `week`, `month`, `year`",
                &["parts of a time are taken as written", "parts of a time compare to bounds"],
            ),
            Cases("`cidr`", &["cidr knows both families and is false for what is no address"]),
            Cases(
                "`fieldref`",
                &[
                    "fieldref compares two fields",
                    "fieldref with startswith, endswith, contains, in either order",
                    "wildcards in the referenced value are characters",
                ],
            ),
            Cases(
                "`expand`",
                &[
                    "expand replaces placeholders by every value",
                    "percent signs without expand are characters",
                    "unresolved placeholder",
                    "expand without placeholder",
                ],
            ),
            Cases(
                "Chains that have no meaning are refused",
                &[
                    "unknown modifier",
                    "modifiers that do not fit each other",
                    "values that do not fit their modifier",
                ],
            ),
        ],
    ),
    (
        "Conditions",
        &[
            Cases(
                "`and`, `or`, `not`, parentheses",
                &[
                    "and binds tighter than or, not tightest",
                    "parentheses",
                    "not alone is evaluated on every event",
                    "a detection used twice and a contradiction",
                    "operators in upper case are read with a warning",
                ],
            ),
            Cases(
                "`1 of`, `any of`, `all of`, `them`, patterns",
                &[
                    "1 of them leaves out names with an underscore in front",
                    "a pattern with an underscore in front takes them",
                    "all of a pattern, and stars anywhere",
                    "any of is 1 of",
                    "not all of",
                    "a pattern that names nothing would be silent or always true",
                ],
            ),
            Cases("Several conditions", &["a list of conditions is or"]),
            Cases(
                "Version 1 aggregation and collections are refused",
                &["version 1 aggregation", "version 1 collections"],
            ),
        ],
    ),
    (
        "Documents",
        &[
            Cases(
                "What is missing, empty or misspelt is reported, all of it at once",
                &[
                    "several problems are all reported",
                    "empty selections",
                    "no detection",
                    "no condition",
                    "(no title)",
                    "no log source",
                    "an empty log source",
                    "parts that the condition does not use",
                    "a key that occurs twice",
                    "a status, a relation and an id that are not Sigma's",
                ],
            ),
            Cases(
                "Filters",
                &[
                    "named by id",
                    "named by name, twice filtered, with two conditions",
                    "a condition without not keeps only what it names",
                    "another log source is left alone",
                    "a filter for what is not there",
                    "a filter for a log source without rules",
                    "a filter without rules",
                    "a filter with errors of a detection",
                    "a rule and a filter at once",
                ],
            ),
        ],
    ),
    (
        "Correlations",
        &[
            Cases(
                "`event_count`",
                &[
                    "as many as asked for",
                    "one fewer is quiet",
                    "fewer than",
                    "an event that two of the rules match counts once",
                ],
            ),
            Cases(
                "`value_count` of a field or several",
                &[
                    "different values",
                    "the same value again and again is one",
                    "different combinations",
                    "every value of a field counts",
                    "too many fields",
                ],
            ),
            Cases(
                "`value_sum`",
                &["a sum", "numbers may be negative, so a sum can fall again", "a sum below"],
            ),
            Cases(
                "`value_avg`",
                &[
                    "a mean above a fraction",
                    "numbers",
                    "a mean of what is in the window",
                    "text that is a number counts, other text does not take part",
                ],
            ),
            Cases(
                "`value_percentile`",
                &[
                    "the median",
                    "the hundredth percentile is the largest",
                    "a small percentile is the smallest",
                    "the specification's percentile",
                    "a percentile",
                    "median",
                ],
            ),
            Cases(
                "`temporal`",
                &[
                    "all of the rules in any order",
                    "one of them too early",
                    "one event may be several of them",
                    "so many of the rules",
                    "how many of the rules",
                ],
            ),
            Cases(
                "`temporal_ordered`",
                &[
                    "in order",
                    "the wrong order",
                    "equal times are in order",
                    "the latest beginning counts",
                    "the longest sequence that can be put in order",
                ],
            ),
            Cases(
                "Conditions over rule names (SEP 198)",
                &[
                    "a Boolean condition",
                    "not",
                    "a sequence of what was chosen, and none at all of what was not",
                    "a Boolean condition over other names",
                    "a Boolean condition that names the rules itself",
                    "a Boolean condition of absence",
                ],
            ),
            Cases(
                "`timespan`",
                &[
                    "the window is open at its beginning",
                    "the window slides over the borders of cells",
                    "what has left the window is counted no more",
                    "one alert for each cell of time while it goes on",
                    "timespans",
                    "no time at all",
                    "a timespan of ages",
                ],
            ),
            Cases(
                "`gt`, `gte`, `lt`, `lte`, `eq`, `neq` and ranges",
                &[
                    "a range",
                    "exactly, and anything but",
                    "anything but one",
                    "a condition that never holds",
                    "a range that is empty",
                    "a condition without comparison",
                ],
            ),
            Cases(
                "`group-by`",
                &[
                    "groups of several fields, case does not matter",
                    "no group-by is one group",
                    "an event without a group-by field does not take part",
                    "an event with several values is in the group of each",
                ],
            ),
            Cases(
                "`aliases`",
                &[
                    "one name for different fields",
                    "aliases",
                    "aliases that lack a rule, name another, or are not used",
                ],
            ),
            Cases(
                "Correlations of correlations",
                &[
                    "many failed and then one that works",
                    "it worked before",
                    "another group than the inner one has, of the event at which that held",
                    "a chain of three",
                    "a chain that is written before what it refers to",
                    "a circle",
                ],
            ),
            Cases(
                "Mistakes are reported, all of them at once",
                &[
                    "several errors at once",
                    "conditions that are none",
                    "a log source and a word that is none",
                ],
            ),
            Cases(
                "References by id and name",
                &[
                    "by name and by id",
                    "rules that are not there cost only this correlation",
                    "one that needs the one above",
                    "a name that two rules have",
                    "more rules than there are",
                ],
            ),
        ],
    ),
];

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
