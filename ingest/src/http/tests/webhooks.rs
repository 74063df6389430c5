//! Webhooks over a real connection: believed, stored, and everybody else turned away.

use base64::Engine as _;
use serde_json::json;

use super::*;

fn with_webhooks(folder: &Path, webhooks: serde_json::Value) -> HttpOptions {
    HttpOptions {
        tokens: Vec::new(),
        webhooks: serde_json::from_value(webhooks).unwrap(),
        ..options(folder)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_where_the_vendor_puts_them() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let webhooks = json!([
        {"path": "/okta", "verify": {"okta": {"secrets": ["s"]}}},
        {"path": "/gitlab", "verify": {"gitlab": {"secrets": ["s"]}}, "keep_headers": ["X-Gitlab-Event", "X-Absent"]},
        {"path": "/any", "verify": {"header": {"name": "x-key", "secrets": ["s"]}}},
    ]);
    let server = start(&lake, with_webhooks(dir.path(), webhooks));
    let post = |path: &str, name: &str, body: &str| {
        let request = server.client.post(format!("{}{path}", server.base));
        request.header(name, "s").body(body.to_owned())
    };
    let hook = r#"{"eventId":"e","data":{"events":[{"n":1}, {"n": 2}]}}"#;
    assert_eq!(answer(post("/okta", "authorization", hook)).await.0, 200);
    let none = r#"{"data":{"events":[]}}"#;
    assert_eq!(answer(post("/okta", "authorization", none)).await.0, 200);
    let push = post("/gitlab", "x-gitlab-token", r#"{"n": 3}"#);
    assert_eq!(answer(push.header("X-Gitlab-Event", "Push Hook")).await.0, 200);
    assert_eq!(answer(post("/any", "x-key", r#"[{"n":4},{"n":5}]"#)).await.0, 200);
    // What is not as expected is kept with its bytes.
    assert_eq!(answer(post("/okta", "authorization", r#"{"n":6}"#)).await.0, 200);
    let records = server.running.wait_for(6).await;
    let with = r#"{"headers":{"x-gitlab-event":"Push Hook"},"body":{"n": 3}}"#;
    let expected = [r#"{"n":1}"#, r#"{"n": 2}"#, r#"{"n":4}"#, r#"{"n":5}"#, r#"{"n":6}"#];
    let mut expected: Vec<String> = expected.map(str::to_owned).to_vec();
    expected.push(with.to_owned());
    expected.sort();
    let mut records = records;
    records.sort();
    assert_eq!(records, expected);
    server.running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_believed_is_told_and_nothing_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let github = json!([{"path": "/github", "verify": {"github": {"secrets": ["s3cr3t"]}}}]);
    let server = start(&lake, with_webhooks(dir.path(), github));
    let request = |path: &str| server.client.post(format!("{}{path}", server.base)).body("{}");
    let (status, text) = answer(request("/github")).await;
    assert!(status == 401 && text.contains("missing"), "{text}");
    let forged = request("/github").header("x-hub-signature-256", "sha256=00");
    let (status, text) = answer(forged).await;
    assert!(status == 401 && text.contains("wrong"), "{text}");
    // A webhook opens no other path.
    for path in ["/v1/ingest", "/v1/k8s-audit", "/services/collector"] {
        assert_eq!(answer(request(path)).await.0, 401, "{path}");
    }
    let form = server.client.post(format!("{}/github", server.base));
    let body = "payload=%7B%7D";
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s3cr3t");
    let seal = ring::hmac::sign(&key, body.as_bytes());
    let seal: String = seal.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let form = form
        .header("x-hub-signature-256", format!("sha256={seal}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let (status, text) = answer(form).await;
    assert!(status == 415 && text.contains("application/json"), "{text}");
    let get = server.client.get(format!("{}/github", server.base));
    assert_eq!(answer(get).await.0, 405);
    let summary = server.running.stop().await.unwrap();
    assert_eq!((summary.records, summary.rejects), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_memory_is_given_to_a_body_that_no_signature_announces() {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let webhooks = json!([
        {"path": "/github", "verify": {"github": {"secrets": ["s3cr3t"]}}},
        {"path": "/any", "verify": {"header": {"name": "x-key", "secrets": ["s"]}}},
    ]);
    let server = start(&lake, with_webhooks(dir.path(), webhooks));
    // The body never ends: only a server that does not wait for it can answer.
    let endless = || {
        let piece = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
        reqwest::Body::wrap_stream(piece)
    };
    for (path, name, value) in
        [("/github", "x-other", "s"), ("/any", "x-other", "s"), ("/any", "x-key", "wrong")]
    {
        let request = server.client.post(format!("{}{path}", server.base)).body(endless());
        let asked = answer(request.header(name, value));
        let (status, _) = tokio::time::timeout(Duration::from_secs(5), asked)
            .await
            .unwrap_or_else(|_| panic!("{path} waits for a body that it will not believe"));
        assert_eq!(status, 401, "{path}");
    }
    server.running.stop().await.unwrap();
}

#[test]
fn paths_are_given_once() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &str| {
        let webhooks = json!([{"path": path, "verify": "none"}]);
        let options = with_webhooks(dir.path(), webhooks);
        HttpSource::new("test", "t", options).err().map(|e| e.to_string())
    };
    assert_eq!(refused("/hook"), None);
    for (path, why) in [
        ("/v1/ingest", "taken"),
        ("/services/collector/raw", "taken"),
        ("hook", "no path"),
        ("/{x}", "no path"),
    ] {
        let said = refused(path).unwrap();
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pubsub_pushes_is_believed_by_its_token_and_unwrapped() {
    use crate::testing::front::{Fate, front};
    let vectors = include_str!("../../poll/auth/vectors/golden.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let key =
        crate::poll::auth::jwt::Key::from_pem(vectors["jwt"]["private_key_pem"].as_str().unwrap())
            .unwrap();
    let encode = |bytes: Vec<u8>| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let (n, e) = key.public_parts();
    let keys = json!({"keys": [{"kid": "k", "n": encode(n), "e": encode(e)}]}).to_string();
    let keys_url = front("http://127.0.0.1:1", move |_| Fate::Answer(200, keys.clone()));
    let now_s = crate::poll::source::now_ms() / 1_000;
    let token = |email: &str| {
        let claims = [
            ("iss", json!("https://accounts.google.com")),
            ("aud", json!("here")),
            ("email", json!(email)),
            ("email_verified", json!(true)),
            ("iat", json!(now_s)),
            ("exp", json!(now_s + 600)),
        ];
        format!("Bearer {}", key.sign(Some("k"), &claims).unwrap())
    };
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::default();
    let verify =
        json!({"google": {"audience": "here", "email": "push@acme", "keys_url": keys_url}});
    let webhooks = json!([
        {"path": "/push", "verify": verify},
        {"path": "/whole", "verify": verify, "records": "message"},
    ]);
    let server = start(&lake, with_webhooks(dir.path(), webhooks));
    let post = |path: &str, token: String, body: &str| {
        let request = server.client.post(format!("{}{path}", server.base));
        answer(request.header("authorization", token).body(body.to_owned()))
    };
    let wrapped = r#"{"message":{"data":"eyJuIjoxfQ==","attributes":{"a":"b"},"messageId":"7"},"subscription":"projects/p/subscriptions/s"}"#;
    assert_eq!(post("/push", token("push@acme"), wrapped).await.0, 200);
    assert_eq!(post("/push", token("push@acme"), r#"{"n":2}"#).await.0, 200);
    assert_eq!(post("/whole", token("push@acme"), wrapped).await.0, 200);
    let (status, text) = post("/push", token("other@acme"), wrapped).await;
    assert!(status == 401 && text.contains("wrong"), "{status} {text}");
    let records = server.running.wait_for(3).await;
    let whole = r#"{"data":"eyJuIjoxfQ==","attributes":{"a":"b"},"messageId":"7"}"#;
    assert_eq!(records, [whole, r#"{"n":1}"#, r#"{"n":2}"#]);
    server.running.stop().await.unwrap();
}
