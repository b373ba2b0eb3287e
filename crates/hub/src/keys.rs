//! Keys of the hub itself, as secrets of the store.

use crate::secrets::{SecretError, Secrets};
use anyhow::{Context, Result, anyhow};
use jose::jwk::KeyKind;
use jose::keyring::Keyring;
use jose::{Alg, PrivateJwk};
use std::sync::{Arc, Mutex};

/// Random bytes of the operating system.
pub fn random_bytes(count: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; count];
    rand::fill(&mut bytes[..]);
    bytes
}

/// A signing ring by name, made at first use.
pub fn ring(
    secrets: &Secrets,
    name: &str,
    owner: &str,
    kind: KeyKind,
    alg: Alg,
) -> Result<Arc<Mutex<Keyring>>> {
    let now_s = edge::clock::real_now_us() / 1_000_000;
    let bytes = match secrets.get(name)? {
        Some(bytes) => bytes,
        None => {
            let made = Keyring::generate(kind, alg, owner, now_s)?.to_bytes();
            secrets.get_or_make(name, || made)?
        }
    };
    let ring = Keyring::from_bytes(&bytes)
        .with_context(|| format!("the stored keys `{name}` are damaged"))?;
    Ok(Arc::new(Mutex::new(ring)))
}

/// Keys of the portals as HelseID client.
#[derive(Clone)]
pub struct PortalKeys {
    /// Signs client assertions.
    pub assertion: PrivateJwk,
    /// Binds tokens.
    pub dpop: PrivateJwk,
}

impl PortalKeys {
    /// Made at first use.
    pub fn load(secrets: &Secrets) -> Result<Self> {
        Ok(Self {
            assertion: jwk(secrets, "portal-assertion-key")?,
            dpop: jwk(secrets, "portal-dpop-key")?,
        })
    }
}

/// A private key kept as a JWK.
pub fn jwk(secrets: &Secrets, name: &str) -> Result<PrivateJwk> {
    let bytes = match secrets.get(name)? {
        Some(bytes) => bytes,
        None => {
            let key = PrivateJwk::generate(KeyKind::P256, Some(Alg::Es256))?;
            let text = serde_json::to_vec(&key.to_secret_members())?;
            secrets.get_or_make(name, || text)?
        }
    };
    PrivateJwk::from_slice(&bytes).map_err(|e| anyhow!("the stored key `{name}` is damaged: {e}"))
}

/// An issuer's secrets in the store.
pub struct HelseidKeys {
    secrets: Arc<Secrets>,
    name: &'static str,
}

const HELSEID: &str = "helseid-keys";

impl HelseidKeys {
    /// HelseID's, over the hub's secrets.
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self::named(secrets, HELSEID)
    }

    /// Those of an issuer by its name: each has its own.
    pub fn named(secrets: Arc<Secrets>, name: &'static str) -> Self {
        Self { secrets, name }
    }
}

impl helseid::KeyStore for HelseidKeys {
    fn load(&self) -> Result<Option<Vec<u8>>, String> {
        self.secrets.get(self.name).map_err(text)
    }

    fn keep_first(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.secrets
            .get_or_make(self.name, || bytes.to_vec())
            .map_err(text)
    }

    fn replace(&self, old: &[u8], bytes: &[u8]) -> Result<bool, String> {
        self.secrets.replace(self.name, old, bytes).map_err(text)
    }
}

fn text(error: SecretError) -> String {
    error.to_string()
}
