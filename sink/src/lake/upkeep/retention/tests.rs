use super::super::super::manifest::tests::sample;
use super::*;

/// A file of a table in an hour, counted from 2026-03-01T00.
fn file(table: &str, hour: i64, bytes: u64) -> LiveFile {
    let mut file = sample(1, None).files.swap_remove(0);
    let hour = Hour(Hour::parse("2026-03-01", 0).unwrap().0 + hour);
    (file.dt, file.hr) = hour.dt_hr();
    (file.table, file.bytes) = (table.into(), bytes);
    file.path = format!("{table}-{:08}", hour.0);
    file.kind = match table {
        "alerts" => FileKind::Alerts,
        "dead_letters" => FileKind::DeadLetters,
        _ => FileKind::Events,
    };
    (file.min_time, file.max_time) = (hour.0 * HOUR_US, (hour.0 + 1) * HOUR_US - 1);
    LiveFile { lane: "main".into(), epoch: 1, file, columns: [].into(), rewrites: 0 }
}

/// Files of these tables in these hours, each of 100 bytes.
fn files(tables: &[&str], hours: std::ops::Range<i64>) -> Vec<LiveFile> {
    let of = |hour| tables.iter().map(move |table| file(table, hour, 100));
    hours.flat_map(of).collect()
}

/// Which hours of which tables go, at the end of an hour.
fn check(files: &[LiveFile], options: &str, now: i64, expected: &[(&str, i64, Why)]) {
    let options: RetentionOptions = serde_json::from_str(options).unwrap();
    options.check().unwrap();
    let first = Hour::parse("2026-03-01", 0).unwrap().0;
    let now = (first + now + 1) * HOUR_US;
    let gone = expired(files, &options, now, now);
    let named = |(live, why): &(&LiveFile, Why)| {
        let hour = Hour::parse(&live.file.dt, live.file.hr).unwrap().0 - first;
        (live.file.table.clone(), hour, *why)
    };
    let mut gone: Vec<_> = gone.iter().map(named).collect();
    gone.sort_by_key(|(table, hour, _)| (table.clone(), *hour));
    let expected = expected.iter().map(|(table, hour, why)| ((*table).to_owned(), *hour, *why));
    assert_eq!(gone, expected.collect::<Vec<_>>());
}

#[test]
fn hours_go_when_their_days_are_over() {
    let all = files(&["flow", "trail", "alerts", "dead_letters"], 0..3);
    check(&all, "{}", 1_000_000, &[]);
    check(&all, r#"{"days":1}"#, 24, &[]);
    // After its last microsecond, and only events.
    check(&all, r#"{"days":1}"#, 25, &[("flow", 0, Why::Age), ("trail", 0, Why::Age)]);
    let flow = r#"{"days":400,"tables":{"flow":1,"alerts":2}}"#;
    check(&all, flow, 26, &[("flow", 0, Why::Age), ("flow", 1, Why::Age)]);
    let flow = [0, 1, 2].map(|hour| ("flow", hour, Why::Age));
    let expected = [&[("alerts", 0, Why::Age)][..], &flow].concat();
    check(&all, r#"{"tables":{"flow":1,"alerts":2}}"#, 49, &expected);
}

#[test]
fn the_oldest_hours_go_when_there_is_too_much() {
    let all = files(&["flow", "trail"], 0..3);
    check(&all, r#"{"bytes_max":600}"#, 3, &[]);
    check(&all, r#"{"bytes_max":599}"#, 3, &[("flow", 0, Why::Size)]);
    let three = [("flow", 0, Why::Size), ("flow", 1, Why::Size), ("trail", 0, Why::Size)];
    check(&all, r#"{"bytes_max":300}"#, 3, &three);
    // What goes by its age makes room; what is no event only takes it.
    let by_age = [("flow", 0, Why::Age), ("trail", 0, Why::Age)];
    check(&all, r#"{"days":1,"bytes_max":400}"#, 25, &by_age);
    let with_alerts = [files(&["alerts"], 0..6), files(&["flow"], 0..2)].concat();
    let flow = [("flow", 0, Why::Size), ("flow", 1, Why::Size)];
    check(&with_alerts, r#"{"bytes_max":300}"#, 3, &flow);
}

#[test]
fn what_is_held_stays() {
    let all = files(&["flow", "trail"], 0..48);
    let held = |hold: &str| format!(r#"{{"days":1,"bytes_max":0,"hold":[{hold}]}}"#);
    check(&all, &held(r#"{"reason":"case 7"}"#), 1_000, &[]);
    let second = held(r#"{"reason":"case 7","from":"2026-03-02","to":"2026-03-02"}"#);
    let gone: Vec<_> =
        ["flow", "trail"].iter().flat_map(|t| (0..24).map(|h| (*t, h, Why::Age))).collect();
    check(&all, &second, 1_000, &gone);
    let until = held(r#"{"reason":"case 7","tables":["trail"],"to":"2026-03-01"}"#);
    let flow = (0..48).map(|hour| ("flow", hour, Why::Age));
    let gone: Vec<_> = flow.chain((24..48).map(|hour| ("trail", hour, Why::Age))).collect();
    check(&all, &until, 1_000, &gone);
    // A late row of the day that is held lies in a file of another.
    let mut late = file("trail", 40, 100);
    late.file.min_time -= 30 * HOUR_US;
    check(&[late], &until, 1_000, &[]);
}

#[test]
fn what_came_lately_stays_until_it_is_forgotten() {
    let options: RetentionOptions = serde_json::from_str(r#"{"days":1,"bytes_max":0}"#).unwrap();
    let mut all = files(&["flow"], 0..2);
    all[1].file.max_ingest = 1_000;
    let gone = |since| expired(&all, &options, since, i64::MAX).len();
    assert_eq!((gone(999), gone(1_000)), (1, 2));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (options, named) in [
        (r#"{"days":0}"#, "days"),
        (r#"{"tables":{"flow":0}}"#, "tables.flow"),
        (r#"{"hold":[{"from":"yesterday"}]}"#, "yesterday"),
        (r#"{"hold":[{"to":"2026-02-30"}]}"#, "2026-02-30"),
        (r#"{"hold":[{"from":"2026-03-02","to":"2026-03-01"}]}"#, "before it begins"),
    ] {
        let options: RetentionOptions = serde_json::from_str(options).unwrap();
        let error = options.check().unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}
