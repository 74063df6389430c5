//! Records that the Kinesis Producer Library has put together into one
//! (<https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>): four bytes of magic, a
//! message of Protocol Buffers, and its MD5.

use md5::{Digest as _, Md5};

use crate::protobuf::{Fields, Value};

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const DIGEST_BYTES: usize = 16;
/// `AggregatedRecord.records`
const RECORDS: u64 = 3;
/// `Record.data`
const DATA: u64 = 3;

/// The data of each record within, in order. `None`: it is a record as it was put.
pub(super) fn open(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (message, digest) = rest.split_at_checked(rest.len().checked_sub(DIGEST_BYTES)?)?;
    if Md5::digest(message)[..] != *digest {
        return None;
    }
    let records = Fields(message).all()?.into_iter().filter(|(number, _)| *number == RECORDS);
    records.map(|(_, record)| data(record)).collect()
}

fn data(record: Value<'_>) -> Option<&[u8]> {
    let Value::Bytes(record) = record else { return None };
    let fields = Fields(record).all()?;
    fields.into_iter().find_map(|field| match field {
        (DATA, Value::Bytes(data)) => Some(data),
        _ => None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::protobuf::put;

    /// As the library writes it: a table of keys, and records that refer to it.
    pub fn aggregated(records: &[&[u8]]) -> Vec<u8> {
        let mut message = Vec::new();
        put(&mut message, 1, b"key");
        for data in records {
            // Index of the key, of the explicit hash key, the data, and a tag.
            let mut record = vec![1 << 3, 0, 2 << 3, 0];
            put(&mut record, 3, data);
            put(&mut record, 4, b"\x0a\x01t");
            put(&mut message, 3, &record);
        }
        let digest = Md5::digest(&message);
        [&MAGIC[..], &message, &digest[..]].concat()
    }

    #[test]
    fn what_was_put_together_comes_apart() {
        let long = vec![b'x'; 70_000];
        let records: [&[u8]; 4] = [b"one", b"", &long, b"{}"];
        assert_eq!(open(&aggregated(&records)).unwrap(), records);
        assert_eq!(open(&aggregated(&[])).unwrap(), Vec::<&[u8]>::new());
    }

    /// Written out by hand from the description of the format: a table with one key, and a record of its index and data.
    #[test]
    fn the_bytes_are_those_of_the_format() {
        let message = b"\x0a\x01k\x1a\x05\x08\x00\x1a\x01a";
        let whole = [&MAGIC[..], message, &Md5::digest(message)[..]].concat();
        assert_eq!(open(&whole).unwrap(), [b"a"]);
    }

    #[test]
    fn what_only_looks_like_it_is_a_record_as_it_stands() {
        let whole = aggregated(&[b"one", b"two"]);
        for end in 0..whole.len() {
            assert!(open(&whole[..end]).is_none(), "cut at {end}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(open(&changed).is_none(), "changed at {at}");
        }
        // A digest that is right over what is no message.
        for message in [&b"\x1a\xff"[..], b"\x1a\x7f", b"\x1b", b"\x1a\x00", &[0xff; 11]] {
            let whole = [&MAGIC[..], message, &Md5::digest(message)[..]].concat();
            assert!(open(&whole).is_none(), "{message:?}");
        }
    }
}
