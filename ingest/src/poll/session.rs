//! One source with all its partitions, its credential and the vendor's limits: which request goes out next.
//!
//! A pure state machine: the shell around it sends what it is told to, and waits when it is told to. The
//! clock of the vendor is learned from its answers. Times of windows are never later than either clock, and
//! signatures go by the vendor's.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::allowance::Allowance;
use super::auth::Auth;
use super::backoff::{Chance, pause_ms};
use super::connector::Connector;
use super::handover::{Emission, Handover};
use super::page::{self, Verdict};
use super::poller::{Effect, Poller, Setup};
use super::request::{Lost, Reply, Request};
use super::seen::Seen;
use super::when;
use crate::source::Resume;

/// Differences of the clocks below this are the network's.
const SKEW_MS_MIN: i64 = 2_000;
/// A credential that is not accepted is tried again this often.
const REFUSED_MS: i64 = 300_000;

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Nothing before this time, unless an answer comes.
    Wait(i64),
    Send(Ticket, Request),
}

/// Belongs to a request, and is given back with its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Which partition asked; `None`: it is a request for a token.
    poller: Option<usize>,
    /// By which token it was signed.
    generation: u64,
}

/// A source that runs.
#[derive(Debug)]
pub struct Session {
    connector: Arc<Connector>,
    auth: Auth,
    allowance: Arc<Mutex<Allowance>>,
    /// Requests of the allowance that it leaves to others.
    left: usize,
    pollers: Vec<Poller>,
    /// Which of them wait for an answer.
    in_flight: Vec<bool>,
    /// The partition that is asked first, so that a busy one does not starve the others.
    turn: usize,
    is_token_asked: bool,
    token_due_ms: i64,
    token_failures: u32,
    /// The vendor's clock minus ours.
    skew_ms: i64,
    knows_clock: bool,
    chance: Chance,
}

impl Session {
    /// Of partitions with their names, as they were left. A source that has a state may have asked a moment
    /// ago, before it was stopped: it begins with nothing of its allowance left.
    pub fn new(
        partitions: Vec<(String, Setup)>,
        auth: Auth,
        allowance: Arc<Mutex<Allowance>>,
        resume: &HashMap<Arc<str>, Resume>,
        now_ms: i64,
        seed: u64,
    ) -> Result<Self, String> {
        let mut pollers = Vec::new();
        if !resume.is_empty() {
            allowance.lock().exhaust(now_ms);
        }
        for (name, setup) in partitions {
            let seen = Seen::new(setup.seen_max, CHUNK_MS);
            let (handover, cursor) = Handover::open(&name, seen, setup.record_bytes_max, resume)?;
            pollers.push(Poller::new(setup, handover, cursor));
        }
        let connector = pollers.first().ok_or("there is nothing to ask for")?.connector();
        Ok(Self {
            connector,
            auth,
            allowance,
            left: 0,
            in_flight: vec![false; pollers.len()],
            pollers,
            turn: 0,
            is_token_asked: false,
            token_due_ms: i64::MIN,
            token_failures: 0,
            skew_ms: 0,
            knows_clock: false,
            chance: Chance::new(seed),
        })
    }

    /// It reads the past, which ends there: half of the allowance is left to others of the credential.
    pub fn end_at(&mut self, until_ms: i64) {
        self.left = self.allowance.lock().half();
        self.pollers.iter_mut().for_each(|poller| poller.end_at(until_ms));
    }

    /// Everything before that was read in every partition; none: there is no partition yet.
    pub fn read_to_ms(&self) -> Option<i64> {
        self.pollers().iter().map(|poller| poller.cursor().done_ms).min()
    }

    pub fn pollers(&self) -> &[Poller] {
        &self.pollers
    }

    /// The vendor's clock minus ours, once it has told its time.
    pub fn skew_ms(&self) -> Option<i64> {
        self.knows_clock.then_some(self.skew_ms)
    }

    /// A time that is no later than either clock's, by which windows go.
    fn safe_ms(&self, now_ms: i64) -> i64 {
        now_ms.min(now_ms + self.skew_ms)
    }

    /// What to do at this time.
    pub fn next(&mut self, now_ms: i64) -> Step {
        let safe_ms = self.safe_ms(now_ms);
        let Some(due_ms) = self.due_ms(safe_ms) else { return Step::Wait(i64::MAX) };
        if due_ms > now_ms {
            return Step::Wait(due_ms);
        }
        match self.auth.token_request(now_ms + self.skew_ms) {
            Ok(None) => {}
            Ok(Some(_)) if self.is_token_asked => return Step::Wait(i64::MAX),
            Ok(Some(_)) if self.token_due_ms > now_ms => return Step::Wait(self.token_due_ms),
            Ok(Some(request)) => {
                self.is_token_asked = true;
                return Step::Send(Ticket { poller: None, generation: 0 }, request);
            }
            Err(words) => return self.hold_all(now_ms, now_ms + REFUSED_MS, &words),
        }
        if let Err(until) = self.allowance.lock().check(now_ms, self.left) {
            return Step::Wait(until);
        }
        for offset in 0..self.pollers.len() {
            let i = (self.turn + offset) % self.pollers.len();
            if self.in_flight[i] || self.pollers[i].due_ms() > safe_ms {
                continue;
            }
            let latest_ms = now_ms.max(now_ms + self.skew_ms);
            let request = self.pollers[i].request(safe_ms, latest_ms);
            let Some(mut request) = request else { continue };
            let generation = match self.auth.sign(&mut request, now_ms + self.skew_ms) {
                Ok(generation) => generation,
                Err(words) => return self.hold_all(now_ms, now_ms + REFUSED_MS, &words),
            };
            self.allowance.lock().take(now_ms);
            self.turn = i + 1;
            self.in_flight[i] = true;
            return Step::Send(Ticket { poller: Some(i), generation }, request);
        }
        // Those that were due had nothing to ask for, and have said until when.
        Step::Wait(self.due_ms(safe_ms).unwrap_or(i64::MAX).max(now_ms + 1))
    }

    /// When the first partition that waits for no answer wants to ask, by our clock.
    fn due_ms(&self, safe_ms: i64) -> Option<i64> {
        let idle = (0..self.pollers.len()).filter(|i| !self.in_flight[*i]);
        let due = idle.map(|i| self.pollers[i].due_ms()).min()?;
        // What is due by a time before both clocks is due that much later by ours.
        Some(due.max(safe_ms).saturating_add(self.skew_ms.min(0).saturating_neg()))
    }

    fn hold_all(&mut self, now_ms: i64, until_ms: i64, words: &str) -> Step {
        let lead_ms = now_ms - self.safe_ms(now_ms);
        for poller in &mut self.pollers {
            poller.wait_until(until_ms - lead_ms, words.to_owned());
        }
        Step::Wait(until_ms)
    }

    /// Takes an answer, or that there is none. Returns what is to be handed over, in this order.
    pub fn answered(
        &mut self,
        ticket: Ticket,
        now_ms: i64,
        answer: Result<Reply, Lost>,
    ) -> Vec<Emission> {
        if let Ok(reply) = &answer {
            self.learn_clock(reply, now_ms);
        }
        let vendor_ms = now_ms + self.skew_ms;
        let Some(i) = ticket.poller else {
            self.token_answered(now_ms, answer);
            return Vec::new();
        };
        self.in_flight[i] = false;
        let verdict = match &answer {
            Ok(reply) => {
                let verdict =
                    page::verdict(&self.connector, reply, self.pollers[i].asked(), vendor_ms);
                if let Some(ms) = page::spared_ms(&self.connector, reply, vendor_ms) {
                    self.allowance.lock().pause(now_ms.saturating_add(ms));
                }
                verdict
            }
            Err(lost) => Verdict::Failed(lost.to_string()),
        };
        if answer.is_ok() && !matches!(verdict, Verdict::Unauthorized(_) | Verdict::Failed(_)) {
            self.auth.accepted();
        }
        let (safe_ms, seen_ms) = (now_ms.min(vendor_ms), now_ms.max(vendor_ms));
        let (emissions, effect) =
            self.pollers[i].answer(verdict, safe_ms, seen_ms, &mut self.chance);
        match effect {
            Effect::None => {}
            Effect::Pause(until_ms) => self.allowance.lock().pause(until_ms + (now_ms - safe_ms)),
            Effect::Unauthorized(words) => {
                if !self.auth.refused(ticket.generation) {
                    self.pollers[i].wait_until(safe_ms + REFUSED_MS, words);
                }
            }
        }
        emissions
    }

    fn token_answered(&mut self, now_ms: i64, answer: Result<Reply, Lost>) {
        self.is_token_asked = false;
        let vendor_ms = now_ms + self.skew_ms;
        let taken = match &answer {
            Ok(reply) => self.auth.answered(reply, vendor_ms),
            Err(lost) => Err(lost.to_string()),
        };
        match taken {
            Ok(()) => self.token_failures = 0,
            Err(words) => {
                self.token_failures += 1;
                let pause = pause_ms(self.token_failures, &mut self.chance);
                self.token_due_ms = now_ms + 1_000 + pause;
                self.hold_all(now_ms, self.token_due_ms, &format!("the token request: {words}"));
            }
        }
    }

    fn learn_clock(&mut self, reply: &Reply, now_ms: i64) {
        let Some(date) = reply.header("date").and_then(when::read_http_date) else { return };
        self.knows_clock = true;
        // The header's second is over half way through on average.
        let skew = date + 500 - now_ms;
        self.skew_ms = if skew.abs() < SKEW_MS_MIN { 0 } else { skew };
    }

    /// Where partitions begin that have no state yet, to be handed over before anything is asked for.
    pub fn first_words(&mut self, now_ms: i64) -> Vec<Emission> {
        self.pollers.iter_mut().flat_map(|poller| poller.first_words(now_ms, now_ms)).collect()
    }

    /// What the states would lose by a stop now.
    pub fn last_words(&mut self, now_ms: i64) -> Vec<Emission> {
        let vendor_ms = now_ms + self.skew_ms;
        let (safe_ms, seen_ms) = (now_ms.min(vendor_ms), now_ms.max(vendor_ms));
        self.pollers.iter_mut().flat_map(|poller| poller.last_words(safe_ms, seen_ms)).collect()
    }
}

/// A chunk of the seen-set is closed at this age.
const CHUNK_MS: i64 = 3_600_000;
