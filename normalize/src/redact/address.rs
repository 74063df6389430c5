//! E-mail and IP addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::options::IpPolicy;
use super::scan::{Kind, Span, closes, is_word, opens};

const LOCAL_BYTES_MAX: usize = 320;
const DOMAIN_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Last labels of names that look like domains in logs and are not: systemd units and images.
const NOT_TOP_LEVEL: [&str; 14] = [
    "service", "socket", "timer", "mount", "target", "slice", "scope", "swap", "device", "png",
    "jpg", "jpeg", "svg", "webp",
];

/// The address around the `@` (or `%40`, `at_len` 3) at `at`.
pub(super) fn email(text: &str, at: usize, at_len: usize) -> Option<Span> {
    let bytes = text.as_bytes();
    let percent = at_len == 1;
    let local = |b: &u8| {
        b.is_ascii_alphanumeric()
            || matches!(b, b'.' | b'_' | b'+' | b'-' | b'\'')
            || (percent && *b == b'%')
            || *b >= 0x80
    };
    let length = bytes[..at].iter().rev().take(LOCAL_BYTES_MAX).take_while(|b| local(b)).count();
    let mut start = at - length;
    start += bytes[start..at]
        .iter()
        .take_while(|b| matches!(b, b'.' | b'\'' | b'-' | b'+' | b'%') || !leads(**b))
        .count();
    start += encoded_prefix(&bytes[start..at]);
    if !percent && matches!(bytes[..at][..start], [.., b'%']) {
        start = at.min(start + 2); // the digits of the escape before it
    }
    let in_char = !text.is_char_boundary(start);
    if start == at || bytes[at - 1] == b'.' || in_char {
        return None;
    }
    let domain = &bytes[at + at_len..];
    let length = domain
        .iter()
        .take(DOMAIN_BYTES_MAX)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-') || **b >= 0x80)
        .count();
    let mut end = at + at_len + length;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let length = domain_len(&text[at + at_len..end])?;
    Some(Span { start, end: at + at_len + length, kind: Kind::Email })
}

/// Continuation bytes cannot lead (the local part was cut at its bound).
fn leads(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

/// Length of what a URL-encoded query puts before a name: the `3D` left of `%3Dalice`.
fn encoded_prefix(local: &[u8]) -> usize {
    let escape = local
        .windows(3)
        .rposition(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit());
    escape.map_or(0, |i| i + 3)
}

/// Length of the longest front of `text` that is a domain with a plausible top level, behind which
/// a dash may join something else (`example.com-203`).
fn domain_len(text: &str) -> Option<usize> {
    let mut domain = text;
    loop {
        domain = domain.trim_end_matches(['.', '-']);
        let (front, last) = domain.rsplit_once('.')?;
        if front.split('.').all(label) {
            if top_level(last) {
                return Some(domain.len());
            }
            let head = last.split('-').next().filter(|head| top_level(head));
            if let Some(head) = head {
                return Some(front.len() + 1 + head.len());
            }
        }
        domain = front;
    }
}

fn label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LABEL_BYTES_MAX
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn top_level(text: &str) -> bool {
    let alphabetic = text.chars().all(char::is_alphabetic) && text.chars().count() >= 2;
    let lower = text.to_ascii_lowercase();
    label(text)
        && (alphabetic || lower.starts_with("xn--"))
        && !NOT_TOP_LEVEL.contains(&lower.as_str())
}

/// Which addresses count.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpRules {
    keep_private: bool,
}

impl IpRules {
    pub(super) fn of(policy: IpPolicy) -> Option<Self> {
        match policy {
            IpPolicy::Off => None,
            IpPolicy::All => Some(Self { keep_private: false }),
            IpPolicy::KeepPrivate => Some(Self { keep_private: true }),
        }
    }

    fn wants(self, ip: IpAddr) -> bool {
        !(self.keep_private && is_private(ip))
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || a == 0
                || (a == 100 && b & 0xC0 == 64)
        }
        IpAddr::V6(v6) => {
            v6.to_ipv4_mapped().is_some_and(|v4| is_private(IpAddr::V4(v4)))
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    }
}

/// One text per address: v4-mapped as v4, v6 compressed, no zone.
pub(super) fn canonical_ip(text: &str) -> String {
    let address = text.split('%').next().unwrap_or(text);
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => {
            v6.to_ipv4_mapped().map_or_else(|| v6.to_string(), |v4| v4.to_string())
        }
        Ok(v4) => v4.to_string(),
        Err(_) => text.to_owned(),
    }
}

const V4_LEN_MAX: usize = 15;

/// The IPv4 address whose first digit is at `start`.
pub(super) fn ipv4(text: &str, start: usize, rules: IpRules) -> Option<Span> {
    let bytes = text.as_bytes();
    let end = v4_end(bytes, start)?;
    let ip: Ipv4Addr = text[start..end].parse().ok()?;
    let free = opens(bytes, start)
        && !continues_before(text, start)
        && closes(bytes, end)
        && !continues_after(bytes, end)
        && !version_before(bytes, start);
    (free && rules.wants(ip.into())).then_some(Span { start, end, kind: Kind::Ip })
}

/// End of the run of digits and dots, without a last dot.
fn v4_end(bytes: &[u8], start: usize) -> Option<usize> {
    let run = bytes[start..]
        .iter()
        .take(V4_LEN_MAX + 2)
        .take_while(|b| b.is_ascii_digit() || **b == b'.')
        .count();
    let run = run - usize::from(bytes[start + run - 1] == b'.');
    let dots = memchr::memchr_iter(b'.', &bytes[start..start + run]).count();
    (dots == 3 && run <= V4_LEN_MAX).then_some(start + run)
}

/// Part of something longer: `x.1.2.3.4`, `name-1.2.3.4`, `Chrome/120.0.0.0`.
fn continues_before(text: &str, start: usize) -> bool {
    let bytes = text.as_bytes();
    match bytes[..start] {
        [.., b, b'.'] => is_word(b),
        [.., b'.' | b'+'] => true,
        [.., b, b'-'] if b.is_ascii_digit() => !ends_with_ipv4(&text[..start - 1]),
        [.., b, b'-'] => is_word(b),
        [.., b'/'] => {
            // `Product/1.2.3.4` in user agents; a lower-case name is a host (`node-3/10.0.0.1`).
            let name = bytes[..start - 1].iter().rev().take(64);
            let name = name.take_while(|b| is_word(**b) || **b == b'-').last();
            name.is_some_and(u8::is_ascii_uppercase)
        }
        _ => false,
    }
}

fn ends_with_ipv4(text: &str) -> bool {
    let tail = text.bytes().rev().take(V4_LEN_MAX);
    let length = tail.take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    text[text.len() - length..].parse::<Ipv4Addr>().is_ok()
}

fn continues_after(bytes: &[u8], end: usize) -> bool {
    match bytes[end..] {
        [b'.', b, ..] if is_word(b) => !bytes[end..].starts_with(b".in-addr"),
        [b'+', b, ..] => is_word(b),
        [b'-', b, ..] if b.is_ascii_digit() => v4_end(bytes, end + 1).is_none(),
        [b'-', b, ..] => is_word(b),
        _ => false,
    }
}

/// `version 1.2.3.4`, `"build": "1.2.3.4"`.
fn version_before(bytes: &[u8], start: usize) -> bool {
    let separators = bytes[..start].iter().rev().take(5);
    let gap = separators.take_while(|b| matches!(b, b' ' | b':' | b'=' | b'"' | b'\'')).count();
    let name = &bytes[..start - gap];
    let length = name.iter().rev().take(32).take_while(|b| is_word(**b)).count();
    let name = name[name.len() - length..].to_ascii_lowercase();
    gap > 0 && std::str::from_utf8(&name).is_ok_and(names_a_version)
}

/// Whether a name says that its value is a version.
pub(super) fn names_a_version(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.as_str(), "v" | "ver")
        || ["version", "build", "release", "firmware"].iter().any(|w| name.ends_with(w))
}

/// The IPv6 address around the colon at `at`, and the end of the run of characters it was sought in.
pub(super) fn ipv6(text: &str, at: usize, rules: IpRules) -> (Option<Span>, usize) {
    let bytes = text.as_bytes();
    let part = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    // Only this colon can be the run's first one, so at most four hexadecimal digits come before.
    let start = at - bytes[..at].iter().rev().take(5).take_while(|b| b.is_ascii_hexdigit()).count();
    let run_end = at + bytes[at..].iter().take_while(|b| part(b)).count();
    let mut end = run_end;
    while end > start && (bytes[end - 1] == b'.' || bytes[start..end].ends_with(b":")) {
        if bytes[start..end].ends_with(b"::") {
            break;
        }
        end -= 1;
    }
    let address = |end: usize| {
        let body = &text[start..end];
        let free = opens(bytes, start) && !bytes[..start].ends_with(b".") && closes(bytes, end);
        let ip = body.parse::<Ipv6Addr>().ok().filter(|_| free && plausible_v6(body))?;
        Some((ip, end))
    };
    // Behind a dot there may be a port, or a text that has nothing to do with the address.
    let dot = memchr::memchr(b'.', &bytes[start..end]).map(|n| start + n);
    let span = address(end)
        .or_else(|| dot.and_then(address))
        .filter(|(ip, _)| rules.wants(IpAddr::V6(*ip)))
        .map(|(_, end)| Span { start, end: end + zone_len(&bytes[end..]), kind: Kind::Ip });
    (span, run_end)
}

/// Not `a::b` of programming languages, not eight pairs of a hardware address.
fn plausible_v6(body: &str) -> bool {
    const LEN_MAX: usize = 45;
    (3..=LEN_MAX).contains(&body.len())
        && memchr::memchr_iter(b':', body.as_bytes()).count() >= 2
        && body.bytes().any(|b| b.is_ascii_digit())
        && !body.split(':').all(|group| group.len() == 2)
}

/// Length of a zone (`%eth0`), which is no URL escape.
fn zone_len(rest: &[u8]) -> usize {
    match rest {
        [b'%', b'2', b'5', zone @ ..] => {
            3 + zone.iter().take(16).take_while(|b| is_word(**b)).count()
        }
        [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => 0,
        [b'%', zone @ ..] => match zone.iter().take(16).take_while(|b| is_word(**b)).count() {
            0 => 0,
            n => n + 1,
        },
        _ => 0,
    }
}
