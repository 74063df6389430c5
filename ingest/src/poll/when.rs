//! The forms in which vendors take and give points in time. Milliseconds since 1970 in UTC inside.

use event::Timestamp;
use serde::Deserialize;

/// How a vendor writes a point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `2026-03-01T12:00:00.123Z`; also read with an offset.
    #[default]
    Rfc3339,
    /// `2026-03-01T12:00:00Z`: the vendor refuses or ignores fractions.
    Rfc3339S,
    /// `2026-03-01T12:00:00`: UTC without saying so.
    Bare,
    /// Whole seconds since 1970.
    UnixS,
    /// Milliseconds since 1970.
    UnixMs,
    /// `20260301120000`: digits alone, in UTC.
    Compact,
    /// `2026-03-01`: the vendor takes whole days in UTC, the last one included.
    Date,
}

impl Form {
    /// What a time given to the vendor is rounded to.
    pub fn granule_ms(self) -> i64 {
        match self {
            Self::Rfc3339 | Self::UnixMs => 1,
            Self::Rfc3339S | Self::Bare | Self::UnixS | Self::Compact | Self::Date => 1_000,
        }
    }

    /// So much more than it is asked for a vendor may give at both ends.
    pub fn excess_ms(self) -> i64 {
        if self == Self::Date { 86_400_000 } else { 0 }
    }

    /// The time as the vendor takes it, rounded towards the past.
    pub fn write(self, ms: i64) -> String {
        let seconds = Timestamp::from_millis(ms.div_euclid(1_000) * 1_000);
        match self {
            Self::UnixS => ms.div_euclid(1_000).to_string(),
            Self::UnixMs => ms.to_string(),
            Self::Rfc3339S => seconds.to_string(),
            Self::Compact => {
                let seconds = seconds.to_string();
                seconds.chars().filter(char::is_ascii_digit).collect()
            }
            Self::Date => seconds.to_string().chars().take(10).collect(),
            Self::Bare => seconds.to_string().trim_end_matches('Z').to_owned(),
            Self::Rfc3339 => {
                let seconds = seconds.to_string();
                format!("{}.{:03}Z", seconds.trim_end_matches('Z'), ms.rem_euclid(1_000))
            }
        }
    }

    /// The time that a vendor wrote.
    pub fn read(self, text: &str) -> Option<i64> {
        match self {
            Self::UnixS => {
                let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
                let seconds = seconds.parse::<i64>().ok()?.checked_mul(1_000)?;
                Some(seconds + i64::from(millis(fraction)?))
            }
            Self::UnixMs => text.parse().ok(),
            Self::Compact => compact(text),
            Self::Date => rfc3339(&format!("{text}T00:00:00")),
            Self::Rfc3339 | Self::Rfc3339S | Self::Bare => rfc3339(text),
        }
    }
}

fn compact(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
    let date = (i64::from(number(0, 4)?), number(4, 6)?, number(6, 8)?);
    let time = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    let read = Timestamp::from_civil(date, time, 0).filter(|_| text.len() == 14);
    read.map(|time| time.0.div_euclid(1_000_000))
}

/// With any number of fraction digits, `Z`, an offset with or without colon, or no zone: UTC.
fn rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let is_shaped = bytes.len() >= 19
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't' | b' ')
        && bytes[13] == b':'
        && bytes[16] == b':';
    if !is_shaped {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u32>().ok();
    let date = (i64::from(number(0, 4)?), number(5, 7)?, number(8, 10)?);
    let time = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let mut rest = text.get(19..)?;
    let mut ms = Timestamp::from_civil(date, time, 0)?.0 / 1_000_000;
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        ms += i64::from(millis(&fraction[..len])?);
        rest = &fraction[len..];
    }
    Some(ms - offset_ms(rest.trim())?)
}

fn offset_ms(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i64>().ok();
    let minutes = number(0, 2)? * 60 + number(2, 4)?;
    (digits.len() == 4).then_some(sign * minutes * 60_000)
}

/// The first three digits of a fraction.
fn millis(fraction: &str) -> Option<u16> {
    let digits = fraction.bytes().all(|b| b.is_ascii_digit());
    let first: String = fraction.chars().chain("000".chars()).take(3).collect();
    if digits { first.parse().ok() } else { None }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// A date as in the headers `Date` and `Retry-After`: `Tue, 21 Aug 2012 17:29:18 GMT`.
pub fn read_http_date(text: &str) -> Option<i64> {
    let (_, rest) = text.trim().split_once(", ")?;
    let mut words = rest.split_ascii_whitespace();
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let mut clock = words.next()?.splitn(3, ':').map(|n| n.parse::<u32>().ok());
    let zone = words.next()?;
    let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))?;
    let date = (year.parse().ok()?, month as u32 + 1, day.parse().ok()?);
    let time = (clock.next()??, clock.next()??, clock.next()??);
    let is_utc = matches!(zone, "GMT" | "UTC" | "+0000" | "-0000");
    if is_utc { Some(Timestamp::from_civil(date, time, 0)?.0 / 1_000_000) } else { None }
}

/// A date as RFC 2822 has it, with the zone `-0000`.
pub fn write_mail_date(ms: i64) -> String {
    let at = Timestamp::from_millis(ms);
    let (year, month, day, hour, minute, second, _) = at.civil();
    let weekday = DAYS[ms.div_euclid(86_400_000).rem_euclid(7) as usize];
    let month = MONTHS[month as usize - 1];
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} -0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_vendor_takes_them() {
        let ms = 1_767_322_800_123;
        for (form, expected) in [
            (Form::Rfc3339, "2026-01-02T03:00:00.123Z"),
            (Form::Rfc3339S, "2026-01-02T03:00:00Z"),
            (Form::Bare, "2026-01-02T03:00:00"),
            (Form::UnixS, "1767322800"),
            (Form::UnixMs, "1767322800123"),
        ] {
            assert_eq!(form.write(ms), expected);
            assert_eq!(form.read(expected), Some(ms - ms % form.granule_ms()));
        }
    }

    #[test]
    fn times_are_read_as_vendors_write_them() {
        for (text, expected) in [
            ("2026-01-02T03:00:00.1239999Z", Some(1_767_322_800_123)),
            ("2026-01-02T05:00:00.5+02:00", Some(1_767_322_800_500)),
            ("2026-01-02 03:00:00.000 +0000", Some(1_767_322_800_000)),
            ("2026-01-01T22:00:00-0500", Some(1_767_322_800_000)),
            ("2026-01-02T03:00", None),
            ("2026-13-02T03:00:00Z", None),
            ("2026-01-02T03:00:00CET", None),
            ("yesterday, at noon, really", None),
        ] {
            assert_eq!(Form::Rfc3339.read(text), expected, "{text}");
        }
        assert_eq!(Form::UnixS.read("1767322800.25"), Some(1_767_322_800_250));
        assert_eq!(Form::UnixS.read("99999999999999999999"), None);
    }

    #[test]
    fn header_dates_go_both_ways() {
        let ms = 1_345_570_158_000;
        assert_eq!(write_mail_date(ms), "Tue, 21 Aug 2012 17:29:18 -0000");
        assert_eq!(read_http_date("Tue, 21 Aug 2012 17:29:18 GMT"), Some(ms));
        assert_eq!(read_http_date("Tue, 21 Aug 2012 17:29:18 -0000"), Some(ms));
        assert_eq!(read_http_date("120"), None);
    }
}
