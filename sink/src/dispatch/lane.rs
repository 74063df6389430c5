//! The decisions of delivery as a state machine: time and answers in, what to claim and what to
//! store out. It knows no clock, no network, no file and no randomness; `jitter` is given.

use std::time::Duration;

use event::Timestamp;

use crate::outbox::{Delivery, State};

/// What a destination said to one request, in words that every destination has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the alert.
    Accepted {
        /// What it calls it.
        reference: Option<String>,
    },
    /// It does not want this alert, now or later: data.
    Refused { reason: String },
    /// It does not want *us*: credentials, address, permissions. Configuration, not data.
    Misconfigured { reason: String },
    /// It is alive and asks to come later.
    Busy { retry_after: Option<Duration>, reason: String },
    /// It failed or did not answer.
    Failed {
        retry_after: Option<Duration>,
        reason: String,
        /// It may have taken the alert all the same.
        maybe_sent: bool,
    },
}

/// How often and how long to try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The first wait; it doubles with every attempt.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// Counted from the first attempt; then the delivery is parked.
    pub give_up_after: Duration,
    /// How often a misconfigured destination is probed, and when its deliveries are parked.
    pub misconfigured_every: Duration,
    pub misconfigured_give_up_after: Duration,
    /// Failures in a row that open the breaker.
    pub breaker_after: u32,
}

impl Default for Policy {
    fn default() -> Self {
        const HOUR_S: u64 = 3_600;
        Self {
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(15 * 60),
            give_up_after: Duration::from_secs(24 * HOUR_S),
            misconfigured_every: Duration::from_secs(15 * 60),
            misconfigured_give_up_after: Duration::from_secs(7 * 24 * HOUR_S),
            breaker_after: 5,
        }
    }
}

/// Longest wait that a destination may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

impl Policy {
    /// The wait after the `n`th failure (from 1): doubled each time, capped, then between half and
    /// all of that by `jitter` in `0..1`.
    pub fn backoff(&self, n: u32, jitter: f64) -> Duration {
        let doubled = self.backoff_min.saturating_mul(1 << n.saturating_sub(1).min(30));
        doubled.min(self.backoff_max).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// How a delivery goes on after an answer. `delivery` already counts the attempt.
    pub fn after(
        &self,
        mut delivery: Delivery,
        answer: &Answer,
        now: Timestamp,
        jitter: f64,
    ) -> Delivery {
        let tried = since(delivery.first_attempt_at.unwrap_or(now), now);
        let backoff = self.backoff(delivery.attempts, jitter);
        let mut again = |wait: Duration, give_up_after: Duration, reason: &str| {
            delivery.last_error = Some(reason.to_owned());
            if tried >= give_up_after {
                let reason = format!("given up after {} attempts: {reason}", delivery.attempts);
                delivery.state = State::Parked { at: now, reason };
            } else {
                delivery.next_attempt_at = later(now, wait);
            }
        };
        match answer {
            Answer::Accepted { reference } => {
                delivery.state = State::Sent { at: now, reference: reference.clone() };
                delivery.maybe_sent = false;
                delivery.last_error = None;
            }
            Answer::Refused { reason } => {
                delivery.last_error = Some(reason.clone());
                delivery.state = State::Parked { at: now, reason: reason.clone() };
            }
            // The lane waits long; the delivery does not, so that a restart with the right
            // configuration delivers at once.
            Answer::Misconfigured { reason } => {
                again(backoff, self.misconfigured_give_up_after, reason);
            }
            Answer::Busy { retry_after, reason } => {
                let wait = asked(*retry_after).map_or(backoff, |asked| asked.max(backoff / 2));
                again(wait, self.give_up_after, reason);
            }
            Answer::Failed { retry_after, reason, maybe_sent } => {
                let wait = asked(*retry_after).map_or(backoff, |asked| asked.max(backoff));
                again(wait, self.give_up_after, reason);
                delivery.maybe_sent |= *maybe_sent;
            }
        }
        delivery
    }
}

/// How much a destination takes at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Requests under way.
    pub concurrency_max: usize,
    /// Requests begun in a second, on average; a burst is one second's worth.
    pub per_second_max: f64,
    /// Alerts in one request.
    pub batch_max: usize,
}

/// The traffic to one destination: how much may begin now.
#[derive(Clone, Debug)]
pub struct Lane {
    limits: Limits,
    policy: Policy,
    in_flight: usize,
    tokens: f64,
    refilled_at: Timestamp,
    failures: u32,
    /// Closed until then: asked for by the destination, or the breaker is open.
    blocked_until: Timestamp,
}

impl Lane {
    pub fn new(limits: Limits, policy: Policy, now: Timestamp) -> Self {
        Self {
            limits,
            policy,
            in_flight: 0,
            tokens: limits.per_second_max.max(1.0),
            refilled_at: now,
            failures: 0,
            blocked_until: Timestamp(i64::MIN),
        }
    }

    /// How many requests may begin now.
    pub fn room(&mut self, now: Timestamp) -> usize {
        self.refill(now);
        if now < self.blocked_until {
            return 0;
        }
        // With the breaker half open one request at a time feels the way.
        let concurrency = if self.is_broken() { 1 } else { self.limits.concurrency_max.max(1) };
        concurrency.saturating_sub(self.in_flight).min(self.tokens as usize)
    }

    /// Requests have begun.
    pub fn begin(&mut self, requests: usize) {
        self.in_flight += requests;
        self.tokens -= requests as f64;
    }

    /// One request has ended.
    pub fn end(&mut self, answer: &Answer, now: Timestamp, jitter: f64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match answer {
            Answer::Accepted { .. } | Answer::Refused { .. } => {
                self.failures = 0;
                self.blocked_until = Timestamp(i64::MIN);
            }
            Answer::Busy { retry_after, .. } => {
                let wait = asked(*retry_after).unwrap_or(self.policy.backoff(1, jitter));
                self.block(later(now, wait));
            }
            Answer::Misconfigured { .. } => {
                self.failures = self.failures.saturating_add(1).max(self.policy.breaker_after);
                self.block(later(now, self.policy.misconfigured_every));
            }
            Answer::Failed { retry_after, .. } => {
                self.failures = self.failures.saturating_add(1);
                if self.is_broken() {
                    let n = self.failures - self.policy.breaker_after + 1;
                    self.block(later(now, self.policy.backoff(n, jitter)));
                }
                if let Some(wait) = asked(*retry_after) {
                    self.block(later(now, wait));
                }
            }
        }
    }

    /// When there may be room again if there is none now, not counting requests that end.
    pub fn wake_at(&self, now: Timestamp) -> Timestamp {
        let missing = (1.0 - self.tokens).max(0.0);
        let refill = Duration::from_secs_f64(missing / self.limits.per_second_max.max(0.001));
        later(now, refill).max(self.blocked_until)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn batch_max(&self) -> usize {
        self.limits.batch_max.max(1)
    }

    /// The breaker is open or half open.
    pub fn is_broken(&self) -> bool {
        self.failures >= self.policy.breaker_after
    }

    /// Whether what is due now will begin soon without help: used to know when to stop waiting.
    pub fn is_willing(&self, now: Timestamp) -> bool {
        !self.is_broken() && now >= self.blocked_until
    }

    fn block(&mut self, until: Timestamp) {
        self.blocked_until = self.blocked_until.max(until);
    }

    fn refill(&mut self, now: Timestamp) {
        let rate = self.limits.per_second_max.max(0.001);
        let gained = since(self.refilled_at, now).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min(rate.max(1.0));
        self.refilled_at = self.refilled_at.max(now);
    }
}

fn asked(retry_after: Option<Duration>) -> Option<Duration> {
    retry_after.map(|wait| wait.min(RETRY_AFTER_MAX))
}

fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)))
}
