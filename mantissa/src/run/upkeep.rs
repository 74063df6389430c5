//! Keeps the lake in order while the process runs: checkpoints always, retention, compaction and collection where
//! the configuration asks for them. On a thread of its own,
//! because encoding takes the processor for long and must not keep sources and the console waiting.
//!
//! It fails quietly: what it did not do it does later, and nothing of the pipeline depends on it.

use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use sink::lake::{Compacted, Kind, LakeOptions, Upkeep, collect};
use tokio::sync::oneshot;

use crate::report;

/// The running thread.
pub struct Keeping {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Keeping {
    /// Starts it.
    pub fn start(options: &LakeOptions) -> anyhow::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime of upkeep")?;
        let options = options.clone();
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = futures::future::join(keep(&options), cover(&options)) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("upkeep".into()).spawn(run);
        Ok(Self { stop, thread: thread.context("cannot start the thread of upkeep")? })
    }

    /// Stops it where it is: what it has not committed is removed at its next start.
    pub async fn stop(self) {
        // It may have ended by itself.
        let _ = self.stop.send(());
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("upkeep of the lake has panicked");
        }
    }
}

async fn keep(options: &LakeOptions) {
    if options.compaction.is_none() && options.retention.is_none() {
        return;
    }
    let every_s = options.compaction.clone().unwrap_or_default().every_s;
    loop {
        tokio::time::sleep(Duration::from_secs(every_s)).await;
        judge(once(options).await);
    }
}

/// Writes checkpoints.
async fn cover(options: &LakeOptions) {
    loop {
        tokio::time::sleep(Duration::from_secs(options.checkpoint_s.get())).await;
        judge(sink::lake::checkpoint(options, false).await.map(drop));
    }
}

fn judge(done: Result<(), sink::lake::Error>) {
    match done {
        Ok(()) => {}
        // Another process of the same lake is at it.
        Err(error) if error.kind() == Kind::Fenced => tracing::debug!("upkeep: {error}"),
        Err(error) => {
            metrics::counter!("mantissa_upkeep_failures_total").increment(1);
            tracing::warn!("upkeep of the lake: {}", report::chain(&error));
        }
    }
}

async fn once(options: &LakeOptions) -> Result<(), sink::lake::Error> {
    let mut upkeep = Upkeep::open(options).await?;
    // What goes need not be compacted.
    if let Some(retention) = &options.retention {
        let expired = upkeep.expire(retention, options.dedup_hours).await?;
        if expired.files > 0 {
            tracing::info!(?expired, "taken out of the lake");
            metrics::counter!("mantissa_expired_rows_total").increment(expired.rows);
        }
    }
    let done = match &options.compaction {
        Some(compaction) => upkeep.compact(compaction, false).await?,
        None => Compacted::default(),
    };
    if done.epochs > 0 {
        tracing::info!(?done, "compacted");
        metrics::counter!("mantissa_compacted_files_total").increment(done.files_before);
        metrics::counter!("mantissa_compacted_bytes_total").increment(done.bytes_before);
    }
    let keep_us = options.compaction.clone().unwrap_or_default().keep_us();
    let found = collect(options, keep_us, true).await?;
    let files = found.replaced.len() + found.strays.len();
    if files > 0 {
        tracing::info!(files, bytes = found.bytes, "removed what was replaced");
        metrics::counter!("mantissa_collected_files_total").increment(files as u64);
    }
    Ok(())
}

/// Says what the numbers mean, and begins at zero the one that otherwise first shows in trouble.
pub fn describe() {
    for (name, meaning) in [
        ("mantissa_expired_rows_total", "Rows that retention has taken out of the lake."),
        ("mantissa_compacted_files_total", "Files that were merged into larger ones."),
        ("mantissa_compacted_bytes_total", "Bytes of files that were merged into larger ones."),
        ("mantissa_collected_files_total", "Files removed because nobody needs them any more."),
        (
            "mantissa_upkeep_failures_total",
            "Times that upkeep of the lake failed; it is done later.",
        ),
    ] {
        metrics::describe_counter!(name, meaning);
    }
    metrics::counter!("mantissa_upkeep_failures_total").absolute(0);
}
