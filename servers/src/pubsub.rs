//! Google's own Pub/Sub emulator, which is part of the Google Cloud CLI.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::http::http;
use crate::process::{Process, free_port, skipped};

/// Where the Google Cloud CLI is.
const ROOTS: &[&str] =
    &["/usr/lib/google-cloud-sdk", "/opt/google-cloud-sdk", "/snap/google-cloud-cli/current"];

/// A running emulator, with one project of the name `project`.
#[derive(Debug)]
pub struct Pubsub {
    _process: Process,
    /// Where it listens, `host:port`.
    pub address: String,
}

impl Pubsub {
    /// `None`, said loudly, when it is not installed. No package registry has it, so also where `CI` is set.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            skipped(
                "the Pub/Sub emulator is not installed; it is a component of the Google Cloud CLI",
            );
            return None;
        };
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(["--host=127.0.0.1", &format!("--port={port}")]);
        let process = Process::start(&mut command, &address);
        Some(Self { _process: process, address })
    }

    /// The URL of its REST interface.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A new topic with one subscription of the same name, which leases messages for 10 seconds; the
    /// subscription's whole name.
    pub fn subscription(&self, name: &str) -> String {
        self.ask("PUT", &format!("topics/{name}"), "{}");
        let body =
            format!(r#"{{"topic":"projects/project/topics/{name}","ackDeadlineSeconds":10}}"#);
        self.ask("PUT", &format!("subscriptions/{name}"), &body);
        format!("projects/project/subscriptions/{name}")
    }

    /// Publishes messages that hold these texts.
    pub fn publish(&self, topic: &str, texts: &[String]) {
        let message = |text: &String| format!(r#"{{"data":"{}"}}"#, BASE64.encode(text));
        for some in texts.chunks(500) {
            let some: Vec<_> = some.iter().map(message).collect();
            let body = format!(r#"{{"messages":[{}]}}"#, some.join(","));
            self.ask("POST", &format!("topics/{topic}:publish"), &body);
        }
    }

    /// Publishes a message without data that has these attributes.
    pub fn publish_with(&self, topic: &str, attributes: &[(&str, &str)]) {
        let attributes: BTreeMap<_, _> = attributes.iter().copied().collect();
        let body = serde_json::json!({"messages": [{"attributes": attributes}]});
        self.ask("POST", &format!("topics/{topic}:publish"), &body.to_string());
    }

    /// How many messages a subscription gives at once, which are then leased.
    pub fn waiting(&self, subscription: &str) -> usize {
        let body = r#"{"maxMessages":1000,"returnImmediately":true}"#;
        let answer = self.ask("POST", &format!("subscriptions/{subscription}:pull"), body);
        answer.matches("\"ackId\"").count()
    }

    fn ask(&self, verb: &str, name: &str, body: &str) -> String {
        let path = format!("/v1/projects/project/{name}");
        let headers = "content-type: application/json\r\n";
        let (status, answer) = http(&self.address, verb, &path, headers, body.as_bytes());
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(status, 200, "{verb} {path}: {answer}");
        answer
    }
}

fn program() -> Option<PathBuf> {
    let given = std::env::var("CLOUDSDK_ROOT_DIR").ok();
    let roots = given.iter().map(String::as_str).chain(ROOTS.iter().copied());
    let programs = roots
        .map(|root| PathBuf::from(root).join("platform/pubsub-emulator/bin/cloud-pubsub-emulator"));
    programs.into_iter().find(|program| program.exists())
}
