//! `normalize normalize [--log-types DIR] --log-type T FILE`: one NDJSON line of columns per input line, for comparing
//! mappings with other readings of the same events without the whole program.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::io::Write as _;
use std::sync::Arc;

use event::{FieldsBuilder, Parser, PartitionKey, Rows, Slots, Timestamp};
use normalize::{Catalog, RecordMeta, columns};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut catalog = Catalog::builtin();
    let [.., log_type, path] = args.as_slice() else {
        return Err("usage: normalize normalize [--log-types DIR] --log-type T FILE".into());
    };
    if let Some(at) = args.iter().position(|arg| arg == "--log-types") {
        let file = std::path::Path::new(&args[at + 1]).join(format!("{log_type}.yml"));
        let text = std::fs::read_to_string(&file)?;
        catalog = catalog
            .with_files([(file.display().to_string(), text)])
            .map_err(|errors| errors.iter().map(|e| e.to_string() + "\n").collect::<String>())?;
    }
    let mapping = catalog.get(log_type).ok_or("unknown log type")?;
    let mut fields = FieldsBuilder::default();
    let mapper = mapping.bind(&mut fields);
    let fields = fields.build();
    let (mut parser, mut slots) = (Parser::default(), Slots::default());
    let key = PartitionKey { source: "file".into(), partition: path.as_str().into() };
    let now = Timestamp::from_millis(std::time::UNIX_EPOCH.elapsed()?.as_millis().try_into()?);
    let text = std::fs::read(path)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (at, line) in text.split(|b| *b == b'\n').enumerate().filter(|(_, l)| !l.is_empty()) {
        let meta = RecordMeta {
            raw: line,
            key: &key,
            at: at as u64,
            index: 0,
            name: None,
            now,
            late_after_ns: 7 * 24 * event::time::HOUR_NS,
        };
        let mut rows = Rows::new(Arc::clone(mapper.schema()));
        let mapped = mapper.parse(&mut parser, line, None).and_then(|doc| {
            slots.fill(&fields, &doc);
            mapper.map(&doc, &slots, &meta, &mut rows)
        });
        match mapped {
            Ok(_) => {
                rows.end_row();
                let mut row = rows.json(0);
                row.retain(|name, _| columns::index_of(name).is_some());
                serde_json::to_writer(&mut out, &row)?;
            }
            Err(reject) => {
                serde_json::to_writer(&mut out, &serde_json::json!({"error": reject.to_string()}))?;
            }
        }
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}
