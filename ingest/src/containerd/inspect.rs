//! What a container runs and may do, as a member beside its event. Environment variables and annotations hold
//! secrets and are not among it.
//!
//! Shapes: `api/services/containers/v1` of containerd, and the specification of the Open Container Initiative
//! (<https://github.com/opencontainers/runtime-spec/blob/main/config.md>), which containerd keeps as JSON.

use serde_json::{Map, Value as Json, json};

use super::events::{Envelope, lossy, of_any, pair};
use super::grpc::{Grpc, Trouble};
use crate::protobuf::{Fields, Value, put};

const GET: &str = "containerd.services.containers.v1.Containers/Get";
const PROCESS: [&str; 7] =
    ["args", "cwd", "user", "terminal", "capabilities", "noNewPrivileges", "apparmorProfile"];
const LINUX: [&str; 4] = ["namespaces", "devices", "maskedPaths", "readonlyPaths"];

/// The container to ask about after an event.
pub(super) fn container(envelope: &Envelope) -> Option<&str> {
    let name = match &*envelope.topic {
        "/containers/create" => "id",
        "/tasks/start" => "container_id",
        _ => return None,
    };
    envelope.event[name].as_str()
}

/// The member to put beside the event, and its name.
pub(super) async fn ask(grpc: &Grpc, namespace: &str, id: &str) -> (&'static str, Json) {
    let mut request = Vec::new();
    put(&mut request, 1, id.as_bytes());
    match grpc.ask(GET, namespace, &request).await.and_then(|m| part(&m).ok_or(Trouble::Form)) {
        Ok(part) => ("inspect", part),
        Err(trouble) => ("inspect_error", json!(trouble.to_string())),
    }
}

/// What is kept of an answer: `GetContainerResponse.container`.
pub(super) fn part(answer: &[u8]) -> Option<Json> {
    let container = Fields(answer).all()?.into_iter().find_map(|field| match field {
        (1, Value::Bytes(container)) => Some(container),
        _ => None,
    })?;
    let (mut kept, mut labels) = (Map::new(), Map::new());
    for (number, value) in Fields(container).all()? {
        match (number, value) {
            (2, Value::Bytes(bytes)) => {
                let (key, value) = pair(bytes)?;
                labels.insert(key, json!(lossy(value)));
            }
            (3, Value::Bytes(image)) => {
                kept.insert("image".to_owned(), json!(lossy(image)));
            }
            (5, Value::Bytes(bytes)) => {
                let (_, spec) = of_any(bytes)?;
                kept.insert("spec".to_owned(), part_of_spec(&serde_json::from_slice(spec).ok()?));
            }
            _ => {}
        }
    }
    if !labels.is_empty() {
        kept.insert("labels".to_owned(), labels.into());
    }
    Some(kept.into())
}

fn part_of_spec(spec: &Json) -> Json {
    let pick = |from: &Json, names: &[&str]| -> Map<String, Json> {
        let has = |name: &&&str| !from[**name].is_null();
        names.iter().filter(has).map(|name| ((*name).to_owned(), from[*name].clone())).collect()
    };
    let mut linux = pick(&spec["linux"], &LINUX);
    linux.insert("has_seccomp".to_owned(), json!(spec["linux"]["seccomp"].is_object()));
    let mut kept = pick(spec, &["hostname", "root", "mounts"]);
    kept.insert("process".to_owned(), pick(&spec["process"], &PROCESS).into());
    kept.insert("linux".to_owned(), linux.into());
    kept.into()
}
