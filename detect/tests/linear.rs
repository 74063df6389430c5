//! However hostile a rule and an event are: eight times the bytes take about eight times as long.
//!
//! The bound is on the ratio of the best of several runs, so that a busy machine does not decide. A cost that
//! grows with the square would show as sixty-four times.

use std::time::{Duration, Instant};

use detect::{Engine, Placeholders, RuleSet};
use event::{FieldsBuilder, LogSource, Parser, Slots};

const SMALL: usize = 8_000;
const TIMES: usize = 8;
const RATIO_MAX: f64 = 24.0;
const RUNS: usize = 7;

fn rule(detection: &str) -> String {
    format!(
        "title: hostile\nid: 00000000-0000-4000-8000-000000000001\nlogsource:\n  product: test\ndetection:\n{detection}\n  condition: s\n"
    )
}

/// The best of some runs of parse, fill and match.
fn cost(rules: &RuleSet, event: &str) -> Duration {
    let mut builder = FieldsBuilder::default();
    let group = rules.bind(&LogSource::default(), &|_| Vec::new(), &mut builder, Engine::Fast);
    let (fields, mut matcher) = (builder.build(), group.matcher());
    let (mut parser, mut slots, mut hits) = (Parser::default(), Slots::default(), Vec::new());
    let mut once = || {
        let start = Instant::now();
        let doc = parser.json(event.as_bytes()).unwrap();
        slots.fill(&fields, &doc);
        matcher.matches(&doc, &slots, &mut hits);
        start.elapsed()
    };
    once();
    (0..RUNS).map(|_| once()).min().unwrap_or_default()
}

fn check(name: &str, detection: &str, event: impl Fn(usize) -> String) {
    let (rules, problems) =
        RuleSet::load([("hostile.yml".to_owned(), rule(detection))], &Placeholders::new());
    assert_eq!(rules.rules().len(), 1, "{name}: {problems:?}");
    let small = cost(&rules, &event(SMALL));
    let large = cost(&rules, &event(SMALL * TIMES));
    let ratio = large.as_secs_f64() / small.as_secs_f64().max(20e-6);
    assert!(
        ratio < RATIO_MAX,
        "{name}: {small:?} for {SMALL} bytes, {large:?} for {TIMES} times them"
    );
}

fn text(unit: &str, bytes: usize) -> String {
    format!("{{\"a\":\"{}\"}}", unit.repeat(bytes / unit.len()))
}

#[test]
fn stars_do_not_multiply() {
    check("many stars", "  s:\n    a: '*a*a*a*a*a*a*a*a*a*b'", |n| text("a", n));
    check("stars and marks", "  s:\n    a: '*a?a*?a?*a?a*b'", |n| text("a", n));
}

#[test]
fn regular_expressions_do_not_go_back() {
    check("nested plus", "  s:\n    a|re: '(a+)+b'", |n| text("a", n));
    check("alternatives", "  s:\n    a|re: '(a|aa|aaa)+$'", |n| text("a", n) + " ");
}

#[test]
fn substrings_that_nearly_stand_everywhere() {
    let nearly: Vec<String> = (0..400).map(|i| format!("      - 'aaaaaaaaaaaa{i:03}'")).collect();
    let list = format!("  s:\n    a|contains:\n{}", nearly.join("\n"));
    check("one group of bytes", &list, |n| text("a", n));
    let all = format!("  s:\n    a|contains|all:\n      - 'aaaa'\n{}", nearly.join("\n"));
    check("asked one by one", &all, |n| text("a", n));
}

#[test]
fn many_members_and_deep_records() {
    let members = |n: usize| format!("{{\"a\":[{}1]}}", "\"aaaa\",".repeat(n / 7));
    check("members", "  s:\n    a|contains|all: ['aaaa', 'b']", members);
    let objects = |n: usize| format!("{{\"t\":[{}{{}}]}}", "{\"a\":1},".repeat(n / 8));
    check("objects", "  s:\n    t.a: 2", objects);
    let deep = |n: usize| {
        let nested = "{\"k\":".repeat(500) + "1" + &"}".repeat(500);
        format!("[{}1]", (nested + ",").repeat(n / 3_000 + 1))
    };
    check("keywords", "  s:\n    - 'keyword'\n    - 'other'", deep);
    let keys = |n: usize| format!("{{{}\"a\":1}}", "\"a.a.a.a.a.a\":1,".repeat(n / 16));
    check("dotted keys", "  s:\n    a.a.a.a.a.b: 1", keys);
    let escapes = |n: usize| text("\\\\\\u00e9", n);
    check("escapes", "  s:\n    a|contains: 'x\\y'", escapes);
}
