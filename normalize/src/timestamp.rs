//! The forms in which vendors write points in time.
//!
//! Text without a zone is UTC: the vendors that leave it out say so in their contracts. Fractions of
//! any length are read and cut to nanoseconds. Nothing here knows what time it is now.

mod syslog;

use event::{Timestamp, Value};
use serde::Deserialize;

/// How a timestamp field is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Text by its shape, numbers by their magnitude.
    #[default]
    Auto,
    /// RFC 3339 and its common deviations: no zone, a space for the `T`, an offset without colon.
    Rfc3339,
    /// Seconds since 1970, with or without a fraction.
    EpochS,
    /// Milliseconds since 1970.
    EpochMs,
    /// Microseconds since 1970.
    EpochUs,
    /// Nanoseconds since 1970.
    EpochNs,
    /// As syslog writes it: RFC 3339, or `Mar  1 09:00:00` with or without a year.
    Syslog,
}

/// Reads a value of a document. `None` when it has another form or lies outside 1677 to 2262.
pub fn read(value: Value<'_>, form: Form) -> Option<Timestamp> {
    match value {
        Value::Str(text) => parse(text, form),
        Value::I64(n) => from_integer(n, form),
        Value::F64(n) => from_float(n, form),
        _ => None,
    }
}

/// Reads text. Numbers in text count as numbers unless the form is [`Form::Rfc3339`].
pub fn parse(text: &str, form: Form) -> Option<Timestamp> {
    let text = text.trim();
    match form {
        Form::Rfc3339 => calendar(text),
        Form::Syslog => calendar(text).or_else(|| syslog::dated(text)),
        Form::Auto => compact(text)
            .or_else(|| calendar(text))
            .or_else(|| web_server(text))
            .or_else(|| twelve_hours(text))
            .or_else(|| number(text, form)),
        _ => number(text, form),
    }
}

/// As [`read`], of text that may leave out its year: it is the one that brings it closest to `now`.
pub fn near(value: Value<'_>, form: Form, now: Timestamp) -> Option<Timestamp> {
    match value {
        Value::Str(text) if form == Form::Syslog => syslog::near(text.trim(), now),
        _ => None,
    }
}

/// Nanoseconds in one unit of the form, chosen by magnitude where the form leaves it open: the
/// limits keep every unit right for the years 1973 to 5138.
fn unit_ns(n: i64, form: Form) -> Option<i64> {
    Some(match form {
        Form::EpochS => 1_000_000_000,
        Form::EpochMs => 1_000_000,
        Form::EpochUs => 1_000,
        Form::EpochNs => 1,
        Form::Rfc3339 | Form::Syslog => return None,
        Form::Auto => match n.unsigned_abs() {
            0..100_000_000_000 => 1_000_000_000,
            100_000_000_000..100_000_000_000_000 => 1_000_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1_000,
            _ => 1,
        },
    })
}

fn from_integer(n: i64, form: Form) -> Option<Timestamp> {
    n.checked_mul(unit_ns(n, form)?).map(Timestamp)
}

fn from_float(n: f64, form: Form) -> Option<Timestamp> {
    let whole = n.trunc();
    if !whole.is_finite() || whole.abs() > 9e18 {
        return None;
    }
    let unit = unit_ns(whole as i64, form)?;
    // A binary fraction of seconds near 2^31 is exact to about 200 ns: keep microseconds.
    let fraction = ((n - whole) * 1e6).round() as i64;
    let part = fraction.checked_mul(unit)? / 1_000_000;
    (whole as i64).checked_mul(unit)?.checked_add(part).map(Timestamp)
}

/// `1635962410`, `1635962410.342`, `-1`: exact, without a detour over binary fractions.
fn number(text: &str, form: Form) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let n: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let unit = unit_ns(n, form)?;
    let part = i64::from(fraction_ns(fraction)) * (unit / 1_000) / 1_000_000;
    let part = if whole.starts_with('-') { -part } else { part };
    n.checked_mul(unit)?.checked_add(part).map(Timestamp)
}

/// The first nine digits of a fraction as nanoseconds.
fn fraction_ns(digits: &str) -> u32 {
    let digits = digits.as_bytes();
    (0..9).fold(0, |ns, i| ns * 10 + digits.get(i).map_or(0, |d| u32::from(d - b'0')))
}

/// Reads text from the left.
struct Cursor<'t>(&'t str);

impl<'t> Cursor<'t> {
    fn digits(&mut self, count: usize) -> Option<u32> {
        let head = self.0.get(..count)?;
        if !head.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        self.0 = &self.0[count..];
        head.parse().ok()
    }

    fn any(&mut self, of: &[char]) -> bool {
        let rest = self.0.strip_prefix(of);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Three letters of a month, 1 to 12.
    fn month(&mut self) -> Option<u32> {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (name, rest) = self.0.split_at_checked(3)?;
        let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
        self.0 = rest;
        Some(month as u32 + 1)
    }

    fn expect(&mut self, of: &[char]) -> Option<()> {
        self.any(of).then_some(())
    }

    /// Digits after a point or comma, as nanoseconds; 0 when there is none.
    fn fraction(&mut self) -> Option<u32> {
        if !self.any(&['.', ',']) {
            return Some(0);
        }
        let len = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let digits: &'t str = &self.0[..len];
        self.0 = &self.0[len..];
        (len > 0).then(|| fraction_ns(digits))
    }

    /// A zone as seconds east of UTC; nothing is UTC.
    fn zone(&mut self) -> Option<i64> {
        self.0 = self.0.trim_start();
        if self.0.is_empty() || matches!(self.0, "Z" | "z" | "UTC" | "GMT") {
            return Some(0);
        }
        let east = if self.any(&['+']) { 1 } else { -1 };
        if east < 0 {
            self.expect(&['-', '\u{2212}'])?;
        }
        let hours = self.digits(2)?;
        let minutes = if self.0.is_empty() {
            0
        } else {
            self.any(&[':']);
            self.digits(2)?
        };
        let in_range = hours < 24 && minutes < 60 && self.0.is_empty();
        in_range.then(|| east * (i64::from(hours) * 3_600 + i64::from(minutes) * 60))
    }
}

fn at_zone(
    date: (i64, u32, u32),
    time: (u32, u32, u32),
    nanos: u32,
    east_s: i64,
) -> Option<Timestamp> {
    let local = Timestamp::from_civil(date, time, nanos)?;
    local.0.checked_sub(east_s * 1_000_000_000).map(Timestamp)
}

/// `2020-06-15T12:00:00.000Z` and its deviations; a date alone is its midnight.
fn calendar(text: &str) -> Option<Timestamp> {
    let mut c = Cursor(text);
    let year = i64::from(c.digits(4)?);
    c.expect(&['-', '/'])?;
    let month = c.digits(2)?;
    c.expect(&['-', '/'])?;
    let day = c.digits(2)?;
    if c.0.is_empty() {
        return Timestamp::from_civil((year, month, day), (0, 0, 0), 0);
    }
    c.expect(&['T', 't', ' '])?;
    let hour = c.digits(2)?;
    c.expect(&[':'])?;
    let minute = c.digits(2)?;
    let second = if c.any(&[':']) { c.digits(2)? } else { 0 };
    let nanos = c.fraction()?;
    let east_s = c.zone()?;
    at_zone((year, month, day), (hour, minute, second), nanos, east_s)
}

/// `20211005034406.123`, always UTC.
fn compact(text: &str) -> Option<Timestamp> {
    let mut c = Cursor(text);
    let year = i64::from(c.digits(4)?);
    let date = (year, c.digits(2)?, c.digits(2)?);
    let time = (c.digits(2)?, c.digits(2)?, c.digits(2)?);
    let nanos = c.fraction()?;
    if !(c.0.is_empty() || c.0 == "Z") {
        return None;
    }
    Timestamp::from_civil(date, time, nanos)
}

/// `[06/Feb/2019:00:00:38 +0000]`, the form of web servers.
fn web_server(text: &str) -> Option<Timestamp> {
    let text = text.strip_prefix('[').unwrap_or(text);
    let mut c = Cursor(text.strip_suffix(']').unwrap_or(text));
    let day = c.digits(2)?;
    c.expect(&['/'])?;
    let month = c.month()?;
    c.expect(&['/'])?;
    let year = i64::from(c.digits(4)?);
    c.expect(&[':'])?;
    let hour = c.digits(2)?;
    c.expect(&[':'])?;
    let minute = c.digits(2)?;
    c.expect(&[':'])?;
    let second = c.digits(2)?;
    let nanos = c.fraction()?;
    let east_s = c.zone()?;
    at_zone((year, month, day), (hour, minute, second), nanos, east_s)
}

/// `8/22/2022 6:07:16 PM`: month first, always UTC.
fn twelve_hours(text: &str) -> Option<Timestamp> {
    let mut parts = text.split_ascii_whitespace();
    let (date, time, half) = (parts.next()?, parts.next()?, parts.next()?);
    let mut numbers = [0; 6];
    let texts = date.split('/').chain(time.split(':'));
    if parts.next().is_some() || date.matches('/').count() != 2 || time.matches(':').count() != 2 {
        return None;
    }
    for (number, digits) in numbers.iter_mut().zip(texts) {
        *number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    }
    let [month, day, year, hour, minute, second] = numbers;
    let hour = match half {
        "AM" if hour <= 12 => hour % 12,
        "PM" if hour <= 12 => hour % 12 + 12,
        _ => return None,
    };
    Timestamp::from_civil((i64::from(year), month, day), (hour, minute, second), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read = parse(text, Form::Auto).map(|t| t.to_string());
        assert_eq!(read.as_deref(), Some(expected), "{text}");
    }

    #[test]
    fn calendar_text() {
        for (text, expected) in [
            ("2020-01-09T02:23:11Z", "2020-01-09T02:23:11Z"),
            ("2020-01-09T02:23:11.123456Z", "2020-01-09T02:23:11.123456Z"),
            ("2020-02-14T22:18:51.843Z", "2020-02-14T22:18:51.843Z"),
            ("2021-07-20T07:13:06", "2021-07-20T07:13:06Z"),
            ("2021-07-20T07:13:06.9999999Z", "2021-07-20T07:13:06.999999900Z"),
            ("2021-07-20T07:13:06.9999999+00:00", "2021-07-20T07:13:06.999999900Z"),
            ("2021-07-20T07:13:06.1-05:00", "2021-07-20T12:13:06.100Z"),
            ("2021-07-20T07:13:06.12345678Z", "2021-07-20T07:13:06.123456780Z"),
            ("2021-07-20T07:13:06.1234567891234Z", "2021-07-20T07:13:06.123456789Z"),
            ("2020-06-15 12:00:00.000 +0000", "2020-06-15T12:00:00Z"),
            ("2021-11-22T00:10:32.123+0000", "2021-11-22T00:10:32.123Z"),
            ("2021-11-22T00:10:32+0530", "2021-11-21T18:40:32Z"),
            ("2022-02-08 09:23:37+11:00", "2022-02-07T22:23:37Z"),
            ("2022-02-08 09:23:37-03", "2022-02-08T12:23:37Z"),
            ("2022-02-08t09:23:37z", "2022-02-08T09:23:37Z"),
            ("2022-02-08 09:23:37 UTC", "2022-02-08T09:23:37Z"),
            ("2022-02-08T09:23Z", "2022-02-08T09:23:00Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            ("20211005034406.123", "2021-10-05T03:44:06.123Z"),
            ("[06/Feb/2019:00:00:38 +0000]", "2019-02-06T00:00:38Z"),
            ("06/Feb/2019:00:00:38 -0100", "2019-02-06T01:00:38Z"),
            (" 2020-01-09 ", "2020-01-09T00:00:00Z"),
            ("8/22/2022 6:07:16 PM", "2022-08-22T18:07:16Z"),
            ("9/9/2022 12:54:27 AM", "2022-09-09T00:54:27Z"),
            ("12/31/2022 12:00:00 PM", "2022-12-31T12:00:00Z"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn numbers_by_magnitude() {
        for (text, expected) in [
            ("1477913820", "2016-10-31T11:37:00Z"),
            ("1685465626150", "2023-05-30T16:53:46.150Z"),
            ("1685465626150001", "2023-05-30T16:53:46.150001Z"),
            ("1685465626150000001", "2023-05-30T16:53:46.150000001Z"),
            ("1635962410.342", "2021-11-03T18:00:10.342Z"),
            ("-1.5", "1969-12-31T23:59:58.500Z"),
        ] {
            check(text, expected);
            if let Ok(n) = text.parse::<i64>() {
                let read = read(Value::I64(n), Form::Auto).map(|t| t.to_string());
                assert_eq!(read.as_deref(), Some(expected));
            }
        }
        let float = read(Value::F64(1_635_962_410.342), Form::Auto).unwrap();
        assert_eq!(float.to_string(), "2021-11-03T18:00:10.342Z");
    }

    #[test]
    fn a_named_unit_is_not_guessed() {
        let text = |n, form| read(Value::I64(n), form).map(|t| t.to_string());
        assert_eq!(text(5, Form::EpochS).as_deref(), Some("1970-01-01T00:00:05Z"));
        assert_eq!(text(5, Form::EpochMs).as_deref(), Some("1970-01-01T00:00:00.005Z"));
        assert_eq!(text(5, Form::EpochUs).as_deref(), Some("1970-01-01T00:00:00.000005Z"));
        assert_eq!(text(5, Form::EpochNs).as_deref(), Some("1970-01-01T00:00:00.000000005Z"));
        assert_eq!(text(5, Form::Rfc3339), None);
        assert_eq!(parse("1477913820", Form::Rfc3339), None);
        assert_eq!(text(i64::MAX, Form::EpochS), None, "beyond 2262");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "-",
            "...",
            "foo",
            "2020",
            "2020-13-01T00:00:00Z",
            "2020-01-09T25:00:00Z",
            "2020-01-09T02:23:11.Z",
            "2020-01-09T02:23:11+2",
            "2020-01-09T02:23:11 PST",
            "8/22/2022 13:07:16 PM",
            "8/22/2022 6:07 PM",
            "22/8/2022 6:07:16 PM",
            "8/22 6:07:16 PM",
            "2020-01-09T02:23:11Zx",
            "9999-12-31T23:59:59Z",
            "0x10",
            "1.2.3",
            "NaN",
            "1é77",
        ] {
            assert_eq!(parse(text, Form::Rfc3339), None, "{text}");
        }
        for text in ["foo", "1.2.3", "NaN", "", "1é77", "9999-12-31T23:59:59Z", "1.x"] {
            assert_eq!(parse(text, Form::Auto), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn own_text_comes_back(ns in proptest::num::i64::ANY) {
            let t = Timestamp(ns);
            proptest::prop_assert_eq!(parse(&t.to_string(), Form::Auto), Some(t));
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}", n in proptest::num::f64::ANY) {
            let _ = parse(&text, Form::Auto);
            let _ = read(Value::F64(n), Form::Auto);
        }
    }
}
