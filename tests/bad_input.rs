//! Hostile bytes among good records: each ends as a row, a duplicate or a dead letter with its bytes,
//! every good record is stored, and memory stays bounded.

use std::io::Write as _;
use std::path::Path;

use crate::support::{cloudtrail, column_counts, number, ok};

fn hostile() -> Vec<Vec<u8>> {
    let mut long = br#"{"eventID":"long","eventTime":""#.to_vec();
    long.resize(8 << 20, b'A');
    long.extend_from_slice(b"\"}");
    vec![
        b"{".to_vec(),
        b"}".to_vec(),
        b"not json".to_vec(),
        b"\xff\xfe\xfa{\"a\":1}".to_vec(),
        b"{\"a\":\"\xc3\x28\"}".to_vec(),
        b"[".repeat(100_000),
        b"{\"a\":".repeat(60_000),
        long,
        b"\x00\x00\x00".to_vec(),
        br#"{"eventID":"cut","eventTime":"2024-01-01T00:00:00Z""#.to_vec(),
        b"\"string\"".to_vec(),
        b"123".to_vec(),
        b"null".to_vec(),
        b"[1,2,3]".to_vec(),
        b"<html>502 Bad Gateway</html>".to_vec(),
        br#"{"a":1}{"b":2}"#.to_vec(),
        "h\u{e9}llo".encode_utf16().flat_map(u16::to_le_bytes).filter(|b| *b != b'\n').collect(),
    ]
}

fn odd() -> Vec<Vec<u8>> {
    [
        r#"{"eventID":"t70","eventTime":"1970-01-01T00:00:00Z","eventName":"A","eventSource":"x"}"#,
        r#"{"eventID":"t99","eventTime":"2099-01-01T00:00:00Z","eventName":"A","eventSource":"x"}"#,
        r#"{"eventID":"dup","eventID":"dup2","eventTime":"2024-01-01T00:00:00Z","eventName":"B"}"#,
        r#"{"eventID":"nul","eventTime":"2024-01-01T00:00:00Z","eventName":"a\u0000b"}"#,
        r#"{"eventID":"surrogate","eventTime":"2024-01-01T00:00:00Z","eventName":"\ud800"}"#,
        r#"{"eventID":"big","eventTime":"2024-01-01T00:00:00Z","n":123456789012345678901234567890}"#,
        r#"{"eventID":"notime","eventName":"D"}"#,
        r#"{"eventID":"badtime","eventTime":"yesterday","eventName":"D"}"#,
        r#"{"okta":"a record of another log type","published":"2024-01-01T00:00:00Z"}"#,
    ]
    .iter()
    .map(|s| s.as_bytes().to_vec())
    .collect()
}

fn ingest(dir: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let (file, lake) = (dir.join("in"), dir.join("lake"));
    std::fs::write(&file, bytes).unwrap();
    let args = ["ingest", "--log-type", "aws.cloudtrail", "--lake", lake.to_str().unwrap()];
    ok(&[&args[..], &[file.to_str().unwrap()]].concat());
    lake
}

#[test]
fn every_line_is_stored_or_dead() {
    let dir = tempfile::tempdir().unwrap();
    let good: Vec<Vec<u8>> =
        (0..300).map(|i| cloudtrail(&format!("good-{i}"), "A").into_bytes()).collect();
    let (hostile, odd) = (hostile(), odd());
    let mut lines = Vec::new();
    for (i, line) in good.iter().enumerate() {
        lines.push(line.clone());
        lines.extend(hostile.get(i / 7).filter(|_| i % 7 == 3).cloned());
        lines.extend(odd.get(i / 9).filter(|_| i % 9 == 5).cloned());
    }
    lines.extend_from_slice(&hostile[..1]);
    let lake = ingest(dir.path(), &lines.join(&b'\n'));
    let stored = number(&lake, "select count(*) as n from events");
    let dead = number(&lake, "select count(*) as n from dead_letters");
    assert_eq!(stored + dead, lines.len() as i64, "{stored} stored, {dead} dead");
    let have = column_counts(&lake, "aws_cloudtrail", "event_uid");
    for i in 0..300 {
        assert_eq!(have.get(&format!("good-{i}")), Some(&1), "good-{i}");
    }
    assert!(dead >= hostile.len() as i64 - 2, "{dead} dead");
    assert_eq!(ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]).code, 0);
    let sizes = number(&lake, "select max(byte_count) as n from dead_letters");
    assert_eq!(sizes, 300_000, "the bytes of the deepest record are kept");
}

#[test]
fn a_truncated_gzip_keeps_what_could_be_read() {
    let dir = tempfile::tempdir().unwrap();
    // Ids that do not compress, so that half of the bytes are about half of the records.
    let lines: Vec<String> = (0_u64..2_000)
        .map(|i| cloudtrail(&format!("{:016x}", i.wrapping_mul(0x9E37_79B9_7F4A_7C15)), "A"))
        .collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(lines.join("\n").as_bytes()).unwrap();
    let bytes = gzip.finish().unwrap();
    let lake = ingest(dir.path(), &bytes[..bytes.len() / 2]);
    let stored = number(&lake, "select count(*) as n from events");
    assert!(stored > 100, "{stored}");
    assert!(number(&lake, "select count(*) as n from dead_letters") >= 1);
    assert_eq!(ok(&["lake", "verify", "--lake", lake.to_str().unwrap()]).code, 0);
}

#[test]
fn a_record_of_64_megabytes_keeps_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = cloudtrail("before", "A").into_bytes();
    bytes.push(b'\n');
    let start = bytes.len();
    bytes.extend_from_slice(br#"{"eventID":"huge","x":""#);
    bytes.resize(start + (64 << 20), b'x');
    bytes.extend_from_slice(b"\n");
    let huge = (bytes.len() - start - 1) as i64;
    bytes.extend_from_slice(cloudtrail("after", "A").as_bytes());
    let lake = ingest(dir.path(), &bytes);
    assert_eq!(number(&lake, "select count(*) as n from events"), 2);
    let kept = number(&lake, "select sum(byte_count) as n from dead_letters");
    assert_eq!(kept, huge);
}

#[test]
fn a_ragged_row_of_a_table_is_dead_and_its_neighbours_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (file, lake) = (dir.path().join("in.csv"), dir.path().join("lake"));
    let rows = "\u{feff}\"EVENT_TYPE\",\"TIMESTAMP\",\"REQUEST_ID\",\"USER_NAME\",\"URI\"\r\n\
                \"Login\",\"20261120090000.024\",\"r1\",\"ana@corp.example\",\"/a\r\nb\"\r\n\
                \"Login\",\"20261120090001.024\",\"r2\"\r\n\
                \"Logout\",\"20261120090002.024\",\"r3\",\"ben \"\"b\"\"\",\"/c\"\r\n";
    std::fs::write(&file, rows).unwrap();
    let args = ["ingest", "--log-type", "salesforce.event", "--lake", lake.to_str().unwrap()];
    ok(&[&args[..], &[file.to_str().unwrap()]].concat());
    let have = column_counts(&lake, "salesforce_event", "actor_name");
    assert_eq!(have.into_keys().collect::<Vec<_>>(), ["ana@corp.example", "ben \"b\""]);
    let place = rows.find("\"Login\",\"20261120090001").unwrap();
    let dead = format!(
        "select count(*) as n from dead_letters where position = {place} and reason = '3 values under a header of 5 columns'"
    );
    assert_eq!(number(&lake, &dead), 1);
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}
