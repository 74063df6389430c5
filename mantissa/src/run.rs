//! *plan → run*: starts everything in the order of the pipeline, last stage first, and stops it first
//! stage first.

mod board;
mod control;
mod health;
mod progress;
mod upkeep;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use console::Health;
use event::time::HOUR_NS;
use event::{Alert, Secret};
use ingest::{
    Board, Claims, Emitter, FinishedSender, Resume, Source, SourceContext, Standing, Summary,
};
use normalize::redact::{RedactOptions, Redactor};
use sink::dispatch::Dispatcher;
use sink::lake::{Lake, Positions, Window};
use sink::outbound::Outlet;
use sink::outbox::Outbox;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::backfill::{self, Desk, Inbox};
use crate::pipeline::{
    AlertSink, Correlations, Detection, Epochs, Shared, Spare, States, Tally, Workers, drive,
    tell_of_loss,
};
use crate::plan::Plan;
use crate::report;
use crate::sight::collection::{self, CollectionSource, Watched};
use crate::sight::source::{self as own, HealthSource, Sight};

use board::LakeBoard;
use control::Words;
pub use control::{Control, Stop};
use health::Sources;

/// Batches between sources and workers.
const INTAKE_BATCHES_MAX: usize = 64;
/// Bytes of batches between sources and workers.
const INTAKE_BYTES_MAX: usize = 8 << 20;
/// Epochs whose buffers are kept for the next: one fills while the one before is written.
const SPARE_EPOCHS: usize = 2;
/// When the pipeline has failed a source is given this long to notice.
const NOTICE_MAX: Duration = Duration::from_secs(3);
/// From the request to stop until the process gives up; orchestrators kill after 30 s.
const STOP_MAX: Duration = Duration::from_secs(22);
/// How long the last alerts may take to leave.
const OUTBOX_FLUSH_MAX: Duration = Duration::from_secs(3);

/// What a run came to.
#[derive(Debug, Default, serde::Serialize)]
pub struct Outcome {
    #[serde(flatten)]
    pub tally: Tally,
    #[serde(skip)]
    pub sources: BTreeMap<String, Summary>,
    /// Names of input that had been read to its end before.
    pub read_before: Vec<String>,
}

/// Runs the plan until its sources end or a stop is asked for.
pub async fn run(plan: Plan, stop: Stop) -> anyhow::Result<Outcome> {
    run_with(plan, BTreeMap::new(), stop).await
}

/// As [`run`], with sources beside those of the plan.
pub async fn run_with(
    plan: Plan,
    mut sources: BTreeMap<String, Box<dyn Source>>,
    stop: Stop,
) -> anyhow::Result<Outcome> {
    for (name, config) in &plan.sources {
        sources.insert(name.clone(), config.build(name)?);
    }
    create_private(&plan.state_dir)
        .with_context(|| format!("cannot create the state folder {}", plan.state_dir.display()))?;
    let (lake, recovered) = Lake::open(&plan.lake).await?;
    let window = Arc::new(recovered.window);
    let outbox = open_outbox(&plan.state_dir)?;
    let sight = Arc::new(sight_of(&plan));
    let standings: Standings =
        sources.keys().map(|name| (name.as_str().into(), Standing::default())).collect();
    if plan.tells_health {
        tell_health(&plan, &sight, &standings, &mut sources);
    }
    let board = LakeBoard::of(&lake, &plan.lake);
    let states = take_requests(&plan, &lake, &window, &recovered.positions, &mut sources)?;
    // Before everything that counts or describes what it counts: the recorder is the console's.
    let control = Control::start(&plan, stop, &sight).await?;
    let dispatcher = start_dispatcher(&plan, &outbox)?;
    let left = recovered.state.as_deref();
    if recovered.state_is_lost {
        tell_of_loss(&plan.rules, "their state is damaged or gone");
    }
    let shared = shared(&plan, window, left, &outbox, &dispatcher, &control, &sight);
    let workers = Workers::start(plan.workers, &shared)?;
    expect_sources(&plan, &shared);
    let (emitter, intake) = ingest::emitter(INTAKE_BATCHES_MAX, INTAKE_BYTES_MAX);
    let (ask, claims) = ingest::claims();
    let (sources, finished) =
        start_sources(sources, (emitter, ask), &recovered.positions, &control, &standings, &board);
    let (tally, _) = watch::channel(Tally::default());
    let (trouble, troubled) = watch::channel(None);
    let epochs = Epochs {
        lake,
        epoch_max: Duration::from_millis(plan.lake.epoch_ms_max),
        epoch_bytes_max: epoch_bytes_max(&plan),
        claims,
        finished,
        states,
        tally: tally.clone(),
        trouble,
        shutdown: control.shutdown.clone(),
    };
    let words =
        Words { tally: tally.subscribe(), trouble: troubled, standing: dispatcher.standing() };
    let keeping = upkeep::Keeping::start(&plan.lake)?;
    let watching = control.watch(&plan, &shared, &sight, words);
    let tally = drive(intake, workers, &shared, epochs, control.deadline(STOP_MAX)).await;
    watching.abort();
    keeping.stop().await;
    // The epochs and with them the way back to the sources are gone: the sources end now.
    let sources = join_sources(sources, tally.is_err()).await;
    dispatcher.shutdown(OUTBOX_FLUSH_MAX).await;
    control.stop().await;
    let (tally, sources) = (tally?, sources?);
    let read_before = sources.values().flat_map(|s| s.read_before_names.clone()).collect();
    Ok(Outcome { tally, sources, read_before })
}

/// Adds the program's own sources.
fn tell_health(
    plan: &Plan,
    sight: &Arc<Sight>,
    standings: &Standings,
    sources: &mut BTreeMap<String, Box<dyn Source>>,
) {
    let is_finite = sources.values().all(|source| source.is_finite());
    let blind_after = Duration::from_secs(plan.rules_config.blind_after_s);
    let source = HealthSource::new(Arc::clone(sight), blind_after, is_finite);
    let collection = (!is_finite).then(|| CollectionSource::new(watched(plan, sources, standings)));
    sources.insert(own::NAME.to_owned(), Box::new(source));
    if let Some(collection) = collection {
        sources.insert(collection::NAME.to_owned(), Box::new(collection));
    }
}

/// Where somebody may ask for the past of a source: who takes that, and where the live collections stand.
fn take_requests(
    plan: &Plan,
    lake: &Lake,
    window: &Arc<Window>,
    positions: &Positions,
    sources: &mut BTreeMap<String, Box<dyn Source>>,
) -> anyhow::Result<States> {
    let Some(configured) = &plan.backfills else { return Ok(States::default()) };
    let names = configured.keys().map(|name| name.as_str().into()).collect();
    let states = States::new(&names, positions);
    let desk = Desk {
        inbox: Inbox::open(&plan.state_dir)?,
        sources: configured.clone(),
        catalog: Arc::clone(&plan.catalog),
        store: lake.store().clone(),
        window: Arc::clone(window),
        states: states.clone(),
        is_finite: sources.values().all(|source| source.is_finite()),
    };
    sources.insert(backfill::NAME.to_owned(), Box::new(desk));
    Ok(states)
}

fn epoch_bytes_max(plan: &Plan) -> usize {
    usize::try_from(plan.lake.epoch_bytes_max).unwrap_or(usize::MAX / SPARE_EPOCHS)
}

/// Makes the folder for its owner only: what is in it is not redacted. One that is there stays as it is.
pub(crate) fn create_private(dir: &Path) -> std::io::Result<()> {
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

/// Opens the outbox of a state folder.
pub fn open_outbox(state_dir: &Path) -> anyhow::Result<Outbox> {
    Ok(Outbox::open(&state_dir.join("outbox.redb"))?)
}

pub(crate) fn start_dispatcher(plan: &Plan, outbox: &Outbox) -> anyhow::Result<Dispatcher> {
    let redactor = Arc::new(redactor(&plan.redaction, &plan.state_dir)?);
    let outlet = Outlet::new(redactor, enrich::facts_of).with_lake(&plan.lake.url);
    Ok(Dispatcher::start(outbox.clone(), &plan.routes, &plan.destinations, outlet)?)
}

/// What the rules can see of the configured sources.
fn sight_of(plan: &Plan) -> Sight {
    let log_type = |(name, source): (&String, &ingest::SourceConfig)| {
        (Arc::from(name.as_str()), source.log_type.clone())
    };
    Sight::new(Arc::clone(&plan.catalog), &plan.rules, plan.sources.iter().map(log_type).collect())
}

fn shared(
    plan: &Plan,
    window: Arc<Window>,
    left: Option<&[u8]>,
    outbox: &Outbox,
    dispatcher: &Dispatcher,
    control: &Control,
    sight: &Sight,
) -> Arc<Shared> {
    let detection = Detection {
        catalog: Arc::clone(&plan.catalog),
        rules: Arc::clone(&plan.rules),
        generation: 0,
    };
    Arc::new(Shared {
        detection: ArcSwap::from_pointee(detection),
        window,
        spare: Spare::new(SPARE_EPOCHS * epoch_bytes_max(plan)),
        alerts: Arc::new(ToOutbox {
            outbox: outbox.clone(),
            wake: dispatcher.notifier(),
            health: control.health.clone(),
            is_failing: AtomicBool::new(false),
        }),
        tap: control.tap.clone(),
        late_after_ns: i64::from(plan.lake.late_after_hours).saturating_mul(HOUR_NS),
        buffered_bytes: AtomicUsize::new(0),
        records: AtomicU64::new(0),
        alert_count: AtomicU64::new(0),
        seen: Arc::clone(&sight.seen),
        give_up: AtomicBool::new(false),
        correlations: Correlations::new(plan.correlation.clone(), &plan.rules, left),
    })
}

/// Tells the correlations which sources will give events, so that none is found late because another
/// one was faster to begin.
fn expect_sources(plan: &Plan, shared: &Shared) {
    for (name, source) in &plan.sources {
        if let Some(mapping) = plan.catalog.get(&source.log_type) {
            let plans = plan.rules.plans_for(mapping.log_source());
            shared.correlations.expect(name, &plans);
        }
    }
}

/// The redactor with the configured key, or with the state folder's own, made at the first run.
pub(crate) fn redactor(options: &RedactOptions, state_dir: &Path) -> anyhow::Result<Redactor> {
    let mut options = options.clone();
    if options.key.expose().is_empty() {
        options.key = own_key(&state_dir.join("redaction.key"))?;
    }
    Redactor::new(&options).context("redaction")
}

fn own_key(path: &Path) -> anyhow::Result<Secret> {
    match std::fs::read_to_string(path) {
        Ok(key) => return Ok(Secret::new(key.trim_end())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
    let mut bytes = [0_u8; 32];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    let key: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        std::io::Write::write_all(&mut file, key.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Secret::new(key))
}

/// Alerts from the workers into the outbox; the dispatcher is told at once.
struct ToOutbox {
    outbox: Outbox,
    wake: Arc<Notify>,
    /// While alerts cannot be made durable the workers wait, and no epoch can be cut that would tell.
    health: Health,
    is_failing: AtomicBool,
}

impl AlertSink for ToOutbox {
    fn insert(&self, alerts: &[Alert]) -> anyhow::Result<()> {
        if let Err(e) = self.outbox.insert(alerts) {
            self.is_failing.store(true, Ordering::Relaxed);
            self.health.degraded("outbox", &report::chain(&e));
            return Err(e.into());
        }
        if self.is_failing.swap(false, Ordering::Relaxed) {
            self.health.ok("outbox");
        }
        self.wake.notify_one();
        Ok(())
    }
}

/// What the newest manifest says of a source's partitions.
fn resume_of(positions: &Positions, source: &str) -> HashMap<Arc<str>, Resume> {
    let own = positions.iter().filter(|(key, _)| &*key.source == source);
    own.map(|(key, at)| {
        (Arc::clone(&key.partition), Resume { upto: at.upto, state: at.state.clone() })
    })
    .collect()
}

/// How each source stands, by its own word.
type Standings = BTreeMap<Arc<str>, Standing>;

/// The configured sources, to be watched.
fn watched(
    plan: &Plan,
    sources: &BTreeMap<String, Box<dyn Source>>,
    standings: &Standings,
) -> BTreeMap<Arc<str>, Watched> {
    let watched = |(name, config): (&String, &ingest::SourceConfig)| {
        let (name, standing) = standings.get_key_value(name.as_str())?;
        let keeps = sources.get(&**name).is_some_and(|source| !source.hears());
        let log_type = config.log_type.clone();
        Some((Arc::clone(name), Watched { log_type, keeps, standing: standing.clone() }))
    };
    plan.sources.iter().filter_map(watched).collect()
}

type Running = JoinSet<(String, anyhow::Result<Summary>)>;

fn start_sources(
    sources: BTreeMap<String, Box<dyn Source>>,
    (emitter, claims): (Emitter, Claims),
    positions: &Positions,
    control: &Control,
    standings: &Standings,
    board: &Arc<dyn Board>,
) -> (Running, HashMap<Arc<str>, FinishedSender>) {
    let mut running = JoinSet::new();
    let mut ways_back = HashMap::new();
    for (name, source) in sources {
        let name: Arc<str> = name.into();
        let (sender, finished) = ingest::finished();
        ways_back.insert(Arc::clone(&name), sender);
        let context = SourceContext {
            name: Arc::clone(&name),
            emitter: emitter.clone(),
            finished,
            resume: resume_of(positions, &name),
            shutdown: control.shutdown.clone(),
            standing: standings.get(&name).cloned().unwrap_or_default(),
            board: Some(board.clone()),
            claims: claims.clone(),
        };
        running.spawn(run_source(name, source, context, control.sources.clone()));
    }
    (running, ways_back)
}

/// One source to its end. A source that fails is loud and ends; the others go on.
async fn run_source(
    name: Arc<str>,
    source: Box<dyn Source>,
    context: SourceContext,
    sources: Sources,
) -> (String, anyhow::Result<Summary>) {
    let (began, standing) = (Instant::now(), context.standing.clone());
    sources.started(&name);
    let ended = source.run(context).await;
    standing.ended(ended.as_ref().err().map(|e| format!("has stopped: {}", report::chain(e))));
    match &ended {
        Ok(summary) => {
            sources.ended(&name);
            tracing::info!(source = %name, ?summary, took = ?began.elapsed(), "ended");
        }
        Err(e) => {
            let reason = report::chain(e);
            sources.failed(&name, &reason);
            tracing::error!(source = %name, "the source has stopped: {reason}");
        }
    }
    (
        name.to_string(),
        ended.map_err(|e| anyhow::Error::from(e).context(format!("source `{name}`"))),
    )
}

/// `is_failed`: nobody takes what they give any more. Those that have nothing to give do not notice, and are ended.
async fn join_sources(
    mut running: Running,
    is_failed: bool,
) -> anyhow::Result<BTreeMap<String, Summary>> {
    let mut summaries = BTreeMap::new();
    let mut failure = None;
    loop {
        let joined = match is_failed {
            true => tokio::time::timeout(NOTICE_MAX, running.join_next()).await,
            false => Ok(running.join_next().await),
        };
        let Ok(joined) = joined else {
            running.abort_all();
            continue;
        };
        let Some(joined) = joined else { break };
        match joined {
            Ok((name, Ok(summary))) => {
                summaries.insert(name, summary);
            }
            Ok((_, Err(e))) => failure = failure.or(Some(e)),
            Err(e) if e.is_cancelled() => {}
            Err(e) => failure = failure.or(Some(anyhow::anyhow!("a source panicked: {e}"))),
        }
    }
    failure.map_or(Ok(summaries), Err)
}
