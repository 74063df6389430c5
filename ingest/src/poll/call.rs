//! From a connector's declaration to a request: filled, encoded, and never to another host.

use super::connector::{Call, Template, Values, object};
use super::request::{Request, encode};

/// The request with these values; what has no value is left out.
pub fn request(call: &Call, values: &Values, base_url: &str) -> Request {
    let encoded: Values = values.iter().map(|(name, v)| (name.clone(), segment(v))).collect();
    let path = call.path.fill(&encoded).unwrap_or_default();
    let mut request = Request::new(call.verb, format!("{base_url}{path}"));
    add(&mut request, &call.query, values);
    finish(call, values, &mut request);
    request
}

/// The request to an address that the vendor gave. Only its path and query are taken: the credential goes to
/// no other host than the configured one, whatever an answer says.
pub fn follow(call: &Call, values: &Values, base_url: &str, address: &str) -> Request {
    let address: String = address.chars().filter(|c| !c.is_control() && *c != ' ').collect();
    let address = address.split('#').next().unwrap_or_default();
    let is_own = address.strip_prefix(base_url).is_some_and(|rest| rest.starts_with(['/', '?']));
    let path = match (is_own, address.split_once("://")) {
        (true, _) => &address[base_url.len()..],
        (false, Some((_, rest))) => rest.find('/').map_or("/", |at| &rest[at..]),
        (false, None) => address,
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut request = Request::new(call.verb, format!("{base_url}{slash}{path}"));
    query.clone_into(&mut request.query);
    finish(call, values, &mut request);
    request
}

/// Adds parameters to a request.
pub fn add(request: &mut Request, query: &[(String, Template)], values: &Values) {
    for (name, value) in query {
        if let Some(value) = value.fill(values) {
            let joint = if request.query.is_empty() { "" } else { "&" };
            request.query += &format!("{joint}{}={}", encode(name), encode(&value));
        }
    }
}

fn finish(call: &Call, values: &Values, request: &mut Request) {
    request.header("Accept", "application/json");
    for (name, value) in &call.headers {
        if let Some(value) = value.fill(values) {
            request.header(name, value);
        }
    }
    if !call.body.is_empty() {
        request.header("Content-Type", "application/json");
        request.body = Some(object(&call.body, values).to_string());
    }
}

/// A setting may be several segments, `orgs/acme`.
fn segment(value: &str) -> String {
    value.split('/').map(encode).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        let template = |text| Template::new(text).unwrap();
        let pair = |name: &str, text| (name.to_owned(), template(text));
        Call {
            verb: Default::default(),
            path: template("/v1/{scope}/logs"),
            query: vec![pair("cursor", "{token}"), pair("phrase", "created:>={from}")],
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    #[test]
    fn what_has_no_value_is_left_out() {
        let mut values: Values = [("scope", "orgs/ac me"), ("from", "2026-01-02T03:00:00Z")]
            .map(|(n, v)| (n.into(), v.into()))
            .into();
        let request = request(&call(), &values, "https://api.example.com");
        assert_eq!(
            request.full_url(),
            "https://api.example.com/v1/orgs/ac%20me/logs?phrase=created%3A%3E%3D2026-01-02T03%3A00%3A00Z"
        );
        values.insert("token".into(), "a&b".into());
        let request = super::request(&call(), &values, "https://api.example.com");
        assert!(request.query.starts_with("cursor=a%26b&"), "{}", request.query);
    }

    #[test]
    fn the_credential_stays_with_the_configured_host() {
        for (base, address, expected) in [
            (
                "https://a.example",
                "https://a.example/x?after=1%2C2",
                "https://a.example/x?after=1%2C2",
            ),
            ("https://a.example", "https://evil.example/x?y=1", "https://a.example/x?y=1"),
            ("https://a.example", "https://a.example.evil.example/x", "https://a.example/x"),
            ("https://a.example", "https://a.example@evil.example/x", "https://a.example/x"),
            ("https://a.example", "//evil.example/x", "https://a.example//evil.example/x"),
            (
                "http://127.0.0.1:9/okta",
                "https://acme.okta.com/api?a=1",
                "http://127.0.0.1:9/okta/api?a=1",
            ),
            (
                "https://g.example/api/v3",
                "https://g.example/api/v3/x?p=2",
                "https://g.example/api/v3/x?p=2",
            ),
            ("https://a.example", "/x?y#z", "https://a.example/x?y"),
            ("https://a.example", "x\r\nHost: evil", "https://a.example/xHost:evil"),
        ] {
            assert_eq!(
                follow(&call(), &Values::new(), base, address).full_url(),
                expected,
                "{address}"
            );
        }
    }
}
