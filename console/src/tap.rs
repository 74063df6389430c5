//! Watch events and matches live without slowing them down.
//!
//! Every watcher has its own bounded queue, filter and rate. The pipeline asks [`Tap::watched`] (one
//! atomic load) and only then renders a line, and only when some watcher wants it and has room in its
//! rate; a watcher that does not keep up loses lines and is told how many. Nothing here ever waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;

const WATCHERS_MAX: usize = 32;
const QUEUE_LINES: usize = 1_024;
const QUEUE_BYTES: usize = 8 << 20;
/// How often a watcher is told of losses, and looks whether it should.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// An idle stream shows an empty line this often, so that dead connections are noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    Events,
    Matches,
}

/// What a watcher wants to see.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Any of these log types; empty: all.
    pub log_types: Vec<String>,
    /// Id or title of the rule, case ignored; empty: all. Only matches have one.
    pub rule: String,
    /// Lines a second at most; what comes beyond is left out and counted.
    pub rate: u32,
}

impl Filter {
    /// Lines a second unless the watcher says otherwise.
    pub const RATE_DEFAULT: u32 = 100;
    pub const RATE_MAX: u32 = 10_000;
}

impl Default for Filter {
    fn default() -> Self {
        Self { log_types: Vec::new(), rule: String::new(), rate: Self::RATE_DEFAULT }
    }
}

/// The pipeline's end. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tap {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    watched: AtomicUsize,
    watchers: RwLock<Watchers>,
}

#[derive(Default)]
struct Watchers {
    closed: bool,
    list: Vec<(Arc<Watcher>, mpsc::Sender<Bytes>)>,
}

struct Watcher {
    feed: Feed,
    filter: Filter,
    queued_bytes: AtomicUsize,
    /// Did not fit the queue.
    lost: AtomicU64,
    /// Were beyond the rate.
    skipped: AtomicU64,
    second: Mutex<(Instant, u32)>,
}

impl Tap {
    /// Whether anybody watches anything. The only cost when nobody does.
    #[inline]
    pub fn watched(&self) -> bool {
        self.shared.watched.load(Relaxed) > 0
    }

    /// Shows an event. `line` renders it as one JSON object and runs only if somebody wants it.
    pub fn event(&self, log_type: &str, line: impl FnOnce() -> String) {
        if self.watched() {
            self.show(Feed::Events, log_type, ("", ""), line);
        }
    }

    /// Shows a match of the rule with this id and title.
    pub fn matched(&self, log_type: &str, id: &str, title: &str, line: impl FnOnce() -> String) {
        if self.watched() {
            self.show(Feed::Matches, log_type, (id, title), line);
        }
    }

    fn show(&self, feed: Feed, log_type: &str, rule: (&str, &str), line: impl FnOnce() -> String) {
        let mut render = Some(line);
        let mut rendered: Option<Bytes> = None;
        let now = Instant::now();
        for (watcher, queue) in &self.shared.watchers.read().list {
            if !watcher.wants(feed, log_type, rule) || !watcher.in_rate(now) {
                continue;
            }
            if let Some(render) = render.take() {
                let mut text = render();
                text.push('\n');
                rendered = Some(text.into());
            }
            let line = rendered.clone().expect("rendered above");
            watcher.offer(queue, line);
        }
    }

    /// Starts to watch; `None` when too many watch already or the console is closing. Dropping the
    /// [`Watch`] ends it.
    pub fn watch(&self, feed: Feed, filter: Filter) -> Option<Watch> {
        let mut watchers = self.shared.watchers.write();
        if watchers.closed || watchers.list.len() >= WATCHERS_MAX {
            return None;
        }
        let (sender, lines) = mpsc::channel(QUEUE_LINES);
        let watcher = Arc::new(Watcher {
            feed,
            filter,
            queued_bytes: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            second: Mutex::new((Instant::now(), 0)),
        });
        watchers.list.push((watcher.clone(), sender));
        self.shared.count(&watchers);
        let now = Instant::now();
        Some(Watch { tap: self.clone(), watcher, lines, told_at: now, spoke_at: now })
    }

    /// Ends every watch, after what is queued, and admits no more.
    pub fn close(&self) {
        let mut watchers = self.shared.watchers.write();
        watchers.closed = true;
        watchers.list.clear();
        self.shared.count(&watchers);
    }
}

impl Shared {
    fn count(&self, watchers: &Watchers) {
        self.watched.store(watchers.list.len(), Relaxed);
        metrics::gauge!("mantissa_tap_watchers").set(watchers.list.len() as f64);
    }
}

impl Watcher {
    fn wants(&self, feed: Feed, log_type: &str, (id, title): (&str, &str)) -> bool {
        let Filter { log_types, rule, .. } = &self.filter;
        self.feed == feed
            && (log_types.is_empty() || log_types.iter().any(|t| t == log_type))
            && (rule.is_empty()
                || rule.eq_ignore_ascii_case(id)
                || rule.to_lowercase() == title.to_lowercase())
    }

    fn in_rate(&self, now: Instant) -> bool {
        let mut second = self.second.lock();
        if now.duration_since(second.0) >= Duration::from_secs(1) {
            *second = (now, 0);
        }
        second.1 += 1;
        let in_rate = second.1 <= self.filter.rate;
        if !in_rate {
            self.skipped.fetch_add(1, Relaxed);
        }
        in_rate
    }

    fn offer(&self, queue: &mpsc::Sender<Bytes>, line: Bytes) {
        let size = line.len();
        let queued = self.queued_bytes.fetch_add(size, Relaxed);
        if queued + size > QUEUE_BYTES || queue.try_send(line).is_err() {
            self.queued_bytes.fetch_sub(size, Relaxed);
            self.lost.fetch_add(1, Relaxed);
            metrics::counter!("mantissa_tap_lost_total").increment(1);
        }
    }
}

/// A watcher's end: lines of JSON, each with its line feed.
pub struct Watch {
    tap: Tap,
    watcher: Arc<Watcher>,
    lines: mpsc::Receiver<Bytes>,
    told_at: Instant,
    spoke_at: Instant,
}

impl Watch {
    /// The next line: an event or match, `{"tap":{"lost":N,"skipped":M}}` with what was not shown
    /// since the last such line, or an empty line while nothing happens. `None` at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.told_at.elapsed() >= TELL_EVERY
                && let Some(notice) = self.notice()
            {
                return Some(notice);
            }
            match tokio::time::timeout(TELL_EVERY, self.lines.recv()).await {
                Ok(Some(line)) => {
                    self.watcher.queued_bytes.fetch_sub(line.len(), Relaxed);
                    self.spoke_at = Instant::now();
                    return Some(line);
                }
                Ok(None) => return self.notice(),
                Err(_) if self.spoke_at.elapsed() >= HEARTBEAT => {
                    self.spoke_at = Instant::now();
                    return Some(Bytes::from_static(b"\n"));
                }
                Err(_) => {}
            }
        }
    }

    fn notice(&mut self) -> Option<Bytes> {
        let lost = self.watcher.lost.swap(0, Relaxed);
        let skipped = self.watcher.skipped.swap(0, Relaxed);
        if lost + skipped == 0 {
            return None;
        }
        self.told_at = Instant::now();
        self.spoke_at = self.told_at;
        Some(format!("{{\"tap\":{{\"lost\":{lost},\"skipped\":{skipped}}}}}\n").into())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watchers = self.tap.shared.watchers.write();
        watchers.list.retain(|(watcher, _)| !Arc::ptr_eq(watcher, &self.watcher));
        self.tap.shared.count(&watchers);
    }
}
