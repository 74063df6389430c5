//! Text that others wrote, made fit to be shown: on a terminal, in a log line, in a chat message.
//!
//! Names, titles, reasons and events come from whoever caused them. Nothing in them may move a cursor,
//! drive a terminal, hide text or turn its direction; such characters are shown as escapes. This is
//! for people's eyes only: data formats (JSON, CSV) have escapes of their own.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Adds a character to `out`, as an escape when it is not safe to show. Line feeds and tabs are not.
pub fn push(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if is_unsafe(c) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c)); // writing to a String cannot fail
        }
        c => out.push(c),
    }
}

/// A value on one line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe)
}

/// Text of several lines that was put together from such values: line feeds and tabs stay.
pub fn block(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_unsafe(c) && !matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, is_escaped: fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_escaped(c) {
            true => push(&mut out, c),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters, and those that hide text or turn its direction: zero-width,
/// line-separator, bidirectional-control and tag characters.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            u32::from(c),
            0xad | 0x61c
                | 0x180e
                | 0x200b..=0x200f
                | 0x2028..=0x202e
                | 0x2060..=0x206f
                | 0xfeff
                | 0xe0000..=0xe007f
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_escaped() {
        for (text, expected_line, expected_block) in [
            ("plain ü 😀", "plain ü 😀", "plain ü 😀"),
            ("a\n\tb", "a\\n\\tb", "a\n\tb"),
            ("a\r\nb", "a\\r\\nb", "a\\r\nb"),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}", "\\u{1b}[2J\\u{7}"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("exe\u{202e}gpj", "exe\\u{202e}gpj", "exe\\u{202e}gpj"),
            ("a\u{200b}\u{e0041}b", "a\\u{200b}\\u{e0041}b", "a\\u{200b}\\u{e0041}b"),
        ] {
            assert_eq!(line(text), expected_line);
            assert_eq!(block(text), expected_block);
        }
    }
}
