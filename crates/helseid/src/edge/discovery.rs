//! Discovery, key sets and the list of identity providers (spec §2.1, §3, §6.2).
//!
//! Only what is really accepted is announced: no implicit flow, no `plain`, no shared secrets, no symmetric algorithms.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use jose::alg::HELSEID_CLIENT_ALGS;
use serde_json::{Value, json};

use super::{json_answer, path};
use crate::Helseid;
use crate::idp;
use crate::rules::{exchange, scopes};

/// How long clients may keep metadata and keys: the day the specification names is the most, an hour is kinder.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=3600");

const CLAIMS: [&str; 16] = [
    "name",
    "family_name",
    "given_name",
    "middle_name",
    "helseid://claims/identity/assurance_level",
    "helseid://claims/identity/pid",
    "helseid://claims/identity/pid_pseudonym",
    "helseid://claims/identity/security_level",
    "helseid://claims/identity/network",
    "helseid://claims/hpr/hpr_number",
    "helseid://claims/client/client_name",
    "helseid://claims/client/client_tenancy",
    "helseid://claims/client/claims/orgnr_parent",
    "helseid://claims/client/claims/orgnr_child",
    "helseid://claims/client/claims/orgnr_supplier",
    "client_amr",
];

/// `GET /.well-known/openid-configuration`.
pub async fn metadata(State(helseid): State<Helseid>) -> Response<Body> {
    public(&document(&helseid))
}

/// `GET /.well-known/openid-configuration/jwks`.
pub async fn jwks(State(helseid): State<Helseid>) -> Response<Body> {
    public(
        &helseid
            .inner
            .secrets
            .with_ring(jose::keyring::Keyring::jwks),
    )
}

/// `GET /connect/expiredjwks`.
pub async fn expired_jwks(State(helseid): State<Helseid>) -> Response<Body> {
    public(
        &helseid
            .inner
            .secrets
            .with_ring(jose::keyring::Keyring::expired_jwks),
    )
}

/// `GET /connect/availableidps`.
pub async fn available_idps(State(helseid): State<Helseid>) -> Response<Body> {
    let inner = &helseid.inner;
    let shown = |id: &str, name: &str, level: &str| json!({ "id": id, "name": name, "securityLevel": level, "acrValue": format!("idp:{id}") });
    let outside = inner.upstreams.iter().map(|upstream| {
        let config = &upstream.config;
        shown(&config.id, &config.name, config.highest.security_level())
    });
    let test = inner
        .config
        .test_idp
        .then(|| shown(idp::TEST_ID, "Test IDP", "4"));
    let idps = Value::Array(outside.chain(test).collect());
    public(&idps)
}

/// An answer that everybody may keep.
pub fn public(body: &Value) -> Response<Body> {
    let mut answer = json_answer(StatusCode::OK, body);
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, CACHE);
    headers.remove(header::PRAGMA);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    answer
}

fn document(helseid: &Helseid) -> Value {
    let config = &helseid.inner.config;
    let at = |path: &str| format!("{}{path}", config.issuer);
    let algs: Vec<&str> = HELSEID_CLIENT_ALGS.iter().map(|alg| alg.name()).collect();
    let mut scopes_supported: Vec<&str> = scopes::SUPPORTED.to_vec();
    for api in &config.apis {
        scopes_supported.extend(api.scopes.iter().map(String::as_str));
    }
    json!({
        "issuer": config.issuer,
        "jwks_uri": at(path::JWKS),
        "authorization_endpoint": at(path::AUTHORIZE),
        "token_endpoint": at(path::TOKEN),
        "userinfo_endpoint": at(path::USER_INFO),
        "end_session_endpoint": at(path::END_SESSION),
        "check_session_iframe": at(path::CHECK_SESSION),
        "revocation_endpoint": at(path::REVOCATION),
        "introspection_endpoint": at(path::INTROSPECTION),
        "pushed_authorization_request_endpoint": at(path::PAR),
        "require_pushed_authorization_requests": true,
        "frontchannel_logout_supported": true,
        "frontchannel_logout_session_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "claims_supported": CLAIMS,
        "scopes_supported": scopes_supported,
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token", exchange::GRANT],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": algs,
        "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
        "introspection_endpoint_auth_signing_alg_values_supported": algs,
        "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
        "revocation_endpoint_auth_signing_alg_values_supported": algs,
        "id_token_signing_alg_values_supported": [config.signing_key.alg().name()],
        "subject_types_supported": ["public"],
        "code_challenge_methods_supported": ["S256"],
        "request_parameter_supported": true,
        "request_uri_parameter_supported": false,
        "request_object_signing_alg_values_supported": algs,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "authorization_response_iss_parameter_supported": true,
        "dpop_signing_alg_values_supported": algs,
        "expired_jwks_uri": at(path::EXPIRED_JWKS),
        "available_idps": at(path::AVAILABLE_IDPS),
    })
}
