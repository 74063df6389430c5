//! The records in the body of a webhook, where they are not the body as it stands.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::{WebhookOptions, text};
use crate::http::entry::{self, Kind};
use crate::pubsub::Wire;

/// The entry of the write-ahead log for a body that was believed; nothing for a list without records. What is
/// not as the options say is kept as it stands, so that the pipeline tells of it with its bytes.
pub(in crate::http) fn records(
    options: &WebhookOptions,
    headers: &HeaderMap,
    body: &Bytes,
) -> Option<Bytes> {
    // Whoever names `records` wants the message itself, with its attributes.
    let data = options.is_pubsub().then(|| pushed(body)).flatten();
    let body = data.as_ref().unwrap_or(body);
    if body.is_empty() {
        return None;
    }
    let headers_text = kept_headers(&options.keep_headers, headers);
    let kept = |records| framed(records, headers_text.as_deref());
    let framed = match options.path_to_records() {
        Some(path) => at(body, path).map(|found| kept(elements(found))),
        None if options.keep_headers.is_empty() => None,
        None => serde_json::from_slice::<&RawValue>(body).ok().map(|body| kept(vec![body])),
    };
    match framed {
        Some(framed) if framed.is_empty() => None,
        Some(framed) => Some(entry::encode(Kind::Framed, &framed)),
        None => Some(entry::encode(Kind::Body, body)),
    }
}

/// The data of a message that Pub/Sub wraps for pushing
/// (<https://cloud.google.com/pubsub/docs/push#receive_push>).
fn pushed(body: &[u8]) -> Option<Bytes> {
    #[derive(serde::Deserialize)]
    struct Push {
        message: Wire,
        // There in every push, so that a log entry with a member `message` is not taken for one.
        #[serde(rename = "subscription")]
        _subscription: String,
    }
    let push: Push = serde_json::from_slice(body).ok()?;
    Some(push.message.open(String::new()).ok()?.payload.into())
}

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The value at a path, as it is written.
fn at<'a>(body: &'a [u8], path: &str) -> Option<&'a RawValue> {
    let mut found: &RawValue = serde_json::from_slice(body).ok()?;
    for name in path.split('.') {
        let members: Members<'a> = serde_json::from_str(found.get()).ok()?;
        found = members.get(name).copied()?;
    }
    Some(found)
}

/// The elements of an array, or the value itself.
fn elements(value: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(value.get()).unwrap_or_else(|_| vec![value])
}

fn kept_headers(names: &[String], headers: &HeaderMap) -> Option<String> {
    let kept: BTreeMap<String, &str> = names
        .iter()
        .filter_map(|name| Some((name.to_ascii_lowercase(), text(headers, name)?)))
        .collect();
    (!names.is_empty()).then(|| serde_json::json!(kept).to_string())
}

fn framed(records: Vec<&RawValue>, headers: Option<&str>) -> Vec<u8> {
    let mut framed = Vec::new();
    for record in records {
        match headers {
            Some(headers) => {
                let with = format!(r#"{{"headers":{headers},"body":{}}}"#, record.get());
                entry::push_record(&mut framed, with.as_bytes());
            }
            None => entry::push_record(&mut framed, record.get().as_bytes()),
        }
    }
    framed
}
