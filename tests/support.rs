//! Running the program from outside, and reading a lake without its manifest code.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub use servers::{note, skipped};

pub fn mantissa() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mantissa"));
    command.stdin(Stdio::null());
    command
}

/// What a finished command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs the program; any exit code.
pub fn run<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Said {
    mantissa().args(args).output().expect("the program starts").into()
}

/// Runs the program; it must succeed.
pub fn ok<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Said {
    let said = run(args);
    assert_eq!(said.code, 0, "stdout:\n{}\nstderr:\n{}", said.out, said.err);
    said
}

/// Rows of a query as JSON.
pub fn query(lake: &Path, sql: &str) -> Vec<serde_json::Value> {
    let lake = lake.to_str().expect("test paths are UTF-8");
    let said = ok(&["query", sql, "--lake", lake, "--format", "json"]);
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e} in:\n{}", said.out))
}

/// One number of a query.
pub fn number(lake: &Path, sql: &str) -> i64 {
    let rows = query(lake, sql);
    let row = rows[0].as_object().expect("a row is an object");
    row.values().next().and_then(serde_json::Value::as_i64).expect("one number")
}

/// Every data file below a lake, by walking folders: `_` folders are not data.
pub fn parquet_files(lake: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![lake.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() && !name.starts_with('_') {
                open.push(path);
            } else if name.ends_with(".parquet") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// How often each value of a text column occurs in the files of a table, read by the parquet crate
/// alone.
pub fn column_counts(lake: &Path, table: &str, column: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for path in parquet_files(lake) {
        let of_table = path.strip_prefix(lake).is_ok_and(|p| p.starts_with(table));
        if !of_table {
            continue;
        }
        let file = std::fs::File::open(&path).expect("a listed file opens");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            .build()
            .expect("a reader");
        for batch in reader {
            let batch = batch.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let values = batch.column_by_name(column).expect("the column is there");
            let values = values.as_string::<i32>();
            for i in (0..values.len()).filter(|i| values.is_valid(*i)) {
                *counts.entry(values.value(i).to_owned()).or_default() += 1;
            }
        }
    }
    counts
}

/// A CloudTrail event with this id, nothing else of interest.
pub fn cloudtrail(id: &str, name: &str) -> String {
    serde_json::json!({
        "eventVersion": "1.09",
        "eventID": id,
        "eventTime": "2026-11-20T10:15:00Z",
        "eventSource": "cloudtrail.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-west-1",
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "aws-cli/2.15",
        "userIdentity": {"type": "IAMUser", "userName": "ada", "accountId": "123456789012",
            "arn": "arn:aws:iam::123456789012:user/ada", "principalId": "AIDAEXAMPLE"},
        "requestParameters": null,
        "recipientAccountId": "123456789012"
    })
    .to_string()
}

/// Reads one HTTP request; `None` when the connection broke.
pub fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
    let length: usize = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length:"))
        .and_then(|v| v.trim().parse().ok())
        .unwrap_or(0);
    while bytes.len() < head_end + length {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
    }
    Some((head, bytes.split_off(head_end)))
}

/// Waits for a condition; a failure says what did not happen.
pub fn wait_until(what: &str, deadline: Duration, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < deadline, "{what} did not happen in {deadline:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Posts a body to the source at `port`; the answer in lower case, if there was one.
pub fn post(port: u16, body: &str) -> Option<String> {
    let send = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(
            stream,
            "POST /v1/ingest HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer t0ken\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.to_lowercase())
    };
    send().ok().filter(|answer| !answer.is_empty())
}

/// Posts lines; true when they were taken for good.
pub fn accepts(port: u16, lines: &str) -> bool {
    post(port, lines).is_some_and(|answer| answer.starts_with("http/1.1 200"))
}

/// Asks the server at `port`: its status, 0 when it does not answer, and the body.
pub fn get(port: u16, path: &str, token: &str) -> (u16, String) {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().unwrap_or_default();
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

/// The value of a metric's first sample that begins so, at the console of that port.
pub fn metric(console: u16, sample: &str) -> f64 {
    let (_, text) = get(console, "/metrics", "");
    let line = text.lines().find(|line| line.starts_with(sample));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(-1.0)
}

/// A small file system, unmounted at the end.
pub struct Small(pub PathBuf);

impl Small {
    /// `None` where mounting is not permitted.
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(at.to_path_buf())),
            refused => {
                skipped(&format!("a small file system cannot be mounted here: {refused:?}"));
                None
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the process under test may still be there after a failure.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes until nothing more fits.
pub fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for block in [65_536, 4_096, 512, 1] {
        while file.write_all(&vec![b'x'; block]).is_ok() {}
    }
}
