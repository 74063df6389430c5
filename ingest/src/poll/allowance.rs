//! How often a credential may ask: at most so many requests in any stretch of time, and not before the
//! vendor's own word. Shared by everything that uses the credential. Pure: time is an argument.

use std::collections::VecDeque;

/// The limit of one credential.
#[derive(Clone, Debug)]
pub struct Allowance {
    requests: usize,
    per_ms: i64,
    /// When the last requests went out.
    sent_ms: VecDeque<i64>,
    /// The vendor has said to wait until then.
    paused_until_ms: i64,
}

impl Allowance {
    /// At most `requests` in any `per_ms`.
    pub fn new(requests: usize, per_ms: i64) -> Self {
        let requests = requests.max(1);
        Self { requests, per_ms, sent_ms: VecDeque::new(), paused_until_ms: i64::MIN }
    }

    /// Nothing is known of what was sent before now: as much as is allowed.
    pub fn exhaust(&mut self, now_ms: i64) {
        self.sent_ms = std::iter::repeat_n(now_ms, self.requests).collect();
    }

    /// Requests of the allowance that whoever can wait leaves to the others: half of them.
    pub fn half(&self) -> usize {
        self.requests / 2
    }

    /// Whether a request may go out now, or when it may. So many requests are left to others.
    pub fn check(&mut self, now_ms: i64, left: usize) -> Result<(), i64> {
        if now_ms < self.paused_until_ms {
            return Err(self.paused_until_ms);
        }
        // A clock that was set back must not hold everything up for as long as it was ahead.
        while self.sent_ms.back().is_some_and(|last| *last > now_ms) {
            self.sent_ms.pop_back();
        }
        while self.sent_ms.front().is_some_and(|first| *first <= now_ms - self.per_ms) {
            self.sent_ms.pop_front();
        }
        let most = self.requests.saturating_sub(left).max(1);
        match self.sent_ms.len().checked_sub(most) {
            Some(over) => Err(self.sent_ms[over] + self.per_ms),
            None => Ok(()),
        }
    }

    /// A request goes out now.
    pub fn take(&mut self, now_ms: i64) {
        self.sent_ms.push_back(now_ms);
    }

    /// The vendor says to wait.
    pub fn pause(&mut self, until_ms: i64) {
        self.paused_until_ms = self.paused_until_ms.max(until_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_stretch_of_time_holds_more_than_the_limit(
            requests in 1usize..6,
            per_ms in 1i64..200,
            steps in prop::collection::vec(0i64..60, 1..200),
        ) {
            let mut allowance = Allowance::new(requests, per_ms);
            let (mut now, mut sent) = (0, Vec::new());
            for step in steps {
                now += step;
                match allowance.check(now, 0) {
                    Ok(()) => {
                        allowance.take(now);
                        sent.push(now);
                    }
                    Err(until) => prop_assert!(until > now && until <= now + per_ms),
                }
            }
            for window in sent.windows(requests + 1) {
                prop_assert!(window[requests] - window[0] >= per_ms);
            }
        }
    }

    #[test]
    fn the_vendor_has_the_last_word() {
        let mut allowance = Allowance::new(10, 1_000);
        allowance.pause(500);
        allowance.pause(300);
        assert_eq!(allowance.check(0, 0), Err(500));
        assert_eq!(allowance.check(500, 0), Ok(()));
        assert_eq!(allowance.check(100, 0), Err(500), "set back");
    }

    #[test]
    fn who_can_wait_leaves_half_to_the_others() {
        let mut allowance = Allowance::new(4, 1_000);
        let left = allowance.half();
        for at in [0, 10] {
            assert_eq!(allowance.check(at, left), Ok(()));
            allowance.take(at);
        }
        assert_eq!(allowance.check(20, left), Err(1_000));
        for at in [20, 30] {
            assert_eq!(allowance.check(at, 0), Ok(()));
            allowance.take(at);
        }
        assert_eq!(allowance.check(40, left), Err(1_020), "until two of the four are over");
        assert_eq!(allowance.check(40, 0), Err(1_000));
        let mut single = Allowance::new(1, 1_000);
        assert_eq!(single.check(0, single.half()), Ok(()));
    }
}
