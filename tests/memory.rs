//! Resident memory at its peak, of the real program, while it reads records of tens of megabytes.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{mantissa, number, ok};

/// What the program may take at any load.
const PEAK_MIB_MAX: u64 = 300;
const MIB: usize = 1 << 20;

/// Text that does not compress much and needs no escapes.
fn noise(len: usize) -> Vec<u8> {
    let mut state: u64 = 7;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        LETTERS[(state % 64) as usize]
    };
    (0..len).map(|_| next()).collect()
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";

/// Runs `ingest` over lines; the peak in mebibytes.
fn peak(dir: &Path, lines: &[Vec<u8>]) -> u64 {
    let (file, lake) = (dir.join("in"), dir.join("lake"));
    let mut out = std::fs::File::create(&file).unwrap();
    for line in lines {
        out.write_all(line).unwrap();
        out.write_all(b"\n").unwrap();
    }
    let mut child = mantissa()
        .args(["ingest", "--log-type", "aws.cloudtrail", "--lake"])
        .args([&lake, &file])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{ended:?}");
            break;
        }
        // The system's own high-water mark, so that nothing between two looks is missed.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak_kib = kib.unwrap_or(0).max(peak_kib);
        std::thread::sleep(Duration::from_millis(10));
    }
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
    peak_kib / 1024
}

fn check(what: &str, lines: &[Vec<u8>], stored: i64, dead: i64) {
    let dir = tempfile::tempdir().unwrap();
    let peak = peak(dir.path(), lines);
    let lake = dir.path().join("lake");
    assert_eq!(number(&lake, "select count(*) as n from events"), stored, "{what}");
    assert_eq!(number(&lake, "select count(*) as n from dead_letters"), dead, "{what}");
    assert!(peak > 20, "{what}: {peak} MiB is no measurement");
    assert!(peak < PEAK_MIB_MAX, "{what}: {peak} MiB at the peak");
}

fn long(id: usize, value: &[u8]) -> Vec<u8> {
    let head = format!(
        r#"{{"eventID":"long-{id}","eventTime":"2026-11-20T10:15:00Z","eventName":"A","x":"#
    );
    [head.as_bytes(), value, b"}"].concat()
}

#[test]
fn records_of_31_megabytes_are_stored_in_bounded_memory() {
    let value = [b"\"", noise(31 * MIB).as_slice(), b"\""].concat();
    let lines: Vec<_> = (0..4).map(|id| long(id, &value)).collect();
    check("stored", &lines, 4, 0);
}

/// The name of the user is in three columns, the address that is none in two, the parameters in one.
#[test]
fn text_of_tens_of_megabytes_in_several_columns_is_stored_in_bounded_memory() {
    let (name, address) = (noise(20 * MIB), noise(7 * MIB));
    let id = [br#"{"type":"IAMUser","userName":""#, name.as_slice(), br#""}"#].concat();
    let line = |n: usize| {
        let address = [br#""sourceIPAddress":""#, address.as_slice(), br#"","userIdentity":"#];
        let more = [b"1,", address.concat().as_slice(), id.as_slice()].concat();
        long(n, &more)
    };
    let lines: Vec<_> = (0..4).map(line).collect();
    check("text", &lines, 4, 0);
}

#[test]
fn what_is_too_long_or_no_json_is_kept_in_bounded_memory() {
    let lines =
        [64, 31, 64, 31].map(|mib| [b"{\"eventID\":\"", noise(mib * MIB).as_slice()].concat());
    // What is longer than the limit is kept in parts, and the head of each makes it a part more.
    check("dead", &lines, 0, 2 * 3 + 2);
}

#[test]
fn a_record_of_nothing_but_values_is_refused_in_bounded_memory() {
    let value = [b"[", b"1,".repeat(15 * MIB).as_slice(), b"1]"].concat();
    check("values", &[long(0, &value), long(1, &value)], 0, 2);
}
