//! JWS compact serialisation (RFC 7515 §7.1): parse, verify, sign. The JSON serialisations are not accepted anywhere.

use serde_json::{Map, Value};

use crate::alg::Alg;
use crate::encoding::{b64url, b64url_decode};
use crate::jwk::{PrivateJwk, PublicJwk, SignError};
use crate::strict_json::{self, JsonError};

/// Longest compact JWS read, in bytes, when the caller gives no tighter limit.
pub const MAX_COMPACT_BYTES: usize = 64 * 1024;
/// Longest encoded header read, in bytes. An RSA-8192 key in the header needs about 1 500.
pub const MAX_HEADER_BYTES: usize = 8 * 1024;

/// Why a JWS was refused. All are the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than the limit, in bytes.
    #[error("the token is longer than {0} bytes")]
    TooLarge(usize),
    /// Not three parts separated by dots.
    #[error("the token is not a compact JWS of three parts")]
    NotCompact,
    /// A part is not strict base64url.
    #[error("the token's {0} is not strict base64url without padding")]
    BadBase64(&'static str),
    /// The header is not one strict JSON object.
    #[error("the token's header is {0}")]
    HeaderJson(JsonError),
    /// A header parameter is missing or of the wrong type.
    #[error("the header parameter {0} is missing or of the wrong type")]
    BadHeader(&'static str),
    /// `alg` is `none`.
    #[error("alg none is not accepted")]
    AlgNone,
    /// `alg` is unknown or symmetric.
    #[error("the algorithm is not accepted")]
    AlgUnknown,
    /// `crit` names extensions; we implement none (RFC 7515 §4.1.11).
    #[error("the header demands critical extensions that are not supported")]
    Critical,
    /// The signature is missing or does not verify with the key, or the key does not accept the algorithm.
    #[error("the signature does not verify")]
    BadSignature,
}

/// A parsed, **not yet verified** compact JWS. Nothing in it may be believed before [`Compact::verify`].
#[derive(Debug, Clone)]
pub struct Compact<'a> {
    /// Algorithm of the header.
    pub alg: Alg,
    /// Key id of the header.
    pub kid: Option<String>,
    /// Media type of the header, as it came.
    pub typ: Option<String>,
    /// The whole header.
    pub header: Map<String, Value>,
    /// The decoded payload.
    pub payload: Vec<u8>,
    signing_input: &'a str,
    signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes a compact JWS apart, cheap checks first.
    ///
    /// # Errors
    /// See [`JwsError`].
    pub fn parse(token: &'a str, max_bytes: usize) -> Result<Self, JwsError> {
        if token.len() > max_bytes {
            return Err(JwsError::TooLarge(max_bytes));
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(JwsError::NotCompact)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsError::NotCompact)?;
        if payload.contains('.') || header.is_empty() {
            return Err(JwsError::NotCompact);
        }
        if header.len() > MAX_HEADER_BYTES {
            return Err(JwsError::TooLarge(MAX_HEADER_BYTES));
        }
        let header = b64url_decode(header).ok_or(JwsError::BadBase64("header"))?;
        let header = strict_json::object(&header).map_err(JwsError::HeaderJson)?;
        let alg = match text(&header, "alg")?.ok_or(JwsError::BadHeader("alg"))? {
            none if none.eq_ignore_ascii_case("none") => return Err(JwsError::AlgNone),
            name => Alg::from_name(name).ok_or(JwsError::AlgUnknown)?,
        };
        if header.contains_key("crit") {
            return Err(JwsError::Critical);
        }
        if signature.is_empty() {
            return Err(JwsError::BadSignature);
        }
        Ok(Self {
            alg,
            kid: text(&header, "kid")?.map(str::to_owned),
            typ: text(&header, "typ")?.map(str::to_owned),
            payload: b64url_decode(payload).ok_or(JwsError::BadBase64("payload"))?,
            signature: b64url_decode(signature).ok_or(JwsError::BadBase64("signature"))?,
            header,
            signing_input,
        })
    }

    /// Verifies the signature with one key.
    ///
    /// # Errors
    /// [`JwsError::BadSignature`] for anything wrong.
    pub fn verify(&self, key: &PublicJwk) -> Result<(), JwsError> {
        if key.verify(self.alg, self.signing_input.as_bytes(), &self.signature) {
            Ok(())
        } else {
            Err(JwsError::BadSignature)
        }
    }

    /// Whether the header carries a key or a place to fetch one from. An issuer's token never does.
    #[must_use]
    pub fn carries_key(&self) -> bool {
        ["jwk", "jku", "x5u", "x5c"]
            .iter()
            .any(|name| self.header.contains_key(*name))
    }

    /// Whether `typ` is one of these media types, compared as RFC 7515 §4.1.9 says: case-insensitive, `application/`
    /// optional.
    #[must_use]
    pub fn is_typ(&self, accepted: &[&str]) -> bool {
        self.typ
            .as_deref()
            .is_some_and(|typ| accepted.iter().any(|one| same_type(typ, one)))
    }
}

fn same_type(left: &str, right: &str) -> bool {
    fn short(text: &str) -> &str {
        match text.split_at_checked(12) {
            Some((prefix, rest))
                if prefix.eq_ignore_ascii_case("application/") && !rest.contains('/') =>
            {
                rest
            }
            _ => text,
        }
    }
    short(left).eq_ignore_ascii_case(short(right))
}

fn text<'a>(
    header: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, JwsError> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JwsError::BadHeader(name)),
    }
}

/// Parses and verifies a compact JWS with one key and gives the payload.
///
/// # Errors
/// See [`JwsError`].
pub fn verify(token: &str, key: &PublicJwk) -> Result<Vec<u8>, JwsError> {
    let compact = Compact::parse(token, MAX_COMPACT_BYTES)?;
    compact.verify(key)?;
    Ok(compact.payload)
}

/// Signs a payload. `header` gives the parameters besides `alg`, which comes first and is `alg`.
///
/// # Errors
/// [`SignError::WrongAlg`] when the key does not accept the algorithm.
pub fn sign(
    header: &Map<String, Value>,
    payload: &[u8],
    key: &PrivateJwk,
    alg: Alg,
) -> Result<String, SignError> {
    let mut full = Map::new();
    full.insert("alg".to_owned(), alg.name().into());
    for (name, value) in header {
        if name != "alg" {
            full.insert(name.clone(), value.clone());
        }
    }
    let header = b64url(Value::Object(full).to_string().as_bytes());
    let mut token = format!("{header}.{}", b64url(payload));
    let signature = key.sign(alg, token.as_bytes())?;
    token.push('.');
    token.push_str(&b64url(&signature));
    Ok(token)
}

/// Signs any payload with the key's own algorithm and names the key in `kid`: what a log head or an export needs.
///
/// # Errors
/// [`SignError::Crypto`] when the crypto library refuses.
pub fn sign_compact(typ: &str, payload: &[u8], key: &PrivateJwk) -> Result<String, SignError> {
    let mut header = Map::new();
    if let Some(kid) = key.public().kid() {
        header.insert("kid".to_owned(), kid.into());
    }
    header.insert("typ".to_owned(), typ.into());
    sign(&header, payload, key, key.default_alg())
}
