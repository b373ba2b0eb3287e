//! JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037): asymmetric keys only.
//!
//! [`PublicJwk`] refuses private and symmetric members, so a private key that a client posts by mistake is never
//! stored and a shared secret is never taken for a key. [`PrivateJwk`] keeps its secrets out of `Debug`.

mod private;
mod public;

pub use private::{KeyKind, PrivateJwk, SignError};
pub use public::{JwkSet, MAX_KEYS_IN_SET, MAX_RSA_BITS, PublicJwk};

use serde_json::{Map, Value};

use crate::alg::Alg;
use crate::encoding;
use crate::strict_json::JsonError;

/// Why a key was refused. The sender of the key is at fault in every case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// Not one strict JSON object.
    #[error("the key is {0}")]
    Json(#[from] JsonError),
    /// A required member is missing.
    #[error("the key has no member {0}")]
    Missing(&'static str),
    /// A member has the wrong type, encoding or length.
    #[error("the key's member {0} is malformed")]
    Malformed(&'static str),
    /// `kty` is none of RSA, EC, OKP.
    #[error("the key type is unknown")]
    UnknownKeyType,
    /// `crv` is none of P-256, P-384, P-521, Ed25519.
    #[error("the curve is unknown")]
    UnknownCurve,
    /// `kty` is `oct`: a shared secret is not a public key.
    #[error("a symmetric key is not accepted")]
    Symmetric,
    /// A private member where only a public key belongs.
    #[error("the key carries the private member {0}")]
    PrivateMember(&'static str),
    /// RSA modulus shorter than 2048 bits.
    #[error("an RSA key of {0} bits is too weak; 2048 are required")]
    WeakRsa(usize),
    /// RSA modulus longer than [`MAX_RSA_BITS`].
    #[error("an RSA key of {0} bits is too long")]
    OversizedRsa(usize),
    /// RSA exponent even, smaller than 3 or longer than 32 bits.
    #[error("the RSA exponent is not acceptable")]
    BadExponent,
    /// `alg` names an algorithm we do not speak, or one that does not fit the key type.
    #[error("the key's alg is unknown or does not fit its type")]
    WrongAlg,
    /// `key_ops` (RFC 7517 §4.3) does not include `verify`.
    #[error("the key's key_ops do not include verify")]
    NotForVerifying,
    /// The values do not form a valid key (point not on the curve, factors that do not multiply to the modulus).
    #[error("the key's values do not form a valid key")]
    Invalid,
    /// A set with more keys than [`MAX_KEYS_IN_SET`].
    #[error("the key set has too many keys")]
    TooManyKeys,
}

fn text<'a>(map: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, JwkError> {
    match map.get(name) {
        None => Err(JwkError::Missing(name)),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(JwkError::Malformed(name)),
    }
}

fn optional_text(map: &Map<String, Value>, name: &'static str) -> Result<Option<String>, JwkError> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= 512 => Ok(Some(text.clone())),
        Some(_) => Err(JwkError::Malformed(name)),
    }
}

fn bytes(map: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, JwkError> {
    let decoded = encoding::b64url_decode(text(map, name)?).ok_or(JwkError::Malformed(name))?;
    if decoded.is_empty() {
        return Err(JwkError::Malformed(name));
    }
    Ok(decoded)
}

fn fixed_bytes(
    map: &Map<String, Value>,
    name: &'static str,
    length: usize,
) -> Result<Vec<u8>, JwkError> {
    let decoded = bytes(map, name)?;
    if decoded.len() == length {
        Ok(decoded)
    } else {
        Err(JwkError::Malformed(name))
    }
}

fn optional_alg(map: &Map<String, Value>) -> Result<Option<Alg>, JwkError> {
    optional_text(map, "alg")?
        .map(|name| Alg::from_name(&name).ok_or(JwkError::WrongAlg))
        .transpose()
}
