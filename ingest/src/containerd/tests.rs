//! Against containerd itself.

use std::io::Read as _;

use serde_json::{Value, json};
use servers::Containerd;

use super::*;
use crate::testing::{Lake, Running};

fn source(containerd: &Containerd, record_bytes_max: usize) -> Box<dyn Source> {
    let options = ContainerdOptions {
        socket: containerd.socket(),
        record_bytes_max,
        ..ContainerdOptions::default()
    };
    Box::new(ContainerdSource::new("test", "containerd.event", options).unwrap())
}

fn records(lake: &Lake) -> Vec<Value> {
    lake.records.lock().iter().map(|record| serde_json::from_str(record).unwrap()).collect()
}

/// Makes events until one of them is there: a stream that is being opened has no beginning that one could see.
async fn heard(running: &Running, containerd: &Containerd, name: &str) {
    for n in 0.. {
        containerd.ctr(&["namespaces", "create", &format!("{name}{n}")]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let records = running.lake.records.lock();
        if records.iter().any(|record| record.contains(&format!("\"{name}"))) {
            return;
        }
        assert!(n < 200, "nothing is heard");
    }
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..400 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}");
}

fn create(containerd: &Containerd, name: &str) {
    let mount = "type=bind,src=/,dst=/host,options=rbind:ro";
    let namespace = ["--namespace", "made"];
    let make = ["containers", "create", "--privileged", "--rootfs", "--env", "PASSWORD=hunter2"];
    let of = ["--label", "app=web", "--mount", mount, "/tmp", name, "/bin/echo", "hi"];
    containerd.ctr(&[&namespace[..], &make, &of].concat());
}

#[tokio::test]
async fn events_are_heard_as_ctr_hears_them_with_what_a_container_may_do() {
    let Some(containerd) = Containerd::start() else { return };
    let running = Lake::default().start(source(&containerd, 1 << 20));
    let mut ctr = containerd.events();
    heard(&running, &containerd, "first").await;
    create(&containerd, "one");
    let lake = running.lake.clone();
    let topic = |topic: &str| records(&lake).into_iter().find(|r| r["topic"] == topic);
    until("the container", || topic("/containers/create").is_some()).await;
    containerd.ctr(&["--namespace", "made", "containers", "label", "one", "app=db"]);
    containerd.ctr(&["--namespace", "made", "containers", "delete", "one"]);
    until("the end of the container", || topic("/containers/delete").is_some()).await;

    let made = topic("/containers/create").unwrap();
    assert_eq!((&made["namespace"], &made["event"]["id"]), (&json!("made"), &json!("one")));
    let inspect = &made["inspect"];
    assert!(inspect.is_object(), "{made}");
    assert_eq!(inspect["labels"]["app"], "web", "{made}");
    let spec = &inspect["spec"];
    assert_eq!(spec["process"]["args"], json!(["/bin/echo", "hi"]));
    let capabilities = spec["process"]["capabilities"]["effective"].as_array().unwrap();
    assert!(capabilities.contains(&json!("CAP_SYS_ADMIN")), "{capabilities:?}");
    let is_host = |mount: &Value| mount["source"] == "/" && mount["destination"] == "/host";
    assert!(spec["mounts"].as_array().unwrap().iter().any(is_host), "{spec}");
    assert!(!lake.records.lock().iter().any(|record| record.contains("hunter2")));

    // The command of containerd's own makers says the same of each event.
    ctr.kill().unwrap();
    let mut said = String::new();
    ctr.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    ctr.wait().unwrap();
    let mut compared = 0;
    // What was made while the streams were being opened only one of them may have heard.
    for line in said.lines().filter(|line| !line.contains("\"first")) {
        let (head, event) = line.split_at(line.find('{').unwrap());
        let [.., namespace, topic] = head.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!()
        };
        let event: Value = serde_json::from_str(event).unwrap();
        let is_same =
            |r: &Value| r["namespace"] == namespace && r["topic"] == topic && r["event"] == event;
        assert!(records(&lake).iter().any(is_same), "{line}");
        compared += 1;
    }
    assert!(compared >= 3, "{said}");
    assert!(lake.rejects.lock().is_empty(), "nothing was missed");
    running.stop.request();
    running.end().await.unwrap();
}

#[tokio::test]
async fn whenever_nobody_listened_it_is_said() {
    let Some(mut containerd) = Containerd::start() else { return };
    let lake = Lake::default();
    let running = lake.start(source(&containerd, 1 << 20));
    heard(&running, &containerd, "first").await;
    containerd.stop();
    until("the trouble shows", || running.standing.take().trouble.is_some()).await;
    containerd.go_on();
    heard(&running, &containerd, "second").await;
    let missed = |n: usize| {
        let rejects = lake.rejects.lock();
        let said = rejects.iter().filter(|(reason, _)| reason.contains("nobody listened from 2"));
        assert_eq!((said.count(), rejects.len()), (n, n), "{rejects:?}");
    };
    missed(1);
    running.stop.request();
    running.end().await.unwrap();
    // Another process goes on behind what is durable.
    let upto = lake.resume.lock()["events"].upto;
    assert_eq!(upto as usize, lake.records.lock().len() + 1);
    let running = lake.start(source(&containerd, 1 << 20));
    heard(&running, &containerd, "third").await;
    missed(2);
    running.stop.request();
    running.end().await.unwrap();
}

#[tokio::test]
async fn an_event_that_is_too_long_is_a_dead_letter_and_the_next_one_is_heard() {
    let Some(containerd) = Containerd::start() else { return };
    let lake = Lake::default();
    let running = lake.start(source(&containerd, 200));
    heard(&running, &containerd, "first").await;
    let label = format!("a={}", "x".repeat(1_000));
    containerd.ctr(&["namespaces", "create", "long", &label]);
    heard(&running, &containerd, "second").await;
    {
        let rejects = lake.rejects.lock();
        let [(reason, bytes)] = &rejects[..] else { panic!("{rejects:?}") };
        assert!(reason.contains("too long") && bytes.len() == 200, "{reason}");
    }
    // What a container may do is longer than that, too.
    create(&containerd, "one");
    until("the container", || records(&lake).iter().any(|r| r["event"]["id"] == "one")).await;
    let made = records(&lake).into_iter().find(|r| r["event"]["id"] == "one").unwrap();
    assert_eq!(made["inspect_error"], "the answer is too long");
    running.stop.request();
    running.end().await.unwrap();
}
