//! The rule parser. Whatever a file holds: loading it ends, every message has a place in the file and can be
//! shown, what is loaded can be described, and both engines agree about it.

use detect::{Diagnostic, Placeholders, RuleSet, Severity};

use super::engines;

const EVENTS: [&str; 6] = [
    r#"{}"#,
    r#"{"a":"powershell.exe -enc QUJD","b":{"c":[1,"2",null,{"d":true}]},"CommandLine":"cmd /c -a"}"#,
    r#"{"a":null,"b.c":4688,"field":"","x":[["deep",1e300],-7],"EventID":"4688"}"#,
    r#"{"a":"10.1.2.3","time":"2026-11-22T23:10:11+02:00","field":"\u212a\n*?\\"}"#,
    r#"{"a":{"b":{"c":"x"}},"b":"X","keyword":"mimikatz"}"#,
    r#"[{"a":1},{"a":2.5,"b":false}]"#,
];

/// Larger rules are read, not evaluated: the oracle would take all the time there is.
const ITEMS_MAX: usize = 200;

/// `data` is a file; what is not UTF-8 in it becomes U+FFFD.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let (rules, problems) = RuleSet::load([("fuzz.yml".to_owned(), text.clone())], &placeholders());
    for problem in &problems {
        check_problem(problem, &text);
    }
    let nothing = rules.rules().is_empty() && rules.correlations().is_empty();
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let documents = detect::yaml::documents(&text).len();
    assert!(!nothing || !problems.is_empty() || documents == 0, "a file is lost silently");
    assert!(
        errors > 0 || !nothing || documents == 0 || text.contains("filter"),
        "no error, no rule"
    );
    for rule in rules.rules() {
        assert!(!rule.items.is_empty(), "a rule without items");
        assert!(rule.field_names().iter().all(|name| !name.is_empty()), "a field without name");
    }
    if rules.rules().iter().map(|rule| rule.items.len()).sum::<usize>() <= ITEMS_MAX {
        engines::agree(&rules, &|_| Vec::new(), EVENTS.iter().map(|event| event.as_bytes()));
    }
}

fn check_problem(problem: &Diagnostic, text: &str) {
    // YAML ends lines at carriage returns, too.
    let lines = text.split(['\n', '\r']).count();
    assert!(problem.line >= 1 && problem.line as usize <= lines + 1, "{problem:?}");
    assert!(problem.column >= 1, "{problem:?}");
    assert!(!problem.message.is_empty(), "{problem:?}");
    assert!(!problem.span.contains('\n'), "{problem:?}");
    let shown = problem.render(text);
    assert!(shown.contains(&format!(":{}:{}", problem.line, problem.column)), "{shown}");
}

fn placeholders() -> Placeholders {
    let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    [("admins", values(&["root", "al*ce"])), ("internal", values(&["10.0.0.0/8"]))]
        .map(|(name, values)| (name.to_owned(), values))
        .into()
}
