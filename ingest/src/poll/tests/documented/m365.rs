//! The Office 365 Management Activity API:
//! <https://learn.microsoft.com/en-us/office/office-365-management-api/office-365-management-activity-api-reference>.

use std::collections::BTreeMap;

use event::Secret;
use serde_json::json;

use super::{Asked, BEGIN, DAY, HOUR, Happening, MINUTE, Reply, SECOND, Service};
use super::{happenings, is_proven, judge, reply, with};
use crate::poll::auth::AuthOptions;
use crate::poll::auth::options::ClientOptions;
use crate::poll::backoff::Chance;
use crate::poll::options::{PollOptions, SettingValue};
use crate::poll::when::Form;

const TYPES: [&str; 2] = ["Audit.Exchange", "Audit.General"];
const FEED: &str = "/api/v1.0/f28ab78a-d401-4060-8012-736e373933eb/activity/feed";

/// What became available together.
struct Blob {
    created_ms: i64,
    /// Not all servers list it at once.
    listed_ms: i64,
    records: Vec<Happening>,
}

struct Office {
    blobs: Vec<Vec<Blob>>,
    token: Option<(String, i64)>,
    tokens: usize,
    started: [Option<i64>; 2],
    /// An administrator switches a feed off once.
    disabled: [Option<i64>; 2],
    limited_until_ms: i64,
    offences: Vec<String>,
    chance: Chance,
}

fn trouble(status: u16, code: &str) -> Reply {
    reply(status, json!({"error": {"code": code, "message": "as documented"}}).to_string())
}

/// Everything that is shown within the same ten minutes, whenever it happened. Some is in the next one too.
fn blobs(events: Vec<Happening>, chance: &mut Chance) -> Vec<Blob> {
    let mut by_time: BTreeMap<i64, Vec<Happening>> = BTreeMap::new();
    for event in events {
        let number = event.shown_ms / (10 * MINUTE);
        if chance.below(20) == 0 {
            by_time.entry(number + 1).or_default().push(event.clone());
        }
        by_time.entry(number).or_default().push(event);
    }
    let made = by_time.into_iter().map(|(number, records)| {
        let created_ms = (number + 1) * 10 * MINUTE + chance.below(1_000) as i64;
        let late_ms = if chance.below(6) == 0 { 40 * MINUTE } else { 0 };
        Blob { created_ms, listed_ms: created_ms + late_ms, records }
    });
    made.collect()
}

impl Office {
    fn start(&mut self, kind: usize, now_ms: i64) -> Reply {
        if self.started[kind].is_some() {
            return trouble(400, "AF20024");
        }
        self.started[kind] = Some(now_ms);
        reply(
            200,
            json!({"contentType": TYPES[kind], "status": "enabled", "webhook": null}).to_string(),
        )
    }

    fn content(&mut self, kind: usize, asked: &Asked, now_ms: i64) -> Reply {
        if self.disabled[kind].is_none() && now_ms > BEGIN + (30 + kind as i64) * HOUR {
            self.disabled[kind] = Some(now_ms);
            self.started[kind] = None;
        }
        let is_off = self.started[kind].is_none();
        if is_off && self.disabled[kind].is_some_and(|at_ms| now_ms > at_ms + HOUR) {
            self.offences.push("a feed stays switched off".to_owned());
        }
        if self.started[kind].is_none() {
            return trouble(400, if self.disabled[kind].is_some() { "AF20023" } else { "AF20022" });
        }
        let (Some(from), Some(to)) = (asked.time("startTime"), asked.time("endTime")) else {
            return trouble(400, "AF20030");
        };
        if to - from > DAY || to < from || from < now_ms - 7 * DAY {
            self.offences.push(format!("a range from {from} to {to} at {now_ms}"));
            return trouble(400, "AF20030");
        }
        let listed: Vec<usize> = (0..self.blobs[kind].len())
            .filter(|n| {
                let blob = &self.blobs[kind][*n];
                blob.listed_ms <= now_ms && blob.created_ms >= from && blob.created_ms < to
            })
            .collect();
        let offset: usize =
            asked.query.get("nextPage").map_or(0, |place| place[17..].parse().unwrap());
        let page: Vec<usize> = listed.iter().skip(offset).take(20).copied().collect();
        let items: Vec<String> = page.iter().map(|n| self.item(kind, *n)).collect();
        let answer = reply(200, format!("[{}]", items.join(",")));
        if offset + page.len() >= listed.len() {
            return answer;
        }
        let uri = format!(
            "https://manage.office.com{FEED}/subscriptions/content?contentType={}&startTime={}&endTime={}&nextPage=2015101900R022885{:03}",
            TYPES[kind],
            asked.query["startTime"],
            asked.query["endTime"],
            offset + page.len()
        );
        with(answer, "nextpageuri", uri)
    }

    fn item(&self, kind: usize, n: usize) -> String {
        let blob = &self.blobs[kind][n];
        let id = format!("20150430$2015043022$f28ab78ad40140608012736e373933eb$04_{kind}_{n}");
        json!({
            "contentType": TYPES[kind], "contentId": id,
            "contentUri": format!("https://manage.office.com{FEED}/audit/{id}"),
            "contentCreated": Form::Rfc3339.write(blob.created_ms),
            "contentExpiration": Form::Rfc3339.write(blob.created_ms + 7 * DAY),
        })
        .to_string()
    }

    fn blob(&self, id: &str, now_ms: i64) -> Reply {
        let mut parts = id.rsplit('_');
        let n = parts.next().and_then(|n| n.parse::<usize>().ok());
        let kind = parts.next().and_then(|kind| kind.parse::<usize>().ok());
        let (Some(n), Some(kind)) = (n, kind) else { return trouble(400, "AF20052") };
        let blob = &self.blobs[kind][n];
        if now_ms > blob.created_ms + 7 * DAY {
            return trouble(400, "AF20051");
        }
        let records: Vec<String> = blob
            .records
            .iter()
            .map(|event| {
                json!({"CreationTime": Form::Bare.write(event.at_ms), "Id": event.id, "RecordType": 2,
                       "Operation": "MailItemsAccessed", "ExtendedProperties": [{"mark": event.id}]})
                .to_string()
            })
            .collect();
        reply(200, format!("[\r\n  {}\r\n]", records.join(",\r\n  ")))
    }
}

impl Service for Office {
    fn answer(&mut self, asked: &Asked, now_ms: i64) -> Reply {
        if asked.path.ends_with("/oauth2/v2.0/token") {
            let is_wanted = asked.form["scope"] == "https://manage.office.com/.default"
                && asked.form["client_secret"] == "s~1"
                && asked.form["grant_type"] == "client_credentials";
            assert!(is_wanted, "{:?}", asked.form.keys());
            self.tokens += 1;
            let token = format!("eyJ0.{}", self.tokens);
            self.token = Some((token.clone(), now_ms + HOUR));
            return reply(
                200,
                json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token})
                    .to_string(),
            );
        }
        if !is_proven(asked, self.token.as_ref(), now_ms) {
            return reply(
                401,
                json!({"Message": "Authorization has been denied for this request."}).to_string(),
            );
        }
        if now_ms < self.limited_until_ms {
            self.offences.push("asked before Retry-After was over".to_owned());
        }
        if self.chance.below(150) == 0 {
            self.limited_until_ms = now_ms + 60 * SECOND;
            return with(trouble(429, "AF429"), "retry-after", 60);
        }
        if self.chance.below(100) == 0 {
            return trouble(500, "AF50000");
        }
        let rest = asked.path.strip_prefix(FEED).unwrap_or_else(|| panic!("{}", asked.path));
        let kind = asked.query.get("contentType").and_then(|t| TYPES.iter().position(|k| k == t));
        match (asked.verb, rest, kind) {
            ("POST", "/subscriptions/start", Some(kind)) => self.start(kind, now_ms),
            ("GET", "/subscriptions/content", Some(kind)) => self.content(kind, asked, now_ms),
            ("GET", path, None) => self.blob(path.strip_prefix("/audit/").expect("a blob"), now_ms),
            other => panic!("{other:?}"),
        }
    }

    fn revoke(&mut self) {
        self.token = None;
    }

    fn forgive(&mut self) {
        self.limited_until_ms = 0;
    }

    fn marks(&self) -> Vec<String> {
        let records = self.blobs.iter().flatten().flat_map(|blob| &blob.records);
        let mut marks: Vec<String> = records.map(|event| event.id.clone()).collect();
        marks.sort();
        marks.dedup();
        marks
    }

    fn offences(&self) -> &[String] {
        &self.offences
    }
}

#[test]
fn office_365_as_its_pages_describe_it() {
    let client = ClientOptions {
        client_id: "00000003".to_owned(),
        client_secret: Some(Secret::new("s~1")),
        ..Default::default()
    };
    let types = TYPES.map(str::to_owned).to_vec();
    let tenant = SettingValue::One("f28ab78a-d401-4060-8012-736e373933eb".to_owned());
    let options = PollOptions {
        connector: "m365.audit".to_owned(),
        settings: [
            ("tenant".to_owned(), tenant),
            ("content_types".to_owned(), SettingValue::Several(types)),
        ]
        .into(),
        auth: AuthOptions { client_credentials: Some(client), ..Default::default() },
        ..Default::default()
    };
    judge("m365", &options, |seed| {
        let mut chance = Chance::new(seed);
        let blobs = ["x", "g"].map(|prefix| {
            let events = happenings(prefix, 30, 2 * DAY, &mut chance);
            blobs(events, &mut chance)
        });
        Box::new(Office {
            blobs: blobs.into(),
            token: None,
            tokens: 0,
            started: [None; 2],
            disabled: [None; 2],
            limited_until_ms: 0,
            offences: Vec::new(),
            chance,
        })
    });
}
