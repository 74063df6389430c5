//! Which files are read, and what files of different ages mean together.

use super::*;

/// Two log types, three hours each; and a late file.
async fn lake() -> Lake {
    let mut lake = Lake::new();
    for hour in 0..3 {
        lake.events("aws.cloudtrail", hour, &[(0, "ConsoleLogin"), (30, "AssumeRole")]).await;
        lake.events("okta.system", 24 + hour, &[(15, "user.session.start")]).await;
    }
    let late = vec![
        ("event_time", Cells::Time(vec![DAY - 400 * 24 * HOUR])),
        ("ingest_time", Cells::Time(vec![DAY + 90 * HOUR])),
        ("log_type", texts(&["aws.cloudtrail"])),
        ("action", texts(&["late"])),
    ];
    lake.commit("aws_cloudtrail", FileKind::Events, late).await;
    lake
}

#[tokio::test]
async fn files_are_pruned_by_what_manifests_say() {
    let engine = lake().await.open().await;
    // total, read
    let check = async |condition: &str, total: usize, read: usize| {
        for table in ["aws_cloudtrail", "events"] {
            let sql = format!("SELECT action FROM {table} WHERE {condition}");
            let plan = plan(&engine, &sql).await;
            let (total, read) = if table == "events" { (7, read) } else { (total, read.min(4)) };
            assert_eq!((plan.files_total, plan.files_read), (total, read), "{sql}");
            assert_eq!(plan.bytes > 0, read > 0, "{sql}");
        }
    };
    check("event_time >= '2026-03-01T02:00:00Z' AND event_time < '2026-03-01T03:00:00Z'", 4, 1)
        .await;
    check("event_time BETWEEN '2026-03-01T00:00:00Z' AND '2026-03-01T01:00:00Z'", 4, 2).await;
    check("event_time < '2026-01-01'", 4, 1).await;
    check("ingest_time > '2026-03-04'", 4, 1).await;
    check("dt = '2026-03-01'", 4, 3).await;
    check("dt = '2026-03-01' AND hr = 1", 4, 1).await;
    check("dt = '2026-03-01' AND hr IN (0, 2)", 4, 2).await;
    check("hr >= 2 AND dt LIKE '2026-03-01'", 4, 1).await;
    check("(dt = '2026-03-01' AND action = 'x') OR event_time < '2026-01-01'", 4, 4).await;
    check("log_type = 'aws.cloudtrail' AND dt > '2026-01-01'", 4, 3).await;
    check("event_time > now() + INTERVAL '100 years'", 4, 0).await;

    let events = async |condition: &str, read: usize| {
        let sql = format!("SELECT action FROM events WHERE {condition}");
        assert_eq!(plan(&engine, &sql).await.files_read, read, "{sql}");
    };
    events("log_type = 'okta.system'", 3).await;
    events("log_type IN ('okta.system', 'github.audit')", 3).await;
    events("log_type = 'github.audit'", 0).await;
    events("log_type <> 'okta.system'", 7).await;
    events("lower(log_type) = 'okta.system'", 7).await;
}

#[tokio::test]
async fn pruning_never_changes_the_answer() {
    let lake = lake().await;
    let check = async |condition: &str, n: u64| {
        let sql = format!("SELECT count(*) AS n FROM events WHERE {condition}");
        assert_eq!(lake.ask(&sql).await, format!("n\n{n}\n"), "{sql}");
    };
    check("event_time >= '2026-03-01T02:00:00Z' AND event_time < '2026-03-01T03:00:00Z'", 2).await;
    check("event_time = '2026-03-01T02:30:00Z'", 1).await;
    check("dt = '2026-03-01'", 6).await;
    check("dt = '2026-03-01' AND action = 'AssumeRole'", 3).await;
    check("hr = 1", 3).await;
    check("hr IS NULL", 0).await;
    check("NOT (hr = 1)", 7).await;
    check("log_type <> 'okta.system'", 7).await;
    check("log_type = 'okta.system' OR action = 'late'", 4).await;
    check("source_ip IS NULL", 10).await;
    check("source_ip = '1.2.3.4'", 0).await;
    check("dt = '2026-03-01' OR action = 'late'", 7).await;
}

#[tokio::test]
async fn counts_and_bounds_come_from_the_manifests() {
    let engine = lake().await.open().await;
    let check = async |sql: &str, expected: &str| {
        assert_eq!(plan(&engine, sql).await.files_read, 0, "{sql}");
        assert_eq!(text(&engine, sql, Format::Csv).await.unwrap(), expected, "{sql}");
    };
    check("SELECT count(*) AS n FROM aws_cloudtrail", "n\n7\n").await;
    check("SELECT count(*) AS n FROM aws_cloudtrail WHERE dt = '2026-03-01'", "n\n6\n").await;
    check("SELECT max(event_time) AS t FROM aws_cloudtrail", "t\n2026-03-01T02:30:00Z\n").await;
    let n = text(&engine, "SELECT count(*) AS n FROM events", Format::Csv).await.unwrap();
    assert_eq!(n, "n\n10\n");
}

#[tokio::test]
async fn only_the_columns_that_are_read_cost() {
    let engine = lake().await.open().await;
    let bytes = async |sql: &str| plan(&engine, sql).await.bytes;
    let one = bytes("SELECT action FROM aws_cloudtrail").await;
    let two = bytes("SELECT action, log_type FROM aws_cloudtrail").await;
    let filtered =
        bytes("SELECT action FROM aws_cloudtrail WHERE log_type = 'aws.cloudtrail'").await;
    let all = bytes("SELECT * FROM aws_cloudtrail").await;
    assert!(0 < one && one < two && two < all, "{one} {two} {all}");
    assert_eq!(filtered, two, "a filter reads its column");
}

#[tokio::test]
async fn old_files_read_under_the_newest_schema() {
    let mut lake = Lake::new();
    let base = |hour: i64| {
        vec![
            ("event_time", Cells::Time(vec![DAY + hour * HOUR; 2])),
            ("ingest_time", Cells::Time(vec![DAY + hour * HOUR; 2])),
        ]
    };
    let mut old = base(0);
    old.push(("port", texts(&["443", "https"])));
    old.push(("gone", texts(&["was", "here"])));
    old.push(("tags", texts(&["a", "b"])));
    old.push(("log_type", texts(&["aws.vpcflow", "aws.vpcflow"])));
    let mut new = base(1);
    new.insert(0, ("port", Cells::Int(vec![Some(22), None])));
    new.push(("added", texts(&["x", "y"])));
    new.push(("tags", Cells::List(vec![vec!["c"], vec![]])));
    lake.commit("aws_vpcflow", FileKind::Events, old).await;
    lake.commit("aws_vpcflow", FileKind::Events, new).await;

    let check =
        async |sql: &str, expected: &str| assert_eq!(lake.ask(sql).await, expected, "{sql}");
    let all = "SELECT port, added, gone, hr FROM aws_vpcflow ORDER BY hr, port NULLS LAST";
    check(all, "port,added,gone,hr\n443,,was,0\n,,here,0\n22,x,,1\n,y,,1\n").await;
    check("SELECT count(*) AS n FROM aws_vpcflow WHERE port > 100", "n\n1\n").await;
    check("SELECT count(*) AS n FROM aws_vpcflow WHERE port = 443", "n\n1\n").await;
    check("SELECT count(*) AS n FROM aws_vpcflow WHERE added IS NULL", "n\n2\n").await;
    check("SELECT count(*) AS n FROM aws_vpcflow WHERE gone = 'here'", "n\n1\n").await;
    check("SELECT count(*) AS n FROM aws_vpcflow WHERE added = 'y'", "n\n1\n").await;
    check("SELECT count(*) AS n FROM aws_vpcflow WHERE array_has(tags, 'c')", "n\n1\n").await;
    check("SELECT count(log_type) AS n FROM events", "n\n2\n").await;
    let columns = "SELECT column_name FROM information_schema.columns \
                   WHERE table_name = 'aws_vpcflow' ORDER BY ordinal_position LIMIT 3";
    check(columns, "column_name\nport\nevent_time\ningest_time\n").await;
}

#[tokio::test]
async fn the_view_joins_what_log_types_share() {
    let mut lake = Lake::new();
    lake.events("aws.cloudtrail", 0, &[(0, "ConsoleLogin")]).await;
    let flow = vec![
        ("event_time", Cells::Time(vec![DAY + HOUR])),
        ("ingest_time", Cells::Time(vec![DAY + HOUR])),
        ("log_type", texts(&["okta.system"])),
        ("users", Cells::List(vec![vec!["ann"]])),
        ("raw", texts(&["{\"eventType\":\"x\"}"])),
        ("vendor", texts(&["v"])),
    ];
    lake.commit("okta_system", FileKind::Events, flow).await;
    let sql = "SELECT * FROM events ORDER BY event_time";
    let expected = "event_time,ingest_time,log_type,action,source_ip,users,raw,dt,hr\n\
        2026-03-01T00:00:00Z,2026-03-01T01:00:00Z,aws.cloudtrail,ConsoleLogin,,,,2026-03-01,0\n\
        2026-03-01T01:00:00Z,2026-03-01T01:00:00Z,okta.system,,,[ann],\
        \"{\"\"eventType\"\":\"\"x\"\"}\",2026-03-01,1\n";
    assert_eq!(lake.ask(sql).await, expected);
    let grouped = "SELECT log_type, count(*) AS n FROM events GROUP BY 1 ORDER BY 1";
    assert_eq!(lake.ask(grouped).await, "log_type,n\naws.cloudtrail,1\nokta.system,1\n");
    let joined = "SELECT count(*) AS n FROM events e JOIN okta_system o USING (event_time) \
                  WHERE o.vendor = 'v'";
    assert_eq!(lake.ask(joined).await, "n\n1\n");
}

#[tokio::test]
async fn alerts_and_dead_letters_are_tables() {
    let mut lake = Lake::new();
    let alerts = vec![
        ("alert_id", texts(&["a1", "a2"])),
        ("event_time", Cells::Time(vec![DAY, DAY + HOUR])),
        ("detected_at", Cells::Time(vec![DAY + HOUR, DAY + HOUR])),
        ("level", texts(&["high", "low"])),
    ];
    lake.commit("alerts", FileKind::Alerts, alerts).await;
    let dead = vec![
        ("received_at", Cells::Time(vec![DAY + 5 * HOUR])),
        ("reason", texts(&["no object"])),
        ("bytes", Cells::Bytes(vec![b"{"])),
    ];
    lake.commit("dead_letters", FileKind::DeadLetters, dead).await;
    let check =
        async |sql: &str, expected: &str| assert_eq!(lake.ask(sql).await, expected, "{sql}");
    check("SELECT alert_id FROM alerts WHERE level = 'high'", "alert_id\na1\n").await;
    check("SELECT reason, stage FROM dead_letters", "reason,stage\nno object,\n").await;
    check("SELECT count(*) AS n FROM events", "n\n0\n").await;
    let engine = lake.open().await;
    let pruned = "SELECT reason FROM dead_letters WHERE received_at < '2026-03-01'";
    assert_eq!(plan(&engine, pruned).await.files_read, 0);
    let pruned = "SELECT level FROM alerts WHERE detected_at > '2026-03-02'";
    assert_eq!(plan(&engine, pruned).await.files_read, 0);
}

#[tokio::test]
async fn an_engine_sees_the_lake_as_it_was() {
    let mut lake = lake().await;
    let before = lake.open().await;
    let answer = before.sql("SELECT action FROM events", Limits::default()).await.unwrap();
    lake.events("okta.system", 30, &[(0, "new")]).await;
    lake.events("github.audit", 30, &[(0, "new")]).await;
    let mut csv = Vec::new();
    assert_eq!(write(answer, Format::Csv, &mut csv).await.unwrap().rows, 10);
    let count = "SELECT count(*) AS n FROM events";
    assert_eq!(text(&before, count, Format::Csv).await.unwrap(), "n\n10\n");
    assert_eq!(lake.ask(count).await, "n\n12\n");
}

#[tokio::test]
async fn files_that_no_manifest_names_are_not_there() {
    let mut lake = lake().await;
    let path = lake.events("okta.system", 30, &[(0, "new")]).await;
    let bytes = lake.store.get(&layout::under(&lake.root, &path)).await.unwrap();
    let stray = path.replace(".parquet", "-extra.parquet");
    lake.put(&stray, bytes.bytes().await.unwrap().to_vec()).await;
    assert_eq!(lake.ask("SELECT count(*) AS n FROM okta_system").await, "n\n4\n");
    assert_eq!(lake.ask("SELECT count(action) AS n FROM okta_system").await, "n\n4\n");
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let mut lake = lake().await;
    let path = lake.events("okta.system", 30, &[(0, "new")]).await;
    let at = layout::under(&lake.root, &path);
    let good = lake.store.get(&at).await.unwrap().bytes().await.unwrap().to_vec();
    let mut noise = good.clone();
    let end = noise.len() - 8;
    noise[4..end].iter_mut().for_each(|b| *b ^= 0x5a);
    for (what, bytes) in [("cut", good[..good.len() / 2].to_vec()), ("noise", noise)] {
        lake.put(&path, bytes).await;
        let engine = lake.open().await;
        let sql = "SELECT action, log_type FROM events";
        let error = text(&engine, sql, Format::Csv).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{what}: {error}");
        assert!(error.to_string().contains(&path), "{what}: {error}");
    }
    lake.store.delete(&at).await.unwrap();
    let error = text(&lake.open().await, "SELECT action FROM events", Format::Csv).await;
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), format!("the file {path} is missing"));
    let manifest = layout::under(&lake.root, &layout::manifest("main", 2));
    lake.store.delete(&manifest).await.unwrap();
    let error = lake.open_with(&Options::default()).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
}
