//! Faults that somebody could build into a destination, planted one at a time: the suite must find
//! every one of them, or it proves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::{SECRET, SLACK, Subject, WEBHOOK, suite};
use crate::destinations::Destination;
use crate::dispatch::lane::Answer;
use crate::outbound::Outbound;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What failed once is not tried again.
    GivesUp,
    IgnoresRetryAfter,
    SendsTwice,
    /// Claims some alerts sent that it dropped.
    DropsSome,
    ShowsTheSecretInReasons,
    ShowsTheSecretInTheLog,
    RetriesWhatIsRefused,
    /// An answer that was lost counts as an answer of no.
    ForgetsTheUncertain,
    TakesWrongCredentialsForWrongData,
    BelievesEverything,
    LosesPatience,
}

const ALL: [Fault; 11] = [
    Fault::GivesUp,
    Fault::IgnoresRetryAfter,
    Fault::SendsTwice,
    Fault::DropsSome,
    Fault::ShowsTheSecretInReasons,
    Fault::ShowsTheSecretInTheLog,
    Fault::RetriesWhatIsRefused,
    Fault::ForgetsTheUncertain,
    Fault::TakesWrongCredentialsForWrongData,
    Fault::BelievesEverything,
    Fault::LosesPatience,
];

impl Fault {
    pub(super) fn plant(self, inner: Arc<dyn Destination>) -> Arc<dyn Destination> {
        Arc::new(Faulty { fault: self, inner, calls: AtomicUsize::new(0) })
    }
}

struct Faulty {
    fault: Fault,
    inner: Arc<dyn Destination>,
    calls: AtomicUsize,
}

#[async_trait]
impl Destination for Faulty {
    async fn deliver(&self, batch: &[Outbound]) -> Answer {
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::SendsTwice => {
                self.inner.deliver(batch).await;
            }
            Fault::DropsSome if calls % 3 == 2 => return Answer::Accepted { reference: None },
            Fault::ShowsTheSecretInTheLog => tracing::debug!("posting to {SECRET}"),
            Fault::LosesPatience => {
                let patience = Duration::from_millis(20);
                return match tokio::time::timeout(patience, self.inner.deliver(batch)).await {
                    Ok(answer) => answer,
                    Err(_) => failed("no answer in time"),
                };
            }
            _ => {}
        }
        self.spoilt(self.inner.deliver(batch).await)
    }
}

impl Faulty {
    fn spoilt(&self, answer: Answer) -> Answer {
        match (self.fault, answer) {
            (Fault::GivesUp, Answer::Failed { reason, .. }) => Answer::Refused { reason },
            (Fault::IgnoresRetryAfter, Answer::Busy { reason, .. }) => {
                Answer::Busy { retry_after: None, reason }
            }
            (
                Fault::ShowsTheSecretInReasons,
                Answer::Failed { reason, retry_after, maybe_sent },
            ) => {
                let reason = format!("{SECRET}: {reason}");
                Answer::Failed { reason, retry_after, maybe_sent }
            }
            (Fault::RetriesWhatIsRefused, Answer::Refused { reason }) => failed(&reason),
            (Fault::ForgetsTheUncertain, Answer::Failed { reason, retry_after, .. }) => {
                Answer::Failed { reason, retry_after, maybe_sent: false }
            }
            (Fault::TakesWrongCredentialsForWrongData, Answer::Misconfigured { reason }) => {
                Answer::Refused { reason }
            }
            (Fault::BelievesEverything, _) => Answer::Accepted { reference: None },
            (_, answer) => answer,
        }
    }
}

fn failed(reason: &str) -> Answer {
    Answer::Failed { retry_after: None, reason: reason.to_owned(), maybe_sent: true }
}

#[test]
fn the_suite_finds_every_planted_fault() {
    // The suite catches the log of its own thread, so each has one.
    let running = ALL.map(|fault| {
        // A webhook says its alert's identity every time; only Slack has to be told of a repetition.
        let subject = if fault == Fault::ForgetsTheUncertain { SLACK } else { WEBHOOK };
        let subject = Subject { fault: Some(fault), ..subject };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(suite(&subject));
        })
    });
    let passed = running.map(|suite| suite.join().is_ok());
    let missed: Vec<_> = ALL.iter().zip(passed).filter(|(_, passed)| *passed).collect();
    assert!(missed.is_empty(), "the suite finds nothing wrong with {missed:?}");
}
