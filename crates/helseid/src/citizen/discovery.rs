//! Metadata of the citizens' issuer: only what is really accepted is announced.

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use jose::alg::HELSEID_CLIENT_ALGS;
use serde_json::{Value, json};

use super::{RIGHT_ATTORNEY, RIGHT_BIRTH_DATE, RIGHT_NAME, RIGHT_PID, path};
use crate::Helseid;
use crate::edge::discovery::public;

const CLAIMS: [&str; 15] = [
    "sub",
    "pid",
    "act",
    "acr",
    "amr",
    "auth_time",
    "idp",
    "sid",
    "name",
    "given_name",
    "middle_name",
    "family_name",
    "birthdate",
    "at_hash",
    "s_hash",
];

/// `GET …/.well-known/openid-configuration`.
pub(super) async fn metadata(State(helseid): State<Helseid>) -> Response<Body> {
    public(&document(&helseid))
}

fn document(helseid: &Helseid) -> Value {
    let inner = &helseid.inner;
    let issuer = &inner.config.issuer;
    let origin = inner.realm.origin(issuer);
    let at = |path: &str| format!("{origin}{path}");
    let algs: Vec<&str> = HELSEID_CLIENT_ALGS.iter().map(|alg| alg.name()).collect();
    let mtls = inner
        .citizens
        .as_ref()
        .and_then(|citizens| citizens.mtls_origin.as_deref());
    let mut methods = vec!["private_key_jwt"];
    if mtls.is_some() {
        methods.push("self_signed_tls_client_auth");
    }
    let mut document = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}{}", path::JWKS),
        "expired_jwks_uri": format!("{issuer}{}", path::EXPIRED_JWKS),
        "authorization_endpoint": at(path::AUTHORIZE),
        "token_endpoint": at(path::TOKEN),
        "end_session_endpoint": at(path::LOGOUT),
        "revocation_endpoint": at(path::REVOKE),
        "introspection_endpoint": at(path::INTROSPECT),
        "extend_endpoint": at(path::EXTEND),
        "pushed_authorization_request_endpoint": at(path::PAR),
        "require_pushed_authorization_requests": false,
        "frontchannel_logout_supported": true,
        "frontchannel_logout_session_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "claims_supported": CLAIMS,
        "scopes_supported": ["openid", "offline_access", RIGHT_NAME, RIGHT_BIRTH_DATE, RIGHT_PID, RIGHT_ATTORNEY],
        "acr_values_supported": ["Level4", "idporten-loa-high"],
        "ui_locales_supported": ["nb", "nn", "en", "se"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algs,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algs,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algs,
        "id_token_signing_alg_values_supported": [inner.config.signing_key.alg().name()],
        "subject_types_supported": ["pairwise"],
        "code_challenge_methods_supported": ["S256"],
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "authorization_response_iss_parameter_supported": true,
    });
    if let (Some(mtls), Some(members)) = (mtls, document.as_object_mut()) {
        let there = |path: &str| format!("{mtls}{path}");
        members.insert(
            "mtls_endpoint_aliases".to_owned(),
            json!({
                "token_endpoint": there(path::TOKEN),
                "revocation_endpoint": there(path::REVOKE),
                "introspection_endpoint": there(path::INTROSPECT),
                "extend_endpoint": there(path::EXTEND),
                "pushed_authorization_request_endpoint": there(path::PAR),
            }),
        );
        members.insert(
            "tls_client_certificate_bound_access_tokens".to_owned(),
            true.into(),
        );
    }
    document
}
