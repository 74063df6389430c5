use super::options::{
    ClientOptions, GithubAppOptions, GoogleOptions, SnowflakeOptions, TokenOptions,
};
use super::*;
use serde_json::Value;

pub(super) fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/golden.json")).unwrap()
}

fn pem() -> Secret {
    Secret::new(vectors()["jwt"]["private_key_pem"].as_str().unwrap())
}

const NOW_MS: i64 = 1_767_322_800_000;

fn defaults() -> Defaults {
    Defaults {
        form: Vec::new(),
        secret: Default::default(),
        base_url: "https://api.example.com".to_owned(),
        token_url: Some("https://login.example.com/token".to_owned()),
        scope: Some("logs.read".to_owned()),
        header: Some("PRIVATE-TOKEN".to_owned()),
    }
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
}

fn header(request: &Request, name: &str) -> String {
    let found = request.headers.iter().find(|(have, _)| have == name);
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}

fn signed(auth: &mut Auth) -> Request {
    let mut request = Request::new(Verb::Get, "https://api.example.com/v1/logs");
    auth.sign(&mut request, NOW_MS).unwrap();
    request
}

#[test]
fn fixed_proofs_are_headers() {
    let token = || Some(TokenOptions { token: Secret::new("t0k") });
    for (options, name, expected) in [
        (AuthOptions { bearer: token(), ..Default::default() }, "Authorization", "Bearer t0k"),
        (AuthOptions { ssws: token(), ..Default::default() }, "Authorization", "SSWS t0k"),
        (AuthOptions { header: token(), ..Default::default() }, "PRIVATE-TOKEN", "t0k"),
    ] {
        let mut auth = Auth::new(&options, &defaults()).unwrap();
        assert_eq!(auth.token_request(NOW_MS), Ok(None));
        assert_eq!(header(&signed(&mut auth), name), expected);
        assert!(!auth.refused(0), "nothing else can be tried");
        assert!(!format!("{auth:?}").contains("t0k"));
    }
}

#[test]
fn exactly_one_is_given_and_not_empty() {
    let token = |t: &str| Some(TokenOptions { token: Secret::new(t) });
    for (options, expected) in [
        (AuthOptions::default(), "says not how"),
        (AuthOptions { bearer: token("a"), ssws: token("b"), ..Default::default() }, "has both"),
        (AuthOptions { bearer: token(" "), ..Default::default() }, "its secret is empty"),
    ] {
        let error = Auth::new(&options, &defaults()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_a_vendor_wants_to_be_told_goes_with_the_request_for_a_token() {
    let client = ClientOptions {
        client_id: "id".to_owned(),
        client_secret: Some(Secret::new("s")),
        ..Default::default()
    };
    let options = AuthOptions { client_credentials: Some(client), ..Default::default() };
    let form = vec![("audience".to_owned(), "https://acme.example/api/".to_owned())];
    let mut auth = Auth::new(&options, &Defaults { form, ..defaults() }).unwrap();
    let body = auth.token_request(NOW_MS).unwrap().unwrap().body.unwrap();
    assert!(body.contains("&audience=https%3A%2F%2Facme.example%2Fapi%2F&"), "{body}");
}

#[test]
fn a_token_is_fetched_renewed_in_time_and_once_when_it_is_refused() {
    let client = ClientOptions {
        client_id: "id".to_owned(),
        client_secret: Some(Secret::new("s&cret")),
        ..Default::default()
    };
    let options = AuthOptions { client_credentials: Some(client), ..Default::default() };
    let mut auth = Auth::new(&options, &defaults()).unwrap();
    let request = auth.token_request(NOW_MS).unwrap().unwrap();
    assert_eq!(request.url, "https://login.example.com/token");
    assert_eq!(
        request.body.as_deref(),
        Some("grant_type=client_credentials&scope=logs.read&client_id=id&client_secret=s%26cret")
    );
    let good = reply(200, r#"{"access_token":"one","expires_in":"3600"}"#);
    auth.answered(&good, NOW_MS).unwrap();
    assert_eq!(header(&signed(&mut auth), "Authorization"), "Bearer one");
    assert_eq!(auth.token_request(NOW_MS + 3_539_999), Ok(None));
    assert!(auth.token_request(NOW_MS + 3_540_000).unwrap().is_some());

    assert!(auth.refused(1) && auth.token_request(NOW_MS).unwrap().is_some());
    auth.answered(&reply(200, r#"{"access_token":"two","expires_in":3600}"#), NOW_MS).unwrap();
    assert!(auth.refused(1), "an old token's refusal says nothing about the new one");
    assert_eq!(auth.token_request(NOW_MS), Ok(None));
    assert!(!auth.refused(2), "refused twice");
    auth.answered(&good, NOW_MS).unwrap();
    auth.accepted();
    assert!(auth.refused(3), "accepted in between");
}

#[test]
fn a_refused_token_request_is_told_in_the_vendors_words() {
    let options = AuthOptions {
        client_credentials: Some(ClientOptions { private_key: Some(pem()), ..Default::default() }),
        ..Default::default()
    };
    let mut auth = Auth::new(&options, &defaults()).unwrap();
    let error = reply(401, r#"{"error":"invalid_client","error_description":"expired secret"}"#);
    let error = auth.answered(&error, NOW_MS).unwrap_err();
    assert_eq!(error, "no token: invalid_client: expired secret");
    assert_eq!(
        auth.answered(&reply(502, "<html>"), NOW_MS).unwrap_err(),
        "no token, but status 502"
    );
    assert!(auth.sign(&mut Request::default(), NOW_MS).is_err());
    let body = auth.token_request(NOW_MS).unwrap().unwrap().body.unwrap();
    assert!(
        body.contains("client_assertion_type=urn%3Aietf") && body.contains("&client_assertion=ey")
    );
}

#[test]
fn google_delegation_is_the_golden_assertion() {
    let jwt = &vectors()["jwt"];
    let key_file = serde_json::json!({
        "client_email": "svc@proj.iam.gserviceaccount.com",
        "private_key": jwt["private_key_pem"],
        "private_key_id": "abc123",
    });
    let google = GoogleOptions {
        key_file: Secret::new(key_file.to_string()),
        subject: "admin@example.com".to_owned(),
        scope: Some("https://www.googleapis.com/auth/admin.reports.audit.readonly".to_owned()),
        ..Default::default()
    };
    let options = AuthOptions { google: Some(google), ..Default::default() };
    let mut auth = Auth::new(&options, &defaults()).unwrap();
    let request = auth.token_request(NOW_MS).unwrap().unwrap();
    assert_eq!(request.url, "https://oauth2.googleapis.com/token");
    let token = jwt["google_delegated"]["token"].as_str().unwrap();
    assert!(request.body.unwrap().ends_with(&format!("&assertion={token}")));
}

#[test]
fn an_installed_app_trades_its_assertion_for_a_token() {
    let app = GithubAppOptions {
        app_id: "12345".to_owned(),
        installation_id: "77".to_owned(),
        private_key: pem(),
    };
    let options = AuthOptions { github_app: Some(app), ..Default::default() };
    let mut auth = Auth::new(&options, &defaults()).unwrap();
    let request = auth.token_request(NOW_MS).unwrap().unwrap();
    assert_eq!(request.url, "https://api.example.com/app/installations/77/access_tokens");
    let token = vectors()["jwt"]["github_app"]["token"].as_str().unwrap().to_owned();
    assert_eq!(header(&request, "Authorization"), format!("Bearer {token}"));
    let answer = reply(201, r#"{"token":"ghs_1","expires_at":"2026-01-02T04:00:00Z"}"#);
    auth.answered(&answer, NOW_MS).unwrap();
    assert_eq!(header(&signed(&mut auth), "Authorization"), "Bearer ghs_1");
    assert!(auth.token_request(NOW_MS + 3_540_000).unwrap().is_some());
}

#[test]
fn a_snowflake_user_signs_by_itself() {
    let snowflake = SnowflakeOptions {
        account: "myorg-myacct.eu-central-1".to_owned(),
        user: "siem_user".to_owned(),
        private_key: pem(),
    };
    let options = AuthOptions { snowflake: Some(snowflake), ..Default::default() };
    let mut auth = Auth::new(&options, &defaults()).unwrap();
    assert_eq!(auth.token_request(NOW_MS), Ok(None));
    let token = vectors()["jwt"]["snowflake"]["token"].as_str().unwrap().to_owned();
    assert_eq!(header(&signed(&mut auth), "Authorization"), format!("Bearer {token}"));
}
