//! The messages that are here: which are done, which are to be kept from others, which are given back. Pure.

use std::collections::HashMap;

use super::queue::{BATCH_MAX, Message};

/// A message whose objects cannot be read is given back for so long, and longer each time, in seconds.
const GIVE_BACK_S: u32 = 30;
const GIVE_BACK_S_MAX: u32 = 900;

#[derive(Debug)]
struct Held {
    handle: String,
    /// Objects of it that are not read to their end.
    left: usize,
    /// Its last object was handed over up to here.
    upto: u64,
    has_failed: bool,
    receives: u32,
}

/// By the id of the message.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    held: HashMap<String, Held>,
    /// Handles of messages that are done.
    done: Vec<String>,
    /// Handles of messages that are given back, and for how long nobody shall get them.
    given_back: Vec<(String, u32)>,
}

impl Inbox {
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// A message that is here was delivered again: its newer handle counts. False: it is not here.
    pub fn again(&mut self, message: &Message) -> bool {
        let held = self.held.get_mut(&message.id);
        held.map(|held| message.handle.clone_into(&mut held.handle)).is_some()
    }

    /// A message with so many objects to read. What it brought itself is handed over up to `upto`.
    pub fn take(&mut self, message: Message, objects: usize, upto: u64) {
        let Message { id, handle, receives, .. } = message;
        let held = Held { handle, left: objects, upto, has_failed: false, receives };
        self.held.insert(id, held);
    }

    /// An object of a message was handed over up to there, or cannot be read at present.
    pub fn read(&mut self, id: &str, upto: u64, has_failed: bool) {
        let Some(held) = self.held.get_mut(id) else { return };
        held.left = held.left.saturating_sub(1);
        held.upto = held.upto.max(upto);
        held.has_failed |= has_failed;
    }

    /// Everything up to here is in the lake.
    pub fn settle(&mut self, upto: u64) {
        let is_over = |held: &Held| held.left == 0 && (held.has_failed || held.upto <= upto);
        for (_, held) in self.held.extract_if(|_, held| is_over(held)) {
            match held.has_failed {
                false => self.done.push(held.handle),
                true => {
                    let pause = GIVE_BACK_S.saturating_mul(held.receives).min(GIVE_BACK_S_MAX);
                    self.given_back.push((held.handle, pause));
                }
            }
        }
    }

    /// All are given back at once.
    pub fn give_back(&mut self) {
        let all = self.held.drain().map(|(_, held)| (held.handle, 0));
        self.given_back.extend(all);
    }

    /// Every message that is here is kept from others for so long from now.
    pub fn kept(&self, seconds: u32) -> Vec<(String, u32)> {
        self.held.values().map(|held| (held.handle.clone(), seconds)).collect()
    }

    pub fn take_given_back(&mut self) -> Vec<(String, u32)> {
        std::mem::take(&mut self.given_back)
    }

    /// Some that are to be deleted; none: there are none.
    pub fn take_done(&mut self) -> Vec<String> {
        let from = self.done.len().saturating_sub(BATCH_MAX);
        self.done.split_off(from)
    }

    /// These could not be deleted.
    pub fn not_deleted(&mut self, handles: Vec<String>) {
        self.done.extend(handles);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, handle: &str, receives: u32) -> Message {
        let (id, handle) = (id.to_owned(), handle.to_owned());
        Message { id, handle, receives, ..Message::default() }
    }

    #[test]
    fn a_message_is_done_when_all_its_objects_are_in_the_lake() {
        let mut inbox = Inbox::default();
        inbox.take(message("a", "1", 1), 2, 0);
        inbox.take(message("b", "2", 1), 0, 0);
        inbox.take(message("c", "3", 1), 0, 9);
        inbox.settle(0);
        assert_eq!(inbox.take_done(), ["2"], "it announced nothing");
        inbox.read("a", 3, false);
        inbox.settle(100);
        assert_eq!(inbox.take_done(), ["3"]);
        inbox.read("a", 105, false);
        inbox.settle(104);
        assert!(inbox.take_done().is_empty() && inbox.again(&message("a", "4", 2)));
        assert_eq!(inbox.kept(30), [("4".to_owned(), 30)]);
        inbox.settle(105);
        assert_eq!((inbox.take_done(), inbox.len()), (vec!["4".to_owned()], 0));
        assert!(!inbox.again(&message("a", "5", 3)));
    }

    #[test]
    fn what_cannot_be_read_is_given_back_for_longer_each_time() {
        let mut inbox = Inbox::default();
        for (receives, pause) in [(1, 30), (3, 90), (1_000, 900)] {
            inbox.take(message("a", "1", receives), 2, 0);
            inbox.read("a", 1, true);
            inbox.read("a", 7, false);
            inbox.settle(0);
            assert_eq!(inbox.take_given_back(), [("1".to_owned(), pause)]);
        }
        inbox.take(message("a", "1", 1), 1, 0);
        inbox.give_back();
        assert_eq!(inbox.take_given_back(), [("1".to_owned(), 0)]);
        assert!(inbox.take_done().is_empty() && inbox.len() == 0);
    }
}
