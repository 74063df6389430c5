//! `mantissa replay`, as typed.

use std::path::PathBuf;

use clap::Args;

use super::ConfigFile;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    mantissa replay --from 2026-03-01 --to 2026-03-08\n  \
    mantissa replay --from 2026-03-01 --to 2026-03-08 --rules new-rule.yml --send")]
pub struct Replay {
    /// The first event time: a date (midnight UTC) or RFC 3339.
    #[arg(long)]
    pub from: String,
    /// The first event time that is not looked at any more.
    #[arg(long)]
    pub to: String,
    /// Only these rules: files or folders. Without it: all that the configuration runs. May be given several
    /// times.
    #[arg(long)]
    pub rules: Vec<PathBuf>,
    /// Only this log type. May be given several times.
    #[arg(long)]
    pub log_type: Vec<String>,
    #[command(flatten)]
    pub file: ConfigFile,
    /// Send what is new. Without it nothing is sent.
    #[arg(long)]
    pub send: bool,
    /// Only say what would be sent, as without `--send`.
    #[arg(long, conflicts_with = "send")]
    pub dry_run: bool,
    /// More new alerts than this are not sent: none of them is.
    #[arg(long, default_value_t = 100)]
    pub max: usize,
    /// The folder of the run. Given again it goes on where it was interrupted.
    #[arg(long, default_value = "replay")]
    pub out: PathBuf,
    /// Worker threads; 0 = one for each processor.
    #[arg(long, default_value_t = 0)]
    pub workers: usize,
    /// What was found as JSON.
    #[arg(long)]
    pub json: bool,
}
