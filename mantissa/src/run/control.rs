//! Everything around the pipeline that is not the pipeline: signals, the console, reload, the deadline
//! of a stop.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use console::{Handles, Health, Metrics, Tap};
use detect::Diagnostic;
use ingest::Shutdown;
use sink::dispatch::Standing;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::health::{self as checks, Sources};
use super::{progress, upkeep};
use crate::config::RulesConfig;
use crate::pipeline::{Detection, Shared, Tally};
use crate::plan::{self, LoadedRules, Plan};
use crate::sight::source::{self as health, Sight};

/// How a run is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// By SIGTERM or SIGINT.
    Signals,
    /// Never: it ends with its sources (tests, demo).
    Never,
}

/// What the stages say as they go.
pub struct Words {
    pub tally: watch::Receiver<Tally>,
    /// Why the last attempt to commit failed, if it did.
    pub trouble: watch::Receiver<Option<String>>,
    pub standing: watch::Receiver<Standing>,
}

/// The running surroundings.
pub struct Control {
    pub shutdown: Shutdown,
    pub tap: Tap,
    pub health: Health,
    pub sources: Sources,
    asked: watch::Receiver<Option<Instant>>,
    /// Held so that the switch can still be thrown while anything runs.
    _signals: JoinHandle<()>,
    console: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// What this process counts, if anybody looks.
    metrics: Option<Metrics>,
}

impl Control {
    pub async fn start(plan: &Plan, stop: Stop, sight: &Sight) -> anyhow::Result<Self> {
        let (switch, shutdown) = ingest::shutdown();
        let (ask, asked) = watch::channel(None);
        let signals = match stop {
            Stop::Signals => {
                let (term, int) =
                    (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
                let (term, int) = (term.context("SIGTERM")?, int.context("SIGINT")?);
                tokio::spawn(wait_for_stop(term, int, switch, ask))
            }
            Stop::Never => tokio::spawn(async move {
                // Dropping either end would look like a request.
                let _held = (switch, ask);
                std::future::pending::<()>().await;
            }),
        };
        let (tap, health) = (Tap::default(), Health::default());
        health.failed("process", "is starting");
        tokio::spawn(checks::watch_stop(health.clone(), asked.clone()));
        // Before anything is counted or described.
        let metrics = recorded(plan.console.is_some())?;
        let console = match (&plan.console, &metrics) {
            (Some(options), Some(metrics)) => {
                let handles = Handles {
                    metrics: metrics.clone(),
                    health: health.clone(),
                    rules: sight.rules.clone(),
                    tap: tap.clone(),
                    token: options.token.clone(),
                };
                Some(start_console(options, handles).await?)
            }
            _ => None,
        };
        progress::describe();
        health::describe();
        upkeep::describe();
        checks::describe();
        let sources = Sources::new(health.clone());
        Ok(Self { shutdown, tap, health, sources, asked, _signals: signals, console, metrics })
    }

    /// Set to the moment when draining must end, once a stop has been asked for.
    pub fn deadline(&self, allowed: Duration) -> watch::Receiver<Option<Instant>> {
        let (set, deadline) = watch::channel(None);
        let mut asked = self.asked.clone();
        tokio::spawn(async move {
            if let Ok(at) = asked.wait_for(Option::is_some).await {
                set.send_replace(at.map(|at| at + allowed));
            }
            // Held until the receiver is gone, so that a deadline can still come.
            set.closed().await;
        });
        deadline
    }

    /// Reload on SIGHUP, health and metrics, progress on a terminal.
    pub fn watch(
        &self,
        plan: &Plan,
        shared: &Arc<Shared>,
        sight: &Arc<Sight>,
        Words { tally, trouble, standing }: Words,
    ) -> JoinHandle<()> {
        let reload = Reload {
            config: plan.rules_config.clone(),
            shared: Arc::clone(shared),
            sight: Arc::clone(sight),
            health: self.health.clone(),
        };
        let reload = reload.on_hangup();
        let health = checks::watch(
            self.health.clone(),
            self.sources.clone(),
            self.metrics.clone(),
            trouble,
            standing,
            plan.destinations.keys().cloned().collect(),
        );
        self.health.ok("outbox");
        self.health.ok("process");
        let progress = progress::show(Arc::clone(shared), tally, self.metrics.clone());
        tokio::spawn(async move {
            tokio::join!(reload, health, progress);
        })
    }

    /// Ends the console, after everything else.
    pub async fn stop(self) {
        if let Some((stop, served)) = self.console {
            // The console may have failed and be gone.
            let _ = stop.send(());
            if served.await.is_err() {
                tracing::error!("the console panicked");
            }
        }
    }
}

async fn wait_for_stop(
    mut term: Signal,
    mut int: Signal,
    switch: ingest::ShutdownSender,
    ask: watch::Sender<Option<Instant>>,
) {
    tokio::select! {
        _ = term.recv() => tracing::info!("SIGTERM: intake stops, the open epoch is committed"),
        _ = int.recv() => tracing::info!("SIGINT: intake stops, the open epoch is committed"),
    }
    ask.send_replace(Some(Instant::now()));
    switch.request();
    // A second request is a person who will not wait.
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::warn!("asked to stop twice: ending at once; what is not committed will be read again");
    ask.send_replace(Some(Instant::now() - Duration::from_secs(3_600)));
    std::future::pending::<()>().await;
}

/// Starts recording metrics where somebody sees them: the console, or a terminal that shows progress.
fn recorded(by_console: bool) -> anyhow::Result<Option<Metrics>> {
    if !by_console && !std::io::stderr().is_terminal() {
        return Ok(None);
    }
    match Metrics::install(env!("CARGO_PKG_VERSION")) {
        Ok(metrics) => Ok(Some(metrics)),
        // A second run in this process: its progress does without.
        Err(_) if !by_console => Ok(None),
        Err(e) => Err(e.into()),
    }
}

async fn start_console(
    options: &console::Options,
    handles: Handles,
) -> anyhow::Result<(oneshot::Sender<()>, JoinHandle<()>)> {
    let listener = tokio::net::TcpListener::bind(&options.listen)
        .await
        .with_context(|| format!("the console cannot listen on {}", options.listen))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(async move {
        let until = async {
            let _ = stopped.await;
        };
        if let Err(e) = console::serve(listener, handles, until).await {
            tracing::error!("the console has ended: {:#}", anyhow::Error::from(e));
        }
    });
    Ok((stop, served))
}

/// What reading the rules again changes.
struct Reload {
    config: RulesConfig,
    shared: Arc<Shared>,
    sight: Arc<Sight>,
    health: Health,
}

impl Reload {
    /// Reads the rules again on SIGHUP and swaps them whole. Rules that cannot be read, or among which
    /// one that runs is now refused, leave the old set in place; other refused documents are reported
    /// and left out, as at the start.
    async fn on_hangup(self) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            tracing::error!("SIGHUP cannot be received; rules are read only at the start");
            return;
        };
        self.health.ok("rules");
        while hangup.recv().await.is_some() {
            let read = self.config.clone();
            let loaded = tokio::task::spawn_blocking(move || plan::rules(&read)).await;
            let loaded = loaded.map_err(anyhow::Error::from).and_then(|loaded| loaded);
            match loaded.and_then(|loaded| self.lossless(loaded)) {
                Ok(loaded) => self.swap(loaded),
                Err(e) => {
                    let reason = format!("{e:#}");
                    tracing::error!("rules cannot be reloaded, the old ones stay: {reason}");
                    metrics::counter!("mantissa_rule_reloads_total", "result" => "failed")
                        .increment(1);
                    self.health.degraded("rules", &reason);
                }
            }
        }
    }

    /// Refuses a set in which a mistake would take a rule away that runs now.
    fn lossless(&self, loaded: LoadedRules) -> anyhow::Result<LoadedRules> {
        let running = self.shared.detection.load();
        let runs = |problem: &&Diagnostic| {
            let rules = running.rules.rules().iter().map(|rule| &rule.file);
            let correlations = running.rules.correlations().iter().map(|c| &c.file);
            rules.chain(correlations).any(|file| **file == *problem.file)
        };
        match loaded.refused.iter().find(runs) {
            Some(problem) => {
                anyhow::bail!("a rule that runs would be lost: {}", plan::note(problem))
            }
            None => Ok(loaded),
        }
    }

    fn swap(&self, loaded: LoadedRules) {
        let notes = loaded.notes();
        let rules = loaded.rules;
        for note in &notes {
            tracing::warn!("{note}");
        }
        tracing::warn!(rules = rules.rules().len(), "rules reloaded");
        let rules = Arc::new(rules);
        // Who holds the state may be waiting for a full disk.
        tokio::task::block_in_place(|| self.shared.correlations.reload(&rules));
        let before = self.shared.detection.load();
        self.shared.detection.store(Arc::new(Detection {
            catalog: Arc::clone(&before.catalog),
            rules: Arc::clone(&rules),
            generation: before.generation + 1,
        }));
        self.sight.reloaded(&rules);
        metrics::counter!("mantissa_rule_reloads_total", "result" => "ok").increment(1);
        self.health.ok("rules");
    }
}
