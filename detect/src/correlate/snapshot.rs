//! The state as bytes and back. A state is kept by the identity of the plan it belongs to, so that one of an
//! older rule set gives what has not changed its state, and nothing to what has.
//!
//! The carrier answers for the bytes being whole: they are read with care, but nobody can tell a count
//! that was changed from one that was not.

use std::fmt;

use event::{Timestamp, Uid};
use hashbrown::HashMap;

use crate::ir::Quantity;

use super::clock::Clock;
use super::correlator::{Correlator, Key, State};
use super::group::{Entry, GROUP_BYTES, Group, Held};
use super::{GroupValue, Values};

/// Says what the bytes are, and in which form.
const MAGIC: &[u8] = b"mantissa-correlations 1\n";

/// The bytes are not a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the correlation state is not in a form that this program knows")
    }
}

impl std::error::Error for Unreadable {}

impl Correlator {
    /// Whether there is nothing that a restart would miss.
    pub fn is_empty(&self) -> bool {
        self.states.iter().all(|state| state.groups.is_empty())
    }

    /// The whole state. What was found and not yet taken is not part of it.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer(MAGIC.to_vec());
        out.count(self.clocks.all.len());
        for clock in &self.clocks.all {
            out.text(&clock.source);
            [clock.lateness_ns, clock.newest].iter().for_each(|n| out.signed(*n));
        }
        out.count(self.origins.len());
        for (source, log_type) in &self.origins {
            out.text(source);
            out.text(log_type);
        }
        out.count(self.states.len());
        for (plan, state) in self.plans.all.iter().zip(&self.states) {
            out.uid(plan.key);
            // Its length goes before it, so that a reader can pass over what it does not know.
            let mut inner = Writer(Vec::with_capacity(state.bytes / 2));
            inner.state(state);
            out.bytes(&inner.0);
        }
        out.0
    }

    /// Takes over what a snapshot holds for plans that are here unchanged. To be called before anything
    /// is observed. `now` is the wall clock: the time between was nobody's silence.
    ///
    /// # Errors
    /// [`Unreadable`]; the state is then undefined and the correlator to be thrown away.
    pub fn restore(&mut self, snapshot: &[u8], now: Timestamp) -> Result<(), Unreadable> {
        let body = snapshot.strip_prefix(MAGIC).ok_or(Unreadable)?;
        self.read(&mut Reader(body), now).ok_or(Unreadable)
    }

    /// Takes over the state of another rule set's correlator, and its counts.
    ///
    /// # Errors
    /// As [`Correlator::restore`].
    pub fn take_over(&mut self, other: &Correlator, now: Timestamp) -> Result<(), Unreadable> {
        self.restore(&other.snapshot(), now)?;
        self.is_changed = true;
        for (plan, state) in other.plans.all.iter().zip(&other.states) {
            if let Some(at) = self.by_key.get(&plan.key) {
                self.states[*at].stats = state.stats;
            }
        }
        Ok(())
    }

    fn read(&mut self, from: &mut Reader<'_>, now: Timestamp) -> Option<()> {
        for _ in 0..from.count()? {
            let source = from.text()?.into();
            let (lateness_ns, newest) = (from.signed()?, from.signed()?);
            self.clocks.all.push(Clock::new(source, lateness_ns, newest, now.0));
        }
        for _ in 0..from.count()? {
            self.origins.push((from.text()?.into(), from.text()?.into()));
        }
        for _ in 0..from.count()? {
            let key = from.uid()?;
            let mut inner = Reader(from.bytes()?);
            let Some(at) = self.by_key.get(&key).copied() else { continue };
            let state = inner.state(self.clocks.all.len(), self.origins.len())?;
            self.insertions =
                state.groups.values().map(|g| g.touched).fold(self.insertions, u64::max);
            self.bytes += state.bytes;
            self.states[at] = state;
        }
        from.0.is_empty().then_some(())
    }
}

/// Numbers as groups of seven bits, least first; a set high bit says that more follow.
struct Writer(Vec<u8>);

impl Writer {
    fn unsigned(&mut self, mut n: u128) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn wide(&mut self, n: i128) {
        self.unsigned(((n << 1) ^ (n >> 127)) as u128);
    }

    fn signed(&mut self, n: i64) {
        self.wide(n.into());
    }

    fn count(&mut self, n: usize) {
        self.unsigned(n as u128);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn uid(&mut self, uid: Uid) {
        self.0.extend_from_slice(&uid.0);
    }

    fn value(&mut self, value: &GroupValue) {
        self.text(&value.text);
        self.unsigned(value.columns.into());
    }

    fn cells(&mut self, cells: &[i64]) {
        self.count(cells.len());
        cells.iter().for_each(|cell| self.signed(*cell));
    }

    fn state(&mut self, state: &State) {
        [state.mark, state.settled, state.forgotten].iter().for_each(|n| self.signed(*n));
        self.count(state.sources.len());
        state.sources.iter().for_each(|source| self.count(*source));
        self.count(state.groups.len());
        for (key, group) in &state.groups {
            self.count(key.len());
            key.iter().for_each(|value| self.text(value));
            self.count(group.shown.len());
            group.shown.iter().for_each(|value| self.value(value));
            self.cells(&group.alerted);
            self.cells(&group.passed_on);
            self.unsigned(group.touched.into());
            self.count(group.entries.len());
            group.entries.iter().for_each(|entry| self.entry(entry, group));
        }
    }

    fn entry(&mut self, entry: &Entry, group: &Group) {
        self.signed(entry.time);
        self.uid(entry.uid);
        self.unsigned(entry.members.into());
        match &entry.held {
            Held::None => self.count(0),
            Held::Keys(keys) => {
                self.count(1);
                self.count(keys.len());
                keys.iter().for_each(|key| self.text(group.keys.text(*key)));
            }
            Held::Numbers(numbers) => {
                self.count(2);
                self.count(numbers.len());
                numbers.iter().for_each(|number| self.wide(number.millionths()));
            }
        }
        self.count(entry.carried.len());
        for value in &entry.carried {
            self.count(usize::from(value.is_some()));
            value.iter().for_each(|value| self.value(value));
        }
        self.text(&entry.event_uid);
        self.count(entry.origin as usize);
        self.signed(entry.hour.into());
    }
}

/// The inverse of [`Writer`]; `None` when the bytes end too early or are something else.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn unsigned(&mut self) -> Option<u128> {
        let mut n = 0_u128;
        for shift in (0..128).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            n |= u128::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    fn wide(&mut self) -> Option<i128> {
        let n = self.unsigned()?;
        Some((n >> 1) as i128 ^ -((n & 1) as i128))
    }

    fn signed(&mut self) -> Option<i64> {
        self.wide()?.try_into().ok()
    }

    /// A number of things that follow, each of at least a byte.
    fn count(&mut self) -> Option<usize> {
        let n = usize::try_from(self.unsigned()?).ok()?;
        (n <= self.0.len()).then_some(n)
    }

    /// A number that counts nothing that follows.
    fn number(&mut self) -> Option<usize> {
        self.unsigned()?.try_into().ok()
    }

    fn take(&mut self, len: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let len = self.count()?;
        self.take(len)
    }

    fn text(&mut self) -> Option<&'b str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn uid(&mut self) -> Option<Uid> {
        self.take(16)?.try_into().ok().map(Uid)
    }

    fn value(&mut self) -> Option<GroupValue> {
        let text = self.text()?.into();
        Some(GroupValue { text, columns: self.unsigned()?.try_into().ok()? })
    }

    fn several<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.count()?).map(|_| one(self)).collect()
    }

    fn state(&mut self, clocks: usize, origins: usize) -> Option<State> {
        let (mark, settled, forgotten) = (self.signed()?, self.signed()?, self.signed()?);
        let sources = self.several(|from| from.number().filter(|source| *source < clocks))?;
        let (mut groups, mut bytes) = (HashMap::new(), 0);
        for _ in 0..self.count()? {
            let key: Key = self.several(|from| from.text().map(Into::into))?.into();
            let group = self.group(origins)?;
            bytes += group.bytes;
            groups.insert(key, group);
        }
        let stats = Default::default();
        Some(State { groups, sources, mark, settled, forgotten, bytes, stats })
    }

    fn group(&mut self, origins: usize) -> Option<Group> {
        let mut group = Group {
            shown: self.several(Self::value)?,
            alerted: self.several(Self::signed)?,
            passed_on: self.several(Self::signed)?,
            touched: self.unsigned()?.try_into().ok()?,
            bytes: GROUP_BYTES,
            ..Group::default()
        };
        for at in 0..self.count()? {
            let entry = self.entry(&mut group, origins)?;
            group.insert(at, entry);
        }
        let order = group.entries.iter().map(|entry| (entry.time, entry.uid));
        order.is_sorted().then_some(group)
    }

    fn entry(&mut self, group: &mut Group, origins: usize) -> Option<Entry> {
        let (time, uid) = (self.signed()?, self.uid()?);
        let members = self.unsigned()?.try_into().ok()?;
        let values = match self.number()? {
            0 => Values::None,
            1 => Values::Keys(self.several(|from| from.text().map(Into::into))?),
            2 => Values::Numbers(self.several(|from| from.wide().map(Quantity::from_millionths))?),
            _ => return None,
        };
        let carried = self.several(|from| match from.number()? {
            0 => Some(None),
            1 => from.value().map(Some),
            _ => None,
        })?;
        let event_uid = self.text()?.into();
        let origin = self.number().filter(|origin| *origin < origins)?;
        let hour = self.signed()?.try_into().ok()?;
        let held = group.hold(&values);
        let (carried, origin) = (carried.into(), u32::try_from(origin).ok()?);
        Some(Entry { time, uid, members, held, carried, event_uid, origin, hour })
    }
}
