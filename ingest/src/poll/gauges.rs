//! What a polled source tells about itself: metrics, and a line in the log when it gets into trouble or out
//! of it.

use std::sync::Arc;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use super::poller::Poller;
use super::session::Session;
use super::setup::Stats;
use crate::meter::Meter;

/// Says what the numbers mean; saying it again changes nothing.
fn describe() {
    for (name, meaning) in [
        ("mantissa_poll_requests_total", "Requests to the vendor."),
        ("mantissa_poll_limited_total", "Answers by which the vendor asked to wait."),
        (
            "mantissa_poll_late_total",
            "New events that an earlier reading of their time had not shown.",
        ),
        ("mantissa_poll_repeated_total", "Events that were met again and not handed over again."),
        (
            "mantissa_poll_gap_seconds_total",
            "Time that was lost because the vendor no longer keeps it.",
        ),
    ] {
        describe_counter!(name, meaning);
    }
    for (name, meaning) in [
        (
            "mantissa_poll_lag_seconds",
            "Age of the newest moment that was read; of a backfill, what it has yet to read.",
        ),
        ("mantissa_poll_last_success_timestamp_seconds", "When a request last succeeded."),
        ("mantissa_poll_last_event_timestamp_seconds", "The newest time of an event."),
        ("mantissa_poll_clock_skew_seconds", "The vendor's clock minus this one."),
        ("mantissa_poll_seen_ids", "Events that are remembered."),
    ] {
        describe_gauge!(name, meaning);
    }
}

/// Those of one partition.
struct Part {
    partition: Arc<str>,
    requests: Counter,
    limited: Counter,
    late: Counter,
    repeated: Counter,
    gap: Counter,
    lag: Gauge,
    last_success: Gauge,
    last_event: Gauge,
    seen: Gauge,
    told: Stats,
}

/// Those of one source.
pub(super) struct Gauges {
    meter: Meter,
    skew: Gauge,
    parts: Vec<Part>,
}

impl Gauges {
    pub fn new(source: &str, meter: Meter, session: &Session) -> Self {
        describe();
        let part = |poller: &Poller| {
            let (source, partition) = (source.to_owned(), poller.partition().to_string());
            let labels = [("source", source), ("partition", partition)];
            Part {
                partition: poller.partition().clone(),
                requests: counter!("mantissa_poll_requests_total", &labels),
                limited: counter!("mantissa_poll_limited_total", &labels),
                late: counter!("mantissa_poll_late_total", &labels),
                repeated: counter!("mantissa_poll_repeated_total", &labels),
                gap: counter!("mantissa_poll_gap_seconds_total", &labels),
                lag: gauge!("mantissa_poll_lag_seconds", &labels),
                last_success: gauge!("mantissa_poll_last_success_timestamp_seconds", &labels),
                last_event: gauge!("mantissa_poll_last_event_timestamp_seconds", &labels),
                seen: gauge!("mantissa_poll_seen_ids", &labels),
                told: Stats::default(),
            }
        };
        Self {
            meter,
            skew: gauge!("mantissa_poll_clock_skew_seconds", "source" => source.to_owned()),
            parts: session.pollers().iter().map(part).collect(),
        }
    }

    /// Tells what has changed. There is something to be read up to `end_ms`.
    pub fn tell(&mut self, session: &Session, end_ms: i64) {
        self.skew.set(session.skew_ms().unwrap_or(0) as f64 / 1_000.0);
        for (part, poller) in self.parts.iter_mut().zip(session.pollers()) {
            part.tell(poller, end_ms, &self.meter);
        }
        let pollers = session.pollers();
        self.meter.stands(pollers.iter().find_map(|poller| poller.stats.trouble.as_deref()));
        if let Some(ms) = session.read_to_ms() {
            self.meter.read_to(ms);
        }
    }
}

impl Part {
    fn tell(&mut self, poller: &Poller, end_ms: i64, meter: &Meter) {
        let (stats, told) = (&poller.stats, &self.told);
        self.requests.increment(stats.requests - told.requests);
        self.limited.increment(stats.limited - told.limited);
        self.late.increment(stats.late - told.late);
        self.repeated.increment(stats.repeated - told.repeated);
        self.gap.increment(((stats.gap_ms / 1_000) - (told.gap_ms / 1_000)).unsigned_abs());
        for _ in told.failures..stats.failures {
            meter.error();
        }
        self.lag.set((end_ms - poller.cursor().done_ms).max(0) as f64 / 1_000.0);
        self.seen.set(poller.seen().len() as f64);
        for (gauge, ms) in
            [(&self.last_success, stats.last_success_ms), (&self.last_event, stats.last_event_ms)]
        {
            if let Some(ms) = ms {
                gauge.set(ms as f64 / 1_000.0);
            }
        }
        let (source, partition) = (meter.source(), &self.partition);
        if stats.gap_ms > told.gap_ms {
            let lost_ms = stats.gap_ms - told.gap_ms;
            meter.gap(stats.gap_to_ms - lost_ms, stats.gap_to_ms);
            let lost_s = lost_ms / 1_000;
            tracing::error!(source, %partition, lost_s, "the vendor no longer keeps what was not read yet");
        }
        match (&told.trouble, &stats.trouble) {
            (before, Some(words)) if before.as_ref() != Some(words) => {
                tracing::warn!(source, %partition, "cannot read on: {words}");
            }
            (Some(_), None) => tracing::info!(source, %partition, "reading again"),
            _ => {}
        }
        self.told = stats.clone();
    }
}
