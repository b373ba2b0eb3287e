//! The citizen issuer (spec/helseid.md §18), in-process: its tokens are read by the hub's own portal only. The public
//! endpoints come with their own issue; issuer name, key set and claims are final.
//!
//! It shares nothing with HelseID but the token library: another issuer, another key set, so that a citizen's token never
//! passes where personnel are expected.

use jose::jws::Compact;
use jose::jwt::{Claims, Validation};
use jose::keyring::{Keyring, KeyringError};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

/// Path of the issuer below the base.
pub const ISSUER_PATH: &str = "/sts/oidcprov/v3";
/// Life of an ID token, seconds.
pub const ID_TOKEN_S: i64 = 300;
const MAX_TOKEN_BYTES: usize = 8_192;

/// Issues and reads citizen ID tokens.
#[derive(Clone)]
pub struct CitizenIssuer {
    issuer: String,
    keys: Arc<Mutex<Keyring>>,
}

/// Why an ID token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Signing failed.
    #[error("cannot sign: {0}")]
    Sign(#[from] KeyringError),
    /// Not a token of this issuer for this client, or expired.
    #[error("not a valid token: {0}")]
    Invalid(String),
}

impl CitizenIssuer {
    /// The issuer of `<base>`.
    pub fn new(base: &str, keys: Arc<Mutex<Keyring>>) -> Self {
        Self {
            issuer: format!("{base}{ISSUER_PATH}"),
            keys,
        }
    }

    /// An ID token for a citizen who has just logged in at level 4. `nonce` ties it to the client's login.
    pub fn id_token(
        &self,
        nin: &str,
        client_id: &str,
        nonce: &str,
        now_s: i64,
    ) -> Result<String, TokenError> {
        let mut claims = Claims::default();
        claims
            .set("iss", self.issuer.as_str())
            .set("aud", client_id)
            .set("sub", subject(nin))
            .set("nonce", nonce)
            .set("iat", now_s)
            .set("nbf", now_s)
            .set("exp", now_s + ID_TOKEN_S)
            .set("auth_time", now_s)
            .set("acr", "Level4")
            .set("amr", json!(["TestIdp"]))
            .set("pid", nin)
            .set("represented_pid", nin);
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(keys.sign("JWT", &claims)?)
    }

    /// National id in an ID token of this issuer for `client_id` with this nonce.
    pub fn verify(
        &self,
        token: &str,
        client_id: &str,
        nonce: &str,
        now_s: i64,
    ) -> Result<String, TokenError> {
        let invalid = |e: &dyn std::fmt::Display| TokenError::Invalid(e.to_string());
        let compact = Compact::parse(token, MAX_TOKEN_BYTES).map_err(|e| invalid(&e))?;
        let kid = compact.kid.as_deref().ok_or_else(|| invalid(&"no kid"))?;
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let key = keys.find(kid).ok_or_else(|| invalid(&"unknown key"))?;
        compact.verify(key).map_err(|e| invalid(&e))?;
        let claims = Claims::parse(&compact.payload).map_err(|e| invalid(&e))?;
        let validation = Validation {
            now_s,
            leeway_s: 5,
            issuer: &self.issuer,
            audience: Some(client_id),
            only_audience: true,
        };
        validation.check(&claims).map_err(|e| invalid(&e))?;
        if claims.required_text("nonce").map_err(|e| invalid(&e))? != nonce {
            return Err(invalid(&"nonce"));
        }
        Ok(claims
            .required_text("pid")
            .map_err(|e| invalid(&e))?
            .to_owned())
    }

    /// Public keys.
    pub fn jwks(&self) -> serde_json::Value {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .jwks()
    }
}

/// A stable pseudonym: `sub` never carries the number itself.
fn subject(nin: &str) -> String {
    store::sha256(format!("helsenorge|{nin}").as_bytes())
        .iter()
        .take(16)
        .map(|b| format!("{b:02x}"))
        .collect()
}
