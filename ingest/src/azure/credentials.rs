//! How requests to Azure Storage prove who sends them: a token of Entra ID, the account's key, or a shared
//! access signature.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use event::Secret;
use ring::hmac;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::poll::client::Client;
use crate::poll::request::{Reply, Request};
use crate::poll::source::now_ms;
use crate::stores;
use crate::stores::names::decoded;
use crate::tokens::{EntraAuth, Tokens};

/// The first version that takes tokens of Entra ID for queues.
const VERSION: &str = "2020-10-02";

/// How the source proves who it is: at most one of these; none is the managed identity of the machine.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AzureAuth {
    /// An application or a managed identity of Entra ID.
    pub entra: Option<EntraAuth>,
    /// A key of the storage account: it may do everything, so prefer the others.
    pub account_key: Option<Secret>,
    /// A shared access signature, `sv=…&sig=…`.
    pub sas: Option<Secret>,
}

#[derive(Debug)]
enum Kind {
    Entra(Arc<Tokens>),
    Key { account: String, key: Secret },
    Sas(Secret),
}

/// The proof of a source.
#[derive(Debug)]
pub(super) struct Proof {
    kind: Kind,
    client: Client,
}

impl AzureAuth {
    pub fn fault(&self) -> Option<String> {
        let given = [self.entra.is_some(), self.account_key.is_some(), self.sas.is_some()];
        if given.iter().filter(|is| **is).count() > 1 {
            return Some("`auth`: give one of `entra`, `account_key` and `sas`".to_owned());
        }
        let secrets = [&self.account_key, &self.sas];
        if secrets.into_iter().flatten().any(|secret| secret.expose().trim().is_empty()) {
            return Some("`auth`: a secret is empty".to_owned());
        }
        let is_key = |key: &Secret| BASE64.decode(key.expose().trim()).is_ok();
        if self.account_key.as_ref().is_some_and(|key| !is_key(key)) {
            return Some("`auth`: `account_key` is no key of a storage account".to_owned());
        }
        let entra = self.entra.clone().unwrap_or_default();
        entra.issuer(RESOURCE).err().map(|words| format!("`auth.entra`: {words}"))
    }

    pub(super) fn proof(&self, account: &str, client: Client) -> Result<Proof, String> {
        let kind = match (&self.account_key, &self.sas) {
            (Some(key), _) => Kind::Key { account: account.to_owned(), key: key.clone() },
            (None, Some(sas)) => {
                Kind::Sas(Secret::new(sas.expose().trim().trim_start_matches('?')))
            }
            (None, None) => {
                let issuer = self.entra.clone().unwrap_or_default().issuer(RESOURCE)?;
                Kind::Entra(Arc::new(Tokens::new(client.clone(), issuer)))
            }
        };
        Ok(Proof { kind, client })
    }
}

const RESOURCE: &str = "https://storage.azure.com";

impl Proof {
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request of the queue service.
    pub async fn send(&self, mut request: Request) -> Result<Reply, String> {
        request.header("x-ms-version", VERSION);
        if let Kind::Entra(tokens) = &self.kind {
            return tokens.send(request).await;
        }
        stores::Proof::sign(self, &mut request).await?;
        self.client.send(request).await.map_err(|lost| lost.0)
    }
}

#[async_trait]
impl stores::Proof for Proof {
    async fn sign(&self, request: &mut Request) -> Result<(), String> {
        match &self.kind {
            Kind::Entra(tokens) => {
                let token = tokens.get().await?.ok_or("there is no token")?;
                request.header("Authorization", format!("Bearer {}", token.expose()));
            }
            Kind::Sas(sas) => {
                let joint = if request.query.is_empty() { "" } else { "&" };
                request.query += &format!("{joint}{}", sas.expose());
            }
            Kind::Key { account, key } => {
                request.header("x-ms-date", http_date(now_ms()));
                let signature = signature(request, account, key);
                request.header("Authorization", format!("SharedKey {account}:{signature}"));
            }
        }
        Ok(())
    }
}

/// <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>
fn signature(request: &Request, account: &str, key: &Secret) -> String {
    let own = request.headers.iter().filter(|(name, _)| name.starts_with("x-ms-"));
    let mut own: Vec<String> = own.map(|(name, value)| format!("{name}:{value}\n")).collect();
    own.sort();
    let mut query: Vec<String> = request
        .query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| format!("\n{}:{}", name.to_lowercase(), decoded(value, false)))
        .collect();
    query.sort();
    let (_, path) = request.host_and_path();
    let header = |wanted| request.headers.iter().find(|(name, _)| name == wanted);
    let if_match = header("if-match").map_or("", |(_, value)| value.as_str());
    // Of the eleven headers that have lines of their own, the eighth is this, and no other is sent.
    let text = format!(
        "{}{}{if_match}{}{}/{account}{path}{}",
        request.verb.as_str(),
        "\n".repeat(8),
        "\n".repeat(4),
        own.concat(),
        query.concat()
    );
    let key = BASE64.decode(key.expose().trim()).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    BASE64.encode(hmac::sign(&key, text.as_bytes()))
}

/// `Fri, 15 Jan 2027 08:00:00 GMT`
fn http_date(ms: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = ms.div_euclid(1_000);
    let text = event::Timestamp::from_millis(seconds * 1_000).to_string();
    let month = text.get(5..7).and_then(|digits| digits.parse::<usize>().ok()).unwrap_or(1);
    let day = DAYS[usize::try_from(seconds.div_euclid(86_400).rem_euclid(7)).unwrap_or(0)];
    let part = |range| text.get(range).unwrap_or_default();
    let month = MONTHS[month.clamp(1, 12) - 1];
    format!("{day}, {} {month} {} {} GMT", part(8..10), part(0..4), part(11..19))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(1_800_000_000_999), "Fri, 15 Jan 2027 08:00:00 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn options_that_contradict_each_other_are_refused_without_the_secret() {
        let secret = || Some(Secret::new("hunter2!"));
        let fault = |auth: AzureAuth| auth.fault().unwrap_or_default();
        assert_eq!(fault(AzureAuth::default()), "");
        let both = AzureAuth { sas: secret(), account_key: secret(), ..AzureAuth::default() };
        assert!(fault(both).contains("give one of"));
        let key = AzureAuth { account_key: secret(), ..AzureAuth::default() };
        assert!(fault(key.clone()).contains("no key") && !fault(key).contains("hunter2"));
    }
}
