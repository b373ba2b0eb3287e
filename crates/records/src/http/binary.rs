//! Binary in its own media type (R4 Binary §"Serving Binary Resources using the RESTful API"): a body that is not FHIR is
//! the content of a Binary, and who asks for another type than FHIR's gets the content.
//!
//! Open repositories only; the content of clinical ones comes from where it is kept.

use super::negotiate::{names_other, wants};
use super::{Answer, Call, Content};
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::{HeaderName, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fhir::build::Json;
use fhir::{Doc, Limits};

/// Whether an answer to this address may be something else than FHIR.
pub(super) fn is_read(method: &Method, path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let Some(rest) = path.strip_prefix("Binary/") else {
        return false;
    };
    let is_version = rest
        .split_once('/')
        .is_none_or(|(_, below)| below.starts_with("_history/"));
    matches!(*method, Method::GET | Method::HEAD) && is_version && !rest.contains('$')
}

/// The body of a create or update of a Binary as a document; `None` when it is FHIR.
pub(super) fn document(call: &Call, rtype: &str, id: Option<&str>) -> Option<Result<Doc, Failure>> {
    let kind = call.media_type();
    let is_raw = rtype == "Binary"
        && kind.contains('/')
        && kind != "application/x-www-form-urlencoded"
        && names_other(kind);
    is_raw.then(|| {
        if call.body.is_empty() {
            return Err(Failure::bad("invalid", "the body is empty"));
        }
        let context = call
            .header("x-security-context")
            .map(|reference| Json::new().put("reference", reference).build());
        let json = Json::new()
            .put("resourceType", "Binary")
            .put("id", id.unwrap_or_default())
            .put("contentType", call.content_type().trim())
            .put("securityContext", context.unwrap_or_default())
            .put("data", STANDARD.encode(&call.body))
            .build();
        let limits = Limits {
            max_bytes: super::MAX_BUNDLE_BYTES,
            ..Limits::default()
        };
        Doc::parse_json(Bytes::from(json.to_string()), &limits)
            .map_err(|findings| Failure::findings(&findings))
    })
}

/// What a read answers: the content instead of the resource, when the caller asks for it by another type than FHIR's.
pub(super) fn shown(repository: &Repository, call: &Call, rtype: &str, answer: Answer) -> Answer {
    let has_format = call.query.iter().any(|(name, _)| name == "_format");
    let Content::Resource(json) = &answer.content else {
        return answer;
    };
    if rtype != "Binary" || has_format || repository.is_clinical() {
        return answer;
    }
    let limits = Limits {
        max_bytes: usize::MAX,
        ..Limits::default()
    };
    let Ok(doc) = Doc::parse_json(json.clone(), &limits) else {
        return answer;
    };
    let root = doc.root();
    let kind = root.str_at("contentType").unwrap_or_default().to_owned();
    if !wants(&call.headers, &kind) {
        return answer;
    }
    let context = root.str_at("securityContext.reference").map(str::to_owned);
    let data: String = root
        .str_at("data")
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .collect();
    let Ok(bytes) = STANDARD.decode(data) else {
        return answer;
    };
    let mut answer = Answer {
        content: Content::Raw(kind, Bytes::from(bytes)),
        ..answer
    }
    // Anybody may have stored it: it is shown by itself, as a file, and runs nothing.
    .with(
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; sandbox",
    )
    .with(header::CONTENT_DISPOSITION, "attachment");
    if let Some(context) = context {
        answer = answer.with(HeaderName::from_static("x-security-context"), &context);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_content() {
        for (method, path, expected) in [
            (Method::GET, "Binary/1", true),
            (Method::HEAD, "Binary/1/", true),
            (Method::GET, "Binary/1/_history/2", true),
            (Method::GET, "Binary/1/_history", false),
            (Method::GET, "Binary/1/$meta", false),
            (Method::GET, "Binary", false),
            (Method::POST, "Binary/1", false),
            (Method::GET, "Patient/1", false),
        ] {
            assert_eq!(is_read(&method, path), expected, "{method} {path}");
        }
    }
}
