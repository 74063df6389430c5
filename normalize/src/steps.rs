//! Which steps of a mapping a record can take. A record has a fraction of the fields of its log type, so
//! most steps need not be looked at: for each field it is known which steps read it.

use event::{FieldId, Slots};

use crate::plan::{Step, Target};

/// Every step of every target, numbered in the order in which they are tried.
#[derive(Debug)]
pub(crate) struct Steps {
    /// Of each step its target and its number there.
    places: Vec<(u32, u32)>,
    /// Steps that need no field; a set is one bit a step.
    always: Vec<u64>,
    /// For every field the steps that can do something when it is there.
    by_field: Vec<(FieldId, Vec<u32>)>,
}

impl Steps {
    pub fn new(targets: &[Target<FieldId>]) -> Self {
        let mut steps = Self { places: Vec::new(), always: Vec::new(), by_field: Vec::new() };
        for (target, t) in targets.iter().enumerate() {
            for (number, step) in t.steps.iter().enumerate() {
                steps.add(step, (target as u32, number as u32));
            }
        }
        steps
    }

    fn add(&mut self, step: &Step<FieldId>, place: (u32, u32)) {
        let at = self.places.len();
        self.places.push(place);
        self.always.resize(self.places.len().div_ceil(64), 0);
        if step.constant.is_empty() {
            step.from.iter().for_each(|field| self.reads(*field, at));
        } else if let Some((field, _)) = step.when.first() {
            self.reads(*field, at);
        } else {
            self.always[at / 64] |= 1 << (at % 64);
        }
    }

    fn reads(&mut self, field: FieldId, step: usize) {
        match self.by_field.iter_mut().find(|(f, _)| *f == field) {
            Some((_, steps)) => steps.push(step as u32),
            None => self.by_field.push((field, vec![step as u32])),
        }
    }

    /// Calls `take` with target and number of every step that the record may take, in order. `set` is
    /// the caller's to keep, so that nothing is allocated.
    #[inline]
    pub fn each(&self, slots: &Slots, set: &mut Vec<u64>, mut take: impl FnMut(usize, usize)) {
        set.clear();
        set.extend_from_slice(&self.always);
        for (field, steps) in &self.by_field {
            if slots.present(*field) {
                for step in steps {
                    set[*step as usize / 64] |= 1 << (step % 64);
                }
            }
        }
        for (word, bits) in set.iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                let (target, step) = self.places[word * 64 + bits.trailing_zeros() as usize];
                take(target as usize, step as usize);
                bits &= bits - 1;
            }
        }
    }
}
