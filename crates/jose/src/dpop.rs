//! DPoP proofs (RFC 9449): verifying one, and making one as a client.
//!
//! Verification is pure: the caller remembers `(jkt, jti)` and decides about nonces, because the order in which those
//! are consumed matters (spec helseid §4.1) and differs between authorization server and API.

use std::sync::Arc;

use serde_json::Map;
use url::Url;

use crate::alg::Alg;
use crate::encoding::{self, b64url, b64url_decode, equal_secret, sha256};
use crate::jwk::{JwkError, PrivateJwk, PublicJwk, SignError};
use crate::jws::{self, Compact, JwsError};
use crate::jwt::{Claims, JwtError};
use crate::recent::Recent;

/// Longest proof read, in bytes.
pub const MAX_PROOF_BYTES: usize = 8 * 1024;
/// Longest `jti` accepted, in bytes.
pub const MAX_JTI_BYTES: usize = 256;
/// Longest address compared, in bytes.
const MAX_ADDRESS_BYTES: usize = 2_048;

/// Why a proof was refused. All are the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not a JWS, or its signature does not verify with its own key.
    #[error("the proof: {0}")]
    Jws(#[from] JwsError),
    /// The claims are no object, or one of them is missing or of the wrong type.
    #[error("the proof: {0}")]
    Claims(#[from] JwtError),
    /// `typ` is not `dpop+jwt`.
    #[error("the proof's typ is not dpop+jwt")]
    WrongTyp,
    /// The algorithm is not among those announced.
    #[error("the proof's algorithm is not accepted")]
    WrongAlg,
    /// No `jwk` in the header.
    #[error("the proof's header has no jwk")]
    NoKey,
    /// The `jwk` is private, symmetric, weak or malformed.
    #[error("the proof's jwk: {0}")]
    BadKey(#[from] JwkError),
    /// `jti` longer than [`MAX_JTI_BYTES`].
    #[error("the proof's jti is too long")]
    BadJti,
    /// `htm` is another method.
    #[error("the proof is for another method (htm)")]
    WrongMethod,
    /// `htu` is another address.
    #[error("the proof is for another address (htu)")]
    WrongAddress,
    /// `iat` lies further back than the window, by seconds.
    #[error("the proof was made {0} s ago, which is too long")]
    TooOld(i64),
    /// `iat` lies further in the future than the skew, by seconds.
    #[error("the proof was made {0} s in the future")]
    InFuture(i64),
    /// `exp`, which nobody needs to send, has passed.
    #[error("the proof has expired")]
    Expired,
    /// `ath` belongs to another access token.
    #[error("the proof is for another access token (ath)")]
    WrongToken,
}

/// What a proof must match.
#[derive(Debug, Clone, Copy)]
pub struct ProofCheck<'a> {
    /// The request's method, upper case.
    pub method: &'a str,
    /// Every address under which the client may have called, see [`normalise_htu`]; one must match.
    pub addresses: &'a [String],
    /// [`token_hash`] of the access token that comes with the proof: its `ath`. `None` at the authorization server.
    pub token_hash: Option<&'a str>,
    /// Now, seconds since 1970.
    pub now_s: i64,
    /// How far `iat` may lie back.
    pub max_age_s: i64,
    /// How far `iat` may lie in the future.
    pub max_ahead_s: i64,
    /// Algorithms announced.
    pub algs: &'a [Alg],
}

/// A verified proof.
#[derive(Debug, Clone)]
pub struct Proof {
    /// Thumbprint of the proof's key.
    pub jkt: String,
    /// Unique id; replay is per `(jkt, jti)`, never `jti` alone, or one client could spoil another's.
    pub jti: String,
    /// Nonce, if one was sent; the empty string counts as none.
    pub nonce: Option<String>,
    /// When it was made.
    pub issued_s: i64,
    /// Until when `(jkt, jti)` has to be remembered: after that the proof is too old anyway.
    pub remember_until_s: i64,
}

impl Proof {
    /// The key under which to remember this proof, of bounded length.
    #[must_use]
    pub fn replay_key(&self) -> String {
        replay_key("dpop", &self.jkt, &self.jti)
    }
}

/// A replay key of bounded length from a space, its owner and the sender's own id.
#[must_use]
pub fn replay_key(space: &str, owner: &str, jti: &str) -> String {
    let mut input = Vec::with_capacity(owner.len() + jti.len() + 1);
    input.extend_from_slice(owner.as_bytes());
    input.push(0);
    input.extend_from_slice(jti.as_bytes());
    format!("{space}/{}", b64url(&sha256(&input)))
}

/// Brings an address into the form in which two are compared: scheme and host in lower case, default port left out,
/// dot segments resolved, query and fragment cut off (RFC 9449 §4.3). `None` for anything but http(s) without user info.
#[must_use]
pub fn normalise_htu(address: &str) -> Option<String> {
    if address.len() > MAX_ADDRESS_BYTES {
        return None;
    }
    let mut url = Url::parse(address).ok()?;
    let web = matches!(url.scheme(), "http" | "https");
    if !web || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

/// The address of a path below an origin that is in normal form itself (no slash at its end), in the form in which two
/// are compared.
#[must_use]
pub fn address(origin: &str, path: &str) -> Option<String> {
    // What a URL parser leaves as it is. Percent signs are not among it: `%2e` is a dot segment.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    if path.starts_with('/')
        && path.bytes().all(plain)
        && !path.contains("/.")
        && origin.len() + path.len() <= MAX_ADDRESS_BYTES
    {
        return Some(format!("{origin}{path}"));
    }
    normalise_htu(&format!("{origin}{path}"))
}

/// Keys of proofs that were right: a client makes many proofs with one key, and each carries the key in the same header.
pub struct ProofKeys(Recent<Box<str>, Arc<KnownHead>>);

/// A proof's header, read and found to be right.
struct KnownHead {
    alg: Alg,
    key: PublicJwk,
}

/// Headers remembered, about: 2 KB each.
const REMEMBERED_HEADS: usize = 4_096;
/// Longest header worth remembering; an RSA-4096 key needs 1 000 bytes.
const MAX_REMEMBERED_BYTES: usize = 2_048;

impl Default for ProofKeys {
    fn default() -> Self {
        Self(Recent::new(REMEMBERED_HEADS))
    }
}

impl ProofKeys {
    /// Verifies a proof like [`verify_proof`].
    ///
    /// # Errors
    /// See [`ProofError`].
    pub fn verify(&self, proof: &str, check: &ProofCheck<'_>) -> Result<Proof, ProofError> {
        let head = proof.split('.').next().unwrap_or_default();
        match self.0.get(head) {
            Some(known) => verify_known(proof, &known, check),
            None => {
                let (verified, known) = verify_new(proof, check)?;
                if head.len() <= MAX_REMEMBERED_BYTES {
                    self.0.insert(head.into(), Arc::new(known));
                }
                Ok(verified)
            }
        }
    }
}

/// Verifies a proof.
///
/// # Errors
/// See [`ProofError`]; the checks run from cheap to expensive, the signature after type, algorithm and key.
pub fn verify_proof(proof: &str, check: &ProofCheck<'_>) -> Result<Proof, ProofError> {
    verify_new(proof, check).map(|(proof, _)| proof)
}

fn verify_new(proof: &str, check: &ProofCheck<'_>) -> Result<(Proof, KnownHead), ProofError> {
    let compact = Compact::parse(proof, MAX_PROOF_BYTES)?;
    if !compact.is_typ(&["dpop+jwt"]) {
        return Err(ProofError::WrongTyp);
    }
    if !check.algs.contains(&compact.alg) {
        return Err(ProofError::WrongAlg);
    }
    let members = match compact.header.get("jwk") {
        Some(serde_json::Value::Object(members)) => members,
        _ => return Err(ProofError::NoKey),
    };
    let claims = Claims::parse(&compact.payload)?;
    let issued_s = check_time(&claims, check)?;
    check_request(&claims, check)?;
    let key = PublicJwk::from_members(members)?;
    compact.verify(&key)?;
    let proof = accepted(&claims, &key, issued_s, check)?;
    let alg = compact.alg;
    Ok((proof, KnownHead { alg, key }))
}

/// The same checks for a proof whose header is known to be right.
fn verify_known(
    proof: &str,
    head: &KnownHead,
    check: &ProofCheck<'_>,
) -> Result<Proof, ProofError> {
    if proof.len() > MAX_PROOF_BYTES {
        return Err(JwsError::TooLarge(MAX_PROOF_BYTES).into());
    }
    let (signed, signature) = proof.rsplit_once('.').ok_or(JwsError::NotCompact)?;
    let (_, payload) = signed.split_once('.').ok_or(JwsError::NotCompact)?;
    if payload.contains('.') {
        return Err(JwsError::NotCompact.into());
    }
    if signature.is_empty() {
        return Err(JwsError::BadSignature.into());
    }
    let payload = b64url_decode(payload).ok_or(JwsError::BadBase64("payload"))?;
    let signature = b64url_decode(signature).ok_or(JwsError::BadBase64("signature"))?;
    if !check.algs.contains(&head.alg) {
        return Err(ProofError::WrongAlg);
    }
    let claims = Claims::parse(&payload)?;
    let issued_s = check_time(&claims, check)?;
    check_request(&claims, check)?;
    if !head.key.verify(head.alg, signed.as_bytes(), &signature) {
        return Err(JwsError::BadSignature.into());
    }
    accepted(&claims, &head.key, issued_s, check)
}

fn accepted(
    claims: &Claims,
    key: &PublicJwk,
    issued_s: i64,
    check: &ProofCheck<'_>,
) -> Result<Proof, ProofError> {
    let jti = claims.required_text("jti")?;
    if jti.len() > MAX_JTI_BYTES {
        return Err(ProofError::BadJti);
    }
    Ok(Proof {
        jkt: key.thumbprint().to_owned(),
        jti: jti.to_owned(),
        nonce: claims
            .text("nonce")?
            .filter(|nonce| !nonce.is_empty())
            .map(str::to_owned),
        issued_s,
        remember_until_s: issued_s + check.max_age_s + 1,
    })
}

fn check_time(claims: &Claims, check: &ProofCheck<'_>) -> Result<i64, ProofError> {
    let issued_s = claims.time("iat")?.ok_or(JwtError::Missing("iat"))?;
    let age_s = check.now_s - issued_s;
    if age_s > check.max_age_s {
        return Err(ProofError::TooOld(age_s));
    }
    if -age_s > check.max_ahead_s {
        return Err(ProofError::InFuture(-age_s));
    }
    match claims.time("exp")? {
        Some(expires_s) if expires_s < check.now_s - check.max_ahead_s => Err(ProofError::Expired),
        _ => Ok(issued_s),
    }
}

fn check_request(claims: &Claims, check: &ProofCheck<'_>) -> Result<(), ProofError> {
    if claims.required_text("htm")? != check.method {
        return Err(ProofError::WrongMethod);
    }
    let htu = claims.required_text("htu")?;
    let is_one = |address: &str| check.addresses.iter().any(|one| one == address);
    // Nearly always the text is equal as it stands; both are addresses in normal form then.
    if !is_one(htu) && !normalise_htu(htu).is_some_and(|htu| is_one(&htu)) {
        return Err(ProofError::WrongAddress);
    }
    if let Some(expected) = check.token_hash {
        let found = claims.required_text("ath")?;
        if !equal_secret(found.as_bytes(), expected.as_bytes()) {
            return Err(ProofError::WrongToken);
        }
    }
    Ok(())
}

/// `ath` of an access token (RFC 9449 §4.2).
#[must_use]
pub fn token_hash(access_token: &str) -> String {
    b64url(&sha256(access_token.as_bytes()))
}

/// Makes a proof, as a client does. `address` is the request's URL; query and fragment are cut off.
///
/// # Errors
/// When the crypto library refuses.
pub fn make_proof(
    key: &PrivateJwk,
    method: &str,
    address: &str,
    access_token: Option<&str>,
    nonce: Option<&str>,
    now_s: i64,
) -> Result<String, SignError> {
    let mut header = Map::new();
    header.insert("typ".to_owned(), "dpop+jwt".into());
    header.insert("jwk".to_owned(), key.public().to_members().into());
    let mut claims = Claims::default();
    let jti = encoding::random_b64url::<16>().map_err(|_| SignError::Crypto)?;
    claims
        .set("jti", jti)
        .set("htm", method)
        .set("htu", normalise_htu(address).unwrap_or_default())
        .set("iat", now_s);
    if let Some(token) = access_token {
        claims.set("ath", token_hash(token));
    }
    if let Some(nonce) = nonce {
        claims.set("nonce", nonce);
    }
    jws::sign(&header, claims.to_json().as_bytes(), key, key.default_alg())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwk::KeyKind;

    proptest::proptest! {
        /// The quick way to an address gives what the thorough one gives.
        #[test]
        fn addresses(path in "/[a-zA-Z0-9-._~!$&'()*+,;=:@/%#? ]{0,40}") {
            let origin = "https://localhost:8444";
            proptest::prop_assert_eq!(address(origin, &path), normalise_htu(&format!("{origin}{path}")));
        }

        /// A known header changes neither what is accepted nor why something is refused.
        #[test]
        fn a_known_key_changes_nothing(cut in 0usize..400, with in "[A-Za-z0-9_.=-]{0,3}") {
            let (proof, keys) = proof();
            let mut changed: String = proof.chars().take(cut).collect();
            changed.push_str(&with);
            changed.extend(proof.chars().skip(cut + with.len()));
            let addresses = ["https://localhost:8444/connect/token".to_owned()];
            let slow = verify_proof(&changed, &check(&addresses)).map(|proof| proof.jti);
            let quick = keys.verify(&changed, &check(&addresses)).map(|proof| proof.jti);
            proptest::prop_assert_eq!(slow.is_ok(), quick.is_ok());
        }
    }

    /// A proof, and a memory that knows its key.
    fn proof() -> (String, ProofKeys) {
        let key = PrivateJwk::generate(KeyKind::P256, None).unwrap();
        let address = "https://localhost:8444/connect/token";
        let make = || make_proof(&key, "POST", address, None, None, 1_000).unwrap();
        let keys = ProofKeys::default();
        keys.verify(&make(), &check(&[address.to_owned()])).unwrap();
        (make(), keys)
    }

    fn check(addresses: &[String]) -> ProofCheck<'_> {
        ProofCheck {
            method: "POST",
            addresses,
            token_hash: None,
            now_s: 1_000,
            max_age_s: 60,
            max_ahead_s: 60,
            algs: crate::alg::HELSEID_CLIENT_ALGS,
        }
    }
}
