//! Parts of a timestamp, read from the text as it is written: `hour` of `…T23:10:00+02:00` is 23.
//! No time zone is applied. Numbers are seconds, milliseconds, microseconds or nanoseconds since
//! 1970 in UTC, told apart by their size.

use event::Timestamp;

use crate::ir::TimePart;
use crate::value::Seen;

/// Year, month, day, hour, minute as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    year: i64,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
}

/// The part of the timestamp that a value is, if it is one.
pub fn part_of(seen: &Seen<'_>, part: TimePart) -> Option<i64> {
    let written = match seen.string() {
        Some(text) => in_text(text.trim())?,
        None => of_epoch(seen.number()?.as_i64()?)?,
    };
    Some(match part {
        TimePart::Minute => written.minute.into(),
        TimePart::Hour => written.hour.into(),
        TimePart::Day => written.day.into(),
        TimePart::Month => written.month.into(),
        TimePart::Year => written.year,
        TimePart::Week => iso_week(written)?,
    })
}

fn in_text(text: &str) -> Option<Written> {
    if let Ok(n) = text.parse::<i64>() {
        return of_epoch(n);
    }
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        let digits = bytes.get(from..to)?;
        let all = digits.iter().all(u8::is_ascii_digit);
        all.then(|| digits.iter().fold(0_u32, |n, d| n * 10 + u32::from(d - b'0')))
    };
    let separator = *bytes.get(4)?;
    if !matches!(separator, b'-' | b'/') || bytes.get(7) != Some(&separator) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute) = match bytes.get(10) {
        None => (0, 0),
        Some(b'T' | b't' | b' ') if bytes.get(13) == Some(&b':') => {
            (number(11, 13)?, number(14, 16)?)
        }
        Some(_) => return None,
    };
    let written = Written { year: year.into(), month, day, hour, minute };
    Timestamp::from_civil((written.year, month, day), (hour, minute, 0), 0).map(|_| written)
}

fn of_epoch(n: i64) -> Option<Written> {
    let nanos = match n.unsigned_abs() {
        0..100_000_000_000 => n.checked_mul(1_000_000_000)?,
        100_000_000_000..100_000_000_000_000 => n.checked_mul(1_000_000)?,
        100_000_000_000_000..100_000_000_000_000_000 => n.checked_mul(1_000)?,
        _ => n,
    };
    let (year, month, day, hour, minute, ..) = Timestamp(nanos).civil();
    Some(Written { year, month, day, hour, minute })
}

/// The ISO 8601 week: weeks begin on Monday, week 1 holds the year's first Thursday.
fn iso_week(w: Written) -> Option<i64> {
    let days = |y, m, d| Some(Timestamp::from_civil((y, m, d), (0, 0, 0), 0)?.hour() / 24);
    let today = days(w.year, w.month, w.day)?;
    // 1970-01-01 was a Thursday.
    let thursday = today - (today + 3).rem_euclid(7) + 3;
    let (year, ..) =
        Timestamp(thursday.checked_mul(24)?.checked_mul(event::time::HOUR_NS)?).civil();
    Some((thursday - days(year, 1, 1)?) / 7 + 1)
}

#[cfg(test)]
mod tests {
    use event::Value;

    use super::*;

    fn check(value: Value<'_>, part: TimePart, expected: Option<i64>) {
        assert_eq!(part_of(&Seen::new(value), part), expected, "{value:?} {part:?}");
    }

    #[test]
    fn text_as_written() {
        use TimePart::{Day, Hour, Minute, Month, Week, Year};
        let text = Value::Str("2026-03-01T23:09:59.123+02:00");
        for (part, expected) in
            [(Year, 2026), (Month, 3), (Day, 1), (Hour, 23), (Minute, 9), (Week, 9)]
        {
            check(text, part, Some(expected));
        }
        check(Value::Str("2026/03/01 07:05:00"), Hour, Some(7));
        check(Value::Str("2026-03-01"), Hour, Some(0));
        check(Value::Str("2026-13-01"), Month, None);
        check(Value::Str("yesterday"), Hour, None);
        check(Value::Str("2026-03-01Ü09:59"), Hour, None);
        check(Value::Str(""), Hour, None);
    }

    #[test]
    fn weeks_are_iso_weeks() {
        for (text, week) in [
            ("2021-01-03", 53),
            ("2021-01-04", 1),
            ("2024-12-30", 1),
            ("2020-12-31", 53),
            ("1969-12-29", 1),
        ] {
            check(Value::Str(text), TimePart::Week, Some(week));
        }
    }

    #[test]
    fn epochs_of_any_unit() {
        for n in [1_600_000_000, 1_600_000_000_000, 1_600_000_000_000_000] {
            check(Value::I64(n), TimePart::Hour, Some(12));
            check(Value::I64(n), TimePart::Year, Some(2020));
        }
        check(Value::Str("1600000000"), TimePart::Minute, Some(26));
        check(Value::Bool(true), TimePart::Minute, None);
    }
}
