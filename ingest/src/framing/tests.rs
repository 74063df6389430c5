//! Framing as tables: input, format, what comes out; and that chunking never changes it.

mod cri;
mod table;

use proptest::prelude::*;

use super::*;

/// Pushes `input` in chunks of `chunk` bytes; one text per record (`=…`) or reject (`!reason: …`).
fn frame(options: &Options, input: &[u8], chunk: usize) -> Vec<String> {
    let mut framer = Framer::new(options);
    let mut frames = Frames::new(1 << 16, 7);
    let mut seen = Vec::new();
    for mut chunk in input.chunks(chunk) {
        loop {
            let used = framer.push(chunk, &mut frames);
            chunk = &chunk[used..];
            if frames.is_full() {
                drain(&mut frames, &mut seen);
            } else if chunk.is_empty() {
                break;
            }
        }
    }
    while !framer.finish(&mut frames, None) {
        drain(&mut frames, &mut seen);
    }
    drain(&mut frames, &mut seen);
    assert_eq!(framer.position(), input.len() as u64, "everything is behind the position");
    seen
}

fn drain(frames: &mut Frames, seen: &mut Vec<String>) {
    let mut all: Vec<(u64, u32, String)> = Vec::new();
    for record in frames.records() {
        let text = String::from_utf8_lossy(&frames.bytes()[record.range.clone()]).into_owned();
        let header = record.header.clone();
        let header = header.map(|h| String::from_utf8_lossy(&frames.bytes()[h]).into_owned());
        let text = header.map_or(format!("={text}"), |h| format!("={text} <{h}>"));
        all.push((record.at, record.index, text));
    }
    for reject in frames.rejects() {
        let text = String::from_utf8_lossy(&reject.bytes);
        all.push((reject.at, reject.index, format!("!{}: {text}", reject.reason)));
    }
    all.sort();
    seen.extend(all.into_iter().map(|(_, _, text)| text));
    *frames = Frames::new(1 << 16, 7);
}

fn options(format: Format) -> Options {
    Options { format, flow_log: false, table: false, record_bytes_max: 64 }
}

/// Checks at several chunk sizes, all splits in two, and through a restart at every position.
fn check(options: &Options, input: &str, expected: &[&str]) {
    let bytes = input.as_bytes();
    for chunk in [bytes.len().max(1), 1, 2, 3, 7, 16] {
        assert_eq!(frame(options, bytes, chunk), expected, "{input:?} in chunks of {chunk}");
    }
    let unique = frame_positions(options, bytes);
    let mut sorted = unique.clone();
    sorted.dedup();
    assert_eq!(unique, sorted, "positions are unique in {input:?}");
    resumes(options, bytes, expected);
}

fn frame_positions(options: &Options, input: &[u8]) -> Vec<(u64, u32)> {
    let mut framer = Framer::new(options);
    let mut frames = Frames::new(usize::MAX, usize::MAX);
    framer.push(input, &mut frames);
    framer.finish(&mut frames, None);
    let mut all: Vec<_> = frames.records().iter().map(|r| (r.at, r.index)).collect();
    all.extend(frames.rejects().iter().map(|r| (r.at, r.index)));
    all.sort_unstable();
    all
}

/// After any number of bytes the stream can be left at `position` and taken up from there.
fn resumes(options: &Options, input: &[u8], expected: &[&str]) {
    for split in 0..=input.len() {
        resumes_at(options, input, split, expected);
    }
}

fn resumes_at(options: &Options, input: &[u8], split: usize, expected: &[&str]) {
    let mut framer = Framer::new(options);
    let mut frames = Frames::new(usize::MAX, usize::MAX);
    let mut seen = Vec::new();
    framer.push(&input[..split], &mut frames);
    drain(&mut frames, &mut seen);
    frames = Frames::new(usize::MAX, usize::MAX);
    let position = framer.position();
    let kept = serde_json::to_string(&framer.checkpoint()).expect("plain data");
    let kept: Checkpoint = serde_json::from_str(&kept).expect("what was written");
    let mut framer = Framer::resume(options, position, &kept);
    framer.push(&input[position as usize..], &mut frames);
    while !framer.finish(&mut frames, None) {}
    drain(&mut frames, &mut seen);
    assert_eq!(seen, expected, "left after {split} bytes at {position}");
}

#[test]
fn lines_are_the_unit_whatever_is_on_them() {
    let auto = options(Format::Auto);
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        ("\n \r\n\t\n", &[]),
        ("{\"a\":1}\n{\"a\":2}\n", &["={\"a\":1}", "={\"a\":2}"]),
        ("{\"a\":1}\r\n\r\n{\"a\":2}", &["={\"a\":1}", "={\"a\":2}"]),
        ("\u{feff}{\"a\":1}\n", &["={\"a\":1}"]),
        ("\u{feff}not json\n", &["=not json"]),
        ("{\n{\"a\":1}\n", &["={", "={\"a\":1}"]),
        ("}\n{\"a\":1}\n", &["=}", "={\"a\":1}"]),
        ("{\"t\":\n{\"a\":1}\n{\"a\":2}\n", &["={\"t\":", "={\"a\":1}", "={\"a\":2}"]),
        ("{\"t\":\"x\n{\"a\":1}\n", &["={\"t\":\"x", "={\"a\":1}"]),
        ("[[[[\n{\"a\":1}\n{\"a\":2}\n", &["=[[[[", "={\"a\":1}", "={\"a\":2}"]),
        ("[\n{\"a\":1}\n{\"a\":2}\n", &["=[", "={\"a\":1}", "={\"a\":2}"]),
        ("[1,2,3]\n\"s\"\nnull\n", &["=[1,2,3]", "=\"s\"", "=null"]),
        ("{\"a\":1}{\"b\":2}\n{\"a\":1}\n", &["={\"a\":1}{\"b\":2}", "={\"a\":1}"]),
        ("[{\"a\":1\n{\"b\":2}\n", &["=[{\"a\":1", "={\"b\":2}"]),
        ("{\"Records\":\"x\"} y\n", &["={\"Records\":\"x\"} y"]),
        ("{\"a\":[{\"b\":1}]}\n", &["={\"a\":[{\"b\":1}]}"]),
        ("{\"kind\":\"Event\",\"level\":\"x\"}\n", &["={\"kind\":\"Event\",\"level\":\"x\"}"]),
        ("{}\n{\n}\n", &["={}", "={", "=}"]),
    ];
    for (input, expected) in cases {
        check(&auto, input, expected);
    }
    let ndjson = options(Format::Ndjson);
    check(&ndjson, "[{\"a\":1}]\n{\"Records\":[{}]}\n", &["=[{\"a\":1}]", "={\"Records\":[{}]}"]);
}

#[test]
fn containers_are_unwrapped() {
    let auto = options(Format::Auto);
    let cases: &[(&str, &[&str])] = &[
        ("{\"Records\":[{\"a\":1},{\"a\":[2]}]}", &["={\"a\":1}", "={\"a\":[2]}"]),
        ("{\"Records\":[]}\n", &[]),
        ("{\"Records\":[{\"a\":1}]}\n{\"Records\":[{\"a\":2}]}\n", &["={\"a\":1}", "={\"a\":2}"]),
        ("[{\"a\":1},{\"a\":2}]\n", &["={\"a\":1}", "={\"a\":2}"]),
        ("[\n {\"a\":1},\n {\"a\":\"]}\\\"\"}\n]\n", &["={\"a\":1}", "={\"a\":\"]}\\\"\"}"]),
        ("{\n \"Records\": [\n  {\"a\":1},\n  {\"a\":2}\n ]\n}\n", &["={\"a\":1}", "={\"a\":2}"]),
        ("{\"@odata.context\":\"u\",\"value\":[{\"id\":1}]}", &["={\"id\":1}"]),
        ("{\"kind\":\"EventList\",\"metadata\":{},\"items\":[{\"i\":1}]}", &["={\"i\":1}"]),
        ("{\n \"a\": 1\n}\n{\n \"a\": 2\n}\n", &["={\n \"a\": 1\n}", "={\n \"a\": 2\n}"]),
        ("{\n \"a\": 1\n}\nnoise\n{\"b\":2}\n", &["={\n \"a\": 1\n}", "=noise", "={\"b\":2}"]),
        ("{\"Records\":[{\"a\":1},{\"b\"", &["={\"a\":1}", "!ends inside a record: {\"b\""]),
        (
            "[{\"a\":1},\n{\"b\":2}\n",
            &["={\"a\":1}", "={\"b\":2}", "!ends before its closing bracket: "],
        ),
    ];
    for (input, expected) in cases {
        check(&auto, input, expected);
    }
}

#[test]
fn a_broken_element_costs_itself() {
    let format = Format::Envelope { member: "Records".into() };
    let cases: &[(&str, &[&str])] = &[
        ("{\"Records\":[{\"a\":},xx,{\"b\":2}]}", &["={\"a\":}", "=xx", "={\"b\":2}"]),
        (
            "{\"Records\":[{\"a\":1}},{\"b\":2} {\"c\":3}]}",
            &["={\"a\":1}", "!unexpected bytes between records: }", "={\"b\":2}", "={\"c\":3}"],
        ),
        (
            "{\"Records\":[{\"a\":1}], ?!, \"n\":[1]}",
            &["={\"a\":1}", "!unexpected bytes between records: ?!"],
        ),
        ("{\"x\":1}", &["!no member \"Records\" that is an array: {\"x\":1}"]),
        ("junk\n{\"Records\":[{}]}", &["!not a JSON document: junk", "={}"]),
        ("{\"n\":{\"Records\":[1]},\"Records\":[{\"a\":1}]}", &["={\"a\":1}"]),
    ];
    for (input, expected) in cases {
        check(&options(format.clone()), input, expected);
    }
    let array = options(Format::JsonArray);
    check(
        &array,
        "[{\"a\":1}]\n[{\"a\":2}] {\"b\":3}",
        &["={\"a\":1}", "={\"a\":2}", "={\"b\":3}"],
    );
}

#[test]
fn cloudwatch_messages_are_records() {
    let data = r#"{"messageType":"DATA_MESSAGE","owner":"1","logEvents":[{"id":"1","timestamp":1,"message":"{\"a\":\"b\"}"},{"id":"2"}]}"#;
    let control = r#"{"messageType":"CONTROL_MESSAGE","logEvents":[{"message":"hi"}]}"#;
    for format in [Format::Auto, Format::CloudwatchLogs] {
        let wide = Options { record_bytes_max: 1000, ..options(format) };
        let input = format!("{control}\n{data}");
        let seen = frame(&wide, input.as_bytes(), 5);
        assert_eq!(seen[0], "={\"a\":\"b\"}");
        assert!(seen[1].starts_with("!log event without a message"), "{seen:?}");
        assert_eq!(seen.len(), 2);
    }
}

#[test]
fn flow_logs_carry_their_header() {
    let options = Options { flow_log: true, ..options(Format::Auto) };
    let h = "version srcaddr dstaddr";
    let input = format!("{h}\n2 a b\n2 c d\nversion dstaddr\n2 b\n");
    let first = format!("=2 a b <{h}>");
    let second = format!("=2 c d <{h}>");
    check(&options, &input, &[&first, &second, "=2 b <version dstaddr>"]);
    check(&options, "2 1 eni 10.0.0.1\n", &["=2 1 eni 10.0.0.1"]);
}

#[test]
fn too_long_is_cut_with_all_its_bytes() {
    for (before, after) in [("", "\n{\"a\":1}\n"), ("[{\"x\":2},", ",{\"a\":1}]")] {
        let long = format!("{{\"k\":\"{}\"}}", "x".repeat(150));
        let input = format!("{before}{long}{after}");
        for chunk in [1, 10, 64, 65, 1000] {
            let format = if before.is_empty() { Format::Auto } else { Format::JsonArray };
            let seen = frame(&options(format), input.as_bytes(), chunk);
            let parts: Vec<_> = seen.iter().filter(|s| s.starts_with("!part")).collect();
            let glued: String = parts.iter().map(|p| p.split_once(": ").unwrap().1).collect();
            assert_eq!((parts.len(), glued), (3, long.clone()), "{seen:?}");
            assert_eq!(seen.last().unwrap(), "={\"a\":1}");
        }
    }
    let exact = "x".repeat(64);
    check(&options(Format::Lines), &format!("{exact}\ny\n"), &[&format!("={exact}"), "=y"]);
}

#[test]
fn a_long_first_line_is_streamed_when_it_is_an_envelope() {
    let element = format!("{{\"k\":\"{}\"}}", "x".repeat(40));
    let count = 40_000;
    let input = format!("{{\"Records\":[{}]}}", vec![element.as_str(); count].join(","));
    let mut framer = Framer::new(&options(Format::Auto));
    let (mut frames, mut records) = (Frames::default(), 0);
    for mut chunk in input.as_bytes().chunks(1 << 16) {
        while !chunk.is_empty() || frames.is_full() {
            records += frames.records().len();
            frames = Frames::default();
            let used = framer.push(chunk, &mut frames);
            chunk = &chunk[used..];
        }
    }
    while !framer.finish(&mut frames, None) {
        records += frames.records().len();
        frames = Frames::default();
    }
    records += frames.records().len();
    assert_eq!(records, count);
    assert!(framer.pending.is_empty());
}

#[test]
fn whole_payloads_count_their_records() {
    let mut frames = Frames::new(1, 1);
    let options = options(Format::Auto);
    frame_whole(&options, b"{\"a\":1}\n{\"Records\":[{\"b\":1},{\"b\":2}]}\n", 9, &mut frames);
    let places: Vec<_> = frames.records().iter().map(|r| (r.at, r.index)).collect();
    assert_eq!(places, [(9, 0), (9, 1), (9, 2)]);
}

#[test]
fn a_broken_stream_says_so_once() {
    for (input, left) in [("{\"a\":1}\n{\"b", "{\"b"), ("{\"a\":1}\n", "")] {
        let mut framer = Framer::new(&options(Format::Auto));
        let mut frames = Frames::default();
        framer.push(input.as_bytes(), &mut frames);
        assert!(framer.finish(&mut frames, Some("gzip ends early")));
        assert_eq!(frames.records().len(), 1);
        assert_eq!(frames.rejects().len(), 1);
        assert_eq!(&*frames.rejects()[0].bytes, left.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Text made of what matters to the machines, cut anywhere, in every format.
    #[test]
    fn chunking_never_changes_the_records(
        parts in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\n", " ", "\r\n", "1", "x", "{\"a\":1}",
            "{\"Records\":[", "\"items\":[", "{\"kind\":\"L\",", "]}", "\u{feff}", "xxxxxxxxxxxxxxxxxxxxxx",
        ]), 0..40),
        cut in 1usize..9,
        format in prop::sample::select(vec![
            Format::Auto, Format::Ndjson, Format::JsonArray, Format::CloudwatchLogs,
            Format::Envelope { member: "items".into() },
        ]),
    ) {
        let options = options(format);
        let input = parts.concat();
        let whole = frame(&options, input.as_bytes(), input.len().max(1));
        prop_assert_eq!(&frame(&options, input.as_bytes(), cut), &whole);
        let whole: Vec<&str> = whole.iter().map(String::as_str).collect();
        resumes(&options, input.as_bytes(), &whole);
    }

    /// In line formats every line that is not blank is exactly one record or reject.
    #[test]
    fn no_line_is_lost_or_doubled(lines in prop::collection::vec("[ -~]{0,40}", 0..20)) {
        let input = lines.join("\n");
        let expected = lines.iter().filter(|l| !l.trim().is_empty()).count();
        let seen = frame(&options(Format::Lines), input.as_bytes(), 11);
        prop_assert_eq!(seen.len(), expected);
    }
}

/// The largest thing in memory is not copied: it is a batch by itself.
#[test]
fn a_long_record_goes_alone() {
    let long = format!("{{\"x\":\"{}\"}}", "y".repeat(3 << 20));
    for (format, input) in [
        (Format::Auto, format!("{{\"a\":1}}\n{long}\r\n{{\"a\":2}}\n")),
        (Format::Lines, format!("{{\"a\":1}}\n{long}\n{{\"a\":2}}\n")),
        (Format::JsonArray, format!("[{{\"a\":1}},{long},{{\"a\":2}}]")),
        (Format::Auto, format!("{{\"Records\":[{{\"a\":1}},{long},{{\"a\":2}}]}}")),
    ] {
        let options = Options { record_bytes_max: 4 << 20, ..options(format) };
        let mut framer = Framer::new(&options);
        let (mut frames, mut batches) = (Frames::default(), Vec::new());
        let key = event::PartitionKey { source: "s".into(), partition: "p".into() };
        let mut take = |frames: &mut Frames, upto: u64| {
            let span = event::Span { key: key.clone(), after: 0, upto, state: None };
            let batch = frames.take(span, &"t".into(), event::Timestamp(0));
            let records = batch.records.iter().map(|r| batch.record(r).to_vec());
            batches.push((batch.bytes.len(), records.collect::<Vec<_>>()));
        };
        for mut chunk in input.as_bytes().chunks(256 << 10) {
            loop {
                let used = framer.push(chunk, &mut frames);
                chunk = &chunk[used..];
                if frames.is_full() {
                    take(&mut frames, framer.position());
                } else if chunk.is_empty() {
                    break;
                }
            }
        }
        while !framer.finish(&mut frames, None) {
            take(&mut frames, framer.position());
        }
        take(&mut frames, framer.position());
        let alone =
            batches.iter().find(|(_, records)| records.contains(&long.clone().into_bytes()));
        let (bytes, records) = alone.expect("the long record came");
        assert!(records.len() == 1 && *bytes <= long.len() + 1, "{bytes} in {}", records.len());
        let all: Vec<_> = batches.iter().flat_map(|(_, records)| records).collect();
        assert_eq!(
            (all.len(), all[0].as_slice(), all[2].as_slice()),
            (3, &b"{\"a\":1}"[..], &b"{\"a\":2}"[..])
        );
    }
}
