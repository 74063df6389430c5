//! What the operating system knows about this process, under the names every Prometheus client uses.
//! Where `/proc` is missing the lines are missing too; nothing is guessed.

use std::fmt::Write;
use std::fs;

/// `/proc` counts CPU time in hundredths of a second on every Linux this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the `process_*` metrics in the exposition format.
pub(crate) fn append(out: &mut String) {
    if let Some((cpu, start)) = read("/proc/self/stat").as_deref().and_then(times) {
        family(
            out,
            "process_cpu_seconds_total",
            "counter",
            "CPU time spent, user and system.",
            cpu,
        );
        if let Some(boot) = read("/proc/stat").as_deref().and_then(boot_time) {
            let help = "When this process started, in seconds since 1970.";
            family(out, "process_start_time_seconds", "gauge", help, boot + start);
        }
    }
    if let Some(status) = read("/proc/self/status") {
        if let Some(kib) = field(&status, "VmRSS:") {
            let help = "Memory that is resident now.";
            family(out, "process_resident_memory_bytes", "gauge", help, kib * 1024.0);
        }
        if let Some(kib) = field(&status, "VmHWM:") {
            let help = "Most memory that was ever resident.";
            family(out, "process_resident_memory_peak_bytes", "gauge", help, kib * 1024.0);
        }
        if let Some(threads) = field(&status, "Threads:") {
            family(out, "process_threads", "gauge", "Threads of this process.", threads);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let open = open.count() as f64;
        family(out, "process_open_fds", "gauge", "Open file descriptors.", open);
    }
    let limits = read("/proc/self/limits");
    if let Some(most) = limits.as_deref().and_then(|text| field(text, "Max open files")) {
        family(out, "process_max_fds", "gauge", "Limit of open file descriptors.", most);
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// CPU seconds, and seconds between boot and start, of a `/proc/PID/stat` line. The program's name
/// is in brackets and may hold anything, so fields are counted from the last bracket.
fn times(stat: &str) -> Option<(f64, f64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    Some(((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND, ticks(19)? / TICKS_PER_SECOND))
}

fn boot_time(stat: &str) -> Option<f64> {
    field(stat, "btime")
}

/// The first number after `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn family(out: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let numbers: Vec<String> = (4..=52).map(|i| (i * 100).to_string()).collect();
        let line = format!("77 (odd) name) S {}", numbers.join(" "));
        // utime is field 14, stime 15, starttime 22 (proc(5)).
        assert_eq!(times(&line), Some((14.0 + 15.0, 22.0)));
        assert_eq!(times("77 no brackets"), None);
    }

    #[test]
    fn the_process_is_described() {
        let mut out = String::new();
        append(&mut out);
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes"] {
            let value = field(&out, name).unwrap_or(-1.0);
            assert!(value >= 0.0, "{name} in {out}");
        }
        assert!(field(&out, "process_start_time_seconds").unwrap() > 1.6e9);
        assert!(field(&out, "process_open_fds").unwrap() >= 1.0);
    }
}
