//! Who calls: HelseID tokens of the person service, as `DPoP` or, for clients of the older contract, as unbound `Bearer`
//! (spec/grunndata.md §3.1).

use super::problem::Fault;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use jose::rs::{Presented, Requirement, ResourceServer, RsError, Scheme};
use trust::register::PersonGround;

/// Audience of the tokens.
pub const AUDIENCE: &str = "nhn:hgd-persontjenesten-api";
/// Opens the tree `legal-basis`.
pub const WITH_LEGAL_BASIS: &str = "nhn:hgd-persontjenesten-api/read-with-legal-basis";
/// Opens the tree `no-legal-basis`.
pub const NO_LEGAL_BASIS: &str = "nhn:hgd-persontjenesten-api/read-no-legal-basis";
/// Opens both: the scope of the newest clients.
pub const FULL_ACCESS: &str = "nhn:hgd-persontjenesten-api/full-access";

/// A caller as the log names her.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Who {
    /// Client id.
    pub client_id: String,
    /// Main unit.
    pub orgnr_parent: String,
    /// Sub unit, where the token names one.
    pub orgnr_child: Option<String>,
    /// HPR number of a user; most calls have none.
    pub hpr: Option<String>,
}

/// All values of a header that are text.
fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let all = headers.get_all(name).iter();
    all.filter_map(|value| value.to_str().ok()).collect()
}

/// Why a request is refused, and who made it, where the token was valid.
#[derive(Debug)]
pub struct Refused {
    /// The answer.
    pub fault: Fault,
    /// Known when only the right is missing.
    pub who: Option<Who>,
}

/// Checks the token of a request.
///
/// # Errors
/// 401 for a token or proof that is not valid, 403 for one without the scope or the organisation.
pub fn caller(
    server: &ResourceServer,
    parts: &Parts,
    ground: PersonGround,
    now_s: i64,
) -> Result<Who, Box<Refused>> {
    let scopes = match ground {
        PersonGround::LegalBasis => [WITH_LEGAL_BASIS, FULL_ACCESS],
        PersonGround::NoLegalBasis => [NO_LEGAL_BASIS, FULL_ACCESS],
    };
    // Scope and organisation are looked at below: who lacks them is named in the journal.
    let requirement = Requirement {
        scheme: Scheme::DpopOrBearer,
        ..Requirement::scope(&[])
    };
    let presented = Presented {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        authorization: &values(&parts.headers, "authorization"),
        dpop: &values(&parts.headers, "dpop"),
        now_s,
    };
    let token = server.check(&presented, &requirement).map_err(|error| {
        Box::new(Refused {
            fault: Fault::token(&error, server.algs()),
            who: None,
        })
    })?;
    let who = Who {
        client_id: token.client_id().unwrap_or_default().to_owned(),
        orgnr_parent: token.orgnr_parent().unwrap_or_default().to_owned(),
        orgnr_child: token.orgnr_child().map(str::to_owned),
        hpr: token.hpr_number().map(str::to_owned),
    };
    let held = token.claims.text_list("scope").unwrap_or_default();
    let lacks = if !held.iter().any(|scope| scopes.contains(scope)) {
        Some(RsError::MissingScope)
    } else if token.orgnr_parent().is_none() {
        Some(RsError::NoOrganisation)
    } else {
        None
    };
    match lacks {
        None => Ok(who),
        Some(error) => Err(Box::new(Refused {
            fault: Fault::token(&error, server.algs()),
            who: Some(who),
        })),
    }
}

/// Checks `api-version`: required, and 2.
///
/// # Errors
/// 400.
pub fn version(headers: &HeaderMap) -> Result<(), Fault> {
    match values(headers, "api-version").as_slice() {
        ["2" | "2.0"] => Ok(()),
        [] => Err(Fault::bad_request(
            "The header api-version is required: send api-version: 2.",
        )),
        _ => Err(Fault::bad_request(
            "This API version does not exist here: send api-version: 2.",
        )),
    }
}
