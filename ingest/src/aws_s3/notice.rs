//! What a message of the queue announces: S3's own notification, the same by SNS or by EventBridge, CloudTrail's
//! and Config's topics, and CrowdStrike's replicator.

use serde::Deserialize;
use serde_json::Value;

use crate::stores::names::decoded;

/// SNS may forward what EventBridge forwarded.
const WRAPS_MAX: usize = 3;

/// An object that is there now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Announced {
    pub bucket: String,
    pub key: String,
    /// Of its content, as far as the message says.
    pub etag: Option<String>,
    pub region: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    /// S3's test, sent when notifications are set up.
    #[serde(rename = "Event")]
    event: String,
    #[serde(rename = "Records")]
    records: Option<Vec<Record>>,
    /// Of SNS.
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Message")]
    message: Option<String>,
    /// Of EventBridge.
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    region: Option<String>,
    detail: Option<Detail>,
    /// Of CloudTrail (a list) and Config (a text).
    #[serde(rename = "s3Bucket")]
    s3_bucket: Option<String>,
    #[serde(rename = "s3ObjectKey")]
    s3_object_key: Option<Value>,
    /// Of CrowdStrike's replicator.
    bucket: Option<String>,
    files: Option<Vec<File>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(default)]
    event_name: String,
    aws_region: Option<String>,
    s3: Option<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
    #[serde(default, alias = "eTag")]
    etag: Option<String>,
}

#[derive(Deserialize)]
struct File {
    path: String,
}

/// The objects that a message announces; none when it announces something else that concerns nobody, such as
/// a test or a removal. Fails in words for what is no announcement.
pub(super) fn read(text: &str) -> Result<Vec<Announced>, String> {
    read_wrapped(text, WRAPS_MAX)
}

fn read_wrapped(text: &str, wraps: usize) -> Result<Vec<Announced>, String> {
    // Sent as plain text when a trail is given its topic.
    if text.starts_with("CloudTrail validation message") {
        return Ok(Vec::new());
    }
    let body: Body =
        serde_json::from_str(text).map_err(|e| format!("the message is no announcement: {e}"))?;
    if let Some(records) = body.records {
        return Ok(records.into_iter().filter_map(of_s3).collect());
    }
    if let Some(message) = body.message.filter(|_| body.kind == "Notification" && wraps > 0) {
        return read_wrapped(&message, wraps - 1);
    }
    if let Some(detail) = body.detail.filter(|_| body.source == "aws.s3") {
        let is_new = body.detail_type == "Object Created";
        let found =
            announced(detail.bucket.name, detail.object.key, detail.object.etag, body.region);
        return Ok(is_new.then_some(found).into_iter().collect());
    }
    if let (Some(bucket), Some(keys)) = (body.s3_bucket, body.s3_object_key) {
        let keys: Vec<String> = match keys {
            Value::String(key) => vec![key],
            keys => serde_json::from_value(keys).map_err(|e| format!("`s3ObjectKey`: {e}"))?,
        };
        return Ok(keys
            .into_iter()
            .map(|key| announced(bucket.clone(), key, None, None))
            .collect());
    }
    if let (Some(bucket), Some(files)) = (body.bucket, body.files) {
        let files = files.into_iter();
        return Ok(files.map(|file| announced(bucket.clone(), file.path, None, None)).collect());
    }
    match body.event.as_str() {
        "s3:TestEvent" => Ok(Vec::new()),
        _ => Err("the message announces no object".to_owned()),
    }
}

/// Keys in S3's own notifications are written as in a form: `+` is a blank.
fn of_s3(record: Record) -> Option<Announced> {
    let name = record.event_name.strip_prefix("s3:").unwrap_or(&record.event_name);
    let detail = record.s3.filter(|_| name.starts_with("ObjectCreated:"))?;
    let key = decoded(&detail.object.key, true);
    Some(announced(detail.bucket.name, key, detail.object.etag, record.aws_region))
}

fn announced(
    bucket: String,
    key: String,
    etag: Option<String>,
    region: Option<String>,
) -> Announced {
    Announced { bucket, key, etag: etag.filter(|etag| !etag.is_empty()), region }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn s3(name: &str, key: &str) -> Value {
        json!({"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
            "eventName": name, "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": "logs",
            "arn": "arn:aws:s3:::logs"}, "object": {"key": key, "size": 1024,
            "eTag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": "0055AED6DCD90281E5"}}}]})
    }

    fn sns(message: &Value) -> Value {
        json!({"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-west-1:1:t",
            "Message": message.to_string(), "Timestamp": "2026-11-20T10:00:00Z"})
    }

    #[test]
    fn all_shapes_name_the_same_object() {
        let key = "AWSLogs/1/CloudTrail/eu-west-1/a=b c.json.gz";
        let direct = s3("ObjectCreated:Put", "AWSLogs/1/CloudTrail/eu-west-1/a%3Db+c.json.gz");
        let bridge = json!({"version": "0", "source": "aws.s3", "detail-type": "Object Created",
            "region": "eu-west-1", "detail": {"version": "0", "bucket": {"name": "logs"},
            "object": {"key": key, "size": 5, "etag": "d41d8cd98f00b204e9800998ecf8427e"}}});
        let trail = json!({"s3Bucket": "logs", "s3ObjectKey": [key]});
        let config = json!({"s3Bucket": "logs", "s3ObjectKey": key, "messageType":
            "ConfigurationHistoryDeliveryCompleted"});
        let replicator = json!({"cid": "c", "bucket": "logs", "pathPrefix": "data/1",
            "files": [{"path": key, "size": 1, "checksum": "x"}]});
        let shapes = [
            direct.clone(),
            sns(&direct),
            bridge.clone(),
            sns(&bridge),
            trail.clone(),
            sns(&trail),
        ];
        for (n, shape) in shapes.iter().chain([&config, &replicator]).enumerate() {
            let found = read(&shape.to_string()).unwrap();
            let [one] = &found[..] else { panic!("{shape}") };
            assert_eq!((one.bucket.as_str(), one.key.as_str()), ("logs", key), "{shape}");
            let knows = n < 4;
            assert_eq!((one.etag.is_some(), one.region.is_some()), (knows, knows), "{shape}");
        }
        let other_store = s3("s3:ObjectCreated:Put", "k%25+%C3%A4%zz");
        assert_eq!(read(&other_store.to_string()).unwrap()[0].key, "k% ä%zz");
    }

    #[test]
    fn what_concerns_nobody_announces_nothing() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "logs"});
        let removed = s3("ObjectRemoved:Delete", "k");
        let deleted = json!({"source": "aws.s3", "detail-type": "Object Deleted", "detail":
            {"bucket": {"name": "logs"}, "object": {"key": "k"}}});
        for message in [&test, &sns(&test), &removed, &deleted, &json!({"Records": []})] {
            assert_eq!(read(&message.to_string()), Ok(Vec::new()), "{message}");
        }
        assert_eq!(read("CloudTrail validation message."), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_announcement_is_told() {
        let deep = (0..6).fold(json!({"Event": "s3:TestEvent"}), |inner, _| sns(&inner));
        for text in
            ["", "hello", "[]", "{}", "{\"Records\":5}", "{\"s3Bucket\":\"b\"}", &deep.to_string()]
        {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(r#"{"s3Bucket":"b","s3ObjectKey":[1]}"#).is_err());
    }
}
