//! What is asked of a vendor and what it answers, as data.

use std::fmt;

/// How a request is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    #[default]
    Get,
    Post,
    #[serde(skip)]
    Head,
    /// Not for connectors: what they ask changes nothing.
    #[serde(skip)]
    Put,
    #[serde(skip)]
    Delete,
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One request. Its headers and body may hold secrets and are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Request {
    pub verb: Verb,
    /// Everything before the query.
    pub url: String,
    /// The query, encoded, without the question mark; may be empty.
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
}

impl Request {
    pub fn new(verb: Verb, url: impl Into<String>) -> Self {
        Self { verb, url: url.into(), ..Self::default() }
    }

    /// The whole URL.
    pub fn full_url(&self) -> String {
        match self.query.is_empty() {
            true => self.url.clone(),
            false => format!("{}?{}", self.url, self.query),
        }
    }

    /// Host and path, `api.example.com` and `/v1/x`.
    pub fn host_and_path(&self) -> (&str, &str) {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        }
    }

    /// A form as body.
    pub fn form(mut self, pairs: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect();
        self.header("content-type", "application/x-www-form-urlencoded");
        self.body = Some(pairs.join("&"));
        self
    }

    /// Sets a header; there is one of each name.
    pub fn header(&mut self, name: &str, value: impl Into<String>) {
        self.headers.retain(|(have, _)| !have.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, path) = self.host_and_path();
        write!(f, "{} {host}{path}", self.verb.as_str())
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(have, _)| have == name);
        all.next().map(|(_, value)| value.as_str())
    }
}

/// Nothing usable came back: no connection, no answer in time, an answer that broke off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Lost(pub String);

/// Percent-encodes everything but the unreserved characters of RFC 3986.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte as char);
            }
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(HEX[usize::from(byte >> 4)] as char);
                out.push(HEX[usize::from(byte & 15)] as char);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(encode("Fïrst ~*()"), "F%C3%AFrst%20~%2A%28%29");
    }

    #[test]
    fn a_request_never_shows_its_secrets() {
        let mut request = Request::new(Verb::Get, "https://api.example.com/v1/logs");
        request.query = "token=hunter2".to_owned();
        request.header("Authorization", "Bearer hunter2");
        let request = request.form(&[("secret", "hunter2")]);
        assert_eq!(format!("{request:?}"), "GET api.example.com/v1/logs");
        assert_eq!(request.host_and_path(), ("api.example.com", "/v1/logs"));
    }
}
