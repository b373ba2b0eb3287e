//! What lives between two requests: pushed requests, open logins, codes, refresh families, sessions.
//!
//! Secrets (codes, tokens, cookies) are keys here only as hashes: whoever reads the storage cannot use them.
//! Single use rests on the atomic operations of [`State`].

use jose::encoding::{b64url, sha256};
use jose::state::{State, StateError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::rules::claims::Login;
use crate::rules::levels::Level;
use crate::rules::structures::Structures;

/// Life of a pushed request.
pub const PAR_S: i64 = 300;
/// Life of an open login page.
pub const LOGIN_S: i64 = 15 * 60;
/// Life of a code (attack A16).
pub const CODE_S: i64 = 60;
/// How long a used code is remembered, so that its second use is noticed: longer than its tokens live.
pub const USED_CODE_S: i64 = 3_600;
/// How long a replaced refresh token is still taken with the same key, for answers that got lost (spec §7).
pub const REFRESH_GRACE_S: i64 = 10;

/// A pushed authorization request, checked.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pushed {
    pub client_id: String,
    pub redirect_uri: String,
    pub scopes: Vec<String>,
    pub resources: Vec<String>,
    pub state: Option<String>,
    pub nonce: Option<String>,
    pub code_challenge: String,
    pub acr_values: Option<String>,
    pub prompt: Option<String>,
    pub max_age_s: Option<i64>,
    pub form_post: bool,
    pub dpop_jkt: Option<String>,
    pub structures: Structures,
    pub received_s: i64,
    pub test_pid: Option<String>,
    pub test_level: Option<Level>,
    /// Contracting party, passed on to the identity provider.
    #[serde(default)]
    pub on_behalf_of: Option<String>,
    /// Languages of the page, passed on to the identity provider.
    #[serde(default)]
    pub ui_locales: Option<String>,
    /// Certificate of the instance that pushed: thumbprint (citizens' public clients).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Headless test login of a citizen: for whom she acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_represented: Option<String>,
}

/// A login page that is open in a browser.
#[derive(Serialize, Deserialize)]
pub struct OpenLogin {
    pub request: Pushed,
    /// Hash of the cookie that binds the page to its browser (attacks A13, A14).
    pub browser: String,
    /// Value every form of the page carries.
    pub csrf: String,
    /// Who has logged in and still chooses for whom to act (citizens).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<Session>,
}

/// What a login grants; shared by codes and refresh families.
#[derive(Clone, Serialize, Deserialize)]
pub struct Granted {
    pub client_id: String,
    pub scopes: Vec<String>,
    pub resources: Vec<String>,
    pub nonce: Option<String>,
    pub acr: Option<String>,
    pub structures: Structures,
    pub received_s: i64,
    pub login: Login,
    /// Thumbprint of the certificate that codes and refresh tokens are bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// An authorization code.
#[derive(Clone, Serialize, Deserialize)]
pub struct Code {
    pub granted: Granted,
    pub redirect_uri: String,
    pub code_challenge: String,
    pub dpop_jkt: Option<String>,
    pub state: Option<String>,
    pub expires_s: i64,
    /// Set at redemption: what has to be revoked if the code comes again.
    pub used: Option<UsedCode>,
}

/// What a code was redeemed for.
#[derive(Clone, Serialize, Deserialize)]
pub struct UsedCode {
    pub family: String,
    pub access_token_id: String,
}

/// All refresh tokens that descend from one login; exactly one is current.
#[derive(Clone, Serialize, Deserialize)]
pub struct Family {
    pub granted: Granted,
    /// Hash of the current token.
    pub current: String,
    /// Hashes of replaced tokens, with when and with which key they were used; for the grace period.
    pub recent: Vec<Replaced>,
    pub expires_s: i64,
    /// However often it is prolonged, it ends then.
    #[serde(default)]
    pub latest_s: i64,
}

/// A refresh token that has been replaced.
#[derive(Clone, Serialize, Deserialize)]
pub struct Replaced {
    pub hash: String,
    pub at_s: i64,
    pub jkt: Option<String>,
}

/// A browser session at the issuer.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    pub login: Login,
    /// Where the user is also logged in: the identity provider's id and its ID token, for logging out there.
    #[serde(default)]
    pub upstream: Option<UpstreamSession>,
}

/// A session at an identity provider outside.
#[derive(Clone, Serialize, Deserialize)]
pub struct UpstreamSession {
    pub idp: String,
    pub id_token: String,
}

/// Hash under which a secret is kept.
#[must_use]
pub fn secret_hash(secret: &str) -> String {
    b64url(&sha256(secret.as_bytes()))
}

/// The storage with JSON values.
#[derive(Clone, Copy)]
pub struct Grants<'a>(pub &'a dyn State);

impl Grants<'_> {
    pub async fn put<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        expires_s: i64,
    ) -> Result<(), StateError> {
        self.0.put(key, to_bytes(value)?, expires_s).await
    }

    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StateError> {
        self.0
            .get(key)
            .await?
            .map(|bytes| from_bytes(&bytes))
            .transpose()
    }

    pub async fn take<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StateError> {
        self.0
            .take(key)
            .await?
            .map(|bytes| from_bytes(&bytes))
            .transpose()
    }

    /// Replaces a value that was read before; `false` when somebody else changed it meanwhile.
    pub async fn replace<T: Serialize>(
        &self,
        key: &str,
        read_before: &T,
        value: &T,
        expires_s: i64,
    ) -> Result<bool, StateError> {
        let expected = to_bytes(read_before)?;
        self.0
            .replace(key, &expected, to_bytes(value)?, expires_s)
            .await
    }
}

fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, StateError> {
    serde_json::to_vec(value).map_err(|_| StateError::Unavailable("cannot be written".to_owned()))
}

fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StateError> {
    serde_json::from_slice(bytes)
        .map_err(|_| StateError::Unavailable("a stored value cannot be read".to_owned()))
}
