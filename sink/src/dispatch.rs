//! Moves alerts from the outbox to the destinations.
//!
//! One task does all the bookkeeping in turns: it records the answers that came, routes what is new,
//! asks every [`Lane`](lane::Lane) how much may begin, claims that much durably and starts the
//! requests. All decisions are made in [`lane`], which is pure; this file only carries them out. It
//! must not hold anything that the outbox does not: the process may die between any two lines.
//!
//! While the outbox cannot be written (disk full) answers wait here, bounded by what is under way,
//! nothing new begins, and the log says so.

pub mod lane;
mod standing;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use event::{AlertId, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::destinations::{self, Built, DestinationConfig};
use crate::outbound::Outlet;
use crate::outbox::{Claim, Delivery, DispatchLock, Entry, Error, Outbox, Retention, StateName};
use crate::routing::{ConfigError, RouteConfig, Router};
use lane::{Answer, Lane, Policy};
use standing::{count, describe_metrics, report};

pub use standing::Standing;

/// Alerts routed in one transaction.
const ROUTED_MAX: usize = 256;
/// The longest sleep: other processes (`mantissa alerts retry`) change the outbox without a word.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How often the outbox is counted and purged.
const COUNT_EVERY: Duration = Duration::from_secs(5);
const PURGE_EVERY: Duration = Duration::from_secs(3_600);
/// A request that takes longer is given up, whatever its destination promises.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(120);

/// Checks routes and destinations without any side effect, for `mantissa check`. Like
/// [`Dispatcher::start`] it needs the TLS provider installed.
pub fn check(
    routes: &[RouteConfig],
    configs: &BTreeMap<String, DestinationConfig>,
) -> Result<(), ConfigError> {
    destinations::build(configs)?;
    Router::new(routes, &configs.keys().cloned().collect::<Vec<_>>())?;
    Ok(())
}

/// Why delivery cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the configuration of alerts is wrong")]
    Config(#[from] ConfigError),
    #[error("the outbox cannot be used")]
    Outbox(#[from] Error),
}

/// What was still open when delivery stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Inserted and not routed.
    pub unrouted: u64,
    /// Deliveries that will be tried at the next start.
    pub pending: u64,
}

/// Delivery under way. Dropping it stops delivery at once; nothing is lost by that.
#[derive(Debug)]
pub struct Dispatcher {
    wake: Arc<Notify>,
    stop: watch::Sender<Option<Instant>>,
    standing: watch::Receiver<Standing>,
    task: JoinHandle<Summary>,
}

impl Dispatcher {
    /// Starts delivering from the outbox, first what an earlier process left. To be called within a
    /// tokio runtime; fails when another process delivers from the same outbox.
    pub fn start(
        outbox: Outbox,
        routes: &[RouteConfig],
        configs: &BTreeMap<String, DestinationConfig>,
        outlet: Outlet,
    ) -> Result<Self, StartError> {
        Self::start_with(outbox, routes, configs, outlet, Policy::default(), Retention::default())
    }

    /// As [`Dispatcher::start`], with waits and retention of one's own.
    pub fn start_with(
        outbox: Outbox,
        routes: &[RouteConfig],
        configs: &BTreeMap<String, DestinationConfig>,
        outlet: Outlet,
        policy: Policy,
        retention: Retention,
    ) -> Result<Self, StartError> {
        let built = destinations::build(configs)?;
        Self::start_built(outbox, routes, built, outlet, policy, retention)
    }

    /// As [`Dispatcher::start_with`], with destinations that are built already.
    pub(crate) fn start_built(
        outbox: Outbox,
        routes: &[RouteConfig],
        built: Vec<Built>,
        outlet: Outlet,
        policy: Policy,
        retention: Retention,
    ) -> Result<Self, StartError> {
        let names: Vec<String> = built.iter().map(|built| built.name.clone()).collect();
        let router = Router::new(routes, &names)?;
        let lock = outbox.lock_dispatch()?;
        describe_metrics();
        resume(&outbox, &names)?;
        let (wake, (stop, stopped)) = (Arc::new(Notify::new()), watch::channel(None));
        let (tell, standing) = watch::channel(Standing::default());
        let work = Work {
            outbox,
            router: Arc::new(router),
            lanes: built.iter().map(|b| Lane::new(b.limits, policy, now())).collect(),
            standing: tell,
            built,
            outlet,
            policy,
            retention,
            sending: JoinSet::new(),
            claims: HashMap::new(),
            ended: Vec::new(),
            counted_at: None,
            purged_at: None,
            _lock: lock,
        };
        let task = tokio::spawn(work.run(wake.clone(), stopped));
        Ok(Self { wake, stop, standing, task })
    }

    /// Tells that the outbox has something new. Cheap; from any thread.
    pub fn notify(&self) {
        self.wake.notify_one();
    }

    /// A handle that only notifies, for the threads that insert.
    pub fn notifier(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    /// How the destinations and the outbox are doing, as it changes.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Sends what is due, for at most `deadline`, and stops. Deliveries that failed before or whose
    /// destination is down or busy are not waited for.
    pub async fn shutdown(self, deadline: Duration) -> Summary {
        let _ = self.stop.send(Some(Instant::now() + deadline)); // the task may have ended
        self.wake.notify_one();
        self.task.await.unwrap_or_default()
    }
}

/// Takes over from an earlier process.
fn resume(outbox: &Outbox, destinations: &[String]) -> Result<(), Error> {
    let recovered = outbox.recover()?;
    if recovered > 0 {
        tracing::warn!(deliveries = recovered, "sending again what was under way at the last stop");
    }
    for name in outbox.destinations_pending()? {
        if !destinations.contains(&name) {
            let reason = "the destination is not configured any more";
            let parked = outbox.park_all(&name, now(), reason)?;
            tracing::warn!(destination = %name, deliveries = parked, "parked: {reason}");
        }
    }
    Ok(())
}

type Ended = (String, AlertId, Delivery);

struct Work {
    outbox: Outbox,
    router: Arc<Router>,
    built: Vec<Built>,
    /// One for each of `built`.
    lanes: Vec<Lane>,
    standing: watch::Sender<Standing>,
    outlet: Outlet,
    policy: Policy,
    retention: Retention,
    sending: JoinSet<Answer>,
    /// What each sending task sends: the position of its destination and its claims.
    claims: HashMap<Id, (usize, Vec<Claim>)>,
    /// Answered and not yet recorded.
    ended: Vec<Ended>,
    counted_at: Option<Instant>,
    purged_at: Option<Instant>,
    _lock: DispatchLock,
}

/// What a turn found.
struct Turn {
    /// More is waiting than one turn takes.
    more: bool,
    /// Something is due that will begin without anybody's help.
    busy: bool,
    wake_at: Timestamp,
}

impl Work {
    async fn run(
        mut self,
        wake: Arc<Notify>,
        mut stopped: watch::Receiver<Option<Instant>>,
    ) -> Summary {
        let mut deadline: Option<Instant> = None;
        loop {
            let turn = self.turn().await;
            let trouble = turn.as_ref().err().map(ToString::to_string);
            self.standing.send_if_modified(|standing| {
                let changed = standing.outbox != trouble;
                standing.outbox = trouble;
                changed
            });
            let turn = match turn {
                Ok(turn) => turn,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "outbox: {error}");
                    let wake_at = Timestamp(now().0 + SLEEP_MAX.as_nanos() as i64);
                    Turn { more: false, busy: true, wake_at }
                }
            };
            let is_idle = !turn.busy && !turn.more && self.sending.is_empty();
            if deadline.is_some_and(|at| is_idle || Instant::now() >= at) {
                break;
            }
            if turn.more {
                continue;
            }
            let wait = Duration::from_nanos(u64::try_from(turn.wake_at.0 - now().0).unwrap_or(0));
            let until = Instant::now() + wait.min(SLEEP_MAX);
            tokio::select! {
                Some(joined) = self.sending.join_next_with_id() => self.answered(joined),
                () = wake.notified() => {}
                changed = stopped.changed(), if deadline.is_none() => match changed {
                    Ok(()) => deadline = *stopped.borrow(),
                    Err(_) => break, // the handle was dropped
                },
                () = sleep_until(deadline.map_or(until, |at| until.min(at))) => {}
            }
        }
        self.finish().await
    }

    /// One round of bookkeeping.
    async fn turn(&mut self) -> Result<Turn, Error> {
        while let Some(joined) = self.sending.try_join_next_with_id() {
            self.answered(joined);
        }
        if !self.ended.is_empty() {
            let ended = self.ended.clone();
            blocking(&self.outbox, move |outbox| outbox.record(&ended)).await?;
            self.ended.clear();
        }
        self.maintain().await?;
        let more = self.route().await?;
        let names: Vec<String> = self.built.iter().map(|built| built.name.clone()).collect();
        let next_due = blocking(&self.outbox, move |outbox| {
            names.iter().map(|name| outbox.next_due(name)).collect::<Result<Vec<_>, _>>()
        })
        .await?;
        let (at, mut busy, mut wake_at) = (now(), false, Timestamp(i64::MAX));
        for (n, due) in next_due.into_iter().enumerate() {
            let Some(due) = due else { continue };
            if due > at {
                wake_at = wake_at.min(due);
                continue;
            }
            busy |= self.lanes[n].is_willing(at);
            let room = self.lanes[n].room(at);
            if room > 0 {
                self.begin(n, room, at).await?;
            }
            // Room that is missing because requests are under way comes with their answers.
            let has_room_at = self.lanes[n].wake_at(at);
            if has_room_at > at {
                wake_at = wake_at.min(has_room_at);
            }
        }
        Ok(Turn { more, busy, wake_at })
    }

    /// Routes what is new. Gives whether there may be more.
    async fn route(&mut self) -> Result<bool, Error> {
        let router = self.router.clone();
        let routed = blocking(&self.outbox, move |outbox| {
            match outbox.unrouted()? {
                0 => Ok(Vec::new()), // nothing to write: leave the file to those who insert
                _ => outbox.route(now(), ROUTED_MAX, |alert| router.route(alert)),
            }
        })
        .await?;
        for Entry { alert, deliveries } in &routed {
            let rule = match alert.rule.title.is_empty() {
                true => alert.rule.id.clone(),
                false => alert.rule.title.clone(),
            };
            let level = alert.rule.level.as_str();
            metrics::counter!("mantissa_alerts_total", "rule" => rule, "level" => level)
                .increment(1);
            if deliveries.is_empty() {
                tracing::debug!(alert_id = %alert.alert_id, "no route takes this alert");
                metrics::counter!("mantissa_alerts_unrouted_total").increment(1);
            }
            for (destination, delivery) in deliveries {
                if delivery.state.name() == StateName::Suppressed {
                    count(destination, "suppressed");
                }
            }
        }
        Ok(routed.len() == ROUTED_MAX)
    }

    /// Claims deliveries and starts their requests.
    async fn begin(&mut self, n: usize, room: usize, at: Timestamp) -> Result<(), Error> {
        let (name, batch_max) = (self.built[n].name.clone(), self.lanes[n].batch_max());
        let max = room.saturating_mul(batch_max);
        let mut claims = blocking(&self.outbox, move |outbox| outbox.claim(&name, at, max)).await?;
        while !claims.is_empty() {
            let rest = claims.split_off(claims.len().min(batch_max));
            let batch = std::mem::replace(&mut claims, rest);
            let (outlet, to) = (self.outlet.clone(), self.built[n].destination.clone());
            let sent = batch.clone();
            let task = self.sending.spawn(async move {
                let redact = |claim: &Claim| {
                    let delivery = &claim.delivery;
                    outlet.redact(&claim.alert, delivery.suppressed_before, delivery.maybe_sent)
                };
                let outbound: Vec<_> = sent.iter().map(redact).collect();
                match tokio::time::timeout(REQUEST_TIME_MAX, to.deliver(&outbound)).await {
                    Ok(answer) => answer,
                    Err(_) => failed("no answer in time"),
                }
            });
            self.claims.insert(task.id(), (n, batch));
            self.lanes[n].begin(1);
        }
        Ok(())
    }

    /// Takes one answer: decides for the lane and for each alert of the request.
    fn answered(&mut self, joined: Result<(Id, Answer), tokio::task::JoinError>) {
        let (id, answer) = match joined {
            Ok(both) => both,
            Err(error) => (error.id(), failed("an internal error, see the log")),
        };
        let Some((n, claims)) = self.claims.remove(&id) else { return };
        let (at, name) = (now(), &self.built[n].name);
        let was_broken = self.lanes[n].is_broken();
        self.lanes[n].end(&answer, at, jitter());
        if self.lanes[n].is_broken() && !was_broken {
            tracing::error!(destination = %name, "does not work; alerts wait and it is probed");
        } else if was_broken && !self.lanes[n].is_broken() {
            tracing::info!(destination = %name, "works again");
        }
        let reason = standing::reason(&answer).filter(|_| self.lanes[n].is_broken());
        self.standing.send_if_modified(|standing| match reason {
            Some(reason) => standing.down.insert(name.clone(), reason.to_owned()).is_none(),
            None => standing.down.remove(name).is_some(),
        });
        for Claim { alert, delivery } in claims {
            let after = self.policy.after(delivery, &answer, at, jitter());
            report(name, alert.alert_id, &answer, &after);
            self.ended.push((name.clone(), alert.alert_id, after));
        }
    }

    /// Counts for the metrics and forgets what is old, both now and then.
    async fn maintain(&mut self) -> Result<(), Error> {
        let is_due = |last: Option<Instant>, every| last.is_none_or(|at| at.elapsed() >= every);
        if is_due(self.counted_at, COUNT_EVERY) {
            self.counted_at = Some(Instant::now());
            for Built { name, .. } in &self.built {
                let of = name.clone();
                let pending = blocking(&self.outbox, move |outbox| outbox.pending(&of)).await?;
                metrics::gauge!("mantissa_outbox_pending", "destination" => name.clone())
                    .set(pending as f64);
            }
        }
        if is_due(self.purged_at, PURGE_EVERY) {
            self.purged_at = Some(Instant::now());
            let keep = self.retention;
            let gone = blocking(&self.outbox, move |outbox| outbox.purge(now(), keep)).await?;
            if gone > 0 {
                tracing::debug!(alerts = gone, "forgot old alerts");
                self.purged_at = None; // there may be more
            }
        }
        Ok(())
    }

    /// Records what is known and counts what is open. What is still under way stays claimed, and the
    /// next start finds it.
    async fn finish(mut self) -> Summary {
        while let Some(joined) = self.sending.try_join_next_with_id() {
            self.answered(joined);
        }
        self.sending.abort_all();
        let ended = std::mem::take(&mut self.ended);
        let names: Vec<String> = self.built.iter().map(|built| built.name.clone()).collect();
        let summary = blocking(&self.outbox, move |outbox| {
            outbox.record(&ended)?;
            let mut summary = Summary { unrouted: outbox.unrouted()?, pending: 0 };
            for name in &names {
                summary.pending += outbox.pending(name)?;
            }
            Ok(summary)
        });
        summary.await.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "outbox: {error}");
            Summary::default()
        })
    }
}

fn failed(reason: &str) -> Answer {
    Answer::Failed { retry_after: None, reason: reason.to_owned(), maybe_sent: true }
}

/// Runs one call of the outbox where it may wait for the disk.
async fn blocking<T: Send + 'static>(
    outbox: &Outbox,
    call: impl FnOnce(&Outbox) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let outbox = outbox.clone();
    match tokio::task::spawn_blocking(move || call(&outbox)).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime shuts down and drops this task as well.
        Err(_) => std::future::pending().await,
    }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
}

/// In `0..1`. The standard library seeds its hashers at random, which is random enough to spread
/// retries.
fn jitter() -> f64 {
    let bits = std::hash::RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod lane_tests;
#[cfg(test)]
mod tests;
