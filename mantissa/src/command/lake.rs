//! `mantissa lake verify`.

use std::process::ExitCode;

use sink::lake::LakeStore;

use crate::cli::{LakeCommand, ReportFormat};
use crate::report;

pub fn run(command: LakeCommand) -> anyhow::Result<ExitCode> {
    let LakeCommand::Verify { lake, deep, format } = command;
    let options = super::lake_options(&lake)?;
    let found = super::block_on(async {
        Ok(sink::lake::verify(&LakeStore::open(&options)?, deep).await?)
    })?;
    match format {
        ReportFormat::Json => report::data(&format!("{}\n", serde_json::to_string(&found)?))?,
        ReportFormat::Text => report::out(&format!("{found}\n"))?,
    }
    Ok(if found.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
