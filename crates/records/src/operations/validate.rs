//! `$validate`: 200 with the verdict, whatever it is.

use super::Target;
use crate::gate::Caller;
use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::StatusCode;
use bytes::Bytes;

pub(crate) fn run(
    _: &Repository,
    call: &Call,
    _: &Caller,
    target: Target<'_>,
) -> Result<Answer, Failure> {
    let doc = match call.document() {
        Ok(doc) => doc,
        Err(failure) if failure.status == StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            return Err(failure);
        }
        Err(failure) => {
            return Ok(Answer::resource(
                StatusCode::OK,
                Bytes::from(failure.outcome().to_string()),
            ));
        }
    };
    let mut findings =
        fhir::validate::validate_all(fhir::Pack::r4(), &doc, edge::clock::real_now_us());
    if let Some(rtype) = target.rtype()
        && doc.resource_type() != rtype
    {
        findings.push(crate::change::wrong_type(rtype));
    }
    Ok(Answer::resource(
        StatusCode::OK,
        Bytes::from(fhir::outcome(&findings).to_string()),
    ))
}
