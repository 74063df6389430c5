//! Okta's System Log: <https://developer.okta.com/docs/reference/system-log-query/> (polling requests) and
//! <https://developer.okta.com/docs/reference/rl-best-practices/>.

use event::Secret;
use serde_json::json;

use super::{
    Asked, Happening, MINUTE, Reply, SECOND, Service, happenings, is_proven, judge, reply, with,
};
use crate::poll::auth::AuthOptions;
use crate::poll::auth::options::ClientOptions;
use crate::poll::backoff::Chance;
use crate::poll::options::{PollOptions, SettingValue};
use crate::poll::when::Form;

struct Okta {
    /// In the order in which they were stored.
    log: Vec<Happening>,
    token: Option<(String, i64)>,
    tokens: usize,
    /// The minute that is counted, and the requests in it.
    bucket: (i64, u32),
    limited_until_ms: i64,
    offences: Vec<String>,
    chance: Chance,
}

const PER_MINUTE: u32 = 60;

impl Okta {
    fn give_token(&mut self, asked: &Asked, now_ms: i64) -> Reply {
        let assertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let wanted = [
            ("grant_type", "client_credentials"),
            ("scope", "okta.logs.read"),
            ("client_assertion_type", assertion),
        ];
        let is_wanted =
            wanted.iter().all(|(n, v)| asked.form.get(*n).is_some_and(|have| have == v));
        if !is_wanted || asked.form["client_assertion"].split('.').count() != 3 {
            self.offences.push(format!("a token request with {:?}", asked.form.keys()));
        }
        self.tokens += 1;
        let token = format!("okta-{}", self.tokens);
        self.token = Some((token.clone(), now_ms + 60 * MINUTE));
        let body = json!({"token_type": "Bearer", "expires_in": 3600, "access_token": token, "scope": "okta.logs.read"});
        reply(200, body.to_string())
    }

    fn logs(&mut self, asked: &Asked, now_ms: i64) -> Reply {
        let limit: usize = asked.query.get("limit").map_or(100, |l| l.parse().unwrap_or(0));
        if limit == 0 || limit > 1_000 {
            return reply(400, json!({"errorCode": "E0000001"}).to_string());
        }
        let stored = self.log.iter().take_while(|event| event.shown_ms <= now_ms).count();
        let from = match asked.query.get("after") {
            Some(after) => after.strip_prefix("1619_").and_then(|n| n.parse().ok()).unwrap_or(0),
            None => {
                let since = asked.time("since").unwrap_or(now_ms - 7 * 86_400_000);
                let is_asked = |event: &Happening| event.at_ms >= since;
                self.log[..stored].iter().position(is_asked).unwrap_or(stored)
            }
        };
        // A page may hold fewer than asked for.
        let most = if self.chance.below(3) == 0 { 1 + limit / 7 } else { limit };
        let upto = stored.min(from + most).max(from);
        let events: Vec<String> = self.log[from..upto].iter().map(record).collect();
        let link = |after: usize| {
            format!(
                "<https://acme.okta.com/api/v1/logs?limit={limit}&sortOrder=ASCENDING&after=1619_{after}>"
            )
        };
        let page = reply(200, format!("[{}]", events.join(",\n")));
        match self.chance.below(2) {
            0 => with(
                page,
                "link",
                format!("{}; rel=\"self\", {}; rel=\"next\"", link(from), link(upto)),
            ),
            _ => {
                let page = with(page, "link", format!("{}; rel=\"self\"", link(from)));
                with(page, "link", format!("{}; rel=\"next\"", link(upto)))
            }
        }
    }
}

fn record(event: &Happening) -> String {
    let published = Form::Rfc3339.write(event.at_ms);
    json!({
        "uuid": format!("u-{}", event.id), "published": published, "eventType": "user.session.start",
        "outcome": {"result": "SUCCESS"}, "debugContext": {"debugData": {"mark": event.id}},
    })
    .to_string()
}

impl Service for Okta {
    fn answer(&mut self, asked: &Asked, now_ms: i64) -> Reply {
        if asked.path == "/oauth2/v1/token" {
            return self.give_token(asked, now_ms);
        }
        if !is_proven(asked, self.token.as_ref(), now_ms) {
            let body = json!({"errorCode": "E0000011", "errorSummary": "Invalid token provided"});
            return with(
                reply(401, body.to_string()),
                "www-authenticate",
                "Bearer error=\"invalid_token\"",
            );
        }
        assert_eq!((asked.verb, asked.path.as_str()), ("GET", "/api/v1/logs"));
        if now_ms < self.limited_until_ms {
            self.offences.push("asked before X-Rate-Limit-Reset".to_owned());
        }
        let minute = now_ms / MINUTE;
        self.bucket =
            if self.bucket.0 == minute { (minute, self.bucket.1 + 1) } else { (minute, 1) };
        // The organisation's other tools use the same bucket.
        let is_over = self.bucket.1 > PER_MINUTE || self.chance.below(40) == 0;
        let reset_s = (minute + 1) * 60;
        let (answer, left) = if is_over {
            self.limited_until_ms = reset_s * SECOND;
            let body = json!({"errorCode": "E0000047", "errorSummary": "API call exceeded rate limit due to too many requests."});
            (reply(429, body.to_string()), 0)
        } else {
            (self.logs(asked, now_ms), PER_MINUTE - self.bucket.1)
        };
        let answer = with(answer, "x-rate-limit-limit", PER_MINUTE);
        with(with(answer, "x-rate-limit-remaining", left), "x-rate-limit-reset", reset_s)
    }

    fn revoke(&mut self) {
        self.token = None;
    }

    fn forgive(&mut self) {
        self.limited_until_ms = 0;
    }

    fn marks(&self) -> Vec<String> {
        self.log.iter().map(|event| event.id.clone()).collect()
    }

    fn offences(&self) -> &[String] {
        &self.offences
    }
}

#[test]
fn okta_as_its_pages_describe_it() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../auth/vectors/golden.json")).unwrap();
    let client = ClientOptions {
        client_id: "0oa1".to_owned(),
        private_key: Some(Secret::new(golden["jwt"]["private_key_pem"].as_str().unwrap())),
        ..Default::default()
    };
    let options = PollOptions {
        connector: "okta.system".to_owned(),
        settings: [("org".to_owned(), SettingValue::One("acme.okta.com".to_owned()))].into(),
        auth: AuthOptions { client_credentials: Some(client), ..Default::default() },
        ..Default::default()
    };
    judge("okta", &options, |seed| {
        let mut chance = Chance::new(seed);
        let mut log = happenings("o", 40, 3 * super::DAY, &mut chance);
        log.sort_by_key(|event| event.shown_ms);
        let (token, offences) = (None, Vec::new());
        Box::new(Okta {
            log,
            token,
            tokens: 0,
            bucket: (0, 0),
            limited_until_ms: 0,
            offences,
            chance,
        })
    });
}
