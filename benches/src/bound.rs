//! The bounds: what the bytes cost when nothing but the unavoidable is done to them.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Parses every line into a reused simd-json tape.
pub fn tape(lines: &[String]) -> Duration {
    let mut input = Vec::new();
    let mut buffers = simd_json::Buffers::default();
    let mut kept = Some(simd_json::Tape(Vec::new()));
    let start = Instant::now();
    for line in lines {
        input.clear();
        input.extend_from_slice(line.as_bytes());
        let mut tape = kept.take().unwrap_or(simd_json::Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape(&mut input, &mut buffers, &mut tape);
        black_box(parsed.is_ok());
        kept = Some(tape.reset());
    }
    start.elapsed()
}

/// Tape parse, and zstd level 3 over the same bytes in blocks of 1 MiB.
pub fn tape_and_zstd(lines: &[String]) -> anyhow::Result<Duration> {
    let parse = tape(lines);
    let start = Instant::now();
    let mut block = Vec::with_capacity(1 << 20);
    let mut out = Vec::new();
    let mut squeeze = |block: &mut Vec<u8>| -> anyhow::Result<()> {
        out.resize(zstd::zstd_safe::compress_bound(block.len()), 0);
        black_box(zstd::bulk::compress_to_buffer(block, &mut out, 3)?);
        block.clear();
        Ok(())
    };
    for line in lines {
        block.extend_from_slice(line.as_bytes());
        block.push(b'\n');
        if block.len() >= 1 << 20 {
            squeeze(&mut block)?;
        }
    }
    squeeze(&mut block)?;
    Ok(parse + start.elapsed())
}
