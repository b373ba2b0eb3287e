//! Private keys: generating, reading, writing, signing.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use serde_json::{Map, Value};

use super::public::Material;
use super::{JwkError, PublicJwk, bytes, fixed_bytes, optional_alg, optional_text};
use crate::alg::{Alg, Curve};
use crate::der;
use crate::encoding::b64url;
use crate::strict_json;

/// What kind of key to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum KeyKind {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

/// Signing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The caller asked for an algorithm that the key does not have.
    #[error("the key does not sign with that algorithm")]
    WrongAlg,
    /// The crypto library refused; please report.
    #[error("the crypto library refused to sign or to make a key")]
    Crypto,
}

/// A private key. Cheap to clone. `Debug` shows the public part only.
#[derive(Clone)]
pub struct PrivateJwk {
    public: PublicJwk,
    signer: Arc<Signer>,
    secret: Arc<Vec<(&'static str, String)>>,
}

enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateJwk {
    /// Makes a new key, pinned to `alg` or to the natural algorithm of its kind; the `kid` is its thumbprint.
    ///
    /// # Errors
    /// [`SignError::WrongAlg`] when kind and algorithm do not fit, [`SignError::Crypto`] when the library refuses.
    pub fn generate(kind: KeyKind, alg: Option<Alg>) -> Result<Self, SignError> {
        let mut map = match kind {
            KeyKind::P256 => generate_ec(Curve::P256)?,
            KeyKind::P384 => generate_ec(Curve::P384)?,
            KeyKind::P521 => generate_ec(Curve::P521)?,
            KeyKind::Ed25519 => generate_ed25519()?,
            KeyKind::Rsa2048 => generate_rsa(KeySize::Rsa2048)?,
            KeyKind::Rsa3072 => generate_rsa(KeySize::Rsa3072)?,
            KeyKind::Rsa4096 => generate_rsa(KeySize::Rsa4096)?,
        };
        let unnamed = Self::from_members(&map).map_err(|_| SignError::Crypto)?;
        let alg = alg.unwrap_or_else(|| unnamed.default_alg());
        if !unnamed.public.material().fits(alg) {
            return Err(SignError::WrongAlg);
        }
        map.insert("use".to_owned(), "sig".into());
        map.insert("kid".to_owned(), unnamed.public.thumbprint().into());
        map.insert("alg".to_owned(), alg.name().into());
        Self::from_members(&map).map_err(|_| SignError::Crypto)
    }

    /// Reads a private key from JSON text.
    ///
    /// # Errors
    /// See [`JwkError`].
    pub fn from_slice(json: &[u8]) -> Result<Self, JwkError> {
        Self::from_members(&strict_json::object(json)?)
    }

    /// Reads a private key from a JSON object.
    ///
    /// # Errors
    /// See [`JwkError`]. RSA keys need all of `n e d p q dp dq qi`.
    pub fn from_members(map: &Map<String, Value>) -> Result<Self, JwkError> {
        let material = Material::from_members(map)?;
        let (signer, secret) = match &material {
            Material::Rsa { n, e } => rsa_signer(map, n, e)?,
            Material::Ec { curve, x, y } => {
                let d = fixed_bytes(map, "d", curve.coordinate_bytes())?;
                let point = [&[4_u8][..], x, y].concat();
                let pair =
                    EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), &d, &point)
                        .map_err(|_| JwkError::Invalid)?;
                (Signer::Ec(pair), vec![("d", b64url(&d))])
            }
            Material::Ed25519 { x } => {
                let d = fixed_bytes(map, "d", 32)?;
                let pair = Ed25519KeyPair::from_seed_and_public_key(&d, x)
                    .map_err(|_| JwkError::Invalid)?;
                (Signer::Ed25519(pair), vec![("d", b64url(&d))])
            }
        };
        let public = PublicJwk::new(
            material,
            optional_text(map, "kid")?,
            optional_alg(map)?,
            optional_text(map, "use")?,
        )?;
        Ok(Self {
            public,
            signer: Arc::new(signer),
            secret: Arc::new(secret),
        })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// The algorithm to sign with when the caller does not say: the pinned one, else RS256, the curve's, or EdDSA.
    #[must_use]
    pub fn default_alg(&self) -> Alg {
        self.public
            .alg()
            .unwrap_or_else(|| match self.public.material() {
                Material::Rsa { .. } => Alg::Rs256,
                Material::Ec { curve, .. } => curve.alg(),
                Material::Ed25519 { .. } => Alg::EdDsa,
            })
    }

    /// Signs a message.
    ///
    /// # Errors
    /// [`SignError::WrongAlg`] when the key does not accept the algorithm.
    pub fn sign(&self, alg: Alg, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if !self.public.accepts(alg) {
            return Err(SignError::WrongAlg);
        }
        let random = SystemRandom::new();
        match self.signer.as_ref() {
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let encoding = alg.rsa_signing().ok_or(SignError::WrongAlg)?;
                pair.sign(encoding, &random, message, &mut signature)
                    .map_err(|_| SignError::Crypto)?;
                Ok(signature)
            }
            Signer::Ec(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SignError::Crypto),
            Signer::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// The whole key as a JSON object, **secrets included**: for the owner's key file only.
    #[must_use]
    pub fn to_secret_members(&self) -> Map<String, Value> {
        let mut map = self.public.to_members();
        for (name, value) in self.secret.iter() {
            map.insert((*name).to_owned(), value.as_str().into());
        }
        map
    }
}

impl fmt::Debug for PrivateJwk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PrivateJwk")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

type SignerWithSecret = (Signer, Vec<(&'static str, String)>);

fn rsa_signer(map: &Map<String, Value>, n: &[u8], e: &[u8]) -> Result<SignerWithSecret, JwkError> {
    if map.contains_key("oth") {
        return Err(JwkError::Malformed("oth"));
    }
    let names = ["d", "p", "q", "dp", "dq", "qi"];
    let mut values = Vec::with_capacity(names.len());
    for name in names {
        values.push(bytes(map, name)?);
    }
    let [d, p, q, d_p, d_q, q_inv] =
        <[Vec<u8>; 6]>::try_from(values).map_err(|_| JwkError::Invalid)?;
    let secret = names
        .into_iter()
        .zip([&d, &p, &q, &d_p, &d_q, &q_inv].map(|value| b64url(value)))
        .collect();
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d: d.as_slice(),
        p: p.as_slice(),
        q: q.as_slice(),
        dP: d_p.as_slice(),
        dQ: d_q.as_slice(),
        qInv: q_inv.as_slice(),
    };
    let pair = RsaKeyPair::from_components(&components).map_err(|_| JwkError::Invalid)?;
    Ok((Signer::Rsa(pair), secret))
}

fn members(kty: &str, values: &[(&str, &[u8])]) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("kty".to_owned(), kty.into());
    for (name, value) in values {
        map.insert((*name).to_owned(), b64url(value).into());
    }
    map
}

fn generate_ec(curve: Curve) -> Result<Map<String, Value>, SignError> {
    let pair = EcdsaKeyPair::generate(curve.signing()).map_err(|_| SignError::Crypto)?;
    let d = pair
        .private_key()
        .as_be_bytes()
        .map_err(|_| SignError::Crypto)?;
    let point = pair.public_key().as_ref();
    let coordinates = point.get(1..).unwrap_or_default();
    let (x, y) = coordinates
        .split_at_checked(curve.coordinate_bytes())
        .ok_or(SignError::Crypto)?;
    let mut map = members("EC", &[("x", x), ("y", y), ("d", d.as_ref())]);
    map.insert("crv".to_owned(), curve.name().into());
    Ok(map)
}

fn generate_ed25519() -> Result<Map<String, Value>, SignError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| SignError::Crypto)?;
    let seed = pair.seed().map_err(|_| SignError::Crypto)?;
    let d = seed.as_be_bytes().map_err(|_| SignError::Crypto)?;
    let mut map = members(
        "OKP",
        &[("x", pair.public_key().as_ref()), ("d", d.as_ref())],
    );
    map.insert("crv".to_owned(), "Ed25519".into());
    Ok(map)
}

fn generate_rsa(size: KeySize) -> Result<Map<String, Value>, SignError> {
    let pair = RsaKeyPair::generate(size).map_err(|_| SignError::Crypto)?;
    let pkcs8 = pair.as_der().map_err(|_| SignError::Crypto)?;
    rsa_members(pkcs8.as_ref()).ok_or(SignError::Crypto)
}

/// RFC 5208 `PrivateKeyInfo` around RFC 8017 `RSAPrivateKey`.
fn rsa_members(pkcs8: &[u8]) -> Option<Map<String, Value>> {
    let (info, _) = der::read(der::tag::SEQUENCE, pkcs8)?;
    let (_version, info) = der::read_unsigned(info)?;
    let (_algorithm, info) = der::read(der::tag::SEQUENCE, info)?;
    let (key, _) = der::read(der::tag::OCTET_STRING, info)?;
    let (key, _) = der::read(der::tag::SEQUENCE, key)?;
    let (_version, mut key) = der::read_unsigned(key)?;
    let mut values = Vec::new();
    for name in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
        let (value, rest) = der::read_unsigned(key)?;
        values.push((name, value));
        key = rest;
    }
    Some(members("RSA", &values))
}
