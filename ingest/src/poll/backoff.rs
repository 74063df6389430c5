//! Pauses after failures: exponential with full jitter, so that many collectors that fail together do not
//! come back together. Pure: chance comes from a seed.

const FIRST_MS: i64 = 1_000;
/// No pause is longer, unless the vendor asks for it.
pub const PAUSE_MS_MAX: i64 = 300_000;

/// A seeded sequence of numbers, for jitter and nothing that must be secret.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next of the sequence (SplitMix64).
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }
}

/// How long to wait after so many failures in a row, the first being 1.
pub fn pause_ms(failures: u32, chance: &mut Chance) -> i64 {
    let doubled = FIRST_MS.saturating_mul(1 << failures.saturating_sub(1).min(20));
    let most = doubled.min(PAUSE_MS_MAX);
    chance.below(most as u64 + 1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_spread_and_end() {
        let mut chance = Chance::new(7);
        for (failures, most) in [(1, 1_000), (2, 2_000), (5, 16_000), (40, PAUSE_MS_MAX)] {
            let pauses: Vec<i64> = (0..1_000).map(|_| pause_ms(failures, &mut chance)).collect();
            assert!(pauses.iter().all(|p| (0..=most).contains(p)));
            let mean = pauses.iter().sum::<i64>() / 1_000;
            assert!((most * 2 / 5..most * 3 / 5).contains(&mean), "{failures}: {mean}");
        }
    }
}
