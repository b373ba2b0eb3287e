//! JWTs that a client signs about itself: the client assertion of `private_key_jwt` (RFC 7523) and the signed request
//! object (RFC 9101), with the rules of spec helseid §4, §5.1 and §16.
//!
//! Nothing is consumed here: the caller remembers the id once it has decided to act on the request, since a request
//! that is answered with a nonce must be repeatable byte for byte (spec helseid §4.1).

use serde_json::{Map, Value};

use crate::alg::Alg;
use crate::dpop::replay_key;
use crate::encoding;
use crate::encoding::{b64url, sha256};
use crate::jwk::{PrivateJwk, PublicJwk, SignError};
use crate::jws::{self, Compact, JwsError};
use crate::jwt::{Claims, JwtError};

/// Longest assertion or request object read, in bytes.
pub const MAX_ASSERTION_BYTES: usize = 32 * 1024;
/// Longest life of an assertion, from now to `exp`, skew not counted.
pub const MAX_LIFE_S: i64 = 60;
/// Clock difference forgiven in both directions.
pub const SKEW_S: i64 = 10;
/// `client_assertion_type` of RFC 7523 §2.2.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const REQUEST_OBJECT: &str = "request-object";

/// Why a client's JWT was refused. All are the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    /// Not a JWS, or the signature does not verify.
    #[error("{0}")]
    Jws(#[from] JwsError),
    /// A claim is missing, mistyped, or a time is out of bounds.
    #[error("{0}")]
    Claims(#[from] JwtError),
    /// `typ` is not what this kind of JWT carries.
    #[error("the typ header must be {0}")]
    WrongTyp(&'static str),
    /// The algorithm is not accepted for clients.
    #[error("the algorithm is not accepted for clients")]
    WrongAlg,
    /// The client has no key with that `kid`, or none that accepts the algorithm.
    #[error("the client has no active key that fits kid and alg")]
    NoKey,
    /// `iss` is not the client.
    #[error("iss is not the client_id")]
    WrongIssuer,
    /// `sub` is not the client.
    #[error("sub is not the client_id")]
    WrongSubject,
    /// `aud` is not this authorization server.
    #[error("aud must be exactly the issuer")]
    WrongAudience,
    /// `aud` names several.
    #[error("aud must be one value")]
    SeveralAudiences,
    /// `exp` lies too far ahead, by seconds.
    #[error("exp lies {0} s ahead; at most 60 are allowed")]
    TooLongLived(i64),
    /// `jti` is not 8 to 256 characters.
    #[error("jti must have 8 to 256 characters")]
    BadJti,
    /// An assertion that carries authorization request parameters: it was made to be a request object.
    #[error("a request object cannot authenticate a client")]
    RequestObject,
}

/// A departure from the strict rules that compatible mode let pass; for the log and the vendor's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leniency {
    /// `typ` was missing or `JWT`.
    Typ,
    /// `aud` was an endpoint instead of the issuer.
    Audience,
    /// `nbf` was missing.
    NoNbf,
    /// `iat` was missing.
    NoIat,
    /// `aud` was an array of one.
    AudienceArray,
}

/// Who is called, and how strictly.
#[derive(Debug, Clone, Copy)]
pub struct AssertionRules<'a> {
    /// The issuer, the one strict audience.
    pub issuer: &'a str,
    /// Endpoint addresses accepted as audience in compatible mode.
    pub endpoints: &'a [String],
    /// Compatible mode (spec helseid §16).
    pub compatible: bool,
    /// Now, seconds since 1970.
    pub now_s: i64,
    /// Algorithms accepted.
    pub algs: &'a [Alg],
}

/// A verified assertion or request object.
#[derive(Debug, Clone)]
pub struct Asserted {
    /// The client.
    pub client_id: String,
    /// All claims.
    pub claims: Claims,
    /// Until when the id must be remembered.
    pub remember_until_s: i64,
    /// What compatible mode let pass.
    pub leniencies: Vec<Leniency>,
    /// Thumbprint of the key that signed.
    pub key_thumbprint: String,
    jti: String,
    digest: String,
    space: &'static str,
}

impl Asserted {
    /// Key under which to remember the id: per kind and client, so neither a request object nor another client can
    /// use up the ids of this one.
    #[must_use]
    pub fn replay_key(&self) -> String {
        replay_key(self.space, &self.client_id, &self.jti)
    }

    /// Key that marks these exact bytes as used, in whichever role, so that they are never accepted in the other.
    #[must_use]
    pub fn role_key(&self) -> String {
        format!("jwt-role/{}", self.digest)
    }

    /// Whether it is a request object, not a client assertion.
    #[must_use]
    pub fn is_request_object(&self) -> bool {
        self.space == REQUEST_OBJECT
    }
}

/// A client assertion that has been read and not yet verified: says which client's keys to verify it with.
pub struct Unverified<'a> {
    token: &'a str,
    compact: Compact<'a>,
    claims: Claims,
}

impl<'a> Unverified<'a> {
    /// Reads an assertion; believes nothing of it.
    ///
    /// # Errors
    /// When it is no JWS of an object.
    pub fn read(assertion: &'a str) -> Result<Self, AssertionError> {
        let compact = Compact::parse(assertion, MAX_ASSERTION_BYTES)?;
        let claims = Claims::parse(&compact.payload)?;
        Ok(Self {
            token: assertion,
            compact,
            claims,
        })
    }

    /// The client id it claims to be from: only to find the client's keys.
    ///
    /// # Errors
    /// When it has neither `sub` nor `iss`.
    pub fn claimed_client_id(&self) -> Result<&str, AssertionError> {
        match self.claims.text("sub")? {
            Some(sub) if !sub.is_empty() => Ok(sub),
            _ => Ok(self.claims.required_text("iss")?),
        }
    }

    /// Verifies it with the client's active keys.
    ///
    /// # Errors
    /// See [`AssertionError`]; cheap checks come before the signature.
    pub fn verify(
        self,
        client_id: &str,
        keys: &[PublicJwk],
        rules: &AssertionRules<'_>,
    ) -> Result<Asserted, AssertionError> {
        const TYP: &str = "client-authentication+jwt";
        const REQUEST_CLAIMS: [&str; 5] = [
            "response_type",
            "redirect_uri",
            "code_challenge",
            "request_uri",
            "scope",
        ];
        let Self {
            token,
            compact,
            claims,
        } = self;
        let mut leniencies = Vec::new();
        if !compact.is_typ(&[TYP]) {
            let stock = compact.typ.is_none() || compact.is_typ(&["JWT"]);
            if !(rules.compatible && stock) {
                return Err(AssertionError::WrongTyp(TYP));
            }
            leniencies.push(Leniency::Typ);
        }
        if claims.required_text("sub")? != client_id {
            return Err(AssertionError::WrongSubject);
        }
        if REQUEST_CLAIMS
            .iter()
            .any(|name| claims.0.contains_key(*name))
        {
            return Err(AssertionError::RequestObject);
        }
        let verified = Verified {
            compact,
            claims,
            leniencies,
            space: "assertion",
        };
        verified.finish(token, client_id, keys, rules, rules.endpoints)
    }
}

/// Verifies a client assertion with the client's active keys.
///
/// # Errors
/// See [`AssertionError`]; cheap checks come before the signature.
pub fn verify_client_assertion(
    assertion: &str,
    client_id: &str,
    keys: &[PublicJwk],
    rules: &AssertionRules<'_>,
) -> Result<Asserted, AssertionError> {
    Unverified::read(assertion)?.verify(client_id, keys, rules)
}

/// Verifies a signed request object with the client's active keys.
///
/// # Errors
/// See [`AssertionError`].
pub fn verify_request_object(
    object: &str,
    client_id: &str,
    keys: &[PublicJwk],
    rules: &AssertionRules<'_>,
) -> Result<Asserted, AssertionError> {
    const TYPES: [&str; 3] = ["oauth-authz-req+jwt", "client-authentication+jwt", "JWT"];
    let compact = Compact::parse(object, MAX_ASSERTION_BYTES)?;
    if compact.typ.is_some() && !compact.is_typ(&TYPES) {
        return Err(AssertionError::WrongTyp("oauth-authz-req+jwt"));
    }
    let claims = Claims::parse(&compact.payload)?;
    for name in ["client_id", "sub"] {
        if claims.text(name)?.is_some_and(|value| value != client_id) {
            return Err(AssertionError::WrongSubject);
        }
    }
    let verified = Verified {
        compact,
        claims,
        leniencies: Vec::new(),
        space: REQUEST_OBJECT,
    };
    verified.finish(object, client_id, keys, rules, &[])
}

struct Verified<'a> {
    compact: Compact<'a>,
    claims: Claims,
    leniencies: Vec<Leniency>,
    space: &'static str,
}

impl Verified<'_> {
    fn finish(
        mut self,
        token: &str,
        client_id: &str,
        keys: &[PublicJwk],
        rules: &AssertionRules<'_>,
        endpoints: &[String],
    ) -> Result<Asserted, AssertionError> {
        if !rules.algs.contains(&self.compact.alg) {
            return Err(AssertionError::WrongAlg);
        }
        if self.claims.required_text("iss")? != client_id {
            return Err(AssertionError::WrongIssuer);
        }
        self.check_audience(rules, endpoints)?;
        let expires_s = self.check_times(rules)?;
        let jti = self.claims.required_text("jti")?.to_owned();
        if !(8..=256).contains(&jti.len()) {
            return Err(AssertionError::BadJti);
        }
        let key_thumbprint = self.check_signature(keys)?;
        Ok(Asserted {
            client_id: client_id.to_owned(),
            claims: self.claims,
            remember_until_s: expires_s + SKEW_S + 1,
            leniencies: self.leniencies,
            key_thumbprint,
            jti,
            digest: b64url(&sha256(token.as_bytes())),
            space: self.space,
        })
    }

    fn check_audience(
        &mut self,
        rules: &AssertionRules<'_>,
        endpoints: &[String],
    ) -> Result<(), AssertionError> {
        let audience = match self.claims.0.get("aud") {
            Some(Value::String(one)) => one.as_str(),
            Some(Value::Array(several)) => match several.as_slice() {
                [Value::String(one)] if rules.compatible => {
                    self.leniencies.push(Leniency::AudienceArray);
                    one.as_str()
                }
                _ => return Err(AssertionError::SeveralAudiences),
            },
            Some(_) => return Err(JwtError::WrongType("aud").into()),
            None => return Err(JwtError::Missing("aud").into()),
        };
        if audience == rules.issuer {
            return Ok(());
        }
        if rules.compatible && endpoints.iter().any(|endpoint| endpoint == audience) {
            self.leniencies.push(Leniency::Audience);
            return Ok(());
        }
        Err(AssertionError::WrongAudience)
    }

    fn check_times(&mut self, rules: &AssertionRules<'_>) -> Result<i64, AssertionError> {
        let now_s = rules.now_s;
        let expires_s = self.claims.time("exp")?.ok_or(JwtError::Missing("exp"))?;
        if expires_s + SKEW_S <= now_s {
            return Err(JwtError::Expired(now_s - expires_s).into());
        }
        let ahead_s = expires_s - now_s;
        if ahead_s > MAX_LIFE_S + SKEW_S {
            return Err(AssertionError::TooLongLived(ahead_s));
        }
        match self.claims.time("nbf")? {
            Some(from_s) if from_s > now_s + SKEW_S => {
                return Err(JwtError::NotYetValid(from_s - now_s).into());
            }
            Some(_) => {}
            None if rules.compatible => self.leniencies.push(Leniency::NoNbf),
            None => return Err(JwtError::Missing("nbf").into()),
        }
        match self.claims.time_or_digits("iat")? {
            Some(issued_s) if issued_s > now_s + SKEW_S => {
                return Err(JwtError::IssuedInFuture(issued_s - now_s).into());
            }
            Some(_) => {}
            None if rules.compatible => self.leniencies.push(Leniency::NoIat),
            None if self.space == REQUEST_OBJECT => {}
            None => return Err(JwtError::Missing("iat").into()),
        }
        Ok(expires_s)
    }

    fn check_signature(&self, keys: &[PublicJwk]) -> Result<String, AssertionError> {
        let named = self.compact.kid.as_deref();
        // A key registered without kid may still be meant, so only a different kid rules a key out.
        let mut candidates = keys
            .iter()
            .filter(|key| named.is_none() || key.kid().is_none() || key.kid() == named)
            .filter(|key| key.accepts(self.compact.alg))
            .peekable();
        if candidates.peek().is_none() {
            return Err(AssertionError::NoKey);
        }
        candidates
            .find(|key| self.compact.verify(key).is_ok())
            .map(|key| key.thumbprint().to_owned())
            .ok_or(AssertionError::Jws(JwsError::BadSignature))
    }
}

/// Makes a strict client assertion of 30 seconds, as a client does. `details` are further claims, for example
/// `assertion_details`.
///
/// # Errors
/// When the crypto library refuses.
pub fn make_client_assertion(
    key: &PrivateJwk,
    client_id: &str,
    issuer: &str,
    details: &Map<String, Value>,
    now_s: i64,
) -> Result<String, SignError> {
    let mut claims = Claims::default();
    let jti = encoding::random_b64url::<16>().map_err(|_| SignError::Crypto)?;
    claims
        .set("iss", client_id)
        .set("sub", client_id)
        .set("aud", issuer)
        .set("iat", now_s)
        .set("nbf", now_s)
        .set("exp", now_s + 30)
        .set("jti", jti);
    for (name, value) in details {
        claims.set(name, value.clone());
    }
    jws::sign_compact(
        "client-authentication+jwt",
        claims.to_json().as_bytes(),
        key,
    )
}
