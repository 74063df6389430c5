//! Answers that are tables: every row of CSV becomes an object whose members are the names of its columns.
//! Values stay the text that they are. Bytes that are no UTF-8 stay too, for the reader to refuse.

use crate::framing::{Format, Frames, Options, frame_whole};

/// A row as an object; of one that does not fit its header, the row itself and why.
pub(super) type Row = (Vec<u8>, Option<String>);

/// All rows of an answer; in words why it is no whole table.
pub(super) fn rows(body: &[u8]) -> Result<Vec<Row>, String> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(first, Some(b'{' | b'[' | b'<')) {
        return Err("the answer is JSON or a web page, not CSV".to_owned());
    }
    let mut frames = Frames::default();
    frame_whole(&Options::new(Format::Csv, ""), body, 0, &mut frames);
    if let Some(reject) = frames.rejects().first() {
        return Err(format!("the answer is no whole table: {}", reject.reason));
    }
    let bytes = frames.bytes();
    let all = frames.records().iter().map(|record| {
        let header = record.header.clone().map(|range| &bytes[range]).unwrap_or_default();
        row(&cells(header), &bytes[record.range.clone()])
    });
    Ok(all.collect())
}

fn row(names: &[Vec<u8>], text: &[u8]) -> Row {
    let values = cells(text);
    if values.len() != names.len() {
        let (have, want) = (values.len(), names.len());
        return (text.to_vec(), Some(format!("{have} values under a header of {want} columns")));
    }
    let mut out = vec![b'{'];
    for (name, value) in names.iter().zip(&values) {
        if out.len() > 1 {
            out.push(b',');
        }
        string(name, &mut out);
        out.push(b':');
        string(value, &mut out);
    }
    out.push(b'}');
    (out, None)
}

/// The values of a row. A quote that no comma follows is text, as in [`crate::framing`].
fn cells(row: &[u8]) -> Vec<Vec<u8>> {
    let (mut cells, mut rest) = (Vec::new(), Some(row));
    while let Some(text) = rest {
        let (cell, after) = match text.strip_prefix(b"\"") {
            Some(inside) => quoted(inside),
            None => plain(text),
        };
        cells.push(cell);
        rest = after;
    }
    cells
}

fn plain(text: &[u8]) -> (Vec<u8>, Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b',') {
        Some(at) => (text[..at].to_vec(), Some(&text[at + 1..])),
        None => (text.to_vec(), None),
    }
}

fn quoted(text: &[u8]) -> (Vec<u8>, Option<&[u8]>) {
    let (mut cell, mut at) = (Vec::new(), 0);
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            (b'"', Some(b'"')) => at += 1,
            (b'"', Some(b',')) => return (cell, Some(&text[at + 2..])),
            (b'"', None) => return (cell, None),
            _ => {}
        }
        cell.push(text[at]);
        at += 1;
    }
    (cell, None)
}

/// A JSON string of these bytes.
fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            0..0x20 => out.extend(format!("\\u{byte:04x}").bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_become_objects_and_ragged_ones_are_told() {
        let body = b"\"A\",\"B c\"\r\n\"1\",\"x \"\"y\"\"\n\xff\"\n2\n,\n";
        let found = rows(body).unwrap();
        let expected: Vec<Row> = vec![
            (b"{\"A\":\"1\",\"B c\":\"x \\\"y\\\"\\n\xff\"}".to_vec(), None),
            (b"2".to_vec(), Some("1 values under a header of 2 columns".to_owned())),
            (b"{\"A\":\"\",\"B c\":\"\"}".to_vec(), None),
        ];
        assert_eq!(found, expected);
        assert_eq!(rows(b""), Ok(Vec::new()));
        assert_eq!(rows(b"A,B\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_whole_table_fails() {
        for body in ["[{\"errorCode\":\"X\"}]", " <html>", "{}", "A,B\n1,\"cut of"] {
            assert!(rows(body.as_bytes()).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn values_come_back(values in prop::collection::vec("[a,\"\n\\\\\u{fc}\t]{0,5}", 2..5)) {
            let quote = |value: &String| format!("\"{}\"", value.replace('"', "\"\""));
            let names: Vec<String> = (0..values.len()).map(|n| format!("n{n}")).collect();
            let line = values.iter().map(quote).collect::<Vec<_>>().join(",");
            let found = rows(format!("{}\n{line}\n", names.join(",")).as_bytes()).unwrap();
            let object: std::collections::BTreeMap<String, String> =
                serde_json::from_slice(&found[0].0).unwrap();
            prop_assert_eq!(object.into_values().collect::<Vec<_>>(), values);
        }
    }
}
