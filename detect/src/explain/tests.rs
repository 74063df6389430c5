use std::sync::Arc;

use event::{FieldsBuilder, Parser};

use super::*;
use crate::engine::{Engine, Group};
use crate::{Placeholders, RuleSet};

fn explained(detection: &str, event: &str) -> Explanation {
    let text = format!(
        "title: T\nid: 5f3a0b52-1d57-4f0a-9d38-0c7c1d8e7a22\nlogsource: {{product: x}}\ndetection:\n{detection}\n"
    );
    let (set, problems) = RuleSet::load([("r.yml".to_owned(), text)], &Placeholders::new());
    assert!(problems.is_empty(), "{problems:?}");
    let rule = Arc::clone(&set.rules()[0]);
    let aliases = |name: &str| match name {
        "who" => vec!["who".to_owned(), "actor.name".to_owned()],
        name => vec![name.to_owned()],
    };
    let mut builder = FieldsBuilder::default();
    let group = Group::new(vec![Arc::clone(&rule)], &aliases, &mut builder, Engine::Oracle);
    let mut parser = Parser::default();
    let doc = parser.json(event.as_bytes()).unwrap();
    let explanation = explain(&rule, group.bound(), &doc);
    assert_eq!(explanation.holds, oracle::holds(&rule, group.bound(), &doc), "{event}");
    explanation
}

/// The items of the change, `+` must hold, `-` must not.
fn change(detection: &str, event: &str) -> Option<(Vec<String>, bool)> {
    let change = explained(detection, event).change?;
    let sign = |flip: &Flip| if flip.must_hold { '+' } else { '-' };
    let items = change.items.iter().map(|f| format!("{}{}", sign(f), f.look.asks)).collect();
    Some((items, change.is_smallest))
}

#[test]
fn a_tree_with_what_was_seen() {
    let detection = "
  selection:
    a: [x, y]
    who|endswith: root
    n|fieldref: m
  filter:
    gone: null
  keywords: [evil]
  condition: (selection and not filter) or keywords";
    let event = r#"{"a":["q","Y"],"actor":{"name":"toor"},"n":1,"m":[2,1],"t":{"u":"an Evil \n"}}"#;
    let expected = r#"T (5f3a0b52-1d57-4f0a-9d38-0c7c1d8e7a22) matches
condition: (selection and not filter) or keywords
✓ any of
  ✗ all of
    ✗ selection: all of
      ✓ a: [x, y]  ← "q", "Y"
      ✗ who|endswith: root  ← "toor" at actor.name
      ✓ n|fieldref: m  ← 1; m 2, 1
    ✗ not
      ✓ filter
        ✓ gone: null  ← absent
  ✓ keywords
    ✓ evil  ← "an Evil \n"
"#;
    let explanation = explained(detection, event);
    assert_eq!(explanation.to_string(), expected);
    let json = serde_json::to_value(&explanation).unwrap();
    let looks = &json["tree"]["parts"][0]["parts"][0]["parts"][0]["parts"];
    assert_eq!(looks[1]["kind"], "item");
    assert_eq!(looks[1]["field"]["path"], "actor.name");
    assert_eq!(looks[0]["field"]["values"][1], serde_json::json!({"json": "\"Y\"", "holds": true}));
    assert_eq!(looks[0]["field"]["values"][0]["holds"], false);
    assert_eq!(
        (looks[1]["at"]["line"].as_u64(), looks[2]["holds"].as_bool()),
        (Some(8), Some(true))
    );
}

#[test]
fn says_what_is_missing_and_where_it_was_sought() {
    let detection = "
  selection: {who: x, b: y, c: ''}
  condition: selection";
    let text = explained(detection, r#"{"b":null}"#).to_string();
    for part in [
        "✗ who: x  ← absent at who, actor.name",
        "✗ b: y  ← null or empty",
        "✗ c: ''  ← absent",
        "it would match if 3 items came out otherwise:",
        "  b: y must hold  ← null or empty  (r.yml:6:",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn long_lists_and_values_are_cut() {
    let values: Vec<String> = (0..30).map(|n| format!("v{n}")).collect();
    let detection =
        format!("  selection: {{a: [{}], b: z}}\n  condition: selection", values.join(", "));
    let long = "w".repeat(500);
    let many = vec!["1"; 40].join(",");
    let explanation = explained(&detection, &format!(r#"{{"a":"{long}","b":[{many}]}}"#));
    let text = explanation.to_string();
    assert!(text.contains("[v0, v1, v2, v3, v4, … 25 more]"), "{text}");
    assert!(text.contains("w…") && text.contains("1, … 32 more"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 400), "{text}");
}

#[test]
fn the_smallest_change_of_conditions_of_every_shape() {
    let some = |items: &[&str]| Some((items.iter().map(|i| (*i).to_owned()).collect(), true));
    for (detection, event, expected) in [
        ("  s: {a: x, b: y}\n  condition: s", r#"{"a":"x"}"#, some(&["+b: y"])),
        ("  s: {a: x, b: y}\n  condition: s", r#"{"a":"x","b":"y"}"#, None),
        (
            "  s: {a: x}\n  f: {b: y}\n  condition: s and not f",
            r#"{"b":"y"}"#,
            some(&["+a: x", "-b: y"]),
        ),
        ("  s: {a: x, b: y}\n  t: {c: z}\n  condition: s or t", "{}", some(&["+c: z"])),
        ("  s: {a: x, b: y}\n  condition: not s", r#"{"a":"x","b":"y"}"#, some(&["-a: x"])),
        // `c` is in both: shared items are counted once.
        (
            "  s: {a: x}\n  t: {b: y}\n  c: {c: z, d: z}\n  e: {e: 1, f: 1, g: 1, h: 1}\n  condition: (s and c) and (t or c) or e",
            "{}",
            some(&["+a: x", "+c: z", "+d: z"]),
        ),
        // By shape alone the item would have to hold and not to hold.
        (
            "  s: {a: x}\n  t: {b: y, c: z}\n  condition: (s or t) and not s",
            "{}",
            some(&["+b: y", "+c: z"]),
        ),
        ("  s: {a: x}\n  condition: s and not s", "{}", None),
    ] {
        assert_eq!(change(detection, event), expected, "{detection} {event}");
    }
}

/// The definition: the least number of verdicts to change, by trying all sets.
fn least(expr: &Expr, verdicts: &[bool]) -> Option<usize> {
    fn holds(expr: &Expr, verdicts: &[bool]) -> bool {
        match expr {
            Expr::True => true,
            Expr::False | Expr::Named(_) => false,
            Expr::Item(id) => verdicts[id.0 as usize],
            Expr::Not(inner) => !holds(inner, verdicts),
            Expr::And(parts) => parts.iter().all(|p| holds(p, verdicts)),
            Expr::Or(parts) => parts.iter().any(|p| holds(p, verdicts)),
        }
    }
    let sets = 0..1_u32 << verdicts.len();
    let helps = sets.filter(|set| {
        let changed: Vec<bool> =
            verdicts.iter().enumerate().map(|(i, v)| v ^ (set >> i & 1 == 1)).collect();
        holds(expr, &changed)
    });
    helps.map(|set| set.count_ones() as usize).min()
}

proptest::proptest! {
    #[test]
    fn no_fewer_items_would_do(
        condition in "(not )?[a-e] (and|or) (not )?[a-e]( (and|or) (not )?\\((not )?[a-e] (and|or) [a-e]\\)){0,2}",
        there in 0_u32..32,
    ) {
        let names = ["a", "b", "c", "d", "e"];
        let detections: String = names.iter().map(|n| format!("  {n}: {{{n}: 1}}\n")).collect();
        let text = format!(
            "title: T\nlogsource: {{product: x}}\ndetection:\n{detections}  condition: {condition}\n"
        );
        let (set, _) = RuleSet::load([("r.yml".to_owned(), text)], &Placeholders::new());
        let rule = &set.rules()[0];
        let verdicts: Vec<bool> = (0..5).map(|i| there >> i & 1 == 1).collect();
        let expected = least(&rule.flat(), &verdicts);
        if expected == Some(0) {
            return Ok(());
        }
        let found = change::smallest(rule, &verdicts);
        let have = found.map(|f| f.items.len());
        proptest::prop_assert_eq!(have, expected, "{}", condition);
    }
}
