//! The Prometheus side of the `metrics` facade: a recorder without a server of its own, and a linter
//! for what it renders. It records nothing itself but what the tap and the process are doing.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::time::Duration;

use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::samples::{self, Sample};
use crate::{Error, process};

/// Bounds of every histogram whose name ends in `_seconds`.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Bounds of every histogram whose name ends in `_bytes`: 1 KiB to 1 GiB.
const BYTES: [f64; 6] = [1_024.0, 16_384.0, 262_144.0, 4_194_304.0, 67_108_864.0, 1_073_741_824.0];
/// Bounds of other histograms (rows, records).
const COUNTS: [f64; 8] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7];
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Renders what the process has recorded. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    version: &'static str,
}

impl Metrics {
    /// Makes this process's `metrics` macros record here. Once per process.
    pub fn install(version: &'static str) -> Result<Self, Error> {
        let recorder = recorder();
        let handle = recorder.handle();
        ::metrics::set_global_recorder(recorder).map_err(|_| Error::Recorder)?;
        describe();
        Ok(Self { handle, version })
    }

    /// A recorder that the caller installs for one thread or scope.
    pub fn local(version: &'static str) -> (PrometheusRecorder, Self) {
        let recorder = recorder();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, describe);
        (recorder, Self { handle, version })
    }

    /// Everything in the Prometheus text format, the process's own numbers included.
    pub fn render(&self) -> String {
        let mut out = self.handle.render();
        let _ = writeln!(
            out,
            "# HELP mantissa_build_info The running version.\n# TYPE mantissa_build_info gauge\n\
             mantissa_build_info{{version=\"{}\"}} 1\n",
            self.version
        );
        process::append(&mut out);
        out
    }

    /// The samples of a family at present.
    pub fn samples(&self, family: &str) -> Vec<Sample> {
        samples::of(&self.handle.render(), family)
    }

    /// Folds histograms together for ever, without which they grow. [`crate::serve`] runs it.
    pub async fn upkeep(self) {
        let mut every = tokio::time::interval(UPKEEP_EVERY);
        loop {
            every.tick().await;
            self.handle.run_upkeep();
        }
    }
}

fn recorder() -> PrometheusRecorder {
    let suffix = |s: &str| Matcher::Suffix(s.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(suffix("_seconds"), &SECONDS)
        .and_then(|b| b.set_buckets_for_metric(suffix("_bytes"), &BYTES))
        .and_then(|b| b.set_buckets(&COUNTS))
        .expect("the bounds are not empty")
        .build_recorder()
}

fn describe() {
    ::metrics::describe_gauge!("mantissa_tap_watchers", "People watching the live tap.");
    ::metrics::describe_counter!(
        "mantissa_tap_lost_total",
        "Lines that slow watchers of the tap did not get."
    );
}

/// What a Prometheus user would object to in this text: one sentence per finding, none when clean.
///
/// Checks that every family has help and type, that counters end in `_total` and nothing else does,
/// that names are snake_case in base units, and that no sample stands twice.
pub fn lint(text: &str) -> Vec<String> {
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut helps: BTreeMap<&str, &str> = BTreeMap::new();
    let mut samples: HashMap<&str, u32> = HashMap::new();
    let mut findings = Vec::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            if kinds.insert(name, kind).is_some() {
                findings.push(format!("{name}: its type is given twice"));
            }
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            helps.insert(name, help);
        } else if !line.is_empty() && !line.starts_with('#') {
            let sample = line.rsplit_once(' ').map_or(line, |(sample, _)| sample);
            *samples.entry(sample).or_default() += 1;
        }
    }
    for (sample, times) in samples {
        if times > 1 {
            findings.push(format!("{sample}: stands {times} times"));
        }
        if !kinds.contains_key(family(sample, &kinds)) {
            findings.push(format!("{sample}: has no type"));
        }
    }
    for (name, kind) in &kinds {
        if helps.get(name).is_none_or(|help| help.trim().is_empty()) {
            findings.push(format!("{name}: has no help text"));
        }
        findings.extend(name_findings(name, kind));
    }
    findings.sort();
    findings
}

/// The family of a sample: its name without labels and without a histogram's suffix.
fn family<'t>(sample: &'t str, kinds: &BTreeMap<&str, &str>) -> &'t str {
    let name = sample.split('{').next().unwrap_or(sample);
    let stem = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
    stem.filter(|stem| kinds.contains_key(stem)).unwrap_or(name)
}

fn name_findings(name: &str, kind: &str) -> Vec<String> {
    const NOT_BASE: [&str; 12] = [
        "ms",
        "us",
        "ns",
        "milliseconds",
        "microseconds",
        "nanoseconds",
        "minutes",
        "hours",
        "kilobytes",
        "megabytes",
        "kb",
        "mb",
    ];
    let mut findings = Vec::new();
    let snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.chars().all(snake) || name.contains("__") {
        findings.push(format!("{name}: is not snake_case"));
    }
    if (kind == "counter") != name.ends_with("_total") {
        findings.push(format!("{name}: a {kind}; exactly the counters end in _total"));
    }
    if let Some(unit) = name.split('_').find(|word| NOT_BASE.contains(word)) {
        findings.push(format!("{name}: counts in {unit}; use seconds or bytes"));
    }
    if kind == "summary" {
        findings.push(format!("{name}: a summary cannot be added up over processes"));
    }
    findings
}
