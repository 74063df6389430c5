//! What people read: errors once with their whole chain, times, sizes and counts.

use std::io::{self, IsTerminal as _, Write as _};

use event::shown;

/// Prints an error with its chain of causes, each on its own line, and what to try, to standard error.
pub fn error(error: &anyhow::Error) {
    let mut text = format!("error: {error}\n");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Some libraries repeat the message of their source; once is enough.
        if !last.contains(&cause) {
            text.push_str(&format!("  because: {cause}\n"));
        }
        last = cause;
    }
    let hint = error.chain().find_map(|cause| cause.downcast_ref::<query::Error>()?.hint());
    if let Some(hint) = hint {
        text.push_str(&format!("hint: {hint}\n"));
    }
    note(&text);
}

/// An error and its causes in one line, for logs.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Whether the reader of our output went away, as `head` does.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Writes text for people to standard output and flushes. Whatever in it came from logs cannot drive a
/// terminal.
pub fn out(text: &str) -> anyhow::Result<()> {
    write(shown::block(text).as_bytes())
}

/// Writes data that programs read to standard output, unchanged, and flushes.
pub fn data(text: &str) -> anyhow::Result<()> {
    write(text.as_bytes())
}

/// Standard output for data that holds what others wrote: unchanged, unless it is a terminal.
pub fn stdout() -> Box<dyn io::Write> {
    let out = io::stdout();
    if out.is_terminal() { Box::new(Screen { out, line: Vec::new() }) } else { Box::new(out) }
}

/// A terminal, written line by line, because a write may end within a character.
struct Screen<W: io::Write> {
    out: W,
    /// What came after the last line feed.
    line: Vec<u8>,
}

/// A line that is longer is not waited for.
const LINE_BYTES_MAX: usize = 1 << 20;

impl<W: io::Write> io::Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if bytes.contains(&b'\n') || self.line.len() > LINE_BYTES_MAX {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let whole = match self.line.iter().rposition(|b| *b == b'\n') {
            Some(end) => end + 1,
            None => self.line.len(),
        };
        let text = String::from_utf8_lossy(&self.line[..whole]);
        self.out.write_all(shown::block(&text).as_bytes())?;
        self.line.drain(..whole);
        self.out.flush()
    }
}

fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(())
}

/// Writes text for people to standard error; a gone reader is not worth an error.
pub fn note(text: &str) {
    let _ = io::stderr().write_all(shown::block(text).as_bytes());
}

/// Replaces the last line of the terminal that standard error is; `text` is our own.
pub fn status(text: &str) {
    let _ = io::stderr().write_all(format!("\r\x1b[K{text}").as_bytes());
}

/// 1234567 → `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes for people: `512 B`, `1.4 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time span for people, in its largest unit of which there are at least two: `119 s`, `2 min`, `25 h`.
pub fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let unit = UNITS.iter().find(|(size, _)| seconds >= 2 * size);
    unit.map_or(format!("{seconds} s"), |(size, name)| format!("{} {name}", seconds / size))
}

/// `1 event`, `2 events`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_shows_whole_lines_and_no_controls() {
        let mut screen = Screen { out: Vec::new(), line: Vec::new() };
        let text = "a,\u{1b}[2J\nü\u{9b}2J\nrest";
        text.as_bytes().chunks(1).for_each(|byte| screen.write_all(byte).unwrap());
        assert_eq!(screen.out, "a,\\u{1b}[2J\nü\\u{9b}2J\n".as_bytes());
        screen.flush().unwrap();
        assert!(screen.out.ends_with(b"\nrest"));
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1_468_006), "1.4 MiB");
        assert_eq!(span(0), "0 s");
        assert_eq!(span(119), "119 s");
        assert_eq!(span(120), "2 min");
        assert_eq!(span(2 * 86_400 - 1), "47 h");
        assert_eq!(span(14 * 86_400 + 5), "14 d");
        assert_eq!(plural(1, "event", "events"), "1 event");
        assert_eq!(plural(2_000, "event", "events"), "2,000 events");
    }
}
