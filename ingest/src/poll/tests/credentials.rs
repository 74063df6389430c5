//! Settings and credentials of the sources that the tests run.

use event::Secret;

use super::vendors::Vendor;
use crate::poll::auth::options::{ClientOptions, GoogleOptions, SnowflakeOptions, TokenOptions};
use crate::poll::auth::{AuthOptions, duo};
use crate::poll::connector::Values;

/// Of all connectors together.
pub(super) fn settings() -> Values {
    [
        ("org", "acme.okta.com"),
        ("scope", "orgs/acme"),
        ("tenant", "t-1"),
        ("feed", "audit_events"),
        ("enterprise", "77"),
        ("account", "a1"),
        ("region", "eu"),
        ("version", "v60.0"),
        ("interval", "Hourly"),
        ("warehouse", "LOGS_WH"),
        ("role", "LOGS"),
        ("host", "api-1.duosecurity.com"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A credential of the kind that a vendor takes.
pub(super) fn of(vendor: Vendor) -> AuthOptions {
    let token = || Some(TokenOptions { token: Secret::new("t0k") });
    let mut options = AuthOptions::default();
    match vendor {
        Vendor::Okta => options.ssws = token(),
        Vendor::GitLab => options.header = token(),
        Vendor::Atlassian | Vendor::Cloudflare => options.bearer = token(),
        Vendor::GitHub | Vendor::Slack | Vendor::OnePassword => options.bearer = token(),
        Vendor::Duo | Vendor::DuoAdmin => {
            options.duo = Some(duo::DuoOptions {
                integration_key: "DI1".to_owned(),
                secret_key: Secret::new("k"),
                scheme: Default::default(),
            });
        }
        Vendor::Entra
        | Vendor::M365
        | Vendor::Box
        | Vendor::Auth0
        | Vendor::CrowdStrike
        | Vendor::OneLogin
        | Vendor::Zoom
        | Vendor::JamfProtect
        | Vendor::Salesforce
        | Vendor::SalesforceFiles => {
            options.client_credentials = Some(ClientOptions {
                client_id: "app".to_owned(),
                client_secret: Some(Secret::new("s")),
                ..Default::default()
            });
        }
        Vendor::Snowflake => {
            let golden: serde_json::Value =
                serde_json::from_str(include_str!("../auth/vectors/golden.json")).unwrap();
            options.snowflake = Some(SnowflakeOptions {
                account: "acme-prod".to_owned(),
                user: "mantissa".to_owned(),
                private_key: Secret::new(golden["jwt"]["private_key_pem"].as_str().unwrap()),
            });
        }
        Vendor::Google => {
            let golden: serde_json::Value =
                serde_json::from_str(include_str!("../auth/vectors/golden.json")).unwrap();
            let file = serde_json::json!({
                "client_email": "svc@p.iam.gserviceaccount.com",
                "private_key": golden["jwt"]["private_key_pem"],
            });
            options.google = Some(GoogleOptions {
                key_file: Secret::new(file.to_string()),
                subject: "admin@example.com".to_owned(),
                ..Default::default()
            });
        }
    }
    options
}
