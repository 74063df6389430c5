//! Buffers of batches go round. Memory that the system gets back costs a page fault for every 4 KiB when it is taken
//! again, and a stream takes a mebibyte for every batch.

use bytes::Bytes;
use parking_lot::Mutex;

/// Smaller ones are the allocator's own business; larger ones belong to long records, which are rare.
const BYTES: std::ops::RangeInclusive<usize> = 512 << 10..=2 << 20;
/// As many wait to be taken again, at most 16 MiB together.
const KEPT_MAX: usize = 8;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// An empty buffer with room for `capacity` bytes.
pub(super) fn take(capacity: usize) -> Vec<u8> {
    let kept = BYTES.contains(&capacity).then(|| {
        let mut kept = KEPT.lock();
        kept.iter().position(|buffer| buffer.capacity() >= capacity).map(|at| kept.swap_remove(at))
    });
    kept.flatten().unwrap_or_else(|| Vec::with_capacity(capacity))
}

/// The bytes of a buffer. When nobody holds them any more the buffer can be taken again.
pub(super) fn share(buffer: Vec<u8>) -> Bytes {
    match BYTES.contains(&buffer.capacity()) {
        true => Bytes::from_owner(Lent(buffer)),
        false => Bytes::from(buffer),
    }
}

struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        buffer.clear();
        let mut kept = KEPT.lock();
        if kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_nobody_reads_it_and_not_before() {
        // A size that no other test takes.
        let mut buffer = Vec::with_capacity((1 << 20) + 4_711);
        buffer.extend_from_slice(b"records");
        let (place, capacity) = (buffer.as_ptr(), buffer.capacity());
        let bytes = share(buffer);
        let slice = bytes.slice(2..5);
        drop(bytes);
        assert!(!is_kept(place), "a slice still reads it");
        assert_eq!(&slice[..], b"cor");
        drop(slice);
        // Others may have taken it since, or the place be full.
        let again = take(capacity);
        assert!(again.is_empty() && again.capacity() >= capacity);
    }

    fn is_kept(place: *const u8) -> bool {
        KEPT.lock().iter().any(|buffer| buffer.as_ptr() == place)
    }

    #[test]
    fn few_are_kept_and_only_of_the_usual_size() {
        let many: Vec<Bytes> = (0..50).map(|_| share(Vec::with_capacity(1 << 20))).collect();
        drop(many);
        drop(share(Vec::with_capacity(64 << 20)));
        drop(share(Vec::with_capacity(100)));
        let kept = KEPT.lock();
        assert!(!kept.is_empty() && kept.len() <= KEPT_MAX);
        assert!(kept.iter().all(|buffer| BYTES.contains(&buffer.capacity())));
    }
}
