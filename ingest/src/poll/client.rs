//! Sends requests. Redirects are not followed and answers are bounded; what fails is told without URLs,
//! which may hold secrets.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{
    Certificate, Client as Http, ClientBuilder, Proxy, RequestBuilder, Response, redirect,
};

use super::request::{Lost, Reply, Request, Verb};

/// How the vendor is reached.
#[derive(Clone, Debug)]
pub struct Reach {
    /// `http://proxy:3128`, may hold a user and a password. Without one the environment's applies.
    pub proxy: Option<String>,
    /// PEM file with more authorities that are trusted.
    pub ca: Option<PathBuf>,
    pub request_ms_max: u64,
    pub answer_bytes_max: usize,
}

/// A client of one source.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http,
    timeout: Duration,
    answer_bytes_max: usize,
}

impl Client {
    /// Fails in words.
    pub fn new(reach: &Reach) -> Result<Self, String> {
        Self::build(reach, Http::builder())
    }

    /// As [`Client::new`], but bodies come as they are stored: none is decompressed on its way. They may be long, and
    /// each has a connection of its own.
    pub fn of_stored(reach: &Reach) -> Result<Self, String> {
        Self::build(reach, Http::builder().no_gzip().http1_only())
    }

    fn build(reach: &Reach, builder: ClientBuilder) -> Result<Self, String> {
        let timeout = Duration::from_millis(reach.request_ms_max.max(1_000));
        let mut builder = builder
            .redirect(redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .user_agent(concat!("mantissa-log/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = &reach.proxy {
            let proxy =
                Proxy::all(proxy).map_err(|_| "`proxy` is no address of a proxy".to_owned())?;
            builder = builder.proxy(proxy);
        }
        if let Some(ca) = &reach.ca {
            let told = |e: &dyn std::fmt::Display| format!("`ca` {}: {e}", ca.display());
            let pem = std::fs::read(ca).map_err(|e| told(&e))?;
            let found = Certificate::from_pem_bundle(&pem).map_err(|e| told(&e))?;
            if found.is_empty() {
                return Err(told(&"holds no certificate"));
            }
            builder =
                found.into_iter().fold(builder, |builder, one| builder.add_root_certificate(one));
        }
        let http = builder.build().map_err(|e| format!("the HTTP client cannot start: {e}"))?;
        Ok(Self { http, timeout, answer_bytes_max: reach.answer_bytes_max })
    }

    fn ask(&self, request: Request) -> RequestBuilder {
        let url = request.full_url();
        let mut builder = match request.verb {
            Verb::Get => self.http.get(url),
            Verb::Head => self.http.head(url),
            Verb::Post => self.http.post(url),
            Verb::Put => self.http.put(url),
            Verb::Delete => self.http.delete(url),
        };
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        builder
    }

    /// Sends a request whose answer begins in time and may then go on for ever.
    pub async fn open(&self, request: Request) -> Result<Response, Lost> {
        let sent = self.ask(request).timeout(Duration::MAX).send();
        let begun = tokio::time::timeout(self.timeout, sent).await;
        begun.map_err(|_| Lost("no answer in time".to_owned()))?.map_err(|e| lost(&e))
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: Request) -> Result<Reply, Lost> {
        let response = self.ask(request).send().await.map_err(|e| lost(&e))?;
        self.read(response).await
    }

    /// The whole of an answer.
    pub async fn read(&self, mut response: Response) -> Result<Reply, Lost> {
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| lost(&e))? {
            if body.len() + chunk.len() > self.answer_bytes_max {
                return Err(Lost(format!(
                    "the answer is longer than {} bytes",
                    self.answer_bytes_max
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body })
    }
}

fn lost(error: &reqwest::Error) -> Lost {
    let what = match (error.is_timeout(), error.is_connect(), error.is_builder()) {
        (true, true, _) => "the connection timed out",
        (true, ..) => "no answer in time",
        (_, true, _) => "cannot connect",
        (.., true) => "the request cannot be made: check `base_url` and the settings",
        _ => "the connection broke",
    };
    let first = std::error::Error::source(error);
    let last = std::iter::successors(first, |e| e.source()).last();
    let cause = last
        .map(|cause| format!(": {}", event::shown::line(&cause.to_string())))
        .unwrap_or_default();
    Lost(format!("{what}{cause}"))
}
