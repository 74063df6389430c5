//! Signed requests to S3, without a body
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>).

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use ring::{digest, hmac};
use tokio::sync::Mutex;

use super::words;
use crate::poll::request::Request;
use crate::poll::source::now_ms;
use crate::poll::when::Form;
use crate::stores::Proof;

/// Credentials that end sooner than that are got anew.
const RENEW: Duration = Duration::from_secs(300);

/// Signs for one region, with credentials that are renewed before they end.
#[derive(Debug)]
pub(crate) struct Signer {
    held: std::sync::Arc<Held>,
    region: String,
}

/// The credentials of a source.
#[derive(Debug)]
pub(crate) struct Held {
    provider: Option<SharedCredentialsProvider>,
    credentials: Mutex<Option<(Credentials, SystemTime)>>,
}

impl Held {
    pub fn new(config: &SdkConfig) -> Self {
        Self { provider: config.credentials_provider(), credentials: Mutex::default() }
    }

    async fn get(&self) -> Result<Credentials, String> {
        // Held while they are got, so that requests that need them at the same time share them.
        let mut held = self.credentials.lock().await;
        let now = SystemTime::now();
        if let Some((credentials, until)) = held.as_ref()
            && *until > now
        {
            return Ok(credentials.clone());
        }
        let provider = self.provider.as_ref().ok_or("there are no credentials")?;
        let got = provider.provide_credentials().await;
        let got = got.map_err(|e| format!("no credentials: {}", words(&e)))?;
        let until = got.expiry().map_or(now + RENEW, |end| end - RENEW);
        *held = Some((got.clone(), until));
        Ok(got)
    }
}

impl Signer {
    pub fn new(held: std::sync::Arc<Held>, region: &str) -> Self {
        Self { held, region: region.to_owned() }
    }
}

#[async_trait]
impl Proof for Signer {
    async fn sign(&self, request: &mut Request) -> Result<(), String> {
        let credentials = self.held.get().await?;
        sign(request, &credentials, &self.region, now_ms());
        Ok(())
    }
}

fn sign(request: &mut Request, credentials: &Credentials, region: &str, now_ms: i64) {
    let time = format!("{}Z", Form::Compact.write(now_ms)).chars().collect::<String>();
    let time = format!("{}T{}", &time[..8], &time[8..]);
    request.header("x-amz-content-sha256", sha256(b""));
    request.header("x-amz-date", time.as_str());
    if let Some(token) = credentials.session_token() {
        request.header("x-amz-security-token", token);
    }
    let (host, path) = request.host_and_path();
    // Slashes are signed as such, however they are sent.
    let (host, path) = (host.to_owned(), path.replace("%2F", "/"));
    let own = request.headers.iter().filter(|(name, _)| name.starts_with("x-amz-"));
    let mut signed: Vec<_> = own.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    signed.push(("host", &host));
    signed.sort_unstable();
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines = signed
        .iter()
        .fold(String::new(), |lines, (name, value)| lines + &format!("{name}:{}\n", value.trim()));
    let (verb, query) = (request.verb.as_str(), &request.query);
    let asked = format!("{verb}\n{path}\n{query}\n{lines}\n{names}\n{}", sha256(b""));
    let scope = format!("{}/{region}/s3/aws4_request", &time[..8]);
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(asked.as_bytes()));
    let secret = format!("AWS4{}", credentials.secret_access_key());
    let key = scope.split('/').fold(secret.into_bytes(), |key, part| hmac(&key, part));
    let (id, signature) = (credentials.access_key_id(), hex(&hmac(&key, &text)));
    let proof = format!(
        "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    request.header("authorization", proof);
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::request::Verb;

    /// Made with botocore 1.44.5.
    #[test]
    fn signatures_are_those_of_other_clients() {
        let check = |url: &str, token: Option<&str>, expected: &str| {
            let (id, secret) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
            let token = token.map(str::to_owned);
            let credentials = Credentials::new(id, secret, token, None, "test");
            let mut request = Request::new(Verb::Get, url);
            sign(&mut request, &credentials, "us-east-1", 1_767_323_045_000);
            let proof = &request.headers.iter().find(|(n, _)| n == "authorization").unwrap().1;
            assert!(proof.contains("AKIDEXAMPLE/20260102/us-east-1/s3/aws4_request"), "{proof}");
            assert!(proof.ends_with(&format!("Signature={expected}")), "{proof}");
        };
        check(
            "https://bkt.s3.us-east-1.amazonaws.com/AWSLogs/o-abc/1/CloudTrail/us-east-1/2026/01/02/\
             1_CloudTrail_us-east-1_20260102T0300Z_AbC.json.gz",
            Some("FwoGZXIvYXdzEXAMPLE"),
            "bbb554bbc7df2901ca60100e0f779608912f34ccc1b085b1a59925536e1973de",
        );
        for slash in ["/", "%2F"] {
            check(
                &format!(
                    "https://bkt.s3.us-east-1.amazonaws.com/a%20b{slash}c%2Bd%3De/%C3%A9.json.gz"
                ),
                None,
                "e27d1b0c60baa15be9020567443f8ddc7eeb635629d09d2e9a7bfc782f4b4a32",
            );
        }
    }
}
