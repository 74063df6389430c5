//! Duo's request signing: Basic authentication whose password is an HMAC over the request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use event::Secret;
use ring::{digest, hmac};
use schemars::JsonSchema;
use serde::Deserialize;

use super::hex;
use crate::poll::request::Request;
use crate::poll::when;

/// Which canonical form is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Version 2 with SHA-1, for old servers.
    V2Sha1,
    /// Version 2 with SHA-512.
    V2,
    /// Version 5: also the body and Duo's own headers are signed.
    #[default]
    V5,
}

/// An application of the Admin API, "Grant read log".
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DuoOptions {
    /// The integration key of an Admin API application.
    pub integration_key: String,
    /// Its secret key.
    pub secret_key: Secret,
    /// How requests are signed.
    #[serde(default)]
    pub scheme: Scheme,
}

/// Signs a request whose URL and query are final. The query's parameters must be sorted already.
pub fn sign(request: &mut Request, options: &DuoOptions, now_ms: i64) {
    let date = when::write_mail_date(now_ms);
    let canonical = canonical(request, options.scheme, &date);
    let algorithm = match options.scheme {
        Scheme::V2Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Scheme::V2 | Scheme::V5 => hmac::HMAC_SHA512,
    };
    let key = hmac::Key::new(algorithm, options.secret_key.expose().as_bytes());
    let signature = hex(hmac::sign(&key, canonical.as_bytes()).as_ref());
    let credentials = BASE64.encode(format!("{}:{signature}", options.integration_key));
    request.header("Date", date);
    request.header("Authorization", format!("Basic {credentials}"));
}

fn canonical(request: &Request, scheme: Scheme, date: &str) -> String {
    let (host, path) = request.host_and_path();
    let mut pairs: Vec<&str> = request.query.split('&').collect();
    pairs.sort_unstable();
    let host = host.to_lowercase();
    let query = pairs.join("&");
    let mut lines = format!("{date}\n{}\n{host}\n{path}\n{query}", request.verb.as_str());
    if scheme == Scheme::V5 {
        let body = request.body.as_deref().unwrap_or_default();
        let sha512 = |text: &str| hex(digest::digest(&digest::SHA512, text.as_bytes()).as_ref());
        // We send none of the `x-duo-` headers that are signed as well.
        lines = format!("{lines}\n{}\n{}", sha512(body), sha512(""));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::tests::vectors;
    use super::*;
    use crate::poll::request::{Verb, encode};

    #[test]
    fn signatures_are_those_of_the_vendors_own_client() {
        let vectors = vectors();
        let vectors = vectors["duo"].as_array().unwrap();
        assert_eq!(vectors.len(), 15);
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap().to_owned();
            let scheme = match text("scheme").as_str() {
                "v2-sha1" => Scheme::V2Sha1,
                "v2-sha512" => Scheme::V2,
                _ => Scheme::V5,
            };
            let options = DuoOptions {
                integration_key: text("ikey"),
                secret_key: Secret::new(text("skey")),
                scheme,
            };
            let url = format!("https://{}{}", text("host"), text("path"));
            let mut request = Request::new(Verb::Get, url);
            let params = vector["params"].as_object().unwrap().iter();
            let pairs = params.map(|(name, values)| {
                format!("{}={}", encode(name), encode(values[0].as_str().unwrap()))
            });
            request.query = pairs.collect::<Vec<_>>().join("&");
            assert_eq!(canonical(&request, scheme, &text("date")), text("canonical"));
            sign(&mut request, &options, when::read_http_date(&text("date")).unwrap());
            let header = |name: &str| {
                let found = request.headers.iter().find(|(have, _)| have == name);
                found.map(|(_, value)| value.clone()).unwrap()
            };
            assert_eq!(header("Authorization"), text("authorization"));
            assert_eq!(header("Date"), text("date"));
        }
    }
}
