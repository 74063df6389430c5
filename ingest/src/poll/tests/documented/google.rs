//! Google's Reports API: <https://developers.google.com/workspace/admin/reports/reference/rest/v1/activities/list>,
//! its limits <https://developers.google.com/workspace/admin/reports/v1/limits> and the delays of
//! <https://support.google.com/a/answer/7061566>.

use event::Secret;
use serde_json::{Value, json};

use super::{
    Asked, DAY, HOUR, Happening, MINUTE, Reply, Service, happenings, is_proven, judge, reply,
};
use crate::poll::auth::AuthOptions;
use crate::poll::auth::options::GoogleOptions;
use crate::poll::backoff::Chance;
use crate::poll::options::{PollOptions, SettingValue};
use crate::poll::when::Form;

const APPLICATIONS: [&str; 2] = ["login", "drive"];

struct Google {
    /// By application, the newest first.
    logs: Vec<Vec<Happening>>,
    token: Option<(String, i64)>,
    tokens: usize,
    minute: (i64, u32),
    offences: Vec<String>,
    chance: Chance,
}

impl Google {
    fn give_token(&mut self, asked: &Asked, now_ms: i64) -> Reply {
        let claims = asked.form.get("assertion").and_then(|assertion| claims(assertion));
        let Some(claims) = claims else {
            return reply(
                400,
                json!({"error": "invalid_grant", "error_description": "Bad Request"}).to_string(),
            );
        };
        let number = |name: &str| claims[name].as_i64().unwrap_or_default();
        let is_right = asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            && claims["sub"] == "admin@corp.example"
            && claims["scope"] == "https://www.googleapis.com/auth/admin.reports.audit.readonly"
            && claims["aud"] == "https://oauth2.googleapis.com/token"
            && number("exp") - number("iat") <= 3_600
            && (number("iat") * 1_000 - now_ms).abs() < 10 * MINUTE;
        if !is_right {
            self.offences.push(format!("an assertion with {claims}"));
        }
        self.tokens += 1;
        let token = format!("ya29.{}", self.tokens);
        self.token = Some((token.clone(), now_ms + HOUR));
        reply(
            200,
            json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}).to_string(),
        )
    }

    fn list(&mut self, application: usize, asked: &Asked, now_ms: i64) -> Reply {
        let most: usize = asked.query.get("maxResults").map_or(1_000, |n| n.parse().unwrap_or(0));
        let (from, to) =
            (asked.time("startTime").unwrap_or(i64::MIN), asked.time("endTime").unwrap_or(now_ms));
        if most == 0 || most > 1_000 || from > to || from > now_ms || from < now_ms - 180 * DAY {
            return trouble(400, "invalid", "INVALID_ARGUMENT");
        }
        // A token is the place after which a page begins; it is good for the same question only.
        let question = format!("{from}/{to}/{application}");
        let after = match asked.query.get("pageToken").map(|token| token.split_once('|')) {
            None => usize::MAX,
            Some(Some((of, place))) if of == question => place.parse().unwrap(),
            Some(_) => return trouble(400, "invalid", "INVALID_ARGUMENT"),
        };
        let all = &self.logs[application];
        let is_asked = |n: &usize| {
            let event = &all[*n];
            event.shown_ms <= now_ms && event.at_ms >= from && event.at_ms <= to
        };
        let start = if after == usize::MAX { 0 } else { after };
        let found: Vec<usize> = (start..all.len()).filter(is_asked).collect();
        let most = if self.chance.below(4) == 0 { 1 + most / 50 } else { most.min(25) };
        let page: Vec<usize> = found.iter().take(most).copied().collect();
        let items: Vec<String> = page.iter().map(|n| activity(application, &all[*n])).collect();
        let mut body =
            String::from("{\"kind\":\"admin#reports#activities\",\"etag\":\"\\\"x\\\"\"");
        if found.len() > page.len() {
            // Now and then the next page repeats the last of this one.
            let last = page.last().copied().unwrap_or(start);
            let is_repeated = page.len() > 1 && self.chance.below(6) == 0;
            let place = if is_repeated { last } else { last + 1 };
            body += &format!(",\"nextPageToken\":\"{question}|{place}\"");
        }
        if !items.is_empty() {
            body += &format!(",\"items\":[{}]", items.join(","));
        }
        reply(200, body + "}")
    }
}

fn claims(assertion: &str) -> Option<Value> {
    use base64::Engine as _;
    let part = assertion.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn trouble(status: u16, reason: &str, word: &str) -> Reply {
    let errors = json!([{"domain": "global", "reason": reason, "message": reason}]);
    let error = json!({"code": status, "message": reason, "errors": errors, "status": word});
    reply(status, json!({"error": error}).to_string())
}

/// How many events an activity has.
fn parts(event: &Happening) -> usize {
    1 + event.id.bytes().map(usize::from).sum::<usize>() % 3
}

fn activity(application: usize, event: &Happening) -> String {
    let part = |n: usize| {
        let parameters = json!([{"name": "is_suspicious", "boolValue": false}, {"mark": format!("{}.{n}", event.id)}]);
        json!({"type": "login", "name": "login_success", "parameters": parameters})
    };
    let events: Vec<Value> = (0..parts(event)).map(part).collect();
    let id = json!({
        "time": Form::Rfc3339.write(event.at_ms), "uniqueQualifier": format!("-{}", &event.id[2..]),
        "applicationName": APPLICATIONS[application], "customerId": "C03az79cb",
    });
    json!({"kind": "admin#reports#activity", "id": id, "etag": "\"y\"", "events": events})
        .to_string()
}

impl Service for Google {
    fn answer(&mut self, asked: &Asked, now_ms: i64) -> Reply {
        if asked.path == "/token" {
            return self.give_token(asked, now_ms);
        }
        if !is_proven(asked, self.token.as_ref(), now_ms) {
            return trouble(401, "authError", "UNAUTHENTICATED");
        }
        let minute = now_ms / MINUTE;
        self.minute =
            if self.minute.0 == minute { (minute, self.minute.1 + 1) } else { (minute, 1) };
        if self.minute.1 > 2_400 {
            self.offences.push("more than 2,400 requests in a minute".to_owned());
        }
        match self.chance.below(120) {
            0 => return trouble(403, "quotaExceeded", "PERMISSION_DENIED"),
            1 => return trouble(429, "rateLimitExceeded", "RESOURCE_EXHAUSTED"),
            2 => return trouble(503, "backendError", "UNAVAILABLE"),
            _ => {}
        }
        let start = "/admin/reports/v1/activity/users/all/applications/";
        let application = asked.path.strip_prefix(start).expect("the path of a list");
        let application =
            APPLICATIONS.iter().position(|name| *name == application).expect("one of two");
        self.list(application, asked, now_ms)
    }

    fn revoke(&mut self) {
        self.token = None;
    }

    fn marks(&self) -> Vec<String> {
        let all = self.logs.iter().flatten();
        all.flat_map(|event| (0..parts(event)).map(move |n| format!("{}.{n}", event.id))).collect()
    }

    fn offences(&self) -> &[String] {
        &self.offences
    }
}

#[test]
fn google_workspace_as_its_pages_describe_it() {
    let golden: Value =
        serde_json::from_str(include_str!("../../auth/vectors/golden.json")).unwrap();
    let key_file = json!({
        "type": "service_account", "client_email": "logs@project.iam.gserviceaccount.com",
        "private_key_id": "k1", "private_key": golden["jwt"]["private_key_pem"],
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    let google = GoogleOptions {
        key_file: Secret::new(key_file.to_string()),
        subject: "admin@corp.example".to_owned(),
        ..Default::default()
    };
    let applications = APPLICATIONS.map(str::to_owned).to_vec();
    let options = PollOptions {
        connector: "google_workspace.audit".to_owned(),
        settings: [("applications".to_owned(), SettingValue::Several(applications))].into(),
        auth: AuthOptions { google: Some(google), ..Default::default() },
        ..Default::default()
    };
    judge("google", &options, |seed| {
        let mut chance = Chance::new(seed);
        let logs = ["l", "d"].map(|prefix| {
            let mut log = happenings(prefix, 20, 2 * DAY + 20 * HOUR, &mut chance);
            log.reverse();
            log
        });
        let (token, offences) = (None, Vec::new());
        Box::new(Google { logs: logs.to_vec(), token, tokens: 0, minute: (0, 0), offences, chance })
    });
}
