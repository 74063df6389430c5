//! A syslog message to a document: its header as members, its structured data as objects.

use std::borrow::Cow;

use event::syslog::Message;
use event::{Beside, Doc, Parser, Value};

use super::utf8;
use crate::error::Reject;

/// Reads a message. `header` is what its source knows and the message may not say: `peer=`, the address
/// that it came from, and `zone=`, the zone of times without one.
pub(super) fn parse<'a>(
    parser: &'a mut Parser,
    record: &[u8],
    header: Option<&[u8]>,
    beside: Option<&Beside>,
) -> Result<Doc<'a>, Reject> {
    let text = utf8(record)?.trim_end_matches(['\0', '\r', '\n']);
    let message = Message::parse(text).map_err(|e| Reject::parse(format!("not syslog: {e}")))?;
    let known = header.and_then(|header| std::str::from_utf8(header).ok()).unwrap_or_default();
    let known = |name: &str| known.split(' ').find_map(|word| word.strip_prefix(name));
    let timestamp = message.timestamp.map(|text| dated(&message, text, known("zone=")));
    Ok(parser.row(beside, |row| {
        let mut text = |name, value: Option<&str>| {
            if let Some(value) = value {
                row.add(name, Value::Str(value));
            }
        };
        text("timestamp", timestamp.as_deref());
        text("hostname", message.hostname);
        text("app_name", message.app_name);
        text("proc_id", message.proc_id);
        text("msg_id", message.msg_id);
        text("sequence", message.sequence);
        text("facility", message.facility());
        text("severity", message.severity());
        text("peer", known("peer="));
        text("message", Some(message.text));
        let numbers = [
            ("priority", message.priority.map(i64::from)),
            ("version", message.version.map(i64::from)),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                row.add(name, Value::I64(number));
            }
        }
        if message.structured().next().is_some() {
            row.object("structured_data", |row| {
                for (id, parameters) in message.structured() {
                    row.object(id, |row| {
                        parameters.for_each(|(name, value)| row.add(name, Value::Str(&value)));
                    });
                }
            });
        }
    }))
}

/// The time with its zone: the one in the message if it is a number or UTC, or else the source's.
fn dated<'t>(message: &Message<'_>, text: &'t str, zone: Option<&str>) -> Cow<'t, str> {
    let own =
        message.zone.filter(|zone| zone.starts_with(['+', '-']) || matches!(*zone, "UTC" | "GMT"));
    let says_zone = text.ends_with('Z') || text.get(19..).is_some_and(|t| t.contains(['+', '-']));
    match own.or(zone.filter(|_| !says_zone)) {
        Some(zone) => format!("{text} {zone}").into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(record: &str, header: Option<&str>, expected: Result<&str, &str>) {
        let mut parser = Parser::default();
        let doc = parse(&mut parser, record.as_bytes(), header.map(str::as_bytes), None);
        let have = doc.map(|doc| {
            let mut out = Vec::new();
            doc.write_json(Doc::ROOT, &mut out);
            String::from_utf8(out).unwrap()
        });
        assert_eq!(have.as_deref().map_err(|r| r.reason.as_str()), expected, "{record}");
    }

    #[test]
    fn a_message_becomes_a_document() {
        check(
            "<165>1 2003-10-11T22:14:15.003Z h app 7 ID47 [x@1 iut=\"3\" q=\"a\\\"b\"][y] said\n",
            Some("peer=192.0.2.1 zone=+02:00"),
            Ok(
                r#"{"timestamp":"2003-10-11T22:14:15.003Z","hostname":"h","app_name":"app","proc_id":"7","msg_id":"ID47","facility":"local4","severity":"notice","peer":"192.0.2.1","message":"said","priority":165,"version":1,"structured_data":{"x@1":{"iut":"3","q":"a\"b"},"y":{}}}"#,
            ),
        );
        check("x", None, Err("not syslog: neither a priority like <34> nor a time at byte 0"));
    }

    #[test]
    fn the_zone_is_the_messages_own_or_the_sources() {
        let zone = Some("zone=+02:00");
        let check = |time: &str, expected: &str| {
            let expected = format!(
                r#"{{"timestamp":"{expected}","hostname":"h","app_name":"a","facility":"kern","severity":"notice","message":"m","priority":5}}"#
            );
            check(&format!("<5>{time} h a: m"), zone, Ok(&expected));
        };
        check("Mar  1 09:00:00", "Mar  1 09:00:00 +02:00");
        check("Mar  1 09:00:00 UTC", "Mar  1 09:00:00 UTC");
        check("Mar  1 09:00:00 -01:00", "Mar  1 09:00:00 -01:00");
        check("2026-03-01 09:00:00", "2026-03-01 09:00:00 +02:00");
        check("2026-03-01T09:00:00Z", "2026-03-01T09:00:00Z");
        check("2026-03-01T09:00:00-05:00", "2026-03-01T09:00:00-05:00");
    }
}
