//! How far each partition has come without a hole. Workers finish batches in any order, and in a log that
//! is read again a batch may be hours of events: only what comes after no missing batch says how late it is.

use std::collections::{HashMap, VecDeque};

use event::{PartitionKey, Timestamp};

/// The batches under way.
#[derive(Debug, Default)]
pub struct InOrder {
    partitions: HashMap<PartitionKey, VecDeque<Batch>>,
}

#[derive(Debug)]
struct Batch {
    upto: u64,
    /// Its newest event, when it is done. Without events it is the beginning of time.
    newest: Option<Timestamp>,
}

impl InOrder {
    /// A batch is given to a worker, in the order of its partition.
    pub fn begun(&mut self, key: &PartitionKey, upto: u64) {
        let batches = self.partitions.entry(key.clone()).or_default();
        batches.push_back(Batch { upto, newest: None });
    }

    /// A batch is done. Returns the newest event of those before which nothing is missing any more,
    /// if there are any.
    pub fn done(&mut self, key: &PartitionKey, upto: u64, newest: Timestamp) -> Option<Timestamp> {
        let batches = self.partitions.get_mut(key)?;
        if let Some(batch) = batches.iter_mut().find(|b| b.upto == upto && b.newest.is_none()) {
            batch.newest = Some(newest);
        }
        let mut reached = Timestamp(i64::MIN);
        while let Some(newest) = batches.front().and_then(|batch| batch.newest) {
            reached = reached.max(newest);
            batches.pop_front();
        }
        if batches.is_empty() {
            self.partitions.remove(key);
        }
        (reached != Timestamp(i64::MIN)).then_some(reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_follows_without_a_hole_counts() {
        let key =
            |partition: &str| PartitionKey { source: "s".into(), partition: partition.into() };
        let (a, b) = (key("a"), key("b"));
        let mut order = InOrder::default();
        for upto in [10, 20, 30] {
            order.begun(&a, upto);
        }
        order.begun(&b, 5);
        assert_eq!(order.done(&a, 20, Timestamp(2)), None);
        assert_eq!(order.done(&b, 5, Timestamp(9)), Some(Timestamp(9)));
        assert_eq!(order.done(&a, 10, Timestamp(7)), Some(Timestamp(7)), "the newest of both");
        order.begun(&a, 40);
        assert_eq!(order.done(&a, 40, Timestamp(8)), None);
        assert_eq!(order.done(&a, 30, Timestamp(i64::MIN)), Some(Timestamp(8)));
        order.begun(&a, 50);
        assert_eq!(order.done(&a, 50, Timestamp(i64::MIN)), None, "no events");
        assert!(order.partitions.is_empty());
    }
}
