//! What an entry of the write-ahead log holds: how it was posted, and the body.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::framing::{Format, Frames, Options, frame_part, frame_whole};

/// How gzip begins.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

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
    /// The name of a delivery, and bodies with their lengths.
    Delivery = 5,
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

/// The payload of an entry that the sender has a name for. A body is what [`push_record`] makes of it.
pub(super) fn encode_delivery(name: &str, bodies: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(name.len() + bodies.len() + 4);
    push_record(&mut out, name.as_bytes());
    out.extend_from_slice(bodies);
    encode(Kind::Delivery, &out)
}

/// What the records of an entry count their positions in, where the sender has a name for it.
pub(super) fn origin(payload: &[u8]) -> Option<Arc<str>> {
    let body = payload.strip_prefix(&[Kind::Delivery as u8])?;
    let (name, _) = next_record(body)?;
    Some(format!("delivery:{}", String::from_utf8_lossy(name)).into())
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
        // Positions count the records of the delivery, not bytes of the log: see `origin`.
        5 => frame_bodies(options, next_record(body).map_or(&[][..], |(_, rest)| rest), out),
        _ => out.reject(at, 0, format!("unknown kind of entry {kind}"), body.to_vec()),
    }
}

/// The record that stands first, and what follows it.
fn next_record(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = body.split_at_checked(4)?;
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    rest.split_at_checked(len)
}

fn frame_bodies(options: &Options, mut bodies: &[u8], out: &mut Frames) {
    let mut first = 0;
    while let Some((body, rest)) = next_record(bodies) {
        if body.starts_with(&GZIP) {
            let reason = "gzip that cannot be read to its end".to_owned();
            out.reject(0, first, reason, body.to_vec());
            first += 1;
        } else {
            first = frame_part(options, body, 0, first, out);
        }
        bodies = rest;
    }
}

fn frame_records(max: usize, mut body: &[u8], at: u64, out: &mut Frames) {
    let mut index = 0;
    while let Some((record, rest)) = next_record(body) {
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
