//! The issuer's secrets: signing keyring, pseudonym key and nonce key, kept as one blob by a [`KeyStore`].

use std::sync::{Arc, PoisonError, RwLock};

use jose::encoding::{b64url, b64url_decode, random};
use jose::jwt::Claims;
use jose::keyring::{Keyring, KeyringError, RotationPolicy};
use jose::rs::KeySource;
use jose::{PublicJwk, strict_json};
use serde_json::{Value, json};

use crate::config::Config;

/// Where the issuer's secrets are kept between starts. The implementation wraps (encrypts) the bytes.
///
/// All processes of a cluster share one.
pub trait KeyStore: Send + Sync + 'static {
    /// The stored bytes, `None` at first start.
    ///
    /// # Errors
    /// A text for the operator.
    fn load(&self) -> Result<Option<Vec<u8>>, String>;
    /// At first start: stores the bytes durably unless another process was first, and gives what is stored now.
    ///
    /// # Errors
    /// A text for the operator.
    fn keep_first(&self, bytes: &[u8]) -> Result<Vec<u8>, String>;
    /// When a key changes phase: stores the bytes durably in place of the old ones.
    ///
    /// # Errors
    /// A text for the operator.
    fn save(&self, bytes: &[u8]) -> Result<(), String>;
}

/// A key store that forgets: for tests and examples.
#[derive(Debug, Default)]
pub struct ForgetfulKeyStore;

impl KeyStore for ForgetfulKeyStore {
    fn load(&self) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    fn keep_first(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        Ok(bytes.to_vec())
    }

    fn save(&self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// Why the issuer could not start or change keys.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The issuer must be a bare https origin.
    #[error(
        "helseid: the issuer must be an https origin without path and trailing slash, found {0}"
    )]
    BadIssuer(String),
    /// The key store failed.
    #[error("helseid: the key store failed: {0}")]
    KeyStore(String),
    /// The stored secrets are damaged.
    #[error(
        "helseid: the stored secrets are damaged; restore them from the backup of the data folder"
    )]
    Damaged,
    /// Keys could not be made or read.
    #[error("helseid: {0}")]
    Keyring(#[from] KeyringError),
    /// No randomness.
    #[error("helseid: {0}")]
    NoRandomness(#[from] jose::encoding::NoRandomness),
}

/// The secrets in use.
pub(crate) struct Secrets {
    ring: Arc<RwLock<Keyring>>,
    pub(crate) subject_key: Vec<u8>,
    pub(crate) nonce_key: Vec<u8>,
    store: Arc<dyn KeyStore>,
}

impl Secrets {
    pub(crate) fn load_or_make(
        store: Arc<dyn KeyStore>,
        config: &Config,
        now_s: i64,
    ) -> Result<Self, StartError> {
        if let Some(bytes) = store.load().map_err(StartError::KeyStore)? {
            return Self::read(&bytes, store);
        }
        let (kind, alg) = (config.signing_key.kind(), config.signing_key.alg());
        let ring = Keyring::generate(kind, alg, &config.issuer, now_s)?;
        let secrets = Self {
            ring: Arc::new(RwLock::new(ring)),
            subject_key: random::<32>()?.to_vec(),
            nonce_key: random::<32>()?.to_vec(),
            store: Arc::clone(&store),
        };
        let kept = store
            .keep_first(&secrets.with_ring(|ring| secrets.to_bytes(ring))?)
            .map_err(StartError::KeyStore)?;
        Self::read(&kept, store)
    }

    fn read(bytes: &[u8], store: Arc<dyn KeyStore>) -> Result<Self, StartError> {
        let map = strict_json::object(bytes).map_err(|_| StartError::Damaged)?;
        let secret = |name: &str| {
            map.get(name)
                .and_then(Value::as_str)
                .and_then(b64url_decode)
                .filter(|secret| secret.len() == 32)
                .ok_or(StartError::Damaged)
        };
        let ring = map.get("ring").ok_or(StartError::Damaged)?.to_string();
        Ok(Self {
            ring: Arc::new(RwLock::new(Keyring::from_bytes(ring.as_bytes())?)),
            subject_key: secret("subject_key")?,
            nonce_key: secret("nonce_key")?,
            store,
        })
    }

    fn to_bytes(&self, ring: &Keyring) -> Result<Vec<u8>, StartError> {
        let ring: Value =
            serde_json::from_slice(&ring.to_bytes()).map_err(|_| StartError::Damaged)?;
        let blob = json!({
            "ring": ring,
            "subject_key": b64url(&self.subject_key),
            "nonce_key": b64url(&self.nonce_key),
        });
        Ok(blob.to_string().into_bytes())
    }

    pub(crate) fn with_ring<T>(&self, act: impl FnOnce(&Keyring) -> T) -> T {
        act(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn sign(&self, typ: &str, claims: &Claims) -> Result<String, KeyringError> {
        self.with_ring(|ring| ring.sign(typ, claims))
    }

    pub(crate) fn rotate(&self, now_s: i64, policy: &RotationPolicy) -> Result<bool, StartError> {
        let mut next = self.with_ring(Keyring::clone);
        if !next.rotate(now_s, policy)? {
            return Ok(false);
        }
        // Saved before it is used: a key that signed and was then lost would make its tokens unverifiable.
        let bytes = self.to_bytes(&next)?;
        self.store.save(&bytes).map_err(StartError::KeyStore)?;
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(true)
    }

    pub(crate) fn source(&self) -> Arc<dyn KeySource> {
        Arc::new(SharedRing(Arc::clone(&self.ring)))
    }
}

struct SharedRing(Arc<RwLock<Keyring>>);

impl KeySource for SharedRing {
    fn key(&self, kid: &str) -> Option<PublicJwk> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .key(kid)
    }
}
