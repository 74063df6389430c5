use proptest::prelude::*;

use super::*;
use crate::protobuf::put;

fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|(number, bytes)| put(&mut out, *number, bytes));
    out
}

/// A field of a small number.
fn small(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn envelope(name: &str, event: &[u8]) -> Vec<u8> {
    let time = [small(1, 90), small(2, 5)].concat();
    let event = message(&[(1, name.as_bytes()), (2, event)]);
    message(&[(1, &time), (2, b"k8s.io"), (3, b"/tasks/exit"), (4, &event)])
}

fn read(name: &str, event: &[u8]) -> Json {
    let line = Envelope::read(&envelope(name, event)).unwrap().line(None);
    serde_json::from_slice(&line).unwrap()
}

#[test]
fn an_event_is_read_by_its_type() {
    let time = [small(1, 60), small(2, 7)].concat();
    let exit =
        [message(&[(1, b"c0"), (2, b"e1")]), small(3, 42), small(4, 9), message(&[(5, &time)])];
    let expected = json!({
        "timestamp": "1970-01-01T00:01:30.000000005Z", "namespace": "k8s.io", "topic": "/tasks/exit",
        "event": {
            "container_id": "c0", "id": "e1", "pid": 42, "exit_status": 9,
            "exited_at": "1970-01-01T00:01:00.000000007Z",
        },
    });
    assert_eq!(read("containerd.events.TaskExit", &exit.concat()), expected);
    let options = message(&[(1, b"runc.Options"), (2, b"\xff")]);
    let create =
        message(&[(1, b"c0"), (2, b"nginx"), (3, &message(&[(1, b"runc"), (2, &options)]))]);
    let expected = json!({
        "id": "c0", "image": "nginx",
        "runtime": {"name": "runc", "options": {"type_url": "runc.Options", "value": "/w=="}},
    });
    assert_eq!(read("containerd.events.ContainerCreate", &create)["event"], expected);
    let mount = message(&[(1, b"bind"), (2, b"/"), (4, b"ro"), (4, b"rbind")]);
    let io = [message(&[(2, b"out")]), small(4, 1)].concat();
    let create = message(&[(1, b"c0"), (3, &mount), (3, &message(&[(1, b"proc")])), (4, &io)]);
    let expected = json!({
        "container_id": "c0", "io": {"stdout": "out", "terminal": true},
        "rootfs": [{"type": "bind", "source": "/", "options": ["ro", "rbind"]}, {"type": "proc"}],
    });
    assert_eq!(
        read("types.googleapis.com/containerd.events.TaskCreate", &create)["event"],
        expected
    );
    let label = |key: &[u8], value: &[u8]| message(&[(1, key), (2, value)]);
    let image = message(&[(1, b"nginx"), (2, &label(b"a", b"b")), (2, &label(b"c", b""))]);
    let expected = json!({"name": "nginx", "labels": {"a": "b", "c": ""}});
    assert_eq!(read("containerd.services.images.v1.ImageCreate", &image)["event"], expected);
}

#[test]
fn what_is_not_known_is_kept() {
    let event = [message(&[(1, b"c0"), (9, b"new")]), small(10, 7)].concat();
    let expected = json!({"container_id": "c0", "field_9": "bmV3", "field_10": 7});
    assert_eq!(read("containerd.events.TaskOOM", &event)["event"], expected);
    let expected = json!({"type_url": "acme.Event", "value": "/w=="});
    assert_eq!(read("acme.Event", b"\xff")["event"], expected);
    assert_eq!(
        read("acme.Event", br#"{"a":1}"#)["event"],
        json!({"a": 1}),
        "JSON of a type without a message"
    );
    // A known type whose bytes are none of its shape.
    let expected = json!({"type_url": "containerd.events.TaskOOM", "value": "CAc="});
    assert_eq!(read("containerd.events.TaskOOM", &small(1, 7))["event"], expected);
    for broken in [&b"\xff"[..], b"", &message(&[(1, b"\xff"), (3, b"/t")])] {
        assert!(Envelope::read(broken).is_none(), "{broken:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let names = ["TaskExit", "TaskCreate", "ContainerCreate", "ContainerUpdate", "Other"];
        for name in names {
            if let Some(read) = Envelope::read(&envelope(name, &bytes)) {
                let line = read.line(Some(("inspect", json!({}))));
                prop_assert!(serde_json::from_slice::<Json>(&line).is_ok());
            }
        }
        let _ = Envelope::read(&bytes);
    }
}
