//! The source that takes requests and runs their jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event::{LogType, Timestamp};
use ingest::poll::past::Stretch;
use ingest::{
    Emitter, PollSource, Shutdown, Source, SourceConfig, SourceContext, SourceError, Summary,
    source::last_words,
};
use normalize::Catalog;
use sink::lake::{LakeStore, Window};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::job::{Committed, Job, Teller};
use super::relay::Relay;
use super::{End, Inbox, Progress, Request};
use crate::pipeline::{States, now};

/// Jobs under way at the same time; others wait.
const JOBS_MAX: usize = 2;
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub struct Desk {
    pub inbox: Inbox,
    /// The configured ones, whether they run or not.
    pub sources: BTreeMap<String, SourceConfig>,
    pub catalog: Arc<Catalog>,
    pub store: LakeStore,
    pub window: Arc<Window>,
    /// Where the live collections are.
    pub states: States,
    /// It ends when there is nothing more to do.
    pub is_finite: bool,
}

#[async_trait]
impl Source for Desk {
    fn is_finite(&self) -> bool {
        self.is_finite
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let SourceContext { emitter, mut finished, resume, mut shutdown, .. } = context;
        let (committed, _) = watch::channel(resume);
        let (mut jobs, mut under_way) = (JoinSet::new(), BTreeSet::new());
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut is_open, mut is_ending) = (true, false);
        while !(jobs.is_empty() && is_ending) {
            tokio::select! {
                _ = ticks.tick(), if !is_ending => {
                    let common = (&emitter, &committed, &shutdown);
                    let waits = self.look(&mut jobs, &mut under_way, common);
                    is_ending = self.is_finite && !waits;
                }
                spans = finished.recv(), if is_open => match spans {
                    Some(spans) => committed.send_modify(|all| spans.into_iter().for_each(|s| take(all, s))),
                    None => is_open = false,
                },
                Some(ended) = jobs.join_next() => match ended {
                    Ok(id) => drop(under_way.remove(&id)),
                    // What it had to do stays, for the next start.
                    Err(e) => tracing::error!("a backfill panicked: {e}"),
                },
                () = shutdown.requested(), if !is_ending => is_ending = true,
            }
        }
        drop(emitter);
        last_words(&mut finished, drop).await;
        Ok(Summary { opened: 1, ..Summary::default() })
    }
}

fn take(all: &mut Committed, span: event::Span) {
    let resume = all.entry(span.key.partition).or_default();
    resume.upto = resume.upto.max(span.upto);
    resume.state = span.state.or(resume.state.take());
}

type Common<'d> = (&'d Emitter, &'d watch::Sender<Committed>, &'d Shutdown);

impl Desk {
    /// Begins what is asked for and not under way. Returns whether anything is or will be.
    fn look(
        &self,
        jobs: &mut JoinSet<String>,
        under_way: &mut BTreeSet<String>,
        common: Common<'_>,
    ) -> bool {
        let requests = self.inbox.requests().unwrap_or_else(|e| {
            tracing::error!("requests for backfills cannot be read: {e:#}");
            Vec::new()
        });
        for request in requests {
            let id = request.id();
            if under_way.contains(&id) || under_way.len() >= JOBS_MAX {
                continue;
            }
            match self.job(request, common) {
                // Its live collection is about to begin, and says in the lake from where on.
                Ok(None) => {}
                Ok(Some(job)) => {
                    tracing::info!(backfill = job.name, "begins");
                    under_way.insert(id.clone());
                    jobs.spawn(async move {
                        job.run().await;
                        id
                    });
                }
                Err(words) => self.refuse(&id, words),
            }
        }
        !under_way.is_empty()
    }

    fn refuse(&self, id: &str, words: String) {
        tracing::error!("a backfill is refused: {words}");
        let progress = Progress { end: Some(End::Refused(words)), ..Progress::default() };
        let told = self.inbox.tell(id, &progress).and_then(|()| self.inbox.end(id));
        if let Err(e) = told {
            tracing::error!("{e:#}");
        }
    }

    /// `None`: not yet. In words why not at all.
    fn job(
        &self,
        mut request: Request,
        (emitter, committed, shutdown): Common<'_>,
    ) -> Result<Option<Job>, String> {
        let config = self.sources.get(&request.source);
        let config = config.ok_or_else(|| {
            let source = &request.source;
            format!("the running process has no source `{source}`: is its configuration another?")
        })?;
        let source = poll_source(&request.source, config)?;
        let live = self.states.of(&request.source);
        let until_s = match request.until_s {
            Some(until_s) => until_s,
            None => {
                let live_ms = source.live_from_ms(&live, now().0 / 1_000_000, !self.is_finite)?;
                let Some(live_ms) = live_ms else { return Ok(None) };
                let until_s = until_s(&request, live_ms)?;
                request.until_s = Some(until_s);
                self.inbox.ask(&request).map_err(|e| format!("{e:#}"))?;
                until_s
            }
        };
        let stretch = Stretch { from_ms: request.from_s * 1_000, to_ms: until_s * 1_000 };
        let (source, standing) = source.between(stretch);
        let source_name: Arc<str> = request.source.as_str().into();
        let name = format!("{source_name}/{}..{}", shown(request.from_s), shown(until_s));
        let log_type = LogType::from(config.log_type.as_str());
        let told: Arc<_> = Arc::default();
        let relay = Relay::new(
            (Arc::clone(&source_name), name.clone()),
            &log_type,
            &self.catalog,
            (self.store.clone(), Arc::clone(&self.window)),
            Arc::clone(&told),
            shutdown.clone(),
        );
        let teller = Teller {
            id: request.id(),
            times_s: (request.from_s, until_s),
            standing,
            told,
            inbox: self.inbox.clone(),
        };
        Ok(Some(Job {
            name,
            source: Some(Box::new(source)),
            source_name,
            log_type,
            relay: relay.map_err(|e| format!("{e:#}"))?,
            teller,
            emitter: emitter.clone(),
            committed: committed.subscribe(),
            shutdown: shutdown.clone(),
        }))
    }
}

/// The source as one that is asked; in words why it is none.
pub(crate) fn poll_source(name: &str, config: &SourceConfig) -> Result<PollSource, String> {
    let kind = config.kind(name).map_or("", |kind| kind.name);
    let options = config.poll.clone().ok_or_else(|| {
        format!("the source `{name}` is of kind `{kind}`: only vendors that are asked (`poll`) give their past again")
    })?;
    PollSource::new(name, &config.log_type, options).map_err(|e| crate::report::chain(&e))
}

/// Up to where: not into what the live collection reads itself.
fn until_s(request: &Request, live_ms: i64) -> Result<i64, String> {
    // The second that it begins in is read by both: rounded down, a part of it would be read by nobody.
    let live_s = (live_ms + 999).div_euclid(1_000);
    let until_s = request.to_s.map_or(live_s, |to_s| to_s.min(live_s));
    if until_s <= request.from_s {
        return Err(format!(
            "what happened from {} on is read by the live collection itself, or read again by it: nothing is left to be filled in",
            shown(live_s)
        ));
    }
    Ok(until_s)
}

pub(crate) fn shown(seconds: i64) -> String {
    Timestamp::from_millis(seconds.saturating_mul(1_000)).to_string()
}
