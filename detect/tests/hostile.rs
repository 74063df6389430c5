//! However hostile the regular expressions of a rule are, it is refused with its place and a hint, soon, and
//! without much memory.

use std::time::{Duration, Instant};

use detect::{Diagnostic, Placeholders, RuleSet};

/// For a debug build on a busy machine; without bounds these take minutes, or all memory.
const LONG: Duration = Duration::from_secs(20);
/// All tests of this file together, at once.
const PEAK_MIB_MAX: f64 = 300.0;

/// The most memory that this process ever had; `None` where the system does not tell.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

fn load(values: &str) -> (usize, Vec<Diagnostic>) {
    let rule = format!(
        "title: hostile\nlogsource: {{product: test}}\ndetection:\n  s:\n    a|re:\n{values}\n  condition: s\n"
    );
    let start = Instant::now();
    let (rules, problems) = RuleSet::load([("hostile.yml".to_owned(), rule)], &Placeholders::new());
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    assert!(peak_mib().is_none_or(|mib| mib < PEAK_MIB_MAX), "{:?} MiB", peak_mib());
    (rules.rules().len(), problems)
}

fn refused(pattern: &str, message: &str, hint: &str) {
    let (rules, problems) = load(&format!("      - '{pattern}'"));
    assert_eq!(rules, 0, "{}", &pattern[..pattern.len().min(80)]);
    let problem = &problems[0];
    let have = (problem.file.as_str(), problem.line, problem.column);
    assert_eq!((problems.len(), have), (1, ("hostile.yml", 6, 9)), "{problems:?}");
    assert!(problem.message.contains(message), "{problem:?}");
    assert!(
        problem.span.chars().count() <= 501
            && pattern.starts_with(problem.span.trim_end_matches('…'))
    );
    assert!(problem.hint.as_deref().unwrap_or_default().contains(hint), "{problem:?}");
}

#[test]
fn repeats_within_repeats() {
    refused("(a{1000}){1000}", "larger than", "multiply");
    refused(r"((\w{1,100}){1,100}){1,100}", "larger than", "multiply");
    refused(&format!("{}a{}", "(".repeat(60), "{2})".repeat(60)), "larger than", "multiply");
    refused(r"(?i)(\pL{500}){500}", "larger than", "multiply");
    refused(r"(\p{Greek}|\W){4294967295}", "larger than", "multiply");
}

#[test]
fn nothing_repeated_is_not_refused_and_takes_no_time() {
    let (rules, problems) = load("      - '(){4294967295}a'\n      - '((){1000}){1000}b'");
    // Whatever of it the library takes, it is quick.
    assert!(rules == 1 || !problems.is_empty());
}

#[test]
fn deep_nesting() {
    refused(&format!("{}a{}", "(".repeat(2_000), ")".repeat(2_000)), "nest", "");
    refused(&format!("{}a{}", "[".repeat(2_000), "]".repeat(2_000)), "nest", "");
}

#[test]
fn huge_alternations() {
    let words: Vec<String> = (0..100_000).map(|n| format!("word{n}")).collect();
    refused(&words.join("|"), "longer than", "list of values");
    refused(&vec![r"\w+x"; 1_600].join("|"), "larger than", "multiply");
    refused(&r"\w".repeat(4_000), "larger than", "multiply");
    refused(&r"[\w&&\pL]".repeat(900), "larger than", "multiply");
}

#[test]
fn what_cannot_be_linear_says_what_to_write() {
    refused("a(?=b)", "look-around", "after `not`");
    refused("(a)\\1", "backreferences", "after `not`");
    refused("(a", "unclosed group", "");
}

#[test]
fn many_expressions_of_one_rule() {
    // Each is small enough, all together are not.
    let large = "      - '[0-9a-f]{9000}x'\n".repeat(2_000);
    let (rules, problems) = load(&large);
    assert_eq!(rules, 0);
    let message = &problems[0].message;
    assert!(message.contains("together larger than"), "{message}");
    // Each is too large: the first of them spend what all may take.
    let (rules, problems) = load(&"      - '(a{1000}){1000}'\n".repeat(20_000));
    assert_eq!(rules, 0);
    assert!(problems[0].message.contains("larger than") && problems.len() <= 100);
    assert!(problems[4].message.contains("together"), "{}", problems[4].message);
}

#[test]
fn what_rules_need_is_far_below_the_bounds() {
    let (rules, problems) = load("      - '(?i)^(?:[a-z0-9+/]{4}){20,}(?:[a-z0-9+/]{2}==)?$'");
    assert_eq!((rules, problems.len()), (1, 0), "{problems:?}");
}

#[test]
fn what_is_said_of_a_huge_value_is_short() {
    let value = "x".repeat(500_000);
    let rule = "title: t\nlevel: V\nlogsource: {product: test}\ndetection:\n  s:\n    a|cidr: V\n    b|gt: V\n    c|contians: V\n  condition: V\n";
    let rule = rule.replace('V', &value);
    let (rules, problems) = RuleSet::load([("huge.yml".to_owned(), rule)], &Placeholders::new());
    assert!(rules.rules().is_empty() && problems.len() == 5, "{}", problems.len());
    for problem in &problems {
        let hint = problem.hint.as_deref().unwrap_or_default();
        assert!(problem.message.len().max(problem.span.len()).max(hint.len()) < 2_000);
    }
}
