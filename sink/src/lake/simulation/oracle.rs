//! What the lake promises, read from the objects alone.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;

use super::super::layout;
use super::super::live::{Live, LiveFile};
use super::super::manifest::{Checksum, Manifest, StateFile};
use super::super::upkeep::plan::REWRITES_MAX;
use super::writer::{identity, numbers};

/// Reads the lake as the promise describes it. Returns how far it goes and the files it names; of the
/// states only the newest.
pub(super) fn oracle(
    objects: &BTreeMap<String, Bytes>,
    archive: &BTreeMap<String, Bytes>,
) -> (u64, BTreeSet<String>) {
    let (mut upto, mut expected) = (0, Vec::new());
    let mut newest: Option<(StateFile, u64)> = None;
    let mut gone = HashSet::new();
    let (mut seen, mut live, mut names) = (HashSet::new(), Live::default(), BTreeSet::new());
    for manifest in chain(objects, "main") {
        let mut rows = 0;
        for file in &manifest.files {
            rows += file.rows;
            assert!(names.insert(file.path.clone()), "a file in two epochs");
        }
        for span in &manifest.spans {
            assert_eq!(span.after, upto, "a gap or an overlap");
            let new = (span.after + 1..=span.upto).filter(|id| seen.insert(identity(*id)));
            let before = expected.len();
            expected.extend(new);
            assert_eq!(rows, (expected.len() - before) as u64, "records lost or doubled");
            assert_eq!(span.received, span.stored + span.duplicates);
            upto = span.upto;
        }
        newest = match (manifest.state.clone(), newest) {
            (Some(state), Some((known, at))) if state == known => Some((state, at)),
            (state, _) => state.map(|state| (state, upto)),
        };
        live.add(&"main".into(), manifest).expect("it replaces nothing");
    }
    for manifest in chain(objects, layout::UPKEEP) {
        assert!(manifest.spans.is_empty());
        for removed in &manifest.removed {
            gone.extend(numbers(&archive[&removed.path]));
        }
        live.add(&layout::UPKEEP.into(), manifest).expect("what is replaced is there");
    }
    let (mut ids, mut files) = (Vec::new(), BTreeSet::new());
    for LiveFile { file, rewrites, .. } in live.finish().0 {
        let bytes = objects.get(&file.path).unwrap_or_else(|| panic!("{} lost", file.path));
        assert_eq!(Checksum::of(bytes), file.checksum, "{} altered", file.path);
        assert!(rewrites <= REWRITES_MAX);
        ids.extend(numbers(bytes));
        files.insert(file.path);
    }
    ids.sort_unstable();
    expected.retain(|id| !gone.contains(id));
    assert_eq!(ids, expected, "records lost or doubled");
    files.extend(newest.map(|(state, upto)| check_state(objects, state, upto)));
    (upto, files)
}

/// The manifests of a lane, each following the one before.
fn chain(objects: &BTreeMap<String, Bytes>, lane: &str) -> Vec<Manifest> {
    let (mut previous, mut manifests) = (None, Vec::new());
    while let Some(bytes) = objects.get(&layout::manifest(lane, manifests.len() as u64 + 1)) {
        let (manifest, hash) = Manifest::decode(bytes).expect("a manifest is whole");
        assert_eq!(manifest.previous, previous, "the chain is broken");
        previous = Some(hash);
        manifests.push(manifest);
    }
    let all = objects.keys().filter_map(|p| layout::parse_manifest(p));
    assert_eq!(all.filter(|(of, _)| of == lane).count(), manifests.len(), "a hole in the chain");
    manifests
}

/// Files that were replaced; they may be there.
pub(super) fn former(objects: &BTreeMap<String, Bytes>) -> BTreeSet<String> {
    let replaced = chain(objects, layout::UPKEEP).into_iter().flat_map(|m| m.replaced);
    let removed = chain(objects, layout::UPKEEP).into_iter().flat_map(|m| m.removed);
    let removed = removed.map(|removed| removed.path);
    replaced.flat_map(|replacement| replacement.files).chain(removed).collect()
}

/// How many files retention has taken out.
pub(super) fn removed(objects: &BTreeMap<String, Bytes>) -> usize {
    chain(objects, layout::UPKEEP).iter().map(|manifest| manifest.removed.len()).sum()
}

fn check_state(objects: &BTreeMap<String, Bytes>, state: StateFile, upto: u64) -> String {
    let bytes = objects.get(&state.path);
    let bytes = bytes.unwrap_or_else(|| panic!("the state {} lost", state.path));
    assert_eq!((Checksum::of(bytes), bytes), (state.checksum, &upto.to_string().into()));
    state.path
}
