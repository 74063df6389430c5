use crate::{Beside, Derived, Doc, Parser, Pivot};

fn check(beside: &Beside, record: &str, expected: &str) {
    let mut parser = Parser::default();
    // The second record must not see the first.
    for text in [r#"{"a":"{\"x\":[1,2]}","l":[{"n":"k","v":1}]}"#, record] {
        let doc = parser.json_beside(text.as_bytes(), Some(beside)).unwrap();
        if text == record {
            let mut out = Vec::new();
            doc.write_json(Doc::ROOT, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{record}");
            assert_eq!(doc.source(), record);
        }
    }
}

fn pivot(name: &str, value: &[&str]) -> Pivot {
    Pivot { name: name.into(), value: value.iter().map(|v| (*v).to_owned()).collect() }
}

#[test]
fn text_that_is_json_is_read_beside_itself() {
    let mut beside = Beside::default();
    beside.decode("p.log", "log");
    check(
        &beside,
        r#"{"p":{"log":"{\"v\":\"a\\\"b\",\"n\":[1,{\"é\":null}]}","q":1},"z":2}"#,
        r#"{"p":{"log":"{\"v\":\"a\\\"b\",\"n\":[1,{\"é\":null}]}","log":{"v":"a\"b","n":[1,{"é":null}]},"q":1},"z":2}"#,
    );
    check(&beside, r#"{"p":{"log":"[1]"}}"#, r#"{"p":{"log":"[1]","log":[1]}}"#);
    check(&beside, r#"{"p":{"log":" {} "}}"#, r#"{"p":{"log":" {} ","log":{}}}"#);
    check(&beside, r#"{"p":{"log":"\"x\""}}"#, r#"{"p":{"log":"\"x\"","log":"x"}}"#);
    let in_lists = r#"[{"p":{"log":"[1]"}}]"#;
    check(&beside, in_lists, in_lists);
    check(
        &beside,
        r#"{"p":[{"log":"[1]"},{"log":["[2]","x"]}]}"#,
        r#"{"p":[{"log":"[1]","log":[1]},{"log":["[2]",[2],"x"]}]}"#,
    );
}

#[test]
fn decoded_text_may_get_another_name() {
    let mut beside = Beside::default();
    beside.decode("InitiatedBy", "initiatedBy");
    check(
        &beside,
        r#"{"InitiatedBy":"{\"user\":1}"}"#,
        r#"{"InitiatedBy":"{\"user\":1}","initiatedBy":{"user":1}}"#,
    );
}

#[test]
fn what_is_no_json_stays_as_it_is() {
    let mut beside = Beside::default();
    beside.decode("p", "p");
    for same in [
        r#"{"p":"{\"v\":"}"#,
        r#"{"p":"text"}"#,
        r#"{"p":"17"}"#,
        r#"{"p":""}"#,
        r#"{"p":{"q":1}}"#,
        r#"{"q":"{}"}"#,
        "[]",
        "{}",
    ] {
        check(&beside, same, same);
    }
}

#[test]
fn lists_of_names_and_values_become_objects() {
    let mut beside = Beside::default();
    beside.pivot("p", pivot("name", &["value", "int"]));
    beside.pivot("m.q", pivot("Name", &[]));
    check(
        &beside,
        r#"{"p":[{"name":"a b","value":"x"},{"name":"c","int":7},{"name":"d"},{"value":1},3],"z":1}"#,
        r#"{"p":[{"name":"a b","value":"x"},{"name":"c","int":7},{"name":"d"},{"value":1},3],"p":{"a b":"x","c":7},"z":1}"#,
    );
    check(
        &beside,
        r#"{"m":{"q":[{"Name":"r","New":[1],"Old":null}]}}"#,
        r#"{"m":{"q":[{"Name":"r","New":[1],"Old":null}],"q":{"r":{"Name":"r","New":[1],"Old":null}}}}"#,
    );
    for same in
        [r#"{"p":[]}"#, r#"{"p":[{"name":1,"value":2}]}"#, r#"{"p":{"name":"a","value":1}}"#]
    {
        check(&beside, same, same);
    }
}

#[test]
fn a_list_in_decoded_text_is_pivoted() {
    let mut beside = Beside::default();
    beside.decode("d", "d");
    beside.pivot("d.p", pivot("n", &["v"]));
    check(
        &beside,
        r#"{"d":"{\"p\":[{\"n\":\"k\",\"v\":\"\\u0041\"}]}"}"#,
        r#"{"d":"{\"p\":[{\"n\":\"k\",\"v\":\"\\u0041\"}]}","d":{"p":[{"n":"k","v":"A"}],"p":{"k":"A"}}}"#,
    );
}

#[test]
fn members_are_made_of_others() {
    let mut beside = Beside::default();
    let table = [("Succeeded".to_owned(), "success".to_owned())].into_iter().collect();
    let derived = Derived {
        name: "status".into(),
        from: vec!["r".into()],
        values: Some(table),
        otherwise: None,
    };
    let with_rest = Derived {
        name: "status.rest".into(),
        otherwise: Some("failure".into()),
        ..derived.clone()
    };
    beside.derive(derived);
    beside.derive(with_rest);
    let from = vec!["t.m".into(), "t".into()];
    beside.derive(Derived { name: "all".into(), from, values: None, otherwise: None });
    check(
        &beside,
        r#"{"r":"Succeeded"}"#,
        r#"{"r":"Succeeded","status":["success"],"status.rest":["success"]}"#,
    );
    check(&beside, r#"{"r":"Oh"}"#, r#"{"r":"Oh","status.rest":["failure"]}"#);
    check(
        &beside,
        r#"{"r":null,"t":[{"m":1},{"m":"x","k":[]}]}"#,
        r#"{"r":null,"t":[{"m":1},{"m":"x","k":[]}],"all":["1","x","{\"m\":1}","{\"m\":\"x\",\"k\":[]}"]}"#,
    );
    check(&beside, r#"{"t":{}}"#, r#"{"t":{},"all":["{}"]}"#);
}

proptest::proptest! {
    #[test]
    fn whatever_a_record_says_it_stays_a_document(
        text in r#"(\{"p":|\["p",|\[\{"n":"p","v":|"\{\\"p\\":1\}"|"\[1\]"|\}|\]|,|1|null){0,12}"#,
    ) {
        let mut beside = Beside::default();
        beside.decode("p", "p");
        beside.decode("p.p", "p");
        beside.pivot("p", pivot("n", &["v"]));
        let from = vec!["p".into(), "p.p".into()];
        beside.derive(Derived { name: "d".into(), from, values: None, otherwise: None });
        let (mut plain, mut more) = (Parser::default(), Parser::default());
        let is_json = plain.json(text.as_bytes()).is_ok();
        let doc = more.json_beside(text.as_bytes(), Some(&beside));
        proptest::prop_assert_eq!(is_json, doc.is_ok());
        if let Ok(doc) = doc {
            let mut out = Vec::new();
            doc.write_json(Doc::ROOT, &mut out);
            let again = Parser::default().json(&out).map(|d| d.leaves().count());
            proptest::prop_assert_eq!(again, Ok(doc.leaves().count()));
        }
    }
}
