//! The times of older syslog: `Mar  1 09:00:00.123 2026 +02:00`, of which all but day and time may be
//! missing.

use event::Timestamp;

use super::{Cursor, at_zone};

/// A time that may lack its year.
struct Written {
    year: Option<i64>,
    /// Month and day.
    day: (u32, u32),
    time: (u32, u32, u32),
    nanos: u32,
    east_s: i64,
}

impl Written {
    fn read(text: &str) -> Option<Self> {
        let mut c = Cursor(text);
        let month = c.month()?;
        c.0 = c.0.trim_start();
        let day = c.digits(2).or_else(|| c.digits(1))?;
        c.0 = c.0.trim_start();
        let mut year = c.year();
        let hour = c.digits(2).or_else(|| c.digits(1))?;
        c.expect(&[':'])?;
        let minute = c.digits(2)?;
        c.expect(&[':'])?;
        let second = c.digits(2)?;
        let nanos = c.fraction()?;
        c.0 = c.0.trim_start();
        year = year.or_else(|| c.year());
        let east_s = c.zone()?;
        Some(Self { year, day: (month, day), time: (hour, minute, second), nanos, east_s })
    }

    fn of(&self, year: i64) -> Option<Timestamp> {
        at_zone((year, self.day.0, self.day.1), self.time, self.nanos, self.east_s)
    }
}

impl Cursor<'_> {
    /// Four digits and a blank or the end.
    fn year(&mut self) -> Option<i64> {
        let before = self.0;
        let year = self.digits(4).filter(|_| self.0.is_empty() || self.0.starts_with(' '));
        match year {
            Some(_) => self.0 = self.0.trim_start(),
            None => self.0 = before,
        }
        year.map(i64::from)
    }
}

/// A time with its year.
pub(super) fn dated(text: &str) -> Option<Timestamp> {
    let written = Written::read(text)?;
    written.of(written.year?)
}

/// A time without a year, in the year that brings it closest to `now`.
pub(super) fn near(text: &str, now: Timestamp) -> Option<Timestamp> {
    let written = Written::read(text).filter(|written| written.year.is_none())?;
    let (this, ..) = now.civil();
    let years = (this - 1..=this + 1).filter_map(|year| written.of(year));
    years.min_by_key(|time| time.0.abs_diff(now.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::{Form, parse};

    #[test]
    fn a_year_that_is_missing_is_the_closest() {
        let check = |text: &str, now: &str, expected: Option<&str>| {
            let now = parse(now, Form::Rfc3339).unwrap();
            let read = near(text, now).map(|time| time.to_string());
            assert_eq!(read.as_deref(), expected, "{text} at {now}");
        };
        check("Mar  1 09:00:00", "2026-03-01T09:00:05Z", Some("2026-03-01T09:00:00Z"));
        check("Dec 31 23:59:59", "2026-01-01T00:00:01Z", Some("2025-12-31T23:59:59Z"));
        check("Jan  1 00:30:00", "2025-12-31T23:59:59Z", Some("2026-01-01T00:30:00Z"));
        check("Jan 1 01:30:00 +02:00", "2026-01-01T00:00:00Z", Some("2025-12-31T23:30:00Z"));
        check("Feb 29 1:00:00.5", "2024-03-01T00:00:00Z", Some("2024-02-29T01:00:00.500Z"));
        check("Feb 29 01:00:00", "2026-03-01T00:00:00Z", None);
        check("Mar  1 2026 09:00:00", "2026-03-01T09:00:05Z", None);
        check("Mar 32 09:00:00", "2026-03-01T09:00:05Z", None);
    }

    #[test]
    fn a_year_stands_before_or_after_the_time() {
        let check = |text: &str, expected: Option<&str>| {
            let read = parse(text, Form::Syslog).map(|time| time.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("Apr 19 2026 12:34:56", Some("2026-04-19T12:34:56Z"));
        check("Apr  9 12:34:56.25 2026 UTC", Some("2026-04-09T12:34:56.250Z"));
        check("Apr 9 2026 12:34:56 -0130", Some("2026-04-09T14:04:56Z"));
        check("2026-04-09T12:34:56+02:00", Some("2026-04-09T10:34:56Z"));
        check("Apr 9 12:34:56", None);
        check("Apr 9 2026 12:34:56 CET", None);
        check("1772355600", None);
    }
}
