//! Fields of the vendor's record, by path.

use super::*;

const RECORD: &str = r#"{"a":{"b":{"c":"deep"},"n":7,"big":18446744073709551615,"f":0.5,"whole":1e3,
    "yes":true,"no":"False","count":" 42 ","none":null,"list":[],"t":[{"id":"x"},{"id":null},{"id":"y"}]},
    "a.flat":"dotted","quote":"it's \"q\"","":"nameless"}"#;

#[tokio::test]
async fn fields_are_read_as_rules_name_them() {
    let engine = Lake::new().open().await;
    let record = RECORD.replace('\'', "''");
    let check = async |call: &str, expected: &str| {
        let (function, path) = call.split_once(' ').unwrap();
        let sql = format!("SELECT {function}('{record}', '{path}') AS v");
        let answer = text(&engine, &sql, Format::Ndjson).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(answer, format!("{{\"v\":{expected}}}\n"), "{call}");
    };
    check("json_get a.b.c", "\"deep\"").await;
    check("json_get a.b", "\"{\\\"c\\\":\\\"deep\\\"}\"").await;
    check("json_get a.n", "\"7\"").await;
    check("json_get a.yes", "\"true\"").await;
    check("json_get a.flat", "\"dotted\"").await;
    check("json_get quote", "\"it's \\\"q\\\"\"").await;
    check("json_get a.t.id", "\"x\"").await;
    check("json_get a.none", "null").await;
    check("json_get a.nothing", "null").await;
    check("json_get A.n", "null").await;
    check("json_get ", "\"nameless\"").await;
    check("json_get_all a.t.id", "[\"x\",\"y\"]").await;
    check("json_get_all a.list", "[]").await;
    check("json_get_all a.nothing", "null").await;
    check("json_get_int a.n", "7").await;
    check("json_get_int a.whole", "1000").await;
    check("json_get_int a.count", "42").await;
    check("json_get_int a.big", "null").await;
    check("json_get_int a.f", "null").await;
    check("json_get_int a.yes", "null").await;
    check("json_get_float a.f", "0.5").await;
    check("json_get_float a.n", "7.0").await;
    check("json_get_bool a.yes", "true").await;
    check("json_get_bool a.no", "false").await;
    check("json_get_bool a.n", "null").await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_null_and_fails_nothing() {
    let mut lake = Lake::new();
    let raws = [Some("{\"who\":\"ann\",\"n\":5}"), Some("{\"who\":"), None, Some("[1]"), Some("")];
    let columns = vec![
        ("event_time", Cells::Time((0..5).map(|n| DAY + n).collect())),
        ("ingest_time", Cells::Time(vec![DAY; 5])),
        ("raw", Cells::Text(raws.to_vec())),
        ("path", texts(&["who", "who", "who", "who", "n"])),
    ];
    lake.commit("okta_system", FileKind::Events, columns).await;
    let all = "SELECT json_get(raw, 'who') AS who FROM okta_system ORDER BY event_time";
    assert_eq!(lake.ask(all).await, "who\nann\n\n\n\n\n");
    let filtered = "SELECT count(*) AS n FROM events WHERE json_get_int(raw, 'n') > 4";
    assert_eq!(lake.ask(filtered).await, "n\n1\n");
    let by_column =
        "SELECT json_get(raw, path) AS v FROM okta_system WHERE raw LIKE '{\"who\":\"%'";
    assert_eq!(lake.ask(by_column).await, "v\nann\n");
    let error = text(&lake.open().await, "SELECT json_get(raw) FROM events", Format::Csv).await;
    assert!(error.unwrap_err().to_string().contains("json_get"), "names the function");
}
