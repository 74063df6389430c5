//! The store as the simulated processes meet it, its faults, and the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::checkpoint::Checkpoint;
use super::super::layout;
use super::super::local::disk::{Disk, Folder};
use super::super::manifest::Checksum;
use super::super::protocol::{Answer, Request};
use super::Random;
use super::disk::{Plug, ROOT, SimDisk};

/// How one process reaches the store: through a folder of its own, or over the network.
pub(super) type Access = Option<Folder<SimDisk>>;

/// The store, and requests that it has swallowed and may still do.
#[derive(Default)]
pub(super) struct World {
    bucket: BTreeMap<String, Bytes>,
    /// When the lake is in a folder.
    disk: Option<SimDisk>,
    delayed: Vec<Request>,
    /// Files that appeared after nobody expected them any more.
    pub(super) landed_late: BTreeSet<String>,
    /// Percent of requests that go wrong.
    pub(super) faults: usize,
    /// Nearly all do until then.
    outage_until: u64,
    /// All data files that anybody ever put, also those that are gone.
    pub(super) archive: BTreeMap<String, Bytes>,
    /// Milliseconds since the world began.
    pub(super) now: u64,
    pub(super) power_cuts: u64,
    /// Checkpoints that were lost, torn or exchanged.
    pub(super) spoiled: u64,
}

impl World {
    pub(super) fn bucket() -> Self {
        Self::default()
    }

    pub(super) fn folder() -> Self {
        Self { disk: Some(SimDisk::new()), ..Self::default() }
    }

    pub(super) fn is_folder(&self) -> bool {
        self.disk.is_some()
    }

    /// For a process that starts.
    pub(super) fn access(&self, process: u64) -> Access {
        self.disk.clone().map(|disk| Folder::new(PathBuf::from(ROOT), disk, process))
    }

    /// Everything that can be seen.
    pub(super) fn objects(&self) -> BTreeMap<String, Bytes> {
        self.disk.as_ref().map_or_else(|| self.bucket.clone(), SimDisk::files)
    }

    /// By somebody who is not simulated.
    pub(super) fn insert(&mut self, path: &str, bytes: Bytes) {
        self.bucket.insert(path.into(), bytes);
    }

    pub(super) fn remove(&mut self, path: &str) -> Option<Bytes> {
        self.bucket.remove(path)
    }

    /// Does a request.
    pub(super) fn apply(&mut self, access: &Access, request: &Request) -> Answer {
        if let Request::Put { path, bytes, .. } = request
            && path.ends_with(".parquet")
        {
            self.archive.insert(path.clone(), bytes.clone());
        }
        match access {
            Some(folder) => in_folder(folder, request),
            None => in_bucket(&mut self.bucket, request),
        }
    }

    /// Does a request, perhaps; answers, perhaps not the truth.
    pub(super) fn perform(
        &mut self,
        access: &Access,
        request: &Request,
        random: &mut Random,
    ) -> Answer {
        self.now += random.below(400) as u64;
        let is_wait = matches!(request, Request::Wait { .. });
        let faults = if self.now < self.outage_until { 90 } else { self.faults };
        if is_wait || !random.percent(faults) {
            return self.apply(access, request);
        }
        match (&self.disk, random.below(3)) {
            (Some(disk), _) => {
                disk.plug(Plug::FailsOnce(random.below(9) as u32));
                let disk = disk.clone();
                let answer = self.apply(access, request);
                disk.plug(Plug::Works);
                return answer;
            }
            (None, 0) => {}
            (None, 1) => drop(self.apply(access, request)),
            (None, _) => self.delay(request),
        }
        Answer::Failed("no answer".into())
    }

    /// A store that has faults is away for a while now and then.
    pub(super) fn weather(&mut self, random: &mut Random) {
        if self.faults > 0 && random.below(400) == 0 {
            self.outage_until = self.now + random.below(60_000) as u64;
        }
    }

    /// The process that asked has died: the request may have been done, or in part, or be done later.
    pub(super) fn abandon(&mut self, access: &Access, request: &Request, random: &mut Random) {
        match (&self.disk, random.below(3)) {
            (_, 0) => {}
            (Some(disk), _) => {
                disk.plug(Plug::Pulled(random.below(12) as u32));
                let disk = disk.clone();
                drop(self.apply(access, request));
                disk.plug(Plug::Works);
            }
            (None, 1) => drop(self.apply(access, request)),
            (None, _) => self.delay(request),
        }
    }

    pub(super) fn plug(&mut self, plug: Plug) {
        if let Some(disk) = &self.disk {
            disk.plug(plug);
        }
    }

    pub(super) fn lose_power(&mut self, random: &mut Random) {
        if let Some(disk) = &self.disk {
            disk.lose_power(random);
            self.power_cuts += 1;
        }
    }

    /// Loses a part of a checkpoint, tears it, takes a file out of it, or makes it one of other chains.
    pub(super) fn spoil_checkpoint(&mut self, random: &mut Random) {
        let objects = self.objects();
        let all = objects.iter().filter(|(path, _)| path.starts_with("_checkpoints/"));
        let all: Vec<(&String, &Bytes)> = all.collect();
        if all.is_empty() {
            return;
        }
        let (path, bytes) = all[random.below(all.len())];
        let spoiled = match random.below(3) {
            0 => None,
            1 => Some(bytes.slice(..bytes.len() / 2)),
            _ => Some(exchanged(path, bytes)),
        };
        let path = path.clone();
        let request = match spoiled {
            None => Request::Delete { path },
            Some(bytes) => Request::Put { path, bytes, if_absent: false },
        };
        let access = self.access(u64::MAX - 1);
        self.apply(&access, &request);
        self.spoiled += 1;
    }

    /// Only puts are delayed beyond their writer's patience: a delayed delete would need a store that
    /// keeps a request longer than our names, which are never used again, live.
    fn delay(&mut self, request: &Request) {
        if matches!(request, Request::Put { .. }) {
            self.delayed.push(request.clone());
        }
    }

    pub(super) fn land_one(&mut self, random: &mut Random) {
        if self.delayed.is_empty() {
            return;
        }
        let request = self.delayed.swap_remove(random.below(self.delayed.len()));
        let done = matches!(self.apply(&None, &request), Answer::Done);
        if let (true, Request::Put { path, .. }) = (done, request) {
            self.landed_late.insert(path);
        }
    }

    pub(super) fn land_all(&mut self, random: &mut Random) {
        for _ in 0..self.delayed.len() {
            self.land_one(random);
        }
    }
}

/// Something that can be read and is not true.
fn exchanged(path: &str, bytes: &Bytes) -> Bytes {
    if let Some(mut root) = Checkpoint::decode(path, bytes) {
        root.live.pop();
        root.lanes.iter_mut().for_each(|covered| covered.hash = Checksum::of(b"another"));
        return root.encode().into();
    }
    let Ok(mut run) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return Bytes::new();
    };
    run["files"].as_array_mut().map(Vec::pop);
    run.to_string().into()
}

fn in_bucket(objects: &mut BTreeMap<String, Bytes>, request: &Request) -> Answer {
    match request {
        Request::Put { path, bytes, if_absent } => {
            if *if_absent && objects.contains_key(path) {
                return Answer::Exists;
            }
            objects.insert(path.clone(), bytes.clone());
            Answer::Done
        }
        Request::Get { path } => objects.get(path).cloned().map_or(Answer::Missing, Answer::Bytes),
        Request::Look { path } if objects.contains_key(path) => Answer::Exists,
        Request::Look { .. } => Answer::Missing,
        Request::List { folder, after } => list(objects.keys(), folder, after.as_deref()),
        Request::Folders { folder } => folders(objects.keys(), folder),
        Request::Delete { path } => {
            objects.remove(path);
            Answer::Done
        }
        Request::Sync { .. } | Request::Wait { .. } => Answer::Done,
    }
}

fn list<'a>(paths: impl Iterator<Item = &'a String>, folder: &str, after: Option<&str>) -> Answer {
    let (folder, after) = (format!("{folder}/"), after.unwrap_or(""));
    let below = paths.filter(|p| p.starts_with(&folder) && p.as_str() > after);
    Answer::Paths(below.cloned().collect())
}

fn folders<'a>(paths: impl Iterator<Item = &'a String>, folder: &str) -> Answer {
    let below = paths.filter_map(|p| p.strip_prefix(folder)?.strip_prefix('/')?.split_once('/'));
    let names: BTreeSet<&str> = below.map(|(name, _)| name).collect();
    Answer::Paths(names.into_iter().map(|name| format!("{folder}/{name}")).collect())
}

/// As `local` does it.
fn in_folder(folder: &Folder<SimDisk>, request: &Request) -> Answer {
    let place = |path: &str| Path::new(ROOT).join(path);
    let read = |path: &str| -> io::Result<Option<Bytes>> {
        if path.starts_with(layout::MANIFESTS) {
            folder.before_reading(place(path).parent().expect("it is in a folder"))?;
        }
        Ok(folder.disk.read(path))
    };
    let failed = |error: io::Error| Answer::Failed(error.into());
    match request {
        Request::Put { path, bytes, if_absent } => {
            match folder.put(&place(path), [bytes], !if_absent) {
                Ok(()) => Answer::Done,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Answer::Exists,
                Err(error) => failed(error),
            }
        }
        Request::Get { path } => {
            read(path).map_or_else(failed, |found| found.map_or(Answer::Missing, Answer::Bytes))
        }
        Request::Look { path } => read(path).map_or_else(failed, |found| match found {
            Some(_) => Answer::Exists,
            None => Answer::Missing,
        }),
        Request::List { folder: below, after } => {
            list(folder.disk.files().keys(), below, after.as_deref())
        }
        Request::Folders { folder: of } => folders(folder.disk.files().keys(), of),
        Request::Sync { folder: of } => match folder.disk.is_folder(&place(of)) {
            true => folder.disk.sync_folder(&place(of)).map_or_else(failed, |()| Answer::Done),
            false => Answer::Done,
        },
        Request::Delete { path } => match folder.disk.remove(&place(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => failed(error),
            _ => Answer::Done,
        },
        Request::Wait { .. } => Answer::Done,
    }
}
