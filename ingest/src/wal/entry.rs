//! One entry on disk: length, checksum, payload.

/// Bytes before the payload.
pub(super) const HEAD: usize = 12;
/// No payload is longer: lengths beyond it are garbage.
pub(super) const PAYLOAD_MAX: usize = 1 << 30;

/// Appends an entry that will stand at `position`.
pub(super) fn encode(position: u64, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&checksum(position, payload));
    out.extend_from_slice(payload);
}

/// What stands at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded<'a> {
    Entry(&'a [u8]),
    /// Needs at least this many bytes in all.
    More(usize),
    /// No entry.
    Damaged,
}

pub(super) fn decode(position: u64, bytes: &[u8]) -> Decoded<'_> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Decoded::More(HEAD) };
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if len == 0 || len > PAYLOAD_MAX {
        return Decoded::Damaged;
    }
    let Some(payload) = rest.get(..len) else { return Decoded::More(HEAD + len) };
    if head[4..] == checksum(position, payload) {
        Decoded::Entry(payload)
    } else {
        Decoded::Damaged
    }
}

/// Over the position too, so that bytes of an earlier life of the disk are not taken for an entry.
fn checksum(position: u64, payload: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&position.to_le_bytes());
    hasher.update(payload);
    let mut out = [0; 8];
    out.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    out
}
