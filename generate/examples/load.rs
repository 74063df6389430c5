//! Writes endless load to standard output, for benchmarks and soak tests:
//! `cargo run --release -p generate --example load -- aws.cloudtrail 1000000 > FILE`.
//! The log type `all` mixes them; lines then are of several types.
use std::io::{BufWriter, Write};

use event::Timestamp;
use generate::{Load, Log, Mix};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mix = match args.next().as_deref() {
        None | Some("all") => Mix::default(),
        Some(name) => Mix::only(Log::parse(name).ok_or("no such log type")?),
    };
    let lines: u64 = args.next().as_deref().unwrap_or("1000000").parse()?;
    let start = Timestamp::from_civil((2026, 11, 23), (0, 0, 0), 0).ok_or("a date")?;
    let mut load = Load::new(7, start, 1_000, mix);
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let mut line = String::new();
    for _ in 0..lines {
        load.next_into(&mut line);
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}
