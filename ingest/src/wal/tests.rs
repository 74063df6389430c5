use super::*;

fn options(folder: &Path) -> Options {
    Options {
        folder: folder.to_owned(),
        segment_bytes: 300,
        bytes_max: 1 << 20,
        sync: File::sync_data,
    }
}

fn open(folder: &Path) -> Wal {
    Wal::open(options(folder), |_| None).unwrap()
}

fn all(wal: &Wal, from: u64) -> Vec<String> {
    let mut reader = wal.reader(from);
    let mut found = Vec::new();
    while let Some(entries) = reader.read_on().unwrap() {
        let texts = entries.entries.iter().map(|(_, b)| String::from_utf8_lossy(b).into_owned());
        found.extend(texts);
        found.extend(entries.damaged.map(|(at, bytes)| format!("damaged {at} {}", bytes.len())));
        assert_eq!(reader.position(), entries.upto);
    }
    found
}

async fn append(wal: &Wal, texts: impl IntoIterator<Item = String>) -> Vec<u64> {
    let writer = wal.writer();
    let mut ends = Vec::new();
    for text in texts {
        ends.push(writer.append(text.into()).await.unwrap());
    }
    ends
}

fn texts(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|i| format!("entry {i:03} {}", "x".repeat(i as usize))).collect()
}

#[tokio::test]
async fn entries_come_back_over_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path());
    let partition = wal.partition.clone();
    let ends = append(&wal, texts(0..40)).await;
    assert_eq!(all(&wal, 0), texts(0..40));
    assert!(wal.shared.segments.lock().0.len() > 5);
    assert!(Wal::open(options(dir.path()), |_| None).is_err(), "one process owns the folder");
    drop(wal);
    let wal = reopen(dir.path()).await;
    assert_eq!((wal.partition.clone(), wal.torn_bytes), (partition, 0));
    assert_eq!(all(&wal, ends[9]), texts(10..40));
    assert!(wal.release(ends[29]).unwrap() > 0);
    assert!(wal.start() > 0 && wal.start() <= ends[29]);
    wal.release(wal.end()).unwrap();
    assert_eq!(all(&wal, wal.end()).len(), 0);
    append(&wal, texts(40..41)).await;
    assert_eq!(all(&wal, ends[39]), texts(40..41));
}

/// The lock is given back when the writing thread has ended.
async fn reopen(folder: &Path) -> Wal {
    for _ in 0..6_000 {
        if let Ok(wal) = Wal::open(options(folder), |_| None) {
            return wal;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the log stays locked");
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path());
    let ends = append(&wal, texts(0..4)).await;
    drop(wal);
    drop(reopen(dir.path()).await);
    let path = dir.path().join(format!("{:020}.wal", 0));
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len() as u64, ends[3], "one segment");
    for cut in 0..=whole.len() {
        for garbage in [&b""[..], &[0; 40], b"garbage that is no entry at all"] {
            let mut bytes = whole[..cut].to_vec();
            bytes.extend_from_slice(garbage);
            fs::write(&path, &bytes).unwrap();
            let wal = reopen(dir.path()).await;
            let kept = ends.iter().filter(|end| **end <= cut as u64).count();
            assert_eq!(all(&wal, 0), texts(0..kept as u32), "cut at {cut}");
            assert_eq!(wal.end(), if kept == 0 { 0 } else { ends[kept - 1] });
            assert_eq!(wal.torn_bytes, bytes.len() as u64 - wal.end());
            append(&wal, ["after".to_owned()]).await;
            assert_eq!(all(&wal, 0).last().unwrap(), "after");
            drop(wal);
            for later in find(dir.path()).unwrap().into_iter().filter(|s| s.start > 0) {
                fs::remove_file(later.path(dir.path())).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_told_and_passed() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path());
    append(&wal, texts(0..40)).await;
    let first = wal.shared.segments.lock().0[0];
    drop(wal);
    let path = first.path(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[60] ^= 1;
    fs::write(&path, bytes).unwrap();
    let wal = reopen(dir.path()).await;
    let found = all(&wal, 0);
    assert!(found.iter().any(|text| text.starts_with("damaged ")), "{found:?}");
    assert_eq!(found.last(), texts(39..40).last(), "the next segments are read");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_are_bounded_and_shared() {
    let dir = tempfile::tempdir().unwrap();
    let bounded = Options { bytes_max: 2_000, ..options(dir.path()) };
    let wal = Wal::open(bounded, |_| None).unwrap();
    let writer = wal.writer();
    let tasks: Vec<_> = (0..200)
        .map(|i| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.append(format!("entry {i:090}").into()).await })
        })
        .collect();
    let mut kept = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => kept += 1,
            Err(error) => assert_eq!(error, AppendError::Full),
        }
    }
    assert!(kept > 10 && wal.bytes() <= 2_200, "{kept} kept in {}", wal.bytes());
    assert_eq!(all(&wal, 0).len(), kept);
    wal.release(wal.end()).unwrap();
    writer.append("room again".into()).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_refuses_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path());
    let writer = wal.writer();
    let first = writer.append("first".into()).await.unwrap();
    // The next segment cannot be made: something stands where it should be.
    let big = "x".repeat(400);
    let second = writer.append(big.clone().into()).await.unwrap();
    let blocked = dir.path().join(format!("{second:020}.wal"));
    fs::create_dir(&blocked).unwrap();
    assert!(matches!(writer.append("third".into()).await, Err(AppendError::Io(_))));
    assert_eq!(all(&wal, 0), ["first".to_owned(), big.clone()]);
    fs::remove_dir(&blocked).unwrap();
    writer.append("fourth".into()).await.unwrap();
    assert_eq!(all(&wal, first), [big, "fourth".to_owned()]);
}
