//! Kinesis-mock, an emulator of Amazon Kinesis Data Streams. It checks no signatures.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::http::http;
use crate::process::{Process, free_port, installed};

/// As many in one request.
const PUT_MAX: usize = 500;

/// A running emulator.
#[derive(Debug)]
pub struct Kinesis {
    _process: Process,
    address: String,
}

impl Kinesis {
    /// `None`, said loudly, when it is not installed.
    pub fn start() -> Option<Self> {
        let program = installed("kinesis-local")?;
        let (port, tls_port) = (free_port(), free_port());
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command
            .env("KINESIS_MOCK_PLAIN_PORT", port.to_string())
            .env("KINESIS_MOCK_TLS_PORT", tls_port.to_string())
            .env("LOG_LEVEL", "ERROR");
        let process = Process::start(&mut command, &address);
        Some(Self { _process: process, address })
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a stream and waits until it is there.
    pub fn stream(&self, name: &str, shards: usize) {
        self.ask("CreateStream", &json!({ "StreamName": name, "ShardCount": shards }));
        self.settle(name);
    }

    /// Puts records, each with its key.
    pub fn put(&self, stream: &str, records: &[(String, Vec<u8>)]) {
        for some in records.chunks(PUT_MAX) {
            let record = |(key, data): &(String, Vec<u8>)| json!({ "PartitionKey": key, "Data": BASE64.encode(data) });
            let records: Vec<Value> = some.iter().map(record).collect();
            let put = self.ask("PutRecords", &json!({ "StreamName": stream, "Records": records }));
            assert_eq!(put["FailedRecordCount"], 0, "{put}");
        }
    }

    /// The shards that take records, in order.
    pub fn open_shards(&self, stream: &str) -> Vec<String> {
        let listed = self.ask("ListShards", &json!({ "StreamName": stream }));
        let shards = listed["Shards"].as_array().expect("a list");
        let is_open =
            |shard: &&Value| shard["SequenceNumberRange"]["EndingSequenceNumber"].is_null();
        let id = |shard: &Value| shard["ShardId"].as_str().expect("an id").to_owned();
        shards.iter().filter(is_open).map(id).collect()
    }

    /// Splits a shard in two.
    pub fn split(&self, stream: &str, shard: &str) {
        let listed = self.ask("ListShards", &json!({ "StreamName": stream }));
        let shards = listed["Shards"].as_array().expect("a list").iter();
        let found = shards.into_iter().find(|s| s["ShardId"] == shard).expect("a shard of it");
        let key = |name: &str| -> u128 {
            let text = found["HashKeyRange"][name].as_str().expect("a key");
            text.parse().expect("a number")
        };
        let (from, to) = (key("StartingHashKey"), key("EndingHashKey"));
        let middle = (from + (to - from) / 2 + 1).to_string();
        self.ask(
            "SplitShard",
            &json!({ "StreamName": stream, "ShardToSplit": shard, "NewStartingHashKey": middle }),
        );
        self.settle(stream);
    }

    /// Merges two shards that lie side by side.
    pub fn merge(&self, stream: &str, shard: &str, adjacent: &str) {
        self.ask(
            "MergeShards",
            &json!({ "StreamName": stream, "ShardToMerge": shard, "AdjacentShardToMerge": adjacent }),
        );
        self.settle(stream);
    }

    fn settle(&self, stream: &str) {
        let began = Instant::now();
        loop {
            let summary = self.ask("DescribeStreamSummary", &json!({ "StreamName": stream }));
            if summary["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE" {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{summary}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&self, what: &str, body: &Value) -> Value {
        let headers = format!(
            "content-type: application/x-amz-json-1.1\r\nx-amz-target: Kinesis_20131202.{what}\r\n\
             x-amz-date: 20260101T000000Z\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=test/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0\r\n"
        );
        let (status, answer) =
            http(&self.address, "POST", "/", &headers, body.to_string().as_bytes());
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(status, 200, "{what}: {text}");
        serde_json::from_slice(&answer).unwrap_or_default()
    }
}
