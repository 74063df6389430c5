//! Amazon Data Firehose's delivery to HTTP endpoints: what a request holds, and the answer that it wants
//! (<https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>).
//!
//! A request that was stored and whose answer was lost comes again under the same id. So its records stand at
//! positions of the request, and those that are in the lake already are recognised, whether they have an identity of
//! their own or not.

use std::borrow::Cow;
use std::io::Read;

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use serde_json::json;

use super::entry::{GZIP, encode_delivery, push_record};

/// Where the access key stands, at most 4,096 bytes.
pub(super) const ACCESS_KEY: &str = "x-amz-firehose-access-key";
const REQUEST_ID: &str = "x-amz-firehose-request-id";
/// A request's id is a GUID; a longer one than this is none.
const ID_BYTES_MAX: usize = 256;

/// Why a body cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not what Firehose sends.
    Form,
    /// More than may be held, decompressed.
    TooLarge,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery<'a> {
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    #[serde(borrow)]
    records: Vec<Data<'a>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    /// Base64 of what a producer has put.
    #[serde(borrow)]
    data: Cow<'a, str>,
}

/// The entry of the write-ahead log for a body; nothing for one without records. What a subscription of CloudWatch
/// Logs has put is gzip within the base64, and is stored decompressed; gzip that is broken is stored as it is, so that
/// the pipeline tells of it with its bytes.
pub(super) fn entry(body: &[u8], bytes_max: usize) -> Result<Option<Bytes>, Fault> {
    let delivery: Delivery<'_> = serde_json::from_slice(body).map_err(|_| Fault::Form)?;
    if delivery.request_id.is_empty() || delivery.request_id.len() > ID_BYTES_MAX {
        return Err(Fault::Form);
    }
    let mut bodies = Vec::with_capacity(body.len() / 4 * 3);
    for Data { data } in &delivery.records {
        let data = STANDARD.decode(data.as_bytes()).map_err(|_| Fault::Form)?;
        let room = bytes_max.saturating_sub(bodies.len());
        let data = if data.starts_with(&GZIP) { expand(data, room)? } else { data };
        if data.len() > room {
            return Err(Fault::TooLarge);
        }
        push_record(&mut bodies, &data);
    }
    Ok((!bodies.is_empty()).then(|| encode_delivery(&delivery.request_id, &bodies)))
}

fn expand(data: Vec<u8>, room: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let read = MultiGzDecoder::new(&data[..]).take(room as u64 + 1).read_to_end(&mut out);
    match read {
        Ok(_) if out.len() > room => Err(Fault::TooLarge),
        Ok(_) => Ok(out),
        Err(_) => Ok(data),
    }
}

/// The body of an answer: the request's id, milliseconds since the epoch, and what was wrong. An answer in another
/// form counts as a failed delivery, whatever its status.
pub(super) fn answer(headers: &HeaderMap, now_ms: i64, fault: Option<&str>) -> String {
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    match fault {
        None => json!({ "requestId": id, "timestamp": now_ms }),
        Some(fault) => json!({ "requestId": id, "timestamp": now_ms, "errorMessage": fault }),
    }
    .to_string()
}
