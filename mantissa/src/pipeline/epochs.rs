//! Deciding when an epoch ends, committing it, and telling the sources what is finished.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ingest::{
    Claim, ClaimReceiver, Claimed, EmitterReceiver, Envelope, FinishedSender, Permit, Shutdown,
};
use sink::lake::{Committed, Kind, Lake, Part, Resume, StateChange};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::worker::is_past;
use super::{Shared, States, Tally, Workers};
use crate::report;

/// When an epoch ends and whom to tell.
pub struct Epochs {
    pub lake: Lake,
    /// Longest time that a record waits for its commit to begin.
    pub epoch_max: Duration,
    /// An epoch is cut when its rows take about this much memory.
    pub epoch_bytes_max: usize,
    /// Where sources ask for partitions that other processes may have.
    pub claims: ClaimReceiver,
    /// By source name: where finished spans go.
    pub finished: HashMap<Arc<str>, FinishedSender>,
    /// Where the sources that others look at stand.
    pub states: States,
    /// The tally so far, for progress; written after each commit.
    pub tally: watch::Sender<Tally>,
    /// Whether the last attempt to commit failed, and why: for `/readyz`.
    pub trouble: watch::Sender<Option<String>>,
    /// Tells an end of all sources from a stop.
    pub shutdown: Shutdown,
}

type Work = JoinHandle<anyhow::Result<(Lake, Done)>>;

/// What the lake was busy with.
enum Done {
    Committed(Committed),
    /// Where the partitions go on, for who asked.
    Claimed(oneshot::Sender<Claimed>, Claimed),
}

/// Runs until intake is closed (all sources have ended) and everything is committed. Returns the
/// tally. After `deadline` has been set, gives up at that moment: what is not committed is not
/// acknowledged and comes again.
pub async fn drive(
    mut intake: EmitterReceiver,
    mut workers: Workers,
    shared: &Arc<Shared>,
    epochs: Epochs,
    mut deadline: watch::Receiver<Option<Instant>>,
) -> anyhow::Result<Tally> {
    let tally = epochs.tally.clone();
    let shutdown = epochs.shutdown.clone();
    let run = async {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut open, mut claims) = Open::new(epochs);
        loop {
            let (due, full) = (open.due(shared), open.is_full(shared));
            let is_free = open.lake.is_some();
            tokio::select! {
                biased;
                done = open.done() => open.finish(done?, shared)?,
                Some(claim) = claims.recv(), if is_free => open.claim(claim),
                () = due => open.go_on(&mut workers, shared).await?,
                _ = second.tick() => open.tick(shared).await?,
                envelope = intake.recv(), if !full => match envelope {
                    Some(huge) if huge.batch.longest() >= HUGE => open.huge = Huge::Waits(huge),
                    Some(envelope) => open.dispatch(&mut workers, shared, envelope).await?,
                    None => break,
                },
            }
        }
        open.drain(&mut workers, shared, !shutdown.is_requested()).await
    };
    let outcome = tokio::select! {
        outcome = run => outcome,
        () = passed(&mut deadline) => Err(anyhow::anyhow!(
            "the time to stop ran out; what was not committed will be read again"
        )),
    };
    if outcome.is_err() {
        shared.give_up.store(true, Ordering::Relaxed);
    }
    outcome?;
    workers.stop();
    let tally = tally.borrow().clone();
    Ok(tally)
}

/// A batch with a record of so many bytes has the pipeline to itself until it is in the lake. On its way
/// there are up to six copies of a record: of one at a time that is still a bounded amount.
const HUGE: usize = 4 << 20;

/// A huge batch that is taken up. Nothing else is meanwhile.
#[derive(Default)]
enum Huge {
    #[default]
    None,
    /// For the epoch before it to be committed.
    Waits(Envelope),
    /// With the workers, or in the commit in flight. Its room is kept, so that the sources wait.
    Goes(#[expect(dead_code, reason = "held, not read")] Permit),
}

/// Runs what may block.
async fn blocking(
    work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(work).await.context("a task panicked")?
}

/// Waits until a deadline is set and has passed.
async fn passed(deadline: &mut watch::Receiver<Option<Instant>>) {
    let at = match deadline.wait_for(Option::is_some).await {
        Ok(at) => *at,
        Err(_) => None,
    };
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The open epoch and the commit in flight, of which there is at most one.
struct Open {
    /// `None` while a commit has it.
    lake: Option<Lake>,
    work: Option<Work>,
    pending: Tally,
    began: Option<Instant>,
    huge: Huge,
    epochs: Settings,
}

struct Settings {
    epoch_max: Duration,
    epoch_bytes_max: usize,
    finished: HashMap<Arc<str>, FinishedSender>,
    states: States,
    tally: watch::Sender<Tally>,
    trouble: watch::Sender<Option<String>>,
}

impl Open {
    fn new(epochs: Epochs) -> (Self, ClaimReceiver) {
        let Epochs { lake, epoch_max, epoch_bytes_max, finished, states, tally, trouble, .. } =
            epochs;
        let open = Self {
            lake: Some(lake),
            work: None,
            pending: Tally::default(),
            began: None,
            huge: Huge::None,
            epochs: Settings { epoch_max, epoch_bytes_max, finished, states, tally, trouble },
        };
        (open, epochs.claims)
    }

    /// Intake waits: the next epoch is full while the one before is still being committed, or a huge batch
    /// is on its way.
    fn is_full(&self, shared: &Shared) -> bool {
        let buffered = shared.buffered_bytes.load(Ordering::Relaxed);
        !matches!(self.huge, Huge::None)
            || (self.work.is_some() && buffered >= self.epochs.epoch_bytes_max)
    }

    /// Ready when there is something to do with the open epoch and no work is in flight.
    fn due<'s>(&self, shared: &'s Shared) -> impl Future<Output = ()> + use<'s> {
        let is_free = self.work.is_none();
        let is_huge = !matches!(self.huge, Huge::None);
        let began = self.began.filter(|_| is_free);
        let (epoch_max, bytes_max) = (self.epochs.epoch_max, self.epochs.epoch_bytes_max);
        async move {
            if is_free && is_huge {
                return;
            }
            let Some(began) = began else { return std::future::pending().await };
            loop {
                let left = epoch_max.saturating_sub(began.elapsed());
                let full = shared.buffered_bytes.load(Ordering::Relaxed) >= bytes_max;
                if full || left.is_zero() {
                    return;
                }
                // Workers fill the epoch meanwhile; fullness is looked at again soon.
                tokio::time::sleep(left.min(Duration::from_millis(20))).await;
            }
        }
    }

    /// Time goes on for the correlations; alerts of theirs begin an epoch like events.
    async fn tick(&mut self, shared: &Arc<Shared>) -> anyhow::Result<()> {
        let of_tick = Arc::clone(shared);
        blocking(move || of_tick.correlations.tick(&of_tick)).await?;
        if shared.correlations.has_unlisted() {
            self.began.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Begins the epoch with a batch, or adds it.
    async fn dispatch(
        &mut self,
        workers: &mut Workers,
        shared: &Shared,
        envelope: Envelope,
    ) -> anyhow::Result<()> {
        self.began.get_or_insert_with(Instant::now);
        if !is_past(&envelope.batch) {
            shared.correlations.begun(&envelope.batch.span);
        }
        workers.dispatch(envelope).await
    }

    /// Cuts the epoch; a huge batch waits until there is none and then has one of its own.
    async fn go_on(&mut self, workers: &mut Workers, shared: &Arc<Shared>) -> anyhow::Result<()> {
        match std::mem::take(&mut self.huge) {
            Huge::Waits(envelope) if self.began.is_none() => {
                self.huge = Huge::Goes(envelope.permit.clone());
                self.dispatch(workers, shared, envelope).await
            }
            huge => {
                self.huge = huge;
                self.cut(workers, shared, false).await
            }
        }
    }

    /// `ended` when no more input will come: what waited for it is certain then.
    async fn cut(
        &mut self,
        workers: &mut Workers,
        shared: &Arc<Shared>,
        ended: bool,
    ) -> anyhow::Result<()> {
        self.began = None;
        let mut parts = workers.cut().await?;
        if ended {
            let shared = Arc::clone(shared);
            blocking(move || shared.correlations.finish(&shared)).await?;
        }
        // After the barrier: it holds at least what the parts hold.
        let of_cut = Arc::clone(shared);
        // Apart: who holds the state may be waiting for a full disk.
        let cut = tokio::task::spawn_blocking(move || of_cut.correlations.cut());
        let (found, state) = cut.await.context("a task panicked")?;
        parts.push(found);
        if parts.iter().all(Part::is_empty) {
            self.huge_is_done();
            return Ok(());
        }
        let Some(lake) = self.lake.take() else {
            unreachable!("an epoch is cut only when no commit is in flight");
        };
        self.pending.add(&parts);
        let trouble = self.epochs.trouble.clone();
        self.work = Some(tokio::spawn(commit(lake, parts, state, trouble)));
        Ok(())
    }

    /// Asks the lake for partitions. To be called while it is free.
    fn claim(&mut self, claim: Claim) {
        let Some(lake) = self.lake.take() else {
            unreachable!("asked only of a lake that is free")
        };
        self.work = Some(tokio::spawn(take_over(lake, claim, self.epochs.trouble.clone())));
    }

    /// The result of what the lake is busy with; never ready without that.
    async fn done(&mut self) -> anyhow::Result<(Lake, Done)> {
        match &mut self.work {
            Some(work) => work.await.context("the task that writes the lake panicked")?,
            None => std::future::pending().await,
        }
    }

    fn finish(&mut self, (lake, done): (Lake, Done), shared: &Shared) -> anyhow::Result<()> {
        self.work = None;
        self.lake = Some(lake);
        match done {
            Done::Committed(committed) => self.acknowledge(committed, shared),
            // A source that does not wait for it any more has ended.
            Done::Claimed(answer, claimed) => drop(answer.send(claimed)),
        }
        Ok(())
    }

    /// Every span of the epoch goes back to its source, by value.
    fn acknowledge(&mut self, committed: Committed, shared: &Shared) {
        shared.spare.give(committed.spent);
        self.huge_is_done();
        self.pending.epochs += 1;
        self.pending.files += committed.files.len() as u64;
        self.pending.lake_bytes += committed.files.iter().map(|f| f.bytes).sum::<u64>();
        self.epochs.tally.send_replace(self.pending.clone());
        for span in committed.spans {
            self.epochs.states.committed(&span);
            if let Some(source) = self.epochs.finished.get(&span.key.source) {
                source.finish(span);
            }
        }
    }

    /// Nothing is on its way any more: intake goes on. What waits still waits.
    fn huge_is_done(&mut self) {
        if matches!(self.huge, Huge::Goes(_)) {
            self.huge = Huge::None;
        }
    }

    /// After intake has closed: commits what is left.
    async fn drain(
        &mut self,
        workers: &mut Workers,
        shared: &Arc<Shared>,
        ended: bool,
    ) -> anyhow::Result<()> {
        if self.work.is_some() {
            let done = self.done().await?;
            self.finish(done, shared)?;
        }
        self.cut(workers, shared, ended).await?;
        if self.work.is_some() {
            let done = self.done().await?;
            self.finish(done, shared)?;
        }
        Ok(())
    }
}

/// Commits one epoch, trying again for as long as it takes: a full disk or an unreachable store stops
/// the stream, never loses it.
async fn commit(
    mut lake: Lake,
    parts: Vec<Part>,
    state: StateChange,
    trouble: watch::Sender<Option<String>>,
) -> anyhow::Result<(Lake, Done)> {
    let mut patience = Patience { pause: PAUSE, trouble };
    let mut attempt = lake.commit_with(parts, state).await;
    loop {
        match attempt {
            Ok(committed) => {
                patience.trouble.send_replace(None);
                return Ok((lake, Done::Committed(committed)));
            }
            Err(e) => patience.wait(e).await?,
        }
        attempt = lake.retry().await;
    }
}

/// Makes partitions this process's, trying again for as long as it takes.
async fn take_over(
    mut lake: Lake,
    claim: Claim,
    trouble: watch::Sender<Option<String>>,
) -> anyhow::Result<(Lake, Done)> {
    let mut patience = Patience { pause: PAUSE, trouble };
    loop {
        match lake.claim(&claim.keys).await {
            Ok(positions) => {
                patience.trouble.send_replace(None);
                let resume = |at: Resume| ingest::Resume { upto: at.upto, state: at.state };
                let claimed = positions.into_iter().map(|(key, at)| (key.partition, resume(at)));
                return Ok((lake, Done::Claimed(claim.answer, claimed.collect())));
            }
            Err(e) => patience.wait(e).await?,
        }
    }
}

/// The first pause after a failure; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// With a store that does not do what it should.
struct Patience {
    pause: Duration,
    trouble: watch::Sender<Option<String>>,
}

impl Patience {
    /// Tells everybody and waits; an error that does not pass is given back.
    async fn wait(&mut self, error: sink::lake::Error) -> anyhow::Result<()> {
        if error.kind() != Kind::Store {
            return Err(error.into());
        }
        metrics::counter!("mantissa_commit_failures_total").increment(1);
        let text = report::chain(&error);
        tracing::error!("the lake cannot be written, trying again: {text}");
        self.trouble.send_replace(Some(text));
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}
