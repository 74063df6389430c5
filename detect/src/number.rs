//! Exact decimal numbers of any size, so that 2^63+1 and 0.1 compare as they are written.

use std::cmp::Ordering;

use event::Value;

/// A decimal number: `±0.d₁d₂d₃… × 10^point`, without leading or trailing zeros in the digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    /// 0 to 9 each; none for zero.
    digits: Vec<u8>,
    /// Position of the decimal point relative to the first digit.
    point: i64,
}

/// Longer texts than this are not numbers to us.
const TEXT_BYTES_MAX: usize = 4096;

impl Number {
    /// Reads decimal text: `-12`, `+0.50`, `1e3`, `.5`. Nothing else around it.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], exponent(&rest[at + 1..])?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let digits = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
        Some(Self::normal(negative, digits, whole.len() as i64 + exponent))
    }

    /// The number of a numeric value.
    pub fn of(value: Value<'_>) -> Option<Self> {
        match value {
            Value::I64(n) => Some(Self::from(n)),
            Value::U64(n) => Self::parse(&n.to_string()),
            // The shortest decimal that reads back as the same float: what the record says.
            Value::F64(n) => Self::parse(&format!("{n:e}")),
            _ => None,
        }
    }

    fn normal(negative: bool, mut digits: Vec<u8>, mut point: i64) -> Self {
        let zeros = digits.iter().take_while(|d| **d == 0).count();
        digits.drain(..zeros);
        point -= zeros as i64;
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            return Self { negative: false, digits, point: 0 };
        }
        Self { negative, digits, point }
    }

    /// The value if it is a whole number in range: the fast path of a matcher.
    pub fn as_i64(&self) -> Option<i64> {
        let whole = self.digits.len() as i64 <= self.point && self.point <= 19;
        if !whole {
            return self.digits.is_empty().then_some(0);
        }
        let padded = self.digits.iter().copied().chain(std::iter::repeat(0));
        let size = padded.take(self.point as usize).fold(0_i128, |n, d| n * 10 + i128::from(d));
        i64::try_from(if self.negative { -size } else { size }).ok()
    }

    /// Whether it is negative, its digits (0 to 9) and the position of the decimal point relative to the
    /// first digit.
    pub fn parts(&self) -> (bool, &[u8], i64) {
        (self.negative, &self.digits, self.point)
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        // Digits have no leading zeros, so the point decides; zero has no digits and is least.
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            _ => self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits)),
        }
    }

    /// Plain decimal without exponent for numbers of ordinary size, else with one.
    pub fn text(&self) -> String {
        if self.digits.is_empty() {
            return "0".to_owned();
        }
        let digits: String = self.digits.iter().map(|d| char::from(b'0' + d)).collect();
        let len = digits.len() as i64;
        let body = match self.point {
            p if !(-18..=40).contains(&p) => format!("0.{digits}e{p}"),
            p if p <= 0 => format!("0.{}{digits}", "0".repeat(p.unsigned_abs() as usize)),
            p if p >= len => format!("{digits}{}", "0".repeat((p - len) as usize)),
            p => format!("{}.{}", &digits[..p as usize], &digits[p as usize..]),
        };
        if self.negative { format!("-{body}") } else { body }
    }
}

/// The exponent's digits; clamped, so that adding to it cannot overflow.
fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
    Some(if text.starts_with('-') { -size } else { size })
}

impl From<i64> for Number {
    fn from(n: i64) -> Self {
        let digits: Vec<u8> = n.unsigned_abs().to_string().bytes().map(|b| b - b'0').collect();
        let point = digits.len() as i64;
        Self::normal(n < 0, digits, point)
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(left: &str, right: &str, expected: Ordering) {
        let (a, b) = (Number::parse(left).unwrap(), Number::parse(right).unwrap());
        assert_eq!(a.cmp(&b), expected, "{left} {right}");
        assert_eq!(b.cmp(&a), expected.reverse(), "{right} {left}");
        assert_eq!(a == b, expected == Ordering::Equal);
    }

    #[test]
    fn compares_exactly() {
        use Ordering::{Equal, Greater, Less};
        check("3", "3.0", Equal);
        check("-0", "0", Equal);
        check("1e3", "1000", Equal);
        check("0.1", "1e-1", Equal);
        check("9223372036854775809", "9223372036854775808", Greater);
        check("99999999999999999999999999", "100000000000000000000000000", Less);
        check("-5", "3", Less);
        check("-5", "-3", Less);
        check("0.30000000000000004", "0.3", Greater);
        check("10", "9", Greater);
        check("0", "0.0001", Less);
        check("0", "-1", Greater);
        check("1e99999999999999999999", "1e5", Greater);
        check("1e-99999999999999999999", "0", Greater);
    }

    #[test]
    fn refuses_what_is_not_decimal() {
        for text in ["", "-", ".", "e3", "1e", "0x10", "1_000", " 1", "1 ", "NaN", "inf", "1.2.3"] {
            assert_eq!(Number::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn text_is_plain_decimal() {
        for (from, to) in [
            ("010.50", "10.5"),
            ("1e3", "1000"),
            ("-0.001", "-0.001"),
            ("0", "0"),
            ("1e100", "0.1e101"),
        ] {
            assert_eq!(Number::parse(from).unwrap().text(), to);
        }
    }

    #[test]
    fn knows_small_whole_numbers() {
        for (text, expected) in [
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1.5", None),
            ("1.0", Some(1)),
            ("0", Some(0)),
            ("1e18", Some(1_000_000_000_000_000_000)),
        ] {
            assert_eq!(Number::parse(text).unwrap().as_i64(), expected, "{text}");
        }
        assert_eq!(Number::of(Value::F64(0.1)), Number::parse("0.1"));
        assert_eq!(Number::of(Value::U64(u64::MAX)), Number::parse("18446744073709551615"));
        assert_eq!(Number::of(Value::F64(3.0)), Some(Number::from(3)));
    }
}
