//! The event streams of CrowdStrike Falcon, as far as a collector sees them: the vendor runs nowhere else. Written from
//! its reference (<https://developer.crowdstrike.com/api-reference/collections/event-streams/>) and from what its own
//! clients do: sessions that end, an `app_id` for one connection at a time, offsets from which a stream is given.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub const CLIENT_ID: &str = "falcon-client";
pub const CLIENT_SECRET: &str = "hunter2";

/// What goes wrong, or is otherwise than usual.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Seconds that a session lasts, `refreshActiveSessionInterval`.
    pub session_s: u64,
    /// Seconds that an access token lasts.
    pub token_s: u64,
    /// Every event comes twice.
    pub doubles: bool,
    /// A stream begins behind the offset that it was asked for, and not with it.
    pub begins_behind: bool,
    /// Refreshing is answered with this.
    pub refresh: Option<u16>,
    /// Streams are answered with this.
    pub listen: Option<u16>,
    /// The API client lacks the scope.
    pub no_scope: bool,
    /// Connections stay open and nothing comes.
    pub is_silent: bool,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            session_s: 1_800,
            token_s: 1_799,
            doubles: false,
            begins_behind: false,
            refresh: None,
            listen: None,
            no_scope: false,
            is_silent: false,
        }
    }
}

/// How often it was asked for something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    pub tokens: usize,
    pub lists: usize,
    pub listens: usize,
    pub refreshes: usize,
}

#[derive(Debug, Default)]
struct Site {
    weather: Weather,
    asked: Asked,
    /// By partition: events with their offsets.
    events: Vec<BTreeMap<u64, String>>,
    /// Offset of the last event of each.
    last: Vec<u64>,
    made: u64,
    /// Access tokens with their ends.
    tokens: Vec<(String, Instant)>,
    /// Session tokens with `appId` and partition.
    sessions: Vec<(String, (String, usize))>,
    /// Who listens, and until when.
    listening: BTreeMap<(String, usize), Instant>,
    /// Connections of an earlier one are cut.
    generation: usize,
}

/// The vendor, on a port of the loopback address.
#[derive(Debug)]
pub struct Falcon {
    site: Arc<Mutex<Site>>,
    pub url: String,
}

type Request = (String, String, BTreeMap<String, String>, String);

impl Falcon {
    /// With that many partitions.
    pub fn start(partitions: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let site = Site {
            events: vec![BTreeMap::new(); partitions],
            last: vec![0; partitions],
            ..Site::default()
        };
        let falcon = Self { site: Arc::new(Mutex::new(site)), url: url.clone() };
        let site = falcon.site.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (site, url) = (site.clone(), url.clone());
                std::thread::spawn(move || serve(&site, &url, stream));
            }
        });
        falcon
    }

    fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().unwrap()
    }

    pub fn weather(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.site().weather);
    }

    pub fn asked(&self) -> Asked {
        self.site().asked
    }

    /// Events happen in a partition; what they are.
    pub fn happen(&self, partition: usize, count: usize) -> Vec<String> {
        let mut site = self.site();
        (0..count).map(|_| site.happen(partition)).collect()
    }

    /// A line that is no event stands behind the last one.
    pub fn spoil(&self, partition: usize) {
        let mut site = self.site();
        let last = site.last[partition];
        let line = site.events[partition].get_mut(&last).expect("there is an event");
        line.push_str("\n<html>not an event</html>");
    }

    /// Breaks every connection, in the middle of a line.
    pub fn cut(&self) {
        self.site().generation += 1;
    }

    /// Only the last `count` events of each partition are kept.
    pub fn forget(&self, count: usize) {
        for events in &mut self.site().events {
            while events.len() > count {
                events.pop_first();
            }
        }
    }

    /// Offsets begin anew, and nothing of before is kept.
    pub fn renumber(&self) {
        let mut site = self.site();
        site.events.iter_mut().for_each(BTreeMap::clear);
        site.last.fill(0);
        site.generation += 1;
    }

    /// Who listens to how many partitions.
    pub fn listeners(&self) -> usize {
        self.site().listening.len()
    }
}

impl Site {
    fn happen(&mut self, partition: usize) -> String {
        const KINDS: [(&str, &str); 4] = [
            (
                "EppDetectionSummaryEvent",
                r#""Name":"NGAV","SeverityName":"High","Hostname":"laptop-7","UserName":"ana","FileName":"bad.exe""#,
            ),
            (
                "AuthActivityAuditEvent",
                r#""UserId":"ana@example.com","UserIp":"203.0.113.7","OperationName":"userAuthenticate","ServiceName":"CrowdStrike Authentication","Success":true"#,
            ),
            (
                "UserActivityAuditEvent",
                r#""UserId":"ana@example.com","UserIp":"203.0.113.7","OperationName":"grantUserRoles","ServiceName":"CrowdStrike Authentication""#,
            ),
            (
                "DetectionSummaryEvent",
                r#""DetectName":"NGAV","SeverityName":"Low","ComputerName":"laptop-7""#,
            ),
        ];
        let (kind, fields) = KINDS[self.made as usize % KINDS.len()];
        self.made += 1;
        let offset = self.last[partition] + 1;
        let created_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        // Events of one millisecond would hide from who goes by time.
        std::thread::sleep(Duration::from_micros(50));
        let line = format!(
            r#"{{"metadata":{{"customerIDString":"c0","offset":{offset},"eventType":"{kind}","eventCreationTime":{created_ms},"version":"1.0"}},"event":{{{fields},"n":{}}}}}"#,
            self.made
        );
        self.last[partition] = offset;
        self.events[partition].insert(offset, line.clone());
        line
    }

    fn is_let_in(&mut self, headers: &BTreeMap<String, String>) -> bool {
        let now = Instant::now();
        self.tokens.retain(|(_, until)| *until > now);
        let given = headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        self.tokens.iter().any(|(token, _)| Some(token.as_str()) == given)
    }

    /// An access token.
    fn token(&mut self, body: &str) -> (u16, String) {
        self.asked.tokens += 1;
        let pairs: HashSet<&str> = body.split('&').collect();
        let id = format!("client_id={CLIENT_ID}");
        let secret = format!("client_secret={CLIENT_SECRET}");
        if !pairs.contains(&*id) || !pairs.contains(&*secret) {
            return refusal(403, "access denied, authorization failed");
        }
        let token = format!("access-{}", self.asked.tokens);
        let lifetime = Duration::from_secs(self.weather.token_s);
        self.tokens.push((token.clone(), Instant::now() + lifetime));
        let expires_in = self.weather.token_s;
        (
            201,
            format!(
                r#"{{"access_token":"{token}","expires_in":{expires_in},"token_type":"bearer"}}"#
            ),
        )
    }

    /// Partitions that nobody of that name listens to.
    fn list(&mut self, url: &str, app: &str) -> (u16, String) {
        self.asked.lists += 1;
        if self.weather.no_scope {
            return refusal(403, "access denied, authorization failed");
        }
        let mut resources = Vec::new();
        for partition in 0..self.events.len() {
            let who = (app.to_owned(), partition);
            if self.listening.contains_key(&who) {
                continue;
            }
            let token = format!("session-{}", self.sessions.len());
            self.sessions.push((token.clone(), who));
            let session_s = self.weather.session_s;
            resources.push(format!(
                r#"{{"dataFeedURL":"{url}/sensors/entities/datafeed/v1/{partition}?appId={app}","sessionToken":{{"token":"{token}","expiration":"2099-01-01T00:00:00Z"}},"refreshActiveSessionURL":"{url}/sensors/entities/datafeed-actions/v1/{partition}?appId={app}&action_name=refresh_active_stream_session","refreshActiveSessionInterval":{session_s}}}"#
            ));
        }
        (200, format!(r#"{{"meta":{{"trace_id":"t"}},"resources":[{}]}}"#, resources.join(",")))
    }

    fn refresh(&mut self, who: &(String, usize)) -> (u16, String) {
        self.asked.refreshes += 1;
        if let Some(status) = self.weather.refresh {
            return refusal(status, "refused");
        }
        let until = Instant::now() + Duration::from_secs(self.weather.session_s);
        match self.listening.get_mut(who) {
            Some(end) => {
                *end = until;
                (200, r#"{"meta":{},"errors":[]}"#.to_owned())
            }
            None => refusal(404, "no active stream session found"),
        }
    }

    /// Whether that session may listen now.
    fn admit(&mut self, token: &str, who: &(String, usize)) -> Result<(), (u16, String)> {
        self.asked.listens += 1;
        if let Some(status) = self.weather.listen {
            return Err(refusal(status, "exceeded the number of connections"));
        }
        // A session's token is good once.
        let known = self.sessions.iter().position(|(t, w)| t == token && w == who);
        let Some(known) = known else { return Err(refusal(401, "access denied, invalid token")) };
        self.sessions[known].0 = String::new();
        if self.listening.contains_key(who) {
            return Err(refusal(409, "stream is in use"));
        }
        let until = Instant::now() + Duration::from_secs(self.weather.session_s);
        self.listening.insert(who.clone(), until);
        Ok(())
    }
}

fn refusal(status: u16, words: &str) -> (u16, String) {
    (status, format!(r#"{{"errors":[{{"code":{status},"message":"{words}"}}]}}"#))
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ');
    let (verb, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((verb, target, headers, String::from_utf8(body).ok()?))
}

fn query<'a>(target: &'a str, name: &str) -> &'a str {
    let pairs = target.split_once('?').map_or("", |(_, query)| query).split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map_or("", |(_, v)| v)
}

fn serve(shared: &Mutex<Site>, url: &str, mut to: TcpStream) -> Option<()> {
    let (verb, target, headers, body) = read(&to)?;
    let path = target.split('?').next()?;
    let app = query(&target, "appId").to_owned();
    let partition = path.rsplit('/').next().and_then(|p| p.parse().ok()).unwrap_or(usize::MAX);
    let who = (app.clone(), partition);
    let (status, answer) = {
        let mut site = shared.lock().unwrap();
        match (verb.as_str(), path) {
            ("POST", "/oauth2/token") => site.token(&body),
            ("GET", path) if path.starts_with("/sensors/entities/datafeed/v1/") => {
                let token = headers.get("authorization").and_then(|v| v.strip_prefix("Token "));
                match site.admit(token.unwrap_or_default(), &who) {
                    Err(refused) => refused,
                    Ok(()) => {
                        let generation = site.generation;
                        drop(site);
                        let offset = query(&target, "offset").parse().expect("an offset");
                        let given = give(shared, &who, offset, generation, &mut to);
                        // Not before: until then nobody else may listen.
                        shared.lock().unwrap().listening.remove(&who);
                        return given;
                    }
                }
            }
            _ if !site.is_let_in(&headers) => refusal(401, "access denied, invalid bearer token"),
            ("GET", "/sensors/entities/datafeed/v2") => site.list(url, &app),
            ("POST", _) => site.refresh(&who),
            _ => refusal(404, "not found"),
        }
    };
    let length = answer.len();
    write!(
        to,
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{answer}"
    )
    .ok()
}

/// Gives the events from an offset on, until the session ends or the connection breaks.
fn give(
    shared: &Mutex<Site>,
    who: &(String, usize),
    offset: u64,
    generation: usize,
    to: &mut TcpStream,
) -> Option<()> {
    to.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
    let mut next = {
        let site = shared.lock().unwrap();
        // An offset that there never was, which no reference speaks of: the oldest that there is.
        let known = if offset > site.last[who.1] { 0 } else { offset };
        known + u64::from(site.weather.begins_behind)
    };
    loop {
        let (weather, lines) = {
            let site = shared.lock().unwrap();
            let is_over = site.listening.get(who).is_none_or(|until| *until < Instant::now());
            if is_over || site.generation != generation {
                break;
            }
            let events = site.events.get(who.1)?.range(next..).take(100);
            let lines: Vec<(u64, String)> = events.map(|(at, line)| (*at, line.clone())).collect();
            (site.weather, lines)
        };
        let times = if weather.doubles { 2 } else { 1 };
        let mut sent = String::new();
        for (at, line) in lines.into_iter().filter(|_| !weather.is_silent) {
            sent.push_str(&format!("{line}\r\n").repeat(times));
            next = at + 1;
        }
        if sent.is_empty() && !weather.is_silent {
            sent.push_str("\r\n");
        }
        if !sent.is_empty() {
            write!(to, "{:x}\r\n{sent}\r\n", sent.len()).ok()?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // Broken off in the middle of a line.
    let open = "{\"metadata\":{\"customerIDString\":";
    let _ = write!(to, "{:x}\r\n{open}\r\n", open.len());
    let _ = to.shutdown(std::net::Shutdown::Both);
    None
}
