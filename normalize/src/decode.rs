//! Bytes of one record to a document: JSON, columns of text, or syslog.

mod syslog;

use std::borrow::Cow;
use std::sync::LazyLock;

use event::{Beside, Doc, Parser, Value};
use memchr::memmem;

use crate::error::Reject;

/// How the records of a log type are written.
#[derive(Clone, Debug)]
pub(crate) enum Decoder {
    Json,
    Columns(Columns),
    Syslog,
}

/// Rows of CSV, in which vendors export what they write as JSON elsewhere.
static TABLE: LazyLock<Columns> = LazyLock::new(|| Columns {
    separator: ",".to_owned(),
    missing: None,
    quotes: vec![('"', '"')],
    layouts: Vec::new(),
    least: None,
});

/// Text with one value a column. Records that are JSON objects are read as such: vendors write the
/// same log type in both forms.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    /// A blank stands for any run of blanks and tabs.
    pub separator: String,
    /// What stands for no value.
    pub missing: Option<String>,
    /// Opening and closing marks between which a separator is text.
    pub quotes: Vec<(char, char)>,
    /// Orders of columns for text without a header line; told apart by their number of columns.
    pub layouts: Vec<Vec<String>>,
    /// The only layout grows at its end: lines of at least so many values are of it.
    pub least: Option<usize>,
}

impl Decoder {
    /// Reads one record. `header` is the line with the column names, or what a syslog message does not say
    /// itself, if there is one.
    pub fn parse<'a>(
        &'a self,
        parser: &'a mut Parser,
        record: &'a [u8],
        header: Option<&'a [u8]>,
        beside: Option<&Beside>,
    ) -> Result<Doc<'a>, Reject> {
        let record = record.strip_prefix(b"\xef\xbb\xbf").unwrap_or(record);
        match self {
            Decoder::Columns(columns) if !starts_object(record) => {
                columns.parse(parser, record, header, beside)
            }
            Decoder::Syslog if !starts_object(record) => {
                syslog::parse(parser, record, header, beside)
            }
            Decoder::Json if header.is_some() && !starts_object(record) => {
                TABLE.parse(parser, record, header, beside)
            }
            _ => json(parser, record, beside),
        }
    }
}

fn starts_object(record: &[u8]) -> bool {
    record.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{')
}

fn json<'a>(
    parser: &'a mut Parser,
    record: &'a [u8],
    beside: Option<&Beside>,
) -> Result<Doc<'a>, Reject> {
    let doc =
        parser.json_beside(record, beside).map_err(|e| Reject::parse(format!("not JSON: {e}")))?;
    match doc.value(Doc::ROOT) {
        Value::Object(_) => Ok(doc),
        _ => Err(Reject::parse("JSON, but not an object")),
    }
}

impl Columns {
    fn parse<'a>(
        &'a self,
        parser: &'a mut Parser,
        record: &'a [u8],
        header: Option<&'a [u8]>,
        beside: Option<&Beside>,
    ) -> Result<Doc<'a>, Reject> {
        let text = utf8(record)?.trim();
        if text.is_empty() {
            return Err(Reject::parse("an empty line"));
        }
        let values = self.split(text).count();
        let Some(header) = header else {
            let names = self.layout(values)?;
            self.refuse_header(text, &names[0])?;
            let names = names.iter().map(|name| Cow::Borrowed(name.as_str()));
            return Ok(self.row(parser, names, text, beside));
        };
        let header = utf8(header)?.trim();
        let names = self.split(header).count();
        if names != values {
            let reason = format!("{values} values under a header of {names} columns");
            return Err(Reject::parse(reason));
        }
        self.refuse_header(text, &self.split(header).next().unwrap_or_default())?;
        Ok(self.row(parser, self.split(header), text, beside))
    }

    /// The names of so many values.
    fn layout(&self, values: usize) -> Result<&[String], Reject> {
        let found = match (self.least, self.layouts.as_slice()) {
            (Some(least), [layout, ..]) => (values >= least).then_some(layout),
            (_, layouts) => layouts.iter().find(|layout| layout.len() == values),
        };
        found.map(Vec::as_slice).ok_or_else(|| self.no_layout(values))
    }

    #[cold]
    fn no_layout(&self, values: usize) -> Reject {
        if let Some(least) = self.least {
            return Reject::parse(format!("{values} values, which needs at least {least}"));
        }
        let known: Vec<String> = self.layouts.iter().map(|l| l.len().to_string()).collect();
        let known = known.join(", ");
        Reject::parse(format!("{values} values without a header; known without one: {known}"))
    }

    /// A header line among the records would otherwise become an event made of names.
    fn refuse_header(&self, text: &str, first: &str) -> Result<(), Reject> {
        if self.split(text).next().as_deref() == Some(first) {
            return Err(Reject::parse("a header line, not a record"));
        }
        Ok(())
    }

    fn row<'a, 'n>(
        &self,
        parser: &'a mut Parser,
        names: impl Iterator<Item = Cow<'n, str>>,
        text: &str,
        beside: Option<&Beside>,
    ) -> Doc<'a> {
        parser.row(beside, |row| {
            for (name, value) in names.zip(self.split(text)) {
                if self.missing.as_deref() != Some(&*value) {
                    row.add(&name, scalar(&value));
                }
            }
        })
    }

    fn split<'t>(&'t self, text: &'t str) -> Split<'t> {
        Split { separator: &self.separator, quotes: &self.quotes, rest: Some(text) }
    }
}

/// The values of a line.
struct Split<'t> {
    separator: &'t str,
    quotes: &'t [(char, char)],
    rest: Option<&'t str>,
}

impl<'t> Iterator for Split<'t> {
    type Item = Cow<'t, str>;

    fn next(&mut self) -> Option<Cow<'t, str>> {
        let rest = self.rest?;
        let opened = self
            .quotes
            .iter()
            .find_map(|(open, close)| Some((rest.strip_prefix(*open)?, *close, open == close)));
        if let Some((inside, close, doubles)) = opened
            && let Some((value, rest)) = self.quoted(inside, close, doubles)
        {
            self.rest = rest;
            return Some(value);
        }
        let (value, rest) = self.cut(rest);
        self.rest = rest;
        Some(Cow::Borrowed(value))
    }
}

impl<'t> Split<'t> {
    /// A value and what follows its separator.
    fn cut(&self, text: &'t str) -> (&'t str, Option<&'t str>) {
        if self.separator == " " {
            let end = text.find([' ', '\t']);
            let rest = end.map(|end| text[end..].trim_start_matches([' ', '\t']));
            return (&text[..end.unwrap_or(text.len())], rest);
        }
        let end = memmem::find(text.as_bytes(), self.separator.as_bytes());
        let rest = end.map(|end| &text[end + self.separator.len()..]);
        (&text[..end.unwrap_or(text.len())], rest)
    }

    /// The value between quotes, of which the first has been read, and what follows its separator. A
    /// closing mark that no separator follows is text: vendors do not escape what clients sent.
    fn quoted(
        &self,
        inside: &'t str,
        close: char,
        doubles: bool,
    ) -> Option<(Cow<'t, str>, Option<&'t str>)> {
        let mut at = 0;
        let mut doubled = false;
        loop {
            let end = at + inside[at..].find(close)?;
            let after = &inside[end + close.len_utf8()..];
            let is_end = after.is_empty()
                || after.starts_with(self.separator)
                || (self.separator == " " && after.starts_with('\t'));
            if doubles && after.starts_with(close) {
                doubled = true;
                at = end + 2 * close.len_utf8();
            } else if is_end {
                let value = &inside[..end];
                let value = match doubled {
                    true => value.replace(&format!("{close}{close}"), &close.to_string()).into(),
                    false => Cow::Borrowed(value),
                };
                return Some((value, self.cut(after).1));
            } else {
                at = end + close.len_utf8();
            }
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Reject> {
    std::str::from_utf8(bytes)
        .map_err(|e| Reject::parse(format!("not UTF-8 at byte {}", e.valid_up_to())))
}

/// A whole number that is written as numbers are becomes one; `007` and `1e3` stay text.
fn scalar(text: &str) -> Value<'_> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty()
        && digits.len() <= 18
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (digits.len() == text.len() || digits != "0")
        && (digits.len() == 1 || !digits.starts_with('0'));
    match text.parse() {
        Ok(n) if plain => Value::I64(n),
        _ => Value::Str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(separator: &str) -> Decoder {
        let layout = |names: &str| names.split(' ').map(str::to_owned).collect();
        Decoder::Columns(Columns {
            separator: separator.into(),
            missing: Some("-".into()),
            quotes: Vec::new(),
            least: None,
            layouts: vec![layout("a b c"), layout("version x")],
        })
    }

    fn check(decoder: &Decoder, record: &[u8], header: Option<&str>, expected: Result<&str, &str>) {
        let mut parser = Parser::default();
        let doc = decoder.parse(&mut parser, record, header.map(str::as_bytes), None);
        let have = doc.map(|doc| {
            let mut out = Vec::new();
            doc.write_json(Doc::ROOT, &mut out);
            String::from_utf8(out).unwrap()
        });
        let have = have.as_deref().map_err(|r| r.reason.as_str());
        assert_eq!(have, expected, "{}", String::from_utf8_lossy(record));
    }

    #[test]
    fn columns_by_layout_and_header() {
        let d = columns(" ");
        check(&d, b"1 x -", None, Ok(r#"{"a":1,"b":"x"}"#));
        check(&d, b"  1\t x  007\r\n", None, Ok(r#"{"a":1,"b":"x","c":"007"}"#));
        check(&d, b"2 y", None, Ok(r#"{"version":2,"x":"y"}"#));
        check(&d, b"2 y", Some("p  q\n"), Ok(r#"{"p":2,"q":"y"}"#));
        check(&d, b"-1 -0", Some("p q"), Ok(r#"{"p":-1,"q":"-0"}"#));
        check(
            &d,
            b"9999999999999999999 1e3",
            Some("p q"),
            Ok(r#"{"p":"9999999999999999999","q":"1e3"}"#),
        );
        check(&d, b" {\"a\":1}", None, Ok(r#"{"a":1}"#));
        check(&columns(","), b"1,,x y", None, Ok(r#"{"a":1,"b":"","c":"x y"}"#));
    }

    fn quoted(separator: &str, quotes: &[(char, char)], least: Option<usize>) -> Decoder {
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let (separator, quotes) = (separator.to_owned(), quotes.to_vec());
        let missing = Some("-".into());
        Decoder::Columns(Columns { separator, missing, quotes, layouts: vec![names], least })
    }

    #[test]
    fn separators_between_quotes_are_text() {
        let d = quoted(" ", &[('"', '"'), ('[', ']')], None);
        check(
            &d,
            br#"[06/Feb/2019:00:00:38 +0000] "GET / HTTP/1.1" 7"#,
            None,
            Ok(r#"{"a":"06/Feb/2019:00:00:38 +0000","b":"GET / HTTP/1.1","c":7}"#),
        );
        check(&d, br#""-" "" "x y""#, None, Ok(r#"{"b":"","c":"x y"}"#));
        // Nobody escaped what the client sent.
        check(
            &d,
            br#"1 "a "b" c" 3"#,
            None,
            Err("4 values without a header; known without one: 3"),
        );
        check(&d, br#"1 "a"b c" 3"#, None, Ok(r#"{"a":1,"b":"a\"b c","c":3}"#));
        check(&d, br#"1 "a 3"#, None, Ok(r#"{"a":1,"b":"\"a","c":3}"#));
        let csv = quoted(",", &[('"', '"')], None);
        let two_lines = b"\"x\ny\",2,\"\"";
        let header = Some(r#""p","q","r s""#);
        check(&csv, two_lines, header, Ok(r#"{"p":"x\ny","q":2,"r s":""}"#));
    }

    #[test]
    fn a_table_of_what_is_json_elsewhere() {
        let d = Decoder::Json;
        let header = Some("a,\"b c\",d");
        check(&d, b"1,\"x \"\"y\"\"\n\",", header, Ok(r#"{"a":1,"b c":"x \"y\"\n","d":""}"#));
        check(&d, b"1,2", header, Err("2 values under a header of 3 columns"));
        check(&d, b"{\"a\":1}", header, Ok(r#"{"a":1}"#));
    }

    #[test]
    fn a_layout_that_grows() {
        let d = quoted(" ", &[], Some(2));
        check(&d, b"1 2", None, Ok(r#"{"a":1,"b":2}"#));
        check(&d, b"1 2 3 4", None, Ok(r#"{"a":1,"b":2,"c":3}"#));
        check(&d, b"1", None, Err("1 values, which needs at least 2"));
    }

    #[test]
    fn refuses_with_the_reason() {
        let d = columns(" ");
        check(&d, b"1", None, Err("1 values without a header; known without one: 3, 2"));
        check(&d, b"1 2 3", Some("p q"), Err("3 values under a header of 2 columns"));
        check(&d, b"version x", None, Err("a header line, not a record"));
        check(&d, b"p q", Some("p q"), Err("a header line, not a record"));
        check(&d, b" \n", None, Err("an empty line"));
        check(&d, b"a \xff c", None, Err("not UTF-8 at byte 2"));
        check(&Decoder::Json, b"[1]", None, Err("JSON, but not an object"));
        check(&Decoder::Json, b"\xef\xbb\xbf{\"a\":1}", None, Ok(r#"{"a":1}"#));
        let mut parser = Parser::default();
        let reject = Decoder::Json.parse(&mut parser, b"{\"a\"", None, None).err().unwrap();
        assert!(reject.reason.starts_with("not JSON: "), "{reject}");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            record in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
            header in proptest::option::of("[a-c ]{0,9}"),
        ) {
            let quoted = quoted(",", &[('"', '"'), ('[', ']')], Some(1));
            for decoder in [columns(" "), columns("::"), quoted, Decoder::Json] {
                let mut parser = Parser::default();
                let _ = decoder.parse(&mut parser, &record, header.as_ref().map(|h| h.as_bytes()), None);
            }
        }
    }
}
