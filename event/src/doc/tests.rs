use super::*;

fn round_trip(text: &str) -> Result<String, ParseError> {
    let mut parser = Parser::default();
    let doc = parser.json(text.as_bytes())?;
    let mut out = Vec::new();
    doc.write_json(Doc::ROOT, &mut out);
    Ok(String::from_utf8(out).unwrap())
}

fn check(text: &str, expected: &str) {
    assert_eq!(round_trip(text).as_deref(), Ok(expected));
}

#[test]
fn writes_what_it_read() {
    for text in [
        r#"{"a":{"b":[1,-2,3.5,null,true,"x\"y"]},"c":{},"d":[]}"#,
        r#"{"n":18446744073709551615,"m":-9223372036854775808}"#,
        r#""text""#,
        "[]",
    ] {
        check(text, text);
    }
}

#[test]
fn every_duplicate_key_is_visible() {
    let mut parser = Parser::default();
    let doc = parser.json(br#"{"a":1,"a":2}"#).unwrap();
    let seen: Vec<_> = doc.members(Doc::ROOT).map(|(k, n)| (k, doc.value(n))).collect();
    assert_eq!(seen, [("a", Value::I64(1)), ("a", Value::I64(2))]);
    assert_eq!(doc.member(Doc::ROOT, "a").map(|n| doc.value(n)), Some(Value::I64(1)));
}

#[test]
fn lone_surrogates_and_huge_numbers_are_read() {
    check(r#"{"a":"x\ud800y"}"#, "{\"a\":\"x\u{fffd}y\"}");
    check(r#"{"a":"\udc00\ud83d\ude00"}"#, "{\"a\":\"\u{fffd}\u{1f600}\"}");
    check(r#"{"a":1e999,"b":-1e999}"#, r#"{"a":"1e999","b":"-1e999"}"#);
}

#[test]
fn refuses_what_is_not_json() {
    let deep = "[".repeat(100_000);
    for text in ["", "{", "not json", "{\"a\":1}{\"b\":2}", "{\"a\":}", deep.as_str(), "\u{feff}{}"]
    {
        assert!(round_trip(text).is_err(), "{}", &text[..text.len().min(20)]);
    }
    let mut parser = Parser::default();
    assert!(parser.json(b"{\"a\":\"\xc3\x28\"}").is_err(), "invalid UTF-8");
    assert!(parser.json(b"{\"a\":1}").is_ok(), "a bad record does not spoil the next");
}

#[test]
fn leaves_are_the_scalars_in_order() {
    let mut parser = Parser::default();
    let doc = parser.json(br#"{"a":{"b":[1,[2],{}]},"c":"x","d":[],"e":null}"#).unwrap();
    let leaves: Vec<_> = doc.leaves().collect();
    assert_eq!(leaves, [Value::I64(1), Value::I64(2), Value::Str("x"), Value::Null]);
    let doc = parser.json(b"7").unwrap();
    assert_eq!(doc.leaves().collect::<Vec<_>>(), [Value::I64(7)]);
}

#[test]
fn a_row_is_a_flat_object() {
    let mut parser = Parser::default();
    let fields = [("srcaddr", Value::Str("10.0.0.1")), ("bytes", Value::I64(40))];
    let doc =
        parser.row(None, |row| fields.into_iter().for_each(|(name, value)| row.add(name, value)));
    let mut out = Vec::new();
    doc.write_json(Doc::ROOT, &mut out);
    assert_eq!(out, br#"{"srcaddr":"10.0.0.1","bytes":40}"#);
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = Parser::default().json(&bytes).map(|doc| doc.leaves().count());
    }
}
