//! Network addresses as vendors write them: with ports, brackets, zones or in lists.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// The IP address in `text` and the port beside it. `1.2.3.4`, `1.2.3.4:5`, `[::1]:80`, `[::1]`,
/// `fe80::1%eth0`; of a list (`1.2.3.4, 10.0.0.1`) the first.
pub fn parse(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let text = text.split([',', ' ']).find(|part| !part.is_empty())?;
    if let Ok(ip) = text.parse() {
        return Some((ip, None));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, tail) = rest.split_once(']')?;
        let port = match tail.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None if tail.is_empty() => None,
            None => return None,
        };
        return Some((without_zone(ip).parse().ok()?, port));
    }
    let v4 = text.rsplit_once(':').map(|(ip, port)| (ip.parse::<Ipv4Addr>(), port.parse()));
    if let Some((Ok(ip), Ok(port))) = v4 {
        return Some((ip.into(), Some(port)));
    }
    text.contains('%').then(|| without_zone(text).parse().ok())?.map(|ip| (ip, None))
}

fn without_zone(text: &str) -> &str {
    text.split_once('%').map_or(text, |(ip, _)| ip)
}

/// Writes the one spelling under which addresses are compared: IPv6 compressed in lower case, an
/// IPv4 address inside IPv6 as IPv4.
pub fn write(ip: IpAddr, out: &mut String) {
    out.clear();
    let written = write!(out, "{}", ip.to_canonical());
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, Option<u16>)>) {
        let mut out = String::new();
        let have = parse(text).map(|(ip, port)| {
            write(ip, &mut out);
            (out.as_str(), port)
        });
        assert_eq!(have, expected, "{text}");
    }

    #[test]
    fn finds_the_address() {
        check("1.2.3.4", Some(("1.2.3.4", None)));
        check("1.2.3.4:5", Some(("1.2.3.4", Some(5))));
        check("[::1]:80", Some(("::1", Some(80))));
        check("[2A02:CF40::1]", Some(("2a02:cf40::1", None)));
        check("[1.2.3.4]:80", Some(("1.2.3.4", Some(80))));
        check("fe80::1%eth0", Some(("fe80::1", None)));
        check("[fe80::1%eth0]:1", Some(("fe80::1", Some(1))));
        check("::ffff:10.1.2.3", Some(("10.1.2.3", None)));
        check(" 1.2.3.4, 10.0.0.1", Some(("1.2.3.4", None)));
        check(
            "2a02:cf40:add:4002:91f2:a9b2:e09a:6fc6",
            Some(("2a02:cf40:add:4002:91f2:a9b2:e09a:6fc6", None)),
        );
    }

    #[test]
    fn leaves_everything_else() {
        for text in [
            "",
            " ",
            "AWS Internal",
            "ec2.amazonaws.com",
            "private",
            "1.2.3",
            "1.2.3.4:",
            "1.2.3.4:99999",
            "[::1",
            "[::1]x",
            "[x]:1",
            "%",
            "a%b",
            "1.2.3.4.5",
            "225.01.00.16",
        ] {
            check(text, None);
        }
    }
}
