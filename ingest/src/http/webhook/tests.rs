//! Signatures made with the vendors' own examples and libraries, and every way to get one wrong.

use serde_json::json;

use super::*;

fn webhook(verify: serde_json::Value) -> WebhookOptions {
    serde_json::from_value(json!({"path": "/hook", "verify": verify})).unwrap()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

const ZOOM: &str =
    r#"{"event":"meeting.started","payload":{"plainToken":"q9ibPhGeRZ6ayx5WTrXjRw"}}"#;
const ZOOM_SIGNATURE: &str = "v0=b84f73fcd06cab42c8fa2087106f724e01c11186bf1906f83b728f2f924dd9b6";
const GITHUB_SIGNATURE: &str =
    "sha256=893b8b176c39b217756497563a1b9ba1507d371642b1edf4ee9f876b8fd74ecc";
const SLACK_SIGNATURE: &str = "v0=71b0a7e79a0e37393adc80ac96f8aeffcbcdbf0ff8a0506259cf6bd02e6e13f2";
/// The example of the Standard Webhooks libraries.
const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STANDARD_SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

type Headers = Vec<(&'static str, &'static str)>;

/// Options, headers, body and time of requests that are genuine.
fn genuine() -> Vec<(serde_json::Value, Headers, &'static str, i64)> {
    vec![
        (
            json!({"github": {"secrets": ["s3cr3t"]}}),
            vec![("X-Hub-Signature-256", GITHUB_SIGNATURE)],
            r#"{"action":"opened"}"#,
            0,
        ),
        (
            json!({"hmac": {"secrets": ["s3cr3t"], "header": "X-Mine", "prefix": "sha256="}}),
            vec![("x-mine", GITHUB_SIGNATURE)],
            r#"{"action":"opened"}"#,
            0,
        ),
        (
            json!({"zoom": {"secrets": ["s3cr3t"]}}),
            vec![("x-zm-signature", ZOOM_SIGNATURE), ("x-zm-request-timestamp", "1700000000")],
            ZOOM,
            1_700_000_000,
        ),
        (
            json!({"slack": {"secrets": ["8f742231b10e8888abcd99yyyzzz85a5"]}}),
            vec![
                ("x-slack-signature", SLACK_SIGNATURE),
                ("x-slack-request-timestamp", "1531420618"),
            ],
            "token=xyz&team_id=T1",
            1_531_420_618,
        ),
        (
            json!({"standard": {"secrets": [STANDARD_SECRET]}}),
            vec![
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", STANDARD_SIGNATURE),
            ],
            r#"{"test": 2432232314}"#,
            1_614_265_330,
        ),
        (json!({"gitlab": {"secrets": ["t0ken"]}}), vec![("X-Gitlab-Token", "t0ken")], "{}", 0),
        (
            json!({"basic": {"user": "jamf", "password": "pa:ss"}}),
            vec![("authorization", "Basic amFtZjpwYTpzcw==")],
            "{}",
            0,
        ),
        (
            json!({"header": {"name": "cf-webhook-auth", "secrets": ["other", "mine"]}}),
            vec![("cf-webhook-auth", "mine")],
            "{}",
            0,
        ),
        (json!({"okta": {"secrets": ["anything"]}}), vec![("authorization", "anything")], "{}", 0),
    ]
}

#[test]
fn the_vendors_own_signatures_are_believed() {
    for (verify, pairs, body, now_s) in genuine() {
        let webhook = webhook(verify.clone());
        assert_eq!(webhook.fault(), None, "{verify}");
        let proven = webhook.check(&headers(&pairs), body.as_bytes(), now_s + 299);
        assert_eq!(proven, Ok(Proven::Events), "{verify}");
    }
}

#[test]
fn nothing_else_is() {
    for (verify, pairs, body, now_s) in genuine() {
        let webhook = webhook(verify.clone());
        let bytes = body.as_bytes();
        // Without any header, and with each left out.
        assert_eq!(webhook.check(&HeaderMap::new(), bytes, now_s), Err(Doubt::Unsigned));
        for left_out in 0..pairs.len() {
            let mut some = pairs.clone();
            some.remove(left_out);
            let doubt = webhook.check(&headers(&some), bytes, now_s);
            assert_eq!(doubt, Err(Doubt::Unsigned), "{verify} without {left_out}");
        }
        // A changed value: the last character of each header by turns.
        for changed in 0..pairs.len() {
            let mut other = pairs.clone();
            let value = other[changed].1.to_owned();
            let (rest, last) = value.split_at(value.len() - 1);
            let value = format!("{rest}{}", if last == "1" { "2" } else { "1" });
            other[changed].1 = &value;
            let doubt = webhook.check(&headers(&other), bytes, now_s);
            assert!(doubt.is_err(), "{verify} with {other:?}");
        }
        let signs_bodies = !matches!(
            webhook.verify,
            Verify::Gitlab { .. }
                | Verify::Basic { .. }
                | Verify::Header { .. }
                | Verify::Okta { .. }
        );
        if signs_bodies {
            let other = format!("{body} ");
            let doubt = webhook.check(&headers(&pairs), other.as_bytes(), now_s);
            assert_eq!(doubt, Err(Doubt::Forged), "{verify} over another body");
        }
        if now_s > 0 {
            for later in [-301, 301, i64::MAX - now_s] {
                let doubt = webhook.check(&headers(&pairs), bytes, now_s + later);
                assert_eq!(doubt, Err(Doubt::Stale), "{verify} after {later} s");
            }
        }
    }
}

#[test]
fn odd_signatures_are_refused_and_do_not_panic() {
    let webhook = webhook(json!({"github": {"secrets": ["s3cr3t"]}}));
    for odd in ["sha256=", "sha256=8", "sha256=zz", "sha256=éé", "sha1=89", "=", ""] {
        let mut all = HeaderMap::new();
        let value = axum::http::HeaderValue::from_bytes(odd.as_bytes()).unwrap();
        all.insert("x-hub-signature-256", value);
        assert!(webhook.check(&all, b"{}", 0).is_err(), "{odd}");
    }
}

#[test]
fn questions_are_answered_to_who_is_believed() {
    let zoom = webhook(json!({"zoom": {"secrets": ["s3cr3t"]}}));
    let asked = ZOOM.replace("meeting.started", "endpoint.url_validation");
    assert_eq!(
        zoom.verify.handshake(asked.as_bytes()).as_deref(),
        Some(concat!(
            r#"{"encryptedToken":"fc2014d42362fa2c38eb4bb6758a79fdd48505bd04c397df99e774457d86eecf","#,
            r#""plainToken":"q9ibPhGeRZ6ayx5WTrXjRw"}"#
        ))
    );
    assert_eq!(zoom.verify.handshake(ZOOM.as_bytes()), None);
    let slack = webhook(json!({"slack": {"secrets": ["x"]}}));
    let asked = br#"{"token":"t","challenge":"3eZbrw1a","type":"url_verification"}"#;
    assert_eq!(slack.verify.handshake(asked).as_deref(), Some(r#"{"challenge":"3eZbrw1a"}"#));
    let okta = webhook(json!({"okta": {"secrets": ["anything"]}}));
    let asks = [("authorization", "anything"), ("x-okta-verification-challenge", "c7")];
    let answer = okta.greet(&headers(&asks), 0).unwrap();
    assert_eq!(answer.as_deref(), Some(r#"{"verification":"c7"}"#));
    assert_eq!(okta.greet(&headers(&asks[1..]), 0), Err(Doubt::Unsigned));
    assert_eq!(okta.greet(&headers(&asks[..1]), 0), Err(Doubt::Unsigned));
    assert_eq!(zoom.greet(&headers(&asks), 0), Ok(None));
}

#[test]
fn options_that_prove_nothing_are_refused() {
    for (verify, fault) in [
        (json!({"github": {"secrets": []}}), "a secret is missing or empty"),
        (json!({"gitlab": {"secrets": [""]}}), "a secret is missing or empty"),
        (json!({"basic": {"user": "u", "password": ""}}), "a secret is missing or empty"),
        (json!({"standard": {"secrets": ["whsec_!"]}}), "a secret of Standard Webhooks is"),
        (json!({"header": {"name": "a b", "secrets": ["x"]}}), "that is no name of a header"),
    ] {
        let said = webhook(verify).fault().unwrap();
        assert!(said.contains("/hook: ") && said.contains(fault), "{said}");
    }
    let mut records = webhook(json!("none"));
    records.records = Some("data..events".to_owned());
    assert!(records.fault().unwrap().contains("is no path"));
    records.records = None;
    records.keep_headers = vec!["é".to_owned()];
    assert!(records.fault().unwrap().contains("no name of a header"));
}
