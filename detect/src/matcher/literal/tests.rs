//! Which literals are found. A wrong one silences a rule on events that random tests may never make, so each
//! is said here.

use super::*;
use crate::ir::RegexFlags;

fn pattern(text: &str, cased: bool) -> Pattern {
    let part = |c: char| match c {
        '*' => Part::Any,
        '?' => Part::One,
        c => Part::Literal(c.to_string().into()),
    };
    Pattern::new(text.chars().map(part), cased)
}

#[test]
fn the_longest_literal_of_wildcards_and_where_it_stands() {
    for (text, expected) in [
        ("abc", Some((Shape::Equals, "abc"))),
        ("abc*", Some((Shape::StartsWith, "abc"))),
        ("abc?de", Some((Shape::StartsWith, "abc"))),
        ("*abc", Some((Shape::EndsWith, "abc"))),
        ("ab?abc", Some((Shape::EndsWith, "abc"))),
        ("*abc*", Some((Shape::Contains, "abc"))),
        ("ab*abc*d", Some((Shape::Contains, "abc"))),
        ("ab*abc?", Some((Shape::Contains, "abc"))),
        ("?abc*", Some((Shape::Contains, "abc"))),
        ("*", None),
        ("?*?", None),
    ] {
        let have = of_pattern(&pattern(text, false));
        let expected = expected.map(|(shape, text)| vec![(shape, text.to_owned())]);
        assert_eq!(have, expected, "{text}");
    }
    let cased = of_pattern(&pattern("ABC*", true));
    assert_eq!(cased, Some(vec![(Shape::StartsWith, "abc".to_owned())]), "it is sought folded");
}

fn check(expression: &str, flags: RegexFlags, expected: &[&str]) {
    let have = of_regex(&Regex::new(expression, flags).unwrap());
    let have = have.unwrap_or_default();
    assert!(have.iter().all(|(shape, _)| *shape == Shape::Contains), "{expression}: {have:?}");
    let texts: Vec<&str> = have.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, expected, "{expression}");
}

#[test]
fn literals_of_regular_expressions() {
    let plain = RegexFlags::default();
    for (expression, expected) in [
        ("abc", &["abc"][..]),
        ("ABC", &["abc"]),
        ("ab", &[]),
        ("", &[]),
        (".", &[]),
        ("^abc$", &["abc"]),
        ("\\bcmd", &["cmd"]),
        ("a.bcd", &["bcd"]),
        ("abcd.efg", &["abcd"]),
        ("power.*shell", &["power"]), // the first of equals
        ("(abc)def", &["abcdef"]),
        ("x(abc)+y", &["abc"]),
        // What may be left out is not in every match.
        ("(foo)?bar", &["bar"]),
        ("(foobar)?baz", &["baz"]),
        ("(foobar)*baz", &["baz"]),
        ("(foobar){0,5}baz", &["baz"]),
        ("(foobar){1,5}baz", &["foobar"]),
        ("foo*bar", &["bar"]),
        ("(abc)?", &[]),
        // One of the alternatives must be there, and each must help.
        ("abc|defg", &["abc", "defg"]),
        ("abc|de", &[]),
        ("abc|.*", &[]),
        ("abc|", &[]),
        ("(abc|def){2}x", &["abc", "def"]),
        ("(abcd|efgh)xyz", &["abcd", "efgh"]),
        ("(abc|def)longer", &["longer"]),
        ("(abc|def).xyz", &["xyz"]), // of equals, those with fewer alternatives
        ("x(ab|cd)y", &[]),
        // A class is a letter only when it is all forms of one.
        ("[Aa]bc", &["abc"]),
        ("[kK\u{212a}]ab", &["kab"]),
        ("[ab]cde", &["cde"]),
        ("[ab]cd", &[]),
        ("[^a]cde", &["cde"]),
        ("[0-9]{3}", &[]),
        ("(?i)powershell", &["powershell"]),
        ("(?i)\u{17f}ab", &["sab"]),
    ] {
        check(expression, plain, expected);
    }
    check("PowerShell", RegexFlags { ignore_case: true, ..plain }, &["powershell"]);
}

#[test]
fn not_too_many_alternatives() {
    let words = |count: usize| (0..count).map(|n| format!("{n:03}")).collect::<Vec<_>>();
    for (count, kept) in [(2, 2), (ALTERNATIVES_MAX, ALTERNATIVES_MAX), (ALTERNATIVES_MAX + 1, 0)] {
        // Unlike each other at both ends, so that the alternatives stay as they are.
        let texts: Vec<String> = words(count).iter().map(|n| format!("[0-9]{n}.")).collect();
        let have = of_regex(&Regex::new(&texts.join("|"), RegexFlags::default()).unwrap());
        assert_eq!(have.unwrap_or_default().len(), kept, "{count}");
    }
}
