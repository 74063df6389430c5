//! The record of what was asked for: how long each source was read, how far, and what kept it from being read, as
//! events of log type `mantissa.collection`. They take the way of every other event; `mantissa coverage` reads them
//! back. A process that is killed leaves out its last minutes, and says nothing wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use event::{Batch, LogType, PartitionKey, Record, Span, Timestamp, Uid};
use ingest::source::last_words;
use ingest::{Emitter, Source, SourceContext, SourceError, Stand, Standing, Summary};
use serde_json::{Value, json};

use crate::pipeline::now;

/// The name of the source; no configured source can have it.
pub const NAME: &str = "_collection";
pub const LOG_TYPE: &str = "mantissa.collection";
const PARTITION: &str = "sources";

/// How often the sources are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often what was seen is written down, at least.
const TELL_EVERY: Duration = Duration::from_secs(300);
/// How often it is at most, when much changes.
const TELL_MIN: Duration = Duration::from_secs(60);

/// A source that is watched.
pub struct Watched {
    pub log_type: String,
    /// Its other side keeps what was not read yet.
    pub keeps: bool,
    pub standing: Standing,
}

/// See the module's documentation.
pub struct CollectionSource {
    watched: BTreeMap<Arc<str>, Watched>,
}

impl CollectionSource {
    pub fn new(watched: BTreeMap<Arc<str>, Watched>) -> Self {
        Self { watched }
    }
}

#[async_trait]
impl Source for CollectionSource {
    /// It ends when all others have.
    fn is_finite(&self) -> bool {
        true
    }

    async fn run(self: Box<Self>, context: SourceContext) -> Result<Summary, SourceError> {
        let SourceContext { name, emitter, mut finished, resume, mut shutdown, .. } = context;
        let partition: Arc<str> = PARTITION.into();
        let upto = resume.get(&partition).map_or(0, |resume| resume.upto);
        let mut diary = Diary::begin(self.watched, now());
        let mut writer = Writer { key: PartitionKey { source: name, partition }, upto };
        let mut summary = Summary { opened: 1, ..Summary::default() };
        let mut told_at = Instant::now();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            let is_last = tokio::select! {
                _ = looks.tick() => false,
                () = shutdown.requested() => true,
            };
            let is_last = diary.look(now()) || is_last;
            let age = told_at.elapsed();
            if is_last || age >= TELL_EVERY || (diary.has_news() && age >= TELL_MIN) {
                told_at = Instant::now();
                let stretches = diary.close(now());
                summary.records += stretches.len() as u64;
                if writer.write(&stretches, &emitter).await.is_err() || is_last {
                    break;
                }
            }
        }
        drop(emitter);
        last_words(&mut finished, drop).await;
        Ok(summary)
    }
}

/// A stretch of time in which a source stood in one way.
#[derive(Clone, Debug, PartialEq)]
struct Stretch {
    source: Arc<str>,
    log_type: String,
    keeps: bool,
    kind: Kind,
    from: Timestamp,
    to: Timestamp,
    read_from_ms: Option<i64>,
    read_to_ms: Option<i64>,
    words: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Waited,
    Gap,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "source.read",
            Self::Waited => "source.waited",
            Self::Gap => "source.gap",
        }
    }
}

/// What was seen and not written down yet.
struct Diary {
    pages: Vec<Page>,
    closed: Vec<Stretch>,
}

struct Page {
    source: Arc<str>,
    watched: Watched,
    /// Since when it stands as it does.
    since: Timestamp,
    stand: Stand,
}

impl Page {
    fn stretch(&self, kind: Kind, (from, to): (Timestamp, Timestamp)) -> Stretch {
        Stretch {
            source: Arc::clone(&self.source),
            log_type: self.watched.log_type.clone(),
            keeps: self.watched.keeps,
            kind,
            from,
            to,
            read_from_ms: self.stand.read_from_ms.filter(|_| self.watched.keeps),
            read_to_ms: self.stand.read_to_ms.filter(|_| self.watched.keeps),
            words: self.stand.trouble.clone(),
        }
    }

    /// How it stood until now.
    fn turn(&mut self, now: Timestamp) -> Option<Stretch> {
        let kind = if self.stand.trouble.is_some() { Kind::Waited } else { Kind::Read };
        let stretch = (now > self.since).then(|| self.stretch(kind, (self.since, now)));
        self.since = now;
        stretch
    }
}

impl Diary {
    fn begin(watched: BTreeMap<Arc<str>, Watched>, now: Timestamp) -> Self {
        let page = |(source, watched): (Arc<str>, Watched)| {
            let stand = watched.standing.take();
            Page { source, watched, since: now, stand }
        };
        Self { pages: watched.into_iter().map(page).collect(), closed: Vec::new() }
    }

    /// Looks at all sources; whether all have ended.
    fn look(&mut self, now: Timestamp) -> bool {
        for page in &mut self.pages {
            if page.stand.is_over {
                continue;
            }
            let stand = page.watched.standing.take();
            let turns = stand.trouble.is_some() != page.stand.trouble.is_some();
            if turns {
                self.closed.extend(page.turn(now));
            }
            let at = |ms: i64| Timestamp(ms.saturating_mul(1_000_000));
            for (from_ms, to_ms) in &stand.gaps {
                let mut gap = page.stretch(Kind::Gap, (at(*from_ms), at(*to_ms)));
                gap.words = Some("the other side no longer had it".to_owned());
                self.closed.push(gap);
            }
            page.stand = Stand { gaps: Vec::new(), ..stand };
            if page.stand.is_over {
                self.closed.extend(page.turn(now));
                // What is said of all the time that follows.
                let why = page.stand.trouble.is_some();
                self.closed.extend(why.then(|| page.stretch(Kind::Waited, (now, now))));
            }
        }
        self.pages.iter().all(|page| page.stand.is_over)
    }

    fn has_news(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Everything up to now.
    fn close(&mut self, now: Timestamp) -> Vec<Stretch> {
        let open = self.pages.iter_mut().filter(|page| !page.stand.is_over);
        self.closed.extend(open.filter_map(|page| page.turn(now)));
        std::mem::take(&mut self.closed)
    }
}

/// Hands stretches over as records.
struct Writer {
    key: PartitionKey,
    upto: u64,
}

impl Writer {
    async fn write(
        &mut self,
        stretches: &[Stretch],
        emitter: &Emitter,
    ) -> Result<(), ingest::emitter::Closed> {
        if stretches.is_empty() {
            return Ok(());
        }
        let (mut bytes, mut records) = (Vec::new(), Vec::new());
        let after = self.upto;
        for stretch in stretches {
            self.upto += 1;
            let start = bytes.len();
            bytes.extend_from_slice(stretch.record().to_string().as_bytes());
            let range = start..bytes.len();
            records.push(Record { range, at: self.upto, index: 0, header: None, name: None });
        }
        let batch = Batch {
            span: Span { key: self.key.clone(), after, upto: self.upto, state: None },
            origin: None,
            log_type: LogType::from(LOG_TYPE),
            bytes: bytes.into(),
            records,
            rejects: Vec::new(),
            redrives: Vec::new(),
            received_at: now(),
        };
        emitter.send(batch).await
    }
}

impl Stretch {
    fn record(&self) -> Value {
        let (from, to) = (self.from.0.to_be_bytes(), self.to.0.to_be_bytes());
        let kind = self.kind.as_str();
        let parts = [self.source.as_bytes(), kind.as_bytes(), &from, &to];
        let time = |ms: i64| Timestamp(ms.saturating_mul(1_000_000)).to_string();
        json!({
            "id": Uid::of("collection", &parts).to_string(),
            "event": kind,
            "source": &*self.source,
            "log_type": self.log_type,
            "keeps": self.keeps,
            "from": self.from.to_string(),
            "to": self.to.to_string(),
            "read_from": self.read_from_ms.map(time),
            "read_to": self.read_to_ms.map(time),
            "message": self.words,
        })
    }
}
