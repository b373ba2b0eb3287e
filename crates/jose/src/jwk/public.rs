//! Public keys: parsing, thumbprint, verification with a cached parsed key.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ED25519, ParsedPublicKey};
use serde_json::{Map, Value};

use super::{JwkError, bytes, fixed_bytes, optional_alg, optional_text, text};
use crate::alg::{Alg, Curve};
use crate::der::strip_zeros;
use crate::encoding::{b64url, sha256};
use crate::strict_json;

/// Longest RSA modulus accepted. Vendors' tools make 4096; the limit bounds the work that a stranger's DPoP key causes.
pub const MAX_RSA_BITS: usize = 8_192;
/// Most keys read from one key set.
pub const MAX_KEYS_IN_SET: usize = 64;

const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key that has been checked and parsed. Cheap to clone; the parsed form is made once and shared.
#[derive(Clone)]
pub struct PublicJwk(Arc<Inner>);

struct Inner {
    material: Material,
    kid: Option<String>,
    alg: Option<Alg>,
    usage: Option<String>,
    thumbprint: String,
    parsed: [OnceLock<Option<ParsedPublicKey>>; 6],
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ec {
        curve: Curve,
        x: Vec<u8>,
        y: Vec<u8>,
    },
    Ed25519 {
        x: Vec<u8>,
    },
}

impl Material {
    pub(crate) fn from_members(map: &Map<String, Value>) -> Result<Self, JwkError> {
        match text(map, "kty")? {
            "RSA" => Self::rsa(&bytes(map, "n")?, &bytes(map, "e")?),
            "EC" => {
                let curve = Curve::from_name(text(map, "crv")?).ok_or(JwkError::UnknownCurve)?;
                Ok(Self::Ec {
                    curve,
                    x: fixed_bytes(map, "x", curve.coordinate_bytes())?,
                    y: fixed_bytes(map, "y", curve.coordinate_bytes())?,
                })
            }
            "OKP" if text(map, "crv")? == "Ed25519" => Ok(Self::Ed25519 {
                x: fixed_bytes(map, "x", 32)?,
            }),
            "OKP" => Err(JwkError::UnknownCurve),
            "oct" => Err(JwkError::Symmetric),
            _ => Err(JwkError::UnknownKeyType),
        }
    }

    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, JwkError> {
        let (n, e) = (strip_zeros(n), strip_zeros(e));
        let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
        if bits < 2_048 {
            return Err(JwkError::WeakRsa(bits));
        }
        if bits > MAX_RSA_BITS {
            return Err(JwkError::OversizedRsa(bits));
        }
        let odd = e.last().is_some_and(|last| last % 2 == 1);
        if !odd || e.len() > 4 || e == [1] {
            return Err(JwkError::BadExponent);
        }
        Ok(Self::Rsa {
            n: n.to_vec(),
            e: e.to_vec(),
        })
    }

    /// The required members in the order RFC 7638 §3.2 hashes them (lexicographic).
    pub(crate) fn members(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Rsa { n, e } => vec![
                ("e", b64url(e)),
                ("kty", "RSA".to_owned()),
                ("n", b64url(n)),
            ],
            Self::Ec { curve, x, y } => vec![
                ("crv", curve.name().to_owned()),
                ("kty", "EC".to_owned()),
                ("x", b64url(x)),
                ("y", b64url(y)),
            ],
            Self::Ed25519 { x } => vec![
                ("crv", "Ed25519".to_owned()),
                ("kty", "OKP".to_owned()),
                ("x", b64url(x)),
            ],
        }
    }

    fn thumbprint(&self) -> String {
        let members: Map<String, Value> = self
            .members()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Value::String(value)))
            .collect();
        b64url(&sha256(Value::Object(members).to_string().as_bytes()))
    }

    pub(crate) fn fits(&self, alg: Alg) -> bool {
        match self {
            Self::Rsa { .. } => alg.rsa_index().is_some(),
            Self::Ec { curve, .. } => curve.alg() == alg,
            Self::Ed25519 { .. } => alg == Alg::EdDsa,
        }
    }

    fn parse(&self, alg: Alg) -> Option<ParsedPublicKey> {
        match self {
            Self::Rsa { n, e } => PublicKeyComponents { n, e }
                .to_parsed_public_key(alg.rsa_verification()?)
                .ok(),
            Self::Ec { curve, x, y } => {
                let point = [&[4_u8][..], x, y].concat();
                ParsedPublicKey::new(curve.verification(), point).ok()
            }
            Self::Ed25519 { x } => ParsedPublicKey::new(&ED25519, x).ok(),
        }
    }
}

impl PublicJwk {
    /// Parses a public key from JSON text.
    ///
    /// # Errors
    /// See [`JwkError`].
    pub fn from_slice(json: &[u8]) -> Result<Self, JwkError> {
        Self::from_members(&strict_json::object(json)?)
    }

    /// Parses a public key from a JSON object that has already been read strictly.
    ///
    /// # Errors
    /// See [`JwkError`].
    pub fn from_members(map: &Map<String, Value>) -> Result<Self, JwkError> {
        if map.get("kty").and_then(Value::as_str) == Some("oct") {
            return Err(JwkError::Symmetric);
        }
        if let Some(name) = PRIVATE_MEMBERS
            .into_iter()
            .find(|name| map.contains_key(*name))
        {
            return Err(JwkError::PrivateMember(name));
        }
        if let Some(operations) = map.get("key_ops") {
            let operations = operations.as_array();
            let verifies = operations.is_some_and(|all| all.iter().any(|one| one == "verify"));
            if !verifies {
                return Err(JwkError::NotForVerifying);
            }
        }
        Self::new(
            Material::from_members(map)?,
            optional_text(map, "kid")?,
            optional_alg(map)?,
            optional_text(map, "use")?,
        )
    }

    pub(crate) fn new(
        material: Material,
        kid: Option<String>,
        alg: Option<Alg>,
        usage: Option<String>,
    ) -> Result<Self, JwkError> {
        if alg.is_some_and(|alg| !material.fits(alg)) {
            return Err(JwkError::WrongAlg);
        }
        let first = match &material {
            Material::Rsa { .. } => alg.unwrap_or(Alg::Rs256),
            Material::Ec { curve, .. } => curve.alg(),
            Material::Ed25519 { .. } => Alg::EdDsa,
        };
        let parsed: [OnceLock<Option<ParsedPublicKey>>; 6] = Default::default();
        let checked = material.parse(first).ok_or(JwkError::Invalid)?;
        if let Some(slot) = parsed.get(first.rsa_index().unwrap_or(0)) {
            // The slot is fresh, so setting it cannot fail.
            let _ = slot.set(Some(checked));
        }
        Ok(Self(Arc::new(Inner {
            thumbprint: material.thumbprint(),
            material,
            kid,
            alg,
            usage,
            parsed,
        })))
    }

    /// The key id, if the key has one.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.0.kid.as_deref()
    }

    /// The one algorithm this key is pinned to, if it is.
    #[must_use]
    pub fn alg(&self) -> Option<Alg> {
        self.0.alg
    }

    /// SHA-256 thumbprint (RFC 7638) as base64url; this is DPoP's `jkt`.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.0.thumbprint
    }

    pub(crate) fn material(&self) -> &Material {
        &self.0.material
    }

    /// Length of the RSA modulus in bits; `None` for other key types.
    #[must_use]
    pub fn rsa_bits(&self) -> Option<usize> {
        match &self.0.material {
            Material::Rsa { n, .. } => {
                Some(n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize))
            }
            _ => None,
        }
    }

    /// Whether this key may verify signatures of that algorithm: the type fits, `alg` (if any) is the same and `use`
    /// (if any) is `sig`.
    #[must_use]
    pub fn accepts(&self, alg: Alg) -> bool {
        self.0.material.fits(alg)
            && self.0.alg.is_none_or(|pinned| pinned == alg)
            && self.0.usage.as_deref().is_none_or(|usage| usage == "sig")
    }

    /// Verifies a signature; `false` for anything wrong, including an algorithm the key does not accept.
    #[must_use]
    pub fn verify(&self, alg: Alg, message: &[u8], signature: &[u8]) -> bool {
        if !self.accepts(alg) {
            return false;
        }
        self.0
            .parsed
            .get(alg.rsa_index().unwrap_or(0))
            .and_then(|slot| slot.get_or_init(|| self.0.material.parse(alg)).as_ref())
            .is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }

    /// The key as a JSON object: type, use, kid, alg, values.
    #[must_use]
    pub fn to_members(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let kty = match self.0.material {
            Material::Rsa { .. } => "RSA",
            Material::Ec { .. } => "EC",
            Material::Ed25519 { .. } => "OKP",
        };
        map.insert("kty".to_owned(), kty.into());
        if let Some(usage) = &self.0.usage {
            map.insert("use".to_owned(), usage.as_str().into());
        }
        if let Some(kid) = self.kid() {
            map.insert("kid".to_owned(), kid.into());
        }
        if let Some(alg) = self.0.alg {
            map.insert("alg".to_owned(), alg.name().into());
        }
        for (name, value) in self.0.material.members() {
            map.insert(name.to_owned(), value.into());
        }
        map
    }
}

impl fmt::Debug for PublicJwk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PublicJwk")
            .field("thumbprint", &self.0.thumbprint)
            .field("kid", &self.0.kid)
            .field("alg", &self.0.alg)
            .finish_non_exhaustive()
    }
}

impl PartialEq for PublicJwk {
    fn eq(&self, other: &Self) -> bool {
        self.0.material == other.0.material && self.0.kid == other.0.kid
    }
}

/// A key set (RFC 7517 §5).
#[derive(Debug, Clone, Default)]
pub struct JwkSet {
    keys: Vec<PublicJwk>,
}

impl JwkSet {
    /// Reads a key set. Keys we cannot use are passed over, as RFC 7517 §5 asks.
    ///
    /// # Errors
    /// When the document is no key set, or has more than [`MAX_KEYS_IN_SET`] keys.
    pub fn from_slice(json: &[u8]) -> Result<Self, JwkError> {
        let map = strict_json::object(json)?;
        let keys = match map.get("keys") {
            Some(Value::Array(keys)) => keys,
            Some(_) => return Err(JwkError::Malformed("keys")),
            None => return Err(JwkError::Missing("keys")),
        };
        if keys.len() > MAX_KEYS_IN_SET {
            return Err(JwkError::TooManyKeys);
        }
        let keys = keys
            .iter()
            .filter_map(Value::as_object)
            .filter_map(|key| PublicJwk::from_members(key).ok())
            .collect();
        Ok(Self { keys })
    }

    /// A set of these keys.
    #[must_use]
    pub fn new(keys: Vec<PublicJwk>) -> Self {
        Self { keys }
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &[PublicJwk] {
        &self.keys
    }

    /// The key of that id.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&PublicJwk> {
        self.keys.iter().find(|key| key.kid() == Some(kid))
    }
}
