//! An application that gets tokens for itself with an id and a secret (RFC 6749, section 4.4).

use event::Secret;

use crate::poll::auth::Token;
use crate::poll::client::Client;
use crate::poll::request::{Request, Verb};
use crate::poll::source::now_ms;

/// Gives out tokens of one application.
#[derive(Debug)]
pub struct Issuer {
    pub token_url: String,
    pub client_id: String,
    pub client_secret: Secret,
}

impl Issuer {
    /// Fails in words that hold no secret. A redirect is not followed: the secret is for the address that was given.
    pub(super) async fn issue(&self, client: &Client) -> Result<Token, String> {
        let pairs = [
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.client_secret.expose()),
        ];
        let mut request = Request::new(Verb::Post, &self.token_url).form(&pairs);
        request.header("Accept", "application/json");
        let reply = client.send(request).await.map_err(|lost| format!("no token: {lost}"))?;
        if let (300..400, Some(to)) = (reply.status, reply.header("location")) {
            let to = Request::new(Verb::Get, to);
            let host = event::shown::line(to.host_and_path().0).to_string();
            return Err(format!("no token: it is to be got at {host}, which is not who was asked"));
        }
        Token::read(&reply, now_ms())
    }
}
