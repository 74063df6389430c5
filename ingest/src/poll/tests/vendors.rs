//! What each vendor's API does, by its documentation: parameters, order, pages, tokens, limits, errors.

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
            Self::Duo => of(2 * MINUTE, 12 * HOUR, SECOND),
            Self::Google => of(20 * MINUTE, 3 * DAY, 1),
            Self::Entra => of(10 * MINUTE, DAY, 1),
            Self::GitLab => of(2 * MINUTE, DAY, 1),
            // The time that is asked for is when the content became available.
            Self::M365 => of(MINUTE, 2 * MINUTE, SECOND),
        }
    }

    /// Requests that are allowed in so much time.
    fn limit(self) -> (usize, i64) {
        match self {
            Self::Okta => (45, MINUTE),
            Self::GitHub => (15, MINUTE),
            Self::Slack => (50, MINUTE),
            Self::Duo => (1, MINUTE),
            Self::Google => (2_400, MINUTE),
            Self::Entra => (5, 10 * SECOND),
            Self::GitLab => (2_000, MINUTE),
            Self::OnePassword => (600, MINUTE),
            Self::M365 => (2_000, MINUTE),
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
        if matches!(vendor, Vendor::Okta | Vendor::OnePassword) {
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
            return self.token();
        }
        let proof = header(request, "Authorization");
        let is_known = match self.vendor {
            Vendor::Duo => proof.starts_with("Basic ") && duo_date_is_near(request, now_ms),
            Vendor::Google | Vendor::Entra | Vendor::M365 => {
                proof == format!("Bearer {}", self.bearer)
            }
            Vendor::GitLab => header(request, "PRIVATE-TOKEN") == "t0k",
            Vendor::Okta => proof == "SSWS t0k",
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
            Vendor::Duo => error(429, self.error_body("limited")),
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
            (Vendor::Duo, "limited") => {
                json!({"code": 42901, "message": "Too Many Requests", "stat": "FAIL"})
            }
            (Vendor::Duo, _) => {
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
                "id": {"time": time, "uniqueQualifier": id, "applicationName": "login", "customerId": "C1"},
                "events": [{"name": "login_success"}, {"name": "2sv"}],
            }),
            Vendor::Entra => json!({"id": id, "createdDateTime": time, "activityDateTime": time}),
            Vendor::GitLab => json!({"id": event.number, "created_at": time, "x": id}),
            Vendor::OnePassword => {
                json!({"uuid": id, "timestamp": Form::Rfc3339S.write(ms), "category": "success"})
            }
            Vendor::M365 => json!({"Id": id, "CreationTime": Form::Bare.write(ms)}),
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

    fn okta(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        let limit: usize = query.get("limit").and_then(|l| l.parse().ok()).unwrap_or(100);
        assert!(limit <= 1_000, "Okta refuses more than 1000");
        let shown = self.events.partition_point(|event| event.shown_ms <= now_ms);
        let from = match (query.get("after"), query.get("since")) {
            (Some(after), _) => after.parse().expect("a link is given back as it was"),
            (None, Some(since)) => {
                let since = Form::Rfc3339.read(since).expect("`since` is a time");
                self.events[..shown].iter().position(|e| e.time_ms >= since).unwrap_or(shown)
            }
            (None, None) => panic!("neither `after` nor `since`"),
        };
        let upto = shown.min(from + limit);
        let found: Vec<usize> = (from..upto).collect();
        let mut reply = ok(array(self.records(&found)));
        let link = |after: usize, rel: &str| {
            let url = format!(
                "https://acme.okta.com/api/v1/logs?after={after}&limit={limit}&sortOrder=ASCENDING"
            );
            ("link".to_owned(), format!("<{url}>; rel=\"{rel}\""))
        };
        reply.headers.extend([link(from, "self"), link(upto.max(from), "next")]);
        reply.headers.push(("x-rate-limit-remaining".into(), "40".into()));
        reply.headers.push(("x-rate-limit-reset".into(), (now_ms / 1_000 + 30).to_string()));
        reply
    }

    fn github(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        assert_eq!((query["order"].as_str(), query["include"].as_str()), ("asc", "all"));
        let limit: usize = query["per_page"].parse().unwrap();
        assert!(limit <= 100, "GitHub gives at most 100");
        let range = query["phrase"].strip_prefix("created:").expect("a phrase");
        let (from, to) = range.split_once("..").expect("a range");
        let (from, to) = (Form::Rfc3339S.read(from).unwrap(), Form::Rfc3339S.read(to).unwrap());
        let found = self.within(from, to, true, now_ms);
        let offset = query.get("after").map_or(0, |after| self.tokens[after].1);
        let (some, more) = self.take(&found, offset, limit);
        let mut reply = ok(array(self.records(some)));
        if more {
            let after = self.give_token("", offset + some.len());
            let encoded = crate::poll::request::encode(&after);
            let url = format!("{}?{}&after={encoded}", request.url, without(request, "after"));
            let links = format!("<{url}>; rel=\"next\", <{}?before=>; rel=\"prev\"", request.url);
            reply.headers.push(("link".into(), links));
        }
        reply
    }

    fn slack(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        let limit: usize = query["limit"].parse().unwrap();
        assert!(limit <= 9_999);
        let (from, to) = (seconds(&query["oldest"]), seconds(&query["latest"]));
        let mut found = self.within(from, to, true, now_ms);
        found.reverse();
        let offset = match query.get("cursor") {
            None => 0,
            Some(cursor) => match self.tokens.get(cursor) {
                Some((_, offset)) => *offset,
                None => return ok(json!({"ok": false, "error": "invalid_cursor"}).to_string()),
            },
        };
        let (some, more) = self.take(&found, offset, limit);
        let (records, count) = (array(self.records(some)), some.len());
        let cursor = if more { self.give_token("", offset + count) } else { String::new() };
        ok_bytes(wrap(
            "{\"entries\":",
            records,
            &format!(",\"response_metadata\":{{\"next_cursor\":{}}}}}", json!(cursor)),
        ))
    }

    fn duo(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        assert_eq!(query["sort"], "ts:asc");
        let is_auth = request.url.ends_with("/authentication");
        let limit: usize = query["limit"].parse().unwrap();
        assert!(limit <= 1_000, "Duo gives at most 1000");
        let (from, to) = (query["mintime"].parse().unwrap(), query["maxtime"].parse().unwrap());
        if from < now_ms - 181 * DAY {
            return error(400, json!({"code": 40002, "stat": "FAIL"}).to_string());
        }
        let found = self.within(from, to, true, now_ms);
        // The offset is a place: time and transaction of the last that was given.
        let offset = query.get("next_offset").map_or(0, |place| {
            let (ts, id) = place.split_once(',').expect("ts,txid");
            let ts: i64 = ts.parse().unwrap();
            found
                .iter()
                .position(|i| (self.events[*i].time_ms, self.events[*i].id()) > (ts, id.to_owned()))
                .unwrap_or(found.len())
        });
        let (some, more) = self.take(&found, offset, limit);
        let next = match (more, some.last()) {
            (true, Some(last)) => {
                let last = &self.events[*last];
                let (ts, id) = (last.time_ms.to_string(), last.id());
                if is_auth { json!([ts, id]) } else { json!(format!("{ts},{id}")) }
            }
            _ => Value::Null,
        };
        let records = array(self.records(some));
        ok_bytes(wrap(
            &format!(
                "{{\"stat\":\"OK\",\"response\":{{\"{}\":",
                if is_auth { "authlogs" } else { "items" }
            ),
            records,
            &format!(",\"metadata\":{{\"next_offset\":{next}}}}}}}"),
        ))
    }

    fn google(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        let limit: usize = query["maxResults"].parse().unwrap();
        assert!(limit <= 1_000);
        let time = |name: &str| Form::Rfc3339.read(&query[name]).expect("RFC 3339");
        // A page token is good with the very parameters that it was given for.
        let window = format!("{}..{}", query["startTime"], query["endTime"]);
        let mut found = self.within(time("startTime"), time("endTime"), true, now_ms);
        found.reverse();
        let offset = match query.get("pageToken") {
            None => 0,
            Some(token) => match self.tokens.get(token) {
                Some((given, offset)) if *given == window => *offset,
                _ => {
                    return error(
                        400,
                        json!({"error": {"code": 400, "errors": [{"reason": "invalid"}]}})
                            .to_string(),
                    );
                }
            },
        };
        let (some, more) = self.take(&found, offset, limit);
        let (records, count) = (self.records(some), some.len());
        let next = more.then(|| self.give_token(&window, offset + count));
        let next =
            next.map(|next| format!(",\"nextPageToken\":{}", json!(next))).unwrap_or_default();
        if records.is_empty() {
            return ok(json!({"kind": "admin#reports#activities"}).to_string());
        }
        ok_bytes(wrap(
            "{\"kind\":\"admin#reports#activities\",\"items\":",
            array(records),
            &format!("{next}}}"),
        ))
    }

    fn entra(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        let (filter, offset) = match query.get("$skiptoken") {
            Some(token) => match self.tokens.get(token) {
                Some(found) => found.clone(),
                None => {
                    return error(
                        400,
                        json!({"error": {"code": "Directory_ExpiredPageToken"}}).to_string(),
                    );
                }
            },
            None => (query["$filter"].clone(), 0),
        };
        let limit: usize = query.get("$top").map_or(999, |top| top.parse().unwrap());
        assert!(limit <= 1_000);
        let words: Vec<&str> = filter.split(' ').collect();
        let [field, "ge", from, "and", again, "lt", to] = words[..] else { panic!("{filter}") };
        let is_audit = request.url.ends_with("/directoryAudits");
        let known = if is_audit { "activityDateTime" } else { "createdDateTime" };
        assert!(field == known && again == field);
        let (from, to) = (Form::Rfc3339.read(from).unwrap(), Form::Rfc3339.read(to).unwrap());
        if now_ms - from > self.kept_ms {
            let code = "Authentication_RequestFromNonPremiumTenantOrB2CTenant";
            return error(403, json!({"error": {"code": code}}).to_string());
        }
        let mut found = self.within(from, to, false, now_ms);
        found.reverse();
        // Equal queries do not give equal answers: some are missing at times.
        if self.shrinks && self.chance.below(50) == 0 {
            let dropped = self.chance.below(5) as usize;
            found.truncate(found.len() - dropped.min(found.len()));
        }
        let (some, more) = self.take(&found, offset, limit);
        let (records, count) = (array(self.records(some)), some.len());
        let path = request.host_and_path().1;
        let next = more.then(|| {
            let token = self.give_token(&filter, offset + count);
            let token = crate::poll::request::encode(&token);
            format!(",\"@odata.nextLink\":\"https://graph.microsoft.com{path}?$skiptoken={token}\"")
        });
        ok_bytes(wrap("{\"value\":", records, &format!("{}}}", next.unwrap_or_default())))
    }

    fn gitlab(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        let limit: usize = query["per_page"].parse().unwrap();
        assert!(limit <= 100, "GitLab gives at most 100");
        let time = |name: &str| Form::Rfc3339.read(&query[name]).expect("a time");
        let mut found = self.within(time("created_after"), time("created_before"), true, now_ms);
        found.reverse();
        let offset = query.get("cursor").map_or(0, |cursor| self.tokens[cursor].1);
        let (some, more) = self.take(&found, offset, limit);
        let (records, count) = (array(self.records(some)), some.len());
        let mut reply = ok_bytes(records);
        if more {
            let cursor = crate::poll::request::encode(&self.give_token("", offset + count));
            let url = format!("{}?{}&cursor={cursor}", request.url, without(request, "cursor"));
            reply.headers.push(("link".into(), format!("<{url}>; rel=\"next\"")));
        }
        reply
    }

    fn onepassword(&mut self, request: &Request, now_ms: i64) -> Reply {
        assert_eq!(request.verb, Verb::Post);
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let shown = self.events.partition_point(|event| event.shown_ms <= now_ms);
        let (from, limit) = match (body["cursor"].as_str(), body["start_time"].as_str()) {
            (Some(cursor), None) if body.get("limit").is_none() => {
                let (limit, from) = cursor.split_once(':').expect("a cursor of ours");
                (from.parse().unwrap(), limit.parse().unwrap())
            }
            (None, Some(start)) => {
                let start = Form::Rfc3339.read(start).expect("a time");
                let from =
                    self.events[..shown].iter().position(|e| e.time_ms >= start).unwrap_or(shown);
                (from, body["limit"].as_u64().expect("a number") as usize)
            }
            _ => return error(400, json!({"Error": {"Message": "bad request"}}).to_string()),
        };
        let upto = shown.min(from + limit);
        let found: Vec<usize> = (from..upto).collect();
        let records = array(self.records(&found));
        let rest = format!(",\"cursor\":\"{limit}:{upto}\",\"has_more\":{}}}", upto < shown);
        ok_bytes(wrap("{\"items\":", records, &rest))
    }

    fn m365(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        assert_eq!(
            query.get("PublisherIdentifier").map(String::as_str),
            Some("t-1"),
            "always asked for"
        );
        let (_, path) = request.host_and_path();
        if path.ends_with("/subscriptions/start") {
            assert_eq!(request.verb, Verb::Post);
            let was = std::mem::replace(&mut self.subscribed, true);
            return match was {
                true => error(
                    400,
                    json!({"error": {"code": "AF20024", "message": "already enabled"}}).to_string(),
                ),
                false => {
                    ok(json!({"contentType": query["contentType"], "status": "enabled"})
                        .to_string())
                }
            };
        }
        if let Some((_, content)) = path.split_once("/audit/") {
            return self.m365_content(content, now_ms);
        }
        assert!(self.subscribed, "AF20022");
        let time = |name: &str| Form::Bare.read(&query[name]).expect("a time without a zone");
        let (from, to) = (time("startTime"), time("endTime"));
        if to - from > 24 * HOUR || from < now_ms - 7 * DAY {
            return error(400, json!({"error": {"code": "AF20030"}}).to_string());
        }
        // One blob of content for every five minutes in which events became available.
        let blob_of = |event: &Event| event.shown_ms / (5 * MINUTE);
        let mut blobs: BTreeMap<i64, ()> = BTreeMap::new();
        for event in &self.events {
            let created = (blob_of(event) + 1) * 5 * MINUTE;
            if created >= from && created < to && created + MINUTE <= now_ms {
                blobs.insert(blob_of(event), ());
            }
        }
        let all: Vec<usize> = blobs.keys().map(|blob| *blob as usize).collect();
        let offset: usize = query.get("nextPage").map_or(0, |page| page.parse().unwrap());
        let (some, more) = self.take(&all, offset, 50);
        let list = some.iter().map(|blob| {
            let created = Form::Rfc3339.write((*blob as i64 + 1) * 5 * MINUTE);
            let uri = format!("https://manage.office.com/api/v1.0/t-1/activity/feed/audit/{blob}");
            json!({"contentId": format!("c{blob}"), "contentUri": uri, "contentCreated": created})
        });
        let mut reply = ok(Value::Array(list.collect()).to_string());
        if more {
            let next = format!(
                "{}?{}&nextPage={}",
                request.url,
                without(request, "nextPage"),
                offset + some.len()
            );
            reply.headers.push(("nextpageuri".into(), next));
        }
        reply
    }

    fn m365_content(&mut self, content: &str, now_ms: i64) -> Reply {
        let blob: i64 = content.parse().expect("a content that was listed");
        let created = (blob + 1) * 5 * MINUTE;
        if let Some((_, status)) = self.broken_blob.filter(|(broken, _)| *broken == blob) {
            return error(status, "{}".to_owned());
        }
        if created < now_ms - 7 * DAY {
            return error(400, json!({"error": {"code": "AF20051"}}).to_string());
        }
        let inside = |i: &usize| self.events[*i].shown_ms / (5 * MINUTE) == blob;
        let found: Vec<usize> = (0..self.events.len()).filter(inside).collect();
        ok_bytes(array(self.records(&found)))
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
