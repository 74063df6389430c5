//! Azure Event Hubs by its Kafka endpoint: where it is, how it is proven who reads, and what its limits ask of the
//! client (<https://learn.microsoft.com/azure/event-hubs/apache-kafka-configurations>).

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use event::Secret;
use rdkafka::ClientConfig;
use rdkafka::client::OAuthToken;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::runtime::Handle;

use crate::poll::client::{Client, Reach};
use crate::tokens::{EntraAuth, Tokens};

/// A namespace of Event Hubs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventHubsOptions {
    /// `Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…`, of a policy that may listen. With an `EntityPath`
    /// no topic needs to be named.
    pub connection_string: Option<Secret>,
    /// `acme.servicebus.windows.net`, when there is no connection string: then Entra ID proves who reads.
    pub namespace: Option<String>,
    /// How Entra ID knows the program; default: the managed identity of the machine.
    pub auth: EntraAuth,
    /// `http://proxy:3128`, for the requests to Entra ID. Without it the environment's proxy applies.
    pub proxy: Option<Secret>,
    /// PEM file with more authorities that are trusted when Entra ID is asked.
    pub ca: Option<PathBuf>,
}

/// What a connection string says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Connection {
    host: String,
    hub: Option<String>,
    has_key: bool,
}

/// Limits of the service: idle connections are closed after four minutes, and sessions are at least six seconds.
const PROPERTIES: &[(&str, &str)] = &[
    ("security.protocol", "SASL_SSL"),
    ("socket.keepalive.enable", "true"),
    ("connections.max.idle.ms", "180000"),
    ("metadata.max.age.ms", "180000"),
    ("session.timeout.ms", "30000"),
    ("socket.timeout.ms", "60000"),
];

impl EventHubsOptions {
    /// What is wrong with the options.
    pub(super) fn fault(&self) -> Option<String> {
        match (&self.connection_string, &self.namespace) {
            (Some(_), Some(_)) | (None, None) => Some(
                "`event_hubs`: give `connection_string` or `namespace`, one of them".to_owned(),
            ),
            (Some(text), None) => {
                let connection = read(text);
                let is_whole = !connection.host.is_empty() && connection.has_key;
                (!is_whole).then(|| {
                    "`event_hubs`: `connection_string` is none of Event Hubs: it has an Endpoint and a \
                     SharedAccessKey"
                        .to_owned()
                })
            }
            (None, Some(namespace)) => {
                if namespace.contains("://") || !namespace.contains('.') {
                    return Some(
                        "`event_hubs`: `namespace` is a name like \
                                 acme.servicebus.windows.net"
                            .to_owned(),
                    );
                }
                let issuer = self.auth.issuer(&format!("https://{namespace}"));
                issuer.err().map(|words| format!("`event_hubs.auth`: {words}"))
            }
        }
    }

    /// The namespace's host.
    fn host(&self) -> String {
        let of_string = self.connection_string.as_ref().map(|text| read(text).host);
        of_string.or_else(|| self.namespace.clone()).unwrap_or_default()
    }

    /// The broker.
    pub(super) fn broker(&self) -> String {
        format!("{}:9093", self.host())
    }

    /// The hub that the connection string is for.
    pub(super) fn hub(&self) -> Option<String> {
        self.connection_string.as_ref().and_then(|text| read(text).hub)
    }

    pub(super) fn set(&self, config: &mut ClientConfig) {
        for (name, value) in PROPERTIES {
            config.set(*name, *value);
        }
        match &self.connection_string {
            Some(text) => {
                config.set("sasl.mechanism", "PLAIN");
                config.set("sasl.username", "$ConnectionString");
                config.set("sasl.password", text.expose().trim());
            }
            None => {
                config.set("sasl.mechanism", "OAUTHBEARER");
            }
        }
    }

    /// Gives tokens to the client, when they are what proves who reads.
    pub(super) fn bearer(&self, runtime: &Handle) -> Result<Option<Bearer>, String> {
        let Some(namespace) = &self.namespace else { return Ok(None) };
        let reach = Reach {
            proxy: self.proxy.as_ref().map(|proxy| proxy.expose().to_owned()),
            ca: self.ca.clone(),
            request_ms_max: 20_000,
            answer_bytes_max: 1 << 20,
        };
        let issuer = self.auth.issuer(&format!("https://{namespace}"))?;
        let tokens = Arc::new(Tokens::new(Client::new(&reach)?, issuer));
        Ok(Some(Bearer { tokens, runtime: runtime.clone() }))
    }
}

fn read(text: &Secret) -> Connection {
    let mut connection = Connection::default();
    for (name, value) in text.expose().split(';').filter_map(|part| part.split_once('=')) {
        match name.trim() {
            "Endpoint" => {
                let host = value.trim().trim_start_matches("sb://");
                host.trim_end_matches('/').clone_into(&mut connection.host);
            }
            "EntityPath" => connection.hub = Some(value.trim().to_owned()),
            "SharedAccessKey" | "SharedAccessSignature" => connection.has_key = !value.is_empty(),
            _ => {}
        }
    }
    connection
}

/// Tokens for a client of librdkafka, which asks for the next one before the last one ends.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    tokens: Arc<Tokens>,
    runtime: Handle,
}

impl Bearer {
    /// Waits for the token; called on the thread that polls.
    pub fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let got = self.runtime.block_on(self.tokens.get_until())?;
        let (token, lifetime_ms) = got.ok_or("there is no token")?;
        let token = token.expose().to_owned();
        Ok(OAuthToken { token, principal_name: "mantissa".to_owned(), lifetime_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::front::{Fate, front};

    const STRING: &str = "Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=listen;\
                          SharedAccessKey=hunter2=;EntityPath=insights-activity-logs";

    fn with(text: &str) -> EventHubsOptions {
        EventHubsOptions { connection_string: Some(Secret::new(text)), ..Default::default() }
    }

    #[test]
    fn a_connection_string_says_where_and_who() {
        let options = with(STRING);
        assert_eq!(options.fault(), None);
        assert_eq!(options.broker(), "acme.servicebus.windows.net:9093");
        assert_eq!(options.hub().as_deref(), Some("insights-activity-logs"));
        let mut config = ClientConfig::new();
        options.set(&mut config);
        assert_eq!(config.get("sasl.username"), Some("$ConnectionString"));
        assert_eq!(config.get("sasl.password"), Some(STRING));
        assert_eq!(config.get("security.protocol"), Some("SASL_SSL"));
        assert!(config.create_native_config().is_ok(), "librdkafka knows them all");
        for (options, expected) in [
            (with("hunter2"), "none of Event Hubs"),
            (EventHubsOptions::default(), "one of them"),
            (
                EventHubsOptions { namespace: Some("acme".into()), ..Default::default() },
                "`namespace`",
            ),
        ] {
            let fault = options.fault().unwrap();
            assert!(fault.contains(expected) && !fault.contains("hunter2"), "{fault}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_client_is_given_tokens_of_entra() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let body = r#"{"access_token":"t0ken","expires_in":"3600"}"#;
        let proxy = front("http://127.0.0.1:1", move |asked| {
            assert_eq!(asked.path, "/acme/oauth2/v2.0/token");
            Fate::Answer(200, body.to_owned())
        });
        let auth = EntraAuth {
            tenant: Some("acme".to_owned()),
            client_id: Some("app".to_owned()),
            client_secret: Some(Secret::new("s3cret")),
            authority: Some("http://login.invalid".to_owned()),
            ..EntraAuth::default()
        };
        let namespace = Some("acme.servicebus.windows.net".to_owned());
        let proxy = Some(Secret::new(proxy));
        let options = EventHubsOptions { namespace, auth, proxy, ..Default::default() };
        assert_eq!(options.fault(), None);
        let mut config = ClientConfig::new();
        options.set(&mut config);
        assert_eq!(config.get("sasl.mechanism"), Some("OAUTHBEARER"));
        assert!(config.create_native_config().is_ok());
        let bearer = options.bearer(&Handle::current()).unwrap().unwrap();
        let token = tokio::task::spawn_blocking(move || bearer.token().map_err(|e| e.to_string()));
        let token = token.await.unwrap().unwrap();
        assert_eq!(token.token, "t0ken");
        let left_ms = token.lifetime_ms - crate::poll::source::now_ms();
        assert!((3_000_000..=3_600_000).contains(&left_ms), "{left_ms}");
    }
}
