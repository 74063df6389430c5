//! GitHub's audit log: <https://docs.github.com/en/enterprise-cloud@latest/rest/orgs/orgs#get-the-audit-log-for-an-organization>,
//! <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api> and
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app>.

use event::Secret;
use serde_json::json;

use super::{Asked, DAY, HOUR, Happening, MINUTE, Reply, SECOND, Service};
use super::{happenings, is_proven, judge, reply, with};
use crate::poll::auth::AuthOptions;
use crate::poll::auth::options::GithubAppOptions;
use crate::poll::backoff::Chance;
use crate::poll::options::{PollOptions, SettingValue};
use crate::poll::when::Form;

struct GitHub {
    log: Vec<Happening>,
    token: Option<(String, i64)>,
    tokens: usize,
    /// The hour that is counted, and the requests in it.
    hour: (i64, u32),
    /// Nobody may ask before, and why.
    quiet: (i64, &'static str),
    offences: Vec<String>,
    chance: Chance,
}

const PER_HOUR: u32 = 1_750;

impl GitHub {
    fn give_token(&mut self, asked: &Asked, now_ms: i64) -> Reply {
        assert_eq!(
            (asked.verb, asked.path.as_str()),
            ("POST", "/app/installations/77/access_tokens")
        );
        let jwt =
            asked.header("authorization").strip_prefix("Bearer ").expect("a token of the app");
        assert_eq!(jwt.split('.').count(), 3);
        self.tokens += 1;
        let token = format!("ghs_{}", self.tokens);
        self.token = Some((token.clone(), now_ms + HOUR));
        let until = Form::Rfc3339S.write(now_ms + HOUR);
        reply(201, json!({"token": token, "expires_at": until, "permissions": {}}).to_string())
    }

    /// What is refused for a while, in one of the forms of the pages.
    fn refuse(&mut self, now_ms: i64) -> Reply {
        let secondary = json!({
            "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits",
            "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        });
        let (status, word) =
            (if self.chance.below(2) == 0 { 403 } else { 429 }, self.chance.below(2));
        let refused = reply(status, secondary.to_string());
        match word {
            0 => {
                self.quiet = (now_ms + 90 * SECOND, "before Retry-After was over");
                with(refused, "retry-after", 90)
            }
            _ => {
                self.quiet = (now_ms + MINUTE, "less than a minute after a secondary limit");
                refused
            }
        }
    }

    fn list(&mut self, asked: &Asked, now_ms: i64) -> Reply {
        let per_page: usize =
            asked.query.get("per_page").map_or(30, |n| n.parse().unwrap_or(30)).min(100);
        assert_eq!(
            asked.query.get("include").map(String::as_str),
            Some("all"),
            "Git events as well"
        );
        let is_up = asked.query.get("order").is_some_and(|order| order == "asc");
        let range = asked.query["phrase"].strip_prefix("created:").expect("a qualifier");
        let (from, to) = range.split_once("..").expect("a range");
        let (from, to) = (Form::Rfc3339.read(from).unwrap(), Form::Rfc3339.read(to).unwrap());
        let is_asked = |event: &&Happening| {
            event.shown_ms <= now_ms && event.at_ms >= from && event.at_ms < to + SECOND
        };
        let mut found: Vec<&Happening> = self.log.iter().filter(is_asked).collect();
        found.sort_by_key(|event| (event.at_ms, event.id.clone()));
        if !is_up {
            found.reverse();
        }
        // The cursor is the event after which a page begins.
        let start = match asked.query.get("after") {
            None => 0,
            Some(after) => {
                let (at, id) = after.split_once('|').expect("a cursor of ours");
                let last = (at.parse::<i64>().unwrap(), id.to_owned());
                found.partition_point(|event| (event.at_ms, event.id.clone()) <= last)
            }
        };
        let most = if self.chance.below(5) == 0 { 1 + per_page / 9 } else { per_page };
        let page = &found[start..found.len().min(start + most)];
        let events: Vec<String> = page.iter().map(|event| record(event)).collect();
        let answer = reply(200, format!("[{}]", events.join(",")));
        match page.last() {
            Some(last) if start + page.len() < found.len() => {
                let phrase = asked.query["phrase"].replace(':', "%3A").replace('+', "%2B");
                let next = format!(
                    "<https://api.github.com/organizations/4?phrase={phrase}&include=all&order=asc&per_page={per_page}&after={}%7C{}&before=>; rel=\"next\"",
                    last.at_ms, last.id
                );
                let first = "<https://api.github.com/organizations/4?order=asc>; rel=\"first\"";
                with(answer, "link", format!("{first}, {next}"))
            }
            _ => answer,
        }
    }
}

fn record(event: &Happening) -> String {
    json!({
        "@timestamp": event.at_ms, "_document_id": format!("doc={}", event.id), "action": "git.clone",
        "actor": "ana", "org": "acme", "data": {"mark": event.id},
    })
    .to_string()
}

impl Service for GitHub {
    fn answer(&mut self, asked: &Asked, now_ms: i64) -> Reply {
        if asked.path.starts_with("/app/") {
            return self.give_token(asked, now_ms);
        }
        if !is_proven(asked, self.token.as_ref(), now_ms) {
            return reply(401, json!({"message": "Bad credentials"}).to_string());
        }
        assert!(
            ["/orgs/acme/audit-log", "/organizations/4"].contains(&asked.path.as_str()),
            "{}",
            asked.path
        );
        let (until_ms, words) = self.quiet;
        if now_ms < until_ms {
            self.offences.push(format!("asked {words}"));
        }
        let hour = now_ms / HOUR;
        self.hour = if self.hour.0 == hour { (hour, self.hour.1 + 1) } else { (hour, 1) };
        let reset_s = (hour + 1) * 3_600;
        if self.hour.1 > PER_HOUR {
            self.quiet = (reset_s * SECOND, "before X-RateLimit-Reset");
        }
        let answer = match self.chance.below(60) {
            _ if self.hour.1 > PER_HOUR => reply(
                403,
                json!({"message": "API rate limit exceeded for installation ID 77."}).to_string(),
            ),
            0 => return self.refuse(now_ms),
            _ => self.list(asked, now_ms),
        };
        let left = PER_HOUR.saturating_sub(self.hour.1);
        let answer = with(answer, "x-ratelimit-limit", PER_HOUR);
        with(with(answer, "x-ratelimit-remaining", left), "x-ratelimit-reset", reset_s)
    }

    fn revoke(&mut self) {
        self.token = None;
    }

    fn forgive(&mut self) {
        self.quiet = (0, "");
    }

    fn marks(&self) -> Vec<String> {
        self.log.iter().map(|event| event.id.clone()).collect()
    }

    fn offences(&self) -> &[String] {
        &self.offences
    }
}

#[test]
fn github_as_its_pages_describe_it() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../auth/vectors/golden.json")).unwrap();
    let app = GithubAppOptions {
        app_id: "12".to_owned(),
        installation_id: "77".to_owned(),
        private_key: Secret::new(golden["jwt"]["private_key_pem"].as_str().unwrap()),
    };
    let options = PollOptions {
        connector: "github.audit".to_owned(),
        settings: [("scope".to_owned(), SettingValue::One("orgs/acme".to_owned()))].into(),
        auth: AuthOptions { github_app: Some(app), ..Default::default() },
        ..Default::default()
    };
    judge("github", &options, |seed| {
        let mut chance = Chance::new(seed);
        let log = happenings("h", 60, DAY, &mut chance);
        let (token, hour, quiet, offences) = (None, (0, 0), (0, ""), Vec::new());
        Box::new(GitHub { log, token, tokens: 0, hour, quiet, offences, chance })
    });
}
