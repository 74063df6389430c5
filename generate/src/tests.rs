use std::collections::{BTreeMap, HashSet};

use event::Timestamp;
use serde_json::Value;

use crate::{Company, Event, FLOW_HEADER, Load, Log, Mix, Truth, Writers, rules};

fn midnight() -> Timestamp {
    Timestamp::from_civil((2026, 11, 23), (0, 0, 0), 0).unwrap()
}

fn day(seed: u64) -> (Vec<Event>, Truth) {
    let company = Company::new(seed);
    let day = company.day(midnight());
    let truth = day.truth.clone();
    (day.collect(), truth)
}

fn of(events: &[Event], log: Log) -> Vec<&Event> {
    events.iter().filter(|event| event.log == log).collect()
}

/// The provider's identity as its consumers find it.
fn provider_id(log: Log, line: &str) -> Option<String> {
    let path = match log {
        Log::CloudTrail => "/eventID",
        Log::VpcFlow => return None,
        Log::GuardDuty => "/detail/id",
        Log::Okta => "/uuid",
        Log::GitHub => "/_document_id",
        Log::Kubernetes => "/auditID",
    };
    let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    Some(value.pointer(path).unwrap_or_else(|| panic!("no {path}: {line}")).as_str()?.to_owned())
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let hash = |seed| {
        let (events, truth) = day(seed);
        let mut hasher = event::Uid::of("day", &[]);
        for event in &events {
            hasher = event::Uid::of("day", &[&hasher.0, event.line.as_bytes()]);
        }
        let truth = serde_json::to_vec(&truth).unwrap();
        event::Uid::of("day", &[&hasher.0, &truth]).to_string()
    };
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
    // changes only when the generator does; then put the new value here
    assert_eq!(hash(7), GOLDEN);
}

const GOLDEN: &str = "3b9266ca066904328a786b3d6bbcc6ad";

#[test]
fn a_day_is_in_order_of_time_and_of_the_promised_size() {
    let (events, truth) = day(7);
    assert!((15_000..30_000).contains(&events.len()), "{}", events.len());
    assert!(events.is_sorted_by_key(|event| event.time));
    let day_ns = 24 * event::time::HOUR_NS;
    let first = midnight().0;
    assert!(events.iter().all(|e| (first..first + day_ns).contains(&e.time.0)));
    let mut counts = BTreeMap::new();
    for event in &events {
        *counts.entry(event.log).or_insert(0) += 1;
    }
    assert_eq!(counts, truth.events);
    assert_eq!(counts.len(), 6);
}

#[test]
fn two_days_share_no_identity() {
    let company = Company::new(7);
    let mut seen = HashSet::new();
    for start in [midnight(), Timestamp(midnight().0 + 24 * event::time::HOUR_NS)] {
        for event in company.day(start) {
            if let Some(id) = provider_id(event.log, &event.line) {
                assert!(seen.insert((event.log, id)), "{}", event.line);
            }
        }
    }
}

#[test]
fn the_truth_points_at_its_events() {
    for seed in [0, 7, 99] {
        let (events, truth) = day(seed);
        let alerts = truth.attacks.iter().flat_map(|attack| &attack.expected);
        let alerts = alerts.chain(truth.accepted.iter().map(|accepted| &accepted.alert));
        let refs =
            alerts.map(|alert| &alert.event).chain(truth.look_alikes.iter().map(|l| &l.event));
        for found in refs {
            let event = of(&events, found.log_type)[found.line as usize];
            assert_eq!(event.time, found.time);
            assert_eq!(provider_id(found.log_type, &event.line), found.provider_id);
            assert_eq!(found.connection.is_some(), found.log_type == Log::VpcFlow);
        }
        assert_eq!(truth.attacks.len(), 6);
        for attack in &truth.attacks {
            assert!(attack.expected.len() >= 4, "{}", attack.id);
            assert!(attack.begins < attack.ends && !attack.techniques.is_empty());
            let times = || attack.expected.iter().map(|e| e.event.time);
            assert!(times().is_sorted());
            assert!(times().all(|t| (attack.begins..=attack.ends).contains(&t)));
        }
        let touched: HashSet<_> =
            truth.attacks.iter().flat_map(|a| &a.expected).map(|e| e.event.log_type).collect();
        assert_eq!(touched.len(), 6, "the attacks touch every log type");
        let text = serde_json::to_string(&truth).unwrap();
        assert_eq!(serde_json::from_str::<Truth>(&text).unwrap(), truth);
    }
}

/// Fields that consumers rely on, present in every event of the type.
const REQUIRED: &[(Log, &[&str])] = &[
    (
        Log::CloudTrail,
        &[
            "/eventVersion",
            "/userIdentity/type",
            "/eventTime",
            "/eventSource",
            "/eventName",
            "/awsRegion",
            "/sourceIPAddress",
            "/userAgent",
            "/requestID",
            "/eventID",
            "/readOnly",
            "/eventType",
            "/managementEvent",
            "/recipientAccountId",
            "/eventCategory",
        ],
    ),
    (
        Log::GuardDuty,
        &[
            "/detail-type",
            "/detail/id",
            "/detail/type",
            "/detail/severity",
            "/detail/service/action/actionType",
            "/detail/service/archived",
            "/detail/resource/resourceType",
            "/detail/updatedAt",
        ],
    ),
    (
        Log::Okta,
        &[
            "/uuid",
            "/published",
            "/eventType",
            "/actor/alternateId",
            "/client/ipAddress",
            "/outcome/result",
            "/securityContext/isProxy",
            "/debugContext/debugData/requestUri",
            "/transaction/id",
        ],
    ),
    (Log::GitHub, &["/@timestamp", "/_document_id", "/action", "/actor", "/org", "/actor_ip"]),
    (
        Log::Kubernetes,
        &[
            "/auditID",
            "/stage",
            "/verb",
            "/requestURI",
            "/user/username",
            "/sourceIPs/0",
            "/responseStatus/code",
            "/requestReceivedTimestamp",
            "/stageTimestamp",
        ],
    ),
];

#[test]
fn events_have_the_vendors_shape() {
    let (events, _) = day(3);
    for (log, paths) in REQUIRED {
        for event in of(&events, *log) {
            let value: Value = serde_json::from_str(&event.line).unwrap();
            for path in *paths {
                let found = value.pointer(path).is_some_and(|v| !v.is_null());
                assert!(found, "no {path}: {}", event.line);
            }
            assert!(!event.line.contains("${"), "an open hole: {}", event.line);
        }
    }
}

#[test]
fn times_are_written_as_the_vendors_do() {
    let (events, _) = day(3);
    for event in &events {
        let text = event.time.to_string();
        let seconds = &text[..19];
        let (path, wanted) = match event.log {
            Log::CloudTrail => ("/eventTime", format!("{seconds}Z")),
            Log::Okta => ("/published", seconds.to_owned()),
            Log::Kubernetes => ("/requestReceivedTimestamp", seconds.to_owned()),
            Log::GuardDuty => ("/detail/updatedAt", seconds.to_owned()),
            Log::GitHub => {
                let value: Value = serde_json::from_str(&event.line).unwrap();
                assert_eq!(value["@timestamp"].as_i64(), Some(event.time.0 / 1_000_000));
                continue;
            }
            Log::VpcFlow => {
                let start = event.line.split(' ').nth(10).unwrap();
                assert_eq!(start, (event.time.0.div_euclid(1_000_000_000)).to_string());
                continue;
            }
        };
        let value: Value = serde_json::from_str(&event.line).unwrap();
        let found = value.pointer(path).unwrap().as_str().unwrap();
        assert!(found.starts_with(&wanted) && found.ends_with('Z'), "{found} {wanted}");
    }
}

#[test]
fn flow_records_have_the_columns_of_their_header() {
    let columns = FLOW_HEADER.split(' ').count();
    let (events, _) = day(3);
    for event in of(&events, Log::VpcFlow) {
        let fields: Vec<&str> = event.line.split(' ').collect();
        assert_eq!(fields.len(), columns, "{}", event.line);
        assert!(matches!(fields[12], "ACCEPT" | "REJECT") && fields[13] == "OK");
        assert!(fields[3].parse::<std::net::Ipv4Addr>().is_ok());
        assert!(fields[9].parse::<u64>().is_ok() && fields[10] <= fields[11]);
    }
}

/// Nothing of the ordinary noise does what the rules about it look for.
#[test]
fn ordinary_load_is_quiet_and_unique() {
    let mut load = Load::new(11, midnight(), 1_000, Mix::default());
    let (mut line, mut seen) = (String::new(), HashSet::new());
    let loud = [
        "\"CreateAccessKey\"",
        "StopLogging",
        "\"Principal\":\"*\"",
        "AdministratorAccess",
        "user.mfa.factor.reset_all",
        "\"isProxy\":true",
        "protected_branch.destroy",
        "\"visibility\":\"public\"",
        "cluster-admin",
        "ResponseStarted",
        "Root\"",
    ];
    for _ in 0..20_000 {
        let log = load.next_into(&mut line);
        assert!(loud.iter().all(|word| !line.contains(word)), "{line}");
        match provider_id(log, &line) {
            Some(id) => assert!(seen.insert((log, id)), "{line}"),
            None => {
                let fields: Vec<&str> = line.split(' ').collect();
                let door = matches!(fields[6], "22" | "3389" | "5432" | "6379" | "3306");
                let stranger = !fields[3].starts_with("10.");
                assert!(!(door && stranger && fields[12] == "ACCEPT"), "{line}");
            }
        }
    }
}

#[test]
fn a_load_of_one_type_is_only_that() {
    for log in Log::ALL {
        let load = Load::new(1, midnight(), 100, Mix::only(log));
        assert!(load.take(50).all(|(found, line)| found == log && !line.is_empty()));
        assert_eq!(Log::parse(log.as_str()), Some(log));
    }
}

#[test]
fn writers_put_a_header_before_the_first_flow_record() {
    let mut writers = Writers::new(|_| Ok(Vec::new()));
    for (log, line) in [(Log::Okta, "{}"), (Log::VpcFlow, "a"), (Log::VpcFlow, "b")] {
        writers.line(log, line).unwrap();
    }
    let outputs: Vec<_> = writers.into_outputs().collect();
    let flow = format!("{FLOW_HEADER}\na\nb\n").into_bytes();
    assert_eq!(outputs, [(Log::VpcFlow, flow), (Log::Okta, b"{}\n".to_vec())]);
}

/// The stories name rules by identity; the files are the authority.
#[test]
fn the_rules_of_the_stories_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    for rule in rules::ALL {
        let file = ["aws", "okta", "github", "kubernetes"]
            .map(|product| root.join(product).join(format!("{}.yml", rule.name)))
            .into_iter()
            .find(|path| path.exists())
            .unwrap_or_else(|| panic!("no file for {}", rule.name));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(&format!("\nid: {}\n", rule.id)), "{}", file.display());
    }
}
