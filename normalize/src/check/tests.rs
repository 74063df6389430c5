use super::*;

const GOOD: &str = "\
name: acme.door
description: Doors.
logsource: {product: acme}
decoder: {json: {}}
identity: {any: [id]}
time: [{from: at}]
columns:
  action: what
";

#[test]
fn a_small_file_is_enough() {
    let mapping = compile("door.yml", GOOD).unwrap();
    assert_eq!(mapping.log_type().as_str(), "acme.door");
    assert_eq!(mapping.schema().table, "acme_door");
    assert_eq!(mapping.schema().columns.last().unwrap().name, "raw");
    assert_eq!(mapping.log_source().product, Tag::Is("acme".into()));
    assert_eq!(mapping.log_source().category, Tag::None);
}

/// Replaces one line of the good file and expects one fault: `line:column: reason | hint`.
fn check(old: &str, new: &str, expected: &str) {
    assert!(GOOD.contains(old));
    let errors = compile("door.yml", &GOOD.replacen(old, new, 1)).unwrap_err();
    let shown: Vec<String> =
        errors.iter().map(|e| format!("{e} | {}", e.hint.as_deref().unwrap_or("-"))).collect();
    assert_eq!(shown, [format!("door.yml:{expected}")], "{new}");
}

#[test]
fn what_yaml_and_shape_forbid() {
    check(
        "description",
        "descripton",
        "2:1: unknown field `descripton` | did you mean `description`?",
    );
    check(
        "{any: [id]}",
        "{any: {a: b}}",
        "5:17: invalid type: map | expected a text or a list of texts",
    );
    check(
        "time: [{from: at}]",
        "time: [{from: at, form: epoch}]",
        "6:25: unknown variant `epoch` | did you mean `epoch_s`?",
    );
    check("action: what", "action: what\n  action: who", "9:3: duplicate mapping key: action | -");
    check(
        "action: what",
        "action: {from: what, take: upper}",
        "8:24: unknown variant `upper` | expected one of ip, port, not_ip, email, lower, text, before, after, after_last, join, times, http_outcome, entry, element",
    );
    check(
        "action: what",
        "action: {form: what}",
        "8:12: unknown field `form` | did you mean `from`?",
    );
    check("action: what", "action: [what", "8:11: unclosed bracket '[' | -");
    check(
        "  action: what",
        "  action: what\nvendor: {door: {type: number, from: d}}",
        "9:23: unknown variant `number` | expected one of text, int, float, bool, time, text_list",
    );
    check("name: acme.door\n", "", "6:1: missing field `name` | -");
}

#[test]
fn what_a_step_cannot_be() {
    check("action: what", "acton: what", "8:3: no common column `acton` | did you mean `action`?");
    check(
        "action: what",
        "event_uid: id",
        "8:3: `event_uid` is filled for every log type | leave it out",
    );
    check(
        "action: what",
        "action: $.what",
        "8:11: `$.what` is no path | names joined by dots; arrays are looked through, so `target.id` needs no index",
    );
    check(
        "action: what",
        "action: [what, 'who[0]']",
        "8:18: `who[0]` is no path | names joined by dots; arrays are looked through, so `target.id` needs no index",
    );
    check(
        "action: what",
        "action: {take: lower}",
        "8:11: a step needs exactly one of `from` and `value` | `from: path` or `value: text`",
    );
    check(
        "action: what",
        "action: {value: x, take: lower}",
        "8:11: `take` and `values` need `from` | -",
    );
    check(
        "action: what",
        "action: {from: what, otherwise: x}",
        "8:11: `otherwise` needs `values` | what no line of `values` names becomes `otherwise`",
    );
    check(
        "action: what",
        "action: {from: what, take: {after: ''}}",
        "8:30: the text to look for is empty | -",
    );
    check(
        "action: what",
        "action: {from: what, values: {'a*b': c}}",
        "8:33: `a*b` is no value | `*` stands only at the end, for any rest",
    );
    check(
        "action: what",
        "action: {from: what, take: port}",
        "8:11: `action` is text, not a number | -",
    );
}

#[test]
fn what_a_column_cannot_hold() {
    check(
        "action: what",
        "outcome: what",
        "8:12: `outcome` needs `value` or `values` | one of success, failure, unknown",
    );
    check(
        "action: what",
        "outcome: {from: what, values: {a: ok}}",
        "8:12: `ok` is no value of `outcome` | one of success, failure, unknown",
    );
    check(
        "action: what",
        "severity: {from: what, values: {a: high}}",
        "8:13: `high` is no number, and `severity` is one | -",
    );
    check("action: what", "action: []", "8:3: column `action` has no step | -");
}

#[test]
fn what_a_log_type_cannot_be() {
    check(
        "acme.door",
        "Acme door",
        "1:7: `Acme door` is no name | lower-case words joined by dots, like `okta.system`",
    );
    check(
        "{json: {}}",
        "{}",
        "4:10: a decoder is exactly one of three | `json: {}`, `syslog: {}` or `columns: …`",
    );
    check(
        "{json: {}}",
        "{columns: {separator: ''}}",
        "4:32: the separator is empty | \" \" for any run of blanks",
    );
    check(
        "{json: {}}",
        "{columns: {separator: ',', layouts: [[a, b], [c, d]]}}",
        "4:10: two layouts have the same number of columns | they are told apart by that number only",
    );
}

#[test]
fn what_the_rest_of_a_file_cannot_say() {
    check(
        "action: what",
        "action: {from: what, take: [lower, {before: x}]}",
        "8:30: only functions that choose a part may stand before the last | -",
    );
    check("action: what", "action: {from: what, take: []}", "8:30: a chain without a function | -");
    check(
        "{json: {}}",
        "{columns: {separator: ',', quotes: ['()x']}}",
        "4:46: `()x` is no quote | one character, or an opening and a closing one: `\"` or `[]`",
    );
    check(
        "{json: {}}",
        "{columns: {separator: ',', layouts: [[a, b]], least: 3}}",
        "4:63: `least` needs one layout of at least so many columns | -",
    );
    check(
        "decoder: {json: {}}",
        "decoder: {json: {}}\ndecode: [a..b]",
        "5:10: `a..b` is no path | names joined by dots, in the vendor's spelling",
    );
    check(
        "decoder: {json: {}}",
        "decoder: {json: {}}\npivot: [{at: p, name: a.b}]",
        "5:9: `a.b` is no member | the name of one member of an element",
    );
    check(
        "decoder: {json: {}}",
        "decoder: {json: {}}\nderive: [{name: s, from: r, otherwise: x}]",
        "5:40: `otherwise` needs `values` | what no line of `values` names becomes `otherwise`",
    );
    check(
        "decoder: {json: {}}",
        "decoder: {json: {}}\ntell: [{lacks: a}]",
        "5:8: a form that every record has | `has: [paths]`, `is: {path: [texts]}` or both",
    );
    check(
        "{any: [id]}",
        "{any: [id], parts: [n]}",
        "5:11: `parts` of an identity go with `all` | -",
    );
    check(
        "{any: [id]}",
        "{any: [id], position: true}",
        "5:11: an identity is of paths or of the position | `any: [paths]`, `all: [paths]`, both, or `position: true`",
    );
    check(
        "time: [{from: at}]",
        "time: []",
        "6:7: no path to the event's time | the paths where the event's time stands, best first",
    );
    check(
        "  action: what",
        "  action: what\nvendor: {action: {type: text, from: d}}",
        "9:10: `action` is a common column | another name, such as `vendor_action`",
    );
    check(
        "  action: what",
        "  action: what\nvendor: {Door: {type: text, from: d}}",
        "9:10: `Door` is no column name | lower-case letters, digits and `_`",
    );
    check(
        "  action: what",
        "  action: what\naliases: {a..b: d}",
        "9:11: `a..b` is no path | names joined by dots, in the vendor's spelling",
    );
    check(
        "  action: what",
        "  action: what\nfields: [a.*.b]",
        "9:10: `a.*.b` is no path | names joined by dots; arrays are looked through, so `target.id` needs no index",
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let text = GOOD.replace("action: what", "acton: what\n  outcome: x").replace("[id]", "[]");
    assert_eq!(compile("f", &text).unwrap_err().len(), 3);
}

proptest::proptest! {
    #[test]
    fn arbitrary_files_never_panic(text in "[a-z:\\[\\]{}\n, *'\"-]{0,80}") {
        let _ = compile("f", &text);
        let _ = compile("f", &format!("{GOOD}{text}"));
    }
}
