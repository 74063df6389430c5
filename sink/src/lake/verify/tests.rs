mod since;

use std::fs;
use std::path::{Path as FsPath, PathBuf};

use super::super::Lake;
use super::super::lake::tests::{filled, options, part};
use super::super::manifest::Manifest;
use super::super::upkeep::{CompactionOptions, Upkeep, collect};
use super::*;

async fn report(folder: &FsPath, deep: bool) -> Report {
    verify(&LakeStore::open(&options(folder)).unwrap(), Scope::full(deep)).await.unwrap()
}

/// The files of a table, or the manifests, sorted.
fn paths(folder: &FsPath, below: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.join(below)]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Damages a whole lake of three epochs; the report must name the fault and the file.
async fn check(deep: bool, fault: Fault, damage: impl Fn(&FsPath) -> PathBuf) {
    let (folder, _lake) = filled(3).await;
    assert!(report(folder.path(), true).await.ok());
    let path = damage(folder.path());
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let report = report(folder.path(), deep).await;
    assert!(!report.ok && !report.ok());
    let named = report.problems.iter().any(|p| p.fault == fault && p.path.ends_with(&name));
    assert!(named, "{report}");
    assert!(report.to_string().contains(&name) && report.to_string().contains("NOT whole"));
}

#[tokio::test]
async fn a_whole_lake_is_whole() {
    let (folder, mut lake) = filled(40).await;
    lake.commit(vec![part("q", 7, 9)]).await.unwrap();
    for deep in [false, true] {
        let report = report(folder.path(), deep).await;
        assert!(report.ok, "{report}");
        let expected = Totals { received: 802, stored: 722, duplicates: 0, dead: 80, dropped: 0 };
        assert_eq!((report.totals, report.epochs, report.rows), (expected, 41, 802));
        assert_eq!(report.partitions.len(), 2);
        assert_eq!((report.partitions[1].after, report.partitions[1].upto), (7, 9));
        assert!(
            report.to_string().contains("802 records received = 722 stored + 0 dup"),
            "{report}"
        );
        // Events 8 and 9 came by p long before: given again by q without asking the window.
        assert_eq!(report.notes.len(), usize::from(deep), "{:?}", report.notes);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((json["ok"].as_bool(), json["totals"]["dead"].as_u64()), (Some(true), Some(80)));
        assert_eq!(json["partitions"][0]["received"], 800);
    }
}

#[tokio::test]
async fn an_empty_lake_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    drop(Lake::open(&options(folder.path())).await.unwrap());
    assert!(report(folder.path(), true).await.ok);
}

#[tokio::test]
async fn a_missing_file_is_named() {
    check(false, Fault::MissingFile, |lake| {
        let path = paths(lake, "aws_cloudtrail").swap_remove(1);
        fs::remove_file(&path).unwrap();
        path
    })
    .await;
}

#[tokio::test]
async fn a_flipped_bit_is_named() {
    for table in ["aws_cloudtrail", "dead_letters"] {
        check(true, Fault::DamagedFile, |lake| {
            let path = paths(lake, table).swap_remove(0);
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).unwrap();
            path
        })
        .await;
    }
}

#[tokio::test]
async fn a_cut_file_is_named_without_reading_it() {
    check(false, Fault::DamagedFile, |lake| {
        let path = paths(lake, "aws_cloudtrail").swap_remove(2);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        path
    })
    .await;
}

#[tokio::test]
async fn a_stray_file_is_named() {
    for name in
        ["copy.parquet", "x-extra.parquet", "main-00000000000000000002-009-ffffffff.parquet"]
    {
        check(false, Fault::StrayFile, |lake| {
            let path = paths(lake, "aws_cloudtrail").swap_remove(0);
            let stray = path.with_file_name(name);
            fs::copy(&path, &stray).unwrap();
            stray
        })
        .await;
    }
}

#[tokio::test]
async fn files_of_an_unfinished_epoch_are_noted_only() {
    let (folder, _lake) = filled(2).await;
    let path = paths(folder.path(), "aws_cloudtrail").swap_remove(0);
    let later = path.with_file_name("main-00000000000000000003-000-ffffffff.parquet");
    fs::copy(&path, later).unwrap();
    fs::write(folder.path().join("README.txt"), "hello").unwrap();
    let report = report(folder.path(), true).await;
    assert!(report.ok, "{report}");
    assert_eq!(report.notes.len(), 2);
}

#[tokio::test]
async fn an_altered_manifest_is_named() {
    for epoch in 0..3 {
        for (from, to) in [("\"rows\":", "\"rows\":1"), ("\"upto\":", "\"upto\":1"), ("}\n", "}")] {
            check(false, Fault::DamagedManifest, |lake| {
                let path = paths(lake, "_manifests").swap_remove(epoch);
                let text = fs::read_to_string(&path).unwrap();
                fs::write(&path, text.replacen(from, to, 1)).unwrap();
                path
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_missing_manifest_is_named_and_its_files_are_not_called_strays() {
    for epoch in 0..2 {
        let (folder, _lake) = filled(3).await;
        fs::remove_file(&paths(folder.path(), "_manifests")[epoch]).unwrap();
        let report = report(folder.path(), true).await;
        let faults: Vec<_> = report.problems.iter().map(|p| p.fault).collect();
        assert_eq!(faults, [Fault::MissingManifest], "{report}");
        assert_eq!(report.notes.len(), 2);
    }
}

/// A chain that is well-formed and says something wrong.
async fn rewritten(change: impl Fn(&mut Manifest)) -> Report {
    let (folder, _lake) = filled(3).await;
    let mut previous = None;
    for path in paths(folder.path(), "_manifests") {
        let (mut manifest, _) = Manifest::decode(&fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        if manifest.epoch > 1 {
            manifest.previous = previous;
        }
        let (bytes, hash) = manifest.encode();
        previous = Some(hash);
        fs::write(&path, bytes).unwrap();
    }
    report(folder.path(), false).await
}

#[tokio::test]
async fn a_chain_that_says_something_wrong_is_found() {
    assert!(rewritten(|_| {}).await.ok);
    let faults = [
        (
            Fault::Gap,
            (|m: &mut Manifest| m.spans[0].after += u64::from(m.epoch == 2)) as fn(&mut Manifest),
        ),
        (Fault::Overlap, |m| m.spans[0].after -= u64::from(m.epoch == 2)),
        (Fault::Unbalanced, |m| m.spans[0].received += 1),
        (Fault::Unbalanced, |m| m.files[0].rows += 1),
        (Fault::DamagedManifest, |m| m.lane = "other".into()),
        (Fault::DamagedManifest, |m| {
            m.positions.iter_mut().flatten().for_each(|p| p.upto += 1);
        }),
    ];
    for (fault, change) in faults {
        let report = rewritten(change).await;
        assert!(report.problems.iter().any(|p| p.fault == fault), "{fault:?}: {report}");
    }
}

#[tokio::test]
async fn the_same_event_twice_in_an_epoch_is_named() {
    let (folder, mut lake) = filled(0).await;
    lake.commit(vec![part("p", 0, 5), part("q", 0, 5)]).await.unwrap();
    let report = report(folder.path(), true).await;
    assert_eq!(report.problems[0].fault, Fault::RepeatedEvent, "{report}");
}

#[tokio::test]
async fn a_state_that_is_damaged_or_missing_is_named() {
    let state = |bytes: &'static str| super::super::StateChange::Replaced(bytes.into());
    let (folder, mut lake) = filled(2).await;
    lake.commit_with(vec![part("q", 7, 9)], state("counts")).await.unwrap();
    assert!(report(folder.path(), true).await.ok());
    let path = paths(folder.path(), "_state").remove(0);
    for (damage, deep, fault) in [
        (Some("cuonts"), true, Fault::DamagedFile),
        (Some("count"), false, Fault::DamagedFile),
        (None, false, Fault::MissingFile),
    ] {
        match damage {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let report = report(folder.path(), deep).await;
        let [problem] = report.problems.as_slice() else { panic!("{report}") };
        assert!(problem.fault == fault && problem.path.contains("_state/main/"), "{problem:?}");
    }
}

/// What the only damaged file of `aws_cloudtrail` held, when one is removed.
async fn held_by_removed(folder: &FsPath) -> (Held, String) {
    fs::remove_file(paths(folder, "aws_cloudtrail").swap_remove(0)).unwrap();
    let report = report(folder, false).await;
    let [problem] = report.problems.as_slice() else { panic!("{report}") };
    (problem.held.clone().unwrap(), report.to_string())
}

#[tokio::test]
async fn a_missing_file_is_named_with_what_it_held() {
    let (folder, mut lake) = filled(3).await;
    lake.commit(vec![part("q", 7, 9)]).await.unwrap();
    let (held, text) = held_by_removed(folder.path()).await;
    assert!(held.complete && held.min_time <= held.max_time && held.min_time.ends_with('Z'));
    let [from] = held.from.as_slice() else { panic!("{held:?}") };
    assert_eq!((&*from.source, &*from.partition, &*from.lane), ("s", "p", "main"));
    // Files are sorted by epoch, so the removed one is that of the first: its 20 records and no others.
    assert_eq!((from.after, from.upto), (0, 20));
    assert!(text.contains("from s / p (0, 20]") && text.contains(&held.min_time), "{text}");
}

#[tokio::test]
async fn a_missing_file_is_followed_through_compaction_to_its_sources() {
    let (folder, mut lake) = filled(5).await;
    lake.commit(vec![part("q", 7, 9)]).await.unwrap();
    let mut upkeep = Upkeep::open(&options(folder.path())).await.unwrap();
    upkeep.compact(&CompactionOptions::default(), true).await.unwrap();
    collect(&options(folder.path()), 0, true).await.unwrap();
    let lost = paths(folder.path(), "aws_cloudtrail");
    // Of more than one hour when the test ran over the end of one.
    lost.iter().for_each(|path| fs::remove_file(path).unwrap());
    let whole = report(folder.path(), false).await;
    let found: Vec<_> =
        whole.problems.iter().flat_map(|p| &p.held.as_ref().unwrap().from).collect();
    let span = |partition: &str| {
        let of = || found.iter().filter(|o| o.partition == partition);
        (of().map(|o| o.after).min(), of().map(|o| o.upto).max())
    };
    assert_eq!((span("p"), span("q")), ((Some(0), Some(100)), (Some(7), Some(9))), "{whole}");
    assert!(whole.problems.iter().all(|p| p.held.as_ref().unwrap().complete));

    // A manifest on the way that cannot be read is said.
    fs::remove_file(&paths(folder.path(), "_manifests/main")[2]).unwrap();
    let blind = report(folder.path(), false).await;
    let held: Vec<_> = blind.problems.iter().filter_map(|p| p.held.as_ref()).collect();
    assert!(held.iter().any(|held| !held.complete), "{blind}");
    assert!(blind.to_string().contains("could be followed back"), "{blind}");
}

#[tokio::test]
async fn a_partition_that_holds_only_state_is_not_counted_as_a_source() {
    let (folder, mut lake) = filled(1).await;
    let mut state = part("p/seen/0", 0, 0);
    state.tables.clear();
    state.spans[0].span.upto = 1;
    lake.commit(vec![state]).await.unwrap();
    let report = report(folder.path(), true).await;
    assert!(report.ok, "{report}");
    let names: Vec<_> = report.partitions.iter().map(|p| &*p.partition).collect();
    assert_eq!((names, report.state_partitions), (vec!["p"], 1));
    assert!(report.to_string().contains("from 1 source partitions"), "{report}");
}
