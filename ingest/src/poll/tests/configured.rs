//! Every connector with every proof of identity that it takes, as a user would configure it.

use std::collections::HashMap;

use event::Secret;

use crate::poll::auth::AuthKind;
use crate::poll::auth::AuthOptions;
use crate::poll::auth::duo::DuoOptions;
use crate::poll::auth::options::{
    BasicOptions, ClientOptions, GithubAppOptions, GoogleOptions, SnowflakeOptions, TokenOptions,
};
use crate::poll::connector::{Connectors, CursorRule};
use crate::poll::cursor::Cursor;
use crate::poll::options::{PollOptions, SettingValue};
use crate::poll::seen::ChunkText;
use crate::poll::source::PollSource;
use crate::source::Resume;

fn proof(kind: AuthKind) -> AuthOptions {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../auth/vectors/golden.json")).unwrap();
    let pem = golden["jwt"]["private_key_pem"].as_str().unwrap();
    let (key, token) = (|| Secret::new(pem), || TokenOptions { token: Secret::new("t") });
    let mut options = AuthOptions::default();
    match kind {
        AuthKind::Bearer => options.bearer = Some(token()),
        AuthKind::Ssws => options.ssws = Some(token()),
        AuthKind::Header => options.header = Some(token()),
        AuthKind::Basic => {
            options.basic = Some(BasicOptions { user: "u".into(), password: Secret::new("p") });
        }
        AuthKind::ClientCredentials => {
            options.client_credentials = Some(ClientOptions {
                client_id: "id".into(),
                private_key: Some(key()),
                ..Default::default()
            });
        }
        AuthKind::Google => {
            let file = serde_json::json!({"client_email": "a@b", "private_key": pem}).to_string();
            options.google = Some(GoogleOptions {
                key_file: Secret::new(file),
                subject: "admin@example.com".into(),
                ..Default::default()
            });
        }
        AuthKind::GithubApp => {
            let (app_id, installation_id) = ("1".into(), "2".into());
            options.github_app =
                Some(GithubAppOptions { app_id, installation_id, private_key: key() });
        }
        AuthKind::Snowflake => {
            let (account, user) = ("a".into(), "u".into());
            options.snowflake = Some(SnowflakeOptions { account, user, private_key: key() });
        }
        AuthKind::Duo => {
            let (integration_key, secret_key) = ("DI".into(), Secret::new("k"));
            options.duo =
                Some(DuoOptions { integration_key, secret_key, scheme: Default::default() });
        }
    }
    options
}

#[test]
fn every_connector_can_be_configured_with_every_proof_that_it_takes() {
    for connector in Connectors::builtin().all() {
        for kind in &connector.auth.accepts {
            let required =
                connector.settings.iter().filter(|(_, setting)| setting.default.is_none());
            let settings =
                required.map(|(name, _)| (name.clone(), SettingValue::One("x.example".into())));
            let options = PollOptions {
                connector: connector.name.clone(),
                settings: settings.collect(),
                auth: proof(*kind),
                ..Default::default()
            };
            let resolved = options.resolve().unwrap_or_else(|e| panic!("{}: {e}", connector.name));
            let setups = resolved.setups(&options, 1_767_322_800_000, 3_600_000);
            assert_eq!(setups.len() > 1, connector.each.is_some(), "{}", connector.name);
            let mut auth = options.auth(&resolved).unwrap();
            let token = auth.token_request(1_767_322_800_000).unwrap();
            let url = token.map(|request| request.url).unwrap_or_else(|| "https://x/y".into());
            assert!(url.starts_with("https://") && !url.contains("//x.example/x.example"), "{url}");
            let source = PollSource::new("s", &connector.log_type, options).unwrap();
            the_past_ends_where_it_begins(&source);
        }
    }
}

/// Also before a first window is read and after a crash: then the lake has the cursor as it began, or none.
fn the_past_ends_where_it_begins(source: &PollSource) {
    const NOW_MS: i64 = 1_767_322_800_000;
    let start_ms = NOW_MS - source.resolved.backfill_ms(&source.options);
    let begins_ms = match &source.resolved.connector.cursor {
        CursorRule::Window(rule) => start_ms - rule.overlap_ms,
        CursorRule::Token { .. } => start_ms,
    };
    let from_ms = |live: &HashMap<_, _>, now_ms, is_about_to_begin| {
        source.live_from_ms(live, now_ms, is_about_to_begin).unwrap()
    };
    assert_eq!(from_ms(&HashMap::new(), NOW_MS, false), Some(begins_ms));
    assert_eq!(from_ms(&HashMap::new(), NOW_MS, true), None, "it has not said where");
    let state = serde_json::json!({"cursor": Cursor::new(start_ms), "seen": ChunkText::default()});
    let resume = Resume { upto: 1, state: Some(state.to_string().into()) };
    let names = source.resolved.partitions.iter().map(|(name, _)| name.as_str().into());
    let live = names.map(|name| (name, resume.clone())).collect();
    for is_about_to_begin in [false, true] {
        assert_eq!(from_ms(&live, NOW_MS + 3_600_000, is_about_to_begin), Some(begins_ms));
    }
}
