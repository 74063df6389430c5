//! An event as JSON, with the names that `ctr events` gives its fields.
//!
//! Shapes: `api/services/events/v1`, `api/events`, `api/types` of containerd
//! (<https://github.com/containerd/containerd/tree/main/api>). What a table does not know is kept: fields by their
//! number, messages as they are, in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event::Timestamp;
use serde_json::{Map, Value as Json, json};

use crate::protobuf::{Fields, Value};

/// What a field holds. One that is not set is left out, as JSON of Protocol Buffers does.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Number,
    Flag,
    /// `google.protobuf.Timestamp`
    Time,
    /// `google.protobuf.Any`
    Any,
    Texts,
    /// `map<string, string>`
    Pairs,
    Message(Shape),
    Messages(Shape),
}

/// The fields of a message: number, name, kind.
type Shape = &'static [(u64, &'static str, Kind)];

const RUNTIME: Shape = &[(1, "name", Kind::Text), (2, "options", Kind::Any)];
const IO: Shape = &[
    (1, "stdin", Kind::Text),
    (2, "stdout", Kind::Text),
    (3, "stderr", Kind::Text),
    (4, "terminal", Kind::Flag),
];
const MOUNT: Shape = &[
    (1, "type", Kind::Text),
    (2, "source", Kind::Text),
    (3, "target", Kind::Text),
    (4, "options", Kind::Texts),
];
const ID: Shape = &[(1, "id", Kind::Text)];
const NAMED: Shape = &[(1, "name", Kind::Text), (2, "labels", Kind::Pairs)];
const OF_CONTAINER: Shape = &[(1, "container_id", Kind::Text)];

/// The shape of a type of event, by the last part of its name.
fn shape(name: &str) -> Option<Shape> {
    Some(match name {
        "ContainerCreate" => &[
            (1, "id", Kind::Text),
            (2, "image", Kind::Text),
            (3, "runtime", Kind::Message(RUNTIME)),
        ],
        "ContainerUpdate" => &[
            (1, "id", Kind::Text),
            (2, "image", Kind::Text),
            (3, "labels", Kind::Pairs),
            (4, "snapshot_key", Kind::Text),
        ],
        "ContainerDelete" | "SandboxStart" | "SandboxStop" => ID,
        "TaskCreate" => &[
            (1, "container_id", Kind::Text),
            (2, "bundle", Kind::Text),
            (3, "rootfs", Kind::Messages(MOUNT)),
            (4, "io", Kind::Message(IO)),
            (5, "checkpoint", Kind::Text),
            (6, "pid", Kind::Number),
        ],
        "TaskStart" => &[(1, "container_id", Kind::Text), (2, "pid", Kind::Number)],
        "TaskDelete" => &[
            (1, "container_id", Kind::Text),
            (2, "pid", Kind::Number),
            (3, "exit_status", Kind::Number),
            (4, "exited_at", Kind::Time),
            (5, "id", Kind::Text),
        ],
        "TaskExit" => &[
            (1, "container_id", Kind::Text),
            (2, "id", Kind::Text),
            (3, "pid", Kind::Number),
            (4, "exit_status", Kind::Number),
            (5, "exited_at", Kind::Time),
            (6, "exit_reason", Kind::Number),
        ],
        "TaskOOM" | "TaskPaused" | "TaskResumed" => OF_CONTAINER,
        "TaskExecAdded" => &[(1, "container_id", Kind::Text), (2, "exec_id", Kind::Text)],
        "TaskExecStarted" => {
            &[(1, "container_id", Kind::Text), (2, "exec_id", Kind::Text), (3, "pid", Kind::Number)]
        }
        "TaskCheckpointed" => &[(1, "container_id", Kind::Text), (2, "checkpoint", Kind::Text)],
        "ImageCreate" | "ImageUpdate" | "ImageDelete" => NAMED,
        "NamespaceCreate" | "NamespaceUpdate" | "NamespaceDelete" => NAMED,
        "SnapshotPrepare" => {
            &[(1, "key", Kind::Text), (2, "parent", Kind::Text), (5, "snapshotter", Kind::Text)]
        }
        "SnapshotCommit" => {
            &[(1, "key", Kind::Text), (2, "name", Kind::Text), (5, "snapshotter", Kind::Text)]
        }
        "SnapshotRemove" => &[(1, "key", Kind::Text), (5, "snapshotter", Kind::Text)],
        "ContentCreate" => &[(1, "digest", Kind::Text), (2, "size", Kind::Number)],
        "ContentDelete" => &[(1, "digest", Kind::Text)],
        _ => return None,
    })
}

/// What one message of the stream says.
#[derive(Debug)]
pub(super) struct Envelope {
    pub time: Timestamp,
    pub namespace: String,
    pub topic: String,
    pub event: Json,
}

impl Envelope {
    /// `None` when it is no envelope.
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut read = Self {
            time: Timestamp(0),
            namespace: String::new(),
            topic: String::new(),
            event: Json::Null,
        };
        for (number, value) in Fields(message).all()? {
            match (number, value) {
                (1, Value::Bytes(time)) => read.time = timestamp(time)?,
                (2, Value::Bytes(text)) => read.namespace = lossy(text),
                (3, Value::Bytes(text)) => read.topic = lossy(text),
                (4, Value::Bytes(any)) => read.event = event(any)?,
                _ => {}
            }
        }
        (!read.topic.is_empty()).then_some(read)
    }

    /// As it is stored, with what was found beside it.
    pub fn line(&self, beside: Option<(&str, Json)>) -> Vec<u8> {
        let Self { time, namespace, topic, event } = self;
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), json!(time.to_string()));
        line.insert("namespace".to_owned(), json!(namespace));
        line.insert("topic".to_owned(), json!(topic));
        line.insert("event".to_owned(), event.clone());
        line.extend(beside.map(|(name, value)| (name.to_owned(), value)));
        Json::Object(line).to_string().into_bytes()
    }
}

/// What an `Any` of the stream holds, as far as it is known.
fn event(bytes: &[u8]) -> Option<Json> {
    let (name, value) = of_any(bytes)?;
    let last = name.rsplit(['.', '/']).next().unwrap_or(&name);
    if let Some(known) = shape(last).and_then(|shape| message(shape, value)) {
        return Some(Json::Object(known));
    }
    // What has no message of its own is JSON (`typeurl`).
    match serde_json::from_slice(value) {
        Ok(Json::Object(members)) => Some(Json::Object(members)),
        _ => Some(packed(&name, value)),
    }
}

/// The name of its type, and its bytes.
pub(super) fn of_any(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (mut name, mut content) = (String::new(), &[][..]);
    for (number, value) in Fields(bytes).all()? {
        match (number, value) {
            (1, Value::Bytes(text)) => name = lossy(text),
            (2, Value::Bytes(bytes)) => content = bytes,
            _ => {}
        }
    }
    Some((name, content))
}

/// A message by its shape; `None` when it is none.
fn message(shape: Shape, bytes: &[u8]) -> Option<Map<String, Json>> {
    let mut members = Map::new();
    for (number, value) in Fields(bytes).all()? {
        let known = shape.iter().find(|(known, ..)| *known == number);
        match (known, value) {
            (Some((_, name, Kind::Texts)), Value::Bytes(text)) => {
                append(&mut members, name, json!(lossy(text)));
            }
            (Some((_, name, Kind::Messages(shape))), Value::Bytes(bytes)) => {
                append(&mut members, name, Json::Object(message(shape, bytes)?));
            }
            (Some((_, name, Kind::Pairs)), Value::Bytes(bytes)) => {
                let (key, value) = pair(bytes)?;
                let pairs = members.entry(*name).or_insert_with(|| Map::new().into());
                pairs[key] = json!(lossy(value));
            }
            (Some((_, name, kind)), value) => {
                members.insert((*name).to_owned(), one(*kind, value)?);
            }
            (None, value) => {
                members.insert(format!("field_{number}"), unknown(value));
            }
        }
    }
    Some(members)
}

/// A field that is there once; `None` when it is not of this kind.
fn one(kind: Kind, value: Value<'_>) -> Option<Json> {
    Some(match (kind, value) {
        (Kind::Text, Value::Bytes(text)) => json!(lossy(text)),
        (Kind::Number, Value::Number(n)) => json!(n),
        (Kind::Flag, Value::Number(n)) => json!(n != 0),
        (Kind::Time, Value::Bytes(time)) => json!(timestamp(time)?.to_string()),
        (Kind::Message(shape), Value::Bytes(bytes)) => Json::Object(message(shape, bytes)?),
        (Kind::Any, Value::Bytes(bytes)) => {
            let (name, value) = of_any(bytes)?;
            packed(&name, value)
        }
        _ => return None,
    })
}

/// An `Any` as it is.
fn packed(name: &str, value: &[u8]) -> Json {
    match value {
        [] => json!({"type_url": name}),
        value => json!({"type_url": name, "value": STANDARD.encode(value)}),
    }
}

fn unknown(value: Value<'_>) -> Json {
    match value {
        Value::Number(n) => json!(n),
        Value::Bytes(bytes) => json!(STANDARD.encode(bytes)),
    }
}

fn append(members: &mut Map<String, Json>, name: &str, item: Json) {
    let list = members.entry(name).or_insert_with(|| Json::Array(Vec::new()));
    if let Json::Array(items) = list {
        items.push(item);
    }
}

/// Key and value of an entry of a map.
pub(super) fn pair(bytes: &[u8]) -> Option<(String, &[u8])> {
    // An entry has the numbers of an `Any`.
    of_any(bytes)
}

/// Seconds and nanoseconds.
fn timestamp(bytes: &[u8]) -> Option<Timestamp> {
    let (mut seconds, mut nanos) = (0, 0);
    for (number, value) in Fields(bytes).all()? {
        match (number, value) {
            (1, Value::Number(n)) => seconds = n.cast_signed(),
            (2, Value::Number(n)) => nanos = n.cast_signed(),
            _ => {}
        }
    }
    Some(Timestamp(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
