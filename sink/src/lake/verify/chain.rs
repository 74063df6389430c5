//! Follows the chains and adds up what they say.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt};

use super::super::error::Error;
use super::super::hold::Hold;
use super::super::layout;
use super::super::manifest::{Checksum, FileKind, Manifest, StateFile};
use super::super::part::{self, Positions};
use super::sums::{Mark, gone, schema};
use super::{Fault, Known, Proof, State, lane_epochs, lane_names, read};

const READS_MAX: usize = 32;

/// A lane: where the proof begins, and then where it stands.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub head: u64,
    /// Epochs whose manifest cannot be read: what they named is unknown.
    pub unknown: HashSet<u64>,
    /// What the newest manifest says that the next start needs.
    pub newest: Option<StateFile>,
    pub link: Link,
}

/// The state of a chain between two manifests.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Whether `previous` is what the next manifest must name.
    pub known: bool,
    pub previous: Option<Checksum>,
    /// A manifest before this one could not be read: partitions may begin anywhere, once.
    blind: bool,
    pub positions: Positions,
}

impl Link {
    /// Behind this manifest.
    pub(super) fn after(hash: Checksum, positions: Positions) -> Self {
        Self { known: true, previous: Some(hash), blind: false, positions }
    }
}

impl Proof<'_> {
    /// All chains from where their lanes stand to their ends.
    ///
    /// # Errors
    /// [`super::Kind::Store`]
    pub(super) async fn follow(&mut self) -> Result<(), Error> {
        // What was replaced is listed before what it was.
        let known = |lane: &str| self.lanes.get(lane).map_or(0, |lane| lane.head);
        let upkeep = lane_epochs(self.at, layout::UPKEEP, known(layout::UPKEEP)).await?;
        let mut all: Vec<(String, Vec<u64>)> = Vec::new();
        for lane in lane_names(self.at).await? {
            let epochs = lane_epochs(self.at, &lane, known(&lane)).await?;
            all.push((lane, epochs));
        }
        all.push((layout::UPKEEP.to_owned(), upkeep));
        for (lane, epochs) in all {
            self.follow_lane(lane, &epochs).await?;
        }
        Ok(())
    }

    async fn follow_lane(&mut self, lane: String, epochs: &[u64]) -> Result<(), Error> {
        let unknown_before = self.lanes.values().any(|state| !state.unknown.is_empty());
        let mut state = self.lanes.remove(&lane).unwrap_or_default();
        let at = self.at;
        let mut stream = futures::stream::iter(epochs.to_vec())
            .map(|epoch| read(at, layout::manifest(&lane, epoch)))
            .buffered(READS_MAX);
        for &epoch in epochs {
            for missing in state.head + 1..epoch {
                let path = layout::manifest(&lane, missing);
                let what = format!("the manifest {path} is missing");
                self.report.problem(Fault::MissingManifest, &path, what);
                state.unknown.insert(missing);
                state.link = Link { blind: true, ..Link::default() };
            }
            state.head = epoch;
            let path = layout::manifest(&lane, epoch);
            let bytes = stream.try_next().await?.unwrap_or_default();
            match Manifest::decode(&bytes) {
                Ok((manifest, hash)) => {
                    self.check_manifest(&lane, &path, &manifest, &mut state.link);
                    (state.link.previous, state.link.known) = (Some(hash), true);
                    state.newest.clone_from(&manifest.state);
                    let is_blind = unknown_before || !state.unknown.is_empty();
                    self.check_replaced(&path, &manifest, is_blind);
                    self.moves.add(&manifest);
                    self.add_files(&lane, manifest);
                }
                Err(damage) => {
                    let what = format!("the manifest {path} is damaged: {damage}");
                    self.report.problem(Fault::DamagedManifest, &path, what);
                    state.unknown.insert(epoch);
                    state.newest = None;
                    state.link = Link { blind: true, ..Link::default() };
                }
            }
        }
        drop(stream);
        self.report.epochs += epochs.len() as u64;
        self.report.epochs_read += epochs.len() as u64;
        if state.head > 0 {
            self.lanes.insert(lane, state);
        }
        Ok(())
    }

    fn check_manifest(&mut self, lane: &str, path: &str, manifest: &Manifest, link: &mut Link) {
        let report = &mut self.report;
        let mut wrong = |fault, what: String| report.problem(fault, path, what);
        if manifest.lane != lane || layout::manifest(lane, manifest.epoch) != path {
            wrong(Fault::DamagedManifest, format!("the manifest {path} belongs to another place"));
        }
        if manifest.previous != link.previous && (link.known || !link.blind) {
            let what = format!("the manifest {path} does not follow the one before it");
            wrong(Fault::DamagedManifest, what);
        }
        let rows = |kind| -> u64 {
            manifest.files.iter().filter(|f| f.kind == kind).map(|f| f.rows).sum()
        };
        let stored: u64 = manifest.spans.iter().map(|s| s.stored).sum();
        let dead: u64 = manifest.spans.iter().map(|s| s.dead).sum();
        let (rows, letters) = (rows(FileKind::Events), rows(FileKind::DeadLetters));
        // What replaces files has the rows of others, which is judged with them.
        if (stored, dead) != (rows, letters) && manifest.replaced.is_empty() {
            let what = format!(
                "epoch {} says {stored} stored and {dead} dead records, its files hold {rows} and {letters}",
                manifest.epoch
            );
            wrong(Fault::Unbalanced, what);
        }
        for span in &manifest.spans {
            let name = format!("{} / {}", span.source, span.partition);
            let sum = span.stored + span.duplicates + span.dead + span.dropped;
            if span.received != sum {
                let what = format!(
                    "{name}: of {} records received in ({}, {}] {sum} are accounted for",
                    span.received, span.after, span.upto
                );
                wrong(Fault::Unbalanced, what);
            }
            let key = event::PartitionKey {
                source: span.source.as_str().into(),
                partition: span.partition.as_str().into(),
            };
            let Some(resume) = link.positions.get(&key) else { continue };
            let before = resume.upto;
            if resume.hold == Hold::Claimed && span.after >= before {
                // What lies between is another lane's.
                continue;
            }
            if span.after > before {
                wrong(
                    Fault::Gap,
                    format!("{name}: nothing is known of ({before}, {}]", span.after),
                );
            } else if span.after < before {
                wrong(Fault::Overlap, format!("{name}: ({}, {before}] is there twice", span.after));
            }
        }
        part::follow(&mut link.positions, manifest);
        if let Some(listed) = &manifest.positions {
            let listed = part::unlist(listed);
            if !link.blind && listed != link.positions {
                let what = format!("the manifest {path} lists other positions than its chain");
                wrong(Fault::DamagedManifest, what);
            }
            (link.positions, link.blind) = (listed, false);
        }
        manifest.spans.iter().for_each(|span| report.span(span));
    }

    /// Rows that moved are as many as they were, of the same table and hour, and move once.
    fn check_replaced(&mut self, path: &str, manifest: &Manifest, is_blind: bool) {
        let epoch = manifest.epoch;
        for replacement in &manifest.replaced {
            let by = &manifest.files[replacement.by];
            let (mut rows, mut whole) = (0, true);
            for file in &replacement.files {
                let mark = |mark| gone(mark, Some(&by.path), None);
                let Some(known) = self.take(path, epoch, file, State::Replaced, mark, is_blind)
                else {
                    whole = false;
                    continue;
                };
                rows += known.file.rows;
                let old = &known.file;
                let place = (&old.table, old.kind, &old.dt, old.hr);
                if place != (&by.table, by.kind, &by.dt, by.hr) {
                    let what = "has rows of another table or hour";
                    self.report.file_problem(Fault::Unbalanced, by, what);
                }
            }
            if whole && rows != by.rows {
                let what = format!("replaces files of {rows} rows");
                self.report.file_problem(Fault::Unbalanced, by, &what);
            }
        }
        for removed in &manifest.removed {
            let mark = |mark| gone(mark, None, Some(removed.why));
            self.take(path, epoch, &removed.path, State::Removed(removed.why), mark, is_blind);
        }
    }

    /// Takes a live file away; once.
    fn take(
        &mut self,
        manifest: &str,
        epoch: u64,
        file: &str,
        state: State,
        mark: impl Fn(Mark) -> Mark,
        is_blind: bool,
    ) -> Option<Known> {
        match self.files.get_mut(file).filter(|known| known.state == State::Live) {
            Some(known) => {
                known.state = state;
                self.sums.take(epoch, known.mark, mark(known.mark));
                Some(known.clone())
            }
            None => {
                // It may be of an epoch whose manifest cannot be read, which is said already.
                if !is_blind {
                    let what =
                        format!("the manifest {manifest} takes away {file}, which is not there");
                    self.report.problem(Fault::Overlap, manifest, what);
                }
                None
            }
        }
    }

    fn add_files(&mut self, lane: &str, manifest: Manifest) {
        let Manifest { files: listed, schemas, epoch, replaced, .. } = manifest;
        let marks: Vec<Checksum> = schemas.iter().map(|columns| schema(columns)).collect();
        let by: HashMap<usize, _> = replaced.iter().map(|r| (r.by, r)).collect();
        for (n, file) in listed.into_iter().enumerate() {
            let replacement = by.get(&n);
            let rewrites = replacement.map_or(0, |r| r.rewrites);
            let keyed = schemas[file.schema].iter().any(|c| c.name == "dedup_key");
            let mark = Mark::of(lane, epoch, rewrites, &file, marks[file.schema]);
            self.sums.add(lane, epoch, mark);
            let digest = replacement.map(|r| r.rows);
            let known = Known {
                lane: lane.to_owned(),
                epoch,
                file,
                keyed,
                state: State::Live,
                digest,
                mark,
            };
            self.report.file(&known.file);
            if let Some(twice) = self.files.insert(known.file.path.clone(), known) {
                self.report.file_problem(Fault::Overlap, &twice.file, "is in two epochs");
            }
        }
    }
}
