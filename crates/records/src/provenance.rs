//! `X-Provenance`: a Provenance that travels with a write and is stored in the same commit (spec/fhir-server.md §12).

use crate::change::{Change, Write};
use crate::http::Call;
use crate::outcome::Failure;
use crate::plan::Plan;
use crate::repository::Repository;
use axum::http::StatusCode;
use bytes::Bytes;
use fhir::json::value::Value;
use fhir::{Doc, Limits};
use store::{Op, PutId};

/// Longest header.
const MAX_BYTES: usize = 16 << 10;

/// A Provenance without its target.
pub(crate) struct Provenance(Value);

impl Provenance {
    /// Reads the header; 400 when it is not a Provenance in JSON.
    pub fn of(repository: &Repository, call: &Call) -> Result<Option<Self>, Failure> {
        let Some(header) = call.headers.get("x-provenance") else {
            return Ok(None);
        };
        let refuse = |text: &str| Failure::bad("invalid", format!("X-Provenance {text}"));
        if repository.is_clinical() || !repository.has_type("Provenance") {
            return Err(Failure::bad(
                "not-supported",
                "this repository takes no X-Provenance",
            ));
        }
        if header.len() > MAX_BYTES {
            return Err(refuse("is too long"));
        }
        let limits = Limits {
            max_bytes: MAX_BYTES,
            ..Limits::default()
        };
        let value = Value::parse(header.as_bytes(), &limits)
            .map_err(|_| refuse("is not readable as JSON"))?;
        if value.get("resourceType").and_then(Value::as_str) != Some("Provenance") {
            return Err(refuse("must hold a Provenance"));
        }
        if value.get("target").is_some() {
            return Err(refuse("must not name a target; the server does"));
        }
        let provenance = Self(value);
        // What is wrong with it is wrong whatever its target.
        let doc = provenance.about("Basic/1")?;
        let errors: Vec<_> = crate::write::check(&doc)
            .into_iter()
            .filter(fhir::Finding::is_error)
            .collect();
        if !errors.is_empty() {
            let mut failure = Failure::findings(&errors);
            failure.status = StatusCode::BAD_REQUEST;
            return Err(failure);
        }
        Ok(Some(provenance))
    }

    fn about(&self, target: &str) -> Result<Doc, Failure> {
        let mut value = self.0.clone();
        let reference = Value::Object(vec![(
            "reference".to_owned(),
            Value::String(target.to_owned()),
        )]);
        value.set("target", Value::Array(vec![reference]));
        Doc::parse_json(Bytes::from(value.to_vec()), &Limits::default()).map_err(|f| {
            let mut failure = Failure::findings(&f);
            failure.status = StatusCode::BAD_REQUEST;
            failure
        })
    }
}

impl Repository {
    /// Adds the Provenance of the version that a write makes. What is kept as it stands gets none.
    pub(crate) fn with_provenance(
        &self,
        at: Plan<'_>,
        change: Change,
        provenance: Option<&Provenance>,
    ) -> Result<Change, Failure> {
        let Some(provenance) = provenance else {
            return Ok(change);
        };
        let Change::Write(write) = change else {
            return Ok(change);
        };
        let mut write: Box<Write> = write;
        let PutId::Given(id) = &write.put.id else {
            return Err(Failure::internal());
        };
        let target = format!("{}/{id}/_history/{}", write.put.rtype, write.version.0);
        let doc = provenance.about(&target)?;
        let (put, _) = self.put(at.caller, "Provenance", PutId::New, Op::Create, &doc)?;
        write.also.push(put);
        Ok(Change::Write(write))
    }
}
