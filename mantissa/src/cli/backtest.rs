//! `mantissa backtest`, as typed.

use std::path::PathBuf;

use clap::Args;

use super::LakeArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    mantissa backtest --rules new-rule.yml --from 2026-03-01 --to 2026-04-01\n  \
    mantissa backtest --rules pack/ --log-type okta.system --from 2026-03-17T08:00:00Z --to 2026-03-17T12:00:00Z --json")]
pub struct Backtest {
    /// Files or folders of rules. May be given several times.
    #[arg(long, required = true)]
    pub rules: Vec<PathBuf>,
    /// The first event time: a date (midnight UTC) or RFC 3339.
    #[arg(long)]
    pub from: String,
    /// The first event time that is not looked at any more.
    #[arg(long)]
    pub to: String,
    #[command(flatten)]
    pub lake: LakeArgs,
    /// Only this log type. May be given several times.
    #[arg(long)]
    pub log_type: Vec<String>,
    /// Log types of your own: files or folders.
    #[arg(long)]
    pub log_types: Vec<PathBuf>,
    /// The folder of the run. Given again it goes on where it was interrupted.
    #[arg(long, default_value = "backtest")]
    pub out: PathBuf,
    /// Worker threads; 0 = one for each processor.
    #[arg(long, default_value_t = 0)]
    pub workers: usize,
    /// Read every event the whole way, also those that no rule holds for. Finds the same, slowly.
    #[arg(long)]
    pub no_prune: bool,
    /// What was found as JSON.
    #[arg(long)]
    pub json: bool,
}
