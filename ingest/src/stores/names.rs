//! Names of objects in URLs. Whatever is in a name, the store gets it as it is.

use crate::poll::request::encode;

/// The name as the path of a URL. Slashes stay, unless a part of the name is `.` or `..`: these would be
/// resolved by every client on the way, and to no purpose, for in a store they are names like others.
pub(super) fn path(key: &str) -> String {
    let is_dots = |part: &str| matches!(part, "." | "..");
    match key.split('/').any(is_dots) {
        true => encode(key),
        false => signed(key),
    }
}

/// The name as it is signed: percent-encoded, but for slashes.
pub(super) fn signed(key: &str) -> String {
    key.split('/').map(encode).collect::<Vec<_>>().join("/")
}

/// Percent-decoded; with `is_form`, `+` is a blank. What is no code stays as it is.
pub(crate) fn decoded(text: &str, is_form: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = (*byte == b'%').then(|| after.get(..2)).flatten();
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                out.push(code);
                rest = &after[2..];
            }
            None => {
                out.push(if is_form && *byte == b'+' { b' ' } else { *byte });
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_parts() {
        let check = |key: &str, expected: &str| assert_eq!(path(key), expected, "{key}");
        check("a/b.json", "a/b.json");
        check("/a//b/", "/a//b/");
        check("50% ä+?#\\", "50%25%20%C3%A4%2B%3F%23%5C");
        check("a/../b", "a%2F..%2Fb");
        check("a/.b/..c", "a/.b/..c");
        check("a/.", "a%2F.");
    }

    #[test]
    fn codes_are_resolved_once() {
        assert_eq!(decoded("a%2Fb%3d%zz%4%+1", false), "a/b=%zz%4%+1");
        assert_eq!(decoded("k%25+%C3%A4%zz%2B", true), "k% ä%zz+");
        assert_eq!(decoded("%FF", false), "%FF", "no text");
    }
}
