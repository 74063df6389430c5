use super::*;
use event::Parser;

fn check(take: &str, json: &str, expected: Option<&str>) {
    let take: Take = serde_saphyr::from_str(take).unwrap();
    let mut parser = Parser::default();
    let doc = parser.json(json.as_bytes()).unwrap();
    let mut scratch = String::new();
    let value = take.apply(&doc, doc.value(Doc::ROOT), &mut scratch);
    let text = value.map(|v| match v {
        Value::Str(s) => s.to_owned(),
        other => format!("{other:?}"),
    });
    assert_eq!(text.as_deref(), expected, "{take:?} {json}");
}

#[test]
fn addresses() {
    check("ip", r#""1.2.3.4:5""#, Some("1.2.3.4"));
    check("ip", r#""[2A02::1]:80""#, Some("2a02::1"));
    check("ip", r#""AWS Internal""#, None);
    check("ip", "7", None);
    check("port", r#""1.2.3.4:5""#, Some("I64(5)"));
    check("port", r#""1.2.3.4""#, None);
    check("not_ip", r#""ec2.amazonaws.com""#, Some("ec2.amazonaws.com"));
    check("not_ip", r#""1.2.3.4""#, None);
}

#[test]
fn texts() {
    check("email", r#""a@b.example""#, Some("a@b.example"));
    check("email", r#""AROAEXAMPLE:a@b.example""#, Some("a@b.example"));
    check("email", r#""A B <a+c@b.example>""#, Some("a+c@b.example"));
    for text in ["\"a@b\"", "\"@b.c\"", "\"root\"", "\"a@b.c.\"", "\"a@b@c.d\"", "\"\""] {
        check("email", text, None);
    }
    check("lower", r#""ÄbC""#, Some("äbc"));
    check("before: ':'", r#""a:b:c""#, Some("a"));
    check("after: ':'", r#""a:b:c""#, Some("b:c"));
    check("after_last: '/'", r#""arn:user/x/alice""#, Some("alice"));
    check("after_last: '/'", r#""alice""#, None);
}

#[test]
fn numbers() {
    check("times: 10", "8.9", Some("I64(89)"));
    check("times: 10", r#""5""#, Some("I64(50)"));
    check("times: 10", r#""x""#, None);
    check("times: 10", "1e300", None);
    check("http_outcome", "200", Some("success"));
    check("http_outcome", r#""403""#, Some("failure"));
    check("http_outcome", "null", None);
}

#[test]
fn entries_of_a_printed_map() {
    let risk = r#""{reasons=Anomalous Device, New IP, level=HIGH}""#;
    check("entry: level", risk, Some("HIGH"));
    check("entry: reasons", risk, Some("Anomalous Device, New IP"));
    check("entry: x", risk, None);
    check("entry: level", r#""{level=LOW}""#, Some("LOW"));
    check("entry: level", r#""{level=}""#, Some(""));
    check("entry: level", r#""é, =, , ""#, None);
    check("entry: a", r#""{a=é, b=1}""#, Some("é"));
}

#[test]
fn elements_by_kind() {
    let take = "element: {where: type, is: [User, AppUser], take: id}";
    check(take, r#"{"type":"User","id":"u1"}"#, Some("u1"));
    check(take, r#"{"type":"AppInstance","id":"a1"}"#, None);
    check(take, r#"{"type":"User"}"#, None);
    check(take, r#""text""#, None);
}

proptest::proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,30}", name in "[a=, ]{1,3}") {
        let _ = entry(&text, &name);
        let _ = email(&text);
    }
}
