//! What an entry of the write-ahead log holds: how it was posted, and the body.

use bytes::{BufMut, Bytes, BytesMut};

use crate::framing::{Format, Frames, Options, frame_whole};

/// How a body is cut into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By the source's configured format.
    Body = 1,
    /// Records with their lengths: they were framed before they were accepted.
    Framed = 2,
    /// A Kubernetes event list.
    EventList = 3,
    /// Lines, whatever is on them.
    Lines = 4,
}

/// The payload of an entry.
pub(super) fn encode(kind: Kind, body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(body.len() + 1);
    out.put_u8(kind as u8);
    out.put_slice(body);
    out.freeze()
}

/// Adds a record to a framed body.
pub(super) fn push_record(body: &mut Vec<u8>, record: &[u8]) {
    body.extend_from_slice(&(record.len() as u32).to_le_bytes());
    body.extend_from_slice(record);
}

/// The records of an entry that stands `at`.
pub(super) fn frame(options: &Options, payload: &[u8], at: u64, out: &mut Frames) {
    let Some((&kind, body)) = payload.split_first() else { return };
    let with = |format: Format| Options { format, ..options.clone() };
    match kind {
        1 => frame_whole(options, body, at, out),
        2 => frame_records(options.record_bytes_max, body, at, out),
        3 => frame_whole(&with(Format::Envelope { member: "items".into() }), body, at, out),
        4 => frame_whole(&with(Format::Lines), body, at, out),
        _ => out.reject(at, 0, format!("unknown kind of entry {kind}"), body.to_vec()),
    }
}

fn frame_records(max: usize, mut body: &[u8], at: u64, out: &mut Frames) {
    let mut index = 0;
    while let Some((head, rest)) = body.split_at_checked(4) {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some((record, rest)) = rest.split_at_checked(len) else { break };
        if record.len() <= max {
            out.record(at, index, record);
            index += 1;
        } else {
            for (part, bytes) in record.chunks(max).enumerate() {
                let reason = format!("part {}, record longer than {max} bytes", part + 1);
                out.reject(at, index, reason, bytes.to_vec());
                index += 1;
            }
        }
        body = rest;
    }
    if !body.is_empty() {
        out.reject(at, index, "an entry that ends early".to_owned(), body.to_vec());
    }
}
