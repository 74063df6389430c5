//! Snowflake's SQL API, as in `answers`: statements that run for a while, and rows in partitions.
//!
//! <https://docs.snowflake.com/en/developer-guide/sql-api/reference>

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

/// Rows of a partition; some ten thousand in truth.
const ROWS: usize = 30;
const PATH: &str = "/api/v2/statements";

/// Whether the token is of the user, and of this hour.
pub(super) fn is_known(request: &Request, now_ms: i64) -> bool {
    assert_eq!(header(request, "X-Snowflake-Authorization-Token-Type"), "KEYPAIR_JWT");
    let proof = header(request, "Authorization");
    let token = proof.strip_prefix("Bearer ").expect("a token");
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("claims")).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["sub"], "ACME-PROD.MANTISSA");
    let start = "ACME-PROD.MANTISSA.SHA256:";
    assert!(claims["iss"].as_str().is_some_and(|iss| iss.starts_with(start)), "{claims}");
    let time = |name: &str| claims[name].as_i64().expect("seconds") * SECOND;
    assert!(time("exp") - time("iat") <= HOUR, "no token is good for more than an hour");
    time("iat") <= now_ms + MINUTE && now_ms < time("exp")
}

/// A row of all the views.
pub(super) fn row(event: &Event) -> Value {
    let (id, number) = (event.id(), event.number);
    let time = Form::Rfc3339.write(event.time_ms).replace('Z', "000000+00:00");
    json!({
        "EVENT_ID": number, "EVENT_TIMESTAMP": time, "QUERY_ID": id, "END_TIME": time,
        "QUERY_START_TIME": time, "SESSION_ID": number, "CREATED_ON": time, "USER_NAME": null,
    })
}

impl Api {
    pub(super) fn snowflake(&mut self, request: &Request, now_ms: i64) -> Reply {
        let (_, path) = request.host_and_path();
        let path = path.to_owned();
        match request.verb {
            Verb::Post => {
                assert_eq!((path.as_str(), request.query.as_str()), (PATH, "async=true"));
                self.submit(request, now_ms)
            }
            _ => {
                assert_eq!(request.body, None, "it is asked for by its handle alone");
                let handle = path.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/'));
                self.result(handle.expect("a handle"), &query(request))
            }
        }
    }

    /// A statement sees what there is when it is submitted.
    fn submit(&mut self, request: &Request, now_ms: i64) -> Reply {
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        assert_eq!((&body["warehouse"], &body["role"]), (&json!("LOGS_WH"), &json!("LOGS")));
        let statement = body["statement"].as_str().unwrap();
        assert!(statement.contains(" FROM SNOWFLAKE.ACCOUNT_USAGE."), "{statement}");
        let time = |after: &str| {
            let rest = statement.split_once(after).expect("a condition").1;
            rest.split_once(", 3)").unwrap().0.parse::<i64>().expect("milliseconds")
        };
        let (from, to) = (time(" >= TO_TIMESTAMP_LTZ("), time(" < TO_TIMESTAMP_LTZ("));
        let handle = format!("01b2-{:x}", self.chance.draw());
        let busy = self.chance.below(4) as usize;
        self.tokens.insert(handle.clone(), (format!("{from} {to} {now_ms}"), busy));
        running(&handle)
    }

    fn result(&mut self, handle: &str, query: &BTreeMap<String, String>) -> Reply {
        let Some((statement, busy)) = self.tokens.get_mut(handle) else {
            return error(404, json!({"code": "391902", "message": "not found"}).to_string());
        };
        if *busy > 0 {
            *busy -= 1;
            return running(handle);
        }
        let times: Vec<i64> = statement.split(' ').map(|ms| ms.parse().unwrap()).collect();
        let found = self.within(times[0], times[1], false, times[2]);
        let rows = self.records(&found);
        let partitions: Vec<_> = rows.chunks(ROWS).collect();
        let number: usize = query.get("partition").map_or(0, |number| number.parse().unwrap());
        let rows = partitions.get(number).copied().unwrap_or_default();
        assert!(number == 0 || !rows.is_empty(), "there are {} partitions", partitions.len());
        let rows = rows.iter().map(|row| json!([String::from_utf8_lossy(row)]));
        let rows: Vec<Value> = rows.collect();
        if number > 0 {
            return ok(json!({"data": rows}).to_string());
        }
        let counts = partitions.iter().map(|rows| json!({"rowCount": rows.len()}));
        let counts: Vec<Value> = counts.chain(partitions.is_empty().then(|| json!({}))).collect();
        let mut body = status(handle, "090001");
        body["resultSetMetaData"] = json!({"format": "jsonv2", "partitionInfo": counts});
        body["data"] = rows.into();
        ok(body.to_string())
    }
}

fn running(handle: &str) -> Reply {
    error(202, status(handle, "333334").to_string())
}

fn status(handle: &str, code: &str) -> Value {
    let url = format!("{PATH}/{handle}?requestId=5f1c");
    json!({"code": code, "statementHandle": handle, "statementStatusUrl": url})
}
