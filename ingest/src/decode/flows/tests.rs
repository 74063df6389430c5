//! Files that others wrote, files that are damaged, and files of many row groups.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::decode::{Broken, Decoder, ReadError};

/// Written by PyArrow 26.0.1, with the columns and types of flow logs of version 5
/// (<https://docs.aws.amazon.com/athena/latest/ug/vpc-flow-logs-parquet.html>): by default and in row groups of 3, and
/// with pages of version 2 without dictionaries.
const GZIP: &[u8] = include_bytes!("gzip.pq");
const SNAPPY: &[u8] = include_bytes!("snappy.pq");
/// The same records as AWS writes them in text.
const TEXT: &str = include_str!("flows.txt");

const NAMES: &str = "version interface-id srcaddr dstport end";

/// The record of [`file`] with that number, in text.
pub(crate) fn flow(n: usize) -> String {
    match n % 10 {
        9 => format!("2 eni-{n:06} - - 1763633760"),
        _ => format!("2 eni-{n:06} 10.0.0.5 443 1763633760"),
    }
}

/// A file of so many records, in row groups.
pub(crate) fn file(rows: usize, row_group: usize) -> Vec<u8> {
    let schema = "message flows {
        required int32 version;
        required binary interface_id (UTF8);
        optional binary srcaddr (UTF8);
        optional int32 dstport;
        required int64 end;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let options =
        WriterProperties::builder().set_compression(Compression::GZIP(Default::default()));
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(options.build())).unwrap();
    for first in (0..rows).step_by(row_group) {
        let group: Vec<_> = (first..rows.min(first + row_group)).collect();
        let is_there = |n: &&usize| **n % 10 != 9;
        let levels: Vec<i16> = group.iter().map(|n| i16::from(is_there(&n))).collect();
        let there = group.iter().filter(is_there).count();
        let names = group.iter().map(|n| ByteArray::from(format!("eni-{n:06}").as_str()));
        let names: Vec<_> = names.collect();
        let mut group_writer = writer.next_row_group().unwrap();
        let mut column =
            |write: &mut dyn FnMut(&mut parquet::file::writer::SerializedColumnWriter<'_>)| {
                let mut column = group_writer.next_column().unwrap().unwrap();
                write(&mut column);
                column.close().unwrap();
            };
        column(&mut |c| {
            c.typed::<Int32Type>()
                .write_batch(&vec![2; group.len()], None, None)
                .map(drop)
                .unwrap();
        });
        column(&mut |c| {
            c.typed::<ByteArrayType>().write_batch(&names, None, None).map(drop).unwrap();
        });
        column(&mut |c| {
            let addresses = vec![ByteArray::from("10.0.0.5"); there];
            let typed = c.typed::<ByteArrayType>();
            typed.write_batch(&addresses, Some(&levels), None).map(drop).unwrap();
        });
        column(&mut |c| {
            let typed = c.typed::<Int32Type>();
            typed.write_batch(&vec![443; there], Some(&levels), None).map(drop).unwrap();
        });
        column(&mut |c| {
            let ends = vec![1_763_633_760; group.len()];
            c.typed::<Int64Type>().write_batch(&ends, None, None).map(drop).unwrap();
        });
        group_writer.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// The text of [`file`].
fn text(rows: usize) -> String {
    (0..rows).fold(format!("{NAMES}\n"), |text, n| text + &flow(n) + "\n")
}

fn read(file: Vec<u8>, from: u64, is_flows: bool) -> (String, Option<Broken>) {
    let mut decoder = Decoder::of_object(Box::new(io::Cursor::new(file)), is_flows).unwrap();
    let (mut out, mut buffer) = (Vec::new(), [0; 1_000]);
    if let Err(ReadError::Broken(broken)) = decoder.skip(from) {
        return (String::new(), Some(broken));
    }
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => return (String::from_utf8(out).unwrap(), None),
            Ok(n) => out.extend_from_slice(&buffer[..n]),
            Err(ReadError::Broken(broken)) => {
                return (String::from_utf8(out).unwrap(), Some(broken));
            }
            Err(ReadError::Io(error)) => panic!("{error}"),
        }
    }
}

#[test]
fn files_of_others_become_the_text_that_aws_writes() {
    for file in [GZIP, SNAPPY] {
        assert_eq!(read(file.to_vec(), 0, true), (TEXT.to_owned(), None));
    }
}

#[test]
fn text_goes_on_at_any_byte_and_over_row_groups() {
    let (file, text) = (file(5_000, 700), text(5_000));
    for from in [0, 1, 40, 100_000, text.len() - 1, text.len()] {
        let (rest, broken) = read(file.clone(), from as u64, true);
        assert!(rest == text[from..] && broken.is_none(), "from {from}: {broken:?}");
    }
    assert_eq!(read(self::file(0, 1), 0, true), (format!("{NAMES}\n"), None));
}

#[test]
fn what_is_before_the_damage_is_read_and_the_damage_is_told() {
    let (whole, text) = (file(1_000, 150), text(1_000));
    for cut in [4, 100, whole.len() / 2, whole.len() - 1] {
        let (before, broken) = read(whole[..cut].to_vec(), 0, true);
        let reason = broken.expect("it is damaged").reason;
        assert!(before.is_empty() && reason.contains("behind row 0: "), "{cut}: {reason}");
    }
    // Bytes of pages: each is found by its length, checksum or encoding, or is another value; none is silence.
    let mut after_some = 0;
    for at in (4..whole.len() - 8).step_by(37) {
        let mut file = whole.clone();
        file[at] ^= 0xff;
        let (read, broken) = read(file, 0, true);
        match broken {
            Some(broken) => {
                assert!(broken.reason.contains("Parquet that cannot be read"), "{broken}");
                after_some += u32::from(read.len() > 1_000);
            }
            None => assert_eq!(read.lines().count(), text.lines().count(), "byte {at}"),
        }
    }
    assert!(after_some > 10, "rows before the damage are kept: {after_some}");
}

#[test]
fn other_logs_and_other_columns_are_refused_in_words() {
    let reason = |file, is_flows| read(file, 0, is_flows).1.expect("refused").reason;
    assert!(reason(GZIP.to_vec(), false).contains("flow logs alone"));
    let schema = Arc::new(parse_message_type("message m { required int32 a; }").unwrap());
    let other = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    assert!(reason(other.into_inner().unwrap(), true).contains("not those of flow logs"));
}

#[test]
fn a_value_never_makes_a_line_of_its_own() {
    let check = |field: Field, expected: &str| {
        let mut out = Vec::new();
        line(&Row::new(vec![("a".to_owned(), Field::Int(1)), ("b".to_owned(), field)]), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("1 {expected}\n"));
    };
    check(Field::Str("x\n2 eni-1".to_owned()), "x 2 eni-1");
    check(Field::Str(String::new()), "-");
    check(Field::Null, "-");
    check(Field::Bytes(b"OK".to_vec().into()), "OK");
    check(Field::TimestampMillis(1_763_633_760_999), "1763633760");
    check(Field::ULong(u64::MAX), "18446744073709551615");
}
