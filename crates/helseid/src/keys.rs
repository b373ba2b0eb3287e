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
    /// When a key changes phase: stores the bytes durably in place of exactly these old ones; `false` when others are
    /// stored, because another process was first.
    ///
    /// # Errors
    /// A text for the operator.
    fn replace(&self, old: &[u8], bytes: &[u8]) -> Result<bool, String>;
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

    fn replace(&self, _: &[u8], _: &[u8]) -> Result<bool, String> {
        Ok(true)
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
    /// An identity provider's id cannot stand in an address.
    #[error(
        "helseid: the identity provider's id must be lower-case letters, digits and hyphens, and not the test provider's: {0}"
    )]
    BadIdp(String),
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
        Ok(Self {
            ring: Arc::new(RwLock::new(ring_of(bytes)?)),
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

    /// Takes over what other processes did, then does the next step. Says whether a key changed phase here.
    pub(crate) fn rotate(&self, now_s: i64, policy: &RotationPolicy) -> Result<bool, StartError> {
        const ATTEMPTS: usize = 8;
        for _ in 0..ATTEMPTS {
            let stored = self.store.load().map_err(StartError::KeyStore)?;
            let before = self.with_ring(Keyring::clone);
            let mut next = match &stored {
                Some(bytes) => ring_of(bytes)?,
                None => before.clone(),
            };
            let changed = next.rotate(now_s, policy)?;
            // Saved before it is used: a key that signed and was then lost would make its tokens unverifiable.
            let saved = match &stored {
                Some(stored) if changed => {
                    let bytes = self.to_bytes(&next)?;
                    let replaced = self.store.replace(stored, &bytes);
                    replaced.map_err(StartError::KeyStore)?
                }
                _ => true,
            };
            if saved {
                if changed || next.phases() != before.phases() {
                    *self.ring.write().unwrap_or_else(PoisonError::into_inner) = next;
                }
                return Ok(changed);
            }
        }
        Err(StartError::KeyStore(
            "the keys are being changed by many processes at once; the next turn will do it"
                .to_owned(),
        ))
    }

    pub(crate) fn source(&self) -> Arc<dyn KeySource> {
        Arc::new(SharedRing(Arc::clone(&self.ring)))
    }
}

fn ring_of(bytes: &[u8]) -> Result<Keyring, StartError> {
    let map = strict_json::object(bytes).map_err(|_| StartError::Damaged)?;
    let ring = map.get("ring").ok_or(StartError::Damaged)?.to_string();
    Ok(Keyring::from_bytes(ring.as_bytes())?)
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
