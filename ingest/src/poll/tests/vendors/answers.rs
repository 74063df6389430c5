//! One vendor after the other: what it answers to a request.

use super::*;

impl Api {
    pub(super) fn okta(&mut self, request: &Request, now_ms: i64) -> Reply {
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

    pub(super) fn github(&mut self, request: &Request, now_ms: i64) -> Reply {
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

    pub(super) fn slack(&mut self, request: &Request, now_ms: i64) -> Reply {
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

    pub(super) fn duo(&mut self, request: &Request, now_ms: i64) -> Reply {
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

    pub(super) fn google(&mut self, request: &Request, now_ms: i64) -> Reply {
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

    pub(super) fn entra(&mut self, request: &Request, now_ms: i64) -> Reply {
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

    pub(super) fn gitlab(&mut self, request: &Request, now_ms: i64) -> Reply {
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

    pub(super) fn onepassword(&mut self, request: &Request, now_ms: i64) -> Reply {
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

    pub(super) fn m365(&mut self, request: &Request, now_ms: i64) -> Reply {
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

    pub(super) fn m365_content(&mut self, content: &str, now_ms: i64) -> Reply {
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
