//! The resource-server side: what every API does with `Authorization` and `DPoP` (spec helseid §10.2 and §10.3).
//!
//! [`ResourceServer::check`] is the one call an API makes. It is synchronous and makes no network calls; keys come from
//! a [`KeySource`] (for a remote issuer [`CachedKeys`]), replay marks go to a [`ReplayCache`].
//!
//! A client sends one token with many requests, so tokens whose signature was found right are remembered by their hash,
//! with the key that verified them: they are believed again while the issuer still has that key. Times, audience, proof
//! and contents are checked each time.

use std::sync::{Arc, OnceLock};

use crate::alg::Alg;
use crate::dpop::{self, ProofCheck, ProofError, ProofKeys};
use crate::encoding::{b64url, equal_secret, sha256};
use crate::jwk::PublicJwk;
use crate::jws::{Compact, JwsError};
use crate::jwt::{Claims, JwtError, Validation};
pub use crate::key_cache::{Advice, CacheRules, CachedKeys};
use crate::names;
use crate::recent::Recent;
use crate::state::{ReplayCache, StateError};

/// Longest access token read, in bytes.
pub const MAX_ACCESS_TOKEN_BYTES: usize = 16 * 1024;
/// Verified tokens remembered, about: 3 KB each.
const REMEMBERED_TOKENS: usize = 2_048;

/// Where the issuer's public keys come from.
pub trait KeySource: Send + Sync + 'static {
    /// The issuer's key of that id; `None` when it has none (a remote source then refetches, with a limit).
    fn key(&self, kid: &str) -> Option<PublicJwk>;
}

/// How a token may be presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `DPoP` with a proof; the rule.
    Dpop,
    /// `Bearer` with a token that is bound to no key.
    Bearer,
    /// `DPoP` with a proof, or `Bearer` with a token that is bound to no key: APIs older than DPoP.
    DpopOrBearer,
    /// `DPoP`, or `Bearer` even with a bound token: only UserInfo and the kjernejournal status icon
    /// (spec helseid §10.2).
    DpopOrBoundBearer,
}

/// What an endpoint demands.
#[derive(Debug, Clone, Copy)]
pub struct Requirement<'a> {
    /// How the token may be presented.
    pub scheme: Scheme,
    /// One of these scopes must be in the token, compared as whole elements. Empty: none needed.
    pub any_scope: &'a [&'a str],
    /// Lowest security level of the login (2 to 4); asking for one also asks for a user.
    pub min_level: Option<u8>,
    /// A user: `pid` or HPR number.
    pub user: bool,
    /// An organisation: `orgnr_parent`.
    pub organisation: bool,
    /// Whether the token must be for this API alone.
    pub only_audience: bool,
}

impl<'a> Requirement<'a> {
    /// DPoP and one of these scopes; nothing else.
    #[must_use]
    pub const fn scope(any_scope: &'a [&'a str]) -> Self {
        Self {
            scheme: Scheme::Dpop,
            any_scope,
            min_level: None,
            user: false,
            organisation: false,
            only_audience: false,
        }
    }

    /// The same, with a user logged in at that level.
    #[must_use]
    pub const fn user_at_level(self, level: u8) -> Self {
        Self {
            min_level: Some(level),
            user: true,
            ..self
        }
    }

    /// The same, with an organisation.
    #[must_use]
    pub const fn with_organisation(self) -> Self {
        Self {
            organisation: true,
            ..self
        }
    }
}

/// A request, as far as authorization is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// Method, upper case.
    pub method: &'a str,
    /// Path as it came, query cut off.
    pub path: &'a str,
    /// All `Authorization` header values.
    pub authorization: &'a [&'a str],
    /// All `DPoP` header values.
    pub dpop: &'a [&'a str],
    /// Now, seconds since 1970.
    pub now_s: i64,
}

/// Why a request was refused. [`RsError::status`] gives the HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RsError {
    /// No `Authorization` header.
    #[error("no access token: send Authorization: DPoP <token>")]
    NoToken,
    /// More than one `Authorization` or `DPoP` header.
    #[error("exactly one Authorization and one DPoP header are accepted")]
    SeveralHeaders,
    /// The scheme is not one this endpoint takes.
    #[error("this endpoint does not accept that authorization scheme")]
    WrongScheme,
    /// A bound token presented as `Bearer`.
    #[error("the token is bound to a key and must be sent with the DPoP scheme and a proof")]
    BoundTokenAsBearer,
    /// `DPoP` scheme with a token bound to no key.
    #[error("the token is not bound to a key")]
    Unbound,
    /// `DPoP` scheme without proof.
    #[error("no DPoP proof")]
    NoProof,
    /// The proof was made with another key than the token's.
    #[error("the proof is by another key than the token's")]
    WrongKey,
    /// The proof was used before.
    #[error("the proof has been used before")]
    ReplayedProof,
    /// The proof is wrong.
    #[error("{0}")]
    Proof(#[from] ProofError),
    /// The token is not a JWS or does not verify.
    #[error("the access token: {0}")]
    Token(#[from] JwsError),
    /// The token's claims do not hold.
    #[error("the access token: {0}")]
    Claims(#[from] JwtError),
    /// `typ` is neither `at+jwt` nor `JWT`.
    #[error("the token is not an access token (typ)")]
    WrongTyp,
    /// The header carries a key.
    #[error("the access token's header must not carry a key")]
    CarriesKey,
    /// No key of that id.
    #[error("the access token is signed with an unknown key")]
    UnknownKey,
    /// The token, or the login behind it, has been revoked. Only checkers that ask somebody can know.
    #[error("the access token has been revoked")]
    Revoked,
    /// The token lacks the scope.
    #[error("the access token lacks the scope for this call")]
    MissingScope,
    /// The token has no user.
    #[error("the call needs a logged-in user")]
    NoUser,
    /// The login's level is too low or missing.
    #[error("the call needs a login at security level {0}")]
    LevelTooLow(u8),
    /// The token has no organisation.
    #[error("the call needs an organisation number in the token")]
    NoOrganisation,
    /// The replay mark could not be kept.
    #[error("{0}")]
    Replay(#[from] StateError),
}

impl RsError {
    /// 401 for a token or proof that is not valid, 403 for a valid one that is not enough, 503 when marks cannot be kept.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::MissingScope | Self::NoUser | Self::LevelTooLow(_) | Self::NoOrganisation => 403,
            Self::Replay(_) => 503,
            _ => 401,
        }
    }

    /// The OAuth error code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Proof(_) | Self::NoProof | Self::ReplayedProof | Self::WrongKey => {
                "invalid_dpop_proof"
            }
            Self::SeveralHeaders => "invalid_request",
            Self::MissingScope => "insufficient_scope",
            Self::NoUser | Self::LevelTooLow(_) | Self::NoOrganisation => {
                "insufficient_user_authentication"
            }
            Self::Replay(_) => "temporarily_unavailable",
            _ => "invalid_token",
        }
    }

    /// The `WWW-Authenticate` value for a 401 or 403 (RFC 9449 §7.1, RFC 6750 §3).
    #[must_use]
    pub fn www_authenticate(&self, algs: &[Alg]) -> String {
        let algs: Vec<&str> = algs.iter().map(|alg| alg.name()).collect();
        let algs = algs.join(" ");
        match self {
            Self::NoToken => format!("DPoP algs=\"{algs}\""),
            _ => format!(
                "DPoP error=\"{}\", error_description=\"{self}\", algs=\"{algs}\"",
                self.code()
            ),
        }
    }
}

/// A verified access token, with the claims APIs ask for by name.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessToken {
    /// All claims, shared with what is remembered of the token: every request gets its own handle on them.
    pub claims: Arc<Claims>,
}

impl AccessToken {
    fn text(&self, name: &'static str) -> Option<&str> {
        self.claims.text(name).ok().flatten()
    }

    /// The client's id.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.text("client_id")
    }

    /// The user's pseudonym; absent in machine tokens.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// The user's national identity number.
    #[must_use]
    pub fn pid(&self) -> Option<&str> {
        self.text(names::PID)
    }

    /// The user's number in the register of health personnel.
    #[must_use]
    pub fn hpr_number(&self) -> Option<&str> {
        self.text(names::HPR_NUMBER)
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// The login's security level. Only the string form counts (attack A32).
    #[must_use]
    pub fn security_level(&self) -> Option<u8> {
        match self.text(names::SECURITY_LEVEL)? {
            "2" => Some(2),
            "3" => Some(3),
            "4" => Some(4),
            _ => None,
        }
    }

    /// The legal entity.
    #[must_use]
    pub fn orgnr_parent(&self) -> Option<&str> {
        self.text(names::ORGNR_PARENT)
    }

    /// The sub-unit.
    #[must_use]
    pub fn orgnr_child(&self) -> Option<&str> {
        self.text(names::ORGNR_CHILD)
    }

    /// The attest of the trust framework, if the token carries one.
    #[must_use]
    pub fn attest(&self) -> Option<&serde_json::Map<String, serde_json::Value>> {
        self.claims.0.get(names::ATTEST)?.as_object()
    }

    /// The token's id.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.text("jti")
    }

    /// The login session's id.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.text("sid")
    }

    /// When the token expires, seconds since 1970.
    #[must_use]
    pub fn expires_s(&self) -> i64 {
        self.claims.time("exp").ok().flatten().unwrap_or(0)
    }

    /// Thumbprint of the key the token is bound to.
    #[must_use]
    pub fn jkt(&self) -> Option<&str> {
        self.claims.0.get("cnf")?.as_object()?.get("jkt")?.as_str()
    }

    /// The scopes. HelseID writes an array; a string is one scope, never split (attack A33).
    #[must_use]
    pub fn scopes(&self) -> Vec<&str> {
        self.claims.text_list("scope").unwrap_or_default()
    }

    /// Whether that exact scope is there.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().contains(&scope)
    }
}

/// The checker of one API.
#[derive(Clone)]
pub struct ResourceServer {
    issuer: String,
    audience: Option<String>,
    origins: Vec<String>,
    keys: Arc<dyn KeySource>,
    replay: Arc<dyn ReplayCache>,
    algs: Vec<Alg>,
    proof_keys: Arc<ProofKeys>,
    verified: Arc<Recent<[u8; 32], Arc<VerifiedToken>>>,
}

/// A token whose signature is right, shared by all requests that bring it.
pub struct VerifiedToken {
    token: AccessToken,
    kid: String,
    thumbprint: String,
    /// What a proof that comes with it carries as `ath`.
    hash: String,
    text: OnceLock<String>,
}

impl VerifiedToken {
    /// The token.
    #[must_use]
    pub fn token(&self) -> &AccessToken {
        &self.token
    }

    /// What the issuer says about this token, made at its first introspection: it follows from the token alone.
    pub fn description(&self, make: impl FnOnce(&AccessToken) -> String) -> &str {
        self.text.get_or_init(|| make(&self.token))
    }
}

impl ResourceServer {
    /// Clock difference forgiven for tokens.
    pub const LEEWAY_S: i64 = 5;
    /// How old a proof may be. The national sample allows 1 s with 5 s of skew; a queue in front needs more.
    pub const PROOF_AGE_S: i64 = 15;
    /// How far ahead of us the client's clock may be.
    pub const PROOF_AHEAD_S: i64 = 5;

    /// A checker for tokens of `issuer` for `audience`, reached under `origins` (scheme, host, port; no path).
    #[must_use]
    pub fn new(
        issuer: &str,
        audience: &str,
        origins: &[String],
        keys: Arc<dyn KeySource>,
        replay: Arc<dyn ReplayCache>,
    ) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: Some(audience.to_owned()),
            origins: origins
                .iter()
                .filter_map(|origin| dpop::normalise_htu(origin))
                .map(|origin| origin.trim_end_matches('/').to_owned())
                .collect(),
            keys,
            replay,
            algs: crate::alg::HELSEID_CLIENT_ALGS.to_vec(),
            proof_keys: Arc::default(),
            verified: Arc::new(Recent::new(REMEMBERED_TOKENS)),
        }
    }

    /// A checker that takes tokens of every audience: for the issuer's own UserInfo and introspection.
    #[must_use]
    pub fn any_audience(mut self) -> Self {
        self.audience = None;
        self
    }

    /// The same checker for another audience: shares keys, replay marks and what is remembered.
    #[must_use]
    pub fn for_audience(&self, audience: &str) -> Self {
        let mut other = self.clone();
        other.audience = Some(audience.to_owned());
        other
    }

    /// Algorithms accepted in proofs, for `WWW-Authenticate`.
    #[must_use]
    pub fn algs(&self) -> &[Alg] {
        &self.algs
    }

    /// Checks a request and gives its token.
    ///
    /// # Errors
    /// See [`RsError`], one per reason. A proof is marked as used only when token and proof are both right.
    pub fn check(
        &self,
        presented: &Presented<'_>,
        requirement: &Requirement<'_>,
    ) -> Result<AccessToken, RsError> {
        let (is_dpop, text) = split_authorization(presented.authorization)?;
        match (is_dpop, requirement.scheme) {
            (true, Scheme::Bearer) | (false, Scheme::Dpop) => {
                // Say the more helpful thing when a bound token came as Bearer.
                let bound = !is_dpop
                    && self
                        .verify_token(text, presented.now_s, false)
                        .is_ok_and(|token| token.jkt().is_some());
                return Err(if bound {
                    RsError::BoundTokenAsBearer
                } else {
                    RsError::WrongScheme
                });
            }
            _ => {}
        }
        let verified = self.recall_token(text, presented.now_s, requirement.only_audience)?;
        let token = verified.token();
        if is_dpop {
            self.check_proof(&verified, presented)?;
        } else if token.jkt().is_some() && requirement.scheme != Scheme::DpopOrBoundBearer {
            return Err(RsError::BoundTokenAsBearer);
        }
        check_contents(token, requirement)?;
        Ok(token.clone())
    }

    /// Verifies the token alone: signature, type, issuer, audience, times.
    ///
    /// # Errors
    /// See [`RsError`].
    pub fn verify_token(
        &self,
        text: &str,
        now_s: i64,
        only_audience: bool,
    ) -> Result<AccessToken, RsError> {
        self.recall_token(text, now_s, only_audience)
            .map(|verified| verified.token.clone())
    }

    /// The same without a copy of the claims.
    ///
    /// # Errors
    /// See [`RsError`].
    pub fn recall_token(
        &self,
        text: &str,
        now_s: i64,
        only_audience: bool,
    ) -> Result<Arc<VerifiedToken>, RsError> {
        if text.len() > MAX_ACCESS_TOKEN_BYTES {
            return Err(JwsError::TooLarge(MAX_ACCESS_TOKEN_BYTES).into());
        }
        let validation = Validation {
            now_s,
            leeway_s: Self::LEEWAY_S,
            issuer: &self.issuer,
            audience: self.audience.as_deref(),
            only_audience,
        };
        let digest = sha256(text.as_bytes());
        if let Some(known) = self.verified.get(&digest)
            && let Some(key) = self.keys.key(&known.kid)
            && key.thumbprint() == known.thumbprint
        {
            validation.check(&known.token.claims)?;
            return Ok(known);
        }
        let compact = Compact::parse(text, MAX_ACCESS_TOKEN_BYTES)?;
        if !compact.is_typ(&["at+jwt", "JWT"]) {
            return Err(RsError::WrongTyp);
        }
        if compact.carries_key() {
            return Err(RsError::CarriesKey);
        }
        let claims = Claims::parse(&compact.payload)?;
        validation.check(&claims)?;
        // An ID token has typ JWT too; only access tokens name their client and scopes.
        if !claims.0.contains_key("client_id") || !claims.0.contains_key("scope") {
            return Err(RsError::WrongTyp);
        }
        let kid = compact.kid.as_deref().ok_or(RsError::UnknownKey)?;
        let key = self.keys.key(kid).ok_or(RsError::UnknownKey)?;
        compact.verify(&key)?;
        let verified = Arc::new(VerifiedToken {
            token: AccessToken {
                claims: Arc::new(claims),
            },
            kid: kid.to_owned(),
            thumbprint: key.thumbprint().to_owned(),
            hash: b64url(&digest),
            text: OnceLock::new(),
        });
        self.verified.insert(digest, Arc::clone(&verified));
        Ok(verified)
    }

    fn check_proof(
        &self,
        verified: &VerifiedToken,
        presented: &Presented<'_>,
    ) -> Result<(), RsError> {
        let jkt = verified.token.jkt().ok_or(RsError::Unbound)?;
        let proof = match presented.dpop {
            [one] => *one,
            [] => return Err(RsError::NoProof),
            _ => return Err(RsError::SeveralHeaders),
        };
        let addresses: Vec<String> = self
            .origins
            .iter()
            .filter_map(|origin| dpop::address(origin, presented.path))
            .collect();
        let proof = self.proof_keys.verify(
            proof,
            &ProofCheck {
                method: presented.method,
                addresses: &addresses,
                token_hash: Some(&verified.hash),
                now_s: presented.now_s,
                max_age_s: Self::PROOF_AGE_S,
                max_ahead_s: Self::PROOF_AHEAD_S,
                algs: &self.algs,
            },
        )?;
        if !equal_secret(proof.jkt.as_bytes(), jkt.as_bytes()) {
            return Err(RsError::WrongKey);
        }
        if !self
            .replay
            .first_use(&proof.replay_key(), proof.remember_until_s)?
        {
            return Err(RsError::ReplayedProof);
        }
        Ok(())
    }
}

fn split_authorization<'a>(headers: &[&'a str]) -> Result<(bool, &'a str), RsError> {
    let header = match headers {
        [one] => *one,
        [] => return Err(RsError::NoToken),
        _ => return Err(RsError::SeveralHeaders),
    };
    let (scheme, token) = header.split_once(' ').ok_or(RsError::WrongScheme)?;
    let token = token.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("DPoP") {
        Ok((true, token))
    } else if scheme.eq_ignore_ascii_case("Bearer") {
        Ok((false, token))
    } else {
        Err(RsError::WrongScheme)
    }
}

fn check_contents(token: &AccessToken, requirement: &Requirement<'_>) -> Result<(), RsError> {
    let scopes = token.claims.text_list("scope")?;
    let wanted = requirement.any_scope;
    if !wanted.is_empty() && !wanted.iter().any(|scope| scopes.contains(scope)) {
        return Err(RsError::MissingScope);
    }
    let needs_user = requirement.user || requirement.min_level.is_some();
    if needs_user && token.pid().is_none() && token.hpr_number().is_none() {
        return Err(RsError::NoUser);
    }
    if let Some(level) = requirement.min_level
        && token.security_level().is_none_or(|found| found < level)
    {
        return Err(RsError::LevelTooLow(level));
    }
    if requirement.organisation && token.orgnr_parent().is_none() {
        return Err(RsError::NoOrganisation);
    }
    Ok(())
}
