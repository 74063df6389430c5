//! Finds values in a page of JSON without judging what is inside a record.
//!
//! The envelope of a page must be whole: one that ends early or does not balance fails, so that its
//! window is asked for again. Inside of a value only quotes and brackets are followed: a record with a
//! raw line break or bytes that are no UTF-8 is still one record, for the parser behind to refuse alone.
//! Nothing here recurses or allocates by what a page claims.

use std::fmt;

/// Why a page cannot be taken apart. Positions are bytes from the start of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("the answer ends early, at byte {0}")]
    Ended(usize),
    #[error("the answer is no JSON at byte {0}")]
    Unexpected(usize),
    #[error("the answer is nested more than {DEPTH_MAX} deep at byte {0}")]
    Deep(usize),
}

const DEPTH_MAX: usize = 1_000;

/// The way to a member: keys joined by dots. A dot that belongs to a key is written `\.`; a key that is
/// a number also finds that element of an array.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Path(Vec<String>);

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Path {
    /// One key as it is.
    pub fn key(key: &str) -> Self {
        Self(vec![key.to_owned()])
    }

    /// The empty text is the document itself.
    pub fn new(text: &str) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        let (mut keys, mut key, mut chars) = (Vec::new(), String::new(), text.chars());
        while let Some(c) = chars.next() {
            match c {
                '\\' => key.extend(chars.next()),
                '.' => keys.push(std::mem::take(&mut key)),
                c => key.push(c),
            }
        }
        keys.push(key);
        Self(keys)
    }
}

/// The one value of a whole document, without the blanks around it.
pub fn document(bytes: &[u8]) -> Result<&[u8], Broken> {
    let bytes_start = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let start = blanks(bytes, bytes_start);
    let end = value_end(bytes, start)?;
    match blanks(bytes, end) {
        rest if rest == bytes.len() => Ok(&bytes[start..end]),
        rest => Err(Broken::Unexpected(rest)),
    }
}

/// The value at a path of a value; `None` when something on the way is not there.
pub fn find<'b>(value: &'b [u8], path: &Path) -> Result<Option<&'b [u8]>, Broken> {
    let mut found = value;
    for key in &path.0 {
        let next = match found.first() {
            Some(b'{') => member(found, key)?,
            Some(b'[') => match key.parse::<usize>() {
                Ok(index) => elements(found)?.get(index).copied(),
                Err(_) => None,
            },
            _ => None,
        };
        match next {
            Some(value) => found = value,
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// The elements of an array.
pub fn elements(array: &[u8]) -> Result<Vec<&[u8]>, Broken> {
    if array.first() != Some(&b'[') {
        return Err(Broken::Unexpected(0));
    }
    let mut elements = Vec::new();
    let mut at = blanks(array, 1);
    if array.get(at) == Some(&b']') {
        return Ok(elements);
    }
    loop {
        let end = value_end(array, at)?;
        elements.push(&array[at..end]);
        at = blanks(array, end);
        match array.get(at) {
            Some(b',') => at = blanks(array, at + 1),
            Some(b']') => return Ok(elements),
            Some(_) => return Err(Broken::Unexpected(at)),
            None => return Err(Broken::Ended(at)),
        }
    }
}

/// A scalar as text: strings without their quotes and escapes, numbers and booleans as written. `None`
/// for null, arrays, objects, and strings that are none.
pub fn text(value: &[u8]) -> Option<String> {
    match value.first()? {
        b'"' => serde_json::from_slice(value).ok(),
        b'{' | b'[' => None,
        _ if value == b"null" => None,
        _ => std::str::from_utf8(value).ok().map(str::to_owned),
    }
}

fn member<'b>(object: &'b [u8], key: &str) -> Result<Option<&'b [u8]>, Broken> {
    let mut at = blanks(object, 1);
    if object.get(at) == Some(&b'}') {
        return Ok(None);
    }
    loop {
        if object.get(at) != Some(&b'"') {
            return Err(unexpected(object, at));
        }
        let key_end = string_end(object, at)?;
        let colon = blanks(object, key_end);
        if object.get(colon) != Some(&b':') {
            return Err(unexpected(object, colon));
        }
        let start = blanks(object, colon + 1);
        let end = value_end(object, start)?;
        if text(&object[at..key_end]).as_deref() == Some(key) {
            return Ok(Some(&object[start..end]));
        }
        at = blanks(object, end);
        match object.get(at) {
            Some(b',') => at = blanks(object, at + 1),
            Some(b'}') => return Ok(None),
            _ => return Err(unexpected(object, at)),
        }
    }
}

/// Where the value that begins at `at` ends.
fn value_end(bytes: &[u8], at: usize) -> Result<usize, Broken> {
    match bytes.get(at) {
        None => Err(Broken::Ended(at)),
        Some(b'"') => string_end(bytes, at),
        Some(b'{' | b'[') => container_end(bytes, at),
        Some(_) => {
            let is_end = |b: &u8| b" \t\r\n,:]}[{\"".contains(b);
            let len = bytes[at..].iter().position(is_end).unwrap_or(bytes.len() - at);
            // A number that the page ends with may have lost its rest; `document` sees no envelope then.
            let word = &bytes[at..at + len];
            let is_scalar = matches!(word, b"null" | b"true" | b"false" | b"NaN")
                || word.iter().all(|b| b.is_ascii_digit() || b"+-.eE".contains(b));
            if len > 0 && is_scalar { Ok(at + len) } else { Err(Broken::Unexpected(at)) }
        }
    }
}

fn container_end(bytes: &[u8], start: usize) -> Result<usize, Broken> {
    let (mut open, mut at) = (Vec::new(), start);
    loop {
        // Most bytes are inside of strings, which are passed over whole.
        let Some(step) = bytes[at..].iter().position(|b| b"\"{}[]".contains(b)) else {
            return Err(Broken::Ended(bytes.len()));
        };
        at += step;
        match bytes[at] {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' => open.push(b'}'),
            b'[' => open.push(b']'),
            close if open.pop() != Some(close) => return Err(Broken::Unexpected(at)),
            _ => {}
        }
        if open.len() > DEPTH_MAX {
            return Err(Broken::Deep(at));
        }
        at += 1;
        if open.is_empty() {
            return Ok(at);
        }
    }
}

fn string_end(bytes: &[u8], start: usize) -> Result<usize, Broken> {
    let mut at = start + 1;
    while let Some(step) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += step;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        at += 2;
        if at > bytes.len() {
            break;
        }
    }
    Err(Broken::Ended(bytes.len()))
}

fn blanks(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|b| !b" \t\r\n".contains(b)).unwrap_or(rest.len())
}

fn unexpected(bytes: &[u8], at: usize) -> Broken {
    if at < bytes.len() { Broken::Unexpected(at) } else { Broken::Ended(at) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str, path: &str) -> Result<Option<String>, Broken> {
        let value = document(text.as_bytes())?;
        let found = find(value, &Path::new(path))?;
        Ok(found.map(|v| String::from_utf8_lossy(v).into_owned()))
    }

    #[test]
    fn values_are_found_by_their_path() {
        let page = r#" {"a":{"b\"":[1,{"c":"x"}]},"@odata.next":"u","e":[],"n":null,"a":2} "#;
        for (path, expected) in [
            ("a.b\"", Some(r#"[1,{"c":"x"}]"#)),
            ("a.b\".1.c", Some("\"x\"")),
            ("@odata\\.next", Some("\"u\"")),
            ("e", Some("[]")),
            ("e.0", None),
            ("a.b.c", None),
            ("n", Some("null")),
        ] {
            assert_eq!(found(page, path).unwrap().as_deref(), expected, "{path}");
        }
        assert_eq!(text(b"\"a\\u0062\"").as_deref(), Some("ab"));
        assert_eq!(text(b"12.5").as_deref(), Some("12.5"));
        assert_eq!(text(b"null"), None);
    }

    #[test]
    fn a_page_that_is_not_whole_fails() {
        for (page, expected) in [
            ("", Broken::Ended(0)),
            ("{\"items\":[{\"a\":1},", Broken::Ended(18)),
            ("{\"items\":[{\"a\":\"x", Broken::Ended(17)),
            ("{\"items\":[1]]", Broken::Unexpected(12)),
            ("<html><body>sign in</body></html>", Broken::Unexpected(0)),
            ("{} {}", Broken::Unexpected(3)),
            ("rate limited", Broken::Unexpected(0)),
        ] {
            assert_eq!(document(page.as_bytes()), Err(expected), "{page}");
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(document(deep.as_bytes()), Err(Broken::Deep(_))));
    }

    #[test]
    fn what_is_wrong_inside_of_a_record_stays_inside() {
        let page = b"{\"items\":[{\"a\":1},{\"b\":\"line\nbreak \xff\"},{\"c\":nope},{\"d\":4}]}";
        let items = find(document(page).unwrap(), &Path::new("items")).unwrap().unwrap();
        let records = elements(items).unwrap();
        assert_eq!(records.len(), 4);
        assert_eq!(records[1], b"{\"b\":\"line\nbreak \xff\"}");
        assert_eq!(records[3], b"{\"d\":4}");
    }

    proptest! {
        #[test]
        fn every_cut_of_a_page_fails(cut in 0usize..70) {
            let page = br#"{"items":[{"id":"a","n":{"x":[1,2]}},{"id":"b\\\"]}"}],"next":null}"#;
            prop_assert!(document(page).is_ok());
            let cut = cut.min(page.len() - 1);
            prop_assert!(matches!(document(&page[..cut]), Err(Broken::Ended(_))));
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(value) = document(&bytes) {
                let _ = find(value, &Path::new("a.0.b"));
                let _ = elements(value);
            }
        }
    }
}
