use std::path::Path;

use super::super::super::lake::tests::{filled, options, uid};
use super::super::super::verify::{Report, Scope, verify};
use super::super::super::{Lake, layout};
use super::super::retention::Hold;
use super::super::{CompactionOptions, collect};
use super::*;

/// The event 13 and the dead letter 20 of [`filled`].
fn thirteen() -> Person {
    Person::new(["E13", "record 20"]).unwrap()
}

async fn erase(folder: &Path, person: &Person) -> Erased {
    let mut upkeep = Upkeep::open(&options(folder)).await.unwrap();
    upkeep.erase(person, "request 7", None).await.unwrap()
}

async fn search(folder: &Path, retention: Option<&RetentionOptions>) -> Erased {
    erasable(&LakeStore::open(&options(folder)).unwrap(), &thirteen(), retention).await.unwrap()
}

async fn report(folder: &Path) -> Report {
    verify(&LakeStore::open(&options(folder)).unwrap(), Scope::full(true)).await.unwrap()
}

/// Everything that the manifests of upkeep say.
fn manifests(folder: &Path) -> String {
    let folder = folder.join(layout::MANIFESTS).join(layout::UPKEEP);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[tokio::test]
async fn a_person_is_gone_and_everything_else_is_still_there() {
    let (folder, lake) = filled(3).await;
    let folder = folder.path();
    drop(lake);
    let before = report(folder).await;
    let expected = search(folder, None).await;
    assert_eq!((expected.files, expected.rows, expected.damaged.len()), (2, 2, 0));
    assert_eq!(expected.tables["aws_cloudtrail"].columns, [("event_uid".to_owned(), 1)].into());
    assert_eq!(expected.tables["dead_letters"].rows, 1);
    assert_eq!(report(folder).await, before, "only asked");

    assert_eq!(erase(folder, &thirteen()).await, expected);
    assert_eq!(search(folder, None).await, Erased::default());
    let written = manifests(folder);
    assert!(written.contains(r#""erasure":"request 7""#) && written.contains(r#""erased":1"#));
    // Within a checksum it may stand by chance.
    let mut words = written.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(words.all(|word| !word.eq_ignore_ascii_case("e13")), "{written}");
    let after = report(folder).await;
    assert!(after.ok, "{after}");
    assert_eq!((after.rows, after.totals, after.replaced_files), (before.rows, before.totals, 2));

    // Nothing was done, so no epoch says so.
    let epochs = written.lines().count();
    assert_eq!(erase(folder, &thirteen()).await, Erased::default());
    assert_eq!(manifests(folder).lines().count(), epochs);

    // The event is known again though nobody knows whose it was, and merging does not bring them back.
    let (_lake, recovered) = Lake::open(&options(folder)).await.unwrap();
    let now = event::Timestamp::from_micros(super::super::now_us());
    assert!(recovered.window.seen(uid(13), now));
    let mut upkeep = Upkeep::open(&options(folder)).await.unwrap();
    upkeep.compact(&CompactionOptions::default(), true).await.unwrap();
    drop(upkeep);
    let collected = collect(&options(folder), 0, true).await.unwrap();
    assert!(collected.replaced.len() >= 6, "{collected:?}");
    assert_eq!(search(folder, None).await, Erased::default());
    assert!(report(folder).await.ok);
}

#[tokio::test]
async fn what_is_held_stays_and_what_cannot_be_read_is_named() {
    let (folder, _lake) = filled(2).await;
    let folder = folder.path();
    let hold = Hold { tables: vec!["aws_cloudtrail".into()], ..Hold::default() };
    let retention = RetentionOptions { hold: vec![hold], ..RetentionOptions::default() };
    let mut upkeep = Upkeep::open(&options(folder)).await.unwrap();
    let erased = upkeep.erase(&thirteen(), "request 8", Some(&retention)).await.unwrap();
    assert_eq!((erased.files, erased.held_files, erased.held_rows), (1, 1, 1));
    let tables: Vec<_> = erased.tables.keys().collect();
    assert_eq!(tables, ["dead_letters"]);

    let at = LakeStore::open(&options(folder)).unwrap();
    let snapshot = Snapshot::read(&at.store, &at.root).await.unwrap();
    let of_table = |live: &&LiveFile| live.file.table == "aws_cloudtrail";
    let victim = &snapshot.files.iter().find(of_table).unwrap().file.path;
    let mut bytes = std::fs::read(folder.join(victim)).unwrap();
    bytes[100] ^= 1;
    std::fs::write(folder.join(victim), bytes).unwrap();
    let erased = upkeep.erase(&thirteen(), "request 8", None).await.unwrap();
    assert_eq!((erased.files, erased.damaged), (0, vec![victim.clone()]));
}
