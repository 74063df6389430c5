//! What a container may do, as a member beside its event. Environment variables hold secrets and are not
//! among it.

use serde_json::{Map, Value};

use super::cursor::Event;

const HOST_CONFIG: [&str; 13] = [
    "Privileged",
    "CapAdd",
    "CapDrop",
    "Binds",
    "Devices",
    "SecurityOpt",
    "NetworkMode",
    "PidMode",
    "IpcMode",
    "UTSMode",
    "UsernsMode",
    "CgroupnsMode",
    "ReadonlyRootfs",
];
const CONFIG: [&str; 4] = ["User", "Image", "Entrypoint", "Cmd"];
const MOUNT: [&str; 5] = ["Type", "Source", "Destination", "RW", "Propagation"];

/// The container to ask about after an event.
pub(super) fn container(event: &Event) -> Option<&str> {
    let is_asked = event.kind == "container" && matches!(&*event.action, "create" | "start");
    let id = event.actor.id.as_str();
    // It becomes part of an address.
    let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_asked && is_id).then_some(id)
}

/// What is kept of an answer of the engine.
pub(super) fn part(full: &Value) -> Value {
    let pick = |from: &Value, names: &[&str]| -> Map<String, Value> {
        let has = |name: &&&str| !from[**name].is_null();
        names.iter().filter(has).map(|name| ((*name).to_owned(), from[*name].clone())).collect()
    };
    let mut kept = pick(&full["HostConfig"], &HOST_CONFIG);
    kept.extend(pick(&full["Config"], &CONFIG));
    let mounts = full["Mounts"].as_array().cloned().unwrap_or_default();
    let mounts = mounts.iter().map(|mount| Value::Object(pick(mount, &MOUNT)));
    kept.insert("Mounts".to_owned(), mounts.collect());
    Value::Object(kept)
}

/// The event with a member more; as it is when that cannot be added.
pub(super) fn attach(line: &[u8], beside: Result<Value, String>) -> Vec<u8> {
    let (name, value) = match beside {
        Ok(full) => ("inspect", part(&full)),
        Err(reason) => ("inspect_error", Value::String(reason)),
    };
    match line.trim_ascii_end().strip_suffix(b"}") {
        Some(open) if open.len() > 1 => {
            [open, format!(",\"{name}\":{value}}}").as_bytes()].concat()
        }
        _ => line.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_container_may_do_is_kept_and_its_environment_is_not() {
        let full = json!({
            "Id": "c0", "Config": {"User": "root", "Env": ["PASSWORD=hunter2"], "Cmd": ["sh"]},
            "HostConfig": {"Privileged": true, "CapAdd": ["SYS_ADMIN"], "CapDrop": null, "Memory": 0},
            "Mounts": [{"Type": "bind", "Source": "/", "Destination": "/host", "RW": true, "Mode": ""}],
        });
        let line = attach(br#"{"Type":"container","n":1}"#, Ok(full));
        let have: Value = serde_json::from_slice(&line).unwrap();
        let expected = json!({
            "Type": "container", "n": 1,
            "inspect": {
                "Privileged": true, "CapAdd": ["SYS_ADMIN"], "User": "root", "Cmd": ["sh"],
                "Mounts": [{"Type": "bind", "Source": "/", "Destination": "/host", "RW": true}],
            },
        });
        assert_eq!(have, expected);
        let gone = attach(br#"{"n":1}"#, Err("status 404".into()));
        assert_eq!(gone, br#"{"n":1,"inspect_error":"status 404"}"#);
        assert_eq!(attach(b"no object", Ok(json!({}))), b"no object");
    }

    #[test]
    fn only_containers_that_come_to_be_are_asked_about() {
        let about = |line: &str| {
            let event: Event = serde_json::from_str(line).unwrap();
            container(&event).map(str::to_owned)
        };
        let line = |kind: &str, action: &str, id: &str| {
            format!(
                r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"{id}"}},"timeNano":1}}"#
            )
        };
        assert_eq!(about(&line("container", "start", "c0ffee")), Some("c0ffee".to_owned()));
        assert_eq!(about(&line("container", "die", "c0ffee")), None);
        assert_eq!(about(&line("network", "create", "c0ffee")), None);
        assert_eq!(about(&line("container", "start", "../images")), None);
    }
}
