//! The Splunk HTTP Event Collector as its senders know it: bodies, codes and answers.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::entry::push_record;

/// An answer of the collector: HTTP status, code and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub code: u8,
    pub text: &'static str,
}

const fn answer(status: u16, code: u8, text: &'static str) -> Answer {
    Answer { status, code, text }
}

pub(super) const SUCCESS: Answer = answer(200, 0, "Success");
pub(super) const TOKEN_REQUIRED: Answer = answer(401, 2, "Token is required");
pub(super) const INVALID_AUTHORIZATION: Answer = answer(401, 3, "Invalid authorization");
pub(super) const INVALID_TOKEN: Answer = answer(403, 4, "Invalid token");
pub(super) const NO_DATA: Answer = answer(400, 5, "No data");
pub(super) const INVALID_FORMAT: Answer = answer(400, 6, "Invalid data format");
pub(super) const BUSY: Answer = answer(503, 9, "Server is busy");
pub(super) const EVENT_REQUIRED: Answer = answer(400, 12, "Event field is required");
pub(super) const EVENT_BLANK: Answer = answer(400, 13, "Event field cannot be blank");
pub(super) const HEALTHY: Answer = answer(200, 17, "HEC is healthy");
pub(super) const UNHEALTHY: Answer = answer(503, 18, "HEC is unhealthy, queues are full");

impl Answer {
    /// The body, with the number of the event that was refused when there is one.
    pub fn body(self, event: Option<usize>) -> String {
        let Self { code, text, .. } = self;
        match event {
            Some(n) => {
                format!(r#"{{"text":"{text}","code":{code},"invalid-event-number":{n}}}"#)
            }
            None => format!(r#"{{"text":"{text}","code":{code}}}"#),
        }
    }
}

/// What senders wrap an event in. Time, host and the like are left alone: the record is the event.
#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
}

/// The events of a body, one JSON object after the other (or an array of them), as a framed body.
pub(super) fn unwrap(body: &[u8]) -> Result<Vec<u8>, (Answer, usize)> {
    let mut framed = Vec::with_capacity(body.len());
    let mut count = 0;
    let trimmed = body.trim_ascii();
    if trimmed.starts_with(b"[") {
        let all: Vec<Wrapped<'_>> =
            serde_json::from_slice(trimmed).map_err(|_| (INVALID_FORMAT, 0))?;
        for wrapped in all {
            push(&wrapped, &mut framed).map_err(|answer| (answer, count))?;
            count += 1;
        }
    } else {
        for wrapped in serde_json::Deserializer::from_slice(trimmed).into_iter() {
            let wrapped: Wrapped<'_> = wrapped.map_err(|_| (INVALID_FORMAT, count))?;
            push(&wrapped, &mut framed).map_err(|answer| (answer, count))?;
            count += 1;
        }
    }
    if count == 0 { Err((NO_DATA, 0)) } else { Ok(framed) }
}

/// An event that is text is a line of some log; anything else is a record as it stands.
fn push(wrapped: &Wrapped<'_>, framed: &mut Vec<u8>) -> Result<(), Answer> {
    let event = wrapped.event.ok_or(EVENT_REQUIRED)?.get();
    if event.starts_with('"') {
        let text: Cow<'_, str> =
            serde_json::from_str::<Text<'_>>(event).map_err(|_| INVALID_FORMAT)?.0;
        if text.trim().is_empty() {
            return Err(EVENT_BLANK);
        }
        push_record(framed, text.as_bytes());
    } else {
        push_record(framed, event.as_bytes());
    }
    Ok(())
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
