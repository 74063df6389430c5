//! Sources whose other side fails: a broker that is away, a write-ahead log on a full disk.

use std::time::Duration;

use servers::{Broker, Wire};

use super::{Site, free_port};
use crate::queue;
use crate::support::{Small, accepts, column_counts, fill, number, ok, post};

fn flows(range: std::ops::Range<usize>) -> Vec<String> {
    let flow = |n| {
        format!(
            "2 123456789012 eni-{n} 10.0.0.5 198.51.100.9 5 443 6 10 840 1763633700 1763633760 ACCEPT OK"
        )
    };
    range.map(flow).collect()
}

#[test]
fn a_broker_that_goes_and_comes_back_is_seen_and_loses_nothing() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let Some(broker) = Broker::start_behind(&address) else { return };
    let wire = Wire::start(port, &broker.address);
    let topic = broker.topic_over("flows", 2, &address, &[]);
    let config = queue::config(&address, "flows");
    let mut site =
        Site::with(&format!("lake: {{url: ./lake, epoch_ms_max: 150}}\nsources:\n{config}"));
    let up = "mantissa_source_up{source=\"queue\"}";
    topic.produce_batch(0, &flows(0..300));
    site.start();
    site.wait("the first messages", |site| site.metric("mantissa_events_stored_total") == 300.0);
    site.wait("the broker up", |site| site.metric(up) == 1.0);

    wire.cut();
    site.wait("the broker seen away", |site| site.metric(up) == 0.0);
    assert!(site.metric("mantissa_source_errors_total{source=\"queue\"}") > 0.0);
    assert_eq!(site.get("/livez", "").0, 200, "a restart would not help");
    let log = std::fs::read_to_string(site.path("log")).unwrap();
    assert!(log.contains("queue") && log.contains("brokers are down"), "{log}");
    // Longer than a session: the group takes this member for dead.
    std::thread::sleep(Duration::from_secs(4));

    wire.mend();
    topic.produce_batch(0, &flows(300..500));
    topic.produce_batch(1, &flows(500..700));
    site.wait("all messages", |site| site.metric("mantissa_events_stored_total") >= 700.0);
    site.wait("the broker up again", |site| site.metric(up) == 1.0);
    site.stop();
    let have = column_counts(&site.lake(), "aws_vpcflow", "interface_id");
    assert_eq!(have.len(), 700);
    assert!(have.values().all(|count| *count == 1), "stored more than once");
    ok(&["lake", "verify", "--deep", "--lake", site.lake().to_str().unwrap()]);
}

/// The write-ahead log is on a small disk of its own, the lake is not.
#[test]
fn a_log_on_a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let port = free_port();
    let mut site = Site::with(&format!(
        "lake: {{url: ./lake, epoch_ms_max: 150}}\nsources:\n  push:\n    log_type: aws.vpcflow\n    \
         http: {{listen: \"127.0.0.1:{port}\", allow_anonymous: true, wal_folder: ./small/wal}}\n"
    ));
    let Some(small) = Small::mount(&site.path("small"), "1m") else { return };
    site.start();
    let lines = |from: usize| flows(from..from + 50).join("\n");
    assert!(accepts(port, &lines(0)));

    let filler = small.0.join("filler");
    fill(&filler);
    let (mut accepted, mut refused) = (vec![0], 0);
    for n in 1..6 {
        let answer = post(port, &lines(n * 50)).expect("an answer");
        if answer.starts_with("http/1.1 200") {
            accepted.push(n * 50);
            continue;
        }
        assert!(
            answer.starts_with("http/1.1 503") && answer.contains("retry-after: 10"),
            "{answer}"
        );
        refused += 1;
    }
    assert!(refused >= 4, "{refused} refused");
    assert!(site.metric("mantissa_source_errors_total{source=\"push\"}") >= f64::from(refused));
    let log = std::fs::read_to_string(site.path("log")).unwrap();
    let said = log.matches("the write-ahead log cannot be written").count();
    assert_eq!(said, 1, "once, not for each request: {log}");
    assert!(!log.contains('\x1b'), "a file gets no colours: {log}");
    // kill -9 in this state: what was accepted is there, what was refused is not.
    site.signal("-KILL");
    site.child.take().unwrap().wait().unwrap();
    std::fs::remove_file(&filler).unwrap();
    site.start();
    for n in 6..10 {
        // The first may knock before anybody listens.
        site.wait("room", |_| accepts(port, &lines(n * 50)));
        accepted.push(n * 50);
    }
    let wanted = accepted.len() * 50;
    site.wait("every accepted line", |site| {
        site.metric("mantissa_source_records_total{source=\"push\"}") >= 200.0
            && number(&site.lake(), "select count(*) as n from events") >= wanted as i64
    });
    site.stop();
    let have = column_counts(&site.lake(), "aws_vpcflow", "interface_id");
    assert_eq!(have.len(), wanted);
    for from in accepted {
        assert!(
            (from..from + 50).all(|n| have.get(&format!("eni-{n}")) == Some(&1)),
            "from {from}"
        );
    }
}

/// The lake is on a small disk; messages go on coming, more of them than are taken ahead of it.
#[test]
fn a_topic_waits_for_a_lake_on_a_full_disk() {
    let Some(broker) = Broker::start() else { return };
    let topic = broker.topic("flows", 1);
    let source = queue::config(&broker.address, "flows");
    let mut site = Site::with(&format!(
        "state_dir: ./state\nlake: {{url: ./small/lake, epoch_ms_max: 150, epoch_bytes_max: 100000}}\n\
         sources:\n{source}"
    ));
    let Some(small) = Small::mount(&site.path("small"), "24m") else { return };
    let (lake, filler) = (small.0.join("lake"), small.0.join("filler"));
    topic.produce_batch(0, &flows(0..300));
    site.start();
    let stored = "mantissa_events_stored_total";
    site.wait("the first messages", |site| site.metric(stored) == 300.0);

    fill(&filler);
    let all = 100_000;
    for from in (300..all).step_by(5_000) {
        topic.produce_batch(0, &flows(from..all.min(from + 5_000)));
    }
    site.wait("a degraded lake", |site| site.check("lake").1 == "degraded");
    let read = "mantissa_source_records_total{source=\"queue\"}";
    let mut last = -1.0;
    site.wait("reading that waits", |site| {
        std::thread::sleep(Duration::from_millis(1_500));
        std::mem::replace(&mut last, site.metric(read)) == site.metric(read)
    });
    let ahead = site.metric(read);
    assert!(ahead < all as f64, "{ahead} were read ahead: it does not wait");
    // Longer than a session: whoever waits is still a member of the group.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(site.metric("mantissa_source_up{source=\"queue\"}"), 1.0);
    assert_eq!(site.check("source queue").0, 200);
    assert_eq!((site.metric(stored), site.metric(read)), (300.0, ahead));

    std::fs::remove_file(&filler).unwrap();
    site.wait("all messages", |site| site.metric(stored) == all as f64);
    site.wait("a lake that is well", |site| site.check("lake").1 == "ok");
    site.stop();
    let have = column_counts(&lake, "aws_vpcflow", "interface_id");
    assert_eq!(have.len(), all);
    assert!(have.values().all(|count| *count == 1), "stored more than once");
    ok(&["lake", "verify", "--deep", "--lake", lake.to_str().unwrap()]);
}
