//! Who we are at AWS, for every source that speaks to it.

pub(crate) mod sign;

use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::{Builder, tls};
use event::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// A request for messages waits at SQS for some seconds.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// Who we are at AWS, and where that is. What is not given comes from the environment as for any AWS program:
/// variables, the shared profile, web identity (EKS), the roles of containers (ECS) and instances (EC2).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AwsOptions {
    /// `eu-central-1`
    pub region: Option<String>,
    /// A profile of the shared configuration files.
    pub profile: Option<String>,
    /// A role to be taken on, `arn:aws:iam::123456789012:role/mantissa-reads-logs`.
    pub role_arn: Option<String>,
    /// What the role's owner wants to be told by who takes it on.
    pub external_id: Option<Secret>,
    /// The name of the session of that role.
    pub session_name: Option<String>,
    /// URL of a service that speaks as AWS does.
    pub endpoint: Option<String>,
    /// The key id, where the environment does not give one.
    pub access_key_id: Option<String>,
    /// The secret that belongs to `access_key_id`.
    pub secret_access_key: Option<Secret>,
    /// The session of temporary credentials.
    pub session_token: Option<Secret>,
}

impl AwsOptions {
    /// What is wrong with them.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            return Some("`access_key_id` and `secret_access_key` belong together".to_owned());
        }
        if self.role_arn.is_none() && (self.external_id.is_some() || self.session_name.is_some()) {
            return Some("`external_id` and `session_name` are for a `role_arn`".to_owned());
        }
        let is_role = |arn: &String| arn.starts_with("arn:") && arn.contains(":role/");
        if self.role_arn.as_ref().is_some_and(|arn| !is_role(arn)) {
            return Some("`role_arn` is like arn:aws:iam::123456789012:role/NAME".to_owned());
        }
        let is_url = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        let wrong = self.endpoint.as_ref().is_some_and(|url| !is_url(url));
        wrong.then(|| "`endpoint` is no address like https://s3.example.com".to_owned())
    }

    /// The settings for every client. Asks nobody yet but files and the environment.
    pub(crate) async fn load(&self) -> SdkConfig {
        let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let client = Builder::new().tls_provider(provider).build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(10))
            .operation_attempt_timeout(ATTEMPT_MAX)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client)
            .timeout_config(timeouts);
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let (Some(id), Some(secret)) = (&self.access_key_id, &self.secret_access_key) {
            let token = self.session_token.as_ref().map(|token| token.expose().to_owned());
            let secret = secret.expose().to_owned();
            loader = loader.credentials_provider(Credentials::new(
                id,
                secret,
                token,
                None,
                "configuration",
            ));
        }
        let base = loader.load().await;
        let Some(role) = &self.role_arn else { return base };
        let session = self.session_name.as_deref().unwrap_or("mantissa");
        let mut assumed = AssumeRoleProvider::builder(role).session_name(session).configure(&base);
        if let Some(id) = &self.external_id {
            assumed = assumed.external_id(id.expose());
        }
        let provider = SharedCredentialsProvider::new(assumed.build().await);
        base.into_builder().credentials_provider(provider).build()
    }
}

/// An error with all its causes in one line. The SDK keeps secrets out of them.
pub(crate) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    event::shown::line(&text).to_string()
}
