//! Jamf Protect behind Jamf's gateway, as in `answers`: one address, GraphQL, and errors with status 200.
//!
//! <https://developer.jamf.com/platform-api/reference/jamf-protect-queries>

use super::*;

/// An alert and an entry of the audit log in one.
pub(super) fn record(event: &Event) -> Value {
    let (id, time) = (event.id(), Form::Rfc3339.write(event.time_ms));
    json!({
        "uuid": id, "created": time, "eventType": "GPProcessEvent", "severity": "Low",
        "date": time, "op": "updatePlan", "resourceId": event.number,
    })
}

impl Api {
    pub(super) fn jamf_protect(&mut self, request: &Request, now_ms: i64) -> Reply {
        let (_, path) = request.host_and_path();
        assert_eq!((request.verb, path), (Verb::Post, "/protect"));
        assert_eq!(header(request, "X-Tenant-Id"), "t-1");
        let has = |name: &str| request.headers.iter().any(|(have, _)| have == name);
        assert!(!has("X-Environment-Id"), "one of the two says whose");
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let (text, input) = (body["query"].as_str().unwrap(), &body["variables"]["input"]);
        assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
        let (operation, from, to) = match text.contains("{ listAlerts(input: $input) {") {
            true => {
                let filter = &input["filter"];
                let (from, to) = (&filter["created"], &filter["and"]["created"]);
                ("listAlerts", &from["greaterThanOrEqual"], &to["lessThan"])
            }
            false => {
                assert!(text.contains("{ listAuditLogsByDate(input: $input) {"), "{text}");
                let range = &input["condition"]["dateRange"];
                ("listAuditLogsByDate", &range["startDate"], &range["endDate"])
            }
        };
        let time = |value: &Value| Form::Rfc3339.read(value.as_str().unwrap()).expect("a time");
        let limit = input["pageSize"].as_u64().unwrap() as usize;
        assert!(limit <= 500, "pages are of 500 at most");
        let Some((records, next)) =
            self.window((time(from), time(to)), input["next"].as_str(), limit, now_ms)
        else {
            let error = json!({"errorType": "ArgumentValidationError", "message": "next"});
            return ok(json!({"data": {operation: null}, "errors": [error]}).to_string());
        };
        let rest = format!(",\"pageInfo\":{}}}}}}}", json!({"next": next}));
        ok_bytes(wrap(&format!("{{\"data\":{{\"{operation}\":{{\"items\":"), records, &rest))
    }
}
