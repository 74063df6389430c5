//! Writes a day into a folder, one file a log type: `cargo run -p generate --example day -- OUT`.
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use event::Timestamp;
use generate::{Company, Writers};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out: PathBuf = std::env::args_os().nth(1).ok_or("give a folder")?.into();
    let start = Timestamp::from_civil((2026, 11, 23), (0, 0, 0), 0).ok_or("a date")?;
    let company = Company::new(7);
    let mut day = company.day(start);
    let open = |log: generate::Log| {
        let ending = if log.header().is_some() { "log" } else { "ndjson" };
        File::create(out.join(format!("{log}.{ending}"))).map(BufWriter::new)
    };
    let mut writers = Writers::new(open);
    let mut line = String::new();
    while let Some((log, _)) = day.next_into(&mut line) {
        writers.line(log, &line)?;
    }
    for (_, mut output) in writers.into_outputs() {
        output.flush()?;
    }
    serde_json::to_writer_pretty(File::create(out.join("truth.json"))?, &day.truth)?;
    Ok(())
}
