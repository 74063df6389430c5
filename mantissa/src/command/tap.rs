//! `mantissa tap`: watch events or matches of a running process, one JSON object a line.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use futures::StreamExt as _;

use crate::cli::{Tap, TapWhat};
use crate::report;

/// Copies the console's stream to standard output until either side ends it.
pub fn run(args: &Tap) -> anyhow::Result<ExitCode> {
    let path = match args.what {
        TapWhat::Events => "/v1/tap/events",
        TapWhat::Matches => "/v1/tap/matches",
    };
    let base = url::Url::parse(&args.url).with_context(|| format!("--url {}", args.url))?;
    let url = base.join(path).with_context(|| format!("--url {}", args.url))?;
    let mut query = Vec::new();
    query.extend(args.log_type.as_deref().map(|v| ("log_type", v)));
    query.extend(args.rule.as_deref().map(|v| ("rule", v)));
    super::block_on(async {
        let client = reqwest::Client::builder().build().context("cannot start an HTTP client")?;
        let mut request = client.get(url.clone()).query(&query);
        if let Some(token) = &args.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.with_context(|| {
            format!("no answer from {url}; is `mantissa run` up with `console.listen` set?")
        })?;
        if !answer.status().is_success() {
            bail!("{url} answered {}", answer.status());
        }
        let mut stream = answer.bytes_stream();
        let mut out = report::stdout();
        while let Some(chunk) = stream.next().await {
            out.write_all(&chunk.context("the stream broke off")?)?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}
