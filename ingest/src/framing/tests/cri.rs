//! Log files of containers: which entries make a line.

use super::*;

/// With room for a few entries.
fn cri(input: &str, expected: &[&str]) {
    check(&Options { record_bytes_max: 90, ..options(Format::Cri) }, input, expected);
}

/// `1 stdout F text` with a time in front.
fn log(entries: &[&str]) -> String {
    let entry = |entry: &&str| format!("2026-03-01T09:00:00.669794202Z {entry}\n");
    entries.iter().map(entry).collect()
}

#[test]
fn parts_are_joined() {
    cri(
        &log(&["stdout F one", "stderr F two", "stdout F {\"a\": 1}"]),
        &["=one", "=two", "={\"a\": 1}"],
    );
    cri(&log(&["stdout P a ", "stdout P b", "stdout F  c", "stdout F d"]), &["=a b c", "=d"]);
    cri(&log(&["stdout P a", "stdout F ", "stdout F", "stdout F x"]), &["=a", "=x"]);
    cri(&log(&["stdout P:x a", "stdout F:y b"]), &["=ab"]);
    cri("2026-03-01T09:00:00.5+02:00 stdout F a\r\n\n", &["=a"]);
}

#[test]
fn streams_may_interleave_and_keep_their_order() {
    let input = log(&["stdout P a", "stderr F x", "stderr P y", "stdout F b", "stderr F z"]);
    cri(&input, &["=ab", "=x", "=yz"]);
}

#[test]
fn what_is_no_entry_is_refused_alone() {
    let input = log(&["stdout F a"]) + "junk\n" + &log(&["stdin F b", "stdout X c", "stdout F d"]);
    let no = "!no entry of a container's log: ";
    let time = "2026-03-01T09:00:00.669794202Z";
    let expected = [
        "=a",
        &format!("{no}junk"),
        &format!("{no}{time} stdin F b"),
        &format!("{no}{time} stdout X c"),
        "=d",
    ];
    cri(&input, &expected);
    cri(&log(&["stdout P a"]), &["!a line was begun and not ended: a"]);
}

#[test]
fn a_line_that_is_too_long_costs_itself() {
    let part = "x".repeat(50);
    let first = format!("stdout P {part}");
    let input = log(&[&first, "stderr F e", &first, "stdout P y", "stdout F z", "stdout F a"]);
    let rest = "!the rest of a line that was too long: ";
    let expected = [
        &format!("!a line longer than 90 bytes: {part}{part}"),
        "=e",
        &format!("{rest}y"),
        &format!("{rest}z"),
        "=a",
    ];
    cri(&input, &expected);
    // An entry of its own.
    let entry = log(&[&format!("stdout F {}", "x".repeat(100))]);
    let long = entry.trim_end();
    let (one, two) = (&long[..90], &long[90..]);
    let part = |n: u32, bytes: &str| format!("!part {n}, record longer than 90 bytes: {bytes}");
    cri(&(entry.clone() + &log(&["stdout F a"])), &[&part(1, one), &part(2, two), "=a"]);
}

proptest! {
    /// Whatever interleaves and wherever it is cut, every line comes out once and whole.
    #[test]
    fn lines_come_back(
        entries in prop::collection::vec((0_usize..2, any::<bool>(), "[a-z ]{1,5}"), 1..12),
        split in 0_usize..600,
    ) {
        let (mut input, mut lines, mut open) = (String::new(), Vec::new(), [None, None]);
        for (n, (stream, is_end, text)) in entries.iter().enumerate() {
            let tag = if *is_end { "F" } else { "P" };
            let text = format!("{text}{n}");
            input += &log(&[&format!("{} {tag} {text}", ["stdout", "stderr"][*stream])]);
            let line = *open[*stream].get_or_insert_with(|| {
                lines.push((String::new(), false));
                lines.len() - 1
            });
            lines[line].0 += &text;
            lines[line].1 = *is_end;
            if *is_end {
                open[*stream] = None;
            }
        }
        let shown = |(line, is_whole): &(String, bool)| match is_whole {
            true => format!("={line}"),
            false => format!("!a line was begun and not ended: {line}"),
        };
        let expected: Vec<String> = lines.iter().map(shown).collect();
        let options = Options { record_bytes_max: 4_096, ..options(Format::Cri) };
        prop_assert_eq!(&frame(&options, input.as_bytes(), 13), &expected);
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        resumes_at(&options, input.as_bytes(), split.min(input.len()), &expected);
    }
}
