//! `mantissa backfill`, as typed.

use clap::Args;

use super::ConfigFile;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    mantissa backfill okta-prod --from 2026-03-01\n  \
    mantissa backfill okta-prod --from 2026-03-01T08:00:00Z --to 2026-03-02T08:00:00Z")]
pub struct Backfill {
    /// The name of the source in the configuration file.
    pub source: String,
    /// The first time that is wanted: a date (midnight UTC) or RFC 3339.
    #[arg(long)]
    pub from: String,
    /// The first time that is not wanted any more. Without it: up to what the live collection reads itself.
    #[arg(long)]
    pub to: Option<String>,
    #[command(flatten)]
    pub file: ConfigFile,
    /// What it came to as JSON.
    #[arg(long)]
    pub json: bool,
}
