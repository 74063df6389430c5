use super::*;

const DAY: Timestamp = Timestamp(1_772_323_200_000_000_000);

/// A rule for CloudTrail, or for what `source` says, that selects these fields.
fn rule(id: &str, source: &str, detection: &str) -> (String, String) {
    let text = format!(
        "title: Rule {id}\nid: 5f3a0b52-1d57-4f0a-9d38-00000000000{id}\nlogsource: {{{source}}}\n\
         detection:\n{detection}\n"
    );
    (format!("{id}.yml"), text)
}

const TRAIL: &str = "product: aws, service: cloudtrail";

fn reach(rules: &[(String, String)], log_types: &[&str]) -> Reach {
    let (rules, problems) = RuleSet::load(rules.to_vec(), &Default::default());
    assert!(problems.is_empty(), "{problems:?}");
    let log_types = log_types.iter().map(|name| (*name).to_owned()).collect();
    Reach::of(&Catalog::builtin(), &rules, &log_types)
}

fn check(reach: &Reach, silent: &Silent, expected: &[(&str, RuleState, Option<&str>)]) {
    let sights = reach.sights(silent);
    let have: Vec<_> = sights.iter().map(|s| (&s.title[5..], s.state, s.reason)).collect();
    assert_eq!(have, expected);
    for sight in sights {
        assert_eq!(sight.detail.is_empty(), sight.state == RuleState::Ok, "{sight:?}");
    }
}

#[test]
fn each_rule_is_judged_by_what_its_log_types_can_hold() {
    let rules = [
        rule("1", TRAIL, "  s: {eventName: X}\n  condition: s"),
        rule("2", TRAIL, "  s: {eventNmae: X}\n  condition: s"),
        rule("3", TRAIL, "  s: {eventName: X}\n  f: {eventNmae: Y}\n  condition: s and not f"),
        rule("4", "product: okta, service: okta", "  s: {eventType: X}\n  condition: s"),
        rule("5", "product: aws", "  s: {eventName: X}\n  condition: s"),
    ];
    use RuleState::{Blind, Dead, Ok};
    let both = reach(&rules, &["aws.cloudtrail", "aws.guardduty"]);
    let quiet = |names: &[&str]| names.iter().map(|n| ((*n).to_owned(), Some(DAY))).collect();
    let (missing, none) = (Some("missing_field"), Some("no_source"));
    let some = [("1", Ok, None), ("2", Dead, missing), ("3", Blind, missing), ("4", Blind, none)];
    // GuardDuty has no eventName: rule 5 reads something there that is not there.
    let fifth = ("5", Blind, missing);
    check(&both, &Silent::default(), &[some.as_slice(), &[fifth]].concat());
    let silent = Some("silent_source");
    let all: Silent = quiet(&["aws.cloudtrail"]);
    let fallen = [
        ("1", Blind, silent),
        ("2", Dead, missing),
        ("3", Blind, silent),
        ("4", Blind, none),
        // The other log type still speaks, but can never match.
        ("5", Blind, silent),
    ];
    check(&both, &all, &fallen);
    check(&both, &quiet(&["aws.guardduty"]), &[some.as_slice(), &[fifth]].concat());
}

#[test]
fn rules_for_every_product_are_not_blamed_for_one() {
    let optional = "  s: {eventName: X}\n  f: {eventNmae: Y}\n  condition: s and not f";
    let rules = [rule("1", "category: x", optional), rule("2", "service: cloudtrail", optional)];
    let reach = reach(&rules, &["aws.cloudtrail", "okta.system"]);
    let expected = [("1", RuleState::Blind, Some("no_source")), ("2", RuleState::Ok, None)];
    check(&reach, &Silent::default(), &expected);
}

#[test]
fn findings_are_one_for_each_cause_and_keep_their_identity() {
    let rules = [
        rule("1", TRAIL, "  s: {eventNmae: X}\n  condition: s"),
        rule("2", TRAIL, "  s: {eventNmea: X}\n  condition: s"),
        rule("3", TRAIL, "  s: {eventName: X}\n  condition: s"),
        rule("4", "product: okta", "  s: {eventType: X}\n  condition: s"),
    ];
    let whole = reach(&rules, &["aws.cloudtrail"]);
    let said = |reach: &Reach, silent: &Silent| {
        let found = reach.findings(silent);
        found.iter().map(|f| (f.subject(), f.uid())).collect::<BTreeMap<_, _>>()
    };
    let none = Silent::default();
    let found = whole.findings(&none);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].subject(), "rules.dead/missing_field/aws.cloudtrail");
    let record = Value::Object(found[0].record(DAY));
    let message = "2 rules can never match: aws.cloudtrail has no field eventNmae, eventNmea \
                   (Rule 1, Rule 2)";
    assert_eq!(record["message"], message);
    assert_eq!(record["rule_count"], 2);

    let silent = |at| Silent::from([("aws.cloudtrail".to_owned(), Some(at))]);
    let first = said(&whole, &silent(DAY));
    assert_eq!(first.len(), 2, "{first:?}");
    assert_eq!(first, said(&whole, &silent(DAY)), "the same silence is the same finding");
    let blind = "rules.blind/silent_source/aws.cloudtrail";
    assert_ne!(first[blind], said(&whole, &silent(Timestamp(DAY.0 + 1)))[blind]);
    let fewer = reach(&rules[1..], &["aws.cloudtrail"]);
    let dead = "rules.dead/missing_field/aws.cloudtrail";
    assert_ne!(first[dead], said(&fewer, &none)[dead], "other rules are another finding");
    assert_eq!(first[blind], said(&fewer, &silent(DAY))[blind]);
}
