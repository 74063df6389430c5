//! What the tests of alerts share. Compiled for tests only.

use std::sync::Arc;

use event::alert::RuleInfo;
use event::{Alert, AlertId, Facts, Secret, Timestamp};
use normalize::redact::{RedactOptions, Redactor};

use crate::outbound::Outlet;

/// The `n`th alert of one rule, detected `n` seconds after the epoch.
pub(crate) fn alert(n: u32) -> Alert {
    let event_uid = format!("{n:032x}");
    Alert {
        alert_id: AlertId::of_event("r", &event_uid),
        rule: RuleInfo { id: "r".into(), title: "Rule".into(), ..RuleInfo::default() },
        source: "s".into(),
        log_type: "t.x".into(),
        event_uid,
        event_time: Timestamp(0),
        detected_at: Timestamp(i64::from(n) * 1_000_000_000),
        lake_partition: "t_x/dt=1970-01-01/hr=00".into(),
        event: serde_json::Map::new(),
        facts: Facts::default(),
        dedup_key: String::new(),
        correlated: None,
        replayed: false,
    }
}

/// Redacts with a fixed key; of the facts it fills who and why.
pub(crate) fn outlet() -> Outlet {
    let options = RedactOptions {
        key: Secret::new("0123456789abcdef0123456789abcdef"),
        ..Default::default()
    };
    let redactor = Redactor::new(&options).expect("the key is long enough");
    Outlet::new(Arc::new(redactor), |alert| {
        let name = alert.event.get("actor_name").and_then(serde_json::Value::as_str);
        let (who, why) = (name.unwrap_or_default().to_owned(), alert.rule.description.clone());
        Facts { who, why, ..Facts::default() }
    })
}

/// What the program does once at its start; HTTP clients need it.
pub(crate) fn install_tls() {
    // Fails when another test was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
