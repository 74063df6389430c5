//! A lake that `sink` itself has written.

use event::{
    Alert, AlertId, DeadLetter, Facts, LogType, PartitionKey, Rows, Span, Stage, Timestamp,
};
use sink::lake::{LakeOptions, Part, SpanOutcome};

use super::*;

fn rows(n: i64) -> Rows {
    let column = |(name, column_type): (&str, ColumnType)| ColumnDef {
        name: name.into(),
        column_type,
        doc: String::new(),
    };
    let columns = [
        ("event_time", ColumnType::Time),
        ("ingest_time", ColumnType::Time),
        ("log_type", ColumnType::Text),
        ("event_uid", ColumnType::Text),
        ("action", ColumnType::Text),
        ("users", ColumnType::TextList),
        ("late", ColumnType::Bool),
        ("raw", ColumnType::Text),
    ];
    let columns = columns.into_iter().map(column).collect();
    let schema = Arc::new(TableSchema { table: "okta_system".into(), columns });
    let mut rows = Rows::new(schema);
    for i in 0..n {
        rows.time(0, Timestamp::from_micros(DAY + i * 60_000_000));
        rows.time(1, Timestamp::from_micros(DAY + 2 * HOUR));
        rows.text(2, "okta.system");
        rows.text(3, &format!("uid-{i}"));
        rows.text(4, if i % 10 == 0 { "user.session.start" } else { "policy.evaluate_sign_on" });
        rows.item(5, "ann@example.com");
        rows.bool(6, false);
        rows.text(7, &format!("{{\"uuid\":\"uid-{i}\"}}"));
        rows.end_row();
    }
    rows
}

/// One epoch of `n` events, one dead letter and one alert.
fn part(n: i64, after: u64) -> Part {
    let key = PartitionKey { source: "okta".into(), partition: "0".into() };
    let (stored, received_at) = (n as u64, Timestamp::from_micros(DAY + 3 * HOUR));
    let span = Span { key: key.clone(), after, upto: after + stored + 1, state: None };
    let outcome =
        SpanOutcome { span, received: stored + 1, stored, duplicates: 0, dead: 1, dropped: 0 };
    let log_type = LogType::from("okta.system");
    let letter = DeadLetter {
        key,
        at: after,
        index: 0,
        log_type,
        stage: Stage::Parse,
        reason: "not an object".into(),
        bytes: b"[1,2".to_vec().into(),
        received_at,
    };
    let alert = Alert {
        alert_id: AlertId::of_event("r1", "uid-0"),
        rule: event::alert::RuleInfo { id: "r1".into(), title: "Odd".into(), ..Default::default() },
        source: "okta".into(),
        log_type: "okta.system".into(),
        event_uid: "uid-0".into(),
        event_time: Timestamp::from_micros(DAY),
        detected_at: received_at,
        lake_partition: "okta_system/dt=2026-03-01/hr=00".into(),
        event: serde_json::Map::new(),
        facts: Facts { who: "ann".into(), ..Facts::default() },
        dedup_key: String::new(),
        correlated: None,
        replayed: false,
    };
    Part {
        tables: vec![rows(n)],
        spans: vec![outcome],
        dead_letters: vec![letter],
        alerts: vec![alert],
        redriven: Vec::new(),
    }
}

#[tokio::test]
async fn what_sink_commits_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("lake").display().to_string();
    let options = LakeOptions { url, ..LakeOptions::default() };
    let (mut lake, _) = sink::lake::Lake::open(&options).await.unwrap();
    let vocabulary = Lake::new().vocabulary;
    let (store, root) = (lake.store().store.clone(), lake.store().root.clone());
    let open = async || {
        let options = Options { threads: 2, ..Options::default() };
        Engine::open(store.clone(), root.clone(), &vocabulary, &options).await.unwrap()
    };
    let empty = open().await;
    let columns = async |engine: &Engine, table: &str| {
        text(engine, &format!("DESCRIBE {table}"), Format::Csv).await.unwrap()
    };
    let known = (columns(&empty, "alerts").await, columns(&empty, "dead_letters").await);

    lake.commit(vec![part(120, 0)]).await.unwrap();
    let before = open().await;
    lake.commit(vec![part(60, 121)]).await.unwrap();
    let after = open().await;
    let written = (columns(&after, "alerts").await, columns(&after, "dead_letters").await);
    assert_eq!(known, written, "a table is the same before and after its first file");

    let check = async |engine: &Engine, sql: &str, expected: &str| {
        assert_eq!(text(engine, sql, Format::Csv).await.unwrap(), expected, "{sql}");
    };
    let count = "SELECT count(*) AS n FROM events";
    check(&empty, count, "n\n0\n").await;
    check(&before, count, "n\n120\n").await;
    check(&after, count, "n\n180\n").await;
    check(&after, "SELECT count(*) AS n FROM events WHERE hr = 1", "n\n60\n").await;
    let one =
        "SELECT DISTINCT action, users, raw FROM events WHERE event_time = '2026-03-01T00:10:00Z'";
    let row = "user.session.start,[ann@example.com],\"{\"\"uuid\"\":\"\"uid-10\"\"}\"";
    check(&after, one, &format!("action,users,raw\n{row}\n")).await;
    let uid = "SELECT count(*) AS n FROM okta_system WHERE event_uid = 'uid-100'";
    check(&after, uid, "n\n1\n").await;
    let dead = "SELECT source, source_partition, position, stage, reason, bytes FROM dead_letters \
                ORDER BY position LIMIT 1";
    let letter = "okta,0,0,parse,not an object,5b312c32";
    check(
        &after,
        dead,
        &format!("source,source_partition,position,stage,reason,bytes\n{letter}\n"),
    )
    .await;
    check(&after, "SELECT count(*) AS n FROM dead_letters", "n\n2\n").await;
    let alert = "SELECT rule_title, who, event_uid FROM alerts LIMIT 1";
    check(&after, alert, "rule_title,who,event_uid\nOdd,ann,uid-0\n").await;
    let joined = "SELECT count(*) AS n FROM alerts a JOIN okta_system e ON a.event_uid = e.event_uid \
                  WHERE e.action = 'user.session.start' AND a.log_type = 'okta.system'";
    check(&before, joined, "n\n1\n").await;
    let hour = "SELECT action FROM events WHERE event_time >= '2026-03-01T01:00:00Z'";
    let read = plan(&after, hour).await;
    assert_eq!((read.files_total, read.files_read), (3, 1));
}

#[tokio::test]
async fn questions_and_commits_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("lake").display().to_string();
    let options = LakeOptions { url, ..LakeOptions::default() };
    let (mut lake, _) = sink::lake::Lake::open(&options).await.unwrap();
    let (store, root) = (lake.store().store.clone(), lake.store().root.clone());
    let writer = tokio::spawn(async move {
        for epoch in 0..10 {
            lake.commit(vec![part(10, epoch * 11)]).await.unwrap();
        }
    });
    let (mut last, mut rounds) = (0, 0);
    while last < 100 {
        let vocabulary = Lake::new().vocabulary;
        let options = Options { threads: 2, ..Options::default() };
        let engine =
            Engine::open(store.clone(), root.clone(), &vocabulary, &options).await.unwrap();
        let count = async |sql: &str| -> u64 {
            let csv = text(&engine, sql, Format::Csv).await.unwrap();
            csv.trim_start_matches("n\n").trim().parse().unwrap()
        };
        let n = count("SELECT count(action) AS n FROM events").await;
        assert!(n.is_multiple_of(10) && n >= last, "whole epochs only: {n} after {last}");
        assert_eq!(count("SELECT count(*) AS n FROM dead_letters").await, n / 10);
        (last, rounds) = (n, rounds + 1);
        assert!(rounds < 10_000, "the writer stands still");
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}
