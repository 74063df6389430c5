//! Gauges for `/metrics`, and one line a second on a terminal.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use console::Metrics;
use tokio::sync::watch;

use crate::pipeline::{BOUNDS_S, Lateness, Shared, Tally};
use crate::report;

/// Runs until it is aborted. `metrics` is where the sources count what they have yet to read.
pub async fn show(shared: Arc<Shared>, tally: watch::Receiver<Tally>, metrics: Option<Metrics>) {
    let terminal = std::io::stderr().is_terminal();
    let began = Instant::now();
    let mut last = (began, 0);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let records = shared.records.load(Ordering::Relaxed);
        let now = Instant::now();
        let rate = (records - last.1) as f64 / (now - last.0).as_secs_f64();
        last = (now, records);
        let tally = tally.borrow().clone();
        let delay_s = gauges(&shared, &tally);
        let lateness = count_late(&shared);
        if terminal {
            report::status(&line(&View {
                records,
                rate,
                alerts: shared.alert_count.load(Ordering::Relaxed),
                stored: tally.stored,
                lake_bytes: tally.lake_bytes,
                open_bytes: shared.buffered_bytes.load(Ordering::Relaxed) as u64,
                delay_s,
                within_s: lateness.bound_s(PERCENT),
                vendors_s: most(metrics.as_ref(), "mantissa_poll_lag_seconds"),
                messages_left: left(metrics.as_ref(), "mantissa_source_lag_messages"),
                bytes_left: left(metrics.as_ref(), "mantissa_source_lag_bytes"),
            }));
        }
    }
}

/// The largest sample of a family.
fn most(metrics: Option<&Metrics>, family: &str) -> u64 {
    let samples = metrics.map(|metrics| metrics.samples(family)).unwrap_or_default();
    samples.iter().map(|sample| sample.value as u64).max().unwrap_or(0)
}

/// What the sources have yet to read, together.
fn left(metrics: Option<&Metrics>, family: &str) -> u64 {
    let samples = metrics.map(|metrics| metrics.samples(family)).unwrap_or_default();
    samples.iter().map(|sample| sample.value as u64).sum()
}

/// What the line says of how late events come.
const PERCENT: u64 = 95;

/// Less is the usual distance to a vendor, whose events have to settle.
const VENDORS_S_MIN: u64 = 2 * 3_600;

/// What the line shows.
#[derive(Default)]
struct View {
    records: u64,
    rate: f64,
    alerts: u64,
    stored: u64,
    lake_bytes: u64,
    open_bytes: u64,
    /// How old the newest event was when it arrived, of the source that is most behind.
    delay_s: Option<u64>,
    /// Within which so many percent of the events came.
    within_s: Option<u64>,
    /// How much time of the vendor that is most behind is yet to be read.
    vendors_s: u64,
    messages_left: u64,
    bytes_left: u64,
}

fn line(view: &View) -> String {
    let mut text = format!(
        "{} records ({:.0}/s), {} alerts, {} committed in {}, {} waiting",
        report::count(view.records),
        view.rate,
        report::count(view.alerts),
        report::plural(view.stored, "event", "events"),
        report::bytes(view.lake_bytes),
        report::bytes(view.open_bytes),
    );
    if let Some(delay_s) = view.delay_s {
        text.push_str(&format!(", {} behind", report::span(delay_s)));
    }
    if let Some(within_s) = view.within_s {
        text.push_str(&format!(", {PERCENT} % came within {}", report::span(within_s)));
    }
    if view.vendors_s >= VENDORS_S_MIN {
        text.push_str(&format!(", {} of a vendor's time to read", report::span(view.vendors_s)));
    }
    let messages = report::plural(view.messages_left, "message", "messages");
    match (view.messages_left, view.bytes_left) {
        (0, 0) => {}
        (0, bytes) => text.push_str(&format!(", {} to read", report::bytes(bytes))),
        (_, 0) => text.push_str(&format!(", {messages} to read")),
        (_, bytes) => {
            text.push_str(&format!(", {messages} and {} to read", report::bytes(bytes)));
        }
    }
    text
}

/// Sets the gauges; the delay of the source that is most behind, if any event arrived.
fn gauges(shared: &Shared, tally: &Tally) -> Option<u64> {
    metrics::counter!("mantissa_records_received_total").absolute(tally.received);
    metrics::counter!("mantissa_events_stored_total").absolute(tally.stored);
    metrics::counter!("mantissa_duplicates_total").absolute(tally.duplicates);
    metrics::counter!("mantissa_dead_letters_total").absolute(tally.dead);
    metrics::counter!("mantissa_epochs_total").absolute(tally.epochs);
    metrics::counter!("mantissa_lake_bytes_total").absolute(tally.lake_bytes);
    metrics::gauge!("mantissa_epoch_open_bytes")
        .set(shared.buffered_bytes.load(Ordering::Relaxed) as f64);
    let mut most = None;
    for (source, arrival) in shared.seen.all() {
        let Some(delay_s) = arrival.delay_s() else { continue };
        let name = source.to_string();
        metrics::gauge!("mantissa_event_delay_seconds", "source" => name).set(delay_s as f64);
        most = most.max(Some(delay_s));
    }
    most
}

/// Counts how late the events of every source came, for each bound those within it; of all sources together.
fn count_late(shared: &Shared) -> Lateness {
    let mut all = Lateness::default();
    for (source, lateness) in shared.seen.lateness() {
        let bounds = BOUNDS_S.iter().map(u64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(lateness.within()) {
            let labels = [("source", source.to_string()), ("le", bound)];
            metrics::counter!("mantissa_event_lateness_total", &labels).absolute(count);
        }
        all.join(&lateness);
    }
    all
}

/// Says what the numbers of the pipeline mean, and begins those at zero that otherwise first show
/// when something has gone wrong.
pub fn describe() {
    use metrics::{Unit, counter, describe_counter, describe_gauge};
    for (name, meaning) in [
        (
            "mantissa_records_received_total",
            "Records in committed epochs, whatever became of them.",
        ),
        ("mantissa_events_stored_total", "Events committed to the lake."),
        ("mantissa_duplicates_total", "Records that the lake had already."),
        ("mantissa_dead_letters_total", "Records that could not be stored as events."),
        ("mantissa_epochs_total", "Epochs committed."),
        ("mantissa_commit_failures_total", "Attempts to commit an epoch that failed."),
        (
            "mantissa_event_lateness_total",
            "Events that arrived within so many seconds (le) after they happened, by source.",
        ),
        ("mantissa_backfill_records_total", "Records of the past that were got, by result."),
        ("mantissa_rule_reloads_total", "Times the rules were read again, by result."),
        (
            "mantissa_correlation_restarts_total",
            "Times that correlations began anew because what they knew was lost.",
        ),
        ("mantissa_correlation_events_total", "Events that took part in a correlation, by rule."),
        (
            "mantissa_correlation_late_events_total",
            "Events that came when their windows had been forgotten, by rule.",
        ),
        (
            "mantissa_correlation_groups_evicted_total",
            "Groups that were forgotten because memory was full, by rule.",
        ),
        (
            "mantissa_correlation_events_dropped_total",
            "The oldest events of groups that had grown too large, by rule.",
        ),
    ] {
        describe_counter!(name, meaning);
    }
    describe_counter!("mantissa_lake_bytes_total", Unit::Bytes, "Bytes of data files committed.");
    describe_gauge!(
        "mantissa_epoch_open_bytes",
        Unit::Bytes,
        "Memory of events not committed yet."
    );
    describe_gauge!(
        "mantissa_event_delay_seconds",
        Unit::Seconds,
        "How old the newest event of a source was when it arrived."
    );
    describe_gauge!("mantissa_correlation_groups", "Groups that a correlation keeps, by rule.");
    describe_gauge!(
        "mantissa_correlation_bytes",
        Unit::Bytes,
        "Memory that a correlation takes, by rule."
    );
    counter!("mantissa_commit_failures_total").absolute(0);
    counter!("mantissa_correlation_restarts_total").absolute(0);
    for result in ["ok", "failed"] {
        counter!("mantissa_rule_reloads_total", "result" => result).absolute(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that begins as all and ends so.
    fn check(view: View, expected: &str) {
        let view = View {
            records: 12_345,
            rate: 678.4,
            alerts: 3,
            stored: 12_000,
            lake_bytes: 3 << 20,
            open_bytes: 2 << 10,
            ..view
        };
        let start = "12,345 records (678/s), 3 alerts, 12,000 events committed in 3.0 MiB, \
                     2.0 KiB waiting";
        assert_eq!(line(&view), format!("{start}{expected}"));
    }

    #[test]
    fn the_line_says_how_far_behind() {
        let view = View::default;
        check(view(), "");
        check(View { delay_s: Some(0), ..view() }, ", 0 s behind");
        let late = View { delay_s: Some(200), within_s: Some(900), bytes_left: 5 << 20, ..view() };
        check(late, ", 3 min behind, 95 % came within 15 min, 5.0 MiB to read");
        let queue = View { delay_s: Some(90_000), messages_left: 1, ..view() };
        check(queue, ", 25 h behind, 1 message to read");
        let both = View { messages_left: 34_000, bytes_left: 10, ..view() };
        check(both, ", 34,000 messages and 10 B to read");
        check(View { vendors_s: 7_199, ..view() }, "");
        check(View { vendors_s: 90_000, ..view() }, ", 25 h of a vendor's time to read");
    }
}
