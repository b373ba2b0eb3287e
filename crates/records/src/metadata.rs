//! CapabilityStatement, made from the same tables that the router and the planner use (spec/fhir-server.md §7).

use crate::http::{Answer, Call};
use crate::outcome::Failure;
use crate::repository::Repository;
use axum::http::StatusCode;
use bytes::Bytes;
use fhir::Pack;
use fhir::build::Json;
use fhir::pack::ParamKind;
use serde_json::{Value, json};

/// `GET [base]/metadata`.
pub(crate) fn capabilities(repository: &Repository, call: &Call) -> Result<Answer, Failure> {
    let clinical = repository.is_clinical();
    let writes = !clinical || repository.config.columns.is_some();
    let security = if clinical {
        "Access tokens of HelseID as Bearer or DPoP. Headers: nhn-access-basis (UNNTAK, SAMTYKKE, AKUTT, FORHOYET_SAMTYKKE, FORHOYET_AKUTT), nhn-user-role, nhn-patient-nin. A search comes down to exactly one patient."
    } else {
        "No token: synthetic data for experiments."
    };
    let mut interactions = vec!["search-system", "history-system"];
    if !clinical {
        interactions.extend(["transaction", "batch"]);
    }
    let resources: Vec<Value> = repository
        .types()
        .into_iter()
        .map(|rtype| resource(rtype, clinical, writes))
        .collect();
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-11-01",
        "kind": "instance",
        "software": { "name": "Helsenav", "version": repository.config.version },
        "implementation": { "description": format!("Helsenav {}", repository.config.name), "url": call.base },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "rest": [{
            "mode": "server",
            "security": { "cors": true, "description": security },
            "resource": resources,
            "interaction": codes(&interactions),
            "compartment": ["http://hl7.org/fhir/CompartmentDefinition/patient"],
        }],
    });
    Ok(Answer::resource(
        StatusCode::OK,
        Bytes::from(statement.to_string()),
    ))
}

fn resource(rtype: &str, clinical: bool, writes: bool) -> Value {
    let pack = Pack::r4();
    let is_view = clinical && rtype == "Patient";
    let mut interactions = vec!["read", "search-type"];
    if !is_view {
        interactions.extend(["vread", "history-instance", "history-type"]);
    }
    if writes && !is_view {
        interactions.extend(["create", "update"]);
        if !clinical {
            interactions.push("delete");
        }
    }
    let params: Vec<_> = pack
        .type_id(rtype)
        .into_iter()
        .flat_map(|ty| pack.params(ty))
        .filter(|p| p.expr.is_some() || p.code.as_ref() == "_lastUpdated")
        .collect();
    let references: Vec<String> = params
        .iter()
        .filter(|p| p.kind == ParamKind::Reference)
        .map(|p| format!("{rtype}:{}", p.code))
        .collect();
    Json::new()
        .put("type", rtype)
        .put("interaction", codes(&interactions))
        .put(
            "versioning",
            if is_view { "no-version" } else { "versioned" },
        )
        .put("readHistory", !is_view)
        .put("updateCreate", !clinical)
        .put("conditionalCreate", writes && !is_view)
        .put(
            "conditionalRead",
            if is_view {
                "not-supported"
            } else {
                "full-support"
            },
        )
        .put("conditionalUpdate", !clinical)
        .put(
            "conditionalDelete",
            if clinical { "not-supported" } else { "single" },
        )
        .put("referencePolicy", json!(["literal", "logical"]))
        .list("searchInclude", references)
        .list("searchRevInclude", incoming(rtype))
        .list(
            "searchParam",
            params
                .iter()
                .map(|p| json!({ "name": p.code, "type": p.kind.as_str() })),
        )
        .put(
            "operation",
            json!([{ "name": "validate", "definition": "http://hl7.org/fhir/OperationDefinition/Resource-validate" }]),
        )
        .build()
}

fn codes(codes: &[&str]) -> Value {
    codes.iter().map(|code| json!({ "code": code })).collect()
}

/// Reference parameters of other types that lead to a type by name (those that lead anywhere are not listed).
fn incoming(rtype: &str) -> Vec<String> {
    let pack = Pack::r4();
    let mut out = Vec::new();
    for source in pack.resource_types() {
        let Some(ty) = pack.type_id(source) else {
            continue;
        };
        for param in pack.params(ty) {
            let leads = param.kind == ParamKind::Reference
                && param.expr.is_some()
                && param.targets.iter().any(|t| t.as_ref() == rtype);
            if leads {
                out.push(format!("{source}:{}", param.code));
            }
        }
    }
    out
}

impl Repository {
    /// Empties the repository: every record and its history are erased (the sandbox).
    pub(crate) fn reset(&self) -> Result<Answer, Failure> {
        use store::{Commit, HistoryScope, Purge};
        let grant = self.config.gate.hub_grant();
        let repo = self.config.repo;
        loop {
            let snapshot = self.snapshot()?;
            let scope = HistoryScope::Repository { repo };
            let versions = snapshot.history(&grant, &scope, None, RESET_CHUNK)?;
            let records: std::collections::BTreeSet<(String, String)> = versions
                .into_iter()
                .map(|r| (r.head.rtype, r.head.id))
                .collect();
            if records.is_empty() {
                return Ok(Answer::empty(StatusCode::NO_CONTENT));
            }
            let purge = records
                .into_iter()
                .map(|(rtype, id)| Purge { repo, rtype, id })
                .collect();
            self.config.store.commit(Commit {
                purge,
                ..Commit::default()
            })?;
        }
    }
}

/// Versions looked at per commit of a reset.
const RESET_CHUNK: usize = 2_000;
