//! Moto, an emulator of S3 with conditional puts and of SQS, with one bucket of the name `bucket`.

use std::process::Command;

use crate::http::{http, path_of};
use crate::process::{Process, free_port, installed};

/// A running emulator.
#[derive(Debug)]
pub struct Bucket {
    _process: Process,
    /// Where it listens, `host:port`.
    pub address: String,
}

/// Who may take on a role.
#[derive(Debug)]
pub struct Member {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub role_arn: String,
}

impl Bucket {
    /// `None`, said loudly, when it is not installed.
    pub fn start() -> Option<Self> {
        let program = installed("moto_server")?;
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = Process::start(&mut command, &address);
        let bucket = Self { _process: process, address };
        bucket.create();
        Some(bucket)
    }

    /// The URL of its S3 interface.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts an object, under any name.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.ask("s3", "PUT", &format!("/bucket/{}", path_of(key)), bytes);
    }

    /// A new queue; its URL.
    pub fn queue(&self, name: &str) -> String {
        let body = format!("Action=CreateQueue&Version=2012-11-05&QueueName={name}");
        self.ask("sqs", "POST", "/", body.as_bytes());
        format!("{}/123456789012/{name}", self.endpoint())
    }

    /// Puts S3's notification of an object into a queue. The key is of letters, digits, `/`, `.` and `-`.
    pub fn announce(&self, queue: &str, key: &str) {
        let message = format!(
            "{{\"Records\":[{{\"eventName\":\"ObjectCreated:Put\",\"awsRegion\":\"us-east-1\",\"s3\":\
             {{\"bucket\":{{\"name\":\"bucket\"}},\"object\":{{\"key\":\"{key}\"}}}}}}]}}"
        );
        let path = queue.strip_prefix(&self.endpoint()).expect("a queue of this server");
        let body = format!("Action=SendMessage&Version=2012-11-05&MessageBody={message}");
        self.ask("sqs", "POST", path, body.as_bytes());
    }

    /// Somebody who may take on a role that reads everything, from whoever tells its owner's id, and nothing else.
    /// From now on requests are answered whose signature is right and whose signer may make them.
    pub fn guard(&self, external_id: &str) -> Member {
        let iam = |action: &str, values: &[(&str, &str)]| {
            let mut body = format!("Action={action}&Version=2010-05-08");
            for (name, value) in values {
                body += &format!("&{name}={}", path_of(value));
            }
            let answer = self.ask("iam", "POST", "/", body.as_bytes());
            String::from_utf8(answer).expect("XML is text")
        };
        let between = |text: &str, name: &str| {
            let inner = text.split(&format!("<{name}>")).nth(1);
            let inner = inner.and_then(|rest| rest.split(&format!("</{name}>")).next());
            inner.expect("it is in the answer").to_owned()
        };
        let user = ("UserName", "collector");
        let user_arn = between(&iam("CreateUser", &[user]), "Arn");
        let key = iam("CreateAccessKey", &[user]);
        let takes = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}"#;
        iam("PutUserPolicy", &[user, ("PolicyName", "takes"), ("PolicyDocument", takes)]);
        let role = ("RoleName", "reads-logs");
        let trust = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{user_arn}"}},"Action":"sts:AssumeRole","Condition":{{"StringEquals":{{"sts:ExternalId":"{external_id}"}}}}}}]}}"#
        );
        let made = iam("CreateRole", &[role, ("AssumeRolePolicyDocument", &trust)]);
        let reads = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*","sqs:*"],"Resource":"*"}]}"#;
        iam("PutRolePolicy", &[role, ("PolicyName", "reads"), ("PolicyDocument", reads)]);
        let (status, _) = http(&self.address, "POST", "/moto-api/reset-auth", "", b"0");
        assert_eq!(status, 200, "it checks from now on");
        Member {
            access_key_id: between(&key, "AccessKeyId"),
            secret_access_key: between(&key, "SecretAccessKey"),
            role_arn: between(&made, "Arn"),
        }
    }

    fn ask(&self, service: &str, verb: &str, path: &str, body: &[u8]) -> Vec<u8> {
        // It would take an object for a form, and chooses the service by the scope. It checks nothing.
        let kind = if service == "s3" { "octet-stream" } else { "x-www-form-urlencoded" };
        let headers = format!(
            "content-type: application/{kind}\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n"
        );
        let (status, answer) = http(&self.address, verb, path, &headers, body);
        assert_eq!(status, 200, "{verb} {path}: {}", String::from_utf8_lossy(&answer));
        answer
    }

    fn create(&self) {
        self.ask("s3", "PUT", "/bucket", b"");
    }
}
