//! Whether the streams may be listened to. Nobody who listens is disturbed: no stream is opened.

use super::CrowdstrikeStreamsOptions;
use super::api::busy;
use crate::probe::Findings;

const NEEDS: &str =
    "an API client with the scope Event streams (read), and an app_id that nobody else uses";

/// Asks for a token and for the partitions.
pub(super) async fn try_out(options: &CrowdstrikeStreamsOptions) -> Result<Findings, String> {
    let api = options.api()?;
    let reads = format!("the event streams of {} as {}", api.base_url, api.app_id);
    let mut found = Findings::new(reads, NEEDS, "docs/sources.md#crowdstrike-event-streams");
    match api.streams().await {
        Ok(streams) if streams.is_empty() => {
            found.bad("streams", format!("{}. Is it this program, running?", busy(&api.app_id)));
        }
        Ok(streams) => found.good(format!("{} partitions may be listened to", streams.len())),
        Err(trouble) => found.bad("streams", trouble.to_string()),
    }
    Ok(found)
}
