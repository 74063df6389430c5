//! `mantissa query`, as typed.

use clap::Args;

use super::{LakeArgs, RowFormat};

#[derive(Debug, Args)]
pub struct Query {
    /// One SELECT.
    pub sql: String,
    #[command(flatten)]
    pub lake: LakeArgs,
    /// A Parquet file as a table beside those of the lake, `found=backtest/alerts.parquet`. May be given several
    /// times.
    #[arg(long, value_name = "NAME=FILE")]
    pub table: Vec<String>,
    #[arg(long, value_enum, default_value_t = RowFormat::Table)]
    pub format: RowFormat,
    /// Give up after this many seconds, whatever the question is doing then.
    #[arg(long, default_value_t = 300)]
    pub timeout_s: u64,
}
