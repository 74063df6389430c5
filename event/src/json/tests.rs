use super::*;
use crate::doc::{Doc, Parser, Value};

/// The document as serde_json has it; of a repeated key the last value.
fn ours(text: &[u8]) -> Result<serde_json::Value, String> {
    let mut parser = Parser::default();
    let doc = parser.json(text).map_err(|e| e.to_string())?;
    Ok(tree(&doc, Doc::ROOT))
}

fn tree(doc: &Doc<'_>, node: crate::NodeId) -> serde_json::Value {
    use serde_json::Value as Json;
    match doc.value(node) {
        Value::Null => Json::Null,
        Value::Bool(b) => b.into(),
        Value::I64(n) => n.into(),
        Value::U64(n) => n.into(),
        Value::F64(n) => n.into(),
        Value::Str(s) => s.into(),
        Value::Array(array) => doc.items(array).map(|item| tree(doc, item)).collect(),
        Value::Object(object) => {
            let members = doc.members(object).map(|(k, v)| (k.to_owned(), tree(doc, v)));
            Json::Object(members.collect())
        }
    }
}

/// The document as simd-json has it, written the same way; `None` where it refuses.
fn theirs(text: &[u8]) -> Option<serde_json::Value> {
    let mut input = text.to_vec();
    let tape = simd_json::to_tape(&mut input).ok()?;
    Some(their_tree(&mut tape.0.into_iter()))
}

fn their_tree<'a>(nodes: &mut impl Iterator<Item = simd_json::Node<'a>>) -> serde_json::Value {
    use simd_json::{Node, StaticNode};
    match nodes.next().expect("a tape is complete") {
        Node::String(s) => s.into(),
        Node::Static(StaticNode::Null) => serde_json::Value::Null,
        Node::Static(StaticNode::Bool(b)) => b.into(),
        Node::Static(StaticNode::I64(n)) => n.into(),
        Node::Static(StaticNode::U64(n)) => n.into(),
        Node::Static(StaticNode::F64(n)) => n.into(),
        Node::Array { len, .. } => (0..len).map(|_| their_tree(nodes)).collect(),
        Node::Object { len, .. } => {
            let mut members = serde_json::Map::new();
            for _ in 0..len {
                let Some(Node::String(key)) = nodes.next() else { panic!("a key") };
                members.insert(key.to_owned(), their_tree(nodes));
            }
            members.into()
        }
    }
}

/// Both read the text and read the same, or neither reads it.
fn check(text: &[u8]) {
    let (ours, theirs) = (ours(text), theirs(text));
    let shown = String::from_utf8_lossy(text);
    match (&ours, &theirs) {
        (Ok(a), Some(b)) => assert!(same(a, b), "{shown}\n{a}\n{b}"),
        (Err(_), None) => {}
        // Where this reader is lenient, as its documentation says.
        (Ok(_), None) if lenient(text) => {}
        _ => panic!("{shown}\nours {ours:?}\ntheirs {theirs:?}"),
    }
}

fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => a == b || a.as_f64() == b.as_f64() && !(a.is_i64() && b.is_i64()),
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Object(a), Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn lenient(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_lowercase();
    let has_surrogate = ["\\ud8", "\\ud9", "\\uda", "\\udb", "\\udc", "\\udd", "\\ude", "\\udf"];
    let mut numbers = text.split(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e'));
    has_surrogate.iter().any(|s| text.contains(s))
        || numbers.any(|n| n.parse::<f64>().is_ok_and(f64::is_infinite))
}

/// Alone, in an array and in an object, each at the edges of what is read at once.
const TEXTS: [&str; 102] = [
    "0",
    "-0",
    "-0.0",
    "00",
    "01",
    "-",
    "+1",
    "1.",
    ".5",
    "1.5",
    "1e5",
    "1E+5",
    "1e-5",
    "1e",
    "1e+",
    "0e0",
    "123456789012345678",
    "1234567890123456789",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "0.1",
    "2.2250738585072014e-308",
    "5e-324",
    "1e-400",
    "1.7976931348623157e308",
    "1e309",
    "-1e309",
    "9007199254740993",
    "123456789012345678901234567890",
    "0.30000000000000004",
    "1 2",
    "true",
    "tru",
    "truex",
    "false",
    "null",
    "nul",
    "nullnull",
    "\"\"",
    "\"",
    "\"a",
    "\"a\\",
    "\"\\u00e9\"",
    "\"\\u12\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\ude00\\ud83d\"",
    "\"\\ud83dx\"",
    "\"\\x\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"a\nb\"",
    "\"a\tb\"",
    "\"\u{7f}\"",
    "\"\u{0}\"",
    "\"\u{1f}\"",
    "[]",
    "[ ]",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1",
    "]",
    "[}",
    "{]",
    "{}",
    "{ }",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\" : 1 , \"b\":[ ] }",
    "{\"a\":1 \"b\":2}",
    "{1:2}",
    "{\"a\":1}}",
    "{\"a\":1}{",
    "{\"a\":{\"b\":[{},[],[[]]]}}",
    "",
    " ",
    " 1 ",
    "\t\r\n[1]\n",
    "\u{b}1",
    "\u{a0}1",
    "{\"a\":1,\"a\":2}",
    "[\"\\u0000\"]",
    "{\"\\u0061\":1}",
    "'a'",
    "NaN",
    "Infinity",
    "[1]//",
    "\u{feff}1",
    "[true,false,null]",
    "[tru e]",
    "{\"a\":tRue}",
    "[-]",
    "[1e1000000000000]",
    "[--1]",
    "[1.0.0]",
    "[0x1]",
];

#[test]
fn reads_what_others_read() {
    for text in TEXTS {
        check(text.as_bytes());
        for padding in [15, 16, 17, 31, 32, 33] {
            check(format!("[\"{}\",{text}]", "é".repeat(padding / 2)).as_bytes());
            check(format!("{{\"{}\":{text}}}", "k".repeat(padding)).as_bytes());
        }
    }
    for bytes in [
        &b"\"\xff\""[..],
        b"\"\xc3\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\xff",
        b"{}\xff",
    ] {
        check(bytes);
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for depth in [1, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1, 100_000] {
        check(nested(depth).as_bytes());
        let read = ours(nested(depth).as_bytes()).map(drop);
        let refused = || Err(format!("nested too deeply at byte {DEPTH_MAX}"));
        assert_eq!(read, if depth > DEPTH_MAX { refused() } else { Ok(()) });
    }
    check("{\"a\":".repeat(100_000).as_bytes());
}

#[test]
fn says_what_is_wrong_and_where() {
    for (text, expected) in [
        ("{\"a\":1,}", "expected a key at byte 7"),
        ("{\"a\" 1}", "expected `:` at byte 5"),
        ("[1 2]", "expected `,` or `]` at byte 3"),
        ("{\"a\":1]", "expected `,` or `}` at byte 6"),
        ("[01]", "expected a number at byte 3"),
        ("\"\\x\"", "an unknown escape at byte 1"),
        ("{} x", "expected nothing more at byte 3"),
        ("{\"a\":\"", "the text ends too early at byte 6"),
    ] {
        assert_eq!(ours(text.as_bytes()).err().as_deref(), Some(expected), "{text}");
    }
    assert_eq!(ours(b"[\"\xff\"]").err().as_deref(), Some("not UTF-8 at byte 2"));
}

use proptest::prelude::*;

/// JSON and what is almost JSON: pieces in any order.
fn almost() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        " ",
        "\n",
        "\"a\":",
        "\"key\":\"value\",",
        "1",
        "-",
        "0",
        ".5",
        "e9",
        "true",
        "false",
        "null",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\ud800",
        "\\n",
        "é",
        "😀",
        "\u{1}",
        "sixteen bytes ok",
        "[1,2]",
        "{\"x\":{}}",
        "18446744073709551616",
        "\"\\\\\\\"\"",
    ];
    let piece = prop_oneof![
        30 => prop::sample::select(pieces.to_vec()).prop_map(|p| p.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|b| vec![b])
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Whole JSON texts.
fn json() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        "[a-zA-Z\\\\\"\u{0}-\u{1f}é😀 ]{0,40}".prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    let tree = leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-c\\\\]{0,20}", inner, 0..6)
                .prop_map(|m| m.into_iter().collect()),
        ]
    });
    (tree, any::<bool>()).prop_map(|(tree, pretty)| {
        let text =
            if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) };
        text.unwrap_or_default().into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn almost_json_is_read_as_others_read_it(text in almost()) {
        check(&text);
    }

    #[test]
    fn damaged_json_is_read_as_others_read_it(
        text in json(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        check(&text);
        if !text.is_empty() {
            let mut damaged = text.clone();
            damaged[at.index(text.len())] = byte;
            check(&damaged);
            check(&text[..at.index(text.len())]);
        }
    }
}

#[test]
fn a_text_of_commas_is_refused_before_it_takes_eight_times_its_size() {
    let list = |items: usize| format!("[{}0]", "0,".repeat(items - 1));
    let mut parser = Parser::default();
    assert!(parser.json(list(NODES_MAX - 1).as_bytes()).is_ok());
    let Err(error) = parser.json(list(NODES_MAX + 2).as_bytes()) else { panic!("it was read") };
    assert_eq!(error.reason, "more than two million values and keys");
    assert!(error.at < 2 * NODES_MAX + 2, "{error}");
}
