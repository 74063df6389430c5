//! `mantissa normalize`: the common columns of each line, so that any other reading of the same events
//! can be compared with ours.

use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use ::normalize::columns;
use anyhow::Context as _;
use detect::{Engine, RuleSet};
use event::{LogType, Parser, PartitionKey};

use crate::cli::Normalize;
use crate::pipeline::{Detection, Origin, Stream, now};
use crate::plan;

/// One output line for each input line: an object of common columns, nulls left out, or
/// `{"error": …}`. Blank lines give an empty object.
pub fn run(args: &Normalize) -> anyhow::Result<ExitCode> {
    let detection = Detection {
        catalog: Arc::new(plan::catalog(&args.log_types)?),
        rules: Arc::new(RuleSet::default()),
        generation: 0,
    };
    let compiled = detection
        .compile(&LogType::from(args.log_type.as_str()), Engine::Fast)
        .with_context(|| {
            let known = detection.catalog.names().collect::<Vec<_>>().join(", ");
            format!("there is no log type `{}`; known: {known}", args.log_type)
        })?;
    let mut stream = Stream::new(compiled);
    let mut parser = Parser::default();
    let key = PartitionKey {
        source: "normalize".into(),
        partition: args.file.display().to_string().into(),
    };
    let mut input: Box<dyn io::BufRead> = if args.file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = std::fs::File::open(&args.file)
            .with_context(|| format!("cannot open {}", args.file.display()))?;
        Box::new(BufReader::new(file))
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut line = Vec::new();
    for at in 0.. {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let record = line.trim_ascii();
        let origin =
            Origin { key: &key, at, index: 0, name: None, now: now(), late_after_ns: i64::MAX };
        let columns = match stream.take(&mut parser, record, None, &origin, &mut |_| false) {
            _ if record.is_empty() => serde_json::Map::new(),
            Ok(_) => {
                let mut row = stream.rows.json(stream.rows.len() - 1);
                row.retain(|name, _| columns::index_of(name).is_some());
                row
            }
            Err(reject) => {
                let mut row = serde_json::Map::new();
                row.insert("error".to_owned(), reject.reason.into());
                row
            }
        };
        serde_json::to_writer(&mut out, &columns)?;
        out.write_all(b"\n")?;
        stream.rows.clear();
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
