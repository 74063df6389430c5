//! What the broker is asked beside reading: where partitions begin and end, whether a message is there.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::context::{Context, Place};
use super::part::End;

/// How long a broker is given for an answer.
pub(super) const ASK: Duration = Duration::from_secs(5);

/// The partitions of a topic and where they end now. An empty partition has nothing to wait for.
pub(super) fn ends(
    consumer: &BaseConsumer<Context>,
    topic: &str,
) -> Result<Vec<(Place, End)>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK)?;
    let mut ends = Vec::new();
    for found in metadata.topics() {
        if let Some(error) = found.error() {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        for partition in found.partitions() {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), ASK)?;
            let is_empty = low == high;
            let at = if is_empty { 0 } else { u64::try_from(high).unwrap_or(0) };
            ends.push(((topic.to_owned(), partition.id()), End { at, is_sure: is_empty }));
        }
    }
    Ok(ends)
}

/// A position that the broker does not have, and what it has instead.
pub(super) struct Missing {
    pub low: i64,
    pub high: i64,
}

/// Whether reading can begin at `next`. The ends that a broker tells are no proof against it: some tell
/// a place within their last batch. That the message before `next` is there is one for it.
pub(super) fn missing(
    client: &ClientConfig,
    consumer: &BaseConsumer<Context>,
    place: &Place,
    next: u64,
) -> Option<Missing> {
    // Without an answer reading begins, and a position that is not there shows then.
    let (low, high) = consumer.fetch_watermarks(&place.0, place.1, ASK).ok()?;
    let wanted = i64::try_from(next).unwrap_or(i64::MAX);
    if (low..=high).contains(&wanted)
        || (wanted > high && has_message(client, consumer, place, wanted - 1))
    {
        return None;
    }
    Some(Missing { low, high })
}

/// Whether the broker gives the message at this offset, looked at by a client of its own.
fn has_message(
    client: &ClientConfig,
    like: &BaseConsumer<Context>,
    place: &Place,
    offset: i64,
) -> bool {
    let mut client = client.clone();
    client.set("auto.offset.reset", "error").set("statistics.interval.ms", "0");
    let mut list = TopicPartitionList::new();
    let listed = list.add_partition_offset(&place.0, place.1, Offset::Offset(offset));
    let context = Context::new(like.context().meter.clone(), like.context().bearer.clone());
    let made: Result<BaseConsumer<_>, _> = client.create_with_context(context);
    let (Ok(()), Ok(consumer)) = (listed, made) else { return false };
    if consumer.assign(&list).is_err() {
        return false;
    }
    let began = Instant::now();
    while began.elapsed() < ASK {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => return message.offset() == offset,
            Some(Err(error)) if is_out_of_range(&error) => return false,
            // A connection that is being made, an end that is none: it may still come.
            Some(Err(_)) | None => {}
        }
    }
    false
}

fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset)
    )
}
