use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use parking_lot::Mutex;

use super::*;
use crate::poll::client::Reach;

/// What was asked: path with query, headers, body.
type Heard = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;

/// A place that gives tokens out, `t1`, `t2` …, in the form that is asked for, and takes the newest only.
async fn place() -> (String, Heard) {
    async fn answer(
        State(heard): State<Heard>,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> (axum::http::StatusCode, String) {
        let mut heard = heard.lock();
        let path = uri.path_and_query().unwrap().to_string();
        let is_use = path.starts_with("/use");
        let bearer = headers.get("authorization").map(|v| v.to_str().unwrap().to_owned());
        if !is_use {
            heard.push((path.clone(), headers, String::from_utf8_lossy(&body).into_owned()));
        }
        let token = format!("t{}", heard.len());
        let status = match is_use && bearer != Some(format!("Bearer {token}")) {
            true => 401,
            false => 200,
        };
        let text = match path.as_str() {
            path if path.starts_with("/refuse") => {
                r#"{"error":"invalid_client","error_description":"AADSTS7000215"}"#.into()
            }
            path if path.starts_with("/subject") => r#"{"value":"other"}"#.to_owned(),
            path if path.starts_with("/act") => {
                format!(r#"{{"accessToken":"{token}","expireTime":"2100-01-01T00:00:00Z"}}"#)
            }
            path if path.starts_with("/machine") => {
                format!(r#"{{"access_token":"{token}","expires_on":"4102444800"}}"#)
            }
            _ => format!(r#"{{"access_token":"{token}","expires_in":3599}}"#),
        };
        (axum::http::StatusCode::from_u16(status).unwrap(), text)
    }
    let heard = Heard::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(heard.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, heard)
}

fn tokens(issuer: Result<Issuer, String>) -> Tokens {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let reach = Reach { proxy: None, ca: None, request_ms_max: 5_000, answer_bytes_max: 1 << 20 };
    Tokens::new(Client::new(&reach).unwrap(), issuer.unwrap())
}

async fn got(tokens: &Tokens) -> String {
    tokens.get().await.unwrap().unwrap().expose().to_owned()
}

fn key_file(token_url: &str) -> Secret {
    let vectors = include_str!("../poll/auth/vectors/golden.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let file = serde_json::json!({
        "type": "service_account",
        "client_email": "reader@acme.iam.gserviceaccount.com",
        "private_key_id": "k1",
        "private_key": vectors["jwt"]["private_key_pem"],
        "token_uri": token_url,
    });
    Secret::new(file.to_string())
}

#[tokio::test]
async fn a_token_is_got_once_and_again_when_it_is_refused() {
    let (url, heard) = place().await;
    let credentials = Some(key_file(&format!("{url}/token")));
    let tokens = tokens(GoogleAuth { credentials, ..GoogleAuth::default() }.issuer());
    let (one, other) = tokio::join!(got(&tokens), got(&tokens));
    assert_eq!((one.as_str(), other.as_str(), heard.lock().len()), ("t1", "t1", 1));
    let (_, _, body) = heard.lock()[0].clone();
    let assertion = body.split("assertion=").nth(1).unwrap();
    assert!(body.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"));
    assert_eq!(assertion.split('.').count(), 3, "{assertion}");
    let using = || Request::new(crate::poll::request::Verb::Get, format!("{url}/use"));
    assert_eq!(tokens.send(using()).await.unwrap().status, 200);
    // The place has given out another one meanwhile, so the old one is refused.
    heard.lock().push(Default::default());
    assert_eq!(tokens.send(using()).await.unwrap().status, 200);
    assert_eq!(heard.lock().len(), 3, "one more was got");
}

#[tokio::test]
async fn the_machine_and_federated_identities_give_tokens() {
    let (url, heard) = place().await;
    let metadata = GoogleAuth { metadata_url: Some(url.clone()), ..GoogleAuth::default() };
    assert_eq!(got(&tokens(metadata.issuer())).await, "t1");
    let (path, headers, _) = heard.lock()[0].clone();
    assert_eq!(path, "/computeMetadata/v1/instance/service-accounts/default/token");
    assert_eq!(headers["metadata-flavor"], "Google");

    let federated = serde_json::json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{url}/sts"),
        "service_account_impersonation_url": format!("{url}/act/reader:generateAccessToken"),
        "credential_source": {
            "url": format!("{url}/subject?a=b"),
            "headers": {"X-Own": "yes"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        },
    });
    let credentials = Some(Secret::new(federated.to_string()));
    let auth = GoogleAuth { credentials, ..GoogleAuth::default() };
    assert_eq!(got(&tokens(auth.issuer())).await, "t4");
    let heard = heard.lock().clone();
    assert_eq!(
        (heard[1].0.as_str(), heard[1].1["x-own"].to_str().unwrap()),
        ("/subject?a=b", "yes")
    );
    assert!(heard[2].2.contains("subject_token=other"), "{}", heard[2].2);
    assert_eq!(
        heard[3].1["authorization"], "Bearer t3",
        "the federated token acts for the account"
    );
}

#[tokio::test]
async fn entra_gives_tokens_to_applications_and_machines() {
    let (url, heard) = place().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "assertion\n").unwrap();
    let application = EntraAuth {
        tenant: Some("acme".to_owned()),
        client_id: Some("app".to_owned()),
        authority: Some(url.clone()),
        ..EntraAuth::default()
    };
    let with_secret =
        EntraAuth { client_secret: Some(Secret::new("s3cret")), ..application.clone() };
    let with_file =
        EntraAuth { federated_token_file: Some(file.path().to_owned()), ..application.clone() };
    let machine = EntraAuth {
        identity_endpoint: Some(format!("{url}/machine")),
        identity_header: Some(Secret::new("own")),
        client_id: Some("app".to_owned()),
        ..EntraAuth::default()
    };
    for auth in [&with_secret, &with_file, &machine] {
        got(&tokens(auth.issuer("https://storage.azure.com/"))).await;
    }
    let heard = heard.lock().clone();
    assert_eq!(heard[0].0, "/acme/oauth2/v2.0/token");
    for part in ["client_secret=s3cret", "scope=https%3A%2F%2Fstorage.azure.com%2F.default"] {
        assert!(heard[0].2.contains(part), "{part} in {}", heard[0].2);
    }
    assert!(heard[1].2.contains("client_assertion=assertion&"), "{}", heard[1].2);
    assert_eq!(
        heard[2].0,
        "/machine?api-version=2019-08-01&resource=https%3A%2F%2Fstorage.azure.com&client_id=app"
    );
    assert_eq!(heard[2].1["x-identity-header"], "own");
    let refused = EntraAuth { tenant: Some("refuse".to_owned()), ..with_secret.clone() };
    let error = tokens(refused.issuer("https://x")).get().await.unwrap_err();
    assert!(
        error.contains("invalid_client: AADSTS7000215") && !error.contains("s3cret"),
        "{error}"
    );
    let both = EntraAuth { federated_token_file: Some(Path::new("f").into()), ..with_secret };
    assert!(both.issuer("r").unwrap_err().contains("one of them"));
    assert!(EntraAuth { tenant: None, ..with_file }.issuer("r").unwrap_err().contains("`tenant`"));
}
