//! The four vendors that most people have, a second time and by another author: simulators written from the
//! vendors' pages alone, asked by sources that are configured as a user would, over a bad network. The
//! oracle is theirs: each record is handed over exactly once, and nobody asks more or sooner than allowed.

mod github;
mod google;
mod m365;
mod okta;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::poll::allowance::Allowance;
use crate::poll::backoff::Chance;
use crate::poll::options::PollOptions;
use crate::poll::request::{Lost, Reply, Request};
use crate::poll::session::{Session, Step};
use crate::poll::when::{Form, write_mail_date};
use crate::source::Resume;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-05-04T08:00:00Z
const BEGIN: i64 = 1_777_881_600_000;

/// What a vendor knows of one thing that happened.
#[derive(Clone, Debug)]
struct Happening {
    id: String,
    at_ms: i64,
    /// When it can first be seen.
    shown_ms: i64,
}

/// About so many an hour for two days, in bursts; one in eight is seen late, by as much as `late_ms`.
fn happenings(prefix: &str, per_hour: u64, late_ms: i64, chance: &mut Chance) -> Vec<Happening> {
    let mut all = Vec::new();
    let mut at_ms = BEGIN;
    while at_ms < BEGIN + 2 * DAY {
        let count = if chance.below(10) == 0 { 8 } else { 1 };
        for _ in 0..count {
            let late = match chance.below(8) {
                0 => chance.below(late_ms as u64) as i64,
                _ => chance.below(90) as i64 * SECOND,
            };
            let id = format!("{prefix}-{:05}", all.len());
            all.push(Happening { id, at_ms, shown_ms: at_ms + late.min(late_ms) });
        }
        at_ms += 1 + chance.below(2 * HOUR as u64 / per_hour) as i64;
    }
    all
}

/// A vendor as its pages describe it.
trait Service {
    fn answer(&mut self, asked: &Asked, now_ms: i64) -> Reply;
    /// All tokens that were given out are worthless from now on.
    fn revoke(&mut self);
    /// Another process asks from now on, which does not know what the last one was told.
    fn forgive(&mut self) {}
    /// The marks that tell records apart, of all that was ever shown.
    fn marks(&self) -> Vec<String>;
    /// What the client did that the vendor's pages forbid.
    fn offences(&self) -> &[String];
}

/// A request as a server sees it.
struct Asked {
    verb: &'static str,
    path: String,
    /// Decoded as forms are: a plus is a blank.
    query: BTreeMap<String, String>,
    form: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
}

impl Asked {
    fn new(request: &Request) -> Self {
        let url = request.full_url();
        let rest = url.split_once("://").expect("a whole address").1;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = address.find('/').map_or("/", |at| &address[at..]);
        let lower = |(name, value): &(String, String)| (name.to_lowercase(), value.clone());
        Self {
            verb: request.verb.as_str(),
            path: path.to_owned(),
            query: pairs(query),
            form: pairs(request.body.as_deref().unwrap_or_default()),
            headers: request.headers.iter().map(lower).collect(),
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn time(&self, name: &str) -> Option<i64> {
        Form::Rfc3339.read(self.query.get(name)?)
    }
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (unescape(name), unescape(value))).collect()
}

fn unescape(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'?'), bytes.next().unwrap_or(b'?')];
                let digits = std::str::from_utf8(&digits).expect("digits");
                u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
            }
            byte => byte,
        });
    }
    String::from_utf8(out).expect("UTF-8")
}

/// Whether the request has the token that is in force.
fn is_proven(asked: &Asked, token: Option<&(String, i64)>, now_ms: i64) -> bool {
    let in_force = token.filter(|(_, until_ms)| now_ms < *until_ms);
    in_force.is_some_and(|(token, _)| asked.header("authorization") == format!("Bearer {token}"))
}

fn reply(status: u16, body: impl Into<String>) -> Reply {
    Reply { status, headers: Vec::new(), body: body.into().into_bytes() }
}

fn with(mut reply: Reply, name: &str, value: impl ToString) -> Reply {
    reply.headers.push((name.to_owned(), value.to_string()));
    reply
}

/// Runs a source for a week, until all was shown and read again; it is killed now and then. Returns how often
/// each mark was handed over.
fn collect(options: &PollOptions, service: &mut dyn Service, seed: u64) -> HashMap<String, usize> {
    let mut chance = Chance::new(seed);
    let mut resume: HashMap<Arc<str>, Resume> = HashMap::new();
    let mut records: Vec<Vec<u8>> = Vec::new();
    let mut now_ms = BEGIN + HOUR;
    while now_ms < BEGIN + 7 * DAY {
        let mut session = open(options, &resume, now_ms, chance.draw());
        service.forgive();
        let dies_ms = now_ms + HOUR + chance.below(12 * HOUR as u64) as i64;
        while now_ms < dies_ms {
            match session.next(now_ms) {
                Step::Wait(until_ms) => now_ms = until_ms.min(now_ms + HOUR),
                Step::Send(ticket, request) => {
                    let answer = through_the_network(service, &request, now_ms, &mut chance);
                    now_ms += 50 + chance.below(500) as i64;
                    for emission in session.answered(ticket, now_ms, answer) {
                        let place = resume.entry(emission.partition).or_default();
                        (place.upto, place.state) = (emission.upto, Some(emission.state.into()));
                        records.extend(emission.records);
                        assert_eq!(emission.rejects, []);
                    }
                }
            }
        }
    }
    let mut found = HashMap::new();
    for record in &records {
        let text = std::str::from_utf8(record).expect("text");
        let mark = text.split("\"mark\":\"").nth(1).and_then(|rest| rest.split('"').next());
        *found.entry(mark.expect("every record has its mark").to_owned()).or_default() += 1;
    }
    found
}

fn open(
    options: &PollOptions,
    resume: &HashMap<Arc<str>, Resume>,
    now_ms: i64,
    seed: u64,
) -> Session {
    let resolved = options.resolve().expect("the options are good");
    let limits = &resolved.connector.limits;
    let allowance = Arc::new(Mutex::new(Allowance::new(limits.requests, limits.per_ms)));
    let setups = resolved.setups(options, now_ms, now_ms - BEGIN);
    let auth = options.auth(&resolved).expect("the proof is good");
    Session::new(setups, auth, allowance, resume, now_ms, seed).expect("a state of our own")
}

/// Answers that are lost, cut off, of a machine in between, or to a token that was revoked.
fn through_the_network(
    service: &mut dyn Service,
    request: &Request,
    now_ms: i64,
    chance: &mut Chance,
) -> Result<Reply, Lost> {
    let trouble = chance.below(100);
    if trouble == 0 {
        return Err(Lost("connection refused".to_owned()));
    }
    if trouble == 1 {
        service.revoke();
    }
    let mut answer = service.answer(&Asked::new(request), now_ms);
    let date = write_mail_date(now_ms).replace("-0000", "GMT");
    match trouble {
        // Who is not told to wait cannot wait.
        _ if matches!(answer.status, 403 | 429) => {}
        2 => return Err(Lost("the connection was closed".to_owned())),
        3 => answer = reply(502, "<html><h1>502 Bad Gateway</h1></html>"),
        4 => answer.body.truncate(answer.body.len() * 2 / 3),
        5 => answer = reply(503, ""),
        6 => answer.body.clear(),
        _ => {}
    }
    Ok(with(answer, "date", date))
}

/// Every record exactly once, under three kinds of luck.
fn judge(name: &str, options: &PollOptions, mut make: impl FnMut(u64) -> Box<dyn Service>) {
    for seed in 1..=3 {
        let mut service = make(seed);
        let found = collect(options, service.as_mut(), seed * 7);
        let marks = service.marks();
        let missing: Vec<&String> = marks.iter().filter(|m| !found.contains_key(*m)).collect();
        let twice: Vec<&String> = found.iter().filter(|(_, n)| **n > 1).map(|(m, _)| m).collect();
        assert!(marks.len() > 100, "{name}: too little happened");
        assert!(missing.is_empty(), "{name} {seed}: {} missing: {missing:?}", missing.len());
        assert!(twice.is_empty(), "{name} {seed}: {} twice: {twice:?}", twice.len());
        assert_eq!(found.len(), marks.len(), "{name} {seed}: what was never shown");
        let offences = service.offences();
        assert!(offences.is_empty(), "{name} {seed}: {offences:?}");
    }
}
