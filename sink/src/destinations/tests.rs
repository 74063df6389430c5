use serde_json::json;

use super::*;
use crate::testing::install_tls;

fn check(config: serde_json::Value, expected: Result<(), &str>) {
    install_tls();
    let config: DestinationConfig = serde_json::from_value(config).unwrap();
    let built = build(&BTreeMap::from([("soc".to_owned(), config)]));
    let found = built.map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(found, expected.map_err(str::to_owned));
}

#[test]
fn exactly_one_kind_is_given() {
    check(json!({"stdout": {}}), Ok(()));
    check(json!({"stdout": {"format": "json"}}), Ok(()));
    check(json!({"file": {"path": "alerts.ndjson"}}), Ok(()));
    check(json!({"webhook": {"url": "https://example.com/hook"}}), Ok(()));
    check(json!({"slack": {"webhook_url": "https://example.com/hook"}}), Ok(()));
    check(
        json!({}),
        Err("destinations.soc: gives no kind of destination; give one of stdout, file, webhook, \
             slack"),
    );
    check(
        json!({"stdout": {}, "file": {"path": "x"}}),
        Err("destinations.soc: gives both stdout and file; give one"),
    );
    check(
        json!({"file": {"path": ""}}),
        Err("destinations.soc.file.path: is empty; give the file to append to"),
    );
    check(
        json!({"webhook": {"url": "http://169.254.169.254/x"}}),
        Err("destinations.soc.webhook.url: leads to an address that is reserved for the cloud's \
             own services; set allow_link_local if that is meant"),
    );
}

#[test]
fn unknown_options_are_refused_and_secrets_are_not_shown() {
    for config in [json!({"smtp": {}}), json!({"stdout": {"colour": true}})] {
        assert!(serde_json::from_value::<DestinationConfig>(config).is_err());
    }
    let config = json!({"slack": {"webhook_url": "https://hooks/hunter2"}});
    let config: DestinationConfig = serde_json::from_value(config).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn every_option_is_described_in_the_schema() {
    let schema = schemars::schema_for!(DestinationConfig).to_value().to_string();
    for option in ["whsec_", "allow_link_local", "channel_routes", "timeout_ms", "level_min"] {
        assert!(schema.contains(option), "{option}");
    }
}
