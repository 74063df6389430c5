//! Partitions that moved between lanes: what all lanes together have read of them touches.

use std::collections::{BTreeMap, HashSet};

use super::super::hold::Partition;
use super::super::layout;
use super::super::manifest::Manifest;
use super::{Fault, Proof, Report, is_there};

/// What lanes have read, by partition.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// `(after, upto]`, those of a lane that touch joined.
    read: BTreeMap<(String, String), Vec<(u64, u64)>>,
    claimed: HashSet<Partition>,
}

impl Moves {
    /// Notes an epoch; those of a lane in their order.
    pub(super) fn add(&mut self, epoch: &Manifest) {
        self.claimed.extend(epoch.claimed.iter().cloned());
        for span in epoch.spans.iter().filter(|span| span.upto > span.after) {
            let key = (span.source.clone(), span.partition.clone());
            let read = self.read.entry(key).or_default();
            match read.last_mut() {
                Some((_, upto)) if *upto == span.after => *upto = span.upto,
                _ => read.push((span.after, span.upto)),
            }
        }
    }

    /// Names what is there twice and, where all manifests are known, what is nowhere.
    fn judge(mut self, all_known: bool, report: &mut Report) {
        for Partition { source, partition } in self.claimed {
            let name = format!("{source} / {partition}");
            let mut read = self.read.remove(&(source, partition)).unwrap_or_default();
            read.sort_unstable();
            for two in read.windows(2) {
                let ((_, end), (after, upto)) = (two[0], two[1]);
                if after < end {
                    let what = format!(
                        "{name}: ({after}, {}] is there twice, by two lanes",
                        end.min(upto)
                    );
                    report.problem(Fault::Overlap, layout::MANIFESTS, what);
                } else if after > end && all_known {
                    let what = format!("{name}: nothing is known of ({end}, {after}] by any lane");
                    report.problem(Fault::Gap, layout::MANIFESTS, what);
                }
            }
        }
    }
}

impl Proof<'_> {
    /// What the lanes that were followed say together. While processes write, one of them may have been followed to an
    /// earlier moment than another: what is nowhere is told only when all stand still, and of whole chains.
    pub(super) async fn judge_moves(&mut self, is_whole: bool) {
        let mut all_known = is_whole;
        for (lane, state) in self.lanes.iter().filter(|(lane, _)| *lane != layout::UPKEEP) {
            let next = layout::manifest(lane, state.head + 1);
            all_known &= state.unknown.is_empty() && !is_there(self.at, &next).await;
        }
        std::mem::take(&mut self.moves).judge(all_known, &mut self.report);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::manifest::tests::sample;
    use super::*;

    #[test]
    fn what_lanes_have_read_touches() {
        let epoch = |after, upto| {
            let mut epoch = sample(1, None);
            (epoch.spans[0].after, epoch.spans[0].upto) = (after, upto);
            let span = &epoch.spans[0];
            let (source, partition) = (span.source.clone(), span.partition.clone());
            epoch.claimed = vec![Partition { source, partition }];
            epoch
        };
        let problems = |epochs: &[(u64, u64)], all_known| {
            let (mut moves, mut report) = (Moves::default(), Report::new("lake", false));
            epochs.iter().for_each(|(after, upto)| moves.add(&epoch(*after, *upto)));
            moves.judge(all_known, &mut report);
            report.problems.into_iter().map(|p| (p.fault, p.what)).collect::<Vec<_>>()
        };
        assert_eq!(problems(&[(0, 5), (9, 12), (12, 12), (5, 9)], true), []);
        let [(Fault::Gap, what)] = &problems(&[(0, 5), (7, 9)], true)[..] else { panic!() };
        assert_eq!(what, "files / a.ndjson: nothing is known of (5, 7] by any lane");
        assert_eq!(problems(&[(0, 5), (7, 9)], false), []);
        let [(Fault::Overlap, what)] = &problems(&[(0, 5), (3, 9)], false)[..] else { panic!() };
        assert_eq!(what, "files / a.ndjson: (3, 5] is there twice, by two lanes");
    }
}
