//! Endless ordinary events, for benchmarks and soak tests.

use event::Timestamp;

use crate::company::Company;
use crate::day::{Mark, Planned, What};
use crate::flow::Flow;
use crate::log::Log;
use crate::rng::{self, Rng};
use crate::shot::Shot;

/// How often each log type comes, in the order of [`Log::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix(pub [u32; 6]);

impl Mix {
    /// One log type alone.
    pub fn only(log: Log) -> Self {
        let mut shares = [0; 6];
        shares[log as usize] = 1;
        Self(shares)
    }
}

/// About as on a day of the company.
impl Default for Mix {
    fn default() -> Self {
        Self([620, 860, 1, 125, 170, 520])
    }
}

/// An endless stream of ordinary events with identities that never repeat. No rule of the project
/// alerts on them. Memory does not grow.
pub struct Load {
    company: Company,
    shares: [u64; 6],
    rng: Rng,
    seed: u64,
    n: u64,
    now: i64,
    step_ns: i64,
}

impl Load {
    /// From `start` on, with `per_second` events of simulated time a second.
    ///
    /// # Panics
    /// When the mix is empty or `per_second` is 0.
    pub fn new(seed: u64, start: Timestamp, per_second: u32, mix: Mix) -> Self {
        let mut sum = 0;
        let shares = mix.0.map(|share| {
            sum += u64::from(share);
            sum
        });
        assert!(sum > 0, "a load needs at least one log type");
        assert!(per_second > 0, "time must pass");
        Self {
            company: Company::new(seed),
            shares,
            rng: Rng::new(seed, 3),
            seed: rng::mix(seed ^ 0x10ad),
            n: 0,
            now: start.0,
            step_ns: 1_000_000_000 / i64::from(per_second),
        }
    }

    /// Replaces `line` by the next one.
    pub fn next_into(&mut self, line: &mut String) -> Log {
        let at = self.rng.below(self.shares[5]);
        let log = Log::ALL[self.shares.partition_point(|upto| *upto <= at)];
        let what = if log == Log::VpcFlow {
            What::Flow(Flow::ordinary(&self.company, &mut self.rng))
        } else {
            let kind = self.company.templates.benign(log, &mut self.rng);
            What::Shot(Shot::ordinary(&self.company, kind, &mut self.rng))
        };
        let planned = Planned { at: Timestamp(self.now), n: self.n, what, mark: Mark::Ordinary };
        self.n += 1;
        self.now += self.step_ns;
        line.clear();
        self.company.write(self.seed, &planned, line)
    }
}

impl Iterator for Load {
    type Item = (Log, String);

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = String::new();
        let log = self.next_into(&mut line);
        Some((log, line))
    }
}
