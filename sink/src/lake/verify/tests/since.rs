//! Proofs that go on from others.

use super::super::super::upkeep::RetentionOptions;
use super::*;

async fn prove(folder: &FsPath, deep: bool, since: Since) -> Report {
    let at = LakeStore::open(&options(folder)).unwrap();
    verify(&at, Scope { deep, since, record: true }).await.unwrap()
}

/// What both find, whatever they had to read for it.
fn same(since: &Report, full: &Report) {
    assert!(since.ok && full.ok, "{since}\n{full}");
    let alike = |report: &Report| {
        let mut alike = report.clone();
        (alike.since, alike.recorded, alike.epochs_read) = (None, false, 0);
        (alike.deep, alike.notes) = (false, Vec::new());
        alike
    };
    assert_eq!(alike(since), alike(full));
}

#[tokio::test]
async fn a_proof_goes_on_from_the_one_before_and_finds_the_same() {
    for with_checkpoints in [true, false] {
        let (folder, mut lake) = filled(40).await;
        let first = prove(folder.path(), true, Since::Last).await;
        assert!(first.ok && first.recorded && first.since.is_none() && first.epochs_read == 40);
        let mut upto = 0;
        for round in 1..4 {
            for _ in 0..3 {
                lake.commit(vec![part("q", upto, upto + 2)]).await.unwrap();
                upto += 2;
            }
            let mut upkeep = Upkeep::open(&options(folder.path())).await.unwrap();
            upkeep.compact(&CompactionOptions::default(), true).await.unwrap();
            if round == 2 {
                let small = RetentionOptions { bytes_max: Some(0), ..RetentionOptions::default() };
                upkeep.expire(&small, 0).await.unwrap();
            }
            if with_checkpoints {
                super::super::super::checkpoint(&options(folder.path()), true).await.unwrap();
            }
            let since = prove(folder.path(), false, Since::Last).await;
            assert!(since.epochs_read <= 6, "{} read", since.epochs_read);
            same(&since, &report(folder.path(), false).await);
        }
        // Bytes since the last time that they were read: 9 epochs of events, and those of upkeep.
        let deep = prove(folder.path(), true, Since::Last).await;
        assert_eq!(deep.since.as_ref().map(|since| since.epochs), Some(40), "{deep}");
        same(&deep, &report(folder.path(), true).await);
        let epochs = prove(folder.path(), false, Since::Epochs(41)).await;
        assert_eq!(epochs.since.map(|since| (since.epochs, since.deep)), Some((40, true)));
        assert!(prove(folder.path(), false, Since::Time(0)).await.since.is_none());
    }
}

#[tokio::test]
async fn what_was_proved_and_is_gone_is_named() {
    for (full, rewritten) in [(false, false), (true, false), (false, true), (true, true)] {
        let (folder, _lake) = filled(3).await;
        assert!(prove(folder.path(), false, Since::Last).await.recorded);
        // Without its end a chain looks whole, and so does another one.
        let last = paths(folder.path(), "_manifests").pop().unwrap();
        if rewritten {
            let (mut manifest, _) = Manifest::decode(&fs::read(&last).unwrap()).unwrap();
            manifest.created_at += 1;
            fs::write(&last, manifest.encode().0).unwrap();
        } else {
            fs::remove_file(&last).unwrap();
        }
        let since = if full { Since::Beginning } else { Since::Last };
        let found = prove(folder.path(), false, since).await;
        let fault = if rewritten { Fault::DamagedManifest } else { Fault::MissingManifest };
        assert!(found.problems.iter().any(|p| p.fault == fault), "{found}");
        assert!(!found.recorded && found.since.is_none(), "{found}");
    }
}

#[tokio::test]
async fn a_file_that_is_missing_is_named_however_old_it_is() {
    let (folder, mut lake) = filled(3).await;
    prove(folder.path(), true, Since::Last).await;
    lake.commit(vec![part("q", 0, 2)]).await.unwrap();
    fs::remove_file(paths(folder.path(), "aws_cloudtrail").swap_remove(0)).unwrap();
    let found = prove(folder.path(), false, Since::Last).await;
    assert_eq!((found.epochs_read, found.problems[0].fault), (1, Fault::MissingFile), "{found}");
}

#[tokio::test]
async fn a_damaged_point_is_passed_over() {
    let (folder, _lake) = filled(2).await;
    prove(folder.path(), false, Since::Last).await;
    let path = paths(folder.path(), "_verified").pop().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"received\":", "\"received\":1", 1)).unwrap();
    let found = prove(folder.path(), false, Since::Last).await;
    assert!(found.ok && found.since.is_none() && found.notes[0].contains("_verified/"), "{found}");
    assert!(prove(folder.path(), false, Since::Last).await.since.is_some(), "written anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_says_something_else_is_named() {
    use super::super::super::mistake::{Mistake, with};
    let (folder, mut lake) = filled(5).await;
    super::super::super::checkpoint(&options(folder.path()), true).await.unwrap();
    lake.commit(vec![part("q", 0, 2)]).await.unwrap();
    // It goes further than its files: they are not asked for again.
    let options = options(folder.path());
    let written = super::super::super::checkpoint(&options, true);
    let runtime = tokio::runtime::Handle::current();
    let forgetful = || tokio::task::block_in_place(|| runtime.block_on(written)).unwrap();
    with(Mistake::CheckpointAhead, forgetful);
    let found = prove(folder.path(), false, Since::Last).await;
    assert_eq!(found.problems[0].fault, Fault::WrongCheckpoint, "{found}");
    fs::remove_dir_all(folder.path().join("_checkpoints")).unwrap();
    assert!(prove(folder.path(), false, Since::Last).await.ok);
}
