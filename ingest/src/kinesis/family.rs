//! Which shards are to be read now: those whose parents are read to their end. Pure.

use std::collections::BTreeMap;

/// A shard as the stream lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// `shardId-000000000003`
    pub id: String,
    /// The one that was split, or the two that were merged.
    pub parents: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Reading,
    Over,
}

/// The shards of a stream.
#[derive(Debug, Default)]
pub(super) struct Family(BTreeMap<String, (Vec<String>, Stage)>);

impl Family {
    /// Takes the whole list; `is_over` says what was read to its end before. What the stream no longer lists is
    /// forgotten, unless it is still being read. Gives back those of them that were never begun.
    pub fn list(&mut self, listed: Vec<Listed>, is_over: impl Fn(&str) -> bool) -> Vec<String> {
        let (known, mut lost) = (std::mem::take(&mut self.0), Vec::new());
        for Listed { id, parents } in listed {
            let stage = if is_over(&id) { Stage::Over } else { Stage::Waiting };
            self.0.insert(id, (parents, stage));
        }
        for (id, (parents, stage)) in known {
            match self.0.get_mut(&id) {
                Some(listed) => listed.1 = stage,
                None if stage == Stage::Reading => _ = self.0.insert(id, (parents, stage)),
                None if stage == Stage::Waiting => lost.push(id),
                None => {}
            }
        }
        lost
    }

    /// Shards to be read from now on. A parent that is not listed has nothing any more.
    pub fn begin(&mut self) -> Vec<String> {
        let is_over = |id: &String| self.0.get(id).is_none_or(|(_, stage)| *stage == Stage::Over);
        let ready = |(id, (parents, stage)): (&String, &(Vec<String>, Stage))| {
            (*stage == Stage::Waiting && parents.iter().all(is_over)).then(|| id.clone())
        };
        let begun: Vec<String> = self.0.iter().filter_map(ready).collect();
        for id in &begun {
            if let Some((_, stage)) = self.0.get_mut(id) {
                *stage = Stage::Reading;
            }
        }
        begun
    }

    /// Shards that were begun and are not over.
    pub fn begun(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|(_, (_, stage))| *stage == Stage::Reading).map(|(id, _)| id)
    }

    /// A shard was read to its end, and is in the lake.
    pub fn over(&mut self, id: &str) {
        if let Some((_, stage)) = self.0.get_mut(id) {
            *stage = Stage::Over;
        }
    }

    /// Whether shards wait for others.
    pub fn is_waiting(&self) -> bool {
        self.0.values().any(|(_, stage)| *stage == Stage::Waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, parents: &[&str]) -> Listed {
        let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
        Listed { id: id.to_owned(), parents }
    }

    #[test]
    fn children_wait_for_all_their_parents() {
        let mut family = Family::default();
        let nothing = |_: &str| false;
        let all = || {
            let split = [listed("b", &["a"]), listed("c", &["a"])];
            [vec![listed("a", &["gone"])], split.to_vec(), vec![listed("d", &["b", "c"])]].concat()
        };
        assert!(family.list(all(), nothing).is_empty());
        assert_eq!(family.begin(), ["a"]);
        assert!(family.begin().is_empty() && family.is_waiting());
        family.over("a");
        assert_eq!(family.begin(), ["b", "c"]);
        family.over("c");
        assert!(family.begin().is_empty());
        // Listing it again changes nothing.
        family.list(all(), nothing);
        assert!(family.begin().is_empty());
        family.over("b");
        assert_eq!(family.begin(), ["d"]);
        assert!(!family.is_waiting());
        // After their time the parents are no longer listed; what is being read stays.
        family.list(vec![listed("e", &["d"])], nothing);
        assert!(family.begin().is_empty(), "the parent is being read");
        assert_eq!(family.list(Vec::new(), nothing), ["e"], "gone before it was read");
        family.list(vec![listed("f", &["d"])], nothing);
        family.over("d");
        assert_eq!(family.begin(), ["f"]);
    }

    #[test]
    fn what_was_over_before_is_not_begun() {
        let mut family = Family::default();
        let all = vec![listed("a", &[]), listed("b", &["a"])];
        assert!(family.list(all, |id| id == "a").is_empty());
        assert_eq!(family.begin(), ["b"]);
    }
}
