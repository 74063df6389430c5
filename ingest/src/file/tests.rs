use std::fs::{OpenOptions, rename};
use std::io::Write;

use super::*;
use crate::decode::tests::gzip;
use crate::testing::{Lake, Running};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn source(&self, pattern: &str, read: ReadMode) -> Box<FileSource> {
        let paths = vec![self.path(pattern).to_str().unwrap().to_owned()];
        let options = FileOptions { paths, read, poll_ms: 30, ..FileOptions::default() };
        Box::new(FileSource::new("test", "t", options).unwrap())
    }

    async fn once(&self, lake: &Lake, pattern: &str) -> (Vec<String>, Summary) {
        lake.all(self.source(pattern, ReadMode::Once)).await
    }

    fn tail(&self, lake: &Lake, pattern: &str) -> Running {
        lake.start(self.source(pattern, ReadMode::Tail))
    }
}

fn lines(range: std::ops::Range<u32>) -> String {
    range.map(|i| format!("{{\"n\":{i:06}}}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_given_again_adds_nothing_and_a_grown_one_what_is_new() {
    let (folder, lake) = (Folder::new(), Lake::default());
    folder.write("a.json", lines(0..20_000));
    folder.write("b.json.gz", gzip(lines(20_000..30_000).as_bytes()));
    folder.write("empty.json", "");
    let (records, summary) = folder.once(&lake, "*.json*").await;
    assert_eq!(records.len(), 30_000);
    assert_eq!(summary.opened, 3);
    let (records, summary) = folder.once(&lake, "*.json*").await;
    assert_eq!((records.len(), summary.read_before), (0, 2), "{summary:?}");
    rename(folder.path("a.json"), folder.path("renamed.json")).unwrap();
    folder.append("renamed.json", "new\n");
    let (records, _) = folder.once(&lake, "*.json*").await;
    assert_eq!(records, ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_file_is_a_new_one() {
    let (folder, lake) = (Folder::new(), Lake::default());
    folder.write("a.json", lines(0..20_000));
    folder.once(&lake, "a.json").await;
    // The same beginning and size, another end.
    folder.write("a.json", lines(0..20_000).replace("019999", "999999"));
    let (records, _) = folder.once(&lake, "a.json").await;
    assert_eq!(records.len(), 20_000, "the skipped part would not be what was read");
    folder.write("a.json", "other\n");
    assert_eq!(folder.once(&lake, "a.json").await.0, ["other"]);
    // Two files that begin alike are two files.
    folder.write("b.json", "other\n");
    assert_eq!(folder.once(&lake, "[ab].json").await.0, ["other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_wherever_it_was_stopped() {
    let (folder, lake) = (Folder::new(), Lake::default());
    let records: Vec<String> = (0..60_000).map(|i| format!("{{\"n\":{i}}}")).collect();
    let text = format!("{{\"Records\":[{}]}}", records.join(","));
    folder.write("a.json.gz", gzip(text.as_bytes()));
    let mut all = Vec::new();
    for _ in 0..200 {
        let running = lake.start(folder.source("a.json.gz", ReadMode::Once));
        while lake.records.lock().is_empty() && lake.records.lock().len() + all.len() < 60_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.stop().await.unwrap();
        all.append(&mut lake.take());
        if all.len() >= records.len() {
            break;
        }
    }
    assert_eq!(all, records);
    assert_eq!(folder.once(&lake, "a.json.gz").await.1.read_before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn growth_rotation_and_new_files_are_followed() {
    let (folder, lake) = (Folder::new(), Lake::default());
    folder.write("a.log", "line 1\nline 2\npart");
    let running = folder.tail(&lake, "a.log");
    running.wait_for(2).await;
    folder.append("a.log", "ial 3\n");
    assert_eq!(running.wait_for(3).await[2], "partial 3");
    // Rotated: the old file is out of the pattern, still written to, and read to its end.
    rename(folder.path("a.log"), folder.path("old")).unwrap();
    folder.append("old", "last 4\n");
    folder.append("a.log", "line 5\n");
    let records = running.wait_for(5).await;
    assert_eq!(records, ["last 4", "line 1", "line 2", "line 5", "partial 3"]);
    running.stop().await.unwrap();
    // Nothing is read again after a restart, and what came meanwhile is.
    lake.take();
    rename(folder.path("a.log"), folder.path("a.log.1")).unwrap();
    folder.append("a.log.1", "line 6\n");
    folder.append("a.log", "line 7\n");
    let running = folder.tail(&lake, "a.log*");
    assert_eq!(running.wait_for(2).await, ["line 6", "line 7"]);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_file_is_read_from_its_start() {
    let (folder, lake) = (Folder::new(), Lake::default());
    folder.write("a.log", "line 1\nline 2\n");
    let running = folder.tail(&lake, "a.log");
    running.wait_for(2).await;
    // Copy and truncate, and the file grows beyond where it was before it is looked at again.
    folder.write("a.log", "line 3, longer than before\nline 4, longer than before\n");
    running.wait_for(4).await;
    folder.write("a.log", "x 5\n");
    running.wait_for(5).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_to_read_is_said() {
    let folder = Folder::new();
    let error = Lake::default().start(folder.source("*.json", ReadMode::Once)).end().await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
    assert!(error.message.contains("no file matches"), "{}", error.message);
}
