//! Records that the Kinesis Producer Library has put together into one
//! (<https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>): four bytes of magic, a
//! message of Protocol Buffers, and its MD5.

use md5::{Digest as _, Md5};

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
    let records = Fields(message).collect::<Option<Vec<_>>>()?;
    let records = records.into_iter().filter(|(number, _)| *number == RECORDS);
    records.map(|(_, record)| data(record)).collect()
}

fn data(record: &[u8]) -> Option<&[u8]> {
    let fields = Fields(record).collect::<Option<Vec<_>>>()?;
    fields.into_iter().find(|(number, _)| *number == DATA).map(|(_, data)| data)
}

/// The fields of a message, with the bytes of those that have a length
/// (<https://protobuf.dev/programming-guides/encoding/>). `None` for what is no message, and then no more.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for at in 0..10 {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(7 * at)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, &'a [u8])> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => self.varint().map(|_| &[][..]),
            1 => self.bytes(8),
            2 => {
                let count = self.varint()?;
                self.bytes(count)
            }
            5 => self.bytes(4),
            _ => None,
        };
        Some((key >> 3, value?))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
        out.push(number << 3 | 2);
        let mut length = bytes.len();
        while length > 0x7f {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
    }

    /// As the library writes it: a table of keys, and records that refer to it.
    pub fn aggregated(records: &[&[u8]]) -> Vec<u8> {
        let mut message = Vec::new();
        field(&mut message, 1, b"key");
        for data in records {
            // Index of the key, of the explicit hash key, the data, and a tag.
            let mut record = vec![1 << 3, 0, 2 << 3, 0];
            field(&mut record, 3, data);
            field(&mut record, 4, b"\x0a\x01t");
            field(&mut message, 3, &record);
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
