//! Messages of Protocol Buffers, field by field (<https://protobuf.dev/programming-guides/encoding/>).

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Also of a fixed size.
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers. `None` for what is no message, and then no more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// All of them; `None` when it is no message.
    pub fn all(self) -> Option<Vec<(u64, Value<'a>)>> {
        self.collect()
    }

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

    fn fixed(&mut self, bytes: u64) -> Option<u64> {
        let bytes = self.bytes(bytes)?.iter().rev();
        Some(bytes.fold(0, |all, byte| all << 8 | u64::from(*byte)))
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Number(self.fixed(8)?),
            2 => {
                let count = self.varint()?;
                Value::Bytes(self.bytes(count)?)
            }
            5 => Value::Number(self.fixed(4)?),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

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

/// Appends a field of bytes; numbers up to 15.
pub(crate) fn put(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_field_is_read() {
        let mut message = vec![0x08, 0x96, 0x01, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x1d, 9, 0, 0, 0];
        put(&mut message, 4, &[b'x'; 300]);
        let expected = [
            (1, Value::Number(150)),
            (2, Value::Number(0x0807_0605_0403_0201)),
            (3, Value::Number(9)),
            (4, Value::Bytes(&[b'x'; 300])),
        ];
        assert_eq!(Fields(&message).all().unwrap(), expected);
        let most = [&[0x08][..], &[0xff; 9], &[0x01]].concat();
        assert_eq!(Fields(&most).all().unwrap(), [(1, Value::Number(u64::MAX))]);
        for end in 1..message.len() {
            // It may end between two fields, and nothing worse than an error comes of it elsewhere.
            let _ = Fields(&message[..end]).all();
        }
        for broken in [&[0x08][..], &[0x0b], &[0x12, 5, 1], &[0xff; 11], &[0x11, 1], &[0x0d, 1]] {
            assert_eq!(Fields(broken).all(), None, "{broken:?}");
        }
    }
}
