//! Runs a session against a vendor under a virtual clock: faults, crashes, commits that lag behind, and the
//! oracle that counts what arrived.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::credentials;
use super::faults::{Fault, Mistake, Scenario};
use super::vendors::{Api, DUO_PAGE, Vendor, error, ok};
use super::world::{DAY, Event, HOUR, MINUTE, SECOND, START, events};
use crate::poll::allowance::Allowance;
use crate::poll::auth::{Auth, Defaults};
use crate::poll::backoff::Chance;
use crate::poll::connector::{Connector, Connectors, CursorRule, Template};
use crate::poll::handover::Emission;
use crate::poll::poller::{Setup, Stats};
use crate::poll::request::{Lost, Reply, Request};
use crate::poll::session::{Session, Step};
use crate::source::Resume;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Events that were shown within the documented lateness and did not arrive.
    pub missing: Vec<String>,
    /// Records that arrived more than once.
    pub twice: usize,
    pub over_limit: u64,
    pub arrived: usize,
    pub due: usize,
    /// Listings of what could not be fetched.
    pub dead: usize,
    pub crashes: u64,
    pub stats: Stats,
    pub requests: u64,
    pub state_bytes_max: usize,
}

/// What is durable, and what is on its way there.
#[derive(Default)]
pub(super) struct Lake {
    pub resume: HashMap<Arc<str>, Resume>,
    pub records: HashMap<Vec<u8>, usize>,
    under_way: Vec<Emission>,
}

impl Lake {
    /// Commits the first of what is under way.
    fn commit(&mut self, count: usize, mistake: Option<Mistake>) {
        for (n, emission) in self.under_way.iter().skip(count).take(2).enumerate() {
            // What the mistaken order makes durable although the process dies now.
            let entry = self.resume.entry(emission.partition.clone()).or_default();
            if mistake == Some(Mistake::PositionFirst) {
                (entry.upto, entry.state) = (emission.upto, Some(emission.state.clone().into()));
            } else if mistake == Some(Mistake::RecordsFirst) && n == 0 {
                for record in &emission.records {
                    *self.records.entry(record.clone()).or_default() += 1;
                }
            }
        }
        for emission in self.under_way.drain(..count) {
            let entry = self.resume.entry(emission.partition.clone()).or_default();
            let is_mistaken = mistake == Some(Mistake::PositionFirst);
            assert!(
                is_mistaken || entry.upto == emission.after,
                "spans of {} touch",
                emission.partition
            );
            assert!(emission.upto > emission.after, "a span moves its position");
            entry.upto = emission.upto;
            entry.state = Some(emission.state.into());
            for record in emission.records {
                *self.records.entry(record).or_default() += 1;
            }
            for (_, bytes) in emission.rejects {
                *self.records.entry(bytes).or_default() += 1;
            }
        }
    }
}

/// A run under way.
pub(super) struct Run {
    pub scenario: Scenario,
    /// The answer to everything, as long as it is set.
    pub denied: Option<(u16, &'static str)>,
    pub api: Api,
    pub lake: Lake,
    pub connector: Arc<Connector>,
    session: Session,
    chance: Chance,
    /// The vendor's clock, which is right.
    pub now_ms: i64,
    skew_ms: i64,
    outcome: Outcome,
    start_ms: i64,
    /// Where a session without a state begins.
    begin_ms: i64,
    seen_max: usize,
    mistake: Option<Mistake>,
}

impl Run {
    pub fn new(scenario: Scenario, mistake: Option<Mistake>) -> Self {
        let Scenario { vendor, connector, days, per_hour, seed, fault } = scenario;
        let events = events(days, per_hour, vendor.lateness(), seed);
        let mut connector = builtin(connector, if seed.is_multiple_of(2) { 20 } else { 1_000 });
        if let Some(mistake) = mistake {
            mistake.spoil(&mut connector);
        }
        let connector = Arc::new(connector);
        let seen_max = if mistake == Some(Mistake::SmallMemory) { 2_000 } else { 1 << 20 };
        let is_skewed = matches!(fault, Fault::Skew | Fault::All);
        let skews = [-3 * HOUR, -4 * MINUTE, 7 * MINUTE, 2 * HOUR];
        let skew_ms = if is_skewed { skews[seed as usize % 4] } else { 0 };
        let lake = Lake::default();
        let (now_ms, start_ms) = (START + 2 * HOUR, START);
        let client_ms = now_ms + skew_ms;
        let session = open(&connector, vendor, &lake, seen_max, start_ms, client_ms, seed);
        let mut run = Self {
            scenario,
            denied: None,
            api: Api::new(vendor, events, seed ^ 1),
            lake,
            connector,
            session,
            chance: Chance::new(seed ^ 2),
            now_ms,
            skew_ms,
            outcome: Outcome::default(),
            start_ms,
            begin_ms: start_ms,
            seen_max,
            mistake,
        };
        run.lake.under_way = run.session.first_words(client_ms);
        run
    }

    /// Until every event was shown and had time to be read, the last day without trouble.
    pub fn run(mut self) -> Outcome {
        let shown = START + self.scenario.days * DAY + self.scenario.vendor.lateness().most_ms;
        self.run_until(shown + 2 * HOUR, false);
        self.finish()
    }

    /// Runs on, with or without trouble.
    pub fn run_until(&mut self, until_ms: i64, is_calm: bool) {
        while self.now_ms < until_ms {
            self.step(is_calm);
        }
    }

    /// A day without trouble in which all is read again, and the judgement.
    pub fn finish(mut self) -> Outcome {
        let ages = match &self.connector.cursor {
            CursorRule::Window(rule) => rule.rescan_ms.last().map_or(0, |age| age + 13 * HOUR),
            CursorRule::Token { .. } => 0,
        };
        let shown = START + self.scenario.days * DAY + self.scenario.vendor.lateness().most_ms;
        self.run_until(self.now_ms.max(shown) + ages + 3 * HOUR, true);
        let all = self.lake.under_way.len();
        self.lake.commit(all, None);
        self.judge()
    }

    fn step(&mut self, is_calm: bool) {
        let client_ms = self.now_ms + self.skew_ms;
        match self.session.next(client_ms) {
            Step::Wait(until) => {
                assert!(until > client_ms, "waiting for the past does not end");
                let until = (until - self.skew_ms).min(self.now_ms + HOUR);
                self.now_ms = until.max(self.now_ms + 1);
                self.commit_some();
            }
            Step::Send(ticket, request) => {
                if !is_calm && self.dies() {
                    return self.crash();
                }
                let answer = self.answer(&request, is_calm);
                let emissions = self.session.answered(ticket, self.now_ms + self.skew_ms, answer);
                for emission in &emissions {
                    let len = emission.state.len();
                    self.outcome.state_bytes_max = self.outcome.state_bytes_max.max(len);
                }
                let is_empty = emissions.iter().all(|emission| emission.records.is_empty());
                self.lake.under_way.extend(emissions);
                self.move_cursor(is_empty);
                if !is_calm && self.dies() {
                    return self.crash();
                }
                self.commit_some();
            }
        }
    }

    fn commit_some(&mut self) {
        if self.chance.below(4) == 0 {
            let count = self.chance.below(self.lake.under_way.len() as u64 + 1) as usize;
            self.lake.commit(count, None);
        }
    }

    fn dies(&mut self) -> bool {
        let often = self.scenario.fault == Fault::CrashOften && self.chance.below(4) == 0;
        often || self.is_struck(Fault::Crash, 60)
    }

    fn is_struck(&mut self, fault: Fault, one_in: u64) -> bool {
        let wanted = self.scenario.fault == fault || self.scenario.fault == Fault::All;
        wanted && self.chance.below(one_in) == 0
    }

    /// The process is away for a while.
    pub fn pause(&mut self, pause_ms: i64) {
        self.crash();
        self.now_ms += pause_ms;
    }

    pub fn done_ms(&self) -> i64 {
        self.session.pollers()[0].cursor().done_ms
    }

    pub fn stats(&self) -> &Stats {
        &self.session.pollers()[0].stats
    }

    fn crash(&mut self) {
        self.outcome.crashes += 1;
        let count = self.chance.below(self.lake.under_way.len() as u64 + 1) as usize;
        self.lake.commit(count, self.mistake);
        self.lake.under_way.clear();
        self.add_stats();
        if self.mistake == Some(Mistake::NoState) {
            self.lake.resume.clear();
            self.begin_ms = self.now_ms;
        }
        let seed = self.chance.draw();
        self.now_ms += self.chance.below(10 * MINUTE as u64) as i64;
        if self.lake.resume.is_empty() {
            // Nothing tells the new process that there was one before it: the collection has not begun.
            self.api.forget_requests();
            if self.mistake.is_none() {
                self.begin_ms = self.now_ms - 2 * HOUR;
                self.start_ms = self.begin_ms;
            }
        }
        let client_ms = self.now_ms + self.skew_ms;
        let (vendor, start_ms) = (self.scenario.vendor, self.begin_ms);
        self.session =
            open(&self.connector, vendor, &self.lake, self.seen_max, start_ms, client_ms, seed);
        self.lake.under_way = self.session.first_words(client_ms);
    }

    fn add_stats(&mut self) {
        for poller in self.session.pollers() {
            self.outcome.requests += poller.stats.requests;
            self.outcome.stats.late += poller.stats.late;
            self.outcome.stats.repeated += poller.stats.repeated;
            self.outcome.stats.gap_ms += poller.stats.gap_ms;
        }
    }

    fn answer(&mut self, request: &Request, is_calm: bool) -> Result<Reply, Lost> {
        self.now_ms += 20 + self.chance.below(400) as i64;
        let is_page = !request.url.ends_with("/token");
        if let Some((status, body)) = self.denied.filter(|_| is_page) {
            return Ok(error(status, body.to_owned()));
        }
        if is_calm {
            let reply = self.api.answer(request, self.now_ms);
            return Ok(self.misread(reply));
        }
        if self.is_struck(Fault::Timeout, 30) {
            if self.chance.below(2) == 0 {
                self.api.answer(request, self.now_ms);
            }
            self.now_ms += 30 * SECOND;
            return Err(Lost("no answer in time".to_owned()));
        }
        if self.is_struck(Fault::ServerError, 30) {
            let status = [500, 502, 503, 504][self.chance.below(4) as usize];
            return Ok(self.misread(error(status, "<html>Bad gateway</html>".to_owned())));
        }
        if self.is_struck(Fault::Limited, 30) {
            return Ok(self.api.limited(self.now_ms));
        }
        if self.is_struck(Fault::TokenExpired, 30) {
            self.api.bearer = "revoked".to_owned();
        }
        let mut reply = self.api.answer(request, self.now_ms);
        if self.is_struck(Fault::Html, 30) {
            reply.body = b"\n<!doctype html><html><body>Please sign in</body></html>".to_vec();
        }
        if self.is_struck(Fault::Truncated, 30) {
            let len = self.chance.below(reply.body.len().max(1) as u64) as usize;
            reply.body.truncate(len);
        }
        if self.is_struck(Fault::WrongJson, 30) {
            let bodies = ["null", "\"ok\"", "{\"message\":\"maintenance\"}", "{}", "17"];
            reply = ok(bodies[self.chance.below(5) as usize]);
        }
        if self.is_struck(Fault::Redirect, 30) {
            reply = error(302, String::new());
            reply.headers.push(("location".into(), "https://login.example/".into()));
        }
        Ok(self.misread(reply))
    }

    /// The answer as a careless collector understands it.
    fn misread(&self, mut reply: Reply) -> Reply {
        match self.mistake {
            Some(Mistake::ErrorIsEmpty) if reply.status >= 500 => {
                ok("{\"entries\":[],\"response_metadata\":{}}")
            }
            Some(Mistake::ShortIsLast) => {
                let text = String::from_utf8_lossy(&reply.body).into_owned();
                let is_short = text.matches("\"e-").count() < self.connector.limit as usize;
                if is_short && let Some(at) = text.find(",\"response_metadata\"") {
                    reply.body = format!("{}}}", &text[..at]).into_bytes();
                }
                reply
            }
            Some(Mistake::OwnClock) => {
                reply.headers.retain(|(name, _)| name != "date");
                reply
            }
            _ => reply,
        }
    }

    /// Moves the cursor as a careless collector does: by making its own state durable and starting from it.
    fn move_cursor(&mut self, is_empty: bool) {
        let stats = &self.session.pollers()[0].stats;
        let to_ms = match self.mistake {
            Some(Mistake::NewestEvent) if !is_empty => stats.last_event_ms,
            Some(Mistake::NowOnEmpty) if is_empty => Some(self.now_ms),
            _ => None,
        };
        let Some(to_ms) = to_ms else { return };
        let all = self.lake.under_way.len();
        self.lake.commit(all, None);
        let Some(resume) = self.lake.resume.get_mut("events") else { return };
        let mut state: serde_json::Value =
            serde_json::from_str(resume.state.as_deref().unwrap()).unwrap();
        state["cursor"]["done_ms"] = to_ms.into();
        resume.state = Some(state.to_string().into());
        self.add_stats();
        let seed = self.chance.draw();
        let (vendor, now_ms) = (self.scenario.vendor, self.now_ms);
        self.session =
            open(&self.connector, vendor, &self.lake, self.seen_max, self.begin_ms, now_ms, seed);
    }

    fn judge(mut self) -> Outcome {
        self.add_stats();
        let mut by_id: BTreeMap<String, usize> = BTreeMap::new();
        for (bytes, count) in &self.lake.records {
            let text = String::from_utf8_lossy(bytes);
            let found = text.find("\"e-").or_else(|| text.find("\"s-"));
            let Some(id) = found.map(|at| text[at + 1..at + 11].to_owned()) else {
                self.outcome.dead += 1;
                continue;
            };
            *by_id.entry(id).or_default() += 1;
            self.outcome.twice += count - 1;
            self.outcome.arrived += 1;
        }
        let is_due = |event: &&Event| event.time_ms >= self.start_ms;
        for event in self.api.events.iter().filter(is_due) {
            let holds_two = self.scenario.vendor == Vendor::Google;
            self.outcome.due += 1 + usize::from(holds_two);
            let second = if holds_two { by_id.get(&event.second_id()) } else { Some(&1) };
            if by_id.get(&event.id()) != Some(&1) || second != Some(&1) {
                let late = (event.shown_ms - event.time_ms) / SECOND;
                self.outcome.missing.push(format!(
                    "{} at {} shown {late} s later",
                    event.id(),
                    event.time_ms
                ));
            }
        }
        self.outcome.over_limit = self.api.over_limit;
        self.outcome
    }
}

/// A connector, with small pages if the vendor has a choice.
pub(super) fn builtin(name: &str, limit: u32) -> Connector {
    let connector = Connectors::builtin().get(name).expect("it is built in");
    let limit = match name {
        // It is not told how many; more within one second than a page holds would have no end.
        "duo.admin" => DUO_PAGE,
        // Whole days are read every time.
        "zoom.operation" | "zoom.activity" => connector.limit,
        _ => connector.limit.min(limit),
    };
    Connector { limit, ..(*connector).clone() }
}

/// The source as it starts with what is durable.
pub(super) fn open(
    connector: &Arc<Connector>,
    vendor: Vendor,
    lake: &Lake,
    seen_max: usize,
    start_ms: i64,
    now_ms: i64,
    seed: u64,
) -> Session {
    let limits = &connector.limits;
    let allowance = Arc::new(Mutex::new(Allowance::new(limits.requests, limits.per_ms)));
    open_with(connector, vendor, lake, seen_max, start_ms, now_ms, seed, allowance)
}

/// With an allowance that others may share.
#[expect(clippy::too_many_arguments, reason = "of a test's world, each is another thing")]
pub(super) fn open_with(
    connector: &Arc<Connector>,
    vendor: Vendor,
    lake: &Lake,
    seen_max: usize,
    start_ms: i64,
    now_ms: i64,
    seed: u64,
    allowance: Arc<Mutex<Allowance>>,
) -> Session {
    let base_url = "https://vendor.example".to_owned();
    let settings = credentials::settings();
    let each = match vendor {
        Vendor::Google => Some("login"),
        Vendor::M365 => Some("Audit.General"),
        _ => None,
    };
    let setup = Setup {
        connector: connector.clone(),
        base_url: base_url.clone(),
        settings: settings.clone(),
        each: each.map(str::to_owned),
        start_ms,
        record_bytes_max: 1 << 20,
        seen_max,
    };
    let filled = |(name, text): &(String, Template)| {
        (name.clone(), text.fill(&settings).unwrap_or_default())
    };
    let defaults = Defaults {
        form: connector.auth.form.iter().map(filled).collect(),
        secret: connector.auth.secret,
        base_url,
        token_url: Some("https://login.example/token".to_owned()),
        scope: Some("logs".to_owned()),
        header: connector.auth.header.clone(),
    };
    let auth = Auth::new(&credentials::of(vendor), &defaults).expect("the options are good");
    Session::new(vec![("events".to_owned(), setup)], auth, allowance, &lake.resume, now_ms, seed)
        .expect("a state of our own is read")
}
