//! What destinations that speak HTTP share: a client that cannot be led astray, one request, and how
//! its answer is read.
//!
//! Redirects are not followed, the whole request has a time limit, answers are read to a bound, and
//! addresses that clouds reserve for their own services (link-local, instance metadata) are refused
//! after name resolution, so that a configured name cannot lead there. The URL is a secret: no error
//! and no log line shows it, not even when the server echoes it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use event::Secret;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect};
use url::{Host, Url};

use crate::dispatch::lane::Answer;
use crate::routing::ConfigError;

/// Bytes of an answer that are read.
const BODY_BYTES_MAX: usize = 4_096;
/// Characters of an answer that are shown in a reason.
const BODY_CHARS_SHOWN_MAX: usize = 200;
/// Shorter parts of a URL are not secrets.
const SECRET_CHARS_MIN: usize = 6;

/// An endpoint that alerts are posted to.
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    /// Parts of the URL that must not be shown, longest first.
    secrets: Vec<String>,
}

/// A status and as much of the body as was read; `whole` when that is all of it.
pub(super) struct Reply {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: String,
    pub whole: bool,
}

/// Checks a URL and prepares the client. `place` names the option in errors.
pub(super) fn endpoint(
    url: &Secret,
    place: &str,
    timeout: Duration,
    allow_link_local: bool,
) -> Result<Endpoint, ConfigError> {
    let wrong = |message: &str| ConfigError::new(place, message);
    let url = Url::parse(url.expose()).map_err(|error| wrong(&format!("is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must start with https:// or http://"));
    }
    let forbidden = match url.host() {
        Some(Host::Ipv4(ip)) => is_reserved(ip.into()),
        Some(Host::Ipv6(ip)) => is_reserved(ip.into()),
        Some(Host::Domain(_)) => false,
        None => return Err(wrong("names no host")),
    };
    if forbidden && !allow_link_local {
        return Err(wrong(&format!("{Reserved}; set allow_link_local if that is meant")));
    }
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(timeout)
        .connect_timeout(timeout.min(Duration::from_secs(5)))
        .user_agent(concat!("mantissa-log/", env!("CARGO_PKG_VERSION")));
    if !allow_link_local {
        builder = builder.dns_resolver(Arc::new(Guard { is_refused: is_reserved }));
    }
    let client = builder.build().map_err(|error| wrong(&format!("cannot be used: {error}")))?;
    Ok(Endpoint { client, secrets: secrets_of(&url), url })
}

impl Endpoint {
    /// Posts a JSON body. An `Err` is the answer already: nothing usable came back.
    pub async fn post(&self, headers: HeaderMap, body: Vec<u8>) -> Result<Reply, Answer> {
        let request = self
            .client
            .post(self.url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .headers(headers)
            .body(body);
        let mut response = request.send().await.map_err(|error| self.failed(error))?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| retry_after(value.to_str().ok()?, Utc::now()));
        let (mut bytes, mut whole) = (Vec::new(), false);
        while bytes.len() < BODY_BYTES_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => {
                    whole = true;
                    break;
                }
                Err(_) => break,
            }
        }
        bytes.truncate(BODY_BYTES_MAX);
        let body = self.scrub(&String::from_utf8_lossy(&bytes));
        Ok(Reply { status, retry_after, body, whole })
    }

    fn failed(&self, error: reqwest::Error) -> Answer {
        if causes(&error).any(|cause| cause.is::<Reserved>()) {
            return Answer::Misconfigured { reason: Reserved.to_string() };
        }
        // Nothing was sent when no connection came about.
        let maybe_sent = !error.is_connect();
        let what = match (error.is_timeout(), error.is_connect()) {
            (true, true) => "the connection timed out",
            (true, false) => "no answer in time",
            (false, true) => "cannot connect",
            (false, false) => "the connection broke",
        };
        let error = error.without_url();
        let cause = causes(&error).last().map(ToString::to_string).unwrap_or_default();
        let reason = printable(&self.scrub(&format!("{what}: {cause}")));
        Answer::Failed { retry_after: None, reason, maybe_sent }
    }

    /// Without the secret parts of the URL.
    fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret) {
                text = text.replace(secret, "***");
            }
        }
        text
    }
}

/// How every HTTP destination reads a status; what 2xx means is the destination's.
pub(super) fn answer(reply: &Reply) -> Answer {
    let (status, retry_after) = (reply.status, reply.retry_after);
    let reason = match printable(&reply.body) {
        body if body.is_empty() => format!("answered {status}"),
        body => format!("answered {status}: {body}"),
    };
    match status.as_u16() {
        200..300 => Answer::Accepted { reference: None },
        300..400 => Answer::Misconfigured {
            reason: format!("answered {status}: redirects are not followed, give the final URL"),
        },
        401 | 403 => Answer::Misconfigured { reason },
        408 | 425 | 429 => Answer::Busy { retry_after, reason },
        400..500 => Answer::Refused { reason },
        // A gateway that gave up waiting does not know what the server behind it did.
        502 | 504 => Answer::Failed { retry_after, reason, maybe_sent: true },
        _ => Answer::Failed { retry_after, reason, maybe_sent: false },
    }
}

/// `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3); a date in the past is zero.
fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    Some((date.with_timezone(&Utc) - now).to_std().unwrap_or(Duration::ZERO))
}

/// One bounded line.
pub(super) fn printable(text: &str) -> String {
    let text = text.trim();
    let mut shown: String = text
        .chars()
        .take(BODY_CHARS_SHOWN_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(BODY_CHARS_SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Path, segments, query values and credentials of a URL, as written and decoded.
fn secrets_of(url: &Url) -> Vec<String> {
    let mut secrets = vec![url.as_str().to_owned(), url.path().to_owned()];
    secrets.extend(url.path_segments().into_iter().flatten().map(str::to_owned));
    secrets.extend(url.query().map(str::to_owned));
    secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    secrets.extend([url.username().to_owned(), url.password().unwrap_or_default().to_owned()]);
    secrets.retain(|secret| secret.chars().count() >= SECRET_CHARS_MIN);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    secrets
}

fn causes<'e>(
    error: &'e reqwest::Error,
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |e| e.source())
}

/// The reason why an address is not connected to.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("leads to an address that is reserved for the cloud's own services")]
struct Reserved;

/// Resolves names as the system does and refuses some addresses. (A proxy from the environment
/// resolves names itself.)
struct Guard {
    is_refused: fn(IpAddr) -> bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let is_refused = self.is_refused;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let all: Vec<SocketAddr> = found.collect();
            if all.iter().any(|address| is_refused(address.ip())) {
                return Err(Reserved.into());
            }
            Ok(Box::new(all.into_iter()) as Addrs)
        })
    }
}

/// Link-local, instance metadata and "this host" addresses.
fn is_reserved(ip: IpAddr) -> bool {
    const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const AZURE_WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || ip.is_multicast()
                || ip == ALIBABA_METADATA
                || ip == AZURE_WIRE_SERVER
        }
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip == AWS_METADATA
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("2026-03-01T12:00:00Z").unwrap().to_utc();
        for (value, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 01 Mar 2026 12:00:30 GMT", Some(30)),
            ("Sun, 01 Mar 2026 11:00:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn reserved_addresses_are_known_in_every_dress() {
        for (ip, expected) in [
            ("169.254.169.254", true),
            ("::ffff:169.254.169.254", true),
            ("fe80::1", true),
            ("fd00:ec2::254", true),
            ("100.100.100.200", true),
            ("168.63.129.16", true),
            ("0.0.0.0", true),
            ("::", true),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("198.51.100.7", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_reserved(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[tokio::test]
    async fn a_name_cannot_lead_to_reserved_addresses() {
        crate::testing::install_tls();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = Url::parse(&format!("http://localhost:{port}/")).unwrap();
        let guard = Guard { is_refused: |ip| ip.is_loopback() };
        let client = Client::builder().dns_resolver(Arc::new(guard)).build().unwrap();
        let endpoint = Endpoint { client, url, secrets: Vec::new() };
        let answer = endpoint.post(HeaderMap::new(), Vec::new()).await.err().unwrap();
        assert_eq!(answer, Answer::Misconfigured { reason: Reserved.to_string() });
    }

    #[test]
    fn a_status_is_data_configuration_or_weather() {
        let name = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            match answer(&Reply { status, retry_after: None, body: String::new(), whole: true }) {
                Answer::Accepted { .. } => "accepted",
                Answer::Refused { .. } => "refused",
                Answer::Misconfigured { .. } => "misconfigured",
                Answer::Busy { .. } => "busy",
                Answer::Failed { .. } => "failed",
            }
        };
        for (statuses, expected) in [
            (&[200, 201, 202, 204][..], "accepted"),
            (&[301, 302, 307, 401, 403], "misconfigured"),
            (&[408, 425, 429], "busy"),
            (&[400, 404, 405, 410, 413, 422], "refused"),
            (&[500, 502, 503, 504, 529], "failed"),
        ] {
            for status in statuses {
                assert_eq!(name(*status), expected, "{status}");
            }
        }
    }
}
