//! Whether the stream can be read, and what its settings mean.

use super::KinesisOptions;
use super::api::{Place, Trouble};
use crate::probe::Findings;

const NEEDS: &str = "kinesis:DescribeStreamSummary, kinesis:ListShards, kinesis:GetShardIterator and \
                     kinesis:GetRecords on the stream, and kms:Decrypt on its key";

/// Reads the settings and looks into one shard, from which nobody else loses anything.
pub(super) async fn try_out(options: &KinesisOptions) -> Findings {
    let api = options.api().await;
    let mut found = Findings::new(format!("the stream {}", api.stream()), NEEDS, "docs/aws.md");
    match api.settings().await {
        Ok(settings) => {
            let hours = settings.retention_ms / 3_600_000;
            let encrypted = if settings.is_encrypted { ", encrypted by a key of KMS" } else { "" };
            found.good(format!(
                "{} open shards, records are kept for {hours} h{encrypted}",
                settings.open_shards
            ));
            if hours < 72 {
                found.good(format!(
                    "an outage of more than {hours} h loses records: a retention of 7 days leaves a weekend"
                ));
            }
        }
        Err(trouble) => found.bad("settings", trouble.words()),
    }
    let first = match api.shards().await {
        Ok(shards) => shards.into_iter().next_back(),
        Err(trouble) => {
            found.bad("shards", trouble.words());
            None
        }
    };
    let Some(shard) = first else { return found };
    let looked = async {
        let iterator = api.iterator(&shard.id, &Place::Oldest).await?;
        api.records(&iterator).await
    };
    match looked.await.map_err(Trouble::words) {
        Ok(answer) => {
            found.good(format!(
                "{} can be read, {} records to begin with",
                shard.id,
                answer.records.len()
            ));
        }
        Err(words) => found.bad(shard.id, words),
    }
    found
}
