use super::super::super::manifest::ColumnKind;
use super::super::super::manifest::tests::sample;
use super::*;

const MB: u64 = 1 << 20;

fn column(name: &str, kind: ColumnKind) -> ColumnSpec {
    ColumnSpec { name: name.into(), kind }
}

/// A file that begins in the minute `n` of its hour and is one minute long.
fn file(n: i64, bytes: u64, rewrites: u8) -> LiveFile {
    let mut file = sample(1, None).files.swap_remove(0);
    let start = Hour::parse(&file.dt, file.hr).unwrap().0 * HOUR_US;
    file.path = format!("{n:04}-{rewrites}");
    (file.rows, file.bytes) = (bytes / 200 + 1, bytes);
    (file.min_time, file.max_time) = (start + n * 60_000_000, start + n * 60_000_000 + 59_999_999);
    let columns = [column("event_time", ColumnKind::Time)].into();
    LiveFile { lane: "main".into(), epoch: 1, file, columns, rewrites }
}

/// A time so many hours after the end of the files' hour.
fn after(hours: i64) -> i64 {
    (Hour::parse("2026-03-01", 9).unwrap().0 + 1 + hours) * HOUR_US
}

/// The inputs' names and the rewrites of each job.
fn check(files: &[LiveFile], now: i64, expected: &[(usize, u8)]) {
    let jobs = jobs(files, &CompactionOptions::default(), false, now);
    let found: Vec<_> = jobs.iter().map(|job| (job.inputs.len(), job.rewrites)).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_age_of_an_hour_decides_what_is_merged() {
    let new = |n| (0..n).map(|n| file(n, MB, 0)).collect::<Vec<_>>();
    check(&new(15), after(-1), &[]);
    check(&new(16), after(-1), &[(16, 1)]);
    check(&new(3), after(2), &[]);
    check(&new(4), after(2), &[(4, 1)]);
    check(&new(2), after(8 * 24), &[(2, 1)]);
    check(&new(1), after(8 * 24), &[]);
    // What was merged once waits for the end of the hour, what was merged twice for the last late rows.
    let mut mixed = new(4);
    mixed.extend([file(10, 20 * MB, 1), file(11, 30 * MB, 2), file(12, 30 * MB, 3)]);
    check(&mixed, after(-1), &[]);
    check(&mixed, after(2), &[(5, 2)]);
    check(&mixed, after(8 * 24), &[(6, 3)]);
    let thorough = jobs(&new(2), &CompactionOptions::default(), true, after(-1));
    assert_eq!(thorough.len(), 1);
}

#[test]
fn large_files_and_large_records_are_left_alone() {
    let mut files = vec![file(0, 128 * MB, 0), file(1, 200 * MB, 1)];
    let mut record = file(2, 40 * MB, 0);
    record.file.rows = 2;
    files.push(record);
    check(&files, after(8 * 24), &[]);
    files.extend([file(3, MB, 0), file(4, 127 * MB, 0)]);
    check(&files, after(8 * 24), &[(2, 1)]);
}

#[test]
fn a_file_is_not_larger_than_it_may_be() {
    // 30 files of 20 MB: twelve have 240 MB.
    let files: Vec<_> = (0..30).map(|n| file(n, 20 * MB, 0)).collect();
    check(&files, after(2), &[(12, 1), (12, 1), (6, 1)]);
    let jobs = jobs(&files, &CompactionOptions::default(), false, after(2));
    assert!(jobs.iter().all(|job| job.bytes() <= 256 * MB));
    let rows = files.iter().map(|live| live.file.rows).sum::<u64>();
    assert_eq!(jobs.iter().map(Job::rows).sum::<u64>(), rows);
    let times = jobs[0].times();
    assert_eq!((times.min_time, times.max_time), (files[0].file.min_time, files[11].file.max_time));
    // An epoch does no more than it can afford to lose.
    assert_eq!(batches(jobs).iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn inputs_that_are_open_together_are_bounded() {
    // All of them over the whole hour: 6 x 8 MB each, and four fit into 192 MB.
    let whole = |n| {
        let mut live = file(n, 8 * MB, 0);
        (live.file.min_time, live.file.max_time) = (0, after(0));
        live
    };
    let files: Vec<_> = (0..9).map(whole).collect();
    check(&files, after(2), &[(4, 1), (4, 1)]);
}

#[test]
fn only_the_same_hour_table_and_kind_and_columns_that_agree_go_together() {
    let with = |change: &dyn Fn(&mut LiveFile)| {
        let mut live = file(5, MB, 0);
        change(&mut live);
        let mut files: Vec<_> = (0..4).map(|n| file(n, MB, 0)).collect();
        files.push(live);
        files
    };
    check(&with(&|_| {}), after(2), &[(5, 1)]);
    check(&with(&|live| live.file.hr = 8), after(2), &[(4, 1)]);
    check(&with(&|live| live.file.table = "other".into()), after(2), &[(4, 1)]);
    check(&with(&|live| live.file.kind = FileKind::Alerts), after(2), &[(4, 1)]);
    check(&with(&|live| live.file.dt = "not a day".into()), after(2), &[(4, 1)]);
    let more = with(&|live| {
        live.columns =
            [column("later", ColumnKind::Int), column("event_time", ColumnKind::Time)].into();
    });
    check(&more, after(2), &[(5, 1)]);
    let job = jobs(&more, &CompactionOptions::default(), false, after(2)).swap_remove(0);
    assert_eq!(job.columns.iter().map(|c| &*c.name).collect::<Vec<_>>(), ["event_time", "later"]);
    let other = with(&|live| live.columns = [column("event_time", ColumnKind::Text)].into());
    check(&other, after(2), &[(4, 1)]);
}

/// However files come and whenever one looks: what was merged thrice is never merged again, and few
/// small files are left.
#[test]
fn every_byte_is_written_anew_three_times_at_most() {
    let mut files: Vec<LiveFile> = Vec::new();
    let (mut written, mut merged_bytes) = (0, 0);
    for step in 0..400 {
        // Two a minute while the hour lasts, then late ones, ever more seldom.
        let hours = if step < 120 { -1 } else { i64::from(step) - 120 };
        if step < 120 || step % 7 == 0 {
            let mut new = file(i64::from(step % 60), 2 * MB, 0);
            new.file.path = format!("new-{step}");
            written += new.file.bytes;
            files.push(new);
        }
        for job in jobs(&files, &CompactionOptions::default(), false, after(hours)) {
            assert!(job.rewrites <= REWRITES_MAX);
            files.retain(|live| job.inputs.iter().all(|i| i.file.path != live.file.path));
            let mut live = job.inputs[0].clone();
            (live.file.bytes, live.file.rows) = (job.bytes(), job.rows());
            live.file.path = format!("merged-{step}-{}", live.file.path);
            (live.rewrites, merged_bytes) = (job.rewrites, merged_bytes + job.bytes());
            files.push(live);
        }
    }
    assert_eq!(files.iter().map(|f| f.file.bytes).sum::<u64>(), written, "nothing is lost");
    assert!(merged_bytes <= 3 * written, "{merged_bytes} of {written}");
    assert!(files.len() <= 20, "{} are left", files.len());
}
