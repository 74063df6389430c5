//! The vendors that came later, as in `answers`.

use super::*;

/// A log file is made this often.
const EACH: i64 = 10 * MINUTE;

impl Api {
    /// Those from a place on that are shown by now: records, and the next place.
    fn stream(&mut self, from: usize, limit: usize, now_ms: i64) -> (Vec<u8>, usize) {
        let shown = self.events.partition_point(|event| event.shown_ms <= now_ms);
        let upto = shown.min(from + limit).max(from);
        let found: Vec<usize> = (from..upto).collect();
        (array(self.records(&found)), upto)
    }

    /// The first place that a time leads to.
    fn place_of(&self, ms: i64, now_ms: i64) -> usize {
        let shown = self.events.partition_point(|event| event.shown_ms <= now_ms);
        self.events[..shown].iter().position(|event| event.time_ms >= ms).unwrap_or(shown)
    }

    pub(super) fn box_stream(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        assert_eq!(query["stream_type"], "admin_logs_streaming");
        let limit: usize = query["limit"].parse().unwrap();
        assert!(limit <= 500, "Box gives at most 500");
        let (records, upto) = self.stream(query["stream_position"].parse().unwrap(), limit, now_ms);
        let rest = format!(",\"chunk_size\":{limit},\"next_stream_position\":{upto}}}");
        ok_bytes(wrap("{\"entries\":", records, &rest))
    }

    pub(super) fn auth0(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        let limit: usize = query["take"].parse().unwrap();
        assert!(limit <= 100, "Auth0 gives at most 100");
        let from = match query["from"].strip_prefix("log-") {
            Some(place) => place.parse().unwrap(),
            None => {
                let id = &query["from"];
                assert_eq!((id.len(), &id[..3]), (56, "900"), "the id of a log");
                self.place_of(Form::Compact.read(&id[3..17]).expect("a time"), now_ms)
            }
        };
        let (records, upto) = self.stream(from, limit, now_ms);
        let mut reply = ok_bytes(records);
        let next = format!("<https://acme.eu.auth0.com/api/v2/logs?from=log-{upto}&take={limit}>");
        reply.headers.push(("link".into(), format!("{next}; rel=\"next\"")));
        reply.headers.push(("x-ratelimit-remaining".into(), "9".into()));
        reply.headers.push(("x-ratelimit-reset".into(), (now_ms / 1_000 + 1).to_string()));
        reply
    }

    pub(super) fn atlassian(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        let limit: usize = query["limit"].parse().unwrap();
        let from = match (query.get("cursor"), query.get("from")) {
            (Some(cursor), None) => cursor.strip_prefix("c-").unwrap().parse().unwrap(),
            (None, Some(from)) => self.place_of(from.parse().expect("milliseconds"), now_ms),
            _ => {
                return error(
                    400,
                    json!({"code": "INVALID", "message": "from or cursor"}).to_string(),
                );
            }
        };
        let (records, upto) = self.stream(from, limit, now_ms);
        let rest = format!(",\"meta\":{{\"next\":\"c-{upto}\",\"page_size\":{limit}}}}}");
        ok_bytes(wrap("{\"data\":", records, &rest))
    }

    /// A page of a window, newest last; `None` for a page token that is not (any more) known for it.
    pub(super) fn window(
        &mut self,
        (from_ms, to_ms): (i64, i64),
        token: Option<&str>,
        limit: usize,
        now_ms: i64,
    ) -> Option<(Vec<u8>, Option<String>)> {
        let window = format!("{from_ms}..{to_ms}");
        let found = self.within(from_ms, to_ms, false, now_ms);
        let offset = match token {
            None => 0,
            Some(token) => self.tokens.get(token).filter(|(given, _)| *given == window)?.1,
        };
        let (some, more) = self.take(&found, offset, limit);
        let (records, count) = (array(self.records(some)), some.len());
        Some((records, more.then(|| self.give_token(&window, offset + count))))
    }

    pub(super) fn crowdstrike(&mut self, request: &Request, now_ms: i64) -> Reply {
        assert_eq!(request.verb, Verb::Post);
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let limit = body["limit"].as_u64().unwrap() as usize;
        assert!(limit <= 1_000 && body["sort"] == "updated_timestamp|asc");
        let filter = body["filter"].as_str().unwrap();
        let parts: Vec<&str> = filter.split('\'').collect();
        let ["updated_timestamp:>=", from, "+updated_timestamp:<", to, ""] = parts[..] else {
            panic!("{filter}")
        };
        let window = (Form::Rfc3339.read(from).unwrap(), Form::Rfc3339.read(to).unwrap());
        let after = body["after"].as_str().map(str::to_owned);
        let Some((records, next)) = self.window(window, after.as_deref(), limit, now_ms) else {
            let errors = json!({"errors": [{"code": 400, "message": "invalid after"}]});
            return error(400, errors.to_string());
        };
        let meta = json!({"pagination": {"limit": limit, "after": next.unwrap_or_default()}});
        ok_bytes(wrap("{\"resources\":", records, &format!(",\"meta\":{meta}}}")))
    }

    pub(super) fn cloudflare(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        let limit: usize = query["limit"].parse().unwrap();
        assert!(limit <= 1_000 && query["direction"] == "asc");
        let time = |name: &str| Form::Rfc3339S.read(&query[name]).expect("a time");
        let window = (time("since"), time("before"));
        let cursor = query.get("cursor").map(String::as_str);
        let Some((records, next)) = self.window(window, cursor, limit, now_ms) else {
            let errors = json!({"success": false, "errors": [{"code": 400, "message": "cursor"}]});
            return error(400, errors.to_string());
        };
        let info = json!({"cursor": next.unwrap_or_default()});
        let rest = format!(",\"success\":true,\"errors\":[],\"result_info\":{info}}}");
        ok_bytes(wrap("{\"result\":", records, &rest))
    }

    pub(super) fn salesforce(&mut self, request: &Request, now_ms: i64) -> Reply {
        let (_, path) = request.host_and_path();
        let asked = match path.strip_prefix("/services/data/v60.0/query/") {
            // A locator is enough: it knows its query.
            Some(locator) => {
                let token = decode(locator);
                let window = self.tokens.get(&token).and_then(|(window, _)| {
                    let (from, to) = window.split_once("..")?;
                    Some((from.parse().ok()?, to.parse().ok()?))
                });
                window.map(|window| (window, Some(token)))
            }
            None => {
                assert_eq!(path, "/services/data/v60.0/query");
                let soql = query(request)["q"].clone();
                let word = |after: &str| {
                    let rest = soql.split_once(after).expect("a condition").1;
                    Form::Rfc3339.read(rest.split(' ').next().unwrap()).expect("a time")
                };
                Some(((word(">= "), word("< ")), None))
            }
        };
        let page =
            asked.and_then(|(window, token)| self.window(window, token.as_deref(), 100, now_ms));
        let Some((records, next)) = page else {
            let errors = json!([{"errorCode": "INVALID_QUERY_LOCATOR", "message": "invalid"}]);
            return error(400, errors.to_string());
        };
        let done = next.is_none();
        let next = next.map(|token| {
            let token = crate::poll::request::encode(&token);
            format!(",\"nextRecordsUrl\":\"/services/data/v60.0/query/{token}\"")
        });
        let rest = format!(",\"done\":{done}{}}}", next.unwrap_or_default());
        ok_bytes(wrap("{\"totalSize\":1,\"records\":", records, &rest))
    }

    fn log_file(&self, number: i64) -> Vec<u8> {
        let events = self.events.iter().filter(|event| event.shown_ms / EACH == number);
        let mut body = b"\"EVENT_TYPE\",\"REQUEST_ID\",\"URI\"\r\n".to_vec();
        for event in events {
            let uri: &[u8] = match event.kind {
                Kind::Poisoned => b"raw\nbreak \xff\xfe",
                _ => b"/a?b=\"\"c\"\"",
            };
            let start = format!("\"Login\",\"{}\",\"", event.id());
            let row = [start.as_bytes(), uri, b"\"\r\n"].concat();
            let times = if event.kind == Kind::Doubled { 2 } else { 1 };
            body.extend(row.repeat(times));
        }
        body
    }

    /// One file for every ten minutes in which events became available.
    pub(super) fn salesforce_files(&mut self, request: &Request, now_ms: i64) -> Reply {
        let (_, path) = request.host_and_path();
        if let Some(rest) = path.strip_prefix("/services/data/v60.0/sobjects/EventLogFile/") {
            let number = rest.strip_suffix("/LogFile").unwrap();
            return ok_bytes(self.log_file(number.parse().expect("it was listed")));
        }
        assert_eq!(path, "/services/data/v60.0/query");
        let soql = query(request)["q"].clone();
        assert!(soql.contains("AND Interval = 'Hourly' "), "{soql}");
        let word = |after: &str| {
            let rest = soql.split_once(after).expect("a condition").1;
            Form::Rfc3339.read(rest.split(' ').next().unwrap()).expect("a time")
        };
        let (from, to) = (word(">= "), word("< "));
        let made = |number: i64| (number + 1) * EACH;
        let mut numbers: Vec<i64> = self.events.iter().map(|e| e.shown_ms / EACH).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|n| made(*n) >= from && made(*n) < to && made(*n) + MINUTE <= now_ms);
        let files = numbers.iter().map(|n| {
            let url = format!("/services/data/v60.0/sobjects/EventLogFile/{n}/LogFile");
            let created = Form::Rfc3339.write(made(*n)).replace('Z', "+0000");
            json!({"Id": n.to_string(), "LogFile": url, "LogFileLength": self.log_file(*n).len() as f64, "CreatedDate": created})
        });
        ok(json!({"totalSize": 1, "done": true, "records": files.collect::<Vec<_>>()}).to_string())
    }
}
