//! Tries a configured source out: whether it may read, what it would get, and what is missing, in words.
//!
//! Asks for one page of every partition and hands nothing over. A feed that has to be switched on is
//! switched on.

use std::time::Duration;

use super::handover::Emission;
use super::poller::Poller;
use super::session::{Session, Step};
use super::source::{PollSource, now_ms};

/// A vendor that asks to wait is waited for as long as this.
const PATIENCE: Duration = Duration::from_secs(90);

/// What was found out about a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub connector: String,
    /// What the credential must be allowed to do.
    pub needs: String,
    /// The vendor's page about it.
    pub docs: String,
    /// The vendor's clock minus this one; `None` when it told no time.
    pub skew_ms: Option<i64>,
    pub partitions: Vec<Probed>,
}

/// One partition of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    pub partition: String,
    /// How many records the first page has that were not listed before.
    pub records: usize,
    /// One of them.
    pub sample: Option<Vec<u8>>,
    /// The newest time of an event, milliseconds since 1970.
    pub newest_ms: Option<i64>,
    /// Why it cannot be read.
    pub trouble: Option<String>,
    is_read: bool,
}

impl PollSource {
    /// Asks the vendor. Fails only when the options themselves cannot be used.
    pub async fn probe(&self) -> Result<Probe, String> {
        let client = self.client()?;
        let mut session = self.probing(now_ms())?;
        let mut partitions: Vec<Probed> = session.pollers().iter().map(Probed::new).collect();
        let all = async {
            while !partitions.iter().all(Probed::is_known) {
                match session.next(now_ms()) {
                    Step::Wait(until_ms) => {
                        let wait_ms = u64::try_from(until_ms - now_ms()).unwrap_or(0).max(1);
                        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    }
                    Step::Send(ticket, request) => {
                        let answer = client.send(request).await;
                        let emissions = session.answered(ticket, now_ms(), answer);
                        learn(&mut partitions, &session, emissions);
                    }
                }
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            for unknown in partitions.iter_mut().filter(|partition| !partition.is_known()) {
                unknown.trouble = Some("the vendor goes on asking to wait".to_owned());
            }
        }
        let connector = session.pollers().first().map(Poller::connector);
        let connector = connector.ok_or("there is nothing to ask for")?;
        Ok(Probe {
            connector: connector.name.clone(),
            needs: connector.needs.clone(),
            docs: connector.docs.clone(),
            skew_ms: session.skew_ms(),
            partitions,
        })
    }
}

impl Probed {
    fn new(poller: &Poller) -> Self {
        Self {
            partition: poller.partition().to_string(),
            records: 0,
            sample: None,
            newest_ms: None,
            trouble: None,
            is_read: false,
        }
    }

    fn is_known(&self) -> bool {
        self.trouble.is_some() || self.is_read
    }
}

fn learn(partitions: &mut [Probed], session: &Session, emissions: Vec<Emission>) {
    for (partition, poller) in partitions.iter_mut().zip(session.pollers()) {
        partition.trouble = poller.stats.trouble.clone();
        partition.newest_ms = poller.stats.last_event_ms;
        // Of what is only listed one is fetched, for its sample.
        partition.is_read = poller.stats.pages > 0 && !poller.is_fetching();
    }
    for emission in emissions {
        let found = partitions.iter_mut().find(|p| *p.partition == *emission.partition);
        let Some(found) = found else { continue };
        found.records += emission.records.len();
        found.is_read = true;
        found.sample = found.sample.take().or_else(|| emission.records.into_iter().next());
    }
}
