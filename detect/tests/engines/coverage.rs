//! That [`super::random`] leaves nothing of the specification out: every modifier, every test of the rule IR, every
//! form of a condition and of a selection occurs, and comes out both ways.

use std::collections::BTreeMap;

use detect::ir::{Comparison, FieldRef, Pattern, Shape, Test, TextTest};
use detect::{Engine, oracle, parse};
use event::{Parser, Slots};
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::random;

const RULES: usize = 300;
const EVENTS_PER_RULE: usize = 6;

/// How often something came out false and true.
#[derive(Clone, Copy, Debug, Default)]
struct Verdicts([usize; 2]);

#[derive(Debug, Default)]
struct Seen {
    modifiers: BTreeMap<String, Verdicts>,
    tests: BTreeMap<String, Verdicts>,
    forms: BTreeMap<&'static str, Verdicts>,
}

/// A way to write something, and whether a rule file does.
type Form = (&'static str, fn(&str) -> bool);

/// What a rule file is written with.
const FORMS: [Form; 22] = [
    ("and", |rule| condition(rule).contains(" and ")),
    ("or", |rule| condition(rule).contains(" or ")),
    ("not", |rule| condition(rule).contains("not ")),
    ("not not", |rule| condition(rule).contains("not not ")),
    ("parentheses", |rule| condition(rule).contains('(')),
    ("a word in upper case", |rule| condition(rule).contains(" AND ")),
    ("and beside or", |rule| condition(rule).contains(" and ") && condition(rule).contains(" or ")),
    ("a name alone", |rule| !condition(rule).contains(' ')),
    ("1 of", |rule| condition(rule).contains("1 of ")),
    ("any of", |rule| condition(rule).contains("any of ")),
    ("all of", |rule| condition(rule).contains("all of ")),
    ("them", |rule| condition(rule).contains(" them")),
    ("a pattern with an underscore in front", |rule| condition(rule).contains("of _")),
    ("a pattern with a star in front", |rule| condition(rule).contains("of *")),
    ("a pattern with two stars", |rule| condition(rule).contains("of s*_*")),
    ("several conditions", |rule| condition(rule).starts_with('[')),
    ("a map", |rule| rule.contains(": {\"")),
    ("a list of maps", |rule| rule.contains(": [{\"") && rule.contains("}, {\"")),
    ("a list of keywords", |rule| rule.contains(": ['")),
    ("a keyword alone", |rule| rule.contains("sel: '")),
    ("keywords with modifiers", |rule| rule.contains("{\"|")),
    ("a filter", |rule| rule.contains("filter:")),
];

fn condition(rule: &str) -> &str {
    let from = rule.find("\n  condition: ").map_or("", |at| &rule[at + 14..]);
    from.lines().next().unwrap_or("")
}

fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Equals => "equals",
        Shape::StartsWith => "startswith",
        Shape::EndsWith => "endswith",
        Shape::Contains => "contains",
    }
}

fn op(op: Comparison) -> &'static str {
    match op {
        Comparison::Eq => "eq",
        Comparison::Lt => "lt",
        Comparison::Lte => "lte",
        Comparison::Gt => "gt",
        Comparison::Gte => "gte",
    }
}

fn cased(cased: bool) -> &'static str {
    if cased { " cased" } else { "" }
}

/// The kind of a test, in as many words as its meaning has cases.
fn kind(test: &Test) -> String {
    match test {
        Test::Text(TextTest { shape: s, text, cased: c }) => {
            let empty = if text.is_empty() { " empty" } else { "" };
            format!("text {}{}{empty}", shape(*s), cased(*c))
        }
        Test::Pattern(p) => format!("pattern{}", cased(Pattern::cased(p))),
        Test::Regex(r) => {
            let flags = [r.flags.ignore_case, r.flags.multi_line, r.flags.dot_matches_line_break];
            let names: Vec<_> = ["i", "m", "s"].iter().zip(flags).filter(|(_, on)| *on).collect();
            format!("re {}", names.iter().map(|(name, _)| **name).collect::<String>())
        }
        Test::Network(_) => "network".to_owned(),
        Test::Number { .. } => "number".to_owned(),
        Test::Compare { op: o, .. } => format!("compare {}", op(*o)),
        Test::Bool(wanted) => format!("bool {wanted}"),
        Test::Time(t) => format!("{:?} {}", t.part, op(t.op)).to_lowercase(),
        Test::Null => "null".to_owned(),
        Test::Exists(wanted) => format!("exists {wanted}"),
        Test::FieldRef(FieldRef { shape: s, cased: c, .. }) => {
            format!("fieldref {}{}", shape(*s), cased(*c))
        }
    }
}

/// Everything that [`kind`] can say of a rule that is written in Sigma.
fn kinds() -> Vec<String> {
    let each = |head: &'static str, tails: &[&str]| {
        tails.iter().map(|tail| format!("{head}{tail}")).collect::<Vec<_>>()
    };
    let shapes = ["equals", "startswith", "endswith", "contains"];
    let shapes: Vec<_> =
        shapes.iter().flat_map(|s| [(*s).to_owned(), format!("{s} cased")]).collect();
    let shapes: Vec<&str> = shapes.iter().map(String::as_str).collect();
    let ops = ["eq", "lt", "lte", "gt", "gte"];
    let parts = ["minute ", "hour ", "day ", "week ", "month ", "year "];
    let mut all = [each("text ", &shapes), each("fieldref ", &shapes)].concat();
    all.extend(parts.iter().flat_map(|part| each(part, &ops)));
    all.extend(each("compare ", &ops[1..]));
    all.extend(each("re ", &["", "i", "m", "s", "im", "is", "ms", "ims"]));
    all.extend(each("", &["text equals empty", "pattern", "pattern cased", "network", "number"]));
    all.extend(each("", &["bool true", "bool false", "null", "exists true", "exists false"]));
    all
}

/// Evaluates one rule file on some events, and notes what came out how.
fn note(file: &str, events: &[String], seen: &mut Seen) {
    let rules = random::load(&[file.to_owned()]);
    let bound = random::bind(&rules, Engine::Oracle);
    let (mut matcher, rule) = (bound.group.matcher(), &rules.rules()[0]);
    let (mut parser, mut slots, mut hits) = (Parser::default(), Slots::default(), Vec::new());
    for event in events.iter().cloned().chain(random::witnesses(&bound)) {
        let doc = parser.json(event.as_bytes()).unwrap();
        for item in &rule.items {
            let holds = usize::from(oracle::item_holds(item, bound.group.bound(), &doc));
            for name in item.key.split('|').skip(1) {
                seen.modifiers.entry(name.to_owned()).or_default().0[holds] += 1;
            }
            // Of several alternatives it is not known which one it was.
            if let [test] = item.tests.as_slice() {
                seen.tests.entry(kind(test)).or_default().0[holds] += 1;
            }
        }
        slots.fill(&bound.fields, &doc);
        matcher.matches(&doc, &slots, &mut hits);
        for (form, _) in FORMS.iter().filter(|(_, is_in)| is_in(file)) {
            seen.forms.entry(form).or_default().0[usize::from(!hits.is_empty())] += 1;
        }
    }
}

#[test]
fn random_rules_use_all_of_the_specification() {
    let mut runner = TestRunner::deterministic();
    let mut seen = Seen::default();
    let (files, events) = (random::rule_file(), random::event());
    for file in random::each_chain() {
        note(&file, &[], &mut seen);
    }
    for _ in 0..RULES {
        let file = files.new_tree(&mut runner).unwrap().current();
        let events: Vec<_> =
            (0..EVENTS_PER_RULE).map(|_| events.new_tree(&mut runner).unwrap().current()).collect();
        note(&file, &events, &mut seen);
    }
    let both = |verdicts: Option<&Verdicts>| verdicts.is_some_and(|v| v.0[0] > 0 && v.0[1] > 0);
    let mut missing = Vec::new();
    for name in parse::words::modifiers().filter(|name| !both(seen.modifiers.get(*name))) {
        missing.push(format!("modifier {name}: {:?}", seen.modifiers.get(name)));
    }
    for kind in kinds().iter().filter(|kind| !both(seen.tests.get(*kind))) {
        missing.push(format!("test {kind}: {:?}", seen.tests.get(kind)));
    }
    for (form, _) in FORMS.iter().filter(|(form, _)| !both(seen.forms.get(form))) {
        missing.push(format!("form {form}: {:?}", seen.forms.get(form)));
    }
    for kind in seen.tests.keys().filter(|kind| !kinds().contains(kind)) {
        missing.push(format!("the list of tests lacks {kind}"));
    }
    assert!(missing.is_empty(), "{}\n{seen:#?}", missing.join("\n"));
}
