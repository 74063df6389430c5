//! Every connector with every proof of identity that it takes, as a user would configure it.

use event::Secret;

use crate::poll::auth::AuthKind;
use crate::poll::auth::AuthOptions;
use crate::poll::auth::duo::DuoOptions;
use crate::poll::auth::options::{
    BasicOptions, ClientOptions, GithubAppOptions, GoogleOptions, SnowflakeOptions, TokenOptions,
};
use crate::poll::connector::Connectors;
use crate::poll::options::{PollOptions, SettingValue};
use crate::poll::source::PollSource;

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
            assert!(PollSource::new("s", &connector.log_type, options).is_ok());
        }
    }
}
