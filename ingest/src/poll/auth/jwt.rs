//! Assertions signed with the customer's RSA key: RS256, and the fingerprint by which Snowflake knows it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64_URL};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{digest, rsa};
use serde_json::Value;

/// A private RSA key. Never shown.
pub struct Key(RsaKeyPair);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Key {
    /// From PEM text: `PRIVATE KEY` (PKCS#8) or `RSA PRIVATE KEY` (PKCS#1). What is wrong is told without
    /// the key.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let between = |label: &str| {
            let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
            let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
            // In JSON and environment variables line ends are often written as two characters.
            Some(body.replace("\\n", "").split_whitespace().collect::<String>())
        };
        let decode = |body: String| {
            BASE64.decode(body).map_err(|_| "the private key's PEM holds no base64".to_owned())
        };
        let refused =
            |error: ring::error::KeyRejected| format!("the private key is refused: {error}");
        let key = match (between("PRIVATE KEY"), between("RSA PRIVATE KEY")) {
            (Some(body), _) => RsaKeyPair::from_pkcs8(&decode(body)?).map_err(refused)?,
            (None, Some(body)) => RsaKeyPair::from_der(&decode(body)?).map_err(refused)?,
            (None, None) => {
                return Err("the private key is no PEM with `BEGIN PRIVATE KEY` or `BEGIN RSA \
                            PRIVATE KEY` (encrypted keys cannot be read)"
                    .to_owned());
            }
        };
        Ok(Self(key))
    }

    /// A token of these parts; members in the order given.
    pub fn sign(&self, kid: Option<&str>, claims: &[(&str, Value)]) -> Result<String, String> {
        let kid = kid.map(|kid| ("kid", Value::from(kid)));
        let header: Vec<(&str, Value)> = [("alg", Value::from("RS256"))]
            .into_iter()
            .chain(kid)
            .chain([("typ", "JWT".into())])
            .collect();
        let part = |members: &[(&str, Value)]| BASE64_URL.encode(object(members));
        let signed = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| "the private key cannot sign".to_owned())?;
        Ok(format!("{signed}.{}", BASE64_URL.encode(signature)))
    }

    /// Modulus and exponent of the public key, big-endian.
    #[cfg(test)]
    pub(crate) fn public_parts(&self) -> (Vec<u8>, Vec<u8>) {
        let parts = rsa::PublicKeyComponents::<Vec<u8>>::from(self.0.public());
        (parts.n, parts.e)
    }

    /// `SHA256:` and the hash of the public key, as Snowflake shows it for a user.
    pub fn fingerprint(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &public_key_info(self.0.public()));
        format!("SHA256:{}", BASE64.encode(hash))
    }
}

fn object(members: &[(&str, Value)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("{}:{value}", Value::from(*name))).collect();
    format!("{{{}}}", members.join(","))
}

/// The key as SubjectPublicKeyInfo (RFC 5280): the algorithm `rsaEncryption` around the bare key.
fn public_key_info(key: &rsa::PublicKey) -> Vec<u8> {
    const RSA_ENCRYPTION: &[u8] =
        &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let bits = [&[0], key.as_ref()].concat();
    tagged(0x30, &[RSA_ENCRYPTION, &tagged(0x03, &bits)].concat())
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        len @ 0..128 => out.push(len as u8),
        len => {
            let bytes = len.to_be_bytes();
            let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len() - 1);
            out.push(0x80 | (bytes.len() - start) as u8);
            out.extend_from_slice(&bytes[start..]);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::vectors;
    use super::*;

    #[test]
    fn tokens_are_those_of_other_peoples_encoders() {
        let vectors = vectors();
        let jwt = &vectors["jwt"];
        let key = Key::from_pem(jwt["private_key_pem"].as_str().unwrap()).unwrap();
        for (name, order) in [
            ("snowflake", &["iss", "sub", "iat", "exp"][..]),
            ("google_delegated", &["iss", "sub", "scope", "aud", "iat", "exp"]),
            ("salesforce", &["iss", "sub", "aud", "exp"]),
            ("okta_private_key_jwt", &["iss", "sub", "aud", "iat", "exp", "jti"]),
            ("github_app", &["iss", "iat", "exp"]),
        ] {
            let vector = &jwt[name];
            let claims: Vec<_> = order.iter().map(|c| (*c, vector["claims"][c].clone())).collect();
            assert_eq!(vector["claims"].as_object().unwrap().len(), claims.len());
            let token = key.sign(vector["header"]["kid"].as_str(), &claims).unwrap();
            assert_eq!(token, vector["token"].as_str().unwrap(), "{name}");
        }
        assert_eq!(key.fingerprint(), jwt["snowflake_fingerprint"].as_str().unwrap());
        assert_eq!(format!("{key:?}"), "***");
    }

    #[test]
    fn a_key_with_line_ends_as_text_is_read_and_others_are_refused_in_words() {
        let vectors = vectors();
        let pem = vectors["jwt"]["private_key_pem"].as_str().unwrap();
        assert!(Key::from_pem(&pem.trim().replace('\n', "\\n")).is_ok());
        for (pem, expected) in [
            ("hunter2", "no PEM"),
            ("-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----", "no base64"),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", "refused"),
        ] {
            let error = Key::from_pem(pem).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }
}
