//! New alerts on their way: durable in the outbox, then in the lake's table, then delivered.

use std::time::Duration;

use anyhow::Context as _;
use event::Alert;
use serde::Serialize;
use sink::dispatch::StartError;
use sink::lake::{Kind, Lake, LakeOptions, Part};
use sink::outbox::{ErrorKind, Outbox};

use super::LANE;
use crate::plan::Plan;
use crate::run;

/// Alerts that are made durable and listed together.
const CHUNK: usize = 100;
/// A store that does not answer is asked so often, with a pause.
const ATTEMPTS_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// How long deliveries are waited for where no other process delivers.
const DELIVER_MAX: Duration = Duration::from_secs(60);

/// What became of the alerts that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Put into the outbox.
    pub alerts: u64,
    /// `mantissa run` is up and delivers them.
    pub by_running: bool,
    /// Deliveries that wait for the next `mantissa run`.
    pub pending: u64,
}

/// The right to replay: there is one for each lake.
pub struct Sender {
    lake: Lake,
    outbox: Outbox,
}

impl Sender {
    /// Takes the lane of the replays.
    ///
    /// # Errors
    /// When another replay has it, or the lake or the outbox cannot be used.
    pub async fn open(plan: &Plan) -> anyhow::Result<Self> {
        run::create_private(&plan.state_dir).with_context(|| {
            format!("cannot create the state folder {}", plan.state_dir.display())
        })?;
        let options = LakeOptions { lane: LANE.to_owned(), ..plan.lake.clone() };
        let (lake, _) = Lake::open(&options).await?;
        Ok(Self { lake, outbox: run::open_outbox(&plan.state_dir)? })
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Makes the alerts durable and lists them. Both may be done again.
    ///
    /// # Errors
    /// When that cannot be: what is in the outbox goes out nevertheless.
    pub async fn send(&mut self, mut alerts: Vec<Alert>) -> anyhow::Result<u64> {
        for alert in &mut alerts {
            alert.facts = enrich::facts_of(alert);
        }
        let mut sent = 0;
        for chunk in alerts.chunks(CHUNK) {
            let new = self.outbox.insert(chunk)?;
            sent += new.into_iter().filter(|is_new| *is_new).count() as u64;
            self.list(chunk).await.context(
                "not all alerts are in the lake's table yet; the same command goes on with them",
            )?;
        }
        Ok(sent)
    }

    async fn list(&mut self, alerts: &[Alert]) -> anyhow::Result<()> {
        let part = Part { alerts: alerts.to_vec(), ..Part::default() };
        let mut done = self.lake.commit(vec![part]).await.map(drop);
        for _ in 1..ATTEMPTS_MAX {
            match &done {
                Err(e) if e.kind() == Kind::Store => {}
                _ => break,
            }
            tokio::time::sleep(PAUSE).await;
            done = self.lake.retry().await.map(drop);
        }
        Ok(done?)
    }

    /// Delivers, unless another process does.
    ///
    /// # Errors
    /// When delivery cannot begin.
    pub async fn deliver(self, plan: &Plan, alerts: u64) -> anyhow::Result<Delivery> {
        match run::start_dispatcher(plan, &self.outbox) {
            Ok(dispatcher) => {
                let left = dispatcher.shutdown(DELIVER_MAX).await;
                Ok(Delivery { alerts, by_running: false, pending: left.unrouted + left.pending })
            }
            Err(e) if is_locked(&e) => Ok(Delivery { alerts, by_running: true, pending: 0 }),
            Err(e) => Err(e),
        }
    }
}

fn is_locked(error: &anyhow::Error) -> bool {
    let outbox = match error.downcast_ref::<StartError>() {
        Some(StartError::Outbox(e)) => Some(e),
        _ => None,
    };
    outbox.is_some_and(|e| e.kind == ErrorKind::Locked)
}
