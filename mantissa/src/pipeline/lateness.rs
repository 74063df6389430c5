//! How long after they happened the events of a source arrive: counts by fixed bounds, which cost an event one
//! look into a short table.

/// Upper bounds in seconds, ascending; one more count is for what is later than all of them.
pub const BOUNDS_S: [u64; 10] =
    [1, 10, 60, 300, 900, 3_600, 6 * 3_600, 86_400, 3 * 86_400, 7 * 86_400];
const SECOND_NS: u64 = 1_000_000_000;

/// Counts of events, by how late they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness([u64; BOUNDS_S.len() + 1]);

impl Lateness {
    /// An event came so many nanoseconds after its time; one from the future came at once.
    pub fn add(&mut self, late_ns: i64) {
        let late_ns = u64::try_from(late_ns).unwrap_or(0);
        self.0[BOUNDS_S.partition_point(|bound| bound * SECOND_NS < late_ns)] += 1;
    }

    /// Adds all of another's.
    pub fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, other)| *mine += other);
    }

    /// How many came within each bound, and last how many there are.
    pub fn within(&self) -> [u64; BOUNDS_S.len() + 1] {
        let mut sum = 0;
        self.0.map(|count| {
            sum += count;
            sum
        })
    }

    /// The bound within which so many percent of all came. None when there were no events or it is later than
    /// all bounds.
    pub fn bound_s(&self, percent: u64) -> Option<u64> {
        let within = self.within();
        let all = within[BOUNDS_S.len()];
        let enough = |count: &u64| all > 0 && count * 100 >= all * percent;
        let at = within.iter().position(enough)?;
        BOUNDS_S.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_count_at_the_first_bound_that_holds_them() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.bound_s(50), None);
        let second = SECOND_NS as i64;
        for late_ns in [-5, 0, second, second + 1, 300 * second, 30 * 86_400 * second] {
            lateness.add(late_ns);
        }
        let mut both = lateness;
        both.join(&lateness);
        assert_eq!(lateness.within(), [3, 4, 4, 5, 5, 5, 5, 5, 5, 5, 6]);
        assert_eq!(both.within()[10], 12);
        let bounds = [50, 66, 67, 83, 84].map(|percent| lateness.bound_s(percent));
        assert_eq!(bounds, [Some(1), Some(10), Some(300), Some(300), None]);
    }
}
