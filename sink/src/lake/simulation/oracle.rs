//! What the lake promises, read from the objects alone.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;

use super::super::layout;
use super::super::manifest::{Checksum, Manifest, StateFile};
use super::writer::{identity, numbers};

/// Reads the lake as the promise describes it. Returns how far it goes and the files it names; of the
/// states only the newest.
pub(super) fn oracle(objects: &BTreeMap<String, Bytes>) -> (u64, BTreeSet<String>) {
    let (mut upto, mut previous, mut files) = (0, None, BTreeSet::new());
    let mut newest: Option<(StateFile, u64)> = None;
    let mut seen = HashSet::new();
    for epoch in 1.. {
        let Some(bytes) = objects.get(&layout::manifest("main", epoch)) else {
            let after = objects.keys().filter_map(|p| layout::parse_manifest(p));
            assert_eq!(after.filter(|(_, e)| *e > epoch).count(), 0, "a hole in the chain");
            files.extend(newest.map(|(state, upto)| check_state(objects, state, upto)));
            return (upto, files);
        };
        let (manifest, hash) = Manifest::decode(bytes).expect("a manifest is whole");
        assert_eq!(manifest.previous, previous, "the chain is broken");
        previous = Some(hash);
        let mut ids = Vec::new();
        for file in &manifest.files {
            let bytes = objects.get(&file.path).unwrap_or_else(|| panic!("{} lost", file.path));
            assert_eq!(Checksum::of(bytes), file.checksum, "{} altered", file.path);
            ids.extend(numbers(bytes));
            assert!(files.insert(file.path.clone()), "a file in two epochs");
        }
        ids.sort_unstable();
        for span in &manifest.spans {
            assert_eq!(span.after, upto, "a gap or an overlap");
            let new = (span.after + 1..=span.upto).filter(|id| seen.insert(identity(*id)));
            assert_eq!(ids, new.collect::<Vec<_>>(), "records lost or doubled");
            assert_eq!(span.received, span.stored + span.duplicates);
            upto = span.upto;
        }
        newest = match (manifest.state, newest) {
            (Some(state), Some((known, at))) if state == known => Some((state, at)),
            (state, _) => state.map(|state| (state, upto)),
        };
    }
    unreachable!("epochs end")
}

fn check_state(objects: &BTreeMap<String, Bytes>, state: StateFile, upto: u64) -> String {
    let bytes = objects.get(&state.path);
    let bytes = bytes.unwrap_or_else(|| panic!("the state {} lost", state.path));
    assert_eq!((Checksum::of(bytes), bytes), (state.checksum, &upto.to_string().into()));
    state.path
}
