//! SIGHUP reads the rules again; SIGTERM under load loses nothing.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Site, alerts_in, free_port, rule};
use crate::support::{accepts, cloudtrail, column_counts, ok};

#[test]
fn a_changed_rule_alerts_without_a_restart() {
    let mut site = Site::new("destinations:\n  out:\n    file:\n      path: ./alerts.ndjson\n");
    let alerts = site.path("alerts.ndjson");
    site.start();
    site.append(&[cloudtrail("1", "Watched"), cloudtrail("2", "Later")]);
    site.wait("the first alert", |_| alerts_in(&alerts).len() == 1);

    std::fs::write(site.path("rules/watched.yml"), rule("Later")).unwrap();
    site.signal("-HUP");
    let reloads = "mantissa_rule_reloads_total{result=\"ok\"}";
    site.wait("the reload", |site| site.metric(reloads) == 1.0);
    site.append(&[cloudtrail("3", "Watched"), cloudtrail("4", "Later")]);
    site.wait("the new rule's alert", |_| alerts_in(&alerts).len() == 2);
    assert_eq!(alerts_in(&alerts)[1]["title"], "Saw Later");

    // Without its folder the process keeps what it has, and says so.
    std::fs::rename(site.path("rules"), site.path("gone")).unwrap();
    site.signal("-HUP");
    site.wait("degraded rules", |site| site.check("rules").1 == "degraded");
    let (status, _, reason) = site.check("rules");
    assert!(status == 200 && reason.contains("rules"), "{status} {reason}");
    site.append(&[cloudtrail("5", "Later")]);
    site.wait("an alert of the old rule", |_| alerts_in(&alerts).len() == 3);

    // A broken document costs itself alone.
    std::fs::rename(site.path("gone"), site.path("rules")).unwrap();
    std::fs::write(site.path("rules/broken.yml"), "title: [").unwrap();
    site.signal("-HUP");
    site.wait("good rules", |site| site.check("rules").1 == "ok");
    site.append(&[cloudtrail("6", "Later")]);
    site.wait("an alert beside a broken rule", |_| alerts_in(&alerts).len() == 4);

    // A slip in a rule that runs would silence it: all stays as it is, and says where the slip is.
    let slip = rule("Later").replace("condition: selection", "condition: selektion");
    std::fs::write(site.path("rules/watched.yml"), slip).unwrap();
    std::fs::write(site.path("rules/added.yml"), rule("Added")).unwrap();
    site.signal("-HUP");
    site.wait("degraded rules", |site| site.check("rules").1 == "degraded");
    let (status, _, reason) = site.check("rules");
    assert!(status == 200 && reason.contains("watched.yml:"), "{status} {reason}");
    site.append(&[cloudtrail("7", "Added"), cloudtrail("8", "Later")]);
    site.wait("an alert of the rule before the slip", |_| alerts_in(&alerts).len() == 5);
    std::fs::write(site.path("rules/watched.yml"), rule("Later")).unwrap();
    site.signal("-HUP");
    site.wait("good rules", |site| site.check("rules").1 == "ok");
    site.append(&[cloudtrail("9", "Added")]);
    site.wait("the added rule's alert", |_| alerts_in(&alerts).len() == 6);
    site.stop();
    assert_eq!(alerts_in(&alerts).len(), 6);
}

#[test]
fn a_stop_under_load_keeps_everything_accepted() {
    let port = free_port();
    let mut site = Site::with(&format!(
        "lake:\n  url: ./lake\n  epoch_ms_max: 300\nrules:\n  builtin: false\nsources:\n  push:\n    \
         log_type: aws.cloudtrail\n    http:\n      listen: 127.0.0.1:{port}\n      \
         tokens: [t0ken]\n"
    ));
    site.start();
    let (stop, accepted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let lists: Vec<Vec<String>> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|sender| {
                let (stop, accepted) = (&stop, &accepted);
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    for request in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let ids: Vec<_> =
                            (0..40).map(|n| format!("{sender}-{request}-{n}")).collect();
                        let lines: String =
                            ids.iter().map(|id| cloudtrail(id, "ListUsers") + "\n").collect();
                        if accepts(port, &lines) {
                            accepted.fetch_add(ids.len(), Ordering::Relaxed);
                            mine.extend(ids);
                        }
                    }
                    mine
                })
            })
            .collect();
        // What the senders must see is the stop, whatever happens here.
        let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            site.wait("some load", |_| accepted.load(Ordering::Relaxed) > 2_000);
            site.stop();
        }));
        stop.store(true, Ordering::Relaxed);
        let lists = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        stopped.unwrap();
        lists
    });
    let have = column_counts(&site.lake(), "aws_cloudtrail", "event_uid");
    assert!(have.values().all(|n| *n == 1), "stored more than once");
    let lost: Vec<_> = lists.iter().flatten().filter(|id| !have.contains_key(*id)).collect();
    assert!(lost.is_empty(), "accepted and not in the lake: {} such as {:?}", lost.len(), lost[0]);
    ok(&["lake", "verify", "--deep", "--lake", site.lake().to_str().unwrap()]);
}
