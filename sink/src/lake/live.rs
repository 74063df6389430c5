//! Which files are the lake: those that manifests name and no later manifest has replaced. Pure.
//!
//! Manifests are added lane by lane, each lane in the order of its epochs, and [`layout::UPKEEP`] last:
//! its epochs replace files of the others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use event::Uid;

use super::error::{Error, Kind};
use super::layout;
use super::manifest::{ColumnSpec, DataFile, Manifest, Why};

/// A file of the lake with its columns.
#[derive(Clone, Debug)]
pub struct LiveFile {
    pub lane: Arc<str>,
    pub epoch: u64,
    pub file: DataFile,
    /// In the order of the file.
    pub columns: Arc<[ColumnSpec]>,
    /// How often its bytes were written anew.
    pub rewrites: u8,
}

/// A file that was part of the lake and is not any more.
#[derive(Clone, Debug)]
pub struct Former {
    pub live: LiveFile,
    pub end: End,
    /// When that was committed, microseconds since 1970.
    pub at: i64,
}

/// How a file stopped being part of the lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The file of this path has its rows.
    Replaced(Arc<str>),
    /// Its rows are gone.
    Removed(Why),
}

/// The files while manifests are read.
#[derive(Debug, Default)]
pub(super) struct Live {
    files: Vec<Option<LiveFile>>,
    places: HashMap<String, usize>,
    /// When they are wanted: over the years they are many more than the live ones.
    former: Option<Vec<Former>>,
    schemas: HashMap<Vec<ColumnSpec>, Arc<[ColumnSpec]>>,
    redriven: HashSet<Uid>,
}

impl Live {
    /// Keeps also what was part of the lake and is not any more.
    pub(super) fn with_former() -> Self {
        Self { former: Some(Vec::new()), ..Self::default() }
    }

    /// As if manifests had added it.
    pub(super) fn begin_with(&mut self, mut live: LiveFile) {
        live.columns = self
            .schemas
            .entry(live.columns.to_vec())
            .or_insert_with_key(|s| s.as_slice().into())
            .clone();
        self.places.insert(live.file.path.clone(), self.files.len());
        self.files.push(Some(live));
    }

    pub(super) fn begin_with_former(&mut self, former: Former) {
        self.former.get_or_insert_default().push(former);
    }

    pub(super) fn begin_with_redriven(&mut self, redriven: &[Uid]) {
        self.redriven.extend(redriven);
    }

    /// Which of the first files are live.
    pub(super) fn still(&self, first: usize) -> Vec<bool> {
        self.files[..first].iter().map(Option::is_some).collect()
    }

    /// Adds what an epoch adds and takes away what it replaces.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it replaces what is not there.
    pub(super) fn add(&mut self, lane: &Arc<str>, manifest: Manifest) -> Result<(), Error> {
        let Manifest { epoch, files, schemas, replaced, removed, redriven, created_at, .. } =
            manifest;
        let mut take = |path: &String, end: End| {
            let place = self.places.remove(path);
            let Some(live) = place.and_then(|place| self.files[place].take()) else {
                let manifest = layout::manifest(lane, epoch);
                let what = format!("the manifest {manifest} takes away {path}, which is not there");
                return Err(Error::new(Kind::Damaged, what));
            };
            if let Some(former) = &mut self.former {
                former.push(Former { live, end, at: created_at });
            }
            Ok(())
        };
        for replacement in &replaced {
            let by: Arc<str> = files[replacement.by].path.as_str().into();
            replacement.files.iter().try_for_each(|path| take(path, End::Replaced(by.clone())))?;
        }
        removed.iter().try_for_each(|removed| take(&removed.path, End::Removed(removed.why)))?;
        let columns: Vec<Arc<[ColumnSpec]>> = schemas
            .into_iter()
            .map(|s| self.schemas.entry(s).or_insert_with_key(|s| s.as_slice().into()).clone())
            .collect();
        for (n, file) in files.into_iter().enumerate() {
            let rewrites = replaced.iter().find(|r| r.by == n).map_or(0, |r| r.rewrites);
            let (lane, columns) = (lane.clone(), columns[file.schema].clone());
            self.places.insert(file.path.clone(), self.files.len());
            self.files.push(Some(LiveFile { lane, epoch, file, columns, rewrites }));
        }
        self.redriven.extend(redriven);
        Ok(())
    }

    /// Live files, former files, and the dead letters that were redriven.
    pub(super) fn finish(self) -> (Vec<LiveFile>, Vec<Former>, HashSet<Uid>) {
        let former = self.former.unwrap_or_default();
        (self.files.into_iter().flatten().collect(), former, self.redriven)
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::super::manifest::{Digest, Removed, Replacement, VERSION_REPLACING};
    use super::*;

    fn epoch(epoch: u64, path: &str, replaced: &[&str], rewrites: u8) -> Manifest {
        let mut manifest = sample(epoch, None);
        manifest.files[0].path = path.into();
        manifest.version = VERSION_REPLACING;
        if !replaced.is_empty() {
            let files = replaced.iter().map(|path| (*path).into()).collect();
            let rows = Digest::default();
            manifest.replaced = vec![Replacement { by: 0, rewrites, rows, erased: 0, files }];
        }
        manifest
    }

    #[test]
    fn what_is_replaced_is_not_there_and_what_is_not_there_cannot_be_replaced() {
        let (main, upkeep): (Arc<str>, Arc<str>) = ("main".into(), layout::UPKEEP.into());
        let mut live = Live::with_former();
        for n in 1..=4 {
            live.add(&main, epoch(n, &format!("f{n}"), &[], 0)).unwrap();
        }
        live.add(&upkeep, epoch(1, "u1", &["f1", "f3"], 1)).unwrap();
        live.add(&upkeep, epoch(2, "u2", &["u1", "f4"], 2)).unwrap();
        let again = live.add(&upkeep, epoch(3, "u3", &["f1"], 1)).unwrap_err();
        assert_eq!(again.kind(), Kind::Damaged);
        assert!(again.to_string().contains("takes away f1"), "{again}");
        let mut removing = epoch(3, "u3", &[], 0);
        removing.removed = vec![Removed { path: "f2".into(), why: Why::Age }];
        live.add(&upkeep, removing.clone()).unwrap();
        assert!(live.add(&upkeep, removing).is_err(), "it is gone already");
        let (files, former, _) = live.finish();
        let files: Vec<_> = files.iter().map(|f| (f.file.path.as_str(), f.rewrites)).collect();
        assert_eq!(files, [("u2", 2), ("u3", 0)]);
        let by = |path: &str| End::Replaced(path.into());
        let former: Vec<_> = former.into_iter().map(|f| (f.live.file.path, f.end)).collect();
        let path = |(path, end): (&str, End)| (path.to_owned(), end);
        let expected = [
            ("f1", by("u1")),
            ("f3", by("u1")),
            ("u1", by("u2")),
            ("f4", by("u2")),
            ("f2", End::Removed(Why::Age)),
        ];
        assert_eq!(former, expected.map(path));
    }
}
