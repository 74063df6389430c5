//! Partitions that come from the group and go back to it.
//!
//! A partition is given back when everything that was handed over of it is in the lake and the group
//! has its offset, so that the next member begins there: between members that go orderly nothing is
//! read twice. The group waits for that, for at most [`LEAVE_MAX`]. A member that the group has taken
//! for dead has lost its partitions already. What it has under way is stored by it or by the next member, never by both,
//! when they write one lake: the next member claims the partition there before it reads. Of two lakes each may have it.

use std::time::{Duration, Instant};

use event::PartitionKey;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::Start;
use super::ask::{self, ASK};
use super::context::{Change, Place, give, give_back, name};
use super::part::Part;
use super::work::Work;
use crate::error::SourceError;

/// How long the group waits for what is under way. An epoch takes half a minute, unless configured.
const LEAVE_MAX: Duration = Duration::from_secs(90);

/// Partitions that the group wants back.
pub(super) struct Leaving {
    places: Vec<Place>,
    until: Instant,
}

impl Work {
    pub fn follow_changes(&mut self) -> Result<(), SourceError> {
        while self.leaving.is_none() {
            let mut changes = self.consumer.context().changes.lock();
            if changes.is_empty() {
                break;
            }
            let change = changes.remove(0);
            drop(changes);
            match change {
                Change::Assign(places) => {
                    let list = self.take_up(&places)?;
                    give(&self.consumer, &list);
                }
                Change::Revoke(places) => self.begin_to_leave(places),
            }
        }
        Ok(())
    }

    /// Takes partitions up where they are to be read on; those that cannot be are left out.
    pub fn take_up(&mut self, places: &[Place]) -> Result<TopicPartitionList, SourceError> {
        self.claim(places)?;
        let mut list = TopicPartitionList::new();
        for place in places {
            let next = self.position(place);
            if let Some(wanted) = next
                && let Some(found) = ask::missing(&self.client, &self.consumer, place, wanted)
            {
                self.halt(place.clone(), wanted, found.low, found.high);
                continue;
            }
            let offset = match next {
                Some(next) => Offset::Offset(next as i64),
                None if self.options.generation(place) == 1 => Offset::Stored,
                // What the group has committed is of the generation before.
                None if self.options.start == Start::Earliest => Offset::Beginning,
                None => Offset::End,
            };
            if list.add_partition_offset(&place.0, place.1, offset).is_ok() {
                self.assign(place, next);
            }
        }
        Ok(list)
    }

    /// Learns where other members of the group have stored up to that write the same lake, once they cannot go on.
    fn claim(&mut self, places: &[Place]) -> Result<(), SourceError> {
        let keys: Vec<_> = places.iter().map(|place| self.key(place)).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let claims = self.claims.clone();
        let claiming = async move { claims.claim(keys).await };
        let claimed = self.wait_paused(Box::pin(claiming));
        let claimed = claimed.map_err(|_| SourceError::closed(&self.name))?;
        for (topic, number) in places {
            let key = self.key(&(topic.clone(), *number));
            let upto = claimed.get(&key.partition).map_or(0, |resume| resume.upto);
            if upto == 0 {
                continue;
            }
            let next = self.next.entry(key.partition.to_string()).or_default();
            *next = upto.max(*next);
            if let Some(part) = self.part(topic, *number)
                && part.ledger.emitted() < upto
            {
                // Others have read on since it was here.
                *part = Part::new(key, Some(upto));
            }
        }
        Ok(())
    }

    fn key(&self, place: &Place) -> PartitionKey {
        let partition = self.options.partition(place).into();
        PartitionKey { source: self.name.clone(), partition }
    }

    /// The lake's position wins over the group's offset. But a partition that was away from here has
    /// been read on by another member, which has committed up to where.
    fn position(&self, place: &Place) -> Option<u64> {
        let own = self.next.get(&self.options.partition(place)).copied();
        let was_here = self.parts.get(&place.0).is_some_and(|parts| parts.contains_key(&place.1));
        if !was_here || self.options.generation(place) > 1 {
            return own;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&place.0, place.1);
        let committed = match self.consumer.committed_offsets(list, ASK) {
            Ok(list) => list.elements().first().and_then(|e| e.offset().to_raw()),
            Err(error) => {
                tracing::warn!(%error, "how far others have read is not known; reading it again");
                None
            }
        };
        own.max(committed.and_then(|offset| u64::try_from(offset).ok()))
    }

    fn assign(&mut self, place: &Place, next: Option<u64>) {
        let partition = self.options.partition(place);
        tracing::info!(partition, next, "taken");
        let key = self.key(place);
        let waited = self.waited;
        let parts = self.parts.entry(place.0.clone()).or_default();
        let part = parts.entry(place.1).or_insert_with(|| Part::new(key, next));
        part.assign(next);
        part.last = waited;
    }

    fn begin_to_leave(&mut self, places: Vec<Place>) {
        let lost = self.consumer.assignment_lost();
        if lost {
            tracing::warn!("the group took this member for dead and gave its partitions to others");
        }
        for (topic, number) in &places {
            if let Some(part) = self.part(topic, *number) {
                part.leaving = true;
            }
        }
        let until = if lost { Instant::now() } else { Instant::now() + LEAVE_MAX };
        self.leaving = Some(Leaving { places, until });
    }

    /// Gives back what the group wants when it is finished, or when the group has waited enough.
    pub fn leave_when_settled(&mut self) {
        let Some(Leaving { places, until }) = &self.leaving else { return };
        let (mut is_settled, mut list) = (true, TopicPartitionList::new());
        for (topic, number) in places {
            let Some(part) = self.parts.get(topic).and_then(|parts| parts.get(number)) else {
                continue;
            };
            is_settled &= part.since.is_none() && part.ledger.is_settled();
            if part.begun {
                let next = Offset::Offset(i64::try_from(part.next).unwrap_or(i64::MAX));
                let _ = list.add_partition_offset(topic, *number, next);
            }
        }
        let is_late = Instant::now() >= *until;
        if !is_settled && !is_late {
            return;
        }
        if !is_settled {
            tracing::warn!("partitions are given back before their last records are in the lake");
        }
        if is_settled {
            self.commit(&list, CommitMode::Sync);
        }
        self.give_all_back();
    }

    /// Answers everything that the group wants, for the end.
    pub fn let_go(&mut self) {
        self.give_all_back();
        let changes = std::mem::take(&mut *self.consumer.context().changes.lock());
        for change in changes {
            match change {
                Change::Assign(_) => give(&self.consumer, &TopicPartitionList::new()),
                Change::Revoke(places) => give_back(&self.consumer, &places),
            }
        }
    }

    fn give_all_back(&mut self) {
        if let Some(Leaving { places, .. }) = self.leaving.take() {
            for place in &places {
                tracing::info!(partition = name(place), "given back");
                if let Some(part) = self.part(&place.0, place.1) {
                    part.forget();
                }
            }
            give_back(&self.consumer, &places);
        }
    }
}
