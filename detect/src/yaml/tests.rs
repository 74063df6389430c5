use super::*;

fn one(text: &str) -> Result<Node, Problem> {
    let mut all = documents(text);
    assert_eq!(all.len(), 1, "{text:?}");
    all.remove(0).1
}

fn at(line: u32, column: u32) -> Position {
    Position { line, column }
}

#[test]
fn plain_scalars_follow_the_core_schema() {
    let number = |text: &str| Typed::Number(Number::parse(text).unwrap());
    for (text, expected) in [
        ("0x10", number("16")),
        ("0xC0000064", number("3221225572")),
        ("0o17", number("15")),
        ("017", number("17")),
        ("1e3", number("1000")),
        ("-12", number("-12")),
        ("+12", number("12")),
        (".5", number("0.5")),
        ("5.", number("5")),
        ("12345678901234567890123", number("12345678901234567890123")),
        ("yes", Typed::Text),
        ("on", Typed::Text),
        ("1_000", Typed::Text),
        ("12:30", Typed::Text),
        ("0x", Typed::Text),
        ("0x+1", Typed::Text),
        ("-0x10", Typed::Text),
        (".inf", Typed::Text),
        (".nan", Typed::Text),
        ("2026-11-22", Typed::Text),
        ("true", Typed::Bool(true)),
        ("FALSE", Typed::Bool(false)),
        ("tRue", Typed::Text),
        ("~", Typed::Null),
        ("null", Typed::Null),
        ("", Typed::Null),
        ("'true'", Typed::Text),
        ("\"1\"", Typed::Text),
        ("!!str 1", Typed::Text),
    ] {
        let node = one(&format!("a: {text}\n")).unwrap();
        assert_eq!(node.get("a").unwrap().typed(), Some(expected), "{text}");
    }
}

#[test]
fn nodes_know_where_they_are() {
    let node = one("# comment\na:\n  - x\n  - 'yy': \"z\"\n").unwrap();
    assert_eq!(node.at, at(2, 1));
    let Kind::Sequence(items) = &node.get("a").unwrap().kind else { panic!() };
    assert_eq!(items[0].at, at(3, 5));
    let (key, value) = &items[1].pairs()[0];
    assert_eq!((key.at, value.at), (at(4, 5), at(4, 11)));
    assert_eq!(key.inside(1), at(4, 7));
}

#[test]
fn documents_are_separate() {
    let all = documents("a: 1\n---\nb: [\n--- # comment\nc: 3\n---\n# nothing\n---\nd: '\n");
    let read: Vec<_> = all.iter().map(|(at, doc)| (at.line, doc.is_ok())).collect();
    assert_eq!(read.len(), 4, "{all:?}");
    assert_eq!(read[0], (1, true));
    assert!(!read[1].1 && (3..=4).contains(&read[1].0), "{read:?}");
    assert_eq!(read[2], (5, true));
    assert!(!read[3].1);
    assert!(documents("").is_empty() && documents("---\n# x\n").is_empty());
    assert_eq!(documents("\u{feff}a: 1").len(), 1);
}

#[test]
fn problems_have_a_place() {
    for (text, line, column) in [
        ("a: 1\nb: 2\na: 3\n", 3, 1),
        ("x:\n  a: 1\n  'a': 3\n", 3, 3),
        ("a: 1\n<<: {}\n", 2, 1),
        ("? [a]\n: 1\n", 1, 3),
        ("a: &x [*x]\n", 1, 8),
    ] {
        let problem = one(text).unwrap_err();
        assert_eq!(problem.at, at(line, column), "{text:?} {problem:?}");
    }
}

#[test]
fn aliases_are_copied_within_bounds() {
    let node = one("a: &x [1, 2]\nb: *x\n").unwrap();
    assert_eq!(node.get("a").unwrap().kind, node.get("b").unwrap().kind);
    let mut bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
    for n in 1..10 {
        let refs = vec![format!("*a{}", n - 1); 10].join(",");
        bomb.push_str(&format!("a{n}: &a{n} [{refs}]\n"));
    }
    assert!(one(&bomb).unwrap_err().message.contains("too large"));
    assert!(one(&"[".repeat(100_000)).is_err());
}

proptest::proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "[ -~\n\t\u{e9}\u{2028}]{0,200}") {
        documents(&text);
    }

    #[test]
    fn arbitrary_structure_never_panics(text in "[-:?\\[\\]{},&*!|>'\"%#a \n]{0,120}") {
        documents(&text);
    }
}
