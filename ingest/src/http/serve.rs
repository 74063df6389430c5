//! The requests: who may send, what is accepted, how it is answered.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::entry::{self, Kind};
use super::listen::Limited;
use super::webhook::{self, Doubt, Proven};
use super::{HttpOptions, WebhookOptions, firehose, hec, is_accepted};
use crate::assembler::now;
use crate::meter::Meter;
use crate::source::Shutdown;
use crate::wal::{AppendError, Writer};

struct Service {
    /// Hashes, so that comparing takes the same time for every wrong one.
    tokens: Vec<Arc<[u8; 32]>>,
    /// Without tokens, everybody is let in.
    is_open: bool,
    body_bytes_max: usize,
    wait: Duration,
    memory: Arc<Semaphore>,
    memory_max: usize,
    writer: Writer,
    meter: Meter,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NoToken,
    BadAuthorization,
    WrongToken,
    TooLarge,
    Late,
    Broken,
    BadEncoding,
    /// A form, where JSON was expected.
    Form,
    /// Not what Firehose delivers.
    NoDelivery,
    /// A webhook's signature.
    Doubt(Doubt),
    /// Too much is held in memory at the moment.
    Overload,
    /// The log is full, or the disk is.
    Full,
    /// The event of a collector body that cannot be taken.
    Hec(hec::Answer, usize),
}

/// Whose answers a path gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Plain,
    Hec,
}

/// All paths of a source.
pub(super) fn router(options: &HttpOptions, writer: Writer, meter: Meter) -> Router {
    let hash =
        |token: &event::Secret| Arc::new(*blake3::hash(token.expose().as_bytes()).as_bytes());
    let memory_max = options.memory_bytes_max.clamp(1 << 16, Semaphore::MAX_PERMITS);
    let service = Arc::new(Service {
        tokens: options.tokens.iter().map(hash).collect(),
        is_open: options.is_open(),
        body_bytes_max: options.body_bytes_max,
        wait: Duration::from_millis(options.request_ms_max),
        memory: Arc::new(Semaphore::new(memory_max)),
        memory_max,
        writer,
        meter,
    });
    let mut router = Router::new()
        .route(&options.path, post(post_body))
        .route(&options.k8s_audit_path, post(post_events))
        .route(&options.firehose_path, post(post_delivery))
        .route("/services/collector/health", get(get_health))
        .route("/services/collector/health/1.0", get(get_health));
    for path in
        ["/services/collector", "/services/collector/event", "/services/collector/event/1.0"]
    {
        router = router.route(path, post(post_hec));
    }
    for path in ["/services/collector/raw", "/services/collector/raw/1.0"] {
        router = router.route(path, post(post_raw));
    }
    for webhook in &options.webhooks {
        let google = webhook.google().map(Arc::new);
        let webhook = Arc::new(webhook.clone());
        let of_get = Arc::clone(&webhook);
        let posted = move |State(service): State<Arc<Service>>, headers: HeaderMap, body: Body| async move {
            let done = service.take_webhook(&webhook, google.as_deref(), &headers, body).await;
            service.answer_webhook(done)
        };
        let path = of_get.path.clone();
        let asked = move |State(service): State<Arc<Service>>, headers: HeaderMap| async move {
            service.greet(&of_get, &headers)
        };
        router = router.route(&path, post(posted).get(asked));
    }
    router.with_state(service)
}

/// Serves until the shutdown; requests under way are answered.
pub(super) async fn run(listener: Limited, router: Router, mut shutdown: Shutdown) {
    let stop = async move { shutdown.requested().await };
    let served = axum::serve(listener, router).with_graceful_shutdown(stop).await;
    if let Err(error) = served {
        tracing::error!(%error, "the listener has ended");
    }
}

async fn post_body(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let done =
        service.take(&headers, body, Dialect::Plain, |body| Ok(entry::encode(Kind::Body, &body)));
    service.answer(done.await, Dialect::Plain)
}

async fn post_events(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let done = service
        .take(&headers, body, Dialect::Plain, |body| Ok(entry::encode(Kind::EventList, &body)));
    service.answer(done.await, Dialect::Plain)
}

async fn post_hec(State(service): State<Arc<Service>>, headers: HeaderMap, body: Body) -> Response {
    let done = service.take(&headers, body, Dialect::Hec, |body| {
        let framed = hec::unwrap(&body).map_err(|(answer, n)| Refusal::Hec(answer, n))?;
        Ok(entry::encode(Kind::Framed, &framed))
    });
    service.answer(done.await, Dialect::Hec)
}

async fn post_raw(State(service): State<Arc<Service>>, headers: HeaderMap, body: Body) -> Response {
    let done = service.take(&headers, body, Dialect::Hec, |body| {
        if body.trim_ascii().is_empty() {
            return Err(Refusal::Hec(hec::NO_DATA, 0));
        }
        Ok(entry::encode(Kind::Lines, &body))
    });
    service.answer(done.await, Dialect::Hec)
}

async fn post_delivery(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = |fault| firehose::answer(&headers, now().0 / 1_000_000, fault);
    match service.take_delivery(&headers, body).await {
        Ok(()) => json(StatusCode::OK, answer(None)),
        Err(refusal) => {
            service.meter.error();
            let (status, text) = told(refusal);
            with_retry(refusal, json(status, answer(Some(text))))
        }
    }
}

async fn get_health(State(service): State<Arc<Service>>) -> Response {
    let answer = if service.writer.is_full(1 << 20) { hec::UNHEALTHY } else { hec::HEALTHY };
    hec_response(answer, None)
}

impl Service {
    /// Checks, reads and stores a request; when this is `Ok` it is on disk.
    async fn take(
        &self,
        headers: &HeaderMap,
        body: Body,
        dialect: Dialect,
        encode: impl FnOnce(Bytes) -> Result<Bytes, Refusal>,
    ) -> Result<(), Refusal> {
        self.authorize(headers)?;
        let read = tokio::time::timeout(self.wait, self.read(headers, body)).await;
        let (body, mut room) = read.map_err(|_| Refusal::Late)??;
        let body = self.decompress(headers, body, &mut room).await?;
        if body.is_empty() && dialect == Dialect::Plain {
            return Ok(());
        }
        self.append(encode(body)?).await
    }

    /// When this is `Ok` it is on disk.
    async fn append(&self, payload: Bytes) -> Result<(), Refusal> {
        self.writer.append(payload).await.map_err(|error| match error {
            AppendError::Busy => Refusal::Overload,
            AppendError::Full | AppendError::Io(_) => Refusal::Full,
        })?;
        Ok(())
    }

    /// As [`Self::take`], for a vendor that signs what it posts.
    async fn take_webhook(
        &self,
        webhook: &WebhookOptions,
        google: Option<&webhook::Google>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Proven, Refusal> {
        let believed = match google {
            Some(google) => google.check(headers, now_s() * 1_000).await,
            None => webhook.check_headers(headers, now_s()),
        };
        believed.map_err(Refusal::Doubt)?;
        let read = tokio::time::timeout(self.wait, self.read(headers, body)).await;
        let (body, mut room) = read.map_err(|_| Refusal::Late)??;
        let proven = match google {
            Some(_) => Proven::Events,
            None => webhook.check(headers, &body, now_s()).map_err(Refusal::Doubt)?,
        };
        if matches!(proven, Proven::Handshake(_)) {
            return Ok(proven);
        }
        let content = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |v| v.as_bytes());
        if content.starts_with(b"application/x-www-form-urlencoded") {
            return Err(Refusal::Form);
        }
        let body = self.decompress(headers, body, &mut room).await?;
        let payload = (!body.is_empty()).then(|| webhook::records(webhook, headers, &body));
        if let Some(payload) = payload.flatten() {
            self.append(payload).await?;
        }
        Ok(Proven::Events)
    }

    /// As [`Self::take`], for Firehose.
    async fn take_delivery(&self, headers: &HeaderMap, body: Body) -> Result<(), Refusal> {
        if !(self.tokens.is_empty() && self.is_open) {
            let key = headers.get(firehose::ACCESS_KEY).ok_or(Refusal::NoToken)?;
            let key = key.to_str().map_err(|_| Refusal::WrongToken)?;
            is_accepted(&self.tokens, key).then_some(()).ok_or(Refusal::WrongToken)?;
        }
        let read = tokio::time::timeout(self.wait, self.read(headers, body)).await;
        let (body, mut room) = read.map_err(|_| Refusal::Late)??;
        let body = self.decompress(headers, body, &mut room).await?;
        let max = self.body_bytes_max;
        let opened = tokio::task::spawn_blocking(move || firehose::entry(&body, max)).await;
        let entry = opened.map_err(|_| Refusal::Broken)?.map_err(|fault| match fault {
            firehose::Fault::Form => Refusal::NoDelivery,
            firehose::Fault::TooLarge => Refusal::TooLarge,
        })?;
        let Some(entry) = entry else { return Ok(()) };
        room.merge(self.reserve(entry.len())?);
        self.append(entry).await
    }

    fn answer_webhook(&self, done: Result<Proven, Refusal>) -> Response {
        match done {
            Ok(Proven::Handshake(answer)) => json(StatusCode::OK, answer),
            Ok(Proven::Events) => self.answer(Ok(()), Dialect::Plain),
            Err(refusal) => self.answer(Err(refusal), Dialect::Plain),
        }
    }

    fn greet(&self, webhook: &WebhookOptions, headers: &HeaderMap) -> Response {
        match webhook.greet(headers, now_s()) {
            Ok(Some(answer)) => json(StatusCode::OK, answer),
            Ok(None) => {
                let text = r#"{"error":"events are posted here"}"#.to_owned();
                json(StatusCode::METHOD_NOT_ALLOWED, text)
            }
            Err(doubt) => self.answer(Err(Refusal::Doubt(doubt)), Dialect::Plain),
        }
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.tokens.is_empty() && self.is_open {
            return Ok(());
        }
        let value = headers.get(header::AUTHORIZATION).ok_or(Refusal::NoToken)?;
        let value = value.to_str().map_err(|_| Refusal::BadAuthorization)?;
        let (scheme, token) = value.split_once(' ').ok_or(Refusal::BadAuthorization)?;
        let token = token.trim();
        let accepted = match scheme.to_ascii_lowercase().as_str() {
            "bearer" | "splunk" => is_accepted(&self.tokens, token),
            // The collector also takes the token as the password of any user.
            "basic" => {
                let decoded = STANDARD.decode(token).map_err(|_| Refusal::BadAuthorization)?;
                let text = String::from_utf8(decoded).map_err(|_| Refusal::BadAuthorization)?;
                let (_, password) = text.split_once(':').ok_or(Refusal::BadAuthorization)?;
                is_accepted(&self.tokens, password)
            }
            _ => return Err(Refusal::BadAuthorization),
        };
        if accepted { Ok(()) } else { Err(Refusal::WrongToken) }
    }

    /// Room in memory for that many bytes more.
    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let bytes = bytes.min(self.memory_max) as u32;
        self.memory.clone().try_acquire_many_owned(bytes).map_err(|_| Refusal::Overload)
    }

    async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Refusal> {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > self.body_bytes_max) {
            return Err(Refusal::TooLarge);
        }
        let mut room = self.reserve(0)?;
        let mut bytes: Vec<u8> = Vec::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Refusal::Broken)?;
            if bytes.len() + chunk.len() > self.body_bytes_max {
                return Err(Refusal::TooLarge);
            }
            room.merge(self.reserve(chunk.len())?);
            if bytes.len() + chunk.len() > bytes.capacity() {
                // By a quarter: doubling would hold twice what was reserved.
                bytes.reserve_exact(chunk.len().max(bytes.len() / 4));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes.into(), room))
    }

    async fn decompress(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        room: &mut OwnedSemaphorePermit,
    ) -> Result<Bytes, Refusal> {
        let encoding = headers.get(header::CONTENT_ENCODING).map(|v| v.as_bytes());
        let gzip = match encoding {
            // Many senders gzip without saying so; JSON and log lines never begin like gzip.
            None | Some(b"" | b"identity") => body.starts_with(&[0x1f, 0x8b]),
            Some(b"gzip" | b"x-gzip") => true,
            Some(b"zstd") => false,
            Some(_) => return Err(Refusal::BadEncoding),
        };
        let zstd = body.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        if !gzip && !zstd {
            let claimed = encoding == Some(b"zstd");
            return if claimed { Err(Refusal::Broken) } else { Ok(body) };
        }
        let max = self.body_bytes_max;
        let expand = move || {
            let mut out = Vec::new();
            let read: std::io::Result<Box<dyn Read>> = if gzip {
                Ok(Box::new(flate2::bufread::MultiGzDecoder::new(&body[..])))
            } else {
                zstd::stream::read::Decoder::with_buffer(&body[..]).map(|d| Box::new(d) as _)
            };
            let limited = read.and_then(|r| r.take(max as u64 + 1).read_to_end(&mut out));
            limited.map(|_| out)
        };
        let expanded = tokio::task::spawn_blocking(expand).await.map_err(|_| Refusal::Broken)?;
        let out = expanded.map_err(|_| Refusal::Broken)?;
        if out.len() > max {
            return Err(Refusal::TooLarge);
        }
        room.merge(self.reserve(out.len())?);
        Ok(out.into())
    }

    fn answer(&self, done: Result<(), Refusal>, dialect: Dialect) -> Response {
        if done.is_err() {
            self.meter.error();
        }
        match (done, dialect) {
            (Ok(()), Dialect::Hec) => hec_response(hec::SUCCESS, None),
            (Ok(()), Dialect::Plain) => json(StatusCode::OK, r#"{"status":"stored"}"#.to_owned()),
            (Err(refusal), Dialect::Hec) => hec_refusal(refusal),
            (Err(refusal), Dialect::Plain) => plain_refusal(refusal),
        }
    }
}

/// Seconds since the epoch.
fn now_s() -> i64 {
    now().0.div_euclid(1_000_000_000)
}

fn plain_refusal(refusal: Refusal) -> Response {
    let (status, text) = told(refusal);
    with_retry(refusal, json(status, format!(r#"{{"error":"{text}"}}"#)))
}

/// Status and words of a refusal.
fn told(refusal: Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::NoToken => (StatusCode::UNAUTHORIZED, "a token is required"),
        Refusal::BadAuthorization | Refusal::WrongToken => {
            (StatusCode::UNAUTHORIZED, "the token is not accepted")
        }
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        Refusal::Late => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        Refusal::Broken => (StatusCode::BAD_REQUEST, "the body cannot be read to its end"),
        Refusal::BadEncoding => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding must be gzip or zstd")
        }
        Refusal::Form => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a form: set the webhook's content type to application/json",
        ),
        Refusal::NoDelivery => (StatusCode::BAD_REQUEST, "not a delivery of Amazon Data Firehose"),
        Refusal::Doubt(Doubt::Unsigned) => (StatusCode::UNAUTHORIZED, "the signature is missing"),
        Refusal::Doubt(Doubt::Forged) => (StatusCode::UNAUTHORIZED, "the signature is wrong"),
        Refusal::Doubt(Doubt::Stale) => {
            (StatusCode::UNAUTHORIZED, "signed too far from now: is a clock wrong?")
        }
        Refusal::Doubt(Doubt::Unknown) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the signer's keys cannot be had; try again")
        }
        Refusal::Overload => (StatusCode::TOO_MANY_REQUESTS, "too much at once; try again"),
        Refusal::Full => (StatusCode::SERVICE_UNAVAILABLE, "no room on disk; try again"),
        Refusal::Hec(answer, _) => (StatusCode::BAD_REQUEST, answer.text),
    }
}

fn hec_refusal(refusal: Refusal) -> Response {
    let response = match refusal {
        Refusal::NoToken => hec_response(hec::TOKEN_REQUIRED, None),
        Refusal::BadAuthorization => hec_response(hec::INVALID_AUTHORIZATION, None),
        Refusal::WrongToken => hec_response(hec::INVALID_TOKEN, None),
        Refusal::Hec(answer, n) => hec_response(answer, (answer != hec::NO_DATA).then_some(n)),
        Refusal::Overload | Refusal::Full => hec_response(hec::BUSY, None),
        Refusal::Broken => hec_response(hec::INVALID_FORMAT, None),
        Refusal::TooLarge
        | Refusal::Late
        | Refusal::BadEncoding
        | Refusal::Form
        | Refusal::NoDelivery
        | Refusal::Doubt(_) => return plain_refusal(refusal),
    };
    with_retry(refusal, response)
}

fn with_retry(refusal: Refusal, response: Response) -> Response {
    match refusal {
        Refusal::Overload => ([(header::RETRY_AFTER, "1")], response).into_response(),
        Refusal::Full => ([(header::RETRY_AFTER, "10")], response).into_response(),
        Refusal::NoToken => ([(header::WWW_AUTHENTICATE, "Bearer")], response).into_response(),
        _ => response,
    }
}

fn hec_response(answer: hec::Answer, event: Option<usize>) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, answer.body(event))
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
