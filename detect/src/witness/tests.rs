use std::sync::Arc;

use event::FieldsBuilder;

use super::*;
use crate::engine::{Engine, Group};
use crate::{Placeholders, RuleSet};

fn of(detection: &str, place: &dyn Fn(&str) -> String) -> Option<Witness> {
    let text = format!("title: T\nlogsource: {{product: x}}\ndetection:\n{detection}\n");
    let (set, problems) = RuleSet::load([("r.yml".to_owned(), text)], &Placeholders::new());
    assert!(problems.is_empty(), "{problems:?}");
    let rule = Arc::clone(&set.rules()[0]);
    let mut builder = FieldsBuilder::default();
    let candidates = |name: &str| vec![place(name)];
    let group = Group::new(vec![Arc::clone(&rule)], &candidates, &mut builder, Engine::Oracle);
    witness(&rule, group.bound(), place)
}

fn check(selection: &str, fires: &str, nearly: &str) {
    let detection = format!("  s: {{{selection}}}\n  condition: s");
    let found = of(&detection, &str::to_owned).unwrap_or_else(|| panic!("{selection}"));
    let near = found.nearly.as_ref().map(|near| near.event.as_str());
    assert_eq!((found.fires.as_str(), near), (fires, Some(nearly)), "{selection}");
}

#[test]
fn every_kind_of_test() {
    check("a: Stop", r#"{"a":"Stop"}"#, r#"{"a":"Sto"}"#);
    check("a|cased: Stop", r#"{"a":"Stop"}"#, r#"{"a":"Sto"}"#);
    check("a.b|contains: x y", r#"{"a":{"b":"x y"}}"#, r#"{"a":{"b":"x "}}"#);
    check("a: 'x*y?'", r#"{"a":"xyx"}"#, r#"{"a":"xy"}"#);
    check("a|re: '^b[cd]{2}(e|f)$'", r#"{"a":"bcce"}"#, r#"{"a":"bcc"}"#);
    check("a|cidr: 10.0.0.0/8", r#"{"a":"10.0.0.1"}"#, r#"{"a":"11.0.0.1"}"#);
    check("a: 5", r#"{"a":5}"#, r#"{"a":6}"#);
    check("a: true", r#"{"a":true}"#, r#"{"a":false}"#);
    check("a|gte: 5", r#"{"a":5}"#, r#"{"a":4}"#);
    check("a|lt: 99999999999999999999", r#"{"a":0}"#, r#"{"a":"some a"}"#);
    check("a: null", "{}", r#"{"a":"some a"}"#);
    check("a: ''", r#"{"a":""}"#, r#"{"a":"q"}"#);
    check("a|exists: true", r#"{"a":null}"#, "{}");
    check("a|exists: false", "{}", r#"{"a":"some a"}"#);
    check("a|neq: x", "{}", r#"{"a":"x"}"#);
    check("a|fieldref: b", r#"{"a":"same","b":"same"}"#, r#"{"a":"sam","b":"same"}"#);
    check("a|hour: 23", r#"{"a":"2026-01-01T23:20:00Z"}"#, r#"{"a":"2001-01-01T00:00:00Z"}"#);
    check("a|contains|all: [x, y]", r#"{"a":"x y"}"#, r#"{"a":" y"}"#);
}

#[test]
fn filters_keywords_and_places() {
    let detection = "
  s: {a|endswith: '\\x.exe', who: root}
  f: {a|startswith: 'C:'}
  g: {b: [1, null]}
  k: [evil]
  condition: s and k and not f and not g";
    let place = |name: &str| if name == "who" { "actor.name".to_owned() } else { name.to_owned() };
    let found = of(detection, &place).unwrap();
    let fires: serde_json::Value = serde_json::from_str(&found.fires).unwrap();
    assert_eq!((&fires["a"], &fires["actor"]["name"]), (&"\\x.exe".into(), &"root".into()));
    assert_eq!((&fires["message"], fires["b"].is_null()), (&"evil".into(), false));
}

#[test]
fn what_can_never_match_or_always_does_has_no_such_event() {
    assert_eq!(of("  s: {a: x}\n  condition: s and not s", &str::to_owned), None);
    let alternatives = of("  s: {a: 1}\n  t: {b: 1}\n  condition: [s, not t]", &str::to_owned);
    let near = alternatives.unwrap().nearly.unwrap();
    assert_eq!(
        (near.event.as_str(), near.asks.as_str(), near.must_hold),
        (r#"{"b":1}"#, "a: 1", true)
    );
    let always = of("  s: {a: x}\n  condition: s or not s", &str::to_owned).unwrap();
    assert_eq!(always.nearly, None);
}

#[test]
fn a_value_and_fields_below_it_stand_side_by_side() {
    for (selection, fires) in [
        ("a: x, a.b.c: y", r#"{"a":"x","a.b.c":"y"}"#),
        ("a.b: y, a: x, a.c.d: z", r#"{"a":"x","a.b":"y","a.c.d":"z"}"#),
    ] {
        let detection = format!("  s: {{{selection}}}\n  condition: s");
        let found = of(&detection, &str::to_owned).unwrap();
        let have: serde_json::Value = serde_json::from_str(&found.fires).unwrap();
        assert_eq!(have, serde_json::from_str::<serde_json::Value>(fires).unwrap());
    }
}

/// Time and stack are bounded, whatever somebody writes.
#[test]
fn hostile_rules_end_soon() {
    let filters = |fields: usize| {
        let each = (0..fields).map(|n| format!("  f{n}: {{a{n}: x, b{n}: null}}\n"));
        format!("{}  condition: not 1 of f*", each.collect::<String>())
    };
    let few = of(&filters(100), &str::to_owned).unwrap();
    assert!(few.nearly.is_some());
    assert_eq!(of(&filters(2_000), &str::to_owned), None, "given up");
    // Every combination is a contradiction.
    let pairs = (0..40).map(|n| format!("(s{n} or t{n}) and not s{n} and not t{n}"));
    let parts = (0..40).map(|n| format!("  s{n}: {{a{n}: x}}\n  t{n}: {{b{n}: x}}\n"));
    let condition = pairs.collect::<Vec<_>>().join(" and ");
    let detection = format!("{}  condition: {condition}", parts.collect::<String>());
    assert_eq!(of(&detection, &str::to_owned), None);
}
