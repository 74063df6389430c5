use super::*;

fn person(values: &[&str]) -> Person {
    Person::new(values).unwrap()
}

fn blot(values: &[&str], text: &str) -> String {
    person(values).blot(text).into_owned()
}

#[test]
fn whole_words_in_any_case_and_nobody_else() {
    let alice = ["alice@acme.com", "10.1.2.3", "alice"];
    for (text, expected) in [
        ("Alice@ACME.com", "[erased]"),
        (r#"{"who":"alice@acme.com","ip":"10.1.2.3"}"#, r#"{"who":"[erased]","ip":"[erased]"}"#),
        ("from 10.1.2.3:443, 10.1.2.3.", "from [erased]:443, [erased]."),
        (r"ACME\alice arn:aws:iam::1:user/alice", r"ACME\[erased] arn:aws:iam::1:user/[erased]"),
        ("alice@other.com said alice.", "[erased]@other.com said [erased]."),
    ] {
        assert_eq!(blot(&alice, text), expected);
    }
    let others = "malice alice_b alice.smith bob.alice alice-laptop alices 10.1.2.30 110.1.2.3 10.1.2.3.4 \
                  eve+alice äalice aliceß";
    assert!(matches!(person(&alice).blot(others), Cow::Borrowed(_)));
    let mails = ["alice@acme.com"];
    let others =
        "malice@acme.com bob.alice@acme.com alice@acme.com.au alice@acme.community alice @acme.com";
    assert_eq!(blot(&mails, others), others);
}

#[test]
fn behind_escapes_on_top_of_each_other() {
    let values = ["müller@acme.com", "bob"];
    for (text, expected) in [
        (r#"{"who":"m\u00fcller@acme.com"}"#, r#"{"who":"[erased]"}"#),
        (r#"{"who":"m\u00FCller\u0040acme.com"}"#, r#"{"who":"[erased]"}"#),
        (r#"{"in":"{\"who\":\"m\\u00fcller@acme.com\"}"}"#, r#"{"in":"{\"who\":\"[erased]\"}"}"#),
        ("/find?q=M%C3%BCller%40acme.com&x=1", "/find?q=[erased]&x=1"),
        (
            "/find?next=%2Ffind%3Fq%3Dm%25C3%25BCller%2540acme.com",
            "/find?next=%2Ffind%3Fq%3D[erased]",
        ),
        // What an escape looks like on one level it need not be on another.
        (r#"{"who":"ACME\\bob"}"#, r#"{"who":"ACME\\[erased]"}"#),
        (r#"{"who":"x\nbob\tbob\\nbob"}"#, r#"{"who":"x\n[erased]\t[erased]\\n[erased]"}"#),
        (r"100%bob %zzbob %25bob", r"100%[erased] %zzbob %25[erased]"),
    ] {
        assert_eq!(blot(&values, text), expected, "{text}");
    }
    let face = ["\u{1f600}face"];
    assert_eq!(blot(&face, r#"["\ud83d\ude00face"]"#), r#"["[erased]"]"#);
    for torn in [r"\ud83d", r"\ud83d\u0041face", r"\u12", r"%C3%28", r"%f", r"\"] {
        assert!(matches!(person(&face).blot(torn), Cow::Borrowed(_)), "{torn}");
    }
}

#[test]
fn json_stays_json() {
    let text = r#"{"id":123456,"ids":[ 123456 , 7],"name":"123456","no":1234567}"#;
    let blotted = blot(&["123456"], text);
    assert_eq!(blotted, r#"{"id":null,"ids":[ null , 7],"name":"[erased]","no":1234567}"#);
    assert!(serde_json::from_str::<serde_json::Value>(&blotted).is_ok());
}

#[test]
fn the_longest_value_goes_first_and_twice_is_once() {
    assert_eq!(blot(&["bob", "bob@acme.com"], "bob@acme.com"), "[erased]");
    assert_eq!(blot(&["bob@acme.com", "acme.com"], "bob@acme.com acme.com"), "[erased] [erased]");
    let once = blot(&["bob"], r"bob\u0020bob");
    assert_eq!(once, r"[erased]\u0020[erased]");
    assert_eq!(blot(&["bob"], &once), once);
}

#[test]
fn what_would_be_found_everywhere_is_refused_and_never_repeated() {
    for values in [&[][..], &["ab"], &["  a  "], &["good", ""], &["x".repeat(257).as_str()]] {
        let error = Person::new(values).unwrap_err();
        assert_eq!(error.kind(), Kind::Options);
        assert!(!error.to_string().contains("good"), "{error}");
    }
    assert_eq!(format!("{:?}", person(&["alice"])), "Person(***)");
    assert_eq!(person(&["123456", "0123456", "-42", "x123"]).numbers, [123_456, -42]);
}
