//! The events of one group of one correlation, sorted by event time, and which of its cells of time have
//! been spoken of.

use std::collections::VecDeque;

use event::Uid;
use hashbrown::HashMap;

use crate::ir::Quantity;

use super::window::bits;
use super::{GroupValue, Values};

/// An event of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub time: i64,
    pub uid: Uid,
    /// Rules of the correlation that it matched.
    pub members: u64,
    pub held: Held,
    pub carried: Box<[Option<GroupValue>]>,
    pub event_uid: Box<str>,
    /// Index into the correlator's origins.
    pub origin: u32,
    pub hour: i32,
}

/// [`Values`] with the texts as numbers of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    None,
    Keys(Box<[u32]>),
    Numbers(Box<[Quantity]>),
}

/// One group.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// Values as last seen; columns that held the value in every event so far.
    pub shown: Vec<GroupValue>,
    /// Sorted by time and identity.
    pub entries: VecDeque<Entry>,
    /// Cells that have alerted, ascending.
    pub alerted: Vec<i64>,
    /// Cells that outer correlations have been told of, ascending.
    pub passed_on: Vec<i64>,
    pub keys: Keys,
    /// By rule of the correlation: how many of the entries it matched.
    pub matched: Vec<u32>,
    /// When it was last added to; a count of all insertions.
    pub touched: u64,
    pub bytes: usize,
}

/// The different values in a group, numbered.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    numbers: HashMap<Box<str>, u32>,
    /// By number: how many entries have it, and its text.
    used: Vec<(u32, Box<str>)>,
    free: Vec<u32>,
}

impl Keys {
    /// How many different values there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn text(&self, key: u32) -> &str {
        &self.used[key as usize].1
    }

    fn take(&mut self, text: &str) -> u32 {
        if let Some(key) = self.numbers.get(text) {
            self.used[*key as usize].0 += 1;
            return *key;
        }
        let key = self.free.pop().unwrap_or(self.used.len() as u32);
        if key as usize == self.used.len() {
            self.used.push((1, text.into()));
        } else {
            self.used[key as usize] = (1, text.into());
        }
        self.numbers.insert(text.into(), key);
        key
    }

    fn give(&mut self, key: u32) {
        let (count, text) = &mut self.used[key as usize];
        *count -= 1;
        if *count == 0 {
            let text = std::mem::take(text);
            self.numbers.remove(&text);
            self.free.push(key);
        }
    }
}

/// What an empty group takes, about.
pub(super) const GROUP_BYTES: usize = 256;

impl Group {
    /// The entry's number of each value.
    pub(super) fn hold(&mut self, values: &Values) -> Held {
        match values {
            Values::None => Held::None,
            Values::Keys(keys) => Held::Keys(keys.iter().map(|key| self.keys.take(key)).collect()),
            Values::Numbers(numbers) => Held::Numbers(numbers.as_slice().into()),
        }
    }

    /// Counts rules that an entry has matched.
    pub(super) fn count(&mut self, members: u64) {
        for member in bits(members) {
            if self.matched.len() <= member {
                self.matched.resize(member + 1, 0);
            }
            self.matched[member] += 1;
        }
    }

    /// The rules that any of its entries matched.
    pub(super) fn present(&self) -> u64 {
        let bit = |(at, count): (usize, &u32)| u64::from(*count > 0) << at;
        self.matched.iter().enumerate().map(bit).fold(0, |word, bit| word | bit)
    }

    fn release(&mut self, entry: &Entry) {
        bits(entry.members).for_each(|member| self.matched[member] -= 1);
        self.bytes = self.bytes.saturating_sub(entry.bytes(&self.keys));
        if let Held::Keys(keys) = &entry.held {
            keys.iter().for_each(|key| self.keys.give(*key));
        }
    }

    /// The place of an event, and whether it is there.
    pub(super) fn find(&self, time: i64, uid: Uid) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&(time, uid), |entry| (entry.time, entry.uid))
    }

    /// Puts an entry at the place that [`Group::find`] gave.
    pub(super) fn insert(&mut self, at: usize, entry: Entry) {
        self.bytes += entry.bytes(&self.keys);
        self.count(entry.members);
        self.entries.insert(at, entry);
    }

    /// Forgets events up to this time, and cells that lie wholly before it. Returns the bytes set free.
    pub(super) fn forget(&mut self, upto: i64, span: i64) -> usize {
        let before = self.bytes;
        while self.entries.front().is_some_and(|entry| entry.time <= upto) {
            if let Some(entry) = self.entries.pop_front() {
                self.release(&entry);
            }
        }
        let oldest = upto.div_euclid(span);
        self.alerted.retain(|cell| *cell >= oldest);
        self.passed_on.retain(|cell| *cell >= oldest);
        before - self.bytes
    }

    /// Drops so many of its oldest events. Returns the bytes set free.
    pub(super) fn drop_oldest(&mut self, count: usize) -> usize {
        let before = self.bytes;
        for _ in 0..count {
            if let Some(entry) = self.entries.pop_front() {
                self.release(&entry);
            }
        }
        before - self.bytes
    }

    /// Nothing is left that anybody would miss.
    pub(super) fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.alerted.is_empty() && self.passed_on.is_empty()
    }

    /// Takes over what is known of the group's values.
    pub(super) fn show(&mut self, group: Vec<GroupValue>) {
        if self.shown.is_empty() {
            self.shown = group;
            return;
        }
        for (known, new) in self.shown.iter_mut().zip(group) {
            known.columns &= new.columns;
            known.text = new.text;
        }
    }
}

impl Entry {
    /// About the memory it takes.
    pub(super) fn bytes(&self, keys: &Keys) -> usize {
        let held = match &self.held {
            Held::None => 0,
            Held::Keys(held) => held.iter().map(|key| 4 + 2 * keys.text(*key).len() + 16).sum(),
            Held::Numbers(numbers) => numbers.len() * size_of::<Quantity>(),
        };
        let carried = self.carried.iter().map(|value| {
            size_of::<Option<GroupValue>>() + value.as_ref().map_or(0, |value| value.text.len())
        });
        size_of::<Self>() + held + carried.sum::<usize>() + self.event_uid.len()
    }
}

/// Adds a cell to an ascending list.
pub(super) fn note(cells: &mut Vec<i64>, cell: i64) {
    if let Err(at) = cells.binary_search(&cell) {
        cells.insert(at, cell);
    }
}
