//! Who calls: the same tokens as of the person service ([`crate::persons::access`]). The scope is the ground: one base
//! address serves both.

use super::refusal::Refusal;
use crate::persons::access::{FULL_ACCESS, NO_LEGAL_BASIS, WITH_LEGAL_BASIS, Who};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use jose::rs::{Presented, Requirement, ResourceServer, Scheme};
use trust::register::PersonGround;

fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let all = headers.get_all(name).iter();
    all.filter_map(|value| value.to_str().ok()).collect()
}

/// Checks the token of a request; says who calls, and on what ground.
pub(super) fn caller(
    server: &ResourceServer,
    parts: &Parts,
    now_s: i64,
) -> Result<(Who, PersonGround), Refusal> {
    let requirement = Requirement {
        scheme: Scheme::DpopOrBearer,
        ..Requirement::scope(&[WITH_LEGAL_BASIS, NO_LEGAL_BASIS, FULL_ACCESS]).with_organisation()
    };
    let presented = Presented {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        authorization: &values(&parts.headers, "authorization"),
        dpop: &values(&parts.headers, "dpop"),
        now_s,
    };
    let token = server
        .check(&presented, &requirement)
        .map_err(|error| Refusal::token(&error, server.algs()))?;
    let with_basis = token.has_scope(WITH_LEGAL_BASIS) || token.has_scope(FULL_ACCESS);
    let ground = if with_basis {
        PersonGround::LegalBasis
    } else {
        PersonGround::NoLegalBasis
    };
    let who = Who {
        client_id: token.client_id().unwrap_or_default().to_owned(),
        orgnr_parent: token.orgnr_parent().unwrap_or_default().to_owned(),
        orgnr_child: token.orgnr_child().map(str::to_owned),
        hpr: token.hpr_number().map(str::to_owned),
    };
    Ok((who, ground))
}
