//! Gauges for `/metrics`, and one line a second on a terminal.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sink::outbox::Outbox;
use tokio::sync::watch;

use crate::pipeline::{Shared, Tally};
use crate::report;

/// Runs until it is aborted.
pub async fn show(shared: Arc<Shared>, tally: watch::Receiver<Tally>, _outbox: Outbox) {
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
        gauges(&shared, &tally);
        if terminal {
            report::status(&format!(
                "{} records ({:.0}/s), {} alerts, {} committed in {}, {} waiting",
                report::count(records),
                rate,
                report::count(shared.alert_count.load(Ordering::Relaxed)),
                report::plural(tally.stored, "event", "events"),
                report::bytes(tally.lake_bytes),
                report::bytes(shared.buffered_bytes.load(Ordering::Relaxed) as u64),
            ));
        }
    }
}

fn gauges(shared: &Shared, tally: &Tally) {
    metrics::counter!("mantissa_records_received_total").absolute(tally.received);
    metrics::counter!("mantissa_events_stored_total").absolute(tally.stored);
    metrics::counter!("mantissa_duplicates_total").absolute(tally.duplicates);
    metrics::counter!("mantissa_dead_letters_total").absolute(tally.dead);
    metrics::counter!("mantissa_epochs_total").absolute(tally.epochs);
    metrics::counter!("mantissa_lake_bytes_total").absolute(tally.lake_bytes);
    metrics::gauge!("mantissa_epoch_open_bytes")
        .set(shared.buffered_bytes.load(Ordering::Relaxed) as f64);
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
        ("mantissa_rule_reloads_total", "Times the rules were read again, by result."),
    ] {
        describe_counter!(name, meaning);
    }
    describe_counter!("mantissa_lake_bytes_total", Unit::Bytes, "Bytes of data files committed.");
    describe_gauge!(
        "mantissa_epoch_open_bytes",
        Unit::Bytes,
        "Memory of events not committed yet."
    );
    counter!("mantissa_commit_failures_total").absolute(0);
    for result in ["ok", "failed"] {
        counter!("mantissa_rule_reloads_total", "result" => result).absolute(0);
    }
}
