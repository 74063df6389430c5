//! `mantissa detect-type`: which log type a file is of, and by which fields that was seen.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use ::ingest::Format;
use ::ingest::decode::{Decoder, ReadError};
use ::ingest::framing::{Framer, Frames, Options};
use anyhow::Context as _;
use normalize::Guess;

use crate::cli::{DetectType, ReportFormat};
use crate::{plan, report};

/// So much of a file is looked at.
const BYTES_MAX: usize = 8 << 20;
const RECORDS_MAX: usize = 500;

/// Exits with failure when no log type fits.
pub fn run(args: &DetectType) -> anyhow::Result<ExitCode> {
    let catalog = plan::catalog(&args.log_types)?;
    let sample = sample(&args.file)?;
    let records: Vec<&[u8]> =
        sample.records().iter().map(|record| &sample.bytes()[record.range.clone()]).collect();
    // Of text with a line of column names, every record has the same.
    let header = sample.records().iter().find_map(|record| record.header.clone());
    let header = header.map(|range| &sample.bytes()[range]);
    let guesses = normalize::guess(&catalog, &records, header);
    match args.format {
        ReportFormat::Json => {
            let row = |guess: &Guess| {
                serde_json::json!({
                    "log_type": guess.log_type, "records": guess.records, "reasons": guess.reasons,
                })
            };
            let rows: Vec<_> = guesses.iter().map(row).collect();
            let document = serde_json::json!({"records": records.len(), "log_types": rows});
            report::data(&format!("{document}\n"))?;
        }
        ReportFormat::Text => report::out(&text(&guesses, records.len()))?,
    }
    Ok(if guesses.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The first records of a file, unpacked and framed as a source would.
fn sample(path: &Path) -> anyhow::Result<Frames> {
    let input: Box<dyn Read + Send> = match path == Path::new("-") {
        true => Box::new(io::stdin()),
        false => {
            Box::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?)
        }
    };
    let failed = || format!("cannot read {}", path.display());
    let mut decoder = Decoder::new(input).with_context(failed)?;
    // Lines of column names are looked for: the log type may be one that has them.
    let options = Options { flow_log: true, ..Options::new(Format::Auto, "") };
    let (mut framer, mut frames) = (Framer::new(&options), Frames::new(BYTES_MAX, RECORDS_MAX));
    let (mut buffer, mut read) = (vec![0; 64 << 10], 0);
    while read < BYTES_MAX && !frames.is_full() {
        let count = match decoder.read(&mut buffer) {
            Ok(count) => count,
            Err(ReadError::Io(error)) => return Err(error).with_context(failed),
            // What came before the stream broke tells enough.
            Err(ReadError::Broken(_)) => 0,
        };
        if count == 0 {
            framer.finish(&mut frames, None);
            break;
        }
        read += count;
        framer.push(&buffer[..count], &mut frames);
    }
    Ok(frames)
}

/// The best first; what fits fewer records is told in a line.
fn text(guesses: &[Guess], records: usize) -> String {
    let mut text = String::new();
    let Some((best, others)) = guesses.split_first() else {
        let count = report::plural(records as u64, "record", "records");
        return format!("no log type fits the {count} looked at\n");
    };
    let mut line = |guess: &Guess| {
        let Guess { log_type, records: fits, .. } = guess;
        let count = report::plural(records as u64, "record", "records");
        let written = writeln!(text, "{log_type}: {fits} of {count}");
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
        for reason in &guess.reasons {
            let written = writeln!(text, "  {reason}");
            debug_assert!(written.is_ok(), "writing to memory cannot fail");
        }
    };
    line(best);
    others.iter().for_each(line);
    text
}
