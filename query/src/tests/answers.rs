//! Formats, limits, and what an empty lake says.

use super::*;

/// One row of every type and one of nulls.
async fn types() -> Lake {
    let mut lake = Lake::new();
    let columns = vec![
        ("event_time", Cells::Time(vec![DAY + 123_456, DAY + HOUR])),
        ("ingest_time", Cells::Time(vec![DAY + HOUR, DAY + HOUR])),
        ("action", Cells::Text(vec![Some("a \"b\",\nc\u{1b}[2J"), None])),
        ("empty", texts(&["", "x"])),
        ("n", Cells::Int(vec![Some(-7), None])),
        ("share", Cells::Float(vec![Some(0.5), None])),
        ("users", Cells::List(vec![vec!["ann", "bob"], vec![]])),
        ("bytes", Cells::Bytes(vec![b"\xff{", b""])),
    ];
    lake.commit("okta_system", FileKind::Events, columns).await;
    lake
}

const ALL: &str = "SELECT event_time, action, empty, n, share, users, bytes, dt, hr \
                   FROM okta_system ORDER BY event_time";

#[tokio::test]
async fn formats_are_exact() {
    let engine = types().await.open().await;
    let check = async |format: Format, sql: &str, expected: &str| {
        assert_eq!(text(&engine, sql, format).await.unwrap(), expected, "{format:?}");
    };
    let first = "{\"event_time\":\"2026-03-01T00:00:00.123456Z\",\
        \"action\":\"a \\\"b\\\",\\nc\\u001b[2J\",\"empty\":\"\",\"n\":-7,\"share\":0.5,\
        \"users\":[\"ann\",\"bob\"],\"bytes\":\"ff7b\",\"dt\":\"2026-03-01\",\"hr\":0}";
    let second = "{\"event_time\":\"2026-03-01T01:00:00Z\",\"action\":null,\"empty\":\"x\",\
        \"n\":null,\"share\":null,\"users\":[],\"bytes\":\"\",\"dt\":\"2026-03-01\",\"hr\":0}";
    check(Format::Json, ALL, &format!("[{first},\n{second}]\n")).await;
    check(Format::Ndjson, ALL, &format!("{first}\n{second}\n")).await;
    let csv = "event_time,action,empty,n,share,users,bytes,dt,hr\n\
        2026-03-01T00:00:00.123456Z,\"a \"\"b\"\",\nc\u{1b}[2J\",\"\",-7,0.5,\"[ann, bob]\",\
        ff7b,2026-03-01,0\n\
        2026-03-01T01:00:00Z,,x,,,[],\"\",2026-03-01,0\n";
    check(Format::Csv, ALL, csv).await;
    let table = "event_time                   action               n  users       bytes\n\
        ───────────────────────────  ──────────────────  ──  ──────────  ─────\n\
        2026-03-01T00:00:00.123456Z  a \"b\",\\nc\\u{1b}[2J  -7  [ann, bob]  \u{fffd}{\n\
        2026-03-01T01:00:00Z                                 []\n\
        (2 rows)\n";
    let some = "SELECT event_time, action, n, users, bytes FROM okta_system ORDER BY 1";
    check(Format::Table, some, table).await;

    check(Format::Json, "select count(*) as n from events", "[{\"n\":2}]\n").await;
    let none = "SELECT action, n FROM okta_system WHERE n > 5";
    check(Format::Json, none, "[]\n").await;
    check(Format::Ndjson, none, "").await;
    check(Format::Csv, none, "action,n\n").await;
    check(Format::Table, none, "action  n\n──────  ─\n(0 rows)\n").await;
    for name in Format::NAMES {
        assert!(Format::parse(name).is_some());
    }
    assert_eq!(Format::parse("xml"), None);
}

#[tokio::test]
async fn long_values_are_cut_in_tables_only() {
    let mut lake = Lake::new();
    let long: &'static str = "x".repeat(100_000).leak();
    lake.events("okta.system", 0, &[(0, long), (1, "日本\u{202e}")]).await;
    let engine = lake.open().await;
    let sql = "SELECT action FROM okta_system ORDER BY event_time";
    let table = text(&engine, sql, Format::Table).await.unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[2], format!("{}…", "x".repeat(59)));
    assert_eq!(lines[3], "日本\\u{202e}");
    let json = text(&engine, sql, Format::Json).await.unwrap();
    assert!(json.len() > 100_000);
}

#[tokio::test]
async fn an_empty_lake_answers_with_no_rows() {
    let lake = Lake::new();
    let check = async |sql: &str, expected: &str| assert_eq!(lake.ask(sql).await, expected);
    check("SELECT count(*) AS n FROM events", "n\n0\n").await;
    check("SELECT count(*) AS n FROM alerts", "n\n0\n").await;
    check("SELECT count(*) AS n FROM dead_letters", "n\n0\n").await;
    check("SELECT count(*) AS n FROM k8s_audit", "n\n0\n").await;
    check("SELECT log_type, raw, dt, hr FROM events WHERE hr = 3", "log_type,raw,dt,hr\n").await;
    check("SELECT stage, reason, bytes FROM dead_letters", "stage,reason,bytes\n").await;
    check("SELECT rule_title, level FROM alerts", "rule_title,level\n").await;
    let tables = "table_name\nalerts\ndead_letters\nevents\nk8s_audit\n";
    check("SHOW TABLES", tables).await;
    let nothing = Lake { vocabulary: Vocabulary::default(), ..Lake::new() };
    assert_eq!(nothing.ask("SELECT count(*) AS n FROM events").await, "n\n0\n");
    assert_eq!(nothing.ask("SELECT 1 + 1 AS two").await, "two\n2\n");
}

#[tokio::test]
async fn limits_hold() {
    let mut lake = Lake::new();
    for hour in 0..3 {
        lake.events("okta.system", hour, &[(0, "a"), (1, "b"), (2, "c")]).await;
    }
    let engine = lake.open().await;
    let check = async |rows_max: u64, rows: u64, truncated: bool| {
        let limits = Limits { rows_max: Some(rows_max), ..Limits::default() };
        let answer = engine.sql("SELECT action FROM events", limits).await.unwrap();
        let written = write(answer, Format::Csv, &mut Vec::new()).await.unwrap();
        assert_eq!((written.rows, written.truncated), (rows, truncated), "{rows_max}");
    };
    check(100, 9, false).await;
    check(9, 9, false).await;
    check(8, 8, true).await;
    check(0, 0, true).await;
}

/// Operators that give way and one that does not.
#[tokio::test]
async fn every_question_ends_at_its_time_limit() {
    let engine = Lake::new().open().await;
    let series = "generate_series(1, 1000000000000)";
    let join = "generate_series(1, 500000) AS a JOIN generate_series(1, 500000) AS b";
    for endless in [
        format!("SELECT count(*) FROM {series} WHERE value % 7 = 8"),
        format!("SELECT count(*) FROM {join} ON a.value * b.value % 1000003 = -1"),
    ] {
        let limits = Limits { time_max: Some(Duration::from_millis(300)), ..Limits::default() };
        let since = std::time::Instant::now();
        let asked = async {
            let answer = engine.sql(&endless, limits).await?;
            write(answer, Format::Csv, &mut Vec::new()).await
        };
        let error = asked.await.unwrap_err();
        assert_eq!(error.kind(), Kind::Limit, "{error}");
        assert!(error.to_string().contains("longer than 0.3 s"), "{error}");
        let late = since.elapsed().saturating_sub(Duration::from_millis(300));
        assert!(late < Duration::from_secs(1), "{endless}: {late:?} late");
    }
}

#[tokio::test]
async fn questions_that_were_given_up_make_room_for_others() {
    let engine = Lake::new().open().await;
    let endless = "SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 7 = 8";
    for _ in 0..40 {
        let limits = Limits { time_max: Some(Duration::from_secs(30)), ..Limits::default() };
        drop(engine.sql(endless, limits).await.expect("there is room again"));
    }
    assert_eq!(text(&engine, "SELECT 1 AS one", Format::Csv).await.unwrap(), "one\n1\n");
}

/// What a process that lives on relies on: the threads of a question that nobody waits for any more
/// end by themselves, although the operator that they are in never gives way on its own account.
#[tokio::test]
async fn the_threads_of_a_question_that_was_given_up_end() {
    let engine = Lake::new().open().await;
    let all = engine.places.free();
    let join = "SELECT count(*) FROM generate_series(1, 2000) AS a \
                JOIN generate_series(1, 1000000000) AS b ON a.value * b.value % 1000003 = -1";
    let limits = Limits { time_max: Some(Duration::from_millis(200)), ..Limits::default() };
    let mut answer = engine.sql(join, limits).await.unwrap();
    assert_eq!(answer.next().await.unwrap_err().kind(), Kind::Limit);
    drop(answer);
    let since = std::time::Instant::now();
    while engine.places.free() < all {
        assert!(since.elapsed() < Duration::from_secs(120), "the threads work on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn memory_is_bounded() {
    let lake = Lake::new();
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        memory_bytes_max: 4 << 20,
        spill_bytes_max: 1 << 20,
        spill_folder: Some(folder.path().to_owned()),
        ..Options::default()
    };
    let engine = lake.open_with(&options).await.unwrap();
    let sql =
        "SELECT value, count(*) FROM generate_series(1, 3000000) GROUP BY value ORDER BY 2, 1";
    let error = text(&engine, sql, Format::Csv).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Limit, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("memory")), "{error}");
}
