//! Numbers that are added up: exact, so that neither the order of the events nor a restart can change
//! a sum, and of bounded size, so that no event can make adding slow.

use std::fmt;

use crate::number::Number;

/// A decimal number with six places after the point, up to ±10^24.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(i128);

/// Places after the point.
const PLACES: i64 = 6;
const ONE: i128 = 1_000_000;
/// Digits before the point. Sums of fewer than 10^8 numbers fit.
const WHOLE_DIGITS_MAX: i64 = 24;

impl Quantity {
    /// In millionths.
    pub const fn from_millionths(millionths: i128) -> Self {
        Self(millionths)
    }

    /// In millionths.
    pub const fn millionths(self) -> i128 {
        self.0
    }

    /// A whole number.
    pub const fn whole(n: u64) -> Self {
        Self(n as i128 * ONE)
    }

    /// The number, what is beyond the sixth place cut off; `None` when it is too large.
    pub fn of(number: &Number) -> Option<Self> {
        Self::read(number).map(|(quantity, _)| quantity)
    }

    /// The number if it has at most six places.
    pub fn exactly(number: &Number) -> Option<Self> {
        Self::read(number).and_then(|(quantity, exact)| exact.then_some(quantity))
    }

    fn read(number: &Number) -> Option<(Self, bool)> {
        let (negative, digits, point) = number.parts();
        if point > WHOLE_DIGITS_MAX {
            return None;
        }
        let wanted = usize::try_from(point + PLACES).unwrap_or(0);
        let taken = digits.iter().copied().chain(std::iter::repeat(0)).take(wanted);
        let size = taken.fold(0_i128, |n, digit| n * 10 + i128::from(digit));
        let quantity = Self(if negative { -size } else { size });
        Some((quantity, digits.len() <= wanted))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, size) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, rest) = (size / ONE as u128, size % ONE as u128);
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        let places = format!("{rest:06}");
        write!(f, "{sign}{whole}.{}", places.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_decimals() {
        for (text, expected, exact) in [
            ("0", "0", true),
            ("5", "5", true),
            ("-5.25", "-5.25", true),
            ("0.000001", "0.000001", true),
            ("0.0000019", "0.000001", false),
            ("1e3", "1000", true),
            ("1e-9", "0", false),
            ("999999999999999999999999", "999999999999999999999999", true),
        ] {
            let number = Number::parse(text).unwrap();
            assert_eq!(Quantity::of(&number).unwrap().to_string(), expected, "{text}");
            assert_eq!(Quantity::exactly(&number).is_some(), exact, "{text}");
        }
        assert_eq!(Quantity::of(&Number::parse("1e24").unwrap()), None);
        assert_eq!(Quantity::whole(3), Quantity::of(&Number::from(3)).unwrap());
    }
}
