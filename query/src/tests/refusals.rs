//! Nothing but reading, nothing but the lake, and errors that help.

use super::*;

async fn refuse(engine: &Engine, sql: &str) -> Error {
    match engine.sql(sql, Limits::default()).await {
        Err(error) => error,
        Ok(_) => panic!("{sql} was planned"),
    }
}

#[tokio::test]
async fn only_statements_that_read() {
    let mut lake = Lake::new();
    lake.events("okta.system", 0, &[(0, "a")]).await;
    let engine = lake.open().await;
    let cases = [
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "CREATE EXTERNAL TABLE"),
        ("COPY okta_system TO '/tmp/x.parquet'", "COPY"),
        ("COPY (SELECT 1) TO 's3://bucket/x.csv'", "COPY"),
        ("INSERT INTO okta_system (action) VALUES ('x')", "INSERT"),
        ("UPDATE okta_system SET action = 'x'", "UPDATE"),
        ("DELETE FROM okta_system", "DELETE"),
        ("TRUNCATE TABLE okta_system", "TRUNCATE"),
        ("MERGE INTO okta_system USING alerts ON true WHEN MATCHED THEN DELETE", "MERGE"),
        ("DROP TABLE okta_system", "DROP TABLE"),
        ("DROP VIEW events", "DROP VIEW"),
        ("ALTER TABLE okta_system ADD COLUMN x INT", "ALTER TABLE"),
        ("CREATE TABLE t AS SELECT 1", "CREATE TABLE"),
        ("CREATE VIEW v AS SELECT 1", "CREATE VIEW"),
        ("CREATE SCHEMA s", "CREATE SCHEMA"),
        ("CREATE DATABASE d", "CREATE DATABASE"),
        ("CREATE FUNCTION f() RETURNS INT RETURN 1", "CREATE FUNCTION"),
        ("SET datafusion.execution.batch_size = 1", "SET"),
        ("RESET datafusion.execution.batch_size", "RESET"),
        ("BEGIN", "BEGIN"),
        ("COMMIT", "COMMIT"),
        ("PREPARE p AS SELECT 1", "PREPARE"),
        ("EXECUTE p", "EXECUTE"),
        ("USE other", "USE"),
        ("EXPLAIN COPY okta_system TO '/tmp/x.csv'", "COPY"),
        ("EXPLAIN INSERT INTO okta_system (action) VALUES ('x')", "INSERT"),
        ("EXPLAIN ANALYZE DROP TABLE okta_system", "DROP TABLE"),
        ("SELECT 1 AS x INTO t", "a statement that stores its result"),
        ("WITH w AS (SELECT 1) INSERT INTO okta_system SELECT * FROM w", "INSERT"),
    ];
    for (sql, named) in cases {
        let error = refuse(&engine, sql).await;
        assert_eq!(error.kind(), Kind::ReadOnly, "{sql}: {error}");
        let start = format!("the lake is only read here: {named}");
        assert!(error.to_string().starts_with(&start), "{sql}: {error}");
        assert!(error.hint().is_some_and(|h| h.contains("SELECT, WITH, EXPLAIN")), "{sql}");
    }
    let left = text(&engine, "SELECT count(action) AS n FROM okta_system", Format::Csv).await;
    assert_eq!(left.unwrap(), "n\n1\n");
}

#[tokio::test]
async fn no_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.csv");
    std::fs::write(&secret, "a,b\n1,2\n").unwrap();
    let secret = secret.display();
    let engine = Lake::new().open().await;
    for sql in [
        format!("SELECT * FROM '{secret}'"),
        format!("SELECT * FROM \"{secret}\""),
        format!("SELECT * FROM \"file://{secret}\""),
        "SELECT * FROM 'https://example.com/x.parquet'".to_owned(),
        format!("SELECT * FROM read_csv('{secret}')"),
        format!("SELECT * FROM read_parquet('{secret}')"),
        format!("SELECT * FROM parquet_metadata('{secret}')"),
        format!("SELECT * FROM glob('{secret}')"),
    ] {
        let error = refuse(&engine, &sql).await;
        assert_eq!(error.kind(), Kind::Unknown, "{sql}: {error}");
        assert!(error.to_string().starts_with("there is no table"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn statements_that_read_are_answered() {
    let mut lake = Lake::new();
    lake.events("okta.system", 0, &[(0, "a")]).await;
    for sql in [
        "SELECT 1",
        "select 1;",
        "WITH w AS (SELECT action FROM events) SELECT * FROM w",
        "VALUES (1), (2)",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "EXPLAIN SELECT * FROM events",
        "EXPLAIN ANALYZE SELECT * FROM events",
        "SHOW TABLES",
        "SHOW COLUMNS FROM okta_system",
        "DESCRIBE okta_system",
        "DESC events",
        "SELECT * FROM lake.main.okta_system",
        "SELECT * FROM generate_series(1, 3)",
        "SELECT action FROM events ORDER BY event_time DESC LIMIT 1",
    ] {
        assert!(!lake.ask(sql).await.is_empty(), "{sql}");
    }
    let described = lake.ask("DESCRIBE okta_system").await;
    assert!(described.contains("event_time,\"Timestamp(µs, \"\"UTC\"\")\",YES"), "{described}");
    assert!(described.contains("action,Utf8,YES"), "{described}");
}

#[tokio::test]
async fn errors_help() {
    let mut lake = Lake::new();
    lake.events("aws.cloudtrail", 0, &[(0, "a")]).await;
    let engine = lake.open().await;
    let check = async |sql: &str, kind: Kind, what: &str, hint: &str| {
        let error = refuse(&engine, sql).await;
        assert_eq!(error.kind(), kind, "{sql}: {error}");
        assert!(error.to_string().contains(what), "{sql}: {error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{sql}: {:?}", error.hint());
    };
    let unknown = Kind::Unknown;
    check("SELECT * FROM cloudtrail", unknown, "no table cloudtrail", "mean aws_cloudtrail?").await;
    check("SELECT * FROM aws.cloudtrail", unknown, "aws.cloudtrail", "mean aws_cloudtrail?").await;
    check("SELECT * FROM event", unknown, "no table event", "mean events?").await;
    check("SELECT * FROM zzz", unknown, "no table zzz", "alerts, aws_cloudtrail, dead_letters")
        .await;
    check("SELECT eventTime FROM events", unknown, "no column eventtime", "mean event_time?").await;
    check("SELECT actions FROM events", unknown, "no column actions", "mean action?").await;
    check("SELECT zzzz FROM events", unknown, "no column zzzz", "in raw").await;
    check("SELECT nosuch(1)", unknown, "nosuch", "").await;
    check("SELEC 1", Kind::Syntax, "SELEC", "").await;
    check("", Kind::Syntax, "no statement", "SELECT").await;
    check("SELECT 1; SELECT 2", Kind::Syntax, "2 statements", "SELECT").await;
    check("SELECT action + event_time FROM events", Kind::Invalid, "cannot be answered", "").await;
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    check(&deep, Kind::Syntax, "cannot be read", "").await;
    let long = format!("SELECT '{}'", "x".repeat(2 << 20));
    check(&long, Kind::Syntax, "longer than 1 MiB", "").await;
}

#[test]
fn errors_show_their_source_once() {
    let error = Error::caused(Kind::Store, "the outer", std::io::Error::other("the inner"));
    assert_eq!(error.to_string(), "the outer");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the inner");
}
