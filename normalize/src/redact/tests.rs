use proptest::prelude::*;
use serde_json::json;

use super::*;
use event::Secret;

fn options() -> RedactOptions {
    RedactOptions { key: Secret::new("a key of the tests, not short"), ..Default::default() }
}

fn redactor() -> Redactor {
    Redactor::new(&options()).unwrap()
}

/// The text with each pseudonym's code taken out: `[EMAIL]`.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(']') {
        let (front, back) = rest.split_at(at);
        let cut = front.rfind(':').filter(|c| front.len() - c == 7 && front[..*c].contains('['));
        out.push_str(&front[..cut.unwrap_or(front.len())]);
        out.push(']');
        rest = &back[1..];
    }
    out + rest
}

fn check(text: &str, expected: &str) {
    assert_eq!(plain(&redactor().text(text)), expected, "{text}");
}

fn quiet(text: &str) {
    assert!(matches!(redactor().text(text), Cow::Borrowed(_)), "{text}: {}", redactor().text(text));
}

#[test]
fn emails() {
    check("from alice@example.com to", "from [EMAIL] to");
    check("user=Bob.O'Neil+x@mail.example.co.uk.", "user=[EMAIL].");
    check("'carol@example.org'", "'[EMAIL]'");
    check("jürgen@bücher.example and 用户@例子.公司", "[EMAIL] and [EMAIL]");
    check("u=a%40example.com&q=%3Ddave%40example.com", "u=[EMAIL]&q=%3D[EMAIL]");
    check("q%3Deve@example.com", "q%3D[EMAIL]");
    check("ann@xn--bcher-kva.example", "[EMAIL]");
    check("ann@example.com--203.0.113.9-", "[EMAIL]--[IP]-");
    check("ann@example.com-2001:db8::1", "[EMAIL]-[IP]");
    check("2001:db8::1.443 2001:db8::1..203.0.113.9", "[IP].443 [IP]..[IP]");
    for text in [
        "lodash@4.17.21",
        "user@host",
        "@everyone",
        "session@1000.service",
        "icon@2x.png",
        "image@sha256:0123456789abcdef",
        "j***@example.com",
        "a@.com",
        "a@b..com",
    ] {
        quiet(text);
    }
}

#[test]
fn addresses() {
    check("from 203.0.113.9:443, via 10.0.0.1/8.", "from [IP]:443, via [IP]/8.");
    check("[2001:db8::1]:443 fe80::1%eth0 ::ffff:192.0.2.1", "[[IP]]:443 [IP] [IP]");
    check("10.0.0.1-10.0.0.9", "[IP]-[IP]");
    check("host node-3/10.1.2.3:80 user@198.51.100.7", "host node-3/[IP]:80 user@[IP]");
    check("ip%3D192.0.2.4 \\n192.0.2.4", "ip%3D[IP] \\n[IP]");
    check("2001:db8::1: refused", "[IP]: refused");
    check("1:2:3:4:5:6:7:8", "[IP]");
    for text in [
        "version 1.2.3.4",
        "\"appVersion\":\"10.4.2.1\"",
        "v1.2.3.4 1.2.3.4.5 1.2.3 pkg-1.2.3.4 1.2.3.4-beta 1.2.3.4+b7 1.2.3.4.el7",
        "Chrome/120.0.0.0 Safari/537.36",
        "300.1.2.3 01.2.3.4",
        "12:34:56 00:1a:2b:3c:4d:5e 00:11:22:33:44:55:66:77",
        "arn:aws:iam::123456789012:role/x arn:aws:s3:::bucket",
        "std::vector Foo::Bar a::b Dead::Beef",
        "2026-11-22T10:11:12.123Z",
        "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48",
    ] {
        quiet(text);
    }
}

#[test]
fn private_addresses_can_be_kept() {
    let options = RedactOptions { ips: IpPolicy::KeepPrivate, ..options() };
    let redactor = Redactor::new(&options).unwrap();
    let text = "10.1.2.3 192.168.0.1 127.0.0.1 100.64.0.1 169.254.169.254 ::1 fe80::1 fd00::7";
    assert_eq!(redactor.text(text), text);
    assert_eq!(
        plain(&redactor.text("8.8.8.8 2600::1 ::ffff:10.0.0.1")),
        "[IP] [IP] ::ffff:10.0.0.1"
    );
    let off = Redactor::new(&RedactOptions { ips: IpPolicy::Off, ..options }).unwrap();
    assert_eq!(off.text("8.8.8.8 2600::1"), "8.8.8.8 2600::1");
}

#[test]
fn cards() {
    for text in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "3530111333300000",
        "6200000000000005",
        "30569309025904",
        "4222222222222",
    ] {
        check(&format!("pan={text};"), "pan=[CARD];");
    }
    check("4111 1111 1111 1111 12/27", "[CARD] 12/27");
    for text in [
        "4111111111111112",
        "94111111111111111",
        "4111111111111111.5",
        "12-4111111111111111",
        "41111111-1111-1111",
        "4444444444444444",
        "x4111111111111111",
    ] {
        quiet(text);
    }
}

#[test]
fn social_security_numbers() {
    check("123-45-6789", "[SSN]");
    check("ssn: 123 45 6789, SSN=123456789", "ssn: [SSN], SSN=[SSN]");
    check("his social security number is 123456789.", "his social security number is [SSN].");
    for text in [
        "000-45-6789 666-45-6789 900-45-6789 123-00-6789 123-45-0000",
        "078-05-1120 219-09-9999 987-65-4321",
        "123456789",
        "GET / 200 12 3456",
        "classname 123456789",
        "2026-11-22 555-1234",
        "1-123-45-6789 123-45-67890 123-45-6789-1",
    ] {
        quiet(text);
    }
    let mut value =
        json!({"ssn": "123456789", "n": {"social_security_no": 123456789}, "id": 123456789});
    redactor().json(&mut value);
    assert_eq!(
        plain(&value.to_string()),
        r#"{"id":123456789,"n":{"social_security_no":"[SSN]"},"ssn":"[SSN]"}"#
    );
}

/// Test secrets are put together here so that no scanner takes this file for a leak.
fn secret(prefix: &str, len: usize) -> String {
    const LETTERS: &[u8] = b"aZ3bY4cX5dW6eV7fU8gT9hS2iRjQkPlOmNnM";
    let tail = (0..len).map(|i| LETTERS[i * 7 % LETTERS.len()] as char);
    prefix.chars().chain(tail).collect()
}

#[test]
fn aws_keys() {
    let id = format!("AK{}", "IAIOSFODNN7EXAMPLE");
    let key = secret("", 40);
    check(&format!("key {id} used"), "key [AWS_KEY] used");
    check(&format!("aws_secret_access_key = {key}"), "aws_secret_access_key = [AWS_SECRET]");
    check(&format!("{id},{key}"), "[AWS_KEY],[AWS_SECRET]");
    let mut value = json!({"secretAccessKey": key, "other": key});
    redactor().json(&mut value);
    assert_eq!(value["other"], json!(key), "without a name it may be anything");
    assert_eq!(plain(&value["secretAccessKey"].to_string()), "\"[AWS_SECRET]\"");
    quiet("AROAIOSFODNN7EXAMPLE AKIAIOSFODNN7EXAMPL akiaiosfodnn7example XAKIAIOSFODNN7EXAMPLE");
    quiet("secret_key = da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

#[test]
fn tokens() {
    let jwt = format!("{}.{}.{}", secret("eyJ", 20), secret("eyJ", 30), secret("", 20));
    check(&format!("jwt {jwt}, next"), "jwt [JWT], next");
    check(&format!("Authorization: Bearer {jwt}"), "Authorization: Bearer [JWT]");
    check(&format!("authorization: bearer {}", secret("", 24)), "authorization: bearer [TOKEN]");
    for text in [
        secret("ghp_", 36),
        secret("gho_", 36),
        secret("github_pat_", 40),
        secret("glpat-", 20),
        secret("xoxb-", 30),
        secret("sk-ant-", 40),
        secret("sk-proj-", 40),
        secret("AIza", 35),
    ] {
        check(&format!("token={text}&"), "token=[TOKEN]&");
    }
    check(
        "https://x.blob/?sv=2&sig=abcdefghij0123456789ABCDEFGHIJ%2Bxyz%3D&se",
        "https://x.blob/?sv=2&sig=[TOKEN]&se",
    );
    check(
        "postgres://bob:hunter2@db.example.com:5432/x",
        "postgres://[URL_LOGIN]@db.example.com:5432/x",
    );
    check(
        "a -----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY----- b",
        "a [PRIVATE_KEY] b",
    );
    check("-----BEGIN PRIVATE KEY-----\nMIIB", "[PRIVATE_KEY]");
    let behind =
        "[EMAIL:ABCDEF]-----BEGIN PRIVATE KEY-----alice@example.com:Bearer abcdefgh12345678";
    check(behind, "[EMAIL][PRIVATE_KEY]");
    for text in [
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "Bearer error=invalid_token and bearer authentication_required",
        "task-force sk-some-long-kebab-case-name-here",
        "https://example.com:443/a@b ssh://host:22/",
        "https://user@host/",
        "eyJust a word",
    ] {
        quiet(text);
    }
}

#[test]
fn numbers_of_everyday_logs_are_left_alone() {
    for text in [
        "1763848347 1763848347123 1763848347123456 1763848347123456789",
        "bytes=4111111 took 12.345ms port 65535 pid 4242",
        "account 123456789012 arn:aws:iam::123456789012:user/x",
        "550e8400-e29b-41d4-a716-446655440000 urn:uuid:12345678-1234-1234-1234-123456789012",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709 sha256:9f86d081884c7d659a2feaa0c55ad015",
        "1.28.3 2.13.5 v3.0.0-rc.1 0.1.0+build.5",
        "aws-cli/2.13.5 Python/3.11.4 Linux/5.10.0-23 exe/x86_64.debian.12 prompt/off",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0",
        "2026-11-22T21:45:07.123456Z 22/Nov/2026:21:45:07 +0000",
        "5.15.0-91-generic kernel 6.1.0-13",
    ] {
        quiet(text);
    }
}

#[test]
fn the_same_value_has_the_same_pseudonym() {
    let redactor = redactor();
    let same = |a: &str, b: &str| assert_eq!(redactor.text(a), redactor.text(b), "{a} {b}");
    same("Alice@Example.com", "alice@example.com");
    same("4111 1111 1111 1111", "4111111111111111");
    same("::ffff:192.0.2.1", "192.0.2.1");
    same("2001:DB8:0:0::1", "2001:db8::1");
    assert_ne!(redactor.text("a@example.com"), redactor.text("b@example.com"));
    let other = RedactOptions { key: Secret::new("another key, long enough"), ..options() };
    assert_ne!(
        Redactor::new(&other).unwrap().text("a@example.com"),
        redactor.text("a@example.com")
    );
    // Known answer: HMAC-SHA256(key, "EMAIL" 00 "a@example.com"), computed with another program.
    let known = RedactOptions { key: Secret::new("0123456789abcdef"), ..options() };
    assert_eq!(Redactor::new(&known).unwrap().text("a@example.com"), "[EMAIL:Q2W4GW]");
}

#[test]
fn json_is_redacted_everywhere() {
    let mut value = json!({
        "a@example.com": {"ip": ["8.8.8.8", 4111111111111111_u64, null, true, 1.5]},
        "embedded": "{\"user\":\"b\\u0040example.com\",\"n\":1}",
        "A@example.com": 2,
        "clean": "{ \"kept\" :  \"as it is\" }",
        "clientVersion": "1.2.3.4",
    });
    redactor().json(&mut value);
    let text = plain(&value.to_string());
    assert!(text.contains(r#"{"ip":["[IP]","[CARD]",null,true,1.5]}"#), "{text}");
    assert!(text.contains(r#"{\"n\":1,\"user\":\"[EMAIL]\"}"#), "{text}");
    assert!(text.contains(r#""clean":"{ \"kept\" :  \"as it is\" }""#), "{text}");
    assert!(text.contains(r#""clientVersion":"1.2.3.4""#), "{text}");
    assert_eq!(value.as_object().unwrap().len(), 5, "no member is lost: {text}");
}

#[test]
fn custom_patterns_win() {
    let custom = |name: &str, pattern: &str| {
        let custom = vec![CustomPattern { name: name.into(), pattern: pattern.into() }];
        Redactor::new(&RedactOptions { custom, ..options() })
    };
    let redactor = custom("EMPLOYEE", r"E\d{5}|emp:[^ ]+").unwrap();
    assert_eq!(plain(&redactor.text("by E12345 emp:a@example.com")), "by [EMPLOYEE] [EMPLOYEE]");
    let once = redactor.text("by E12345").into_owned();
    assert_eq!(redactor.text(&once), once);
    for (name, pattern, kind, word) in [
        ("lower", "x", RedactErrorKind::Name, "capital"),
        ("", "x", RedactErrorKind::Name, "capital"),
        ("A", "(", RedactErrorKind::Pattern, "unclosed group"),
        ("A", "(?=x)", RedactErrorKind::Pattern, "look-around"),
        ("A", "x*", RedactErrorKind::Pattern, "empty"),
        ("A", r"\w{5000}{100}", RedactErrorKind::Pattern, "limit"),
    ] {
        let error = custom(name, pattern).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let error = custom("A", &"x".repeat(1_001)).unwrap_err();
    assert_eq!(error.kind, RedactErrorKind::Pattern);
}

#[test]
fn a_short_key_is_refused_and_no_key_is_shown() {
    let error = Redactor::new(&RedactOptions::default()).unwrap_err();
    assert_eq!(error.kind, RedactErrorKind::Key);
    assert!(!format!("{:?}", redactor()).contains("a key of the tests"));
}

#[test]
fn options_are_read_strictly() {
    let options: RedactOptions = serde_json::from_value(json!({
        "key": "0123456789abcdef", "ips": "keep_private", "cards": false,
        "custom": [{"name": "X", "pattern": "x+"}],
    }))
    .unwrap();
    assert_eq!((options.ips, options.cards, options.emails), (IpPolicy::KeepPrivate, false, true));
    assert!(serde_json::from_value::<RedactOptions>(json!({"e-mails": true})).is_err());
}

#[test]
fn hostile_text_takes_linear_time() {
    let redactor = redactor();
    for piece in [
        "eyJ",
        "a@",
        "-----BEGIN ",
        "ghp_",
        "sk-",
        "::",
        "1.",
        "1234 ",
        "://a:",
        "sig=",
        "[IP:",
        "AKIA",
        "secret_key=",
    ] {
        let text = piece.repeat(300_000 / piece.len());
        let _ = redactor.text(&text);
    }
}

fn fragment() -> impl Strategy<Value = String> {
    let pool = [
        "alice@example.com",
        "203.0.113.9",
        "2001:db8::1",
        "4111111111111111",
        "123-45-6789",
        "AKIAIOSFODNN7EXAMPLE",
        "ssn ",
        // Not glued to what stands before it: a secret takes a glued word away with it, and the
        // address behind it is then no version any more.
        " version ",
        "postgres://u:p@h.example.com/",
        "[EMAIL:ABCDEF]",
        "[IP:ABCDEF]",
        "-",
        ".",
        "/",
        ":",
        "::",
        "@",
        " ",
        "%40",
        "%3D",
        "\\n",
        "1",
        "a",
        "Chrome",
        "_",
        "Bearer abcdefgh12345678ABCDEFGH",
        "é",
        "-----BEGIN PRIVATE KEY-----",
        "secret_key=",
        "\"",
        "]",
        "[",
    ];
    prop_oneof![3 => prop::sample::select(pool.to_vec()).prop_map(str::to_owned), 1 => ".{0,3}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn twice_is_once(parts in prop::collection::vec(fragment(), 0..8)) {
        let redactor = redactor();
        let text = parts.concat();
        let once = redactor.text(&text).into_owned();
        prop_assert_eq!(redactor.text(&once), once.as_str(), "{}", text);
    }

    #[test]
    fn any_text_is_survived(text in ".{0,200}") {
        let redactor = redactor();
        let once = redactor.text(&text).into_owned();
        let _ = redactor.text(&once);
    }

    #[test]
    fn nothing_found_stays(user in "[a-z]{3,8}", host in "[a-z]{3,8}", ip in any::<u32>(), before in "[ ,;\"=(]", after in "[ ,;\")]") {
        let email = format!("{user}@{host}.com");
        let ip = std::net::Ipv4Addr::from(ip).to_string();
        let text = format!("x{before}{email}{after} y{before}{ip}{after}");
        let out = redactor().text(&text).into_owned();
        prop_assert!(!out.contains(&email) && !out.contains(&ip), "{} -> {}", text, out);
    }
}

#[test]
fn a_pseudonym_leads_back_to_what_it_stands_for_and_to_nothing_else() {
    let redactor = redactor();
    let text = "bob@acme.com and Alice@Acme.com from 198.51.100.7";
    let pseudonym = redactor.text("alice@acme.com").into_owned();
    let wanted = [pseudonym].into();
    assert_eq!(redactor.named_by(text, &wanted), ["Alice@Acme.com"]);
    assert!(redactor.named_by("bob@acme.com", &wanted).is_empty());
    let redacted = redactor.text(text);
    assert!(redactor.named_by(&redacted, &wanted).is_empty(), "{redacted}");
}
