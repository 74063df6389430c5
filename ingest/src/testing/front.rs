//! An HTTP front for a real server that does to chosen requests what networks and services do.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// It goes through.
    Pass,
    /// It is answered with this and does not go through.
    Answer(u16, String),
    /// It goes through, but is answered 503.
    Lose,
    /// It goes through, but half of the answer's body comes.
    Cut,
    /// It is answered as the last one with the same path that went through.
    Again,
}

/// A request, to be judged: path with query, what AWS's services are asked for, and how many of the kind came before.
pub(crate) struct Asked<'a> {
    pub path: &'a str,
    pub target: &'a str,
    pub before: usize,
}

type Judge = dyn Fn(&Asked<'_>) -> Fate + Send + Sync;
type Told = (u16, HeaderMap, Bytes);

struct Inner {
    behind: String,
    judge: Box<Judge>,
    client: reqwest::Client,
    /// Requests by verb and path, with the last answers.
    seen: Mutex<std::collections::HashMap<String, (usize, Option<Told>)>>,
}

/// Starts a front; its URL.
pub(crate) fn front(
    behind: &str,
    judge: impl Fn(&Asked<'_>) -> Fate + Send + Sync + 'static,
) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let inner = Inner {
        behind: behind.to_owned(),
        judge: Box::new(judge),
        client: reqwest::Client::new(),
        seen: Mutex::default(),
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(pass).with_state(Arc::new(inner));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn pass(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let target = target.and_then(|target| Some(target.split_once('.')?.1)).unwrap_or("");
    let key = format!("{method} {} {target}", uri.path());
    let (fate, last) = {
        let mut seen = inner.seen.lock();
        let (before, last) = seen.entry(key.clone()).or_default();
        let asked = Asked { path: &path, target, before: *before };
        let fate = (inner.judge)(&asked);
        *before += 1;
        (fate, last.clone())
    };
    let told = match (&fate, last) {
        (Fate::Answer(status, text), _) => {
            return (StatusCode::from_u16(*status).unwrap(), text.clone()).into_response();
        }
        (Fate::Again, Some(told)) => told,
        _ => {
            let mut request = inner.client.request(method, format!("{}{path}", inner.behind));
            for (name, value) in &headers {
                request = request.header(name, value);
            }
            let Ok(answer) = request.body(body).send().await else {
                return StatusCode::BAD_GATEWAY.into_response();
            };
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let told = (status, headers, answer.bytes().await.unwrap_or_default());
            inner.seen.lock().get_mut(&key).unwrap().1 = Some(told.clone());
            told
        }
    };
    match fate {
        Fate::Lose => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        fate => answer(told, matches!(fate, Fate::Cut)),
    }
}

fn answer((status, mut headers, body): Told, is_cut: bool) -> Response {
    headers.remove("transfer-encoding");
    headers.remove("connection");
    let mut response = Response::builder().status(status);
    *response.headers_mut().unwrap() = headers;
    if !is_cut {
        return response.body(Body::from(body)).unwrap();
    }
    // The connection breaks before the length that was announced.
    let half = body.slice(..body.len() / 2);
    let broken = std::io::Error::other("cut");
    let parts = futures::stream::iter([Ok(half), Err(broken)]);
    response.body(Body::from_stream(parts)).unwrap()
}
