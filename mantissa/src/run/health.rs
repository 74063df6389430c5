//! Health: one check for each part, from what the parts say of themselves, for `/readyz` and as a
//! metric.
//!
//! Readiness is about intake alone. Another part that is in trouble is *degraded*, and the process
//! stays ready: what arrives is still taken, on disk where the sender cannot give it again, and an
//! orchestrator that took the process out of service for a store, a broker or a chat that is away
//! would stop intake everywhere at once. Not ready are the start and the time after a request to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use console::{Condition, Health, Metrics};
use parking_lot::Mutex;
use sink::dispatch::Standing;
use tokio::sync::watch;

/// How often the sources' own numbers are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Partitions that a reason names.
const NAMED_MAX: usize = 5;

/// What the sources are known to do. Cheap to clone.
#[derive(Clone)]
pub struct Sources {
    health: Health,
    running: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

fn check_of(source: &str) -> String {
    format!("source {source}")
}

impl Sources {
    pub fn new(health: Health) -> Self {
        Self { health, running: Arc::default() }
    }

    /// It runs. The program's own sources, whose names begin with `_`, are no parts to watch.
    pub fn started(&self, name: &Arc<str>) {
        if name.starts_with('_') {
            return;
        }
        self.running.lock().insert(Arc::clone(name));
        self.health.ok(&check_of(name));
    }

    /// It came to its end.
    pub fn ended(&self, name: &Arc<str>) {
        if self.running.lock().remove(name) {
            self.health.ok(&check_of(name));
        }
    }

    /// It has stopped for good, and should not have.
    pub fn failed(&self, name: &Arc<str>, reason: &str) {
        self.running.lock().remove(name);
        self.health.degraded(&check_of(name), &format!("has stopped: {reason}"));
    }

    /// What the running sources count of themselves: partitions that wait for a person, another side
    /// that does not answer.
    fn look(&self, metrics: &Metrics) {
        let mut halted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for sample in metrics.samples("mantissa_source_halted").iter().filter(|s| s.value > 0.0) {
            let (source, partition) = (sample.label("source"), sample.label("partition"));
            halted.entry(source.to_owned()).or_default().insert(partition.to_owned());
        }
        let down = metrics.samples("mantissa_source_up");
        let down = down.iter().filter(|s| s.value == 0.0);
        let down: BTreeSet<String> = down.map(|s| s.label("source").to_owned()).collect();
        for name in &*self.running.lock() {
            let check = check_of(name);
            match halted.get(&**name) {
                Some(partitions) => {
                    let named = partitions.iter().take(NAMED_MAX).map(String::as_str);
                    let named = named.collect::<Vec<_>>().join(", ");
                    let more = partitions.len().saturating_sub(NAMED_MAX);
                    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                    let reason = format!("waits for a person at {named}{more}; see the log");
                    self.health.degraded(&check, &reason);
                }
                None if down.contains(&**name) => {
                    self.health.degraded(&check, "its other side does not answer");
                }
                None => self.health.ok(&check),
            }
        }
    }
}

/// Turns each part's own word into its check, and all checks into a metric, until it is aborted.
pub async fn watch(
    health: Health,
    sources: Sources,
    metrics: Option<Metrics>,
    trouble: watch::Receiver<Option<String>>,
    standing: watch::Receiver<Standing>,
    destinations: Vec<String>,
) {
    let looks = async {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            if let Some(metrics) = &metrics {
                sources.look(metrics);
            }
            count(&health);
        }
    };
    tokio::join!(of_lake(&health, trouble), of_delivery(&health, standing, &destinations), looks);
}

async fn of_lake(health: &Health, mut trouble: watch::Receiver<Option<String>>) {
    loop {
        match &*trouble.borrow_and_update() {
            None => health.ok("lake"),
            Some(reason) => health.degraded("lake", reason),
        }
        if trouble.changed().await.is_err() {
            return;
        }
    }
}

async fn of_delivery(
    health: &Health,
    mut standing: watch::Receiver<Standing>,
    destinations: &[String],
) {
    loop {
        let now = standing.borrow_and_update().clone();
        match &now.outbox {
            None => health.ok("delivery"),
            Some(reason) => health.degraded("delivery", reason),
        }
        for name in destinations {
            let check = format!("destination {name}");
            match now.down.get(name) {
                None => health.ok(&check),
                Some(reason) => {
                    health.degraded(&check, &format!("does not work, its alerts wait: {reason}"));
                }
            }
        }
        if standing.changed().await.is_err() {
            return;
        }
    }
}

/// Every check as a metric.
fn count(health: &Health) {
    for check in health.report().checks {
        let ok = f64::from(u8::from(check.condition == Condition::Ok));
        metrics::gauge!("mantissa_health_ok", "check" => check.name).set(ok);
    }
}

/// Says that the process is stopping once it was asked to.
pub async fn watch_stop(health: Health, mut asked: watch::Receiver<Option<Instant>>) {
    if asked.wait_for(Option::is_some).await.is_ok() {
        health.failed("process", "is stopping");
    }
}

pub fn describe() {
    metrics::describe_gauge!("mantissa_health_ok", "1 for each check of /readyz that is well.");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The condition and reason of a source after its numbers were looked at.
    fn check(set: impl FnOnce(), expected: (Condition, &str)) {
        let (recorder, metrics) = Metrics::local("1.2.3");
        let sources = Sources::new(Health::default());
        sources.started(&"queue".into());
        sources.started(&"_own".into());
        metrics::with_local_recorder(&recorder, set);
        sources.look(&metrics);
        let report = sources.health.report();
        assert_eq!(report.checks.len(), 1, "{report:?}");
        let found = &report.checks[0];
        assert_eq!((found.condition, &*found.reason), expected);
    }

    #[test]
    fn sources_are_judged_by_what_they_count() {
        use metrics::gauge;
        check(|| {}, (Condition::Ok, ""));
        let up = |up: f64| gauge!("mantissa_source_up", "source" => "queue").set(up);
        check(|| up(1.0), (Condition::Ok, ""));
        check(|| up(0.0), (Condition::Degraded, "its other side does not answer"));
        let halt = |number: u32| {
            let partition = format!("audit-{number}");
            gauge!("mantissa_source_halted", "source" => "queue", "partition" => partition)
                .set(1.0);
        };
        let reason = "waits for a person at audit-1; see the log";
        check(|| halt(1), (Condition::Degraded, reason));
        let many = "waits for a person at audit-1, audit-2, audit-3, audit-4, audit-5 and 2 more; \
                    see the log";
        check(|| (1..8).for_each(halt), (Condition::Degraded, many));
        let other = || gauge!("mantissa_source_up", "source" => "other").set(0.0);
        check(other, (Condition::Ok, ""));
    }

    #[test]
    fn a_source_that_has_stopped_stays_named() {
        let (recorder, metrics) = Metrics::local("1.2.3");
        let sources = Sources::new(Health::default());
        let name: Arc<str> = "queue".into();
        sources.started(&name);
        sources.failed(&name, "gone");
        metrics::with_local_recorder(&recorder, || sources.look(&metrics));
        assert_eq!(sources.health.report().checks[0].reason, "has stopped: gone");
    }
}
