use proptest::prelude::*;

use super::*;

const RULE: &str = r#"title: a rule
id: 6f3e2987-db24-4c78-a860-b4f4095a7095
status: test
custom: {key: [1, 2.5, true, null, text]}
level: high
tags: [attack.t1078.004]
related:
    - id: 6f3e2987-db24-4c78-a860-b4f4095a7096
      type: derived
logsource: {product: AWS, service: CloudTrail, definition: switch it on}
detection:
    selection:
        - CommandLine|contains|windash|all: [' -a ', "x\ty"]
          n|gte: 5
        - ip|cidr: 10.0.0.0/8
    keywords: [one, '|two']
    filter_x: {a|re|i: '^x.*$', b: null, c|fieldref: d}
    condition: selection or (keywords and not 1 of filter_*)
"#;

fn read(text: &str) -> (Vec<Rule>, Vec<Diagnostic>) {
    let parsed = file("x.yml", text, &Placeholders::new());
    (parsed.rules, parsed.diagnostics)
}

#[test]
fn everything_a_rule_says_is_kept() {
    let (rules, diagnostics) = read(RULE);
    assert_eq!(diagnostics.len(), 0, "{diagnostics:?}");
    let rule = &rules[0];
    assert_eq!(rule.info.id, "6f3e2987-db24-4c78-a860-b4f4095a7095");
    assert_eq!(rule.info.level, event::Level::High);
    assert_eq!(rule.log_source.product.as_deref(), Some("aws"), "lower case");
    assert_eq!(rule.log_source.service.as_deref(), Some("cloudtrail"));
    assert_eq!(rule.log_source.definition.as_deref(), Some("switch it on"));
    let custom = serde_json::json!({ "custom": { "key": [1, 2.5, true, null, "text"] } });
    assert_eq!(serde_json::Value::Object(rule.meta.custom.clone()), custom);
    assert_eq!(rule.meta.related[0].kind, "derived");
    let names: Vec<_> = rule.detections.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["selection", "keywords", "filter_x"]);
    assert_eq!(rule.field_names(), ["CommandLine", "n", "ip", "a", "b", "c", "d"]);
    let item = &rule.items[0];
    assert_eq!((item.key_at.line, item.key_at.column), (13, 11));
    assert_eq!((item.at.line, item.at.column), (13, 46));
    assert_eq!(
        (item.key.as_str(), &*item.written),
        ("CommandLine|contains|windash|all", &[" -a ".to_owned()][..])
    );
    assert_eq!(rule.conditions[0].text, "selection or (keywords and not 1 of filter_*)");
    assert!(matches!(rule.flat(), Expr::Or(parts) if parts.len() == 3));
}

#[test]
fn a_bad_document_costs_no_neighbour() {
    let text = format!(
        "{RULE}---\ntitle: [\n---\ntitle: broken\n---\n- 1\n---\n{}",
        RULE.replace("7095", "7097")
    );
    let (rules, diagnostics) = read(&text);
    assert_eq!(rules.len(), 2);
    let lines: Vec<_> = diagnostics.iter().map(|d| d.line).collect();
    assert!(lines.is_sorted() && diagnostics.len() >= 4, "{diagnostics:?}");
    assert!(rules[1].at.line > 20 && &*rules[1].file == "x.yml");
}

#[test]
fn a_rule_without_id_is_named_by_its_place() {
    let without = RULE.lines().filter(|l| !l.starts_with("id:")).collect::<Vec<_>>().join("\n");
    let (rules, _) = read(&format!("{without}\n---\n{without}"));
    let ids: Vec<_> = rules.iter().map(|r| r.info.id.as_str()).collect();
    assert_eq!(ids, ["x.yml", "x.yml#1"]);
}

#[test]
fn two_rules_of_one_id_are_not_both_loaded() {
    let files = [("a.yml", RULE), ("b.yml", RULE)].map(|(p, t)| (p.to_owned(), t.to_owned()));
    let (set, diagnostics) = crate::RuleSet::load(files, &Placeholders::new());
    assert_eq!((set.rules().len(), diagnostics.len()), (1, 1));
    assert!(diagnostics[0].message.contains("a.yml:1"), "{diagnostics:?}");
    assert_eq!(diagnostics[0].file, "b.yml");
}

#[test]
fn a_rule_that_would_unfold_without_end_is_refused() {
    let values = |n: usize| (0..n).map(|i| format!("f{i}: x")).collect::<Vec<_>>().join(", ");
    let rule = |items: usize, uses: usize| {
        let condition = vec!["s"; uses].join(" or not ");
        format!(
            "title: x\nlogsource: {{product: x}}\ndetection:\n  s: {{{}}}\n  condition: {condition}\n",
            values(items)
        )
    };
    let (rules, diagnostics) = read(&rule(1000, 1000));
    assert_eq!((rules.len(), diagnostics.len()), (0, 1));
    assert_eq!(diagnostics[0].message, "the rule is too large");
    assert_eq!(read(&rule(1000, 10)).0.len(), 1);
    let (rules, diagnostics) = read(&" ".repeat(5 << 20));
    assert_eq!((rules.len(), diagnostics.len()), (0, 1));
}

proptest! {
    /// Whatever happens to a rule's text, reading it ends, with a rule or with a reason.
    #[test]
    fn damaged_rules_never_panic_and_never_vanish(
        at in 0..RULE.len(),
        cut in 0..12_usize,
        put in "[-:|*?'\"\\[\\]{},&%#a0-9é\n\t ]{0,6}",
    ) {
        let mut text = RULE.to_owned();
        let start = (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let end = (start + cut).min(text.len());
        text.replace_range(start..end, &put);
        let (rules, diagnostics) = read(&text);
        prop_assert!(!rules.is_empty() || !diagnostics.is_empty(), "silent: {text}");
        for diagnostic in diagnostics {
            diagnostic.render(&text);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        read(&text);
    }

    #[test]
    fn arbitrary_values_never_panic(
        modifiers in prop::sample::subsequence(
            vec!["contains", "windash", "wide", "base64offset", "all", "re", "i", "cidr", "gt",
                 "hour", "fieldref", "neq", "cased", "exists", "expand", "endswith"], 0..4),
        value in "[-/ *?\\\\%a-c0-9.:(){}\\[\\]+é]{0,12}",
    ) {
        let chain: String = modifiers.iter().map(|m| format!("|{m}")).collect();
        let text = format!("title: x\nlogsource: {{product: x}}\ndetection:\n  s:\n    f{chain}: '{value}'\n  condition: s\n");
        let (rules, diagnostics) = read(&text);
        prop_assert!(!rules.is_empty() || !diagnostics.is_empty(), "silent: {text}");
    }
}
