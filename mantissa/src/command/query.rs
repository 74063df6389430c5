//! `mantissa query`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ::query::{Format, Limits};
use anyhow::Context as _;

use crate::cli::{Query, RowFormat};
use crate::report;

/// Runs one SELECT and streams its rows to standard output.
pub fn run(args: &Query) -> anyhow::Result<ExitCode> {
    let options = super::lake_options(&args.lake)?;
    super::block_on(async {
        let engine = super::engine(&options).await?;
        for table in &args.table {
            let parts = table.split_once('=');
            let (name, path) =
                parts.with_context(|| format!("--table {table}: NAME=FILE is meant"))?;
            engine.add_file(name, Path::new(path))?;
        }
        let limits =
            Limits { time_max: Some(Duration::from_secs(args.timeout_s)), ..Limits::default() };
        let rows = engine.sql(&args.sql, limits).await?;
        let mut out = io::BufWriter::new(report::stdout());
        ::query::write(rows, args.format.into(), &mut out).await?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}

impl From<RowFormat> for Format {
    fn from(format: RowFormat) -> Self {
        match format {
            RowFormat::Table => Format::Table,
            RowFormat::Json => Format::Json,
            RowFormat::Ndjson => Format::Ndjson,
            RowFormat::Csv => Format::Csv,
        }
    }
}
