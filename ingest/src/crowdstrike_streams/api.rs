//! The requests to Falcon (<https://developer.crowdstrike.com/api-reference/collections/event-streams/>).

use std::time::Duration;

use event::Secret;
use serde::Deserialize;

use crate::lines::Lines;
use crate::poll::client::Client;
use crate::poll::request::{Reply, Request, Verb};
use crate::tokens::Tokens;

/// What the vendor takes as long as it does not say otherwise.
const SESSION_S: u64 = 1_800;

/// Why something cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The session is over: a new one is to be got.
    Over(String),
    /// It may be otherwise later.
    Other(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Over(words) | Self::Other(words)) = self;
        f.write_str(words)
    }
}

#[derive(Debug)]
pub(super) struct Api {
    pub tokens: Tokens,
    pub client: Client,
    /// `https://api.crowdstrike.com`
    pub base_url: String,
    pub app_id: String,
    pub silence_max: Duration,
    pub line_bytes_max: usize,
}

/// A partition that can be listened to, for as long as its session.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// Its number.
    pub partition: String,
    feed_url: String,
    token: Secret,
    refresh_url: String,
    /// Before the session ends.
    pub refresh_every: Duration,
}

#[derive(Deserialize)]
struct Discovery {
    #[serde(default)]
    resources: Option<Vec<Resource>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    #[serde(rename = "dataFeedURL")]
    feed_url: String,
    session_token: SessionToken,
    #[serde(rename = "refreshActiveSessionURL")]
    refresh_url: String,
    #[serde(rename = "refreshActiveSessionInterval")]
    session_s: Option<u64>,
}

#[derive(Deserialize)]
struct SessionToken {
    token: Secret,
}

impl Api {
    /// The partitions that nobody with this `app_id` listens to, each with a new session.
    pub async fn streams(&self) -> Result<Vec<Stream>, Trouble> {
        let url = format!("{}/sensors/entities/datafeed/v2", self.base_url);
        let mut request = Request::new(Verb::Get, url);
        request.query = format!("appId={}&format=json", self.app_id);
        let reply = self.tokens.send(request).await.map_err(Trouble::Other)?;
        match reply.status {
            200..300 => {}
            403 => {
                let told = "the API client lacks the scope Event streams: Read".to_owned();
                return Err(Trouble::Other(format!("{told} ({})", said(&reply))));
            }
            _ => return Err(Trouble::Other(format!("no streams: {}", said(&reply)))),
        }
        let found: Discovery = serde_json::from_slice(&reply.body)
            .map_err(|_| Trouble::Other("the list of streams is not what it should be".into()))?;
        let resources = found.resources.unwrap_or_default();
        resources.into_iter().map(|resource| self.stream(resource)).collect()
    }

    fn stream(&self, resource: Resource) -> Result<Stream, Trouble> {
        let scheme = if self.base_url.starts_with("https:") { "https://" } else { "http://" };
        if ![&resource.feed_url, &resource.refresh_url].iter().all(|url| url.starts_with(scheme)) {
            return Err(Trouble::Other("a stream's address is not encrypted".to_owned()));
        }
        let path = resource.feed_url.split('?').next().unwrap_or_default();
        let partition = path.rsplit('/').next().unwrap_or_default();
        if partition.is_empty() || !partition.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Trouble::Other("a stream's address names no partition".to_owned()));
        }
        let session_s = resource.session_s.filter(|s| *s > 0).unwrap_or(SESSION_S);
        Ok(Stream {
            partition: partition.to_owned(),
            feed_url: resource.feed_url,
            token: resource.session_token.token,
            refresh_url: resource.refresh_url,
            refresh_every: Duration::from_secs(session_s) * 5 / 6,
        })
    }

    /// Events of a stream from an offset on.
    pub async fn listen(&self, stream: &Stream, offset: u64) -> Result<Lines, Trouble> {
        let sign = if stream.feed_url.contains('?') { '&' } else { '?' };
        let url = format!("{}{sign}offset={offset}", stream.feed_url);
        let mut request = Request::new(Verb::Get, url);
        request.header("Authorization", format!("Token {}", stream.token.expose()));
        request.header("Accept", "application/json");
        let opened = self.client.open(request).await;
        let answer = opened.map_err(|lost| Trouble::Other(format!("the stream: {lost}")))?;
        if answer.status().as_u16() == 200 {
            return Ok(Lines::new(answer, self.line_bytes_max, Some(self.silence_max)));
        }
        let reply = self.client.read(answer).await;
        let reply = reply.map_err(|lost| Trouble::Other(format!("the stream: {lost}")))?;
        Err(Trouble::Other(match reply.status {
            409 | 429 => format!("{} ({})", busy(&self.app_id), said(&reply)),
            _ => format!("the stream: {}", said(&reply)),
        }))
    }

    /// Makes the session of a stream that is listened to last longer.
    pub async fn refresh(&self, stream: &Stream) -> Result<(), Trouble> {
        let mut request = Request::new(Verb::Post, &stream.refresh_url);
        request.header("Content-Type", "application/json");
        request.body = Some("{}".to_owned());
        let sent = self.tokens.send(request).await;
        let reply = sent.map_err(|words| Trouble::Other(format!("the session: {words}")))?;
        let told = || format!("the session cannot be made to last: {}", said(&reply));
        match reply.status {
            200..300 => Ok(()),
            429 | 500.. => Err(Trouble::Other(told())),
            _ => Err(Trouble::Over(told())),
        }
    }
}

/// Somebody else listens.
pub(super) fn busy(app_id: &str) -> String {
    format!(
        "the vendor has no stream for app_id {app_id}: another connection uses it, or one that broke has not been \
         noticed yet (about a minute). Every collector needs an app_id of its own"
    )
}

/// Status and the vendor's own words.
fn said(reply: &Reply) -> String {
    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    match body["errors"][0]["message"].as_str() {
        Some(words) => format!("status {}: {}", reply.status, event::shown::line(words)),
        None => format!("status {}", reply.status),
    }
}
