//! `mantissa coverage`, as typed.

use clap::Args;

use super::LakeArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    mantissa coverage\n  \
    mantissa coverage --source okta --from 2026-03-01 --to 2026-04-01 --json")]
pub struct Coverage {
    /// The first hour: a date (midnight UTC) or RFC 3339. Default: seven days ago.
    #[arg(long)]
    pub from: Option<String>,
    /// The first hour that is not looked at any more. Default: now.
    #[arg(long)]
    pub to: Option<String>,
    /// Only this source. May be given several times.
    #[arg(long)]
    pub source: Vec<String>,
    #[command(flatten)]
    pub lake: LakeArgs,
    /// One JSON object for each hour.
    #[arg(long)]
    pub json: bool,
}
