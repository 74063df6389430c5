//! Spans on their way back from the pipeline to their source, after they are durable.
//!
//! Bounded without ever blocking the pipeline: spans of a partition that touch are joined while they
//! wait, so what waits is at most one span per partition and hole.

use std::collections::BTreeMap;
use std::sync::Arc;

use event::Span;
use parking_lot::Mutex;
use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Waiting {
    /// By partition and beginning.
    spans: BTreeMap<(Arc<str>, u64), Span>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    news: Notify,
}

/// The pipeline's end: one per source. Dropping it tells the source that nothing more will finish.
#[derive(Debug)]
pub struct FinishedSender(Arc<Shared>);

/// The source's end.
#[derive(Debug)]
pub struct FinishedReceiver(Arc<Shared>);

/// A way back for the finished spans of one source.
pub fn finished() -> (FinishedSender, FinishedReceiver) {
    let shared = Arc::new(Shared::default());
    (FinishedSender(shared.clone()), FinishedReceiver(shared))
}

impl FinishedSender {
    /// The span is durable: its manifest is committed. Never waits.
    pub fn finish(&self, mut span: Span) {
        let mut waiting = self.0.waiting.lock();
        let partition = span.key.partition.clone();
        let before = waiting
            .spans
            .range(..(partition.clone(), span.after))
            .next_back()
            .filter(|((p, _), s)| *p == partition && s.upto == span.after)
            .map(|(key, _)| key.clone());
        if let Some(before) = before.and_then(|key| waiting.spans.remove(&key)) {
            span.state = span.state.or(before.state);
            span.after = before.after;
        }
        if span.upto > span.after
            && let Some(next) = waiting.spans.remove(&(partition.clone(), span.upto))
        {
            span.state = next.state.or(span.state);
            span.upto = next.upto;
        }
        match waiting.spans.get_mut(&(partition.clone(), span.after)) {
            // A span without extent that only carries state.
            Some(same) if span.upto == span.after => same.state = span.state.or(same.state.take()),
            Some(same) if same.upto == same.after => {
                span.state = span.state.or(same.state.take());
                *same = span;
            }
            _ => {
                waiting.spans.insert((partition, span.after), span);
            }
        }
        drop(waiting);
        self.0.news.notify_one();
    }
}

impl Drop for FinishedSender {
    fn drop(&mut self) {
        self.0.waiting.lock().closed = true;
        self.0.news.notify_one();
    }
}

impl FinishedReceiver {
    /// Waits for finished spans; `None` when there are none and never will be. Each partition's
    /// spans come in order of position.
    pub async fn recv(&mut self) -> Option<Vec<Span>> {
        let shared = self.0.clone();
        loop {
            // Registered before looking, so that nothing is missed in between.
            let news = shared.news.notified();
            if let Some(spans) = self.try_recv() {
                return Some(spans);
            }
            if self.0.waiting.lock().closed {
                return None;
            }
            news.await;
        }
    }

    /// The finished spans that wait now.
    pub fn try_recv(&mut self) -> Option<Vec<Span>> {
        let spans = std::mem::take(&mut self.0.waiting.lock().spans);
        (!spans.is_empty()).then(|| spans.into_values().collect())
    }

    /// Whether the pipeline has said its last word.
    pub fn is_closed(&self) -> bool {
        let waiting = self.0.waiting.lock();
        waiting.closed && waiting.spans.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::PartitionKey;

    fn span(partition: &str, after: u64, upto: u64, state: Option<&str>) -> Span {
        let key = PartitionKey { source: "s".into(), partition: partition.into() };
        Span { key, after, upto, state: state.map(Into::into) }
    }

    #[tokio::test]
    async fn touching_spans_are_joined_in_any_order() {
        let (sender, mut receiver) = finished();
        for (after, upto, state) in
            [(0, 2, Some("a")), (5, 9, Some("c")), (2, 5, Some("b")), (20, 21, None)]
        {
            sender.finish(span("p", after, upto, state));
        }
        sender.finish(span("q", 2, 5, None));
        let expected = [span("p", 0, 9, Some("c")), span("p", 20, 21, None), span("q", 2, 5, None)];
        assert_eq!(receiver.recv().await.unwrap(), expected);
        sender.finish(span("p", 9, 9, Some("d")));
        sender.finish(span("p", 9, 12, None));
        drop(sender);
        assert_eq!(receiver.recv().await.unwrap(), [span("p", 9, 12, Some("d"))]);
        assert!(receiver.recv().await.is_none());
    }
}
