//! Keys and tokens that announce themselves by a literal.

use super::scan::{Kind, Span, closes, is_word, opens};

/// What a literal starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// `[EMAIL:` and the like: a pseudonym.
    Pseudonym,
    /// `%40`
    EncodedAt,
    AwsKeyId,
    AwsSecretName,
    Jwt,
    Pem,
    Bearer,
    GitHub,
    GitHubPat,
    GitLab,
    Slack,
    SlackHook,
    OpenAi,
    Google,
    SasSignature,
    UrlScheme,
}

/// The literals to look for, compared without case.
pub(super) fn literals(
    aws: bool,
    tokens: bool,
    emails: bool,
) -> impl Iterator<Item = (&'static str, Trigger)> {
    const AWS: [(&str, Trigger); 11] = [
        ("AKIA", Trigger::AwsKeyId),
        ("ASIA", Trigger::AwsKeyId),
        ("ABIA", Trigger::AwsKeyId),
        ("ACCA", Trigger::AwsKeyId),
        ("secret_access_key", Trigger::AwsSecretName),
        ("secret-access-key", Trigger::AwsSecretName),
        ("secret access key", Trigger::AwsSecretName),
        ("secretaccesskey", Trigger::AwsSecretName),
        ("secret_key", Trigger::AwsSecretName),
        ("secretkey", Trigger::AwsSecretName),
        ("aws_secret", Trigger::AwsSecretName),
    ];
    const TOKENS: [(&str, Trigger); 16] = [
        ("eyJ", Trigger::Jwt),
        ("-----BEGIN ", Trigger::Pem),
        ("bearer ", Trigger::Bearer),
        ("ghp_", Trigger::GitHub),
        ("gho_", Trigger::GitHub),
        ("ghu_", Trigger::GitHub),
        ("ghs_", Trigger::GitHub),
        ("ghr_", Trigger::GitHub),
        ("github_pat_", Trigger::GitHubPat),
        ("glpat-", Trigger::GitLab),
        ("xox", Trigger::Slack),
        ("hooks.slack.com/services/", Trigger::SlackHook),
        ("sk-", Trigger::OpenAi),
        ("AIza", Trigger::Google),
        ("sig=", Trigger::SasSignature),
        ("://", Trigger::UrlScheme),
    ];
    let aws = AWS.into_iter().filter(move |_| aws);
    let tokens = TOKENS.into_iter().filter(move |_| tokens);
    aws.chain(tokens).chain(emails.then_some(("%40", Trigger::EncodedAt)))
}

/// Looks at a literal that stands at `start..end`.
pub(super) fn look(
    trigger: Trigger,
    bytes: &[u8],
    start: usize,
    end: usize,
    found: &mut Vec<Span>,
) {
    let rest = &bytes[end..];
    let exact = |literal: &[u8]| bytes[start..end] == *literal && opens(bytes, start);
    let token =
        |length: Option<usize>| length.map(|n| Span { start, end: end + n, kind: Kind::Token });
    match trigger {
        Trigger::Pseudonym | Trigger::EncodedAt => {}
        Trigger::AwsKeyId => aws_key(bytes, start, end, found),
        Trigger::AwsSecretName => found.extend(named_secret(bytes, end)),
        Trigger::Jwt if exact(b"eyJ") => {
            let dashed = start > 0 && bytes[start - 1] == b'-';
            found.extend(jwt(bytes, start).filter(|_| !dashed));
        }
        Trigger::Pem => found.extend(private_key(bytes, start, end)),
        Trigger::Bearer if opens(bytes, start) => {
            found.extend(bearer(rest).map(|n| Span {
                start: end,
                end: end + n,
                kind: Kind::Token,
            }));
        }
        Trigger::GitHub if bytes[start..end].is_ascii() && exact_case(bytes, start, end) => {
            found.extend(token(run(rest, 36, u8::is_ascii_alphanumeric)));
        }
        Trigger::GitHubPat if exact(b"github_pat_") => {
            found.extend(token(run(rest, 22, |b| is_word(*b))));
        }
        Trigger::GitLab if exact(b"glpat-") && !dash_before(bytes, start) => {
            found.extend(token(run(rest, 20, |b| is_word(*b) || *b == b'-')));
        }
        Trigger::Slack if exact(b"xox") => found.extend(token(slack(rest))),
        Trigger::SlackHook => {
            found.extend(run(rest, 20, |b| b.is_ascii_alphanumeric() || *b == b'/').map(|n| Span {
                start: end,
                end: end + n,
                kind: Kind::Token,
            }))
        }
        Trigger::OpenAi if exact(b"sk-") && !dash_before(bytes, start) => {
            let length = run(rest, 20, |b| is_word(*b) || *b == b'-');
            found.extend(token(length.filter(|n| mixed(&rest[..*n]))));
        }
        Trigger::Google if exact(b"AIza") => {
            let length = run(rest, 35, |b| is_word(*b) || *b == b'-');
            found.extend(token(length.filter(|n| *n == 35)));
        }
        Trigger::SasSignature if opens(bytes, start) => {
            let length = run(rest, 30, |b| is_word(*b) || matches!(b, b'%' | b'+' | b'/' | b'-'));
            found.extend(length.map(|n| Span { start: end, end: end + n, kind: Kind::Token }));
        }
        Trigger::UrlScheme => found.extend(url_login(rest).map(|n| Span {
            start: end,
            end: end + n,
            kind: Kind::UrlLogin,
        })),
        _ => {}
    }
}

/// Length of the run of such bytes, if it is long enough.
fn run(rest: &[u8], min: usize, part: impl Fn(&u8) -> bool) -> Option<usize> {
    let length = rest.iter().take_while(|b| part(b)).count();
    (length >= min).then_some(length)
}

fn exact_case(bytes: &[u8], start: usize, end: usize) -> bool {
    opens(bytes, start) && !bytes[start..end].iter().any(u8::is_ascii_uppercase)
}

fn dash_before(bytes: &[u8], start: usize) -> bool {
    start > 0 && bytes[start - 1] == b'-'
}

/// Random text has capitals, small letters and digits; names in kebab case do not.
fn mixed(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_uppercase)
        && text.iter().any(u8::is_ascii_lowercase)
        && text.iter().any(u8::is_ascii_digit)
}

const AWS_ID_TAIL: usize = 16;
const AWS_SECRET_LEN: usize = 40;
/// How far after a key id its secret is looked for.
const AWS_SECRET_NEAR: usize = 120;

fn aws_key(bytes: &[u8], start: usize, end: usize, found: &mut Vec<Span>) {
    let id_end = end + AWS_ID_TAIL;
    let shaped = bytes
        .get(start..id_end)
        .is_some_and(|id| id.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'2'..=b'7')));
    if !shaped || !opens(bytes, start) || !closes(bytes, id_end) {
        return;
    }
    found.push(Span { start, end: id_end, kind: Kind::AwsKey });
    let near = bytes.len().min(id_end + AWS_SECRET_NEAR);
    let mut at = id_end;
    while at < near {
        let length = bytes[at..].iter().take(near - at + 64).take_while(|b| secret_part(b)).count();
        if length == AWS_SECRET_LEN && mixed(&bytes[at..at + length]) {
            found.extend(secret_at(bytes, at));
        }
        at += length + 1;
    }
}

/// Whether a JSON member's name says that it holds an AWS secret key.
pub(super) fn names_a_secret(name: &str) -> bool {
    let plain = name.to_ascii_lowercase().replace(['_', '-', ' '], "");
    ["secretaccesskey", "secretkey", "awssecret"].iter().any(|word| plain.contains(word))
}

/// A text that is a secret key and nothing else.
pub(super) fn whole_secret(bytes: &[u8]) -> Option<Span> {
    secret_at(bytes, 0).filter(|s| s.end == bytes.len())
}

/// The secret key after a name, behind whatever joins the two.
fn named_secret(bytes: &[u8], name_end: usize) -> Option<Span> {
    const GAP_MAX: usize = 8;
    let gap = bytes[name_end..]
        .iter()
        .take(GAP_MAX)
        .take_while(|b| matches!(b, b' ' | b'"' | b'\'' | b':' | b'=' | b'\\' | b'>' | b'\t'));
    let gap = gap.count();
    if gap == 0 { None } else { secret_at(bytes, name_end + gap) }
}

fn secret_at(bytes: &[u8], at: usize) -> Option<Span> {
    let text = bytes.get(at..at + AWS_SECRET_LEN)?;
    let free = bytes.get(at + AWS_SECRET_LEN).is_none_or(|b| !secret_part(b) && *b != b'=');
    let end = at + AWS_SECRET_LEN;
    (free && text.iter().all(secret_part) && entropy(text) >= 4.2).then_some(Span {
        start: at,
        end,
        kind: Kind::AwsSecret,
    })
}

fn secret_part(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+')
}

/// Shannon entropy in bits per byte. Words and hexadecimal digits stay below 4.
fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    text.iter().for_each(|b| counts[usize::from(*b)] += 1);
    let total = text.len() as f64;
    let bits = |n: &u32| f64::from(*n) / total * (total / f64::from(*n)).log2();
    counts.iter().filter(|n| **n > 0).map(bits).sum()
}

fn base64url(byte: &u8) -> bool {
    is_word(*byte) || *byte == b'-'
}

/// Header, payload and signature; the signature may be empty.
fn jwt(bytes: &[u8], start: usize) -> Option<Span> {
    const PART_MIN: usize = 10;
    let header = run(&bytes[start..], PART_MIN, base64url)?;
    let payload_at = start + header + 1;
    if bytes.get(payload_at - 1) != Some(&b'.') {
        return None;
    }
    let payload = run(&bytes[payload_at..], PART_MIN, base64url)?;
    let mut end = payload_at + payload;
    if bytes.get(end) == Some(&b'.') {
        end += 1 + bytes[end + 1..].iter().take_while(|b| base64url(b)).count();
    }
    Some(Span { start, end, kind: Kind::Jwt })
}

/// From the first line to the last, or to the end of a text that was cut.
fn private_key(bytes: &[u8], start: usize, end: usize) -> Option<Span> {
    const LABEL_MAX: usize = 48;
    const MARK: &[u8] = b"PRIVATE KEY";
    let label = &bytes[end..bytes.len().min(end + LABEL_MAX)];
    let line = &label[..memchr::memchr(b'-', label).unwrap_or(label.len())];
    memchr::memmem::find(line, MARK)?;
    let body = &bytes[end..];
    let stop = memchr::memmem::find(body, b"-----END ").map_or(bytes.len(), |at| {
        let close = &body[at + 9..];
        let dashes = memchr::memmem::find(&close[..close.len().min(LABEL_MAX)], b"-----");
        end + at + 9 + dashes.map_or(0, |n| n + 5)
    });
    Some(Span { start, end: stop, kind: Kind::PrivateKey })
}

/// RFC 6750's token after `Bearer`; words of an error message are not one.
fn bearer(rest: &[u8]) -> Option<usize> {
    let body = |b: &u8| is_word(*b) || matches!(b, b'-' | b'.' | b'~' | b'+' | b'/');
    let length = run(rest, 16, body)?;
    let padding = rest[length..].iter().take(2).take_while(|b| **b == b'=').count();
    let random = rest[..length].iter().any(u8::is_ascii_digit);
    random.then_some(length + padding)
}

fn slack(rest: &[u8]) -> Option<usize> {
    let [b'a' | b'b' | b'e' | b'o' | b'p' | b'r' | b's', b'-', tail @ ..] = rest else {
        return None;
    };
    Some(2 + run(tail, 10, |b| b.is_ascii_alphanumeric() || *b == b'-')?)
}

/// Length of `user:password` before the `@` of a URL.
fn url_login(rest: &[u8]) -> Option<usize> {
    const LOGIN_BYTES_MAX: usize = 512;
    let authority = rest.iter().take(LOGIN_BYTES_MAX).take_while(|b| {
        !matches!(b, b'/' | b'?' | b'#' | b' ' | b'"' | b'\'' | b'<' | b'>' | b'\\')
            && !b.is_ascii_control()
    });
    let authority = &rest[..authority.count()];
    let at = memchr::memrchr(b'@', authority)?;
    let colon = memchr::memchr(b':', &authority[..at])?;
    (colon + 1 < at).then_some(at)
}
