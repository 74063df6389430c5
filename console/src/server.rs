//! The routes and how they are served. Handlers read handles and answer; none of them waits for the
//! pipeline.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use event::Secret;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::access::{self, Denied, Shows};
use crate::listener::{Bounded, Peer};
use crate::tap::{Feed, Filter, Tap};
use crate::{Error, Health, Metrics, Rules};

/// The OpenAPI 3.1 document of these routes.
pub const OPENAPI: &str = include_str!("openapi.json");

/// How long open answers may take to end once the program stops.
const GRACE: Duration = Duration::from_secs(2);

/// What the program hands over. Cheap to clone.
#[derive(Clone)]
pub struct Handles {
    pub metrics: Metrics,
    pub health: Health,
    pub rules: Rules,
    pub tap: Tap,
    /// Bearer token; `None`: see [`crate::Options::token`].
    pub token: Option<Secret>,
}

/// Answers until `shutdown` completes; then ends every watch, lets open answers finish for two
/// seconds and returns.
pub async fn serve(
    listener: TcpListener,
    handles: Handles,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    if let Ok(at) = listener.local_addr() {
        tracing::info!(%at, token = handles.token.is_some(), "the console listens");
    }
    let upkeep = tokio::spawn(handles.metrics.clone().upkeep());
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    let tap = handles.tap.clone();
    let signal = async move {
        shutdown.await;
        tap.close();
        // Nobody listening means that the server is gone already.
        let _ = stopping.send(true);
    };
    let app = router(handles).into_make_service_with_connect_info::<Peer>();
    let server =
        axum::serve(Bounded::new(listener), app).with_graceful_shutdown(signal).into_future();
    let out_of_patience = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(GRACE).await;
    };
    let served = tokio::select! {
        served = server => served.map_err(Error::Listen),
        () = out_of_patience => Ok(()),
    };
    upkeep.abort();
    served
}

/// Every route: path, what it shows, handler.
pub(crate) fn routes() -> Vec<(&'static str, Shows, MethodRouter<Handles>)> {
    vec![
        ("/livez", Shows::Health, get(livez)),
        ("/readyz", Shows::Health, get(readyz)),
        ("/metrics", Shows::Numbers, get(metrics)),
        ("/v1/openapi.json", Shows::Numbers, get(openapi)),
        ("/v1/rules", Shows::Numbers, get(rules)),
        ("/v1/tap/events", Shows::Logs, get(tap_events)),
        ("/v1/tap/matches", Shows::Logs, get(tap_matches)),
    ]
}

fn router(handles: Handles) -> Router {
    let mut router = Router::new();
    for (path, shows, handler) in routes() {
        let guard = from_fn_with_state((shows, handles.token.clone()), guard);
        router = router.route(path, handler.layer(guard));
    }
    router
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here")
        })
        .with_state(handles)
}

async fn guard(
    State((shows, token)): State<(Shows, Option<Secret>)>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    match access::check(shows, token.as_ref(), request.headers(), peer) {
        Ok(()) => next.run(request).await,
        Err(Denied::NoToken) => {
            let answer = refuse(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong");
            ([(header::WWW_AUTHENTICATE, "Bearer")], answer).into_response()
        }
        Err(Denied::NotLocal) => refuse(
            StatusCode::FORBIDDEN,
            "without a token the tap answers only to this machine; set the console's token",
        ),
    }
}

fn refuse(status: StatusCode, sentence: &str) -> Response {
    (status, Json(json!({ "error": sentence }))).into_response()
}

async fn livez() -> Response {
    Json(json!({ "alive": true })).into_response()
}

/// Reasons can name hosts and accounts: once there is a token, only its bearer reads them.
async fn readyz(State(handles): State<Handles>, headers: HeaderMap) -> Response {
    let mut report = handles.health.report();
    if handles.token.as_ref().is_some_and(|token| !access::bears(token, &headers)) {
        report.checks.iter_mut().for_each(|check| check.reason.clear());
    }
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn metrics(State(handles): State<Handles>) -> Response {
    let text = handles.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

async fn rules(State(handles): State<Handles>) -> Response {
    Json(json!({ "rules": handles.rules.get() })).into_response()
}

/// What a watcher may ask for.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Ask {
    log_type: Option<String>,
    rule: Option<String>,
    rate: Option<u32>,
}

impl Ask {
    fn filter(self, feed: Feed) -> Result<Filter, String> {
        let rate = self.rate.unwrap_or(Filter::RATE_DEFAULT);
        if rate == 0 || rate > Filter::RATE_MAX {
            return Err(format!("rate is lines a second, 1 to {}", Filter::RATE_MAX));
        }
        if feed == Feed::Events && self.rule.is_some() {
            return Err("events have no rule; watch /v1/tap/matches".into());
        }
        let types = self.log_type.unwrap_or_default();
        let log_types = types.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        Ok(Filter { log_types: log_types.collect(), rule: self.rule.unwrap_or_default(), rate })
    }
}

type Asked = Result<Query<Ask>, QueryRejection>;

async fn tap_events(State(handles): State<Handles>, asked: Asked) -> Response {
    watch(&handles.tap, Feed::Events, asked)
}

async fn tap_matches(State(handles): State<Handles>, asked: Asked) -> Response {
    watch(&handles.tap, Feed::Matches, asked)
}

fn watch(tap: &Tap, feed: Feed, asked: Asked) -> Response {
    let filter = match asked {
        Ok(Query(ask)) => ask.filter(feed),
        Err(rejection) => Err(rejection.body_text()),
    };
    let filter = match filter {
        Ok(filter) => filter,
        Err(sentence) => return refuse(StatusCode::BAD_REQUEST, &sentence),
    };
    let Some(watch) = tap.watch(feed, filter) else {
        let answer = refuse(StatusCode::SERVICE_UNAVAILABLE, "too many are watching already");
        return ([(header::RETRY_AFTER, "10")], answer).into_response();
    };
    let lines = futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, Infallible>(line), watch))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}
