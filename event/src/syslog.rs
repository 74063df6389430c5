//! The header of a syslog message: RFC 5424, and the older form of RFC 3164 with what senders make of it
//! (no host, a year, a zone, ISO dates, the sequence numbers and marks of Cisco).
//!
//! Reads and cuts, nothing else: what a time means is for whoever knows the year and the zone.

use std::borrow::Cow;

/// A message taken apart. Everything is a part of the text; what is not there, or was said to be nothing
/// by a `-`, is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'t> {
    /// Facility times eight and severity, 0 to 191.
    pub priority: Option<u8>,
    /// Of RFC 5424; the older form has none.
    pub version: Option<u16>,
    /// RFC 3339, or `Mar  1 09:00:00` with the year and fraction that may stand in it.
    pub timestamp: Option<&'t str>,
    /// The zone that an older form writes after its time: `UTC`, `+02:00`, `CET`.
    pub zone: Option<&'t str>,
    pub hostname: Option<&'t str>,
    pub app_name: Option<&'t str>,
    pub proc_id: Option<&'t str>,
    /// Of RFC 5424, or what Cisco puts between `%` and `:`.
    pub msg_id: Option<&'t str>,
    /// The number that Cisco puts in front.
    pub sequence: Option<&'t str>,
    /// Checked, in its brackets, maybe empty.
    structured: &'t str,
    /// What is said.
    pub text: &'t str,
}

/// Why a text is not syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {at}")]
pub struct Fault {
    pub at: usize,
    pub reason: &'static str,
}

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// No program is called more than this.
const TAG_BYTES_MAX: usize = 64;

impl<'t> Message<'t> {
    /// Takes a message apart.
    ///
    /// # Errors
    /// When it begins with neither a priority nor a time, or its structured data is broken.
    pub fn parse(text: &'t str) -> Result<Self, Fault> {
        let mut rest = Rest { whole: text, at: 0 };
        let priority = rest.priority()?;
        let mut message = Self { priority, ..Self::default() };
        if priority.is_some()
            && let Some(version) = rest.version()
        {
            message.version = Some(version);
            message.standard(&mut rest)?;
        } else {
            message.older(&mut rest)?;
        }
        Ok(message)
    }

    /// The facility's usual name.
    pub fn facility(&self) -> Option<&'static str> {
        self.priority.map(|priority| FACILITIES[usize::from(priority >> 3)])
    }

    /// The severity's usual name.
    pub fn severity(&self) -> Option<&'static str> {
        self.priority.map(|priority| SEVERITIES[usize::from(priority & 7)])
    }

    /// The elements of the structured data.
    pub fn structured(&self) -> Elements<'t> {
        Elements(self.structured)
    }

    fn standard(&mut self, rest: &mut Rest<'t>) -> Result<(), Fault> {
        for part in [
            &mut self.timestamp,
            &mut self.hostname,
            &mut self.app_name,
            &mut self.proc_id,
            &mut self.msg_id,
        ] {
            let word = rest.word();
            if word.is_empty() {
                return Err(rest.fault("the header ends early"));
            }
            *part = (word != "-").then_some(word);
            rest.skip(" ");
        }
        // Some senders leave out the `-` that stands for no structured data.
        if rest.left() == "-" {
            rest.skip("-");
        } else if !rest.skip("- ") && rest.left().starts_with('[') {
            let start = rest.at;
            rest.structured()?;
            self.structured = &rest.whole[start..rest.at];
            rest.skip(" ");
        }
        rest.skip("\u{feff}");
        self.text = rest.left();
        Ok(())
    }

    fn older(&mut self, rest: &mut Rest<'t>) -> Result<(), Fault> {
        let origin = rest.sequence(&mut self.sequence);
        self.hostname = origin;
        let stamp = rest.time();
        if stamp.is_none() && self.priority.is_none() {
            return Err(Fault { at: 0, reason: "neither a priority like <34> nor a time" });
        }
        let is_cisco = stamp.is_some_and(|stamp| stamp.is_cisco);
        if let Some(stamp) = stamp {
            (self.timestamp, self.zone) = (Some(stamp.text), stamp.zone);
            if !is_cisco && self.hostname.is_none() {
                self.hostname = rest.hostname();
            }
        }
        if let Some(after) = rest.left().strip_prefix('%')
            && let Some((name, _)) = after.split_once(':')
            && name.contains('-')
            && !name.contains(' ')
        {
            self.msg_id = Some(name);
        } else {
            (self.app_name, self.proc_id) = rest.tag();
        }
        self.text = rest.left();
        Ok(())
    }
}

/// A time of the older form.
#[derive(Clone, Copy)]
struct Stamp<'t> {
    text: &'t str,
    zone: Option<&'t str>,
    /// It ends in a colon: no host follows.
    is_cisco: bool,
}

/// What has not been read.
struct Rest<'t> {
    whole: &'t str,
    at: usize,
}

impl<'t> Rest<'t> {
    fn left(&self) -> &'t str {
        &self.whole[self.at..]
    }

    fn fault(&self, reason: &'static str) -> Fault {
        Fault { at: self.at, reason }
    }

    fn skip(&mut self, text: &str) -> bool {
        let has = self.left().starts_with(text);
        self.at += if has { text.len() } else { 0 };
        has
    }

    fn blanks(&mut self) {
        self.at += self.left().len() - self.left().trim_start_matches(' ').len();
    }

    /// Up to a blank or the end.
    fn word(&mut self) -> &'t str {
        let left = self.left();
        let word = &left[..left.find(' ').unwrap_or(left.len())];
        self.at += word.len();
        word
    }

    fn digits(&mut self, least: usize, most: usize) -> Option<&'t str> {
        let left = self.left();
        let len = left.bytes().take(most).take_while(u8::is_ascii_digit).count();
        (len >= least).then(|| {
            self.at += len;
            &left[..len]
        })
    }

    /// What `read` reads, or nothing is read.
    fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let found = read(self);
        if found.is_none() {
            self.at = start;
        }
        found
    }

    fn priority(&mut self) -> Result<Option<u8>, Fault> {
        if !self.skip("<") {
            return Ok(None);
        }
        let number = self.digits(1, 3).and_then(|digits| digits.parse::<u8>().ok());
        let priority = number.filter(|number| *number <= 191 && self.left().starts_with('>'));
        let priority = priority.ok_or(Fault { at: 0, reason: "a priority that is none" })?;
        self.skip(">");
        Ok(Some(priority))
    }

    /// The version of RFC 5424: only with a time or a `-` after it, as the older form may have a number too.
    fn version(&mut self) -> Option<u16> {
        self.attempt(|rest| {
            let version = rest.digits(1, 3)?.parse().ok().filter(|version| *version > 0)?;
            let after = rest.left().strip_prefix(' ')?;
            let is_dated = after.len() > 4 && after.as_bytes()[..4].iter().all(u8::is_ascii_digit);
            let is_standard = (is_dated && after.as_bytes()[4] == b'-') || after.starts_with("- ");
            is_standard.then(|| rest.at += 1)?;
            Some(version)
        })
    }

    fn structured(&mut self) -> Result<(), Fault> {
        while self.left().starts_with('[') {
            let end = element_end(self.left());
            self.at += end.ok_or_else(|| self.fault("structured data that is broken"))?;
        }
        if self.left().is_empty() || self.left().starts_with(' ') {
            return Ok(());
        }
        Err(self.fault("structured data that no blank follows"))
    }

    /// The numbers that Cisco counts with, `29: 000031: `, and the name that may follow them.
    fn sequence(&mut self, sequence: &mut Option<&'t str>) -> Option<&'t str> {
        self.skip(":");
        self.blanks();
        while let Some(number) = self.attempt(|rest| {
            let number = rest.digits(1, 12)?;
            rest.skip(":").then(|| rest.blanks())?;
            Some(number)
        }) {
            *sequence = Some(number);
        }
        sequence.as_ref()?;
        self.attempt(|rest| {
            let name = rest.word().strip_suffix(':')?;
            rest.blanks();
            let is_name = !name.is_empty() && !name.starts_with('%');
            (is_name && rest.attempt(Self::time_ahead).is_some()).then_some(name)
        })
    }

    /// Whether a time comes; nothing is read.
    fn time_ahead(&mut self) -> Option<()> {
        let start = self.at;
        let found = self.time();
        self.at = start;
        found.map(|_| ())
    }

    fn time(&mut self) -> Option<Stamp<'t>> {
        self.attempt(|rest| {
            // Cisco marks a clock that is not synchronized.
            let _ = rest.skip("*") || rest.skip(".") || rest.skip("!");
            rest.month_time().or_else(|| rest.iso_time())
        })
    }

    /// `Mar  1 09:00:00`, a year before or after the time, a fraction, a zone.
    fn month_time(&mut self) -> Option<Stamp<'t>> {
        self.attempt(|rest| {
            let start = rest.at;
            let name = rest.left().get(..3)?;
            MONTHS.iter().find(|month| month.eq_ignore_ascii_case(name))?;
            rest.at += 3;
            rest.skip(" ").then_some(())?;
            rest.blanks();
            rest.digits(1, 2)?;
            rest.skip(" ").then_some(())?;
            rest.attempt(|rest| {
                rest.digits(4, 4)?;
                rest.skip(" ").then_some(())
            });
            rest.blanks();
            rest.clock()?;
            rest.attempt(|rest| {
                rest.skip(" ").then_some(())?;
                let year = rest.digits(4, 4)?;
                let ends = rest.left().is_empty() || rest.left().starts_with([' ', ':']);
                (ends && (year.starts_with("19") || year.starts_with("20"))).then_some(())
            });
            Some(rest.stamp(start))
        })
    }

    /// `2026-03-01T09:00:00Z`, or with a blank for the `T`.
    fn iso_time(&mut self) -> Option<Stamp<'t>> {
        self.attempt(|rest| {
            let start = rest.at;
            rest.digits(4, 4)?;
            for _ in 0..2 {
                (rest.skip("-") || rest.skip("/")).then_some(())?;
                rest.digits(2, 2)?;
            }
            (rest.skip("T") || rest.skip(" ")).then_some(())?;
            rest.clock()?;
            let _ = rest.skip("Z") || rest.attempt(Self::offset).is_some();
            Some(rest.stamp(start))
        })
    }

    fn clock(&mut self) -> Option<()> {
        self.digits(1, 2)?;
        for _ in 0..2 {
            self.skip(":").then_some(())?;
            self.digits(2, 2)?;
        }
        self.attempt(|rest| {
            (rest.skip(".") || rest.skip(",")).then_some(())?;
            rest.digits(1, 9).map(|_| ())
        });
        Some(())
    }

    fn offset(&mut self) -> Option<()> {
        (self.skip("+") || self.skip("-")).then_some(())?;
        self.digits(2, 2)?;
        self.skip(":");
        self.digits(2, 2).map(|_| ())
    }

    /// The time that began at `start` and ends here, with its zone and the blanks after it.
    fn stamp(&mut self, start: usize) -> Stamp<'t> {
        let text = &self.whole[start..self.at];
        let zone = self.attempt(|rest| {
            rest.skip(" ").then_some(())?;
            let start = rest.at;
            if rest.attempt(Self::offset).is_none() {
                // Letters may be a host: a name of a zone has a colon after it, or is UTC.
                let len = rest.left().bytes().take_while(u8::is_ascii_uppercase).count();
                let name = &rest.left()[..len];
                rest.at += len;
                let is_zone = (3..=5).contains(&len) && rest.left().starts_with(':');
                (is_zone || (matches!(name, "UTC" | "GMT") && rest.left().starts_with(' ')))
                    .then_some(())?;
            }
            Some(&rest.whole[start..rest.at])
        });
        self.blanks();
        let is_cisco = self.skip(":");
        self.blanks();
        Stamp { text, zone, is_cisco }
    }

    /// The host, unless what comes is the program already.
    fn hostname(&mut self) -> Option<&'t str> {
        self.attempt(|rest| {
            let word = rest.word();
            let is_tag = word.ends_with(':') || word.contains('[') || word.starts_with('%');
            let is_host = !word.is_empty() && !is_tag && !rest.left().is_empty();
            is_host.then(|| {
                rest.blanks();
                // Cisco ASA: `fw1 : %ASA-…`.
                if rest.skip(": ") {
                    rest.blanks();
                }
                word
            })
        })
    }

    /// `sshd[123]: `, `su: `; the program and its process.
    fn tag(&mut self) -> (Option<&'t str>, Option<&'t str>) {
        let found = self.attempt(|rest| {
            let left = rest.left();
            let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"._/-@".contains(b);
            let len = left.bytes().take_while(|b| is_part(b)).count();
            (1..=TAG_BYTES_MAX).contains(&len).then_some(())?;
            rest.at += len;
            let process = rest.attempt(|rest| {
                rest.skip("[").then_some(())?;
                let (process, _) = rest.left().split_once(']')?;
                rest.at += process.len() + 1;
                (process.len() <= TAG_BYTES_MAX && !process.contains(' ')).then_some(process)
            });
            let ends = rest.skip(":") || (process.is_some() && rest.left().starts_with(' '));
            ends.then(|| rest.skip(" "))?;
            Some((Some(&left[..len]), process))
        });
        found.unwrap_or_default()
    }
}

/// Where the element at the front of a text ends, with its bracket.
fn element_end(text: &str) -> Option<usize> {
    let mut rest = text.strip_prefix('[')?;
    let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '"', ']', '[']);
    let id = &rest[..rest.find([' ', ']'])?];
    is_name(id).then(|| rest = &rest[id.len()..])?;
    while !rest.starts_with(']') {
        (_, _, rest) = parameter(rest.trim_start_matches(' '))?;
    }
    Some(text.len() - rest.len() + 1)
}

/// `name="value"` at the front of a text, and what follows it.
fn parameter(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once("=\"")?;
    if name.is_empty() || name.contains([' ', ']', '"', '=']) {
        return None;
    }
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((name, &rest[..at], &rest[at + 1..])),
            _ => {}
        }
    }
    None
}

/// The elements of structured data, each with its id.
#[derive(Clone, Debug)]
pub struct Elements<'t>(&'t str);

impl<'t> Iterator for Elements<'t> {
    type Item = (&'t str, Parameters<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let end = element_end(self.0)?;
        let (element, rest) = self.0.split_at(end);
        self.0 = rest;
        let inside = &element[1..end - 1];
        let (id, parameters) = inside.split_once(' ').unwrap_or((inside, ""));
        Some((id, Parameters(parameters)))
    }
}

/// The names and values of an element; escapes are resolved.
#[derive(Clone, Debug)]
pub struct Parameters<'t>(&'t str);

impl<'t> Iterator for Parameters<'t> {
    type Item = (&'t str, Cow<'t, str>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value, rest) = parameter(self.0.trim_start_matches(' '))?;
        self.0 = rest;
        Some((name, unescape(value)))
    }
}

/// A backslash before `"`, `\` and `]` is none; before anything else it is text (RFC 5424, 6.3.3).
fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match next {
            Some(escaped @ ('"' | '\\' | ']')) if c == '\\' => {
                out.push(escaped);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
