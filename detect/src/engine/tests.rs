use super::*;
use crate::parse::{self, Placeholders};

fn dead(detection: &str, known: &[&str]) -> Vec<(String, bool)> {
    let text = format!("title: x\nlogsource: {{product: test}}\ndetection:\n{detection}");
    let parse::Parsed { rules, diagnostics, .. } =
        parse::file("x.yml", &text, &Placeholders::new());
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let rules = rules.into_iter().map(Arc::new).collect();
    let mut builder = FieldsBuilder::default();
    let aliases = |name: &str| match name {
        "alias" => vec!["x".to_owned(), "a".to_owned()],
        _ => Vec::new(),
    };
    let group = Group::new(rules, &aliases, &mut builder, Engine::Oracle);
    let found = group.unresolved(&|path| known.contains(&path));
    found.into_iter().map(|d| (d.field, d.silent)).collect()
}

fn check(detection: &str, known: &[&str], expected: &[(&str, bool)]) {
    let expected: Vec<_> = expected.iter().map(|(f, s)| ((*f).to_owned(), *s)).collect();
    assert_eq!(dead(detection, known), expected, "{detection}");
}

#[test]
fn missing_fields_are_found_and_weighed() {
    check("  s: {a: 1, b: 2}\n  condition: s\n", &["a", "b"], &[]);
    check("  s: {a: 1, b: 2}\n  condition: s\n", &["a"], &[("b", true)]);
    check("  s: {a: 1}\n  t: {b: 2}\n  condition: s or t\n", &["a"], &[("b", false)]);
    check("  s: {a: 1}\n  t: {b: 2}\n  condition: s and not t\n", &["a"], &[("b", false)]);
    check("  s: {a: 1, b: null}\n  condition: s\n", &["a"], &[("b", false)]);
    check("  s: {a: 1, b|exists: false}\n  condition: s\n", &["a"], &[("b", false)]);
    check("  s: {a: 1, b|exists: true}\n  condition: s\n", &["a"], &[("b", true)]);
    check("  s: {a: 1, b: [null, x]}\n  condition: s\n", &["a"], &[("b", false)]);
    check("  s: {a|fieldref: b}\n  condition: s\n", &["a"], &[("b", true)]);
    check("  s: {b|fieldref: a}\n  condition: s\n", &["a"], &[("b", true)]);
    check("  s: {b|neq: 1}\n  condition: s\n", &[], &[("b", false)]);
    check("  s: [word]\n  condition: s\n", &[], &[]);
    check("  s: {alias: 1}\n  condition: s\n", &["a"], &[]);
    check("  s: {alias: 1}\n  condition: s\n", &["alias"], &[("alias", true)]);
}

#[test]
fn a_missing_field_is_reported_at_its_key() {
    let text = "title: x\nlogsource: {product: test}\ndetection:\n  s:\n    evntName|contains: 1\n  condition: s\n";
    let rules = parse::file("x.yml", text, &Placeholders::new()).rules;
    let mut builder = FieldsBuilder::default();
    let rules = rules.into_iter().map(Arc::new).collect();
    let group = Group::new(rules, &|_| Vec::new(), &mut builder, Engine::Oracle);
    let found = group.unresolved(&|_| false);
    let rendered = found[0].diagnostic("aws.cloudtrail", ["eventName", "eventTime"]).render(text);
    let expected = "warning: `aws.cloudtrail` has no field `evntName`: this rule can never match \
                    there\n --> x.yml:5:5\n  |\n5 |     evntName|contains: 1\n  |     ^^^^^^^^\n  \
                    = hint: did you mean `eventName`?\n";
    assert_eq!(rendered, expected);
}
