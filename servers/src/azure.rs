//! Azurite, Microsoft's emulator of Azure Storage: blobs and queues of one account.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use crate::http::{http, path_of};
use crate::process::{Process, free_port, installed};

/// The account of every emulator, and its key, which is no secret.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running emulator. It checks signatures.
#[derive(Debug)]
pub struct Azure {
    _process: Process,
    _folder: Folder,
    blobs: String,
    queues: String,
}

/// Removed when it is dropped.
#[derive(Debug)]
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is in the system's own temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Azure {
    pub const ACCOUNT: &str = ACCOUNT;
    pub const KEY: &str = KEY;

    /// `None`, said loudly, when it is not installed.
    pub fn start() -> Option<Self> {
        let program = installed("azurite")?;
        let ports = [free_port(), free_port(), free_port()];
        let folder = Folder(std::env::temp_dir().join(format!(
            "azurite-{}-{}",
            std::process::id(),
            ports[0]
        )));
        let mut command = Command::new(program);
        command.args(["--silent", "--skipApiVersionCheck", "--location"]).arg(&folder.0);
        for (name, port) in ["--blobPort", "--queuePort", "--tablePort"].iter().zip(ports) {
            command.args([name, port.to_string().as_str()]);
        }
        let at = |port: u16| format!("127.0.0.1:{port}");
        let process = Process::start(&mut command, &at(ports[2]));
        Some(Self { _process: process, _folder: folder, blobs: at(ports[0]), queues: at(ports[1]) })
    }

    /// Where the account's blobs are.
    pub fn blob_endpoint(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.blobs)
    }

    /// Where the account's queues are.
    pub fn queue_endpoint(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.queues)
    }

    pub fn container(&self, name: &str) {
        self.blob("PUT", name, "restype:container", &[], b"");
    }

    /// A blob that is written at once, under any name.
    pub fn put(&self, container: &str, name: &str, body: &[u8]) {
        // A server may resolve `..` between slashes that it sees.
        let path = format!("{container}/{}", path_of(name).replace('/', "%2F"));
        self.blob("PUT", &path, "", &[("x-ms-blob-type", "BlockBlob")], body);
    }

    /// Adds to an append blob; the first time makes it.
    pub fn append(&self, container: &str, name: &str, body: &[u8]) {
        let path = format!("{container}/{name}");
        let only_new = [("x-ms-blob-type", "AppendBlob")];
        if self.ask(&self.blobs, "HEAD", &path, "", &[], b"").0 == 404 {
            self.blob("PUT", &path, "", &only_new, b"");
        }
        self.blob("PUT", &path, "comp:appendblock", &[], body);
    }

    pub fn queue(&self, name: &str) {
        let (status, _) = self.ask(&self.queues, "PUT", name, "", &[], b"");
        assert_eq!(status, 201);
    }

    /// Puts a message into a queue, as Event Grid does.
    pub fn send(&self, queue: &str, text: &str) {
        let text = BASE64.encode(text);
        let body = format!("<QueueMessage><MessageText>{text}</MessageText></QueueMessage>");
        let path = format!("{queue}/messages");
        let (status, answer) = self.ask(&self.queues, "POST", &path, "", &[], body.as_bytes());
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
    }

    /// How many messages a queue shows that nobody has in hand: none or one.
    pub fn messages(&self, queue: &str) -> usize {
        let path = format!("{queue}/messages");
        let (status, list) = self.ask(&self.queues, "GET", &path, "peekonly:true", &[], b"");
        assert_eq!(status, 200);
        String::from_utf8_lossy(&list).matches("<QueueMessage>").count()
    }

    /// A shared access signature for what the account's blobs and queues are read with
    /// (<https://learn.microsoft.com/rest/api/storageservices/create-account-sas>).
    pub fn shared_access() -> String {
        let (services, kinds, may, until) = ("bq", "sco", "rlup", "2099-01-01T00:00:00Z");
        let text = format!("{ACCOUNT}\n{may}\n{services}\n{kinds}\n\n{until}\n\n\n2020-10-02\n");
        let signature = path_of(&sign(&text)).replace('/', "%2F");
        format!("sv=2020-10-02&ss={services}&srt={kinds}&sp={may}&se={until}&sig={signature}")
    }

    fn blob(&self, verb: &str, path: &str, query: &str, headers: &[(&str, &str)], body: &[u8]) {
        let (status, answer) = self.ask(&self.blobs, verb, path, query, headers, body);
        assert_eq!(status, 201, "{verb} {path}: {}", String::from_utf8_lossy(&answer));
    }

    /// `query` is at most one pair, `name:value`.
    fn ask(
        &self,
        address: &str,
        verb: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        let mut own = headers.to_vec();
        own.extend([
            ("x-ms-date", "Fri, 15 Jan 2027 08:00:00 GMT"),
            ("x-ms-version", "2020-10-02"),
        ]);
        own.sort_unstable();
        let own: Vec<_> = own.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let length = if body.is_empty() { String::new() } else { body.len().to_string() };
        let pair = if query.is_empty() { String::new() } else { format!("\n{query}") };
        // The path of an emulator begins with the account, which is signed with it.
        let text = format!(
            "{verb}\n\n\n{length}\n\n\n\n\n\n\n\n\n{}/{ACCOUNT}/{ACCOUNT}/{path}{pair}",
            own.concat()
        );
        let head = format!(
            "authorization: SharedKey {ACCOUNT}:{}\r\n{}",
            sign(&text),
            own.concat().replace('\n', "\r\n")
        );
        let query = query.replace(':', "=");
        http(address, verb, &format!("/{ACCOUNT}/{path}?{query}"), &head, body)
    }
}

fn sign(text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(KEY).expect("a key"));
    BASE64.encode(hmac::sign(&key, text.as_bytes()))
}
