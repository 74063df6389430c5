//! Stores of objects: S3 and what speaks as it does, Google's Cloud Storage, Azure's blobs. Listing, asking and
//! reading, by plain requests.
//!
//! A name of an object is any text: `a//b`, `/a` and `a/../b` are names like others, and what a listing shows can be
//! read under the name that it shows. What passes (no connection, too many requests, 5xx) is tried again for half
//! a minute, with the pauses that the store asks for; a body that breaks off is read on from there. What is left
//! of that is told in words, without addresses, which may hold secrets.

mod body;
mod dialect;
pub(crate) mod names;
pub(crate) mod xml;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use event::Secret;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::Response;
use tokio::time::Instant;

use crate::poll::backoff::{Chance, pause_ms};
use crate::poll::client::{Client, Reach};
use crate::poll::request::{Request, Verb};
use crate::poll::source::{now_ms, seed};
use crate::poll::when;
pub(crate) use body::reader;
pub(crate) use dialect::Dialect;

/// So often what may pass is tried again.
const RETRIES_MAX: u32 = 3;
/// And for so long. What fails after that is tried again by the source, which says so.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A page of a listing, or a part of a body, is here by then.
const READ_MAX: Duration = Duration::from_secs(60);
/// Azure lists 5,000 names of up to 1,024 characters.
const PAGE_BYTES_MAX: usize = 64 << 20;

/// Why an object cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It never will be: removed or archived.
    Gone(String),
    /// For want of permission, or at present.
    Refused(String),
}

impl Trouble {
    pub fn words(&self) -> &str {
        match self {
            Self::Gone(words) | Self::Refused(words) => words,
        }
    }
}

/// What a store says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub key: String,
    /// What changes with the content, as the store writes it.
    pub etag: Option<String>,
    pub size: u64,
    /// When it was last written, in milliseconds since 1970.
    pub changed_ms: i64,
}

impl Entry {
    /// Stands for a folder and holds nothing: consoles make such objects.
    pub fn is_folder(&self) -> bool {
        self.size == 0 && self.key.ends_with('/')
    }
}

/// A part of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub entries: Vec<Entry>,
    /// What names go on with after the prefix up to the next slash, with both.
    pub folders: Vec<String>,
    /// Where the next part begins; `None`: this is the last.
    pub next: Option<String>,
}

/// Which objects are listed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listing<'a> {
    /// What names begin with.
    pub prefix: &'a str,
    /// Names that go on behind another slash are told as folders.
    pub folders: bool,
    /// [`Page::next`] of the page before.
    pub after: Option<&'a str>,
}

/// Which bytes of which content are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extent {
    /// From this one on.
    pub from: u64,
    /// Before this one.
    pub upto: Option<u64>,
    /// Only if the content is still this.
    pub etag: Option<String>,
}

/// The bytes of an object; an error, in words, is the last item.
pub(crate) type Chunks = BoxStream<'static, Result<Bytes, String>>;

/// Objects as they are listed.
pub(crate) type Entries = BoxStream<'static, Result<Entry, Trouble>>;

/// Proves who sends a request.
#[async_trait]
pub(crate) trait Proof: std::fmt::Debug + Send + Sync {
    /// Fails in words.
    async fn sign(&self, request: &mut Request) -> Result<(), String>;
}

/// A bucket or container.
#[derive(Debug)]
pub(crate) struct Store {
    client: Client,
    dialect: Dialect,
    /// `https://s3.eu-central-1.amazonaws.com/bucket`
    url: String,
    proof: Arc<dyn Proof>,
}

/// What a store answers when it does not do what it is asked.
struct Refusal {
    trouble: Trouble,
    passes: bool,
    /// How long it wants to be left alone.
    wait: Option<Duration>,
}

/// The client of a store, by the proxy and with the authorities of a source. Fails in words.
pub(crate) fn client(proxy: Option<&Secret>, ca: Option<&PathBuf>) -> Result<Client, String> {
    Client::of_stored(&Reach {
        proxy: proxy.map(|proxy| proxy.expose().to_owned()),
        ca: ca.cloned(),
        request_ms_max: READ_MAX.as_millis() as u64,
        answer_bytes_max: PAGE_BYTES_MAX,
    })
}

impl Store {
    pub fn new(client: Client, dialect: Dialect, url: String, proof: Arc<dyn Proof>) -> Self {
        Self { client, dialect, url, proof }
    }

    /// The name of the bucket, for messages.
    fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    /// One page of a listing, in the store's order.
    pub async fn list(&self, listing: Listing<'_>) -> Result<Page, Trouble> {
        let mut request = Request::new(Verb::Get, &self.url);
        request.query = self.dialect.listing(listing);
        let response = self.send(request).await?;
        let read = tokio::time::timeout(READ_MAX, self.client.read(response)).await;
        let reply = read.map_err(|_| Trouble::Refused("no answer in time".to_owned()))?;
        let reply = reply.map_err(|lost| Trouble::Refused(lost.0))?;
        self.dialect.page(&String::from_utf8_lossy(&reply.body)).map_err(Trouble::Refused)
    }

    /// Everything whose name begins so, in the store's order; an error is the last item.
    pub fn entries(self: Arc<Self>, prefix: String) -> Entries {
        let pages = stream::try_unfold(Some(None), move |after: Option<Option<String>>| {
            let (store, prefix) = (self.clone(), prefix.clone());
            async move {
                let Some(after) = after else { return Ok(None) };
                let (prefix, after) = (prefix.as_str(), after.as_deref());
                let page = store.list(Listing { prefix, folders: false, after }).await?;
                let entries = stream::iter(page.entries.into_iter().map(Ok));
                Ok(Some((entries, page.next.map(Some))))
            }
        });
        pages.try_flatten().boxed()
    }

    /// What the object is now.
    pub async fn head(&self, key: &str) -> Result<Entry, Trouble> {
        let response = self.send(self.of(Verb::Head, key)).await?;
        Ok(entry(key, &response))
    }

    /// The object, or some of it, with its body.
    pub async fn get(
        self: &Arc<Self>,
        key: &str,
        extent: Extent,
    ) -> Result<(Entry, Chunks), Trouble> {
        let response = self.open(key, &extent).await?;
        let entry = entry(key, &response);
        Ok((entry.clone(), body::chunks(self.clone(), entry, extent, response)))
    }

    async fn open(&self, key: &str, extent: &Extent) -> Result<Response, Trouble> {
        let mut request = self.of(Verb::Get, key);
        self.dialect.narrow(&mut request, extent);
        let response = self.send(request).await?;
        if (extent.from > 0 || extent.upto.is_some()) && response.status().as_u16() != 206 {
            return Err(Trouble::Refused("the store does not give parts of objects".to_owned()));
        }
        Ok(response)
    }

    fn of(&self, verb: Verb, key: &str) -> Request {
        let mut request = Request::new(verb, format!("{}/{}", self.url, names::path(key)));
        self.dialect.want(&mut request);
        request
    }

    /// Sends a request until it is answered well.
    async fn send(&self, request: Request) -> Result<Response, Trouble> {
        let (until, mut chance) = (Instant::now() + RETRY_MAX, Chance::new(seed()));
        let mut failures = 0;
        loop {
            let mut signed = request.clone();
            self.dialect.introduce(&mut signed);
            self.proof.sign(&mut signed).await.map_err(Trouble::Refused)?;
            let refusal = match self.client.open(signed).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => self.refusal(response).await,
                Err(lost) => {
                    Refusal { trouble: Trouble::Refused(lost.0), passes: true, wait: None }
                }
            };
            failures += 1;
            let pause = Duration::from_millis(pause_ms(failures, &mut chance).unsigned_abs());
            let again = Instant::now() + refusal.wait.unwrap_or(pause);
            if !refusal.passes || failures > RETRIES_MAX || again > until {
                return Err(refusal.trouble);
            }
            tokio::time::sleep_until(again).await;
        }
    }

    async fn refusal(&self, response: Response) -> Refusal {
        let status = response.status().as_u16();
        let header = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let code = header("x-ms-error-code");
        let region = header("x-amz-bucket-region").filter(|_| status == 301);
        let wait = header("retry-after").and_then(|text| wait(&text));
        let read = tokio::time::timeout(READ_MAX, self.client.read(response)).await;
        let body = read.ok().and_then(Result::ok).map(|reply| reply.body).unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let code = code.or_else(|| xml::text(&text, "Code")).unwrap_or_default();
        // Azure's goes on for lines with the number of the request.
        let message = xml::text(&text, "Message").unwrap_or_default();
        let message = message.lines().next().unwrap_or_default();
        let region = region.map(|region| format!("it is in {region}")).unwrap_or_default();
        let said = [&code, message, &region].map(|part| event::shown::line(part).into_owned());
        let said = said.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        let trouble = self.dialect.judge(status, &code, &said, self.name());
        let passes = matches!(status, 408 | 429 | 500 | 502 | 503 | 504);
        Refusal { trouble, passes, wait }
    }
}

fn wait(text: &str) -> Option<Duration> {
    let text = text.trim();
    let seconds = text.parse::<u64>().ok().map(Duration::from_secs);
    seconds.or_else(|| {
        let ms = when::read_http_date(text)? - now_ms();
        Some(Duration::from_millis(ms.max(0).unsigned_abs()))
    })
}

/// What the head of an answer says of the object.
fn entry(key: &str, response: &Response) -> Entry {
    let header = |name| response.headers().get(name)?.to_str().ok();
    let whole = header("content-range").and_then(|range| range.rsplit_once('/')?.1.parse().ok());
    let length = || header("content-length").and_then(|length| length.parse().ok());
    Entry {
        key: key.to_owned(),
        etag: header("etag").map(str::to_owned),
        size: whole.or_else(length).unwrap_or(0),
        changed_ms: header("last-modified").and_then(when::read_http_date).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
