//! Points in time. This module parses nothing: the forms that vendors write are `normalize`'s.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in time, in nanoseconds since 1970-01-01T00:00:00Z. Covers the years 1677 to 2262.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;
/// Nanoseconds in an hour, the grain of the lake's partitions.
pub const HOUR_NS: i64 = 3_600 * 1_000_000_000;

impl Timestamp {
    /// From microseconds, the resolution of Parquet columns. Saturates.
    pub const fn from_micros(us: i64) -> Self {
        Self(us.saturating_mul(1_000))
    }

    /// From milliseconds. Saturates.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch, rounded towards the past.
    pub const fn micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole hours since the epoch, rounded towards the past.
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(HOUR_NS)
    }

    /// Calendar fields in UTC: year, month, day, hour, minute, second, nanosecond.
    pub const fn civil(self) -> (i64, u32, u32, u32, u32, u32, u32) {
        let secs = self.0.div_euclid(1_000_000_000);
        let nanos = self.0.rem_euclid(1_000_000_000) as u32;
        let days = secs.div_euclid(86_400);
        let rem = secs.rem_euclid(86_400) as u32;
        let (y, m, d) = civil_from_days(days);
        (y, m, d, rem / 3_600, rem / 60 % 60, rem % 60, nanos)
    }

    /// From calendar fields in UTC; `None` when a field is out of its range.
    pub fn from_civil(date: (i64, u32, u32), time: (u32, u32, u32), nanos: u32) -> Option<Self> {
        let (y, m, d) = date;
        let (hh, mm, ss) = time;
        // Second 60 is a leap second; it is kept as the second before it ends.
        let in_range = (1..=12).contains(&m)
            && d >= 1
            && d <= days_in_month(y, m)
            && hh < 24
            && mm < 60
            && ss <= 60
            && nanos < 1_000_000_000;
        if !in_range {
            return None;
        }
        let secs = days_from_civil(y, m, d) * 86_400
            + i64::from(hh) * 3_600
            + i64::from(mm) * 60
            + i64::from(ss.min(59));
        secs.checked_mul(1_000_000_000)?.checked_add(i64::from(nanos)).map(Self)
    }
}

/// RFC 3339 in UTC with as many fraction digits as needed: none, 3, 6 or 9.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, mo, d, h, mi, s, n) = self.civil();
        write!(f, "{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}")?;
        if n == 0 {
        } else if n.is_multiple_of(1_000_000) {
            write!(f, ".{:03}", n / 1_000_000)?;
        } else if n.is_multiple_of(1_000) {
            write!(f, ".{:06}", n / 1_000)?;
        } else {
            write!(f, ".{n:09}")?;
        }
        f.write_str("Z")
    }
}

const fn is_leap(y: i64) -> bool {
    y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)
}

const fn days_in_month(y: i64, m: u32) -> u32 {
    match m {
        2 if is_leap(y) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date, counted in 400-year eras from 1 March.
const fn days_from_civil(y: i64, m: u32, d: u32) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let month_from_march = (m as i64 + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + d as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

const fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let m = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    (yoe + era * 400 + (m <= 2) as i64, m, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ns: i64, text: &str) {
        assert_eq!(Timestamp(ns).to_string(), text);
    }

    #[test]
    fn shows_as_rfc_3339() {
        check(0, "1970-01-01T00:00:00Z");
        check(-1, "1969-12-31T23:59:59.999999999Z");
        check(951_827_696_789_000_000, "2000-02-29T12:34:56.789Z");
        check(4_070_908_800_000_000_000, "2099-01-01T00:00:00Z");
        check(1_600_000_000_000_001_000, "2020-09-13T12:26:40.000001Z");
    }

    #[test]
    fn civil_fields_come_back() {
        for day in (-100_000..100_000_i64).step_by(17) {
            let t = Timestamp(day * 86_400_000_000_000 / 2 + 123_456_789);
            let (y, m, d, h, mi, s, n) = t.civil();
            assert_eq!(Timestamp::from_civil((y, m, d), (h, mi, s), n), Some(t));
        }
        assert_eq!(Timestamp::from_civil((2023, 2, 29), (0, 0, 0), 0), None);
        assert_eq!(Timestamp::from_civil((2023, 13, 1), (0, 0, 0), 0), None);
        assert_eq!(Timestamp::from_civil((9999, 1, 1), (0, 0, 0), 0), None, "beyond i64");
    }
}
