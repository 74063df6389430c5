//! A smoke of the fuzz targets (`detect/fuzz`) on every build: their corpus, and some thousand mutations of
//! it that are the same every time. The search itself is `make fuzz`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

/// xorshift64*: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    fn of<'t, T: ?Sized>(&mut self, list: &[&'t T]) -> &'t T {
        list[self.below(list.len())]
    }
}

/// As fuzzers do it: bits, bytes, words, pieces of the text itself and of another.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8], words: &[&str]) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = (at + random.below(12)).min(bytes.len());
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => {
                bytes[at] = *random.of(&[&b'\n', &b'"', &b'*', &b'\\', &0, &0xff])
            }
            2 => drop(bytes.drain(at..to)),
            3 => drop(bytes.splice(at..at, bytes[at..to].to_vec())),
            4 if !other.is_empty() => {
                let from = random.below(other.len());
                let until = (from + random.below(40)).min(other.len());
                drop(bytes.splice(at..to, other[from..until].iter().copied()));
            }
            5 => bytes.truncate(at),
            _ => drop(bytes.splice(at..at, random.of(words).bytes())),
        }
    }
}

fn smoke(name: &str, target: fn(&[u8]), mutations: usize, words: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let corpus: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(corpus.len() >= 8, "{name}: the corpus is not there");
    let run = |bytes: &[u8]| {
        let held = catch_unwind(AssertUnwindSafe(|| target(bytes)));
        assert!(held.is_ok(), "{name} fails on {:?}", bytes.escape_ascii().to_string());
    };
    corpus.iter().for_each(|bytes| run(bytes));
    let mut random = Random(0x6d61_6e74_6973_7361);
    for _ in 0..mutations {
        let mut bytes = corpus[random.below(corpus.len())].clone();
        let other = &corpus[random.below(corpus.len())];
        mutate(&mut random, &mut bytes, other, words);
        run(&bytes);
    }
}

#[test]
fn rule_files() {
    let words = [
        "|contains",
        "|re",
        "|all",
        "|neq",
        "|cased",
        "|expand",
        "|windash",
        "|base64offset",
        "|fieldref",
        "|hour",
        "|gte",
        "|exists",
        "|cidr",
        "---\n",
        "\n",
        "    ",
        ": ",
        "- ",
        "'",
        "\"",
        "*",
        "?",
        "\\",
        "%admins%",
        "null",
        "condition: ",
        "detection:\n",
        "correlation:\n",
        "filter:\n",
        "&a ",
        "*a",
        "{",
        "}",
        "[",
        "]",
        "# ",
        "| ",
        ">",
        "not ",
        " and ",
        " or ",
        "1 of ",
        "them",
        "é",
        "\u{212a}",
        "\u{2028}",
        "0x10",
        "1e9999",
        "{1000}",
    ];
    smoke("rule", targets::rule::check, 3_000, &words);
}

#[test]
fn conditions() {
    let words = [
        " and ", " or ", " not ", "(", ")", " 1 of ", " any of ", " all of ", "them", "*", "sel_*",
        "_*", "a", "b", "sel_1", "sel_2", "_hidden", "filter-x", " AND ", " Or ", "NOT ", " OF ",
        " ", "\n", "\u{a0}", "|", "2 of ",
    ];
    smoke("condition", targets::condition::check, 3_000, &words);
}

#[test]
fn events_and_paths() {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"a.b\":",
        "\"\":",
        "null",
        "true",
        "1e400",
        "-0",
        "[[[[",
        "]]]]",
        "\\u00e9",
        "\\ud83d",
        "\\ude00",
        ".",
        "a.b",
        " ",
        "\n",
        "x",
        "\"x\":[1,2]",
        "0.1e-7",
        "\u{212a}",
    ];
    smoke("walk", targets::walk::check, 20_000, &words);
}

#[test]
fn alias_tables() {
    let words = [
        "a=",
        "b=",
        "c.d=",
        "e=",
        " ",
        ".",
        "a.b",
        "\n",
        "{\"a\":",
        "\"x\"",
        "}",
        "[",
        "]",
        ",",
        "null",
        "3",
        "\"10.9.8.7\"",
        "\"Power\"",
        "mimikatz",
        "\"2026-11-22T23:10:11Z\"",
        "\u{212a}",
        "o.list.name",
    ];
    smoke("aliases", targets::aliases::check, 3_000, &words);
}
