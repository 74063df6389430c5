//! Who may ask. With a token: whoever knows it. Without one: metrics are open, and what shows the
//! content of logs answers only to this machine.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};
use event::Secret;

/// What a route shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Whether the process lives: for everybody.
    Health,
    /// Numbers and descriptions.
    Numbers,
    /// Content of logs.
    Logs,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    NoToken,
    NotLocal,
}

pub(crate) fn check(
    shows: Shows,
    token: Option<&Secret>,
    headers: &HeaderMap,
    peer: SocketAddr,
) -> Result<(), Denied> {
    match (shows, token) {
        (Shows::Health, _) | (Shows::Numbers, None) => Ok(()),
        (_, Some(token)) if bears(token, headers) => Ok(()),
        (_, Some(_)) => Err(Denied::NoToken),
        (Shows::Logs, None) if is_local(headers, peer) => Ok(()),
        (Shows::Logs, None) => Err(Denied::NotLocal),
    }
}

/// Whether the request carries the token. Takes as long for a nearly right one as for a wrong one.
pub(crate) fn bears(token: &Secret, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], |v| v.as_bytes());
    let Some((scheme, given)) = given.split_at_checked(7) else { return false };
    let token = token.expose().as_bytes();
    let differ = given.iter().zip(token).fold(0, |differ, (a, b)| differ | (a ^ b));
    scheme.eq_ignore_ascii_case(b"bearer ")
        && !token.is_empty()
        && given.len() == token.len()
        && std::hint::black_box(differ) == 0
}

/// The caller is on this machine and named this machine: a web page that points its own host name
/// here (DNS rebinding) did not.
fn is_local(headers: &HeaderMap, peer: SocketAddr) -> bool {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let names_us = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    peer.ip().to_canonical().is_loopback() && names_us
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers<'h> = &'h [(&'h str, &'h str)];

    fn check_access(shows: Shows, token: &str, headers: Headers<'_>, peer: &str) -> String {
        let token = (!token.is_empty()).then(|| Secret::new(token));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = axum::http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.insert(name, value.parse().unwrap());
        }
        format!("{:?}", check(shows, token.as_ref(), &map, peer.parse().unwrap()))
    }

    #[test]
    fn who_may_ask() {
        let home = "127.0.0.1:5000";
        let away = "10.0.0.9:5000";
        let local = [("host", "localhost:9400")];
        let right = [("authorization", "Bearer s3cret"), ("host", "siem.example")];
        let cases: &[(Shows, &str, Headers<'_>, &str, &str)] = &[
            (Shows::Health, "s3cret", &[], away, "Ok(())"),
            (Shows::Numbers, "", &[], away, "Ok(())"),
            (Shows::Numbers, "s3cret", &[], home, "Err(NoToken)"),
            (Shows::Numbers, "s3cret", &right, away, "Ok(())"),
            (Shows::Logs, "s3cret", &right, away, "Ok(())"),
            (Shows::Logs, "s3cret", &[("authorization", "bearer s3cret")], away, "Ok(())"),
            (Shows::Logs, "s3cret", &[("authorization", "Bearer s3cre")], away, "Err(NoToken)"),
            (Shows::Logs, "s3cret", &[("authorization", "Bearer s3crets")], away, "Err(NoToken)"),
            (Shows::Logs, "s3cret", &[("authorization", "Basic s3cret1")], away, "Err(NoToken)"),
            (Shows::Logs, "s3cret", &local, home, "Err(NoToken)"),
            (Shows::Logs, "", &local, home, "Ok(())"),
            (Shows::Logs, "", &[("host", "[::1]:9400")], "[::1]:5000", "Ok(())"),
            (Shows::Logs, "", &[("host", "127.0.0.1")], "[::ffff:127.0.0.1]:1", "Ok(())"),
            (Shows::Logs, "", &local, away, "Err(NotLocal)"),
            (Shows::Logs, "", &[("host", "evil.example:9400")], home, "Err(NotLocal)"),
            (Shows::Logs, "", &[], home, "Err(NotLocal)"),
        ];
        for (shows, token, headers, peer, expected) in cases {
            let found = check_access(*shows, token, headers, peer);
            assert_eq!(&found, expected, "{shows:?} {token:?} {headers:?} {peer}");
        }
    }
}
