//! The little XML that stores and queues answer with: elements with text, no mixed content, no CDATA.

use std::borrow::Cow;

/// An element: its attributes and its content, both as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub attributes: &'a str,
    pub content: &'a str,
}

/// The elements of this name, in order. They do not nest in each other.
pub(crate) fn elements<'a>(xml: &'a str, name: &str) -> Vec<Element<'a>> {
    let (begin, end) = (format!("<{name}"), format!("</{name}>"));
    let (mut out, mut rest) = (Vec::new(), xml);
    while let Some((_, after)) = rest.split_once(begin.as_str()) {
        rest = after;
        // Of a longer name, such as `Blobs` for `Blob`.
        if !after.starts_with(|c: char| c == '>' || c == '/' || c.is_ascii_whitespace()) {
            continue;
        }
        let Some((attributes, content)) = after.split_once('>') else { break };
        if let Some(attributes) = attributes.strip_suffix('/') {
            out.push(Element { attributes: attributes.trim(), content: "" });
            rest = content;
            continue;
        }
        let Some((content, after)) = content.split_once(end.as_str()) else { break };
        out.push(Element { attributes: attributes.trim(), content });
        rest = after;
    }
    out
}

/// The text of the first element of this name.
pub(crate) fn text(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).first().map(|element| unescaped(element.content).into_owned())
}

/// Text with its references resolved; what is no reference stays as it is.
pub(crate) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let reference = after.split_once(';').and_then(|(name, after)| Some((named(name)?, after)));
        match reference {
            Some((c, after)) => {
                out.push(c);
                rest = after;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out.into()
}

fn named(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_told_from_those_of_longer_names() {
        let xml = "<Blobs><Blob><Name>a</Name></Blob><BlobPrefix><Name>p/</Name></BlobPrefix>\
                   <Blob kind=\"x\"><Name Encoded=\"true\">b%00</Name></Blob><Blob /></Blobs><Next/>";
        let blobs = elements(xml, "Blob");
        let contents: Vec<_> = blobs.iter().map(|blob| blob.content).collect();
        let coded = "<Name Encoded=\"true\">b%00</Name>";
        assert_eq!(contents, ["<Name>a</Name>", coded, ""]);
        assert_eq!(elements(coded, "Name")[0].attributes, "Encoded=\"true\"");
        assert_eq!(text(xml, "Next").as_deref(), Some(""));
        assert_eq!((text(xml, "Nowhere"), text("<a>broken", "a")), (None, None));
    }

    #[test]
    fn references_are_resolved_once() {
        let check = |text: &str, expected: &str| assert_eq!(unescaped(text), expected, "{text}");
        check("a &amp;lt; b", "a &lt; b");
        check("&lt;&gt;&quot;&apos;&#xD;&#13;&#x1F4A9;", "<>\"'\r\r\u{1f4a9}");
        check("plain & &nothing; &#xFFFFFFFF; &", "plain & &nothing; &#xFFFFFFFF; &");
    }
}
