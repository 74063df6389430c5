//! OneLogin, Duo's administrator log and Zoom, as in `answers`.

use super::*;

/// How many records Duo gives at most; a thousand in truth.
pub(crate) const DUO_PAGE: u32 = 60;

impl Api {
    /// Who asks for a token where the vendor wants the application in the header.
    pub(super) fn check_token_request(&self, request: &Request) {
        let form = request.body.as_deref().unwrap_or_default();
        let grant = match self.vendor {
            Vendor::OneLogin => "grant_type=client_credentials",
            Vendor::Zoom => "grant_type=account_credentials",
            _ => return,
        };
        // `app:s`
        assert_eq!(header(request, "Authorization"), "Basic YXBwOnM=");
        assert_eq!(form.matches("grant_type").count(), 1, "{form}");
        assert!(form.contains(grant) && !form.contains("client_secret"), "{form}");
    }

    pub(super) fn latest_record(&self, event: &Event) -> Value {
        let (id, ms) = (event.id(), event.time_ms);
        match self.vendor {
            Vendor::OneLogin => {
                json!({"id": event.number, "created_at": Form::Rfc3339.write(ms), "event_type_id": 5, "notes": id})
            }
            Vendor::DuoAdmin => json!({
                "action": "user_update", "username": "Ana", "object": id, "timestamp": ms / 1_000,
                "isotimestamp": Form::Rfc3339S.write(ms), "description": "{}",
            }),
            _ => json!({
                "time": Form::Rfc3339S.write(ms), "operator": "ana@corp.example", "action": "Update",
                "category_type": "User", "operation_detail": id, "email": "ana@corp.example",
            }),
        }
    }

    pub(super) fn onelogin(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        assert_eq!(request.host_and_path().1, "/api/1/events");
        let limit: usize = query["limit"].parse().unwrap();
        assert!(limit <= 50, "OneLogin gives at most 50");
        let time = |name: &str| Form::Rfc3339.read(&query[name]).expect("a time");
        let window = (time("since"), time("until"));
        let cursor = query.get("after_cursor").map(String::as_str);
        let Some((records, next)) = self.window(window, cursor, limit, now_ms) else {
            let status = json!({"error": true, "code": 400, "type": "bad request", "message": "Invalid cursor"});
            return error(400, json!({"status": status}).to_string());
        };
        let status = json!({"error": false, "code": 200, "type": "success", "message": "Success"});
        let pages = json!({"before_cursor": null, "after_cursor": next, "previous_link": null});
        let before = format!("{{\"status\":{status},\"pagination\":{pages},\"data\":");
        let mut reply = ok_bytes(wrap(&before, records, "}"));
        reply.headers.push(("x-ratelimit-remaining".into(), "4000".into()));
        reply.headers.push(("x-ratelimit-reset".into(), "1800".into()));
        reply
    }

    /// The oldest of all that are not before a second.
    pub(super) fn duo_admin(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        assert_eq!(request.host_and_path().1, "/admin/v1/logs/administrator");
        assert_eq!(query.len(), 1, "there is no other parameter");
        let from = seconds(&query["mintime"]);
        let mut found = self.within(from, i64::MAX, false, now_ms);
        found.truncate(DUO_PAGE as usize);
        let records = array(self.records(&found));
        ok_bytes(wrap("{\"stat\":\"OK\",\"response\":", records, "}"))
    }

    /// Whole days, and a page token that is good for a quarter of an hour.
    pub(super) fn zoom(&mut self, request: &Request, now_ms: i64) -> Reply {
        let query = query(request);
        let limit: usize = query["page_size"].parse().unwrap();
        assert!(limit <= 300, "Zoom gives at most 300");
        let day = |name: &str| {
            assert_eq!(query[name].len(), 10, "a date");
            Form::Date.read(&query[name]).expect("a date")
        };
        let (from, to) = (day("from"), day("to"));
        assert!(from <= to && to - from <= 30 * DAY, "one month at most");
        let token = query.get("next_page_token").map(String::as_str);
        let Some((records, next)) = self.window((from, to + DAY), token, limit, now_ms) else {
            return error(400, json!({"code": 300, "message": "Invalid token"}).to_string());
        };
        let at = match request.host_and_path().1 {
            "/v2/report/operationlogs" => "operation_logs",
            "/v2/report/activities" => "activity_logs",
            path => panic!("{path}"),
        };
        let next = json!(next.unwrap_or_default());
        let before = format!("{{\"page_size\":{limit},\"next_page_token\":{next},\"{at}\":");
        ok_bytes(wrap(&before, records, "}"))
    }
}
