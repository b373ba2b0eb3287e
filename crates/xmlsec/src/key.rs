//! Private keys, and the pair of a key with its certificate.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{rsa, signature};

use crate::pem::{self, PemError};
use crate::x509::Certificate;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The PEM text is broken.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Not an RSA key of 2048 to 8192 bits in PKCS #8.
    #[error("not an RSA private key of 2048 to 8192 bits in PKCS #8")]
    NotRsa,
    /// The key does not belong to the certificate beside it.
    #[error("the private key does not belong to the certificate of {subject}")]
    Mismatch {
        /// Subject of the certificate.
        subject: String,
    },
    /// The crypto library refused, which only happens when the machine is out of entropy or memory.
    #[error("the signature could not be made")]
    Signing,
}

/// An RSA private key. Cheap to clone; never shown by `Debug`.
#[derive(Clone)]
pub struct PrivateKey {
    inner: Arc<Inner>,
}

struct Inner {
    pkcs8: Vec<u8>,
    signing: signature::RsaKeyPair,
    pkcs1: rsa::Pkcs1PrivateDecryptingKey,
    oaep: rsa::OaepPrivateDecryptingKey,
}

impl PrivateKey {
    /// Reads a PKCS #8 `PrivateKeyInfo`.
    ///
    /// # Errors
    /// [`KeyError::NotRsa`].
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let signing = signature::RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::NotRsa)?;
        let decrypting =
            rsa::PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| KeyError::NotRsa)?;
        let pkcs1 = rsa::Pkcs1PrivateDecryptingKey::new(decrypting.clone())
            .map_err(|_| KeyError::NotRsa)?;
        let oaep = rsa::OaepPrivateDecryptingKey::new(decrypting).map_err(|_| KeyError::NotRsa)?;
        Ok(Self {
            inner: Arc::new(Inner {
                pkcs8: pkcs8.to_vec(),
                signing,
                pkcs1,
                oaep,
            }),
        })
    }

    /// Reads a `PRIVATE KEY` PEM block.
    ///
    /// # Errors
    /// [`KeyError::Pem`], [`KeyError::NotRsa`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_pkcs8_der(&pem::decode("PRIVATE KEY", text)?)
    }

    /// The PKCS #8 form. The caller guards it.
    #[must_use]
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.inner.pkcs8
    }

    /// The PKCS #8 form as PEM. The caller guards it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode("PRIVATE KEY", &self.inner.pkcs8)
    }

    /// RSA PKCS #1 v1.5 with SHA-256.
    pub(crate) fn sign_sha256(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign_with(&signature::RSA_PKCS1_SHA256, message)
    }

    /// RSA PKCS #1 v1.5 with SHA-384.
    pub(crate) fn sign_sha384(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign_with(&signature::RSA_PKCS1_SHA384, message)
    }

    /// RSA PKCS #1 v1.5 with SHA-512.
    pub(crate) fn sign_sha512(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign_with(&signature::RSA_PKCS1_SHA512, message)
    }

    fn sign_with(
        &self,
        encoding: &'static dyn signature::RsaEncoding,
        message: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        let mut out = vec![0; self.inner.signing.public_modulus_len()];
        self.inner
            .signing
            .sign(encoding, &SystemRandom::new(), message, &mut out)
            .map_err(|_| KeyError::Signing)?;
        Ok(out)
    }

    /// The transported key, or nothing when the padding is wrong.
    pub(crate) fn decrypt_pkcs1(&self, ciphertext: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; self.inner.pkcs1.min_output_size()];
        let length = self.inner.pkcs1.decrypt(ciphertext, &mut out).ok()?.len();
        out.truncate(length);
        Some(out)
    }

    pub(crate) fn decrypt_oaep(
        &self,
        algorithm: &'static rsa::OaepAlgorithm,
        ciphertext: &[u8],
    ) -> Option<Vec<u8>> {
        let mut out = vec![0; self.inner.oaep.min_output_size()];
        let length = self
            .inner
            .oaep
            .decrypt(algorithm, ciphertext, &mut out, None)
            .ok()?
            .len();
        out.truncate(length);
        Some(out)
    }

    fn belongs_to(&self, certificate: &Certificate) -> bool {
        use aws_lc_rs::signature::KeyPair as _;
        certificate.rsa_public_key() == Some(self.inner.signing.public_key().as_ref())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(RSA)")
    }
}

/// A certificate and its private key: what a party signs or decrypts with.
#[derive(Debug, Clone)]
pub struct Identity {
    certificate: Certificate,
    key: PrivateKey,
}

impl Identity {
    /// Joins key and certificate.
    ///
    /// # Errors
    /// [`KeyError::Mismatch`] when they do not belong together.
    pub fn new(certificate: Certificate, key: PrivateKey) -> Result<Self, KeyError> {
        if !key.belongs_to(&certificate) {
            return Err(KeyError::Mismatch {
                subject: certificate.subject().to_owned(),
            });
        }
        Ok(Self { certificate, key })
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }
}
