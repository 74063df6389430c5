//! `mantissa`, the program. See the library beside it.

mod allocator;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use mantissa::{cli::Cli, command, report};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    allocator::reuse_pages_briefly();
    let cli = Cli::parse();
    if let Err(e) = start_logging(&cli) {
        report::error(&e);
        return ExitCode::from(2);
    }
    // Two TLS libraries could be linked one day; the choice is made here, once.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    match command::dispatch(cli.command) {
        Ok(code) => code,
        Err(e) if report::is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            report::error(&e);
            ExitCode::from(2)
        }
    }
}

/// Logs go to standard error; standard output is data only.
fn start_logging(cli: &Cli) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(&cli.log).map_err(|e| anyhow::anyhow!("--log {}: {e}", cli.log))?;
    // Colours are for terminals; a file or a collector of logs gets text.
    let is_coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_coloured)
        .with_writer(std::io::stderr);
    if cli.log_json {
        builder.json().init()
    } else {
        builder.init()
    }
    Ok(())
}
