//! What each vendor's API does, by its documentation: parameters, order, pages, tokens, limits, errors.

mod answers;
mod jamf;
mod latest;
mod more;
mod snowflake;

pub(super) use latest::DUO_PAGE;

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde_json::{Value, json};

use super::world::{DAY, Event, HOUR, Kind, Lateness, MINUTE, SECOND};
use crate::poll::backoff::Chance;
use crate::poll::request::{Reply, Request, Verb};
use crate::poll::when::{Form, write_mail_date};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vendor {
    Okta,
    GitHub,
    Slack,
    Duo,
    Google,
    Entra,
    GitLab,
    OnePassword,
    M365,
    Box,
    Auth0,
    Atlassian,
    CrowdStrike,
    Cloudflare,
    Salesforce,
    SalesforceFiles,
    OneLogin,
    DuoAdmin,
    Zoom,
    Snowflake,
    JamfProtect,
}

impl Vendor {
    pub fn connector(self) -> &'static str {
        match self {
            Self::Okta => "okta.system",
            Self::GitHub => "github.audit",
            Self::Slack => "slack.audit",
            Self::Duo => "duo.auth",
            Self::Google => "google_workspace.audit",
            Self::Entra => "entra.signin",
            Self::GitLab => "gitlab.audit",
            Self::OnePassword => "onepassword.signin",
            Self::M365 => "m365.audit",
            Self::Box => "box.event",
            Self::Auth0 => "auth0.log",
            Self::Atlassian => "atlassian.admin",
            Self::CrowdStrike => "crowdstrike.alert",
            Self::Cloudflare => "cloudflare.audit",
            Self::Salesforce => "salesforce.setup_audit_trail",
            Self::SalesforceFiles => "salesforce.event",
            Self::OneLogin => "onelogin.event",
            Self::DuoAdmin => "duo.admin",
            Self::Zoom => "zoom.operation",
            Self::Snowflake => "snowflake.login_history",
            Self::JamfProtect => "jamf.protect_alert",
        }
    }

    /// How late events are shown at most, as documented or observed.
    pub fn lateness(self) -> Lateness {
        let of = |usual_ms, most_ms, granule_ms| Lateness { usual_ms, most_ms, granule_ms };
        match self {
            // In the order of arrival lateness does not matter.
            Self::Okta => of(10 * MINUTE, 3 * DAY, 1),
            Self::OnePassword => of(10 * MINUTE, 3 * DAY, SECOND),
            Self::GitHub => of(5 * MINUTE, DAY, 1),
            Self::Slack => of(2 * MINUTE, DAY, SECOND),
            Self::Duo | Self::DuoAdmin => of(2 * MINUTE, 12 * HOUR, SECOND),
            Self::Google => of(20 * MINUTE, 3 * DAY, 1),
            Self::Entra => of(10 * MINUTE, DAY, 1),
            Self::GitLab => of(2 * MINUTE, DAY, 1),
            Self::Box | Self::Auth0 | Self::Atlassian => of(10 * MINUTE, DAY, 1),
            Self::CrowdStrike => of(MINUTE, HOUR, 1),
            Self::Snowflake => of(HOUR, 3 * HOUR, 1),
            Self::JamfProtect => of(5 * MINUTE, DAY, 1),
            Self::Cloudflare | Self::Salesforce | Self::OneLogin | Self::Zoom => {
                of(5 * MINUTE, DAY, SECOND)
            }
            // A file is listed by when it was made.
            Self::SalesforceFiles => of(MINUTE, 2 * MINUTE, SECOND),
            // The time that is asked for is when the content became available.
            Self::M365 => of(MINUTE, 2 * MINUTE, SECOND),
        }
    }

    /// Whether its cursor goes by when events are shown.
    fn is_in_order_of_arrival(self) -> bool {
        let arrival = [Self::Okta, Self::OnePassword, Self::Box, Self::Auth0, Self::Atlassian];
        arrival.contains(&self)
    }

    /// Requests that are allowed in so much time.
    fn limit(self) -> (usize, i64) {
        match self {
            Self::Okta => (45, MINUTE),
            Self::GitHub => (15, MINUTE),
            Self::Slack => (50, MINUTE),
            Self::Duo | Self::DuoAdmin => (1, MINUTE),
            Self::Google => (2_400, MINUTE),
            Self::Entra => (5, 10 * SECOND),
            Self::GitLab => (2_000, MINUTE),
            Self::OnePassword => (600, MINUTE),
            Self::M365 => (2_000, MINUTE),
            Self::Box => (1_000, MINUTE),
            Self::Auth0 => (120, MINUTE),
            Self::Atlassian | Self::Salesforce | Self::SalesforceFiles | Self::Snowflake => {
                (60, MINUTE)
            }
            Self::CrowdStrike => (6_000, MINUTE),
            Self::Cloudflare => (1_200, 5 * MINUTE),
            Self::OneLogin => (5_000, HOUR),
            Self::Zoom => (10, SECOND),
            Self::JamfProtect => (60, MINUTE),
        }
    }

    fn retention_ms(self) -> i64 {
        match self {
            Self::Okta => 90 * DAY,
            Self::M365 => 7 * DAY,
            Self::Entra => 30 * DAY,
            _ => 180 * DAY,
        }
    }
}

/// One vendor with its events and what it remembers of its clients.
pub(super) struct Api {
    pub vendor: Vendor,
    pub events: Vec<Event>,
    /// Page tokens that were given out, with what they stand for.
    tokens: HashMap<String, (String, usize)>,
    chance: Chance,
    sent: VecDeque<i64>,
    /// Requests that broke the documented limit.
    pub over_limit: u64,
    /// The token that is valid, for vendors whose tokens expire.
    pub bearer: String,
    tokens_given: u64,
    subscribed: bool,
    /// Pages hold fewer than asked for, sometimes.
    pub shrinks: bool,
    /// Content of Office 365 that cannot be had: its number, and the status.
    pub broken_blob: Option<(i64, u16)>,
    /// Sign-ins that are older need another licence.
    pub kept_ms: i64,
}

impl Api {
    pub fn new(vendor: Vendor, mut events: Vec<Event>, seed: u64) -> Self {
        if vendor.is_in_order_of_arrival() {
            events.sort_by_key(|event| event.shown_ms);
        } else {
            events.sort_by_key(|event| (event.time_ms, event.number));
        }
        Self {
            vendor,
            events,
            tokens: HashMap::new(),
            chance: Chance::new(seed),
            sent: VecDeque::new(),
            over_limit: 0,
            bearer: String::new(),
            tokens_given: 0,
            subscribed: false,
            shrinks: true,
            broken_blob: None,
            kept_ms: i64::MAX,
        }
    }

    pub fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    pub fn forget_requests(&mut self) {
        self.sent.clear();
    }

    /// A request that reaches the vendor at this time of its clock.
    pub fn answer(&mut self, request: &Request, now_ms: i64) -> Reply {
        let mut reply = self.route(request, now_ms);
        reply.headers.push(("date".into(), write_mail_date(now_ms).replace("-0000", "GMT")));
        reply
    }

    fn route(&mut self, request: &Request, now_ms: i64) -> Reply {
        if request.url.contains("/token") || request.url.contains("access_tokens") {
            self.check_token_request(request);
            return self.token();
        }
        let proof = header(request, "Authorization");
        let is_known = match self.vendor {
            Vendor::Duo | Vendor::DuoAdmin => {
                proof.starts_with("Basic ") && duo_date_is_near(request, now_ms)
            }
            Vendor::Google
            | Vendor::Entra
            | Vendor::M365
            | Vendor::Box
            | Vendor::Auth0
            | Vendor::CrowdStrike
            | Vendor::OneLogin
            | Vendor::Zoom
            | Vendor::JamfProtect
            | Vendor::Salesforce
            | Vendor::SalesforceFiles => proof == format!("Bearer {}", self.bearer),
            Vendor::GitLab => header(request, "PRIVATE-TOKEN") == "t0k",
            Vendor::Okta => proof == "SSWS t0k",
            Vendor::Snowflake => snowflake::is_known(request, now_ms),
            _ => proof == "Bearer t0k",
        };
        if !is_known {
            return error(401, self.error_body("unauthorized"));
        }
        // Fetching content of Office 365 counts as well.
        let (requests, per_ms) = self.vendor.limit();
        while self.sent.front().is_some_and(|first| *first <= now_ms - per_ms) {
            self.sent.pop_front();
        }
        self.sent.push_back(now_ms);
        if self.sent.len() > requests {
            self.over_limit += 1;
            return self.limited(now_ms);
        }
        match self.vendor {
            Vendor::Okta => self.okta(request, now_ms),
            Vendor::GitHub => self.github(request, now_ms),
            Vendor::Slack => self.slack(request, now_ms),
            Vendor::Duo => self.duo(request, now_ms),
            Vendor::Google => self.google(request, now_ms),
            Vendor::Entra => self.entra(request, now_ms),
            Vendor::GitLab => self.gitlab(request, now_ms),
            Vendor::OnePassword => self.onepassword(request, now_ms),
            Vendor::M365 => self.m365(request, now_ms),
            Vendor::Box => self.box_stream(request, now_ms),
            Vendor::Auth0 => self.auth0(request, now_ms),
            Vendor::Atlassian => self.atlassian(request, now_ms),
            Vendor::CrowdStrike => self.crowdstrike(request, now_ms),
            Vendor::Cloudflare => self.cloudflare(request, now_ms),
            Vendor::Salesforce => self.salesforce(request, now_ms),
            Vendor::SalesforceFiles => self.salesforce_files(request, now_ms),
            Vendor::OneLogin => self.onelogin(request, now_ms),
            Vendor::DuoAdmin => self.duo_admin(request, now_ms),
            Vendor::Zoom => self.zoom(request, now_ms),
            Vendor::Snowflake => self.snowflake(request, now_ms),
            Vendor::JamfProtect => self.jamf_protect(request, now_ms),
        }
    }

    fn token(&mut self) -> Reply {
        self.tokens_given += 1;
        self.bearer = format!("bearer-{}", self.tokens_given);
        ok(json!({"access_token": self.bearer, "expires_in": 3_599, "token_type": "Bearer"})
            .to_string())
    }

    /// How the vendor refuses for a while.
    pub fn limited(&mut self, now_ms: i64) -> Reply {
        match self.vendor {
            Vendor::Okta => {
                let mut reply = error(429, self.error_body("limited"));
                let reset = (now_ms / 1_000 + 1 + self.chance.below(60) as i64).to_string();
                reply.headers.push(("x-rate-limit-remaining".into(), "0".into()));
                reply.headers.push(("x-rate-limit-reset".into(), reset));
                reply
            }
            Vendor::GitHub if self.chance.below(2) == 0 => error(
                403,
                json!({"message": "You have exceeded a secondary rate limit."}).to_string(),
            ),
            Vendor::Google => error(403, self.error_body("limited")),
            Vendor::Duo | Vendor::DuoAdmin => error(429, self.error_body("limited")),
            _ => {
                let mut reply = error(429, self.error_body("limited"));
                let wait = 1 + self.chance.below(40) as i64;
                let after = match self.chance.below(2) {
                    0 => wait.to_string(),
                    _ => write_mail_date(now_ms + (wait + 1) * SECOND).replace("-0000", "GMT"),
                };
                reply.headers.push(("retry-after".into(), after));
                reply
            }
        }
    }

    fn error_body(&self, what: &str) -> String {
        let body = match (self.vendor, what) {
            (Vendor::Okta, "limited") => {
                json!({"errorCode": "E0000047", "errorSummary": "API call exceeded rate limit"})
            }
            (Vendor::Okta, _) => {
                json!({"errorCode": "E0000011", "errorSummary": "Invalid token provided"})
            }
            (Vendor::Duo | Vendor::DuoAdmin, "limited") => {
                json!({"code": 42901, "message": "Too Many Requests", "stat": "FAIL"})
            }
            (Vendor::Duo | Vendor::DuoAdmin, _) => {
                json!({"code": 40103, "message": "Invalid signature in request credentials", "stat": "FAIL"})
            }
            (Vendor::Google, "limited") => {
                json!({"error": {"code": 403, "errors": [{"reason": "rateLimitExceeded"}], "status": "RESOURCE_EXHAUSTED"}})
            }
            (Vendor::Google, _) => {
                json!({"error": {"code": 401, "errors": [{"reason": "authError"}]}})
            }
            (Vendor::Slack, "limited") => json!({"ok": false, "error": "ratelimited"}),
            (Vendor::Slack, _) => json!({"ok": false, "error": "invalid_auth"}),
            (Vendor::M365, "limited") => {
                json!({"error": {"code": "AF429", "message": "Too many requests"}})
            }
            (Vendor::Entra, "limited") => json!({"error": {"code": "TooManyRequests"}}),
            (Vendor::Entra | Vendor::M365, _) => {
                json!({"error": {"code": "InvalidAuthenticationToken"}})
            }
            _ => json!({"message": what}),
        };
        body.to_string()
    }

    /// Indexes of what a window holds that is shown by now.
    fn within(&self, from_ms: i64, to_ms: i64, is_to_inside: bool, now_ms: i64) -> Vec<usize> {
        let kept = now_ms - self.vendor.retention_ms();
        let start = self.events.partition_point(|event| event.time_ms < from_ms.max(kept));
        let inside =
            |event: &&Event| event.time_ms < to_ms || (is_to_inside && event.time_ms == to_ms);
        let count = self.events[start..].iter().take_while(inside).count();
        let all = start..start + count;
        all.filter(|i| self.events[*i].shown_ms <= now_ms).collect()
    }

    /// Records of some events, doubled where the vendor doubles them.
    fn records(&self, found: &[usize]) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        for i in found {
            let record = self.record(&self.events[*i]);
            if self.events[*i].kind == Kind::Doubled {
                records.push(record.clone());
            }
            records.push(record);
        }
        records
    }

    fn record(&self, event: &Event) -> Vec<u8> {
        let (id, ms) = (event.id(), event.time_ms);
        let time = Form::Rfc3339.write(ms);
        let body = match self.vendor {
            Vendor::Okta => {
                json!({"uuid": id, "published": time, "eventType": "user.session.start"})
            }
            Vendor::GitHub => {
                json!({"_document_id": id, "@timestamp": ms, "created_at": ms - 86_400_000, "action": "git.clone"})
            }
            Vendor::Slack => json!({"id": id, "date_create": ms / 1_000, "action": "user_login"}),
            Vendor::Duo => json!({
                "txid": id, "timestamp": ms / 1_000, "result": "success",
                "activity_id": id, "telephony_id": id, "ts": time,
            }),
            Vendor::Google => json!({
                "kind": "admin#reports#activity",
                "id": {"time": time, "uniqueQualifier": event.number, "applicationName": "login", "customerId": "C1"},
                "events": [{"name": id}, {"name": event.second_id()}],
            }),
            Vendor::Entra => json!({"id": id, "createdDateTime": time, "activityDateTime": time}),
            Vendor::GitLab => json!({"id": event.number, "created_at": time, "x": id}),
            Vendor::OnePassword => {
                json!({"uuid": id, "timestamp": Form::Rfc3339S.write(ms), "category": "success"})
            }
            Vendor::M365 => json!({"Id": id, "CreationTime": Form::Bare.write(ms)}),
            Vendor::Box => json!({"type": "event", "event_id": id, "created_at": time}),
            Vendor::Auth0 => json!({"log_id": id, "date": time, "type": "s"}),
            Vendor::Atlassian => json!({"id": id, "type": "events", "attributes": {"time": time}}),
            Vendor::CrowdStrike => json!({"composite_id": id, "updated_timestamp": time}),
            Vendor::Cloudflare => json!({"id": id, "action": {"time": Form::Rfc3339S.write(ms)}}),
            Vendor::OneLogin | Vendor::DuoAdmin | Vendor::Zoom => self.latest_record(event),
            Vendor::Snowflake => snowflake::row(event),
            Vendor::JamfProtect => jamf::record(event),
            Vendor::SalesforceFiles => json!({"EVENT_TYPE": "Login", "REQUEST_ID": id, "X": ""}),
            Vendor::Salesforce => {
                let time = time.replace('Z', "+0000");
                json!({"attributes": {"type": "X"}, "Id": id, "CreatedDate": time, "LoginTime": time})
            }
        };
        let mut text = body.to_string().into_bytes();
        if event.kind == Kind::Poisoned {
            text.pop();
            text.extend_from_slice(b",\"note\":\"raw\nbreak \xff\xfe\"}");
        }
        text
    }

    /// Some of a list, from an offset; whether there is more.
    fn take<'l>(&mut self, all: &'l [usize], offset: usize, limit: usize) -> (&'l [usize], bool) {
        let rest = &all[offset.min(all.len())..];
        let mut count = rest.len().min(limit);
        if self.shrinks && count > 1 && self.chance.below(5) == 0 {
            count = 1 + self.chance.below(count as u64 - 1) as usize;
        }
        (&rest[..count], count < rest.len())
    }

    fn give_token(&mut self, query: &str, offset: usize) -> String {
        let token = format!("tok+/={}", self.chance.draw());
        self.tokens.insert(token.clone(), (query.to_owned(), offset));
        token
    }
}

fn header(request: &Request, name: &str) -> String {
    let found = request.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}

/// Duo refuses a date that is more than five minutes off.
fn duo_date_is_near(request: &Request, now_ms: i64) -> bool {
    let date = crate::poll::when::read_http_date(&header(request, "Date"));
    date.is_some_and(|date| (date - now_ms).abs() <= 5 * MINUTE)
}

fn seconds(text: &str) -> i64 {
    text.parse::<i64>().expect("whole seconds") * SECOND
}

fn query(request: &Request) -> BTreeMap<String, String> {
    let pairs = request.query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').expect("a pair");
        (decode(name), decode(value))
    });
    pairs.collect()
}

fn without(request: &Request, name: &str) -> String {
    let pairs = request.query.split('&').filter(|pair| !pair.starts_with(&format!("{name}=")));
    pairs.collect::<Vec<_>>().join("&")
}

fn decode(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        match (first, after.get(..2)) {
            (b'%', Some(hex)) => {
                out.push(u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
                rest = &after[2..];
            }
            (b'+', _) => panic!("a plus that may be a blank: {text}"),
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap()
}

fn array(records: Vec<Vec<u8>>) -> Vec<u8> {
    [b"[".to_vec(), records.join(&b","[..]), b"]".to_vec()].concat()
}

fn wrap(before: &str, array: Vec<u8>, after: &str) -> Vec<u8> {
    [before.as_bytes(), &array, after.as_bytes()].concat()
}

pub(super) fn ok(body: impl Into<Vec<u8>>) -> Reply {
    ok_bytes(body.into())
}

fn ok_bytes(body: Vec<u8>) -> Reply {
    Reply { status: 200, headers: Vec::new(), body }
}

pub(super) fn error(status: u16, body: String) -> Reply {
    Reply { status, headers: Vec::new(), body: body.into_bytes() }
}
