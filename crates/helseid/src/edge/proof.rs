//! What every endpoint for clients checks first: the client's assertion and the DPoP proof (spec §4.1, §10.1).
//!
//! Checking and consuming are apart: a request that is answered with a nonce must be repeatable byte for byte.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::http::HeaderMap;
use jose::alg::HELSEID_CLIENT_ALGS;
use jose::assertion::{Asserted, AssertionError, AssertionRules, JWT_BEARER, Unverified};
use jose::dpop::{self, Proof, ProofCheck};

use super::form::Form;
use super::header_values;
use crate::Helseid;
use crate::config::{Client, Mode};
use crate::error::{Code, OAuthError};
use crate::grants::Grants;
use crate::nonce;
use crate::realm::Realm;

/// How far a proof's `iat` may differ from our clock; the nonce is what proves freshness here.
const PROOF_WINDOW_S: i64 = 60;

/// A client that has proved who it is. Nothing is consumed yet.
pub struct Authenticated {
    pub client: Arc<Client>,
    pub asserted: Asserted,
}

/// Verifies the client assertion of a request to `path`.
pub fn authenticate(
    helseid: &Helseid,
    form: &Form,
    path: &str,
) -> Result<Authenticated, OAuthError> {
    let kind = form.get("client_assertion_type");
    let assertion = form.get("client_assertion");
    let (Some(JWT_BEARER), Some(assertion)) = (kind, assertion) else {
        return Err(OAuthError::new(
            Code::InvalidClient,
            "authenticate with private_key_jwt: client_assertion_type urn:ietf:params:oauth:client-assertion-type:jwt-bearer and client_assertion",
        ));
    };
    let read = Unverified::read(assertion).map_err(|error| OAuthError::client(&error))?;
    let claimed = read
        .claimed_client_id()
        .map_err(|error| OAuthError::client(&error))?;
    let client_id = form.get("client_id").unwrap_or(claimed);
    if client_id != claimed {
        return Err(OAuthError::client(&AssertionError::WrongSubject));
    }
    let unknown = || OAuthError::new(Code::InvalidClient, "no client has this client_id");
    let client = helseid.client(client_id).ok_or_else(unknown)?;
    let client_id = client.client_id.as_str();
    let endpoints = &helseid.inner.endpoints(path).audiences;
    let rules = assertion_rules(helseid, &client, endpoints);
    let keys = client.active_keys(rules.now_s);
    let asserted = read
        .verify(client_id, &keys, &rules)
        .map_err(|error| OAuthError::client(&error))?;
    if !asserted.leniencies.is_empty() {
        tracing::warn!(client_id, leniencies = ?asserted.leniencies, "helseid: assertion passes in compatible mode only");
    }
    // Counted only now: nobody else can use up the client's share.
    let limiter = &helseid.inner.limiter;
    if limiter.client(client_id, rules.now_s).is_err() {
        return Err(OAuthError::too_many("client"));
    }
    Ok(Authenticated { client, asserted })
}

/// Addresses of the endpoints that clients post to, each under every origin; made once.
pub struct Endpoints(HashMap<&'static str, Addresses>);

/// Addresses of one endpoint, in the form in which they are compared.
#[derive(Default)]
pub struct Addresses {
    /// The endpoint itself: what a proof names.
    pub own: Vec<String>,
    /// What compatible mode takes as audience: the token endpoint and the endpoint itself.
    pub audiences: Vec<String>,
}

impl Endpoints {
    /// The endpoints of an issuer under these origins, each with all its paths.
    pub fn new<'a>(origins: impl Iterator<Item = &'a str> + Clone, realm: &Realm) -> Self {
        let under = |path: &str| -> Vec<String> {
            let paths = (realm.aliases)(path);
            let all = origins.clone();
            all.flat_map(|origin| {
                paths
                    .iter()
                    .filter_map(|path| dpop::address(origin, path))
                    .collect::<Vec<_>>()
            })
            .collect()
        };
        let of = |one: &'static str| {
            let own = under(one);
            let mut audiences = under(realm.token);
            audiences.extend(own.iter().cloned());
            (one, Addresses { own, audiences })
        };
        Self(realm.posted.iter().copied().map(of).collect())
    }

    /// Those of one path; none for a path that clients do not authenticate at.
    pub fn of(&self, path: &str) -> &Addresses {
        static NONE: LazyLock<Addresses> = LazyLock::new(Addresses::default);
        self.0.get(path).unwrap_or(&NONE)
    }
}

/// The rules for JWTs of a client.
pub fn assertion_rules<'a>(
    helseid: &'a Helseid,
    client: &Client,
    endpoints: &'a [String],
) -> AssertionRules<'a> {
    let config = &helseid.inner.config;
    AssertionRules {
        issuer: &config.issuer,
        endpoints,
        compatible: client.mode.unwrap_or(config.mode) == Mode::Compatible,
        now_s: helseid.inner.now_s(),
        algs: HELSEID_CLIENT_ALGS,
    }
}

/// Whether a missing nonce is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceRule {
    /// At the token endpoint.
    Demanded,
    /// At the PAR endpoint: a valid one is accepted, a wrong one refused.
    Optional,
}

/// Verifies the DPoP proof of a POST to `path`, if there is one, and its nonce.
pub fn check_proof(
    helseid: &Helseid,
    headers: &HeaderMap,
    path: &str,
    rule: NonceRule,
) -> Result<Option<Proof>, OAuthError> {
    let proof = match header_values(headers, "DPoP").as_slice() {
        [] => return Ok(None),
        [one] => *one,
        _ => {
            return Err(OAuthError::new(
                Code::InvalidDpopProof,
                "exactly one DPoP header is accepted",
            ));
        }
    };
    let now_s = helseid.inner.now_s();
    let proof = helseid.inner.proof_keys.verify(
        proof,
        &ProofCheck {
            method: "POST",
            addresses: &helseid.inner.endpoints(path).own,
            token_hash: None,
            now_s,
            max_age_s: PROOF_WINDOW_S,
            max_ahead_s: PROOF_WINDOW_S,
            algs: HELSEID_CLIENT_ALGS,
        },
    )?;
    let key = &helseid.inner.secrets.nonce_key;
    match &proof.nonce {
        Some(nonce) if nonce::is_fresh(nonce, key, now_s) => Ok(Some(proof)),
        None if rule == NonceRule::Optional => Ok(Some(proof)),
        _ => Err(OAuthError::nonce()),
    }
}

/// Uses up everything of a checked request that is good once, all or nothing: ids of the client's JWTs, their bytes in
/// this role only (attacks A3, A7), and the proof.
pub async fn consume(
    grants: Grants<'_>,
    asserted: &[&Asserted],
    proof: Option<&Proof>,
) -> Result<(), OAuthError> {
    let mut marks = Vec::with_capacity(2 * asserted.len() + 1);
    for one in asserted {
        marks.push((one.replay_key(), one.remember_until_s));
        marks.push((one.role_key(), one.remember_until_s));
    }
    if let Some(proof) = proof {
        marks.push((proof.replay_key(), proof.remember_until_s));
    }
    let Some(taken) = grants.0.mark_all(&marks).await? else {
        return Ok(());
    };
    let Some(jwt) = asserted.get(taken / 2) else {
        return Err(OAuthError::new(
            Code::InvalidDpopProof,
            "the proof's jti has been used before",
        ));
    };
    // The same bytes in the same role have the same id, which is looked at first.
    let what = if taken % 2 == 0 {
        "the JWT's jti has been used before"
    } else {
        "the same JWT was used as client assertion and as request object"
    };
    let code = if jwt.is_request_object() {
        Code::InvalidRequestObject
    } else {
        Code::InvalidClient
    };
    Err(OAuthError::new(code, what))
}
