//! Answers to SQL statements, as Snowflake's SQL API gives them
//! (<https://docs.snowflake.com/en/developer-guide/sql-api/handling-responses>).
//!
//! A statement that still runs is answered with status 202, and is asked for at the address in the answer
//! until it has ended. Its rows come in partitions, and the first answer alone says how many there are. So
//! the address of a partition carries their number behind a `#`, which is never sent.

use super::{Broken, Page, Record, id_of, scan};
use crate::poll::scan::Path;

/// The page of a statement that still runs: no records, and where to ask again.
pub(super) fn running(document: &[u8], bytes: usize) -> Result<Option<Page>, Broken> {
    let next = address(document)?;
    Ok(next.map(|next| Page { bytes, next: Some(next), is_running: true, ..Page::default() }))
}

/// Where the second partition is, if there is one.
pub(super) fn second(document: &[u8]) -> Result<Option<String>, Broken> {
    let partitions = scan::find(document, &Path::new("resultSetMetaData.partitionInfo"))?;
    let count = match partitions {
        Some(array) if array.starts_with(b"[") => scan::elements(array)?.len(),
        _ => 0,
    };
    if count < 2 {
        return Ok(None);
    }
    // Without an address the rest would be lost.
    let address = address(document)?.ok_or(Broken::Unexpected(0))?;
    let path = address.split('?').next().unwrap_or_default();
    Ok(Some(format!("{path}?partition=1#{count}")))
}

/// Whether this is the address of a partition behind the first one.
pub fn is_partition(asked: &str) -> bool {
    asked.contains('#')
}

/// Where the partition after this one is, if there is one.
pub fn after(asked: &str) -> Option<String> {
    let (address, count) = asked.rsplit_once('#')?;
    let (start, number) = address.rsplit_once('=')?;
    let (number, count) = (number.parse::<usize>().ok()? + 1, count.parse::<usize>().ok()?);
    (number < count).then(|| format!("{start}={number}#{count}"))
}

/// The record that a row holds as JSON in its first column; of a row that holds none, the row and why.
pub(super) fn cell(row: &[u8]) -> Result<Vec<u8>, Record> {
    let cells = scan::elements(row).unwrap_or_default();
    match cells.first().and_then(|cell| scan::text(cell)) {
        Some(text) if text.starts_with('{') => Ok(text.into_bytes()),
        _ => Err(Record {
            bytes: row.to_vec(),
            id: id_of([row]),
            time_ms: None,
            fetch: None,
            length: None,
            reject: Some("a row holds no JSON object in its first column".to_owned()),
        }),
    }
}

fn address(document: &[u8]) -> Result<Option<String>, Broken> {
    let text = |name| Ok(scan::find(document, &Path::key(name))?.and_then(scan::text));
    if let Some(url) = text("statementStatusUrl")? {
        return Ok(Some(url));
    }
    Ok(text("statementHandle")?.map(|handle| format!("/api/v2/statements/{handle}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_each_other_to_the_last() {
        let first = br#"{"resultSetMetaData":{"partitionInfo":[{"rowCount":2},{"rowCount":2},{"rowCount":1}]},
            "data":[["{}"]],"statementHandle":"h","statementStatusUrl":"/api/v2/statements/h?requestId=r"}"#;
        let one = second(first).unwrap().unwrap();
        assert_eq!(one, "/api/v2/statements/h?partition=1#3");
        assert!(is_partition(&one) && !is_partition("/api/v2/statements/h?requestId=r"));
        let two = after(&one).unwrap();
        assert_eq!(two, "/api/v2/statements/h?partition=2#3");
        assert_eq!(after(&two), None);
        let only = br#"{"resultSetMetaData":{"partitionInfo":[{}]},"statementHandle":"h"}"#;
        assert_eq!(second(only).unwrap(), None);
        let nowhere = br#"{"resultSetMetaData":{"partitionInfo":[{},{}]}}"#;
        assert!(second(nowhere).is_err(), "partitions that cannot be had are not left out");
    }

    #[test]
    fn a_statement_that_runs_says_where_to_ask() {
        let page = running(br#"{"code":"333334","statementHandle":"h"}"#, 9).unwrap().unwrap();
        assert_eq!(page.next.as_deref(), Some("/api/v2/statements/h"));
        assert!(page.is_running && page.records.is_empty());
        assert_eq!(running(b"{}", 2).unwrap(), None);
    }

    #[test]
    fn a_row_is_the_record_in_its_first_column() {
        assert_eq!(cell(br#"["{\"A\":\"x\\ny\"}"]"#).unwrap(), br#"{"A":"x\ny"}"#);
        for row in [&b"[null]"[..], b"[]", b"17", br#"["text"]"#] {
            let reject = cell(row).unwrap_err();
            assert!(reject.bytes == row && reject.reject.is_some());
        }
    }
}
