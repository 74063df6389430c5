//! The fast evaluator against the oracle, on rules and events that no one would write.

mod registrations;

use std::sync::Arc;

use event::{FieldsBuilder, Parser, Slots};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use crate::engine::{Engine, Group};
use crate::fold::folded;
use crate::ip::Network;
use crate::ir::{
    Comparison, Expr, FieldRef, Item, ItemId, Part, Pattern, Position, Regex, RegexFlags, Rule,
    RuleLogSource, RuleMeta, Shape, Test, TextTest, TimePart, TimeTest,
};
use crate::number::Number;

fn rule(items: Vec<Item>, expr: Expr) -> Arc<Rule> {
    Arc::new(Rule {
        info: Default::default(),
        log_source: RuleLogSource::default(),
        meta: RuleMeta::default(),
        items,
        detections: Vec::new(),
        conditions: Vec::new(),
        expr,
        filters: Vec::new(),
        file: "test.yml".into(),
        at: Position::default(),
    })
}

fn item(field: Option<&str>, tests: Vec<Test>) -> Item {
    let key = field.unwrap_or_default().to_owned();
    Item {
        field: field.map(str::to_owned),
        tests,
        key,
        written: Vec::new(),
        key_at: Position::default(),
        at: Position::default(),
    }
}

fn text(shape: Shape, text: &str) -> Test {
    Test::Text(TextTest { shape, text: folded(text).into(), cased: false })
}

fn number(written: &str) -> Test {
    let value = Number::parse(written).unwrap();
    let mut texts: Vec<Box<str>> = vec![value.text().into()];
    if *texts[0] != *written {
        texts.push(folded(written).into());
    }
    Test::Number { value, texts }
}

/// Field `a` may also be found at `x.a`, so that candidates are in play.
fn candidates(field: &str) -> Vec<String> {
    if field == "a" { vec!["x.a".into(), "a".into()] } else { Vec::new() }
}

/// What each engine finds in each event.
fn run(rules: &[Arc<Rule>], events: &[Json], engine: Engine) -> Vec<Vec<u32>> {
    let mut builder = FieldsBuilder::default();
    let group = Arc::new(Group::new(rules.to_vec(), &candidates, &mut builder, engine));
    let fields = builder.build();
    // Registrations are picked anew after every other event.
    let mut matcher = group.matcher_counting(2);
    let (mut parser, mut slots, mut hits) = (Parser::default(), Slots::default(), Vec::new());
    let mut all = Vec::new();
    for event in events {
        let text = event.to_string();
        let doc = parser.json(text.as_bytes()).unwrap();
        slots.fill(&fields, &doc);
        matcher.matches(&doc, &slots, &mut hits);
        all.push(hits.clone());
    }
    all
}

fn check(rules: &[Arc<Rule>], events: &[Json]) {
    let expected = run(rules, events, Engine::Oracle);
    let have = run(rules, events, Engine::Fast);
    for ((event, expected), have) in events.iter().zip(&expected).zip(&have) {
        assert_eq!(have, expected, "{event}\n{rules:#?}");
    }
}

/// Both engines, and the answer for one item on one event.
fn check_item(field: Option<&str>, test: Test, event: Json, expected: bool) {
    let rules = [rule(vec![item(field, vec![test])], Expr::Item(ItemId(0)))];
    let events = [event];
    check(&rules, &events);
    let matched = !run(&rules, &events, Engine::Fast)[0].is_empty();
    assert_eq!(matched, expected, "{rules:?} {events:?}");
}

#[test]
fn single_items() {
    let a = Some("a");
    check_item(a, text(Shape::Equals, ""), json!({"a": ""}), true);
    check_item(a, text(Shape::Equals, ""), json!({"a": {"b": 1}}), false);
    check_item(a, text(Shape::Equals, ""), json!({"a": null}), false);
    check_item(a, text(Shape::Contains, "KEY"), json!({"a": ["x", "mon\u{212a}eys"]}), true);
    check_item(a, text(Shape::EndsWith, "ell.exe"), json!({"a": "PowerShell.EXE"}), true);
    check_item(a, text(Shape::EndsWith, "powershell.exe"), json!({"a": "wershell.exe"}), false);
    check_item(a, text(Shape::StartsWith, "pow"), json!({"x": {"a": "POWER"}}), true);
    check_item(a, text(Shape::Contains, "é"), json!({"a": "CAFÉ"}), true);
    check_item(a, number("3"), json!({"a": 3.0}), true);
    check_item(a, number("3"), json!({"a": "03"}), false);
    check_item(a, number("0x10".trim_start_matches("0x")), json!({"a": "10"}), true);
    check_item(a, number("9223372036854775809"), json!({"a": 9223372036854775809_u64}), true);
    check_item(a, Test::Bool(true), json!({"a": "TRUE"}), true);
    check_item(a, Test::Bool(true), json!({"a": 1}), false);
    check_item(a, Test::Null, json!({}), true);
    check_item(a, Test::Exists(true), json!({"a": null}), true);
    check_item(None, text(Shape::Contains, "deep"), json!({"q": [{"w": ["so DEEP"]}]}), true);
    check_item(None, text(Shape::Contains, "true"), json!({"q": true}), false);
    check_item(None, text(Shape::Equals, "7"), json!({"q": 7}), true);
    check_item(None, Test::Null, json!({}), false);
}

#[test]
fn only_rules_with_a_seen_literal_are_tried() {
    let rules: Vec<_> = (0..500)
        .map(|i| {
            let items = vec![
                item(Some("source"), vec![text(Shape::Equals, "everywhere")]),
                item(Some("name"), vec![text(Shape::Equals, &format!("name{i}"))]),
            ];
            rule(items, Expr::And(vec![Expr::Item(ItemId(0)), Expr::Item(ItemId(1))]))
        })
        .collect();
    let mut builder = FieldsBuilder::default();
    let group = Arc::new(Group::new(rules, &candidates, &mut builder, Engine::Fast));
    let program = group.program();
    assert!(program.always.is_empty());
    assert_eq!(program.eager.len(), 1, "the common field is not even read");
    let lists = (0..program.atoms.len() as u32).map(|atom| program.triggers.get(atom).len());
    assert_eq!(lists.filter(|n| *n > 0).collect::<Vec<_>>(), [1; 500]);
}

/// A value that is shorter than every substring is passed over: by its length when folded, not as it stands.
#[test]
fn short_values_are_passed_over_and_no_others() {
    let a = Some("a");
    let contains = |literal: &str| text(Shape::Contains, literal);
    // Two bytes fold to three, at most.
    check_item(a, contains("\u{2c65}\u{2c65}"), json!({"a": "\u{23a}\u{23a}"}), true);
    check_item(a, contains(&"\u{2c65}".repeat(6)), json!({ "a": "\u{23a}".repeat(6) }), true);
    check_item(a, contains("10"), json!({"a": 10}), true);
    check_item(a, contains("10"), json!({"a": 9}), false);
    check_item(a, contains("99"), json!({"a": 99}), true);
    check_item(a, contains("-70"), json!({"a": -700}), true);
    check_item(a, contains("-7"), json!({"a": -7}), true);
    check_item(a, contains("-9223372036854775808"), json!({ "a": i64::MIN }), true);
    check_item(a, contains("9223372036854775807"), json!({ "a": i64::MAX }), true);
}

/// A look at the whole record decides nothing where folding could, be it in what was escaped or in what was not,
/// nor about what a number spells.
#[test]
fn keywords_that_the_record_does_not_hold_as_written() {
    let keyword = || text(Shape::Contains, "monkey");
    check_item(None, keyword(), json!({"a": "mon\u{212a}ey", "b": "é\n"}), true);
    check_item(None, keyword(), json!({"a": "mon\u{212a}ey\n", "b": "é"}), true);
    check_item(None, keyword(), json!({"a": "mon\u{212a}ey"}), true);
    check_item(None, keyword(), json!({"a": "mon", "b": "key"}), false);
    // Written as `1e22`: the record does not hold the text that the number has.
    check_item(None, text(Shape::Contains, "0000000"), json!({"a": 1e22}), true);
}

/// Literals with the same length, edges and middle have one hash.
#[test]
fn equality_reads_the_whole_text() {
    let (one, other) = ("abcdefgh12345678ijklmnop", "abcdefgh1_345678ijklmnop");
    check_item(Some("a"), text(Shape::Equals, one), json!({ "a": other }), false);
    check_item(Some("a"), text(Shape::Equals, other), json!({ "a": other }), true);
    let both = [one, other].map(|literal| {
        rule(vec![item(Some("a"), vec![text(Shape::Equals, literal)])], Expr::Item(ItemId(0)))
    });
    assert_eq!(run(&both, &[json!({ "a": one }), json!({ "a": other })], Engine::Fast), [[0], [1]]);
}

/// How the tests of an item are decided, in the order in which they were met.
fn decided(field: Option<&str>, test: Test) -> Vec<&'static str> {
    use super::compile::Atom;
    let rules = vec![rule(vec![item(field, vec![test])], Expr::Item(ItemId(0)))];
    let group = Group::new(rules, &candidates, &mut FieldsBuilder::default(), Engine::Fast);
    let program = group.program();
    let kind = |atom: &Atom| match atom {
        Atom::Edge(_) => "edge",
        Atom::Within(_) => "within",
        Atom::Unsought(..) => "unsought",
        Atom::Network(_) => "network",
        Atom::Presence(_) => "presence",
        Atom::Single(..) => "single",
    };
    program.atoms.iter().map(kind).collect()
}

#[test]
fn what_is_decided_together_and_what_must_be_there_for_the_rest() {
    let a = Some("a");
    let regex = |pattern| Test::Regex(Regex::new(pattern, RegexFlags::default()).unwrap());
    let cased =
        |text: &str| Test::Text(TextTest { shape: Shape::Equals, text: text.into(), cased: true });
    let wildcards = Pattern::new([Part::Literal("ab".into()), Part::Any], false);
    let compare = Test::Compare { op: Comparison::Gt, value: Number::parse("3").unwrap() };
    for (field, test, expected) in [
        (a, text(Shape::Equals, ""), &["edge"][..]),
        (a, text(Shape::Equals, "x"), &["edge"]),
        (a, text(Shape::StartsWith, "x"), &["edge"]),
        (a, text(Shape::EndsWith, "x"), &["edge"]),
        (a, text(Shape::Contains, "x"), &["within"]),
        (a, number("3"), &["edge"]),
        (a, number("1e3"), &["edge", "edge"]),
        (a, Test::Bool(true), &["edge"]),
        // The literal without which it cannot hold comes first.
        (a, cased("AbC"), &["edge", "single"]),
        (a, cased(""), &["presence", "single"]),
        (a, Test::Pattern(wildcards), &["edge", "single"]),
        (a, regex("powershell"), &["within", "single"]),
        (a, regex("."), &["presence", "single"]),
        (a, compare.clone(), &["presence", "single"]),
        (a, Test::Network(Network::parse("10.0.0.0/8").unwrap()), &["network"]),
        (a, Test::Null, &["single"]),
        (a, Test::Exists(true), &["single"]),
        // Keywords are always there, and are no field.
        (None, regex("."), &["single"]),
        (None, regex("powershell"), &["within", "single"]),
        (None, compare, &["single"]),
        (None, Test::Null, &[]),
        (None, Test::Exists(true), &[]),
    ] {
        let told = format!("{field:?} {test:?}");
        assert_eq!(decided(field, test), expected, "{told}");
    }
}

const WORDS: [&str; 36] = [
    "a",
    "ab",
    "abc",
    "abcd",
    "powershell.exe",
    "PowerShell",
    "\\cmd.exe",
    "c:\\windows\\",
    "K",
    "\u{212a}",
    "ſ",
    "S",
    "É",
    "é",
    "Σ",
    "ς",
    "ß",
    "İ",
    "😀",
    "",
    " ",
    "true",
    "False",
    "3",
    "03",
    "3.0",
    "-0",
    "1e3",
    "1000",
    "10.0.0.1",
    "::1",
    "[fe80::1]:443",
    "2026-11-22T10:11:12Z",
    "null",
    "*",
    "\n",
];
const FIELDS: [&str; 4] = ["a", "b", "c.d", "e"];

fn words(max: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..=max).prop_map(|w| w.concat())
}

fn shape() -> impl Strategy<Value = Shape> {
    use Shape::{Contains, EndsWith, Equals, StartsWith};
    prop::sample::select(vec![Equals, StartsWith, EndsWith, Contains])
}

fn text_test() -> impl Strategy<Value = Test> {
    (shape(), words(3), prop::bool::weighted(0.2)).prop_map(|(shape, text, cased)| {
        let shape = if text.is_empty() { Shape::Equals } else { shape };
        let text = if cased { text } else { folded(&text) };
        Test::Text(TextTest { shape, text: text.into(), cased })
    })
}

fn pattern_test() -> impl Strategy<Value = Test> {
    let part = prop_oneof![
        words(1).prop_map(|w| Part::Literal(w.into())),
        Just(Part::Any),
        Just(Part::One)
    ];
    (prop::collection::vec(part, 1..5), any::<bool>())
        .prop_map(|(parts, cased)| Test::Pattern(Pattern::new(parts, cased)))
}

fn regex_test() -> impl Strategy<Value = Test> {
    let pool = [
        "power.*exe",
        "^abc",
        "(?i)abcd",
        "[Aa]bc|cmd\\.exe",
        "(abc|abcd)+",
        "k",
        "\\bcmd",
        "a{2,}",
        "",
        "(foo)?bar",
        "windows.(cmd|powershell)",
        "(?s)a.b",
        "s+",
        "(?i)ſab",
        "abc$",
        "é",
        "[a-f]bcd",
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (prop::sample::select(pool.to_vec()), flags).prop_map(|(pattern, (i, m, s))| {
        let flags = RegexFlags { ignore_case: i, multi_line: m, dot_matches_line_break: s };
        Test::Regex(Regex::new(pattern, flags).unwrap())
    })
}

fn other_test() -> impl Strategy<Value = Test> {
    use Comparison::{Eq, Gt, Gte, Lt, Lte};
    let numbers = ["3", "0", "-7", "0.5", "1e3", "1e300", "18446744073709551615", "2026"];
    let networks = ["10.0.0.0/8", "fe80::/10", "0.0.0.0/0", "::1"];
    let op = prop::sample::select(vec![Eq, Lt, Lte, Gt, Gte]);
    let parts = vec![TimePart::Hour, TimePart::Minute, TimePart::Week, TimePart::Year];
    prop_oneof![
        prop::sample::select(numbers.to_vec()).prop_map(number),
        (op.clone(), prop::sample::select(numbers.to_vec()))
            .prop_map(|(op, n)| Test::Compare { op, value: Number::parse(n).unwrap() }),
        (prop::sample::select(parts), op, prop::sample::select(vec![10, 11, 47, 2026]))
            .prop_map(|(part, op, value)| Test::Time(TimeTest { part, op, value })),
        prop::sample::select(networks.to_vec())
            .prop_map(|n| Test::Network(Network::parse(n).unwrap())),
        any::<bool>().prop_map(Test::Bool),
        any::<bool>().prop_map(Test::Exists),
        Just(Test::Null),
        (shape(), prop::sample::select(FIELDS.to_vec()), any::<bool>()).prop_map(
            |(shape, field, cased)| {
                Test::FieldRef(FieldRef { shape, field: field.into(), cased })
            }
        ),
    ]
}

fn random_item() -> impl Strategy<Value = Item> {
    let test =
        prop_oneof![4 => text_test(), 1 => pattern_test(), 1 => regex_test(), 2 => other_test()];
    let field = prop_oneof![
        6 => prop::sample::select(FIELDS.to_vec()).prop_map(Some),
        1 => Just(None)
    ];
    (field, prop::collection::vec(test, 1..5)).prop_map(|(field, tests)| item(field, tests))
}

fn random_expr(items: u32) -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        12 => (0..items).prop_map(|i| Expr::Item(ItemId(i))),
        1 => Just(Expr::True),
        1 => Just(Expr::False)
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::And),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::Or),
            inner.prop_map(|e| Expr::Not(Box::new(e))),
        ]
    })
}

fn random_rule() -> impl Strategy<Value = Arc<Rule>> {
    prop::collection::vec(random_item(), 1..5).prop_flat_map(|items| {
        let count = items.len() as u32;
        (Just(items), random_expr(count)).prop_map(|(items, expr)| rule(items, expr))
    })
}

fn random_value() -> impl Strategy<Value = Json> {
    let numbers = [
        json!(3),
        json!(3.0),
        json!(-0.0),
        json!(0.5),
        json!(1000),
        json!(1e300),
        json!(1e-20),
        json!(-7),
        json!(18446744073709551615_u64),
        json!(9007199254740993_i64),
        json!(1e22),
        json!(1763806272),
    ];
    let leaf = prop_oneof![
        8 => words(3).prop_map(Json::from),
        3 => prop::sample::select(numbers.to_vec()),
        1 => any::<bool>().prop_map(Json::from),
        1 => Just(Json::Null),
        1 => any::<f64>().prop_filter("JSON", |n| n.is_finite()).prop_map(|n| json!(n)),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            (prop::sample::select(vec!["a", "d", "c.d", "q"]), inner)
                .prop_map(|(key, value)| json!({ key: value })),
        ]
    })
}

fn random_event() -> impl Strategy<Value = Json> {
    let keys = vec!["a", "b", "c", "c.d", "e", "x", "x.a", "q"];
    prop::collection::vec((prop::sample::select(keys), random_value()), 0..6).prop_map(|members| {
        members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>().into()
    })
}

/// A case is sixteen pairs of rule and event on average. `MANTISSA_DIFFERENTIAL_CASES=65000` is the long
/// form, of a million pairs.
fn cases() -> u32 {
    let wanted = std::env::var("MANTISSA_DIFFERENTIAL_CASES").ok();
    wanted.map_or(1_500, |n| n.parse().expect("a number of cases"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn agrees_with_the_oracle(
        rules in prop::collection::vec(random_rule(), 1..8),
        events in prop::collection::vec(random_event(), 1..8),
    ) {
        check(&rules, &events);
    }
}
