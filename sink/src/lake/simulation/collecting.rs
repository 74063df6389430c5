//! Whoever takes a file out of the lake may die before that is on the disk. A world of its own for that moment,
//! which random ones hardly meet: the power goes right after another process has removed the file.

use std::collections::HashSet;

use bytes::Bytes;

use super::super::commit::Contents;
use super::super::layout;
use super::super::manifest::{Manifest, Removed, Why};
use super::super::mistake::{Mistake, with};
use super::super::protocol::{Answer, Request, Step};
use super::super::snapshot::{Beside, Look};
use super::super::upkeep::collect::{Useless, Verdict};
use super::disk::Plug;
use super::world::{Access, World};
use super::{Random, recover, recover_lane, writer};

/// More than a put has.
const STEPS_MAX: u32 = 12;
const POWER_CUTS: u64 = 40;

fn put(world: &mut World, access: &Access, path: &str, bytes: &Bytes) -> Answer {
    let (path, bytes) = (path.to_owned(), bytes.clone());
    world.apply(access, &Request::Put { path, bytes, if_absent: true })
}

/// Looks at the lake, and removes what is no part of it.
fn collect(world: &mut World, access: &Access) -> Vec<String> {
    let (mut look, mut answers) = (Look::new(Beside::Former), Vec::new());
    let looked = loop {
        match look.step(std::mem::take(&mut answers)) {
            Step::Do(requests) => {
                answers = requests.iter().map(|request| world.apply(access, request)).collect();
            }
            Step::Done(looked) => break looked.expect("the lake can be read"),
        }
    };
    let useless = Useless::of(&looked.snapshot, i64::MAX);
    for request in useless.before_removing() {
        assert!(matches!(world.apply(access, &request), Answer::Done));
    }
    let objects = world.objects();
    let is_useless = |path: &&String| useless.judge(path, true) == Verdict::Replaced;
    let gone: Vec<String> = objects.keys().filter(is_useless).cloned().collect();
    for path in &gone {
        world.apply(access, &Request::Delete { path: path.clone() });
    }
    gone
}

/// Whether a file that the lake has is gone, when who takes it out dies after so many steps.
fn loses(steps: u32, seed: u64) -> bool {
    let mut world = World::folder();
    let (one, other) = (world.access(1), world.access(2));
    let (main, _) = recover(&mut world).expect("a lane can be opened");
    let epoch = writer::epoch(&main, &mut HashSet::new(), 0, &mut Random(7));
    let path = epoch.manifest.files[0].path.clone();
    put(&mut world, &one, &path, &Bytes::from_static(b"1"));
    put(&mut world, &one, &layout::manifest("main", 1), &epoch.bytes);
    let (mut upkeep, _) = recover_lane(&mut world, layout::UPKEEP).expect("a lane can be opened");
    // Something is there, so that the other process knows the folder.
    let nothing = upkeep.seal(Contents::default(), Vec::new(), 0);
    put(&mut world, &one, &layout::manifest(layout::UPKEEP, 1), &nothing.bytes);
    upkeep.committed(&nothing.manifest, nothing.hash);
    assert!(collect(&mut world, &other).is_empty());
    let removed = vec![Removed { path: path.clone(), why: Why::Size }];
    let taken_out = upkeep.seal(Contents { removed, ..Contents::default() }, Vec::new(), 0);
    world.plug(Plug::Pulled(steps));
    put(&mut world, &one, &layout::manifest(layout::UPKEEP, 2), &taken_out.bytes);
    world.plug(Plug::Works);
    collect(&mut world, &other);
    world.lose_power(&mut Random(seed));
    let objects = world.objects();
    let manifest = objects.get(&layout::manifest(layout::UPKEEP, 2));
    let is_out = manifest.is_some_and(|bytes| Manifest::decode(bytes).is_ok());
    !is_out && !objects.contains_key(&path)
}

fn loses_any() -> bool {
    (0..STEPS_MAX).any(|steps| (0..POWER_CUTS).any(|seed| loses(steps, seed)))
}

#[test]
fn what_is_removed_was_taken_out_for_good() {
    assert!(!loses_any());
    assert!(with(Mistake::CollectedUnsynced, loses_any), "removing before it is certain");
}
