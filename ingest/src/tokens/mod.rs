//! Access tokens of Google Cloud, Microsoft Entra ID and plain OAuth, for everything that speaks to their services:
//! one token for all requests of a source, got when it is needed and renewed before it ends.
//!
//! The protocols are here as requests that are made from options and a time; the network is that of
//! [`Client`]. Secrets are in headers and bodies only, which are never shown.

pub mod application;
pub mod entra;
pub mod google;

use event::Secret;
use tokio::sync::Mutex;

pub use entra::EntraAuth;
pub use google::GoogleAuth;

use crate::poll::auth::Token;
use crate::poll::client::Client;
use crate::poll::request::{Reply, Request};
use crate::poll::source::now_ms;

/// Who gives the tokens out.
#[derive(Debug)]
pub enum Issuer {
    Google(google::Issuer),
    Entra(entra::Issuer),
    /// OAuth's own way, by an id and a secret.
    Application(application::Issuer),
    /// Nobody: requests go without one, to an emulator or with another proof.
    Nobody,
}

/// The token of a source.
#[derive(Debug)]
pub struct Tokens {
    client: Client,
    issuer: Issuer,
    held: Mutex<Option<Token>>,
}

impl Tokens {
    pub fn new(client: Client, issuer: Issuer) -> Self {
        Self { client, issuer, held: Mutex::default() }
    }

    /// The token in force; `None` when nobody asks for one. Fails in words that hold no secret.
    pub async fn get(&self) -> Result<Option<Secret>, String> {
        Ok(self.get_until().await?.map(|(token, _)| token))
    }

    /// As [`Tokens::get`], with the time until which the token is to be used, milliseconds since 1970.
    pub async fn get_until(&self) -> Result<Option<(Secret, i64)>, String> {
        // Held while it is got, so that requests that need one at the same time share it.
        let mut held = self.held.lock().await;
        if let Some(token) = held.as_ref().filter(|token| now_ms() < token.renew_ms) {
            return Ok(Some((token.value.clone(), token.renew_ms)));
        }
        let token = match &self.issuer {
            Issuer::Google(issuer) => issuer.issue(&self.client).await?,
            Issuer::Entra(issuer) => issuer.issue(&self.client).await?,
            Issuer::Application(issuer) => issuer.issue(&self.client).await?,
            Issuer::Nobody => return Ok(None),
        };
        let token = held.insert(token);
        Ok(Some((token.value.clone(), token.renew_ms)))
    }

    /// The service has refused this token: the next one is got anew.
    async fn refused(&self, refused: &Secret) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|token| token.value == *refused) {
            *held = None;
        }
    }

    /// Sends a request with the token, once more with a new one when it is refused. Lost answers and
    /// refused tokens are told in words; any other status is for the caller to judge.
    pub async fn send(&self, request: Request) -> Result<Reply, String> {
        for is_last in [false, true] {
            let mut request = request.clone();
            let token = self.get().await?;
            if let Some(token) = &token {
                request.header("Authorization", format!("Bearer {}", token.expose()));
            }
            let reply = self.client.send(request).await.map_err(|lost| lost.0)?;
            match token {
                Some(token) if reply.status == 401 && !is_last => self.refused(&token).await,
                _ => return Ok(reply),
            }
        }
        Err("the service refuses the token".to_owned())
    }
}

/// Asks for a token.
async fn ask(client: &Client, request: Request, what: &str) -> Result<Token, String> {
    let reply = client.send(request).await.map_err(|lost| format!("{what}: {lost}"))?;
    Token::read(&reply, now_ms()).map_err(|words| format!("{what}: {words}"))
}

#[cfg(test)]
mod tests;
